"""The naive approach: pooling under masks, read literally, and MoCo where they say nothing."""

import copy

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from dilo.train.data.draws import key_shuffle
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.losses import info_nce, moco_logits
from dilo.train.methods.moco import MoCo
from dilo.train.methods.naive import Naive
from dilo.train.networks.encoder import feature_map
from dilo.train.networks.pooling import masked_average
from dilo.train.recipes.recipe import MocoRecipe, ModelRecipe, OptimizerRecipe, Recipe

RECIPE = Recipe(
    method="naive",
    model=ModelRecipe(arch="resnet18", stem="small", head="mlp", dim=8, width=0.25, bn_groups=2),
    moco=MocoRecipe(queue=20, momentum=0.9, temperature=0.2),
    optimizer=OptimizerRecipe(batch=8),
)
DATA = TrainingSet(100)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def batch_of(masks):
    return ViewBatch(
        views=random(2, 8, 3, 16, 16).unbind(0), samples=torch.arange(8), step=3, masks=masks
    )


def literal_average(features, masks):
    """Average the cells of each map by the mean of the mask in each, one number at a time."""
    rows, columns = features.shape[2:]
    tall, wide = masks.shape[2] // rows, masks.shape[3] // columns
    pooled = torch.zeros(features.shape[:2], dtype=features.dtype)
    for b in range(len(features)):
        total = 0.0
        for i in range(rows):
            for j in range(columns):
                cell = masks[b, 0, i * tall : (i + 1) * tall, j * wide : (j + 1) * wide]
                weight = cell.mean() if masks[b].any() else 1.0
                pooled[b] += weight * features[b, :, i, j]
                total += weight
        pooled[b] /= total
    return pooled


def test_features_are_averaged_by_the_soft_mask_in_each_cell():
    features, masks = random(3, 5, 2, 4), random(3, 1, 6, 8, seed=1)
    masks[0] = 0
    masks[1, 0, :, :4] = 0
    found = masked_average(features, masks)
    assert_close(found, literal_average(features, masks))
    assert_close(found[0], features[0].mean((1, 2)))
    features[1, :, :, :2] = 99.0
    assert_close(masked_average(features, masks)[1], found[1])


def test_a_step_is_mocos_with_that_average_and_masks_follow_their_keys_through_the_shuffle():
    method = Naive(RECIPE, DATA)
    method.encoder_q.double()  # batch norm of four samples magnifies rounding
    method.encoder_k.double()
    masks = [mask * (mask > 0.7) for mask in random(2, 8, 1, 16, 16, seed=2).double()]
    masks[1][3] = 0
    batch = batch_of(tuple(masks))
    batch = ViewBatch(
        views=tuple(v.double() for v in batch.views),
        samples=batch.samples,
        step=3,
        masks=batch.masks,
    )
    twin = copy.deepcopy(method)

    def embed(network, views, masks):
        pooled = literal_average(feature_map(network, views), masks)
        return functional.normalize(network.fc(pooled).float(), dim=1)

    order = torch.from_numpy(key_shuffle(RECIPE.seed, 3, 8))
    query = embed(twin.encoder_q, batch.views[0], masks[0])
    key = torch.empty(8, 8)
    key[order] = embed(twin.encoder_k, batch.views[1][order], masks[1][order]).detach()
    expected = info_nce(moco_logits(query, key, twin.queue, 0.2))
    output = method(batch)
    assert_close(output.loss, expected.loss)
    output.loss.backward()
    assert all(p.grad is not None for p in method.encoder_q.parameters())
    assert all(p.grad is None for p in method.encoder_k.parameters())
    method.end_step()
    assert_close(method.queue[:, :8], key.T)


def test_with_masks_that_say_nothing_it_is_moco():
    batch = batch_of(tuple(torch.zeros(2, 8, 1, 16, 16)))
    assert_close(Naive(RECIPE, DATA)(batch).loss, MoCo(RECIPE, DATA)(batch).loss)


def test_masks_are_asked_for():
    assert Naive.needs_masks
    assert not MoCo.needs_masks
    with pytest.raises(ValueError, match="masks must be given to method naive"):
        Naive(RECIPE, DATA)(batch_of(()))

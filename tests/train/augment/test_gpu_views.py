"""What the augmentation asks of a GPU, on a stand-in: few calls, few bytes, the same each batch."""

import dataclasses

import pytest
import torch
from support.augmentation import smooth_crops
from support.gpu import FakeGpu, spec

from dilo.train.augment import views as module
from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.plain import augment_plainly
from dilo.train.augment.table import view_table
from dilo.train.augment.views import augment
from dilo.train.data.dataset import stack_params
from dilo.train.data.draws import CROPS, TEXTURES, view_draw
from dilo.train.recipes import load_recipe

BATCH, SIZE = 16, 32
MIXTURE = ("paste.backgrounds.textures=1", "paste.backgrounds.crops=1")


def drawn(recipe, epoch):
    key = {"seed": 0, "epoch": epoch, "height": 50, "width": 70}
    return stack_params(
        [
            view_draw(recipe.views, recipe.paste, sample=sample, view=view, **key)
            for view in (0, 1)
            for sample in range(BATCH)
        ]
    )


def on_gpu(name, *words, dtype=torch.bfloat16, epoch=0):
    """Augment a batch, constants being there; give what was noted, and the result."""
    recipe = load_recipe(name, [f"views.size={SIZE}", "paste.bank=64", *words])
    weights = recipe.paste.backgrounds
    kinds = {TEXTURES: weights.textures, CROPS: weights.crops}
    stores = {kind: range(99) for kind, weight in kinds.items() if weight}
    parameters = drawn(recipe, epoch)
    with FakeGpu() as gpu:
        images, masks = map(gpu.put, smooth_crops(2 * BATCH, SIZE))
        bank = BackgroundBank(recipe.paste, stores, gpu.device, seed=0, side=SIZE)
        for _ in range(2):
            gpu.reset()
            result = augment(images, masks, parameters, recipe.views, bank, dtype=dtype)
    return gpu, spec(result)


@pytest.mark.parametrize("words", [(), MIXTURE], ids=["gray", "mixture"])
@pytest.mark.parametrize("name", ["moco-v1", "moco-v2", "simclr"])
def test_a_batch_takes_few_calls_few_bytes_one_copy_and_no_wait(name, words):
    gpu, result = on_gpu(name, *words)
    batch = 2 * BATCH * 3 * SIZE**2 * 4
    assert len(gpu.calls) <= 5
    assert gpu.nbytes < 8 * batch
    assert (len(gpu.copies), gpu.waits) == (1, [])
    assert result.channels_last
    assert result.dtype == torch.bfloat16


def test_a_space_that_mixes_channels_waits_for_nothing_either():
    gpu, result = on_gpu("cmc", "views.order=['jitter']")
    assert (len(gpu.copies), gpu.waits) == (1, [])
    assert len(gpu.calls) < 40
    assert result.channels_last


@pytest.mark.parametrize("plain", [None, augment_plainly])
def test_no_shape_hangs_on_a_draw(plain, monkeypatch):
    if plain:
        monkeypatch.setattr(module, "_has_triton", lambda: False)
        monkeypatch.setattr(module, "_plain_version", lambda: plain)
    one, other = (on_gpu("moco-v2", *MIXTURE, epoch=epoch)[0] for epoch in (0, 1))
    assert one.calls == other.calls
    assert one.waits == other.waits == []


@pytest.mark.parametrize("order", [("jitter", "gray", "blur"), ("gray", "blur", "jitter")])
def test_plain_torch_is_one_graph(order):
    recipe = load_recipe("moco-v2", [f"views.size={SIZE}"])
    parameters = drawn(recipe, 0)
    images, masks = smooth_crops(2 * BATCH, SIZE)
    views = dataclasses.replace(recipe.views, order=order)
    tensors = images, masks, images[:0], view_table(parameters, len(masks), views)
    compiled = torch.compile(augment_plainly, backend="eager", fullgraph=True, dynamic=False)
    assert torch.equal(compiled(*tensors, order), augment_plainly(*tensors, order))

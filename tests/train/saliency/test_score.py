"""MAE and the best F while training: those of dilo-eval saliency, whoever's network."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from support.objects import objects_and_masks, pairs_of
from support.runs import machine
from torch import nn

from dilo.pipeline.errors import DiloError
from dilo.train.saliency.dataset import standardise
from dilo.train.saliency.pairs import squash_image
from dilo.train.saliency.score import MaskScorer, image_curves, saliency_of, summarize


def test_a_score_is_that_of_the_definitions_threshold_by_threshold():
    rng = np.random.default_rng(3)
    masks = [rng.random((5, 7)) ** 2 for _ in range(4)]
    truths = [rng.random((5, 7)) < share for share in (0.4, 0.7, 0.0, 1.0)]
    found = summarize(sum(map(image_curves, masks, truths)), 4)
    assert_allclose(
        found.mae, np.mean([np.abs(m - t).mean() for m, t in zip(masks, truths, strict=True)])
    )
    best = 0.0
    for threshold in range(256):
        precisions, recalls = [], []
        for mask, truth in zip(masks, truths, strict=True):
            cut = np.floor(255 * mask) >= threshold
            hits = (cut & truth).sum()
            precisions.append(hits / cut.sum() if cut.any() else 0.0)
            recalls.append(hits / truth.sum() if truth.any() else 0.0)
        p, r = np.mean(precisions), np.mean(recalls)
        best = max(best, 1.3 * p * r / (0.3 * p + r) if p + r else 0.0)
    assert_allclose(found.max_f, best)


def test_a_map_is_stretched_then_brought_to_the_images_size():
    found = saliency_of(np.float32([[0.2, 0.4], [0.3, 0.6]]), (2, 2))
    assert_allclose(found, [[0, 0.5], [0.25, 1]], atol=1e-6)
    assert saliency_of(np.full((4, 4), 0.7, np.float32), (3, 5)).tolist() == [[0.0] * 5] * 3
    wide = saliency_of(np.float32([[0, 1]]), (1, 4))
    assert_allclose(wide, [[0, 0.25, 0.75, 1]])


class Redness(nn.Module):
    """The first channel it is given, and a bad second output."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        assert not self.training
        self.seen.append(images.clone())
        return images[:, :1], -images[:, :1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return objects_and_masks(tmp_path_factory.mktemp("objects"), 5)


def test_a_scorer_shows_whole_squashed_images_and_scores_output_0_at_the_truths_size(made):
    pairs, network = pairs_of(made), Redness().train()
    found = MaskScorer(pairs, 32, machine()).score(network)
    assert network.training
    total = 0.0
    for position in range(5):
        image, mask = pairs.read(position)
        squashed = torch.tensor(squash_image(image, 32)).permute(2, 0, 1)[None] / 255
        shown = standardise(squashed)
        assert_allclose(network.seen[0][position], shown[0], atol=1e-6)
        logits = shown[0, 0].sigmoid().numpy()
        total = total + image_curves(saliency_of(logits, mask.shape), mask > 128)
    expected = summarize(total, 5)
    assert_allclose(dataclasses.astuple(found), dataclasses.astuple(expected), atol=1e-6)
    assert found.mae < 0.45


def test_truth_is_what_lies_above_128_as_dilo_eval_has_it(tmp_path):
    images, truth = objects_and_masks(tmp_path, 1)
    found = []
    for dark in (0, 128, 129):
        mask = np.array(Image.open(truth / "000.png"))
        Image.fromarray(np.where(mask > 200, 255, dark).astype(np.uint8)).save(truth / "000.png")
        found.append(MaskScorer(pairs_of((images, truth)), 32, machine()).score(Redness()).mae)
    assert found[0] == found[1] != found[2]


def test_ranks_score_what_one_does(made, monkeypatch):
    pairs = pairs_of(made)
    alone = MaskScorer(pairs, 32, machine()).score(Redness())
    from dilo.train.runtime import distributed

    sums = []
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(
        distributed, "all_reduce_mean", lambda values: sums.append(values) or values
    )
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        MaskScorer(pairs, 32, machine()).score(Redness())
    _, first, _, second = sums  # the black ones, and the numbers, of each rank
    together = summarize((first + second).numpy(), 5)
    assert_allclose(dataclasses.astuple(together), dataclasses.astuple(alone), rtol=1e-9)


def test_black_truths_are_left_out_and_counted_and_gray_ones_are_no_truth(tmp_path):
    images, truth = objects_and_masks(tmp_path, 3)
    expected = MaskScorer(pairs_of((images, truth)), 32, machine()).score(Redness())
    for name, level in (("3", 0), ("4", 0)):
        (images / f"{name}.jpg").write_bytes((images / "000.jpg").read_bytes())
        pixels = np.array(Image.open(truth / "000.png"))
        Image.fromarray(np.full_like(pixels, level)).save(truth / f"{name}.png")
    found = MaskScorer(pairs_of((images, truth)), 32, machine()).score(Redness())
    assert found.empty == 2
    assert_allclose((found.mae, found.max_f), (expected.mae, expected.max_f))
    for path in truth.glob("*.png"):
        Image.fromarray(np.zeros_like(pixels)).save(path)
    with pytest.raises(DiloError, match=r"--test-truth .* got 5 masks that are all black"):
        MaskScorer(pairs_of((images, truth)), 32, machine()).score(Redness())
    for path in truth.glob("*.png"):
        Image.fromarray(np.full_like(pixels, 100)).save(path)
    with pytest.raises(DiloError, match=r"its mask must be white .*, got at most 100"):
        MaskScorer(pairs_of((images, truth)), 32, machine()).score(Redness())

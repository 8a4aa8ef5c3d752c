"""Training crops as functions of their key, and test images shared by ranks."""

import numpy as np
import pytest
import torch
from PIL import Image
from support.folders import write_class_folders
from support.probes import CPU, SHORT, tiny_encoder
from support.ranks import on_ranks

from dilo.eval.features.features import extract_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.linear.data import UNREAD, EpochBatches, TestFeatures, TrainingCrops, collate
from dilo.eval.linear.protocols import PROTOCOLS, Protocol
from dilo.eval.linear.scoring import true_class_ranks
from dilo.train.data.draws import view_draw
from dilo.train.data.loader import make_loader
from dilo.train.recipes.recipe import PasteRecipe, ViewsRecipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = write_class_folders(tmp_path_factory.mktemp("train"), ("ant", "bee"), each=6)
    return labelled_folder(root)


def test_a_crop_is_a_function_of_seed_epoch_and_position(folder):
    crops = TrainingCrops(folder, SHORT, 16, seed=0)
    (position, label, pixels), again = crops[3, 7], TrainingCrops(folder, SHORT, 16, 0)[3, 7]
    assert (position, label, pixels.shape, pixels.dtype) == (7, 1, (16, 16, 3), np.uint8)
    assert np.array_equal(pixels, again.pixels)
    others = (crops[4, 7], crops[3, 8], TrainingCrops(folder, SHORT, 16, seed=1)[3, 7])
    assert not any(np.array_equal(pixels, other.pixels) for other in others)


@pytest.mark.parametrize("name", ["moco", "pycontrast"])
def test_a_crop_is_the_box_drawn_resized_by_pillow_and_mirrored(folder, name):
    protocol, flips = PROTOCOLS[name], set()
    least = protocol.crop_scale[0]
    views = ViewsRecipe(size=16, crop_scale=(least, 1.0), flip=0.5, order=())
    for position in range(6):
        with Image.open(folder.root / folder.names[position]) as image:
            size = {"height": image.height, "width": image.width}
            key = {"seed": 5, "epoch": 1, "sample": position, "view": 0}
            draw = view_draw(views, PasteRecipe(probability=0), **key, **size)
            top, left, height, width = draw.box
            assert height * width >= 0.9 * least * image.height * image.width
            box = image.crop((left, top, left + width, top + height)).resize((16, 16), 2)
        if draw.flip:
            box = box.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        flips.add(draw.flip)
        found = TrainingCrops(folder, protocol, 16, seed=5)[1, position].pixels
        assert np.abs(found.astype(int) - np.asarray(box, int)).max() <= 1
    assert flips == {True, False}


def test_an_image_that_cannot_be_read_has_no_label(tmp_path):
    root = write_class_folders(tmp_path, ("ant", "bee"), each=2)
    (root / "bee" / "0.png").write_bytes(b"no image")
    crops = TrainingCrops(labelled_folder(root), SHORT, 8, seed=0)
    batch = collate([crops[0, 1], crops[0, 2], crops[0, -1]])
    assert batch.samples.tolist() == [[1, 0], [2, -1], [-1, -1]]
    assert batch.crops.shape == (3, 3, 8, 8)
    assert batch.crops.dtype == torch.uint8
    assert not batch.crops[1:].any()


def test_an_epoch_visits_every_image_once_and_its_last_batch_may_be_smaller():
    batches = EpochBatches(12, SHORT, seed=0)
    found = list(batches)
    assert (len(batches), batches.steps_per_epoch) == (6, 3)
    assert [len(batch) for batch in found] == [5, 5, 2, 5, 5, 2]
    for epoch in (0, 1):
        keys = [key for batch in found[3 * epoch :][:3] for key in batch]
        assert {first for first, _ in keys} == {epoch}
        assert sorted(position for _, position in keys) == list(range(12))
    assert [p for _, p in found[0]] != [p for _, p in found[3]]


@pytest.mark.parametrize("start", range(7))
def test_a_stream_from_a_step_on_is_the_rest_of_the_stream(start):
    whole, rest = EpochBatches(12, SHORT, 0), EpochBatches(12, SHORT, 0, start)
    assert list(rest) == list(whole)[start:]
    assert len(rest) == 6 - start


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_share_each_batch_in_runs_of_one_length(monkeypatch, count):
    whole = list(EpochBatches(12, SHORT, seed=0))
    shares = on_ranks(monkeypatch, count, lambda rank: list(EpochBatches(12, SHORT, seed=0)))
    for batch, *parts in zip(whole, *shares, strict=True):
        assert len({len(part) for part in parts}) == 1
        together = [key for part in parts for key in part]
        assert together[: len(batch)] == batch
        assert all(position == -1 for _, position in together[len(batch) :])


def test_workers_and_none_make_the_same_batches(folder):
    protocol = Protocol(name="moco", epochs=1, batch=4)
    made = [
        list(
            make_loader(
                TrainingCrops(folder, protocol, 8, seed=0),
                EpochBatches(12, protocol, seed=0),
                workers=workers,
                pin=False,
                collate_fn=collate,
            )
        )
        for workers in (0, 1)
    ]
    assert len(made[0]) == 3
    for one, other in zip(*made, strict=True):
        assert one.samples.equal(other.samples)
        assert one.crops.equal(other.crops)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_rank_knows_the_place_of_every_image(tmp_path, monkeypatch, count):
    folder = labelled_folder(write_class_folders(tmp_path, ("ant", "bee", "cat"), each=3))
    whole = extract_features(tiny_encoder(tmp_path), folder)
    # The nearest mean, but that two of the three classes are taken for each other.
    weight = whole.vectors.view(3, 3, 6).mean(1)[[0, 2, 1]]
    bias = -weight.square().sum(1) / 2
    expected = true_class_ranks(weight, bias, whole.vectors, whole.labels).tolist()
    (tmp_path / "bee" / "1.png").write_bytes(b"no image")
    expected[4] = UNREAD
    encoders = [tiny_encoder(tmp_path) for _ in range(count)]  # threads share one state of chance
    found = on_ranks(
        monkeypatch,
        count,
        lambda rank: TestFeatures(encoders[rank], folder, CPU, print).ranks(weight, bias),
    )
    assert [places.tolist() for places in found] == [expected] * count
    assert {UNREAD, 0} < set(expected)

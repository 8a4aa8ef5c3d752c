"""The training memory as a bank: whose row is which image's."""

import pytest
import torch
from support.folders import write_class_folders
from torch.nn.functional import normalize

from dilo.eval.features.folders import labelled_folder
from dilo.eval.knn.memory import memory_features
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import CheckpointError, DiloError

LIGHT, COLOUR = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path):
    return labelled_folder(write_class_folders(tmp_path / "images", ("ant", "bee"), each=3))


def written(path, **content):
    """Write what is asked for, as an encoder whose network plays no part."""
    torch.save(content, path)
    return Encoder(torch.nn.Linear(1, 1), 16, path, output="embedding")


@pytest.mark.parametrize(
    ("place", "names", "expected"),
    [
        ("state_dict", {"module.memory": LIGHT}, LIGHT),
        ("contrast", {"memory": LIGHT, "params": torch.zeros(4)}, LIGHT),
        ("state_dict", {"module.memory_l": LIGHT, "module.memory_ab": COLOUR}, None),
        ("contrast", {"memory_ab": COLOUR, "memory_l": LIGHT}, None),
        ("contrast", {"memory_1": LIGHT, "memory_2": COLOUR}, None),
    ],
)
def test_a_memory_is_found_where_each_repository_keeps_it(folder, tmp_path, place, names, expected):
    found = memory_features(written(tmp_path / "c.pt", **{place: names}), folder)
    if expected is None:
        expected = torch.cat([normalize(LIGHT), normalize(COLOUR)], 1)
    assert torch.equal(found.vectors[:], expected)
    assert torch.equal(found.labels, folder.labels)
    assert (found.paths, found.unreadable, found.classes) == (folder.names, (), folder.classes)
    assert found.origin.output == "embedding"


def test_a_memory_of_other_images_is_refused(folder, tmp_path):
    encoder = written(tmp_path / "c.pt", state_dict={"module.memory": LIGHT[:5]})
    with pytest.raises(DiloError, match=r"got 6 images for 5 rows of memory: give the folder of"):
        memory_features(encoder, folder)
    state = {"module.memory": LIGHT}
    encoder = written(tmp_path / "c.pt", state_dict=state, dilo={"images": "ab" * 32})
    with pytest.raises(DiloError, match=r"got another list of images, or another order: give"):
        memory_features(encoder, folder)


def test_a_checkpoint_without_a_memory_is_refused(folder, tmp_path):
    encoder = written(tmp_path / "c.pt", state_dict={"module.queue": LIGHT})
    with pytest.raises(CheckpointError, match=r"got none: only InstDisc and CMC train with one"):
        memory_features(encoder, folder)


@pytest.mark.parametrize(
    "odd",
    [
        {"module.memory": LIGHT / 0},
        {"module.memory": LIGHT.double() + 1e300},
        {"module.memory": LIGHT.to(torch.complex64)},
        {"module.memory": LIGHT.to_sparse()},
        {"module.memory_l": LIGHT, "module.memory_ab": COLOUR[:5]},
    ],
)
def test_a_memory_of_odd_values_gives_no_neighbours(folder, tmp_path, odd):
    encoder = written(tmp_path / "c.pt", state_dict=odd)
    with pytest.raises(CheckpointError, match=r"must hold a memory of finite numbers, .*take an"):
        memory_features(encoder, folder)

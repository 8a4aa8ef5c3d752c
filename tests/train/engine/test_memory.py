"""A device without room for a step: a sentence with the --accumulate that is allowed next."""

import pytest
import torch
from support.folders import write_class_folders
from support.runs import machine, small_recipe

from dilo.pipeline.errors import DiloError
from dilo.train.data.images import find_image_set
from dilo.train.engine import trainer
from dilo.train.engine.memory import advice_on_memory, advice_on_parts
from dilo.train.engine.pretrain import train

CPU = torch.device("cpu")


def silent(line):
    """Say nothing."""


def full(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("batch", "groups", "parts", "advice"),
    [
        (8, 4, 1, "give --accumulate 2, which needs about 1/2 of it"),
        (8, 4, 2, "give --accumulate 4, which needs about 2/4 of it"),
        (12, 1, 2, "give --accumulate 3, which needs about 2/3 of it"),
        (8, 2, 2, "give a smaller --set optimizer.batch than 8, or another device"),
    ],
)
def test_a_step_that_has_no_room_names_the_parts_that_are_allowed_next(
    tmp_path, monkeypatch, batch, groups, parts, advice
):
    source = find_image_set(write_class_folders(tmp_path / "a", ("ant", "bee"), each=6), None)
    recipe = small_recipe(
        "paste.probability=0", f"optimizer.batch={batch}", f"model.bn_groups={groups}"
    )
    monkeypatch.setattr(trainer.Optimization, "step", full)
    counted = f"{parts} part" + "s" * (parts > 1)
    expected = f"the device has no room for a step on {batch} images, taken in {counted}: {advice}"
    with pytest.raises(DiloError) as refused:
        train(recipe, source, tmp_path / "run", machine(accumulate=parts), silent)
    assert str(refused.value) == expected
    assert (tmp_path / "run" / "state").read_text() == "failed\n"


def test_a_network_that_has_no_room_at_all_is_said(tmp_path, monkeypatch):
    source = find_image_set(write_class_folders(tmp_path / "a", ("ant", "bee"), each=6), None)
    monkeypatch.setattr(trainer, "fit", full)
    with pytest.raises(DiloError, match="no room for this training: use a device with more free"):
        train(small_recipe("paste.probability=0"), source, tmp_path / "run", machine(), silent)


def test_memory_that_a_library_lacks_counts_and_another_error_does_not():
    with (
        pytest.raises(DiloError, match=r"no room for a step: give --accumulate 2, .* 1/2"),
        advice_on_memory("a step", CPU, lambda: advice_on_parts(4, 1, lambda parts: True)),
    ):
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
    with pytest.raises(RuntimeError, match="shapes"), advice_on_memory("a step", CPU, str):
        raise RuntimeError("shapes differ")


def test_a_full_gpu_is_described_with_what_others_use(monkeypatch):
    facts = {
        "mem_get_info": (1e9, 16e9),
        "memory_reserved": 10e9,
        "get_device_name": "NVIDIA T4",
    }
    for name, value in facts.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    words = r"no room for a step \(NVIDIA T4 of 16\.0 GB, of which others use 5\.0 GB\): wait"
    with (
        pytest.raises(DiloError, match=words),
        advice_on_memory("a step", torch.device("cuda"), lambda: "wait"),
    ):
        full()

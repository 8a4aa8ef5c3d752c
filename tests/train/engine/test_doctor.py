"""The doctor of training: each check well, and each at fault; the command, on this machine."""

import json

import pytest
import torch
from support.cli import invoke
from support.runs import SMALL, photographs_and_masks, small_recipe

from dilo.train.cli import main
from dilo.train.data.loader import BYTES_AHEAD
from dilo.train.engine import doctor
from dilo.train.engine.doctor import Plans, cores, gpu_findings, images_and_masks, loader_bytes
from dilo.train.recipes import load_recipe, shipped_recipes

H200 = ("NVIDIA H200", 141_000_000_000)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"), 5)


def test_gpus_are_named_with_memory_driver_and_precision(monkeypatch):
    monkeypatch.setattr(doctor, "choose_precision", lambda name, device: "bf16")
    monkeypatch.setattr(doctor, "driver_version", lambda: "580.65")
    (finding,) = gpu_findings(True, "", [H200, H200])
    assert (finding.level, finding.found) == (
        "ok",
        "NVIDIA H200 (141.0 GB), NVIDIA H200 (141.0 GB); driver 580.65; computes in bf16",
    )
    (finding,) = gpu_findings(True, "", [H200, ("NVIDIA T4", 16_000_000_000)])
    assert (finding.level, "the slowest decides" in finding.advice) == ("slow", True)


def test_a_gpu_that_torch_cannot_use_breaks_and_none_is_slow():
    (finding,) = gpu_findings(False, "NVIDIA driver 550.54 ...", [])
    assert (finding.level, finding.found) == ("breaks", "NVIDIA driver 550.54 ...")
    assert gpu_findings(False, "", [])[0].level == "slow"


@pytest.mark.parametrize(
    ("usable", "gpus", "workers", "level", "advice"),
    [
        (16, 1, 15, "ok", ""),
        (2, 0, 1, "ok", ""),
        (16, 8, 1, "slow", "decoding will hold up the GPU"),
        (16, 2, 16, "slow", "give --workers 7"),
    ],
)
def test_cores_are_shared_by_the_ranks(usable, gpus, workers, level, advice):
    finding = cores(usable, gpus, workers)
    assert finding.level == level
    assert advice in finding.advice


def test_nccl_is_needed_by_several_gpus_alone():
    assert [doctor.nccl(count, False).level for count in (0, 1, 2)] == ["ok", "ok", "breaks"]


@pytest.mark.parametrize("name", shipped_recipes())
def test_what_the_loaders_hold_is_bounded_for_every_recipe(name):
    recipe = load_recipe(name, [])
    sample = 2 * (3 + recipe.paste.probability) * recipe.views.size**2  # views, colours and mask
    for workers, parts, ranks in ((1, 1, 1), (16, 1, 1), (16, 8, 1), (4, 1, 8)):
        batch = recipe.optimizer.batch // (parts * ranks) * sample
        least = ranks * workers * batch  # one batch each
        found = loader_bytes(recipe, workers, parts, ranks)
        assert 0.99 * least <= found <= 1.01 * max(least, ranks * BYTES_AHEAD)


@pytest.mark.parametrize(
    ("overrides", "masks", "level", "words"),
    [
        ((), True, "ok", "5 images"),
        ((), False, "breaks", "pastes with probability 0.3: give --masks"),
        (("paste.probability=0",), False, "ok", "5 images"),
        (("optimizer.batch=6",), True, "breaks", "--set optimizer.batch=5 or less"),
    ],
)
def test_images_and_masks_are_checked_against_the_recipe(made, overrides, masks, level, words):
    plans = Plans(
        recipe=small_recipe(*overrides),
        images=made[0],
        masks=made[1] if masks else None,
        workers=1,
    )
    finding = images_and_masks(plans)
    assert finding.level == level
    assert words in f"{finding.found} {finding.advice}"


def test_masks_of_other_images_break(made, tmp_path):
    plans = Plans(recipe=small_recipe(), images=tmp_path, masks=made[1], workers=1)
    finding = images_and_masks(plans)
    assert finding.level == "breaks"
    assert "must be of the images of" in finding.found


def test_the_command_prints_its_findings_and_its_status_says_whether_one_breaks(made, tmp_path):
    words = ["doctor", "--images", made[0], "--recipe", "moco-v2-small", "--workers", 1]
    for override in SMALL:
        words += ["--set", override]
    found = json.loads(invoke(main, *words, "--masks", made[1], "--json").stdout)
    checks = {finding["check"]: finding for finding in found["findings"]}
    assert {"torch", "GPU", "NCCL", "cores", "open files", "images"} <= set(checks)
    assert torch.__version__ in checks["torch"]["found"]
    assert "BREAKS  images" in invoke(main, *words, status=1).stdout

"""`dilo-prep masks` of a network: its options, their refusals, what is said, and the same store."""

import dataclasses
import json

import click
import joblib
import numpy as np
import pytest
import torch
from support.cli import invoke
from support.networks import gain
from support.photographs import photograph_folder
from support.plugins import mark

from dilo.eval.attribution.maskmethods import CLASS_RULES, SEGMENTATIONS
from dilo.pipeline.cli import main
from dilo.pipeline.cli.networks import _CLASS_RULES, NetworkOptions
from dilo.pipeline.cli.run import RunOptions
from dilo.pipeline.masks import gpus
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.saliency.networkparameters import PRECISIONS
from dilo.pipeline.saliency.weights import weights_digest
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.plan import Plan

#: In this process: another would take longer to start than to do the work.
HERE = ("--jobs", 1, "--backend", "threading")


@pytest.fixture
def images(networks, tmp_path):
    gain(tmp_path / "weights.pt")
    return photograph_folder(tmp_path / "images", 9)


def masks(images, out, *more, method="net", status=0, weights=True):
    given = ("--weights", images.parent / "weights.pt", "--device", "cpu") if weights else ()
    arguments = ("masks", "--images", images, "--out", out, "--method", method, *given)
    return invoke(main, *arguments, *more, status=status)


def test_it_goes_by_shards_says_its_pace_and_resumes(images, tmp_path):
    store = tmp_path / "store"
    first = masks(images, store, "--workers", 2, "--shard-size", 4, "--batch", 3, "--json")
    assert "net: " in first.stderr
    assert " images/s per process, " in first.stderr
    record = json.loads(first.stdout)
    assert record["images_per_second"] > 0
    assert 0 < record["data_wait"] <= 1
    plan = Plan.load(store)
    assert (plan.size, plan.parameters["weights"]) == (
        32,
        weights_digest(images.parent / "weights.pt"),
    )
    before = (store / "shard-00001.h5").read_bytes()
    (store / "shard-00001.h5").unlink()
    options = ("--workers", 2, *HERE)
    again = masks(images, store, *options)
    assert "to do: 4 images in 1" in again.stderr
    assert (store / "shard-00001.h5").read_bytes() == before
    nothing = masks(images, store, "--json")
    assert "images/s" not in nothing.stderr
    assert json.loads(nothing.stdout)["images_per_second"] is None
    invoke(main, "verify", store, "--images", images)


def test_tasks_of_an_array_make_the_store_that_one_run_makes(images, tmp_path):
    masks(images, tmp_path / "one", *HERE, "--shard-size", 4)
    masks(images, tmp_path / "many", "--shard-size", 4, "--plan-only")
    for task in (2, 0, 1):
        share = ("--num-tasks", 3, "--task-id", task, *HERE)
        masks(images, tmp_path / "many", "--shard-size", 4, *share)
    for file in sorted((tmp_path / "one").iterdir()):
        assert (tmp_path / "many" / file.name).read_bytes() == file.read_bytes()


def test_an_image_that_kills_a_worker_is_found_and_recorded(images, tmp_path):
    mark(images / "class0" / "red.png")
    options = ("--workers", 2, "--shard-size", 5, "--batch", 3, "--json")
    found = json.loads(masks(images, tmp_path / "s", *options, method="killer").stdout)
    assert (found["done_images"], list(found["failed"])) == (10, ["class0/red.png"])
    why = found["failed"]["class0/red.png"]
    assert why.startswith("killed the process that computed it, twice: SIGKILL")


def test_a_device_that_takes_nothing_ends_the_run_in_words(images, tmp_path):
    result = masks(images, tmp_path / "s", "--workers", 2, method="dead", status=3)
    assert "device lost: give fewer --workers if memory ran out" in result.stderr


def test_another_size_a_run_for_its_checkpoint_and_a_refinement(images, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    gain(tmp_path / "run" / "checkpoints" / "step-00000001.pt", 0.0)
    gain(tmp_path / "run" / "checkpoints" / "step-00000002.pt", 1.0)
    options = (*HERE, "--shard-size", 9, "--size", 48, "--refine", "grabcut")
    masks(images, tmp_path / "file", *options)
    run = ("--weights", tmp_path / "run", "--device", "cpu")
    masks(images, tmp_path / "run-store", *options, *run, weights=False)
    stores = [MaskStore(tmp_path / name) for name in ("file", "run-store")]
    assert stores[0][0].shape == (48, 48)
    assert stores[0].plan == stores[1].plan
    assert all(np.array_equal(*pair) for pair in zip(*stores, strict=True))


def test_a_dry_run_goes_through_the_network_and_writes_nothing(images, tmp_path):
    result = masks(images, tmp_path / "s", "--dry-run", "--json", "--batch", 4, "--workers", 1)
    found = json.loads(result.stdout)
    assert (found["sampled"], found["failed"]) == (9, {})
    assert found["core_hours"] > 0
    assert not (tmp_path / "s").exists()
    slow = masks(images, tmp_path / "s", "--dry-run", "--json", "--workers", 1, method="slow")
    assert json.loads(slow.stdout)["seconds_an_image"] > 0.1


@pytest.mark.parametrize(
    ("method", "options", "weights", "message"),
    [
        ("net", (), False, "--method net is a network: give its --weights FILE"),
        ("rbd", (), True, "--weights belongs to a --method that is a network, such as basnet, got"),
        ("rbd", ("--batch", 3), False, "--batch belongs to a --method that is a network"),
        ("rbd", ("--threads", 3), False, "--threads belongs to a --method that is a network"),
        ("rbd", ("--device", "cpu"), False, "--device belongs to a --method that is a network"),
        (
            "rbd",
            ("--precision", "bf16"),
            False,
            "--precision belongs to --method basnet or another",
        ),
        ("rbd", ("--segmentation", "star"), False, "--segmentation belongs to --method gradient, "),
        ("net", ("--segmentation", "star"), True, "--segmentation belongs to --method gradient, "),
        (
            "net",
            ("--arch", "resnet50"),
            True,
            "--arch belongs to --method cam, gradient, contracam or tokencut, got net",
        ),
        (
            "net",
            ("--class", "true"),
            True,
            "--class belongs to --method cam or gradient, got net",
        ),
        (
            "net",
            ("--precision", "fp16"),
            True,
            "--precision fp16 needs a GPU, got a CPU: give bf16",
        ),
        (
            "net",
            ("--precision", "bf16", "--set", "precision=fp32"),
            True,
            "--precision and --set precision=... set the same parameter",
        ),
        ("net", ("--set", "weights=abc"), True, "weights are given only by their file"),
        ("net", ("--set", "nonsense=1"), True, "nonsense must be one of side, weights, precision"),
        ("magic", (), True, "must be one of basnet, cam, .*, got 'magic'"),
    ],
)
def test_what_does_not_belong_together_is_wrong_usage(
    images, tmp_path, method, options, weights, message
):
    result = masks(images, tmp_path / "s", *options, method=method, weights=weights, status=2)
    words = " ".join(result.stderr.split())
    assert message.split(".*")[0] in words
    assert message.split(".*")[-1] in words
    assert not (tmp_path / "s").exists()


def test_weights_that_do_not_fit_are_refused_before_a_store_is_begun(images, tmp_path):
    (images.parent / "weights.pt").write_text("no number")
    result = masks(images, tmp_path / "s", status=3)
    assert "must be the weights of this network, got: ValueError: could not conv" in result.stderr
    lacking = masks(images, tmp_path / "s", method="lacking", status=3)
    assert "masks from a network need torch and torchvision: pip install" in lacking.stderr
    assert not (tmp_path / "s").exists()


def test_other_weights_are_refused_by_name(images, tmp_path):
    masks(images, tmp_path / "s", *HERE)
    gain(images.parent / "weights.pt", 2)
    result = masks(images, tmp_path / "s", *HERE, status=3)
    assert "plan.json says weights '" in result.stderr
    assert "asked for weights '" in result.stderr


def how(**changes):
    given = {"jobs": -1, "backend": "loky", "scheduler": None, "num_tasks": None, "task_id": None}
    return RunOptions(**(given | {"plan_only": False, "strict": False, "as_json": False} | changes))


@pytest.mark.parametrize(
    ("device", "count", "backend", "jobs", "expected"),
    [
        ("cuda", 4, "loky", -1, ("cuda", 4, 4)),
        (None, 4, "loky", -1, ("cuda", 4, 4)),
        ("cuda", 4, "loky", 2, ("cuda", 2, 2)),
        ("cuda", 4, "threading", -1, ("cuda", 1, 1)),
        ("cuda", 0, "dask", -1, ("cuda", -1, 1)),  # its workers have GPUs, if any has
        (None, 0, "loky", -1, ("cpu", -1, 16)),
        ("cpu", 4, "loky", -1, ("cpu", -1, 16)),
    ],
)
def test_there_is_a_process_for_each_gpu_and_for_each_core_of_a_cpu(
    images, monkeypatch, device, count, backend, jobs, expected
):
    monkeypatch.setattr(gpus, "_COUNT", lambda: count)
    monkeypatch.setattr(joblib, "effective_n_jobs", lambda jobs: 16 if jobs < 0 else jobs)
    file = images.parent / "weights.pt"
    nothing = dict.fromkeys(field.name for field in dataclasses.fields(NetworkOptions))
    options = NetworkOptions(**nothing | {"weights": file, "device": device})
    recipe = MaskRecipe.create("net", weights=weights_digest(file))
    run, chosen = options.inference_settings(recipe, how(backend=backend, jobs=jobs))
    assert (run.device, chosen.jobs, run.processes) == expected
    assert run.weights == file


def test_gpus_are_asked_for_only_where_there_are_some(images, tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "_COUNT", lambda: 0)
    result = masks(images, tmp_path / "s", "--device", "cuda", status=3)
    assert "--device cuda needs a GPU that torch can use, got none" in result.stderr


@pytest.mark.parametrize("asked", [("--precision", "bf16"), ("--set", "precision=bf16")])
def test_a_gpu_that_cannot_compute_as_asked_is_refused_before_a_store_is_begun(
    images, tmp_path, monkeypatch, asked
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    result = masks(images, tmp_path / "s", "--device", "cuda", *asked, status=3)
    words = "--precision bf16 needs a GPU that computes in bfloat16, got Tesla T4: give fp16 or"
    assert words in result.stderr
    assert not (tmp_path / "s").exists()
    masks(images, tmp_path / "s", "--device", "cuda", "--precision", "fp16", "--plan-only")


def test_an_automatic_precision_is_the_stores_or_what_suits_the_device(images, tmp_path):
    masks(images, tmp_path / "new", "--precision", "auto", "--plan-only")
    assert Plan.load(tmp_path / "new").parameters["precision"] == "fp32"
    masks(images, tmp_path / "half", "--precision", "bf16", "--plan-only")
    masks(images, tmp_path / "half", "--precision", "auto", "--workers", 1)
    assert Plan.load(tmp_path / "half").parameters["precision"] == "bf16"


def test_the_words_of_the_options_are_those_of_the_parameters():
    choices = {
        parameter.name: tuple(parameter.type.choices)
        for parameter in main.commands["masks"].params
        if isinstance(parameter.type, click.Choice)
    }
    assert choices["precision"] == ("auto", *PRECISIONS)
    assert choices["label"] == tuple(_CLASS_RULES)
    assert tuple(_CLASS_RULES.values()) == CLASS_RULES
    assert choices["segmentation"] == SEGMENTATIONS

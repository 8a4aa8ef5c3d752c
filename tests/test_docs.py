"""Documentation: its examples run, its commands exist."""

import doctest
import importlib
import json
import pkgutil
import re
import shlex
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from support.cli import invoke
from support.photographs import photograph_folder
from support.plugins import lay_out
from support.runs import SMALL, photographs_and_masks

import dilo.eval
import dilo.pipeline
import dilo.train
from dilo.pipeline.errors import RecipeError
from dilo.pipeline.store import MaskStore
from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.pretrain import train
from dilo.train.methods import METHODS
from dilo.train.methods.base import TrainingSet
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime.options import RunOptions

ROOT = Path(__file__).parents[1]
MODULES = [
    module.name
    for package in (dilo.pipeline, dilo.train, dilo.eval)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)


def test_every_module_can_be_imported_and_its_examples_run():
    modules = [importlib.import_module(name) for name in MODULES]
    assert [m for m in modules if doctest.testmod(m, extraglobs={"np": np}).failed] == []


def commands(page):
    """Find the lines of shell blocks that run one of our programs, continued lines joined."""
    blocks = re.findall(r"```(?:bash|console|sh)\n(.*?)```", page.read_text(), flags=re.S)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [
        line.strip().removeprefix("$ ")
        for line in text.splitlines()
        if "dilo-" in line.split("#")[0]
    ]


def program(name):
    if name == "dilo-prep":
        from dilo.pipeline.cli import main
    elif name == "dilo-train":
        from dilo.train.cli import main
    else:
        from dilo.eval.cli import main
    return main


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_exists_with_its_options(page):
    for line in commands(page):
        found = re.search(r"dilo-(prep|train|eval)\b[^)|]*", line)
        if not found:
            continue
        name, *words = shlex.split(found[0], comments=True)
        command = program(name)
        if isinstance(command, click.Group):
            if words and words[0] in command.commands:
                command, words = command.commands[words[0]], words[1:]
            else:  # dilo-train trains without a subcommand
                assert command.invoke_without_command or "_COMPLETE=" in line, line
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= known | {"--help"}, line


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    photographs_and_masks(tmp_path, 4)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_page_on_python_runs_from_top_to_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = photograph_folder(tmp_path / "images", 8)
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.S
    )
    names: dict = {}
    here = blocks[0].replace('"rbd")', '"rbd", workers=1)')  # in this process, which is faster
    exec(compile(here, "python.md", "exec"), names)
    assert (names["mask"].shape, names["batch"].shape) == ((256, 256), (2, 224, 224))

    options = ["--images", images, "--masks", "masks", "--out", "crops", "--workers", 1]
    invoke(program("dilo-prep"), "backgrounds", *options, "--min-side", 8, "--max-saliency", 255)
    machine = RunOptions(device=torch.device("cpu"), workers=0, log_every=1)
    small = load_recipe("moco-v2-small", [*SMALL, "paste.probability=0", "optimizer.epochs=1"])
    train(small, find_image_set(images, None), tmp_path / "runs" / "dilo", machine, print)
    options = ["--checkpoint", "runs/dilo", "--images", images, "--workers", 0, "--out", "train.h5"]
    invoke(program("dilo-eval"), "features", *options)
    for block in blocks[1:]:
        exec(compile(block, "python.md", "exec"), names)
    assert names["picture"].shape == (3, 224, 224)
    assert len(names["stored"].labels) == 8


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_page_on_copy_paste_makes_a_loader_of_torchvisions(tmp_path, monkeypatch):
    photographs_and_masks(tmp_path, 8)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "copypaste.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, flags=re.S)[0]
    made: dict = {}
    # In this process, for what is defined here cannot be imported by another.
    exec(compile(code.replace("num_workers=2", "num_workers=0"), "copypaste.md", "exec"), made)
    assert made["first"].shape == made["second"].shape == (4, 3, 224, 224)
    assert not made["first"].equal(made["second"])
    assert sorted(made["data"].class_to_idx) == ["class0", "class1"]


def test_the_page_on_methods_adds_a_method_that_works(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "prep-masks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    (points,) = re.findall(r"```toml\n(.*?)```", page, flags=re.S)
    lay_out(tmp_path, "brightness", code, points)
    monkeypatch.syspath_prepend(str(tmp_path))

    images, store = photograph_folder(tmp_path / "photos", 3), tmp_path / "masks"
    (line,) = [line for line in commands(ROOT / "docs" / "prep-masks.md") if "brightness" in line]
    words = shlex.split(
        line.replace("photos", str(images)).replace("masks --method", f"{store} --method")
    )
    invoke(program("dilo-prep"), *words[1:], "--backend", "threading")
    invoke(program("dilo-prep"), "verify", store)
    masks = MaskStore(store)
    assert masks.plan.parameters == {"side": 64, "gamma": 2.0, "version": 1}
    assert 0 < masks[0].mean() < 255
    monkeypatch.delitem(sys.modules, "brightness")


def test_the_page_on_pretraining_adds_a_method_that_trains(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "train-methods.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    points, recipe = re.findall(r"```toml\n(.*?)```", page, flags=re.S)
    lay_out(tmp_path, "pairs", code, points)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pairs.toml").write_text(recipe)
    overrides = [value for value in SMALL if not value.startswith(("moco.", "model.bn"))]
    small = load_recipe(str(tmp_path / "pairs.toml"), [*overrides, "optimizer.epochs=1"])
    source = find_image_set(photograph_folder(tmp_path / "images", 8), None)
    machine = RunOptions(device=torch.device("cpu"), workers=0, log_every=1)
    result = train(small, source, tmp_path / "run", machine, print)
    assert (result.step, result.steps) == (2, 2)
    state = checkpoint.load(result.checkpoint)["state_dict"]
    assert all(name.startswith("module.encoder_q.") for name in state)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert all({"loss", "accuracy"} <= json.loads(line).keys() for line in lines)
    assert METHODS["pairs"](small, TrainingSet(8)).temperature == 0.1
    with pytest.raises(RecipeError, match=r"options\.temperature must be positive, got 0"):
        METHODS["pairs"](Recipe(options={"temperature": 0}), TrainingSet(8))
    sys.modules.pop("pairs")


def test_the_page_on_networks_adds_a_network_that_works(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "prep-masks-networks.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, flags=re.S)[0]
    (points,) = re.findall(r"```toml\n(.*?)```", page, flags=re.S)
    lay_out(tmp_path, "glow", code, points)
    monkeypatch.syspath_prepend(str(tmp_path))
    np.save(tmp_path / "weights.npy", np.float32([1, 2, 3]))
    images, store = photograph_folder(tmp_path / "photos", 3), tmp_path / "masks"
    options = ["--method", "glow", "--weights", tmp_path / "weights.npy", "--set", "gamma=2.0"]
    where = ["--device", "cpu", "--backend", "threading", "--workers", 1]
    main = program("dilo-prep")
    invoke(main, "masks", "--images", images, "--out", store, *options, *where)
    masks = MaskStore(store)
    assert masks.plan.parameters["gamma"] == 2.0
    assert [mask.shape for mask in masks] == [(64, 64)] * 3
    assert all(mask.max() == 255 for mask in masks)
    sys.modules.pop("glow")


def anchors(page):
    """Make the anchors of a page's headings, as GitHub does."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_to_a_page_and_a_heading_that_are_there():
    for page in PAGES:
        for target, _, heading in re.findall(r"\]\(([^)#:]*)(#([^)]+))?\)", page.read_text()):
            place = page.parent / target if target else page
            assert place.exists(), f"{page.name}: {target}"
            assert not heading or heading in anchors(place), f"{page.name}: {target}#{heading}"

"""The folder that a program is started in, a data set perhaps: nothing in it is run."""

import configparser
import functools
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.folders import write_class_folders
from support.objects import SMALL as SMALL_SALIENCY
from support.objects import objects_and_masks
from support.probes import write_small
from support.runs import SMALL, photographs_and_masks

ROOT = Path(__file__).parents[1]
#: What is imported where it is installed, which it may not be here.
OPTIONAL = ("cupy", "dask", "IPython", "pandas", "ray", "sitecustomize", "tbb", "usercustomize")
#: A module that says by a file that it was run, with what is built into Python alone.
PLANTED = "import posix\nposix.close(posix.open({!r}, posix.O_CREAT | posix.O_WRONLY))\n"


#: A program as it is installed, but for a command after another: to import torch takes seconds.
SCRIPT = """#!{python}
import json, sys
from {module} import {function}
for words in json.load(sys.stdin):
    sys.argv[1:] = words
    try:
        {function}()
    except SystemExit as ended:
        if ended.code and words[0] != "doctor":  # which may find faults of the machine
            sys.exit(" ".join(words))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Write images, masks, objects and a checkpoint, small ones; and the programs."""
    root = tmp_path_factory.mktemp("made")
    photographs_and_masks(root, 13)
    objects_and_masks(root / "objects", 4)
    write_class_folders(root / "train", ("ant", "bee"), each=6)
    write_class_folders(root / "test", ("ant", "bee"), each=2, seed=1)
    write_small(root / "run" / "checkpoints" / "step-00000007.pt")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    (root / "bin").mkdir()
    for line in setup["options.entry_points"]["console_scripts"].split("\n"):
        name, _, target = line.partition(" = ")
        module, _, function = target.partition(":")
        script = root / "bin" / (name or "none")
        script.write_text(SCRIPT.format(python=sys.executable, module=module, function=function))
        script.chmod(0o755)
    return root


@functools.cache
def importable():
    """Name all that an import here could mean, besides dilo itself."""
    installed = set(importlib.metadata.packages_distributions())
    names = {*sys.stdlib_module_names, *installed, *OPTIONAL}
    return sorted(name for name in names if name.isidentifier() and name not in ("dilo", "posix"))


def plant(folder, ran, names):
    """Write a module of each name into a folder, and what packages read there."""
    ran.mkdir()
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(PLANTED.format(str(ran / name)))
    # Each, where it is read, ends the program.
    (folder / "matplotlibrc").write_bytes(b"\xff\xfe")
    (folder / ".numba_config.yaml").write_bytes(b"cache_dir: [\xff")
    for name in ("libc.so.6", "libcuda.so.1", "libm.so.6", "libz.so.1"):
        (folder / name).write_bytes(b"no library")


def run_in(folder, program, commands=()):
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    ended = subprocess.run(
        [str(word) for word in program],
        input=json.dumps([[str(word) for word in command] for command in commands]),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def prep_commands(made, out):
    """Give a command of each of dilo-prep's; the first ones make what the others read."""
    images, store, pngs = made / "images", out / "store", out / "pngs"
    small = ("--shard-size", 5, "--workers", 1)  # which is a process of its own, too
    yield "masks", "--images", images, "--out", store, "--size", 24, *small
    yield "backgrounds", "--images", images, "--masks", store, "--out", out / "crops", *small
    yield "export", store, "--out", pngs, "--workers", 1
    yield "import", "--images", images, "--png", pngs, "--out", out / "imported", *small
    yield "verify", store, "--images", images, "--workers", 1
    yield "status", store
    yield "preview", store, "--images", images, "--out", out / "sheet.png"
    yield "doctor", store


def train_commands(made, out):
    """Give a command of each of dilo-train's."""
    objects, loading = made / "objects", ("--workers", 2, "--device", "cpu")
    short = [word for setting in SMALL for word in ("--set", setting)]
    yield (
        *("--images", made / "images", "--masks", made / "masks", "--recipe", "moco-v2-small"),
        *("--out", out / "run", *loading, *short),
    )
    short = [word for setting in SMALL_SALIENCY for word in ("--set", setting)]
    yield (
        *("saliency", "--images", objects / "images", "--truth", objects / "truth"),
        *("--recipe", "label-free", "--out", out / "saliency", *loading, *short),
    )
    yield "plot", out / "run", "--out", out / "curves.png"


def eval_commands(made, out):
    """Give those of dilo-eval's commands that start processes, draw, or do neither."""
    network = ("--checkpoint", made / "run", "--workers", 2, "--device", "cpu")
    folders = ("--train", made / "train", "--test", made / "test")
    objects, truth = made / "objects" / "images", made / "objects" / "truth"
    yield "knn", *network, *folders
    yield "linear", *network, *folders, "--fast"
    yield "features", *network, "--images", made / "images", "--out", out / "features.h5"
    yield (
        *("localize", "--images", objects, "--truth", truth, "--maps", truth),
        *("--workers", 2, "--device", "cpu", "--out", out / "localize"),
    )
    yield "saliency", "--masks", truth, "--truth", truth, "--workers", 2, "--out", out / "saliency"
    yield "report", made / "run", "--out", out / "report"


PROGRAMS = {"prep": prep_commands, "train": train_commands, "eval": eval_commands}


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_command_runs_code_that_lies_where_it_is_started(made, tmp_path, program):
    here, ran = tmp_path / "here", tmp_path / "ran"
    plant(here, ran, importable())
    run_in(here, [made / "bin" / f"dilo-{program}"], PROGRAMS[program](made, tmp_path))
    assert not sorted(path.name for path in ran.iterdir())


@pytest.mark.parametrize(("program", "package"), [("prep", "pipeline"), ("train", "train")])
def test_started_by_python_a_program_runs_nothing_but_what_python_itself_would(
    made, tmp_path, program, package
):
    """Python has imported a handful of modules from there before it knows what to start."""
    (tmp_path / "empty.py").write_text("import sys\nprint(*sys.modules)")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    started = subprocess.run(
        [sys.executable, "-m", "empty"], env=environment, capture_output=True, text=True, check=True
    )
    own = {name.partition(".")[0] for name in started.stdout.split()}
    here, ran = tmp_path / "here", tmp_path / "ran"
    plant(here, ran, [name for name in importable() if name not in own])
    command = next(PROGRAMS[program](made, tmp_path))
    run_in(here, [sys.executable, "-m", f"dilo.{package}", *command])
    assert not sorted(path.name for path in ran.iterdir())

"""Packaging: what is in the repository is in the wheel, and the names are dilo's own."""

import configparser
import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dilo.pipeline.saliency import METHODS

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "train", "eval")
#: What a build reads besides.
FILES = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
#: Installed as the top of the package.
DOORS = Path("pipeline/doors")


def installed(file):
    """Name where a file of the repository is installed."""
    path = file.relative_to(ROOT)
    top = DOORS if DOORS in path.parents else Path()
    return (Path("dilo") / path.relative_to(top)).as_posix()


def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "dilo"
    source.mkdir()
    for package in FOLDERS:
        shutil.copytree(ROOT / package, source / package)
    for name in FILES:
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, source):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, capture_output=True)
    return next(folder.glob("dilo-*.whl"))


def test_every_package_directory_is_listed():
    listed = set(setup_cfg()["options"]["packages"].split())
    found = {
        installed(file).removesuffix("/__init__.py").replace("/", ".")
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == found


def test_every_source_file_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        installed(file)
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".toml", ".j2", ".css") or file.name == "py.typed"
    }
    assert packed == sources


def test_every_method_that_setup_cfg_registers_makes_masks_and_the_installed_dilo_has_it():
    lines = setup_cfg()["options.entry_points"]["dilo.saliency"].strip().split("\n")
    points = dict(line.split(" = ") for line in lines)
    for name, value in points.items():
        assert METHODS.is_valid(importlib.metadata.EntryPoint(name, value, "dilo.saliency").load())
    assert points.keys() <= set(METHODS)


def test_a_build_leaves_nothing_in_the_checkout(source, wheel):
    assert {path.name for path in source.iterdir()} == {*FOLDERS, *FILES}


def test_only_dilo_lands_in_site_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dilo"}
    assert not (ROOT / "dilo").exists()
    assert not any((ROOT / folder / "dilo").exists() for folder in FOLDERS)


def test_the_package_says_its_version_and_imports_nothing_heavy():
    code = (
        "import sys, dilo; print(dilo.__version__); "
        "assert not {'numpy', 'torch', 'click'} & set(sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-Pc", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == setup_cfg()["metadata"]["version"]


def test_the_base_install_has_no_torch():
    requirements = importlib.metadata.requires("dilo")
    if requirements is None:
        pytest.skip("dilo is not installed from its wheel here")
    base = [r for r in requirements if "extra ==" not in r]
    assert not any(r.startswith(("torch", "torchvision")) for r in base)
    assert any(r.startswith("opencv-python-headless") for r in base)
    assert {
        r.split(";")[0].strip().split(">")[0] for r in requirements if 'extra == "train"' in r
    } == {
        "torch",
        "torchvision",
    }


def test_the_three_programs_start(tmp_path):
    for package, program in (("pipeline", "prep"), ("train", "train"), ("eval", "eval")):
        command = [sys.executable, "-m", f"dilo.{package}", "--help"]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "Exit status" in shown.stdout, program


def test_the_versions_tested_are_pinned_and_allowed():
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    names = {name.lower().replace("_", "-") for name in pinned}
    options = setup_cfg()
    required = options["options"]["install_requires"]
    for extra in ("train", "eval", "detection", "tensorboard", "dev"):
        required += options["options.extras_require"][extra]
    lines = [line for line in required.splitlines() if line.strip() and "#" not in line]
    for line in lines:
        name = re.split(r"[>=<\s]", line.strip())[0].lower()
        assert name in names, f"{name} is not in constraints.txt"


def test_the_changelog_has_a_place_for_what_is_new():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.index("## Unreleased") < text.index("### Changes to masks or stores")

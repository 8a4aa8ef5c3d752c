"""How a program begins: which folders it, and what it starts, take code from."""

import os
import subprocess
import sys
from pathlib import Path

import dilo.pipeline
from dilo.pipeline.common.startup import safe_environment
from dilo.pipeline.compute.worker import safe_interpreters

HOME = Path(dilo.pipeline.__file__).parents[2]


def begun(folder, path):
    """Begin a program in a folder; give what PYTHONPATH names then, and the path."""
    code = (
        "import os, sys\nfrom dilo.pipeline.common.startup import begin_program\n"
        "begin_program()\nprint(os.environ['PYTHONPATH'])\nprint(os.pathsep.join(sys.path))\n"
    )
    script = folder.parent / "program.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": path}
    shown = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    named, inside = shown.stdout.splitlines()
    return named.split(os.pathsep), inside.split(os.pathsep)


def test_an_empty_entry_of_the_path_is_dropped_here_and_for_what_is_started(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    named, inside = begun(here, os.pathsep.join(("", str(HOME), "")))
    assert named == [str(HOME)]
    assert str(here) not in inside
    assert str(HOME) in inside


def test_a_folder_that_the_path_names_stays_though_it_is_the_current_one(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    named, inside = begun(here, os.pathsep.join((str(HOME), "", str(here))))
    assert named == [str(HOME), str(here)]
    assert str(here) in inside


def test_dilo_is_found_where_it_lies_though_that_is_the_current_folder():
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    shown = subprocess.run(
        [sys.executable, "-m", "dilo.pipeline", "--version"],
        cwd=HOME,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith("dilo-prep")


def test_what_opencv_leaves_in_the_environment_is_the_current_folder_to_no_process(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/opt/a{os.pathsep}{os.pathsep}/opt/b{os.pathsep}")
    assert safe_environment()["LD_LIBRARY_PATH"] == f"/opt/a{os.pathsep}/opt/b"
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/a")
    assert "LD_LIBRARY_PATH" not in safe_environment()


def test_a_library_leaves_the_environment_of_its_user_as_it_is(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    before = dict(os.environ)
    with safe_interpreters():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert dict(os.environ) == before


def test_settings_and_libraries_in_the_current_folder_are_not_read(tmp_path):
    (tmp_path / "matplotlibrc").write_text("figure.facecolor: red\n")
    (tmp_path / ".numba_config.yaml").write_text("cache_dir: planted\nopt: 0\n")
    code = (
        "from dilo.pipeline.common.startup import begin_program\nbegin_program()\nimport os\n"
        "import matplotlib, numba\nfrom dilo.pipeline.common import compiled\n"
        "numba.njit(lambda: 1)()\n"
        "print(matplotlib.rcParams['figure.facecolor'], numba.config.CACHE_DIR, "
        "numba.config.OPT == 3, os.getcwd())"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["white", "True", str(tmp_path)]

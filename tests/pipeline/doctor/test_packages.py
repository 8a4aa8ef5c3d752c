"""Packages: old ones, missing ones, broken ones, and OpenCV twice."""

import importlib.metadata

import pytest
from packaging.requirements import Requirement

from dilo.pipeline.doctor.packages import (
    import_fault,
    opencv,
    package,
    packages,
    requirements,
)

HEADLESS = Requirement("opencv-python-headless>=4.11")


def sound(module):
    return None


@pytest.mark.parametrize(
    ("version", "level", "found"),
    [
        ("0.60", "ok", "0.60"),
        ("0.70.0rc1", "ok", "0.70.0rc1"),
        ("0.59.1", "breaks", "0.59.1, where >=0.60 is needed"),
        (None, "breaks", "not installed"),
    ],
)
def test_a_package_is_compared_with_the_oldest_allowed(version, level, found):
    finding = package(Requirement("numba>=0.60"), lambda name: version, sound)
    assert (finding.check, finding.level, finding.found) == ("numba", level, found)
    assert finding.advice == ("" if level == "ok" else "pip install --upgrade 'numba>=0.60'")


def test_a_package_that_cannot_be_imported_says_why():
    def fault(module):
        assert module == "cv2"
        return "libGL.so.1: cannot open shared object file"

    found = package(HEADLESS, lambda name: "5.0", fault)
    assert found.level == "breaks"
    assert found.found == "5.0 cannot be imported: libGL.so.1: cannot open shared object file"
    assert import_fault("json") is None
    assert import_fault("no_such_module") == "No module named 'no_such_module'"


def test_two_wheels_of_opencv_break_and_the_lines_that_mend_it_are_said():
    there = {"opencv-python": "4.11.0", "opencv-python-headless": "5.0.0"}
    found = opencv(HEADLESS, there.get)
    assert found.level == "breaks"
    assert found.found == "opencv-python-headless 5.0.0, opencv-python 4.11.0"
    assert (
        "pip uninstall -y opencv-python-headless opencv-python && "
        "pip install 'opencv-python-headless>=4.11'" in found.advice
    )


def test_one_wheel_of_opencv_is_enough_whichever_it_is():
    assert opencv(HEADLESS, {"opencv-contrib-python": "4.12"}.get).level == "ok"
    assert opencv(HEADLESS, {"opencv-contrib-python": "4.9"}.get).level == "breaks"
    assert opencv(HEADLESS, {}.get).found == "not installed"


def test_every_package_of_the_base_install_is_checked_and_none_of_an_extra(monkeypatch):
    lines = ["h5py>=3.10", "opencv-python-headless>=4.11", "torch>=2.4; extra == 'train'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    needed = requirements()
    assert [requirement.name for requirement in needed] == ["h5py", "opencv-python-headless"]
    found = packages(needed)
    assert [finding.check for finding in found] == ["h5py", "OpenCV"]
    assert ", HDF5 " in found[0].found

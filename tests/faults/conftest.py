"""Photographs, what an undisturbed run makes of them, and methods with faults."""

import os

import pytest
from support.photographs import photograph_folder
from support.plugins import install
from support.programs import content, masks, run


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    return photograph_folder(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Install the methods with faults, and give the environment in which they are."""
    return install(tmp_path_factory.mktemp("plugins") / "installed")


@pytest.fixture(scope="module", autouse=True)
def environment(installed):
    """Let the programs that these tests start have those methods."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in installed.items():
            patch.setenv(name, value)
            for folder in value.split(os.pathsep):
                patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="session")
def undisturbed(photographs, installed, tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    run(*masks(photographs, store), environment=installed)
    return content(store)

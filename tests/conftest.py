"""What tests of every package start from."""

import shutil

import pytest


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    """Give a folder to what the tests of a file share that is large: it goes with the last."""
    folder = tmp_path_factory.mktemp("module")
    yield folder
    shutil.rmtree(folder)

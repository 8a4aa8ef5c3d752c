"""Photographs, and what an undisturbed run makes of them."""

import pytest
from support.photographs import photograph_folder
from support.programs import content, masks, run


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    return photograph_folder(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(scope="session")
def undisturbed(photographs, tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    run(*masks(photographs, store))
    return content(store)

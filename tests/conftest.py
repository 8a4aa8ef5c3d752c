"""What tests of every package start from."""

import multiprocessing
import shutil

import pytest

# What processes that tests start to train begin with (support.launching), before any test has begun
# another server of them: to import torch takes seconds, and the programs leave it for later.
multiprocessing.set_forkserver_preload(
    [
        "dilo.train.cli.train",
        "dilo.train.engine.pretrain",
        "dilo.train.methods.moco",
        "dilo.train.saliency.train",
        "cloudpickle",
    ]
)


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    """Give a folder to what the tests of a file share that is large: it goes with the last."""
    folder = tmp_path_factory.mktemp("module")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep what the tests cache away from the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield

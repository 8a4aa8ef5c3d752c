"""What several tests of the pipeline start from."""

import sys

import pytest
from support.networks import install_networks


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Install networks of somebody else's, for this process and for those that it starts."""
    environment = install_networks(tmp_path / "installed")
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    monkeypatch.delitem(sys.modules, "layerless", raising=False)

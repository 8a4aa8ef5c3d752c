"""What `from dilo import` gives: the public names, each imported when it is asked for."""

import subprocess
import sys

import pytest

import dilo
from dilo.pipeline.masks import computed
from dilo.pipeline.saliency import saliency
from dilo.pipeline.store import MaskStore

NAMES = ("CopyPaste", "LoadWithMask", "MaskStore", "make_masks", "saliency")


def loaded(code):
    """Run some code in an interpreter that has no torch, and list the modules of dilo."""
    code = f"import sys\nsys.modules['torch'] = None\n{code}\n"
    code += "print(*sorted(name for name in sys.modules if name.startswith('dilo')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_to_import_dilo_costs_nothing():
    assert loaded("import dilo; dir(dilo)") == ["dilo"]


def test_names_of_the_pipeline_need_no_torch():
    modules = loaded("from dilo import MaskStore, make_masks, saliency")
    assert "dilo.pipeline.store.maskstore" in modules
    assert not any(name.startswith("dilo.train") for name in modules)


def test_each_name_is_that_of_its_module_and_listed():
    assert (dilo.MaskStore, dilo.saliency) == (MaskStore, saliency)
    assert dilo.make_masks is computed.make_masks
    assert set(NAMES) < set(dir(dilo))
    with pytest.raises(AttributeError, match="module 'dilo' has no attribute 'masks'"):
        _ = dilo.masks


def test_the_names_of_train_are_those_of_its_modules():
    pytest.importorskip("torch")
    from dilo.train import copypaste, masked

    assert dilo.CopyPaste is copypaste.CopyPaste
    assert dilo.LoadWithMask is masked.LoadWithMask

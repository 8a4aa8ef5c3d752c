"""Methods by name: their parameters, and those that another package registers."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from support.plugins import lay_out

from dilo.pipeline.errors import DiloError
from dilo.pipeline.saliency import METHODS, NetworkMethod, Parameters
from dilo.pipeline.saliency.method import Method
from dilo.pipeline.saliency.methods import Registry

RBD = METHODS["rbd"]


@dataclass(frozen=True, kw_only=True)
class CentreParameters(Parameters):
    """A method of one's own: how wide the blob in the middle is."""

    width: float = 0.25


def centre(image, parameters):
    """Take the middle of the image for salient."""
    rows, columns = np.indices(image.shape[:2]) / len(image) - 0.5
    return np.exp(-0.5 * (rows**2 + columns**2) / parameters.width**2)


CENTRE = Method(CentreParameters(), centre)


def install(folder, monkeypatch, *, name="centre", value="foreign_method:CENTRE", code=None):
    """Lay a package out as pip would, with an entry point, and put it on the path."""
    points = f'[project.entry-points."dilo.saliency"]\n{name} = "{value}"\n'
    code = code or "from test_methods_of_others import CENTRE\n"
    lay_out(folder, "foreign_method", code, points)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "foreign_method", raising=False)
    monkeypatch.setitem(sys.modules, "test_methods_of_others", sys.modules[__name__])


def test_another_package_s_method_is_found_by_its_entry_point(tmp_path, monkeypatch):
    assert "centre" not in METHODS
    ours = set(METHODS)
    install(tmp_path, monkeypatch)
    assert "centre" in METHODS
    assert list(METHODS) == sorted(ours | {"centre"})
    assert len(METHODS) == len(ours) + 1
    assert METHODS["centre"] == CENTRE
    assert METHODS["centre"].with_parameters({"side": 32, "width": 1}).as_dict() == {
        "side": 32,
        "width": 1.0,
    }


def test_a_name_of_ours_is_never_taken_from_us(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, name="rbd")
    assert METHODS["rbd"] == RBD
    assert list(METHODS).count("rbd") == 1


def test_nor_is_the_name_of_a_network_that_dilo_registers(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, name="unet")
    assert isinstance(METHODS["unet"], NetworkMethod)
    assert list(METHODS).count("unet") == 1


def test_a_method_that_cannot_be_imported_is_named_with_its_package(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, code="import no_such_library\n")
    with pytest.raises(DiloError, match="'centre' of foreign_method cannot be imported: Module"):
        METHODS["centre"]


@pytest.mark.parametrize(
    "code",
    [
        "CENTRE = 5\n",
        "from dilo.pipeline.saliency import NetworkMethod, Parameters\n"
        "CENTRE = NetworkMethod(Parameters(), print)\n",
        "from dilo.pipeline.saliency import Method\nCENTRE = Method({}, print)\n",
    ],
    ids=["no-method", "no-weights", "other-parameters"],
)
def test_what_is_no_method_is_refused(tmp_path, monkeypatch, code):
    install(tmp_path, monkeypatch, code=code)
    with pytest.raises(DiloError, match=r"must be a dilo\.pipeline\.saliency\.Method whose param"):
        METHODS["centre"]


def test_another_package_s_network_is_found_as_its_method_is(tmp_path, monkeypatch):
    code = (
        "from dilo.pipeline.saliency import NetworkMethod, NetworkParameters\n"
        "CENTRE = NetworkMethod(NetworkParameters(side=48), print)\n"
    )
    install(tmp_path, monkeypatch, code=code)
    assert isinstance(METHODS["centre"], NetworkMethod)
    assert METHODS["centre"].as_dict() == {"side": 48, "weights": "", "precision": "fp32"}


def test_ours_are_methods_or_networks_and_no_network_is_imported():
    code = (
        "import sys\n"
        "from dilo.pipeline.saliency import METHODS, NetworkMethod\n"
        "names = list(METHODS)\n"
        "assert not {'torch', 'dilo.train', 'dilo.eval'} & set(sys.modules)\n"
        "print(*(n for n in names if isinstance(METHODS[n], NetworkMethod)))\n"
        "assert not {'torch', 'scipy', 'matplotlib'} & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["basnet", "cam", "contracam", "gradient", "tokencut", "unet"]


def test_an_unknown_name_is_no_key():
    with pytest.raises(KeyError):
        Registry({"ours": RBD})["theirs"]
    assert dict(Registry({"ours": RBD})) == {"ours": RBD}


def test_methods_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RBD.parameters = None

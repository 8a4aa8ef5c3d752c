"""Methods by name: their parameters, and those that another package registers."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from support.plugins import lay_out

from dilo.pipeline.errors import DiloError
from dilo.pipeline.saliency import METHODS, Parameters
from dilo.pipeline.saliency.registry import Later, Method, Registry

RBD = METHODS["rbd"]


def test_other_parameters_make_another_method_and_leave_the_first():
    changed = RBD.changed({"superpixels": 99, "compactness": 7, "geodesic_sigma": [1, 2.5]})
    assert changed.parameters.superpixels == 99
    assert (changed.parameters.compactness, type(changed.parameters.compactness)) == (7.0, float)
    assert changed.parameters.geodesic_sigma == (1.0, 2.5)
    assert changed.values()["geodesic_sigma"] == [1.0, 2.5]
    assert RBD.parameters.superpixels != 99
    assert changed == RBD.changed(changed.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nonsense": 1}, "nonsense must be one of side, frame_reach.*got no such parameter"),
        ({"superpixels": "many"}, "superpixels must be like 250, got 'many'"),
        ({"superpixels": 2.5}, "superpixels must be like 250, got 2.5"),
        ({"superpixels": True}, "superpixels must be like 250, got True"),
        ({"compactness": "20"}, "compactness must be like 20.0, got '20'"),
        ({"geodesic_sigma": [1]}, r"geodesic_sigma must be like \[5.0, 10.0\], got \[1\]"),
        ({"superpixels": 0}, "superpixels must be at least 1 and finite, got 0"),
        ({"side": -3}, "side must be at least 1 and finite, got -3"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"compactness": float("nan")}, "compactness must be at least 0.001 and finite, got nan"),
        ({"smallest_superpixel": -1}, "smallest_superpixel must be at least 0"),
        ({"segmentation": "magic"}, "one of compiled, scikit-image, got 'magic'"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        RBD.changed(values)


def test_a_function_named_for_later_is_imported_when_called():
    code = (
        "import sys\n"
        "from dilo.pipeline.saliency.registry import Later\n"
        "mean = Later('statistics', 'mean')\n"
        "assert 'statistics' not in sys.modules\n"
        "assert mean([1, 3]) == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert Later("math", "hypot")(3, 4) == 5


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
    code = code or "from test_registry_methods import CENTRE\n"
    lay_out(folder, "foreign_method", code, points)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "foreign_method", raising=False)
    monkeypatch.setitem(sys.modules, "test_registry_methods", sys.modules[__name__])


def test_another_package_s_method_is_found_by_its_entry_point(tmp_path, monkeypatch):
    assert "centre" not in METHODS
    ours = set(METHODS)
    install(tmp_path, monkeypatch)
    assert "centre" in METHODS
    assert list(METHODS) == sorted(ours | {"centre"})
    assert len(METHODS) == len(ours) + 1
    assert METHODS["centre"] == CENTRE
    assert METHODS["centre"].changed({"side": 32, "width": 1}).values() == {
        "side": 32,
        "width": 1.0,
    }


def test_a_name_of_ours_is_never_taken_from_us(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, name="rbd")
    assert METHODS["rbd"] == RBD
    assert list(METHODS).count("rbd") == 1


def test_a_method_that_cannot_be_imported_is_named_with_its_package(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, code="import no_such_library\n")
    with pytest.raises(DiloError, match="'centre' of foreign_method cannot be imported: Module"):
        METHODS["centre"]


@pytest.mark.parametrize(
    "code",
    ["CENTRE = 5\n", "from dilo.pipeline.saliency import Method\nCENTRE = Method({}, print)\n"],
    ids=["no-method", "other-parameters"],
)
def test_what_is_no_method_is_refused(tmp_path, monkeypatch, code):
    install(tmp_path, monkeypatch, code=code)
    with pytest.raises(DiloError, match=r"must be a dilo\.pipeline\.saliency\.Method whose param"):
        METHODS["centre"]


def test_an_unknown_name_is_no_key():
    with pytest.raises(KeyError):
        Registry({"ours": RBD})["theirs"]
    assert dict(Registry({"ours": RBD})) == {"ours": RBD}


def test_methods_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RBD.parameters = None

"""Parameters of a step: changed by name, and what does not fit refused."""

import pytest

from dilo.pipeline.saliency import METHODS

RBD = METHODS["rbd"]


def test_other_parameters_make_another_method_and_leave_the_first():
    changed = RBD.with_parameters({"superpixels": 99, "compactness": 7, "geodesic_sigma": [1, 2.5]})
    assert changed.parameters.superpixels == 99
    assert (changed.parameters.compactness, type(changed.parameters.compactness)) == (7.0, float)
    assert changed.parameters.geodesic_sigma == (1.0, 2.5)
    assert changed.as_dict()["geodesic_sigma"] == [1.0, 2.5]
    assert RBD.parameters.superpixels != 99
    assert changed == RBD.with_parameters(changed.as_dict())


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
        ({"compactness": float("nan")}, "compactness must be finite and below 2\\*\\*63, got nan"),
        ({"smallest_superpixel": -1}, "smallest_superpixel must be at least 0"),
        ({"segmentation": "magic"}, "one of compiled, scikit-image, got 'magic'"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        RBD.with_parameters(values)

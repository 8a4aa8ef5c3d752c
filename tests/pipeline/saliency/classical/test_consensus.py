"""Consensus: the geometric mean of RBD's and MC's saliency, nothing more."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skimage import data
from support.photographs import photograph

from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.classical.consensus import consensus
from dilo.pipeline.saliency.classical.mc import mc
from dilo.pipeline.saliency.classical.rbd import rbd
from dilo.pipeline.saliency.parameters import ConsensusParameters, McParameters, RbdParameters

PARAMETERS = ConsensusParameters()
photographs = pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])


def _image(name):
    return squash(getattr(data, name)(), PARAMETERS.side)


def _of(kind, parameters):
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: getattr(parameters, name) for name in names})


def _both(image, parameters):
    return rbd(image, _of(RbdParameters, parameters)), mc(image, _of(McParameters, parameters))


@photographs
@pytest.mark.parametrize("changed", [{}, {"frame_affinity": 40.0, "position_sigma": 0.2}])
def test_it_is_the_stretched_geometric_mean(name, changed):
    parameters = dataclasses.replace(PARAMETERS, **changed)
    robust, absorbed = _both(_image(name), parameters)
    mean = np.sqrt(robust * absorbed)
    expected = (mean - mean.min()) / (mean.max() - mean.min())
    assert_allclose(consensus(_image(name), parameters), expected, atol=1e-12)


@photographs
def test_what_one_of_the_two_finds_not_salient_at_all_is_not(name):
    robust, absorbed = _both(_image(name), PARAMETERS)
    found = consensus(_image(name), PARAMETERS)
    nothing = (robust == 0) | (absorbed == 0)
    assert nothing.any()
    assert found[nothing].max() == 0
    assert (found.min(), found.max()) == pytest.approx((0, 1))


def test_both_read_the_same_superpixels_by_the_same_parameters():
    both = dataclasses.replace(PARAMETERS, superpixels=60, compactness=40.0)
    image = _image("coffee")
    robust, absorbed = _both(image, both)
    values = {(r, a) for r, a in zip(robust.ravel(), absorbed.ravel(), strict=True)}
    assert 30 < len(values) < 90
    assert len(np.unique(consensus(image, both))) <= len(values)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (77, 3, 200)])
def test_nothing_is_salient_in_one_colour(color):
    image = np.full((160, 160, 3), color, np.uint8)
    assert_array_equal(consensus(image, PARAMETERS), 0)


def test_a_disc_on_a_noisy_ground_is_what_is_salient():
    image = photograph(3, 160, 160)
    found = consensus(image, PARAMETERS)
    robust, absorbed = _both(image, PARAMETERS)
    salient = np.minimum(robust, absorbed) > 0.5
    assert 0.05 < salient.mean() < 0.5
    assert found[salient].min() > 0.5
    assert found[[0, -1]].max() < 0.1

"""MC against the paper and its release read literally, in loops, and run."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.graphs import (
    DULL,
    ECSSD,
    PAIRED,
    assert_same_saliency,
    load_golden_mc,
    released_maps,
    renumbered,
    segmented_pictures,
    squares,
)

from dilo.pipeline.saliency.classical.color import mc_color
from dilo.pipeline.saliency.classical.mc import (
    ChainGraph,
    absorbed_saliency,
    absorbed_times,
    affinity,
    chain_graph,
    equilibrium_score,
    mc,
    mc_values,
)
from dilo.pipeline.saliency.classical.superpixels import describe
from dilo.pipeline.saliency.parameters import McParameters

PARAMETERS = McParameters()


def _near(steps):
    """Pairs that at most two steps join."""
    count = len(steps)
    return np.array(
        [
            [
                i != j and (steps[i, j] or any(steps[i, k] and steps[k, j] for k in range(count)))
                for j in range(count)
            ]
            for i in range(count)
        ]
    )


def _graph_literally(labels):
    height, width = labels.shape
    count = labels.max() + 1
    adjacent, steps, boundary = (np.zeros(n, bool) for n in ((count, count),) * 2 + (count,))
    place = dict(np.ndenumerate(labels))
    for (row, column), label in place.items():
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            other = place.get((row + down, column + right), label)
            adjacent[label, other] |= other != label
        boundary[label] |= row in (0, height - 1) or column in (0, width - 1)
    links = [(labels[0, column], labels[-1, column]) for column in range(width)]
    links += [(labels[row, 0], labels[row, -1]) for row in range(height)]
    steps |= adjacent
    for i, j in links:
        if i != j:
            steps[i, j] = steps[j, i] = True
    return ChainGraph(adjacent, _near(steps), boundary)


@given(segmented_pictures())
def test_the_graph_links_what_is_near_and_opposite_sides(picture):
    found, expected = chain_graph(describe(*picture)), _graph_literally(picture[1])
    assert_array_equal(found.adjacent, expected.adjacent)
    assert_array_equal(found.linked, expected.linked)
    assert_array_equal(found.on_boundary, expected.on_boundary)


def _affinity_literally(color, linked):
    count = len(color)
    apart = {
        (i, j): math.dist(color[i], color[j])
        for i, j in itertools.product(range(count), repeat=2)
        if linked[i, j]
    }
    low, high = min(apart.values()), max(apart.values())
    weights = np.eye(count)
    for (i, j), distance in apart.items():
        weights[i, j] = math.exp(-10 * (distance - low) / (high - low)) + 1e-5
    return weights


@given(segmented_pictures())
def test_affinity_falls_with_the_difference_on_the_image_s_own_scale(picture):
    superpixels = describe(*picture)
    color, linked = mc_color(superpixels.rgb), chain_graph(superpixels).linked
    found = affinity(color, linked, PARAMETERS)
    assume(found is not None)
    assert_allclose(found, _affinity_literally(color, linked), rtol=1e-9)


@pytest.mark.parametrize("colors", [[[1, 2, 3]], [[1, 2, 3]] * 4, [[1, 2, 3], [4, 5, 6]]])
def test_affinity_is_none_where_all_links_are_alike(colors):
    linked = ~np.eye(len(colors), dtype=bool)
    assert affinity(np.array(colors, float), linked, PARAMETERS) is None


@st.composite
def chains(draw):
    """Draw affinities of a graph, 1 on the diagonal, and who is adjacent and boundary."""
    count = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    adjacent = np.triu((rng.random((count, count)) < 0.4) | np.eye(count, k=1, dtype=bool), 1)
    adjacent |= adjacent.T
    linked = _near(adjacent)
    weights = np.exp(-10 * rng.random((count, count)) ** draw(st.sampled_from([0.2, 1, 5]))) + 1e-5
    weights = np.triu(weights, 1) * linked
    weights += weights.T + np.eye(count)
    boundary = rng.random(count) < draw(st.sampled_from([0.3, 0.6, 1.0]))
    boundary[0] = True
    return weights, ChainGraph(adjacent, linked, boundary)


def _stretched(values):
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(1, high):  # rounding
        return np.zeros(len(values))
    return np.array([(value - low) / (high - low) for value in values])


def _times_literally(weights, chain, absorbing):
    """Write down the whole chain: transient states first, then all that absorb."""
    degree = weights.sum(axis=1)
    copies = [a for a in chain if absorbing[a]]
    left = [r for r in range(len(weights)) if r not in chain]
    total = [degree[i] + sum(weights[i, a] for a in copies) for i in chain]
    q = np.array([[weights[i, j] / d for j in chain] for i, d in zip(chain, total, strict=True)])
    r = np.array(
        [
            [weights[i, a] / d for a in copies] + [weights[i, x] / d for x in left]
            for i, d in zip(chain, total, strict=True)
        ]
    )
    assert_allclose(q.sum(axis=1) + r.sum(axis=1), 1)  # it is a chain
    fundamental = np.linalg.inv(np.eye(len(chain)) - q)
    rare = [1 / degree[i] for i in chain]
    weighed = fundamental @ [x / sum(rare) for x in rare]
    return fundamental @ np.ones(len(chain)), weighed


def _assert_stretched(actual, raw):
    spread = max(raw) - min(raw)
    # Rounding is stretched along with the values.
    atol = 1e-12 + 1e-13 * max(raw) / spread if spread > 1e-9 * max(1, *raw) else 0
    assert_allclose(actual, _stretched(raw), rtol=0, atol=atol)


def kept(weights, chain):
    """Mark the nodes that are still in the chain."""
    return np.isin(np.arange(len(weights)), chain)


@given(chains(), st.integers(0, 2**32 - 1))
def test_times_are_those_of_the_fundamental_matrix(chain_, seed):
    weights, _ = chain_
    rng = np.random.default_rng(seed)
    chain = np.flatnonzero(rng.random(len(weights)) < 0.8)
    absorbing = np.zeros(len(weights), bool)
    absorbing[chain] = rng.random(len(chain)) < 0.4
    assume(absorbing.any())
    time, weighed = absorbed_times(weights, weights.sum(axis=1), kept(weights, chain), absorbing)
    expected = _times_literally(weights, list(chain), absorbing)
    _assert_stretched(time, expected[0])
    _assert_stretched(weighed, expected[1])


def test_a_walk_takes_as_long_as_found_by_hand():
    # Affinity 1/2, the first node has a copy. Of the weights 1 + 1/2 + 1 at the first, and
    # 1 + 1/2 + 1/2 at the second: 1.5 s - 0.5 t = 2.5 and t - 0.5 s = 2, so s = 2.8, t = 3.4.
    weights = np.array([[1.0, 0.5], [0.5, 1.0]])
    raw, _ = _times_literally(weights, [0, 1], np.array([True, False]))
    assert_allclose(raw, [2.8, 3.4])
    # And a third, which none but the second holds to: 2 t - 0.5 s - 0.5 u = 2.5 at the second.
    weights = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
    chain, absorbing = np.arange(3), np.array([True, False, False])
    time, _ = absorbed_times(weights, weights.sum(axis=1), kept(weights, chain), absorbing)
    s, t, u = np.linalg.solve(
        [[1.5, -0.5, 0.0], [-0.5, 1.5, -0.5], [0.0, -0.5, 0.5]], [2.5, 2.5, 1.5]
    )
    assert_allclose(time, [0, (t - s) / (u - s), 1], atol=1e-12)


def _score_literally(time):
    share = [0.0] * 10
    for y in time:
        share[min(math.floor(10 * y), 9)] += 1 / len(time)
    return sum(h * min(b, 11 - b) for b, h in enumerate(share, start=1))


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]), min_size=1))
def test_the_score_tells_how_much_lies_in_the_middle(time):
    assert math.isclose(equilibrium_score(np.array(time)), _score_literally(time))


def test_the_score_runs_from_one_to_five():
    assert equilibrium_score(np.array([0.0, 0.05, 0.95, 1.0])) == 1
    assert equilibrium_score(np.array([0.45, 0.55])) == 5


def _literally(weights, graph, parameters):
    """Read the release one superpixel at a time."""
    count = len(weights)
    degree = weights.sum(axis=1)
    everyone = range(count)
    outliers = {i for i in everyone if degree[i] < parameters.outlier_degree}
    boundary = {i for i in everyone if graph.on_boundary[i]}
    inwards = sum(
        weights[i, j]
        for i, j in itertools.product(boundary, everyone)
        if j not in boundary and graph.adjacent[i, j]
    )
    frame = set()
    if inwards <= parameters.frame_affinity and len(boundary) < count:
        frame = boundary
        boundary = {
            j
            for i, j in itertools.product(frame, everyone)
            if j not in frame and graph.adjacent[i, j]
        }
    chain = [i for i in everyone if i not in outliers | frame]
    absorbing = np.array([i in boundary and i in chain for i in everyone])
    saliency = np.zeros(count)
    if absorbing.any():
        time, weighed = (_stretched(raw) for raw in _times_literally(weights, chain, absorbing))
        score = _score_literally(time)
        assume(abs(score - parameters.equilibrium_score) > 1e-9)  # or rounding decides
        saliency[chain] = time if score < parameters.equilibrium_score else weighed
        for i in sorted(outliers):
            around = [saliency[j] for j in everyone if graph.adjacent[i, j]]
            saliency[i] = float(any(s > parameters.outlier_saliency for s in around))
    return saliency


@given(
    chains(),
    st.sampled_from([0.0, 1.1, 1.5]),
    st.sampled_from([0.0, 0.5, 13.0]),
    st.sampled_from([1.0, 2.0, 6.0]),
    st.sampled_from([0.1, 0.3]),
)
def test_saliency_equals_the_release_read_one_superpixel_at_a_time(
    chain, outlier, frame, score, salient
):
    weights, graph = chain
    parameters = McParameters(
        outlier_degree=outlier,
        frame_affinity=frame,
        equilibrium_score=score,
        outlier_saliency=salient,
    )
    found = absorbed_saliency(weights, graph, parameters)
    assert_allclose(found, _literally(weights, graph, parameters), atol=1e-5)


def test_where_all_is_boundary_none_of_it_is_a_frame():
    # The fourth is an outlier, to which the others hold more or less.
    weights = np.full((4, 4), 0.5)
    np.fill_diagonal(weights, 1)
    weights[3, :3] = weights[:3, 3] = (0.01, 0.03, 0.02)
    everyone = ~np.eye(4, dtype=bool)
    graph = ChainGraph(everyone, everyone, np.ones(4, bool))
    found = absorbed_saliency(weights, graph, PARAMETERS)
    _, weighed = _times_literally(weights, [0, 1, 2], np.array([True, True, True, False]))
    assert_allclose(found[:3], _stretched(weighed), atol=1e-9)
    assert found.tolist()[:2] == [1, 0]


def test_an_outlier_is_salient_beside_what_is():
    colors = np.full((7, 7, 3), (30, 60, 90))
    colors[2:5, 2:5] = (200, 150, 40)
    colors[3, 3], colors[0, 0] = (255, 0, 255), (0, 255, 0)
    superpixels = describe(*squares(colors, 3))
    graph = chain_graph(superpixels)
    weights = affinity(mc_color(superpixels.rgb), graph.linked, PARAMETERS)
    degree = weights.sum(axis=1)
    assert set(np.flatnonzero(degree < 1.1)) == {0, 24}
    found = absorbed_saliency(weights, graph, McParameters(frame_affinity=1.0))
    assert found[24] == 1
    assert found[0] == 0


def test_what_hardly_holds_to_its_inside_is_a_frame():
    colors = np.full((8, 8, 3), 250)
    colors[1:-1, 1:-1] = (60, 90, 60)
    colors[3:5, 3:5] = (200, 60, 40)
    superpixels = describe(*squares(colors))
    found = mc_values(superpixels, PARAMETERS).reshape(8, 8)
    assert found[[0, -1]].max() == found[:, [0, -1]].max() == 0
    assert found[3:5, 3:5].min() > 0.9
    assert found[1].max() < 0.5


@given(segmented_pictures(), st.integers(0, 2**32 - 1))
def test_the_numbering_of_superpixels_does_not_matter(picture, seed):
    superpixels, again, order = renumbered(picture, seed)
    graph = chain_graph(superpixels)
    weights = affinity(mc_color(superpixels.rgb), graph.linked, PARAMETERS)
    if weights is not None:  # of outliers that touch, the first may make the second salient
        outlier = weights.sum(axis=1) < PARAMETERS.outlier_degree
        assume(not graph.adjacent[np.ix_(outlier, outlier)].any())
    saliency = mc_values(superpixels, PARAMETERS)
    assert saliency.min() >= 0
    assert saliency.max() <= 1
    assert_same_saliency(mc_values(again, PARAMETERS)[order], saliency)


@pytest.mark.parametrize("name", DULL)
def test_nothing_is_salient_where_all_is_one_colour(name):
    assert_array_equal(mc_values(describe(*DULL[name]), PARAMETERS), 0)


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("frame", [0.0, 13.0])
def test_few_superpixels_or_colours_have_a_saliency(name, frame):
    saliency = mc_values(describe(*PAIRED[name]), McParameters(frame_affinity=frame))
    assert np.isfinite(saliency).all()
    assert saliency.min() == 0
    assert saliency.max() <= 1


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_every_step_gives_what_the_release_gave(number):
    golden = load_golden_mc(number)
    values, superpixels = golden.values, golden.superpixels
    graph = chain_graph(superpixels)
    outliers = values["DiscardPos"].astype(int) - 1
    on_boundary = graph.on_boundary.copy()
    on_boundary[outliers] = False
    assert_array_equal(on_boundary, values["EdgSup"] == 1)
    assert_array_equal(graph.linked, values["W"] * ~np.eye(len(superpixels), dtype=bool) > 0)
    weights = affinity(mc_color(superpixels.rgb), graph.linked, PARAMETERS)
    assert_allclose(weights, values["W"], atol=1e-12)
    degree = weights.sum(axis=1)
    assert_array_equal(np.flatnonzero(degree < PARAMETERS.outlier_degree), outliers)
    chain = np.delete(np.arange(len(superpixels)), outliers)
    time, weighed = absorbed_times(weights, degree, kept(weights, chain), on_boundary)
    score = equilibrium_score(time)
    assert_allclose(score, values["Entropy"], rtol=1e-12)
    assert_allclose(weighed if score >= 2 else time, values["Sal"], atol=1e-9)
    found = mc_values(superpixels, PARAMETERS)
    assert_allclose(found[chain], values["Sal"], atol=1e-9)
    assert_array_equal(np.floor(255 * found + 0.5), values["level"])


def test_the_golden_images_take_both_ways_to_a_saliency():
    scores = [load_golden_mc(number).values["Entropy"] for number in ("0450", "0850")]
    assert min(scores) < PARAMETERS.equilibrium_score < max(scores)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (1, 4), (2, 6)])
def test_nothing_is_salient_where_all_is_boundary(shape):
    # From everywhere the walk is absorbed in two steps, for all that rounding may say.
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (2, 3))[np.indices(shape).sum(axis=0) % 2]
    assert mc_values(describe(*squares(colors)), PARAMETERS).max() == 0


def test_a_square_on_a_plain_ground_is_all_that_is_salient():
    image = np.full((224, 224, 3), (40, 60, 160), np.uint8)
    image[64:160, 80:144] = (220, 180, 40)
    saliency = mc(image, PARAMETERS)
    assert saliency[70:154, 86:138].min() > 0.9
    assert saliency[:40].max() < 0.1
    assert saliency[:, :50].max() < 0.1


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside the repository")
def test_maps_of_photographs_are_the_release_s_in_every_pixel():
    for values, image, released in released_maps("mid_mc", "mc"):
        superpixels = describe(image, values["Label"].astype(np.int32))
        weights = affinity(mc_color(superpixels.rgb), chain_graph(superpixels).linked, PARAMETERS)
        assert_allclose(weights, values["W"], atol=1e-12)
        found = mc_values(superpixels, PARAMETERS)[superpixels.labels]
        assert_array_equal(np.floor(255 * found + 0.5), released)

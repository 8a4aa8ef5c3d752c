"""Gradients and class activation maps against their definitions, one number at a time."""

from pathlib import Path

import pytest
import torch
from support.classifiers import MODEL, WIDTH, narrow_trunk
from torch import nn

from dilo.eval.attribution.maps import attribution_maps, class_activations, predicted
from dilo.eval.models.classifier import Classifier
from dilo.eval.models.encoder import Encoder
from dilo.eval.models.two_stream import TwoStream
from dilo.pipeline.errors import CheckpointError
from dilo.train.augment.color import to_color_space
from dilo.train.networks.encoder import feature_map
from dilo.train.networks.timm_encoder import TimmEncoder

SIDE = 16


def classifier_of(network, width, space="rgb"):
    encoder = Encoder(network, SIDE, Path("c.pt"), space=space, model=MODEL)
    return Classifier(encoder, torch.randn(4, width), torch.randn(4))


@pytest.fixture
def made():
    """Draw a classifier of four classes on 128 features, three images and a class for each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        yield (
            classifier_of(narrow_trunk(), WIDTH),
            torch.rand(3, 3, SIDE, SIDE),
            torch.tensor([2, 0, 3]),
        )


@pytest.fixture
def paired():
    """Draw the same for a pair that sees Lab."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        network = TwoStream(narrow_trunk(1), narrow_trunk(2)).eval()
        images = torch.rand(2, 3, SIDE, SIDE)
        yield classifier_of(network, 2 * WIDTH, "lab"), images, torch.tensor([1, 3])


def score(classifier, seen, which):
    """Score one class of one image, as the network sees it."""
    features = classifier.encoder.network(seen[None])[0]
    return classifier.weight[which] @ features + classifier.bias[which]


@pytest.mark.parametrize("kind", ["made", "paired"])
def test_the_gradient_is_that_of_each_image_alone_where_the_network_sees_it(kind, request):
    classifier, images, classes = request.getfixturevalue(kind)
    maps = attribution_maps(classifier, images, "gradient", classes)
    assert (maps.shape, maps.dtype) == ((len(images), SIDE, SIDE), torch.float32)
    for image, which, found in zip(images, classes, maps, strict=True):
        seen = to_color_space(image[None], classifier.encoder.space)[0].requires_grad_()
        score(classifier, seen, which).backward()
        expected = torch.stack([channel.abs() for channel in seen.grad]).max(0).values
        torch.testing.assert_close(found, expected)
        assert float(found.std()) > 0


def test_the_gradient_is_what_a_small_change_of_a_channel_does_to_the_score(made):
    classifier, images, classes = made
    classifier.encoder.network.double()
    exact = Classifier(classifier.encoder, classifier.weight.double(), classifier.bias.double())
    image, which, small = images[0].double(), int(classes[0]), 1e-6
    (found,) = attribution_maps(exact, image[None], "gradient", classes[:1])
    seen = to_color_space(image[None], "rgb")[0]
    for row, column in ((0, 0), (7, 9), (15, 3)):
        slopes = []
        for channel in range(3):
            step = torch.zeros_like(seen)
            step[channel, row, column] = small
            change = score(exact, seen + step, which) - score(exact, seen - step, which)
            slopes.append(abs(float(change)) / (2 * small))
        assert float(found[row, column]) == pytest.approx(max(slopes), rel=1e-5)


def test_an_activation_map_weighs_the_channels_of_each_cell(made):
    classifier, images, classes = made
    maps = feature_map(classifier.encoder.network, to_color_space(images, "rgb"))
    found = class_activations(classifier, images, classes)
    assert found.shape == (3, 1, 2, 2)
    for b, which in enumerate(classes):
        for y in range(2):
            for x in range(2):
                terms = [
                    float(classifier.weight[which, k]) * float(maps[b, k, y, x])
                    for k in range(WIDTH)
                ]
                assert float(found[b, 0, y, x]) == pytest.approx(sum(terms), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", ["made", "paired"])
def test_the_mean_of_the_cells_and_the_bias_are_the_score(kind, request):
    classifier, images, classes = request.getfixturevalue(kind)
    cells = class_activations(classifier, images, classes)
    scores = classifier.scores(images).gather(1, classes[:, None])[:, 0]
    means = cells.mean((2, 3)).sum(1)
    torch.testing.assert_close(means + classifier.bias[classes], scores)


def test_a_pair_has_a_map_of_luminance_and_one_of_colours_and_their_sum_is_the_map(paired):
    classifier, images, classes = paired
    seen = to_color_space(images, "lab")
    light = feature_map(classifier.encoder.network.l_to_ab, seen[:, :1])
    colour = feature_map(classifier.encoder.network.ab_to_l, seen[:, 1:])
    cells = class_activations(classifier, images, classes)
    assert cells.shape == (2, 2, 2, 2)
    for b, which in enumerate(classes):
        first, second = classifier.weight[which][:WIDTH], classifier.weight[which][WIDTH:]
        torch.testing.assert_close(cells[b, 0], torch.einsum("k,kyx->yx", first, light[b]))
        torch.testing.assert_close(cells[b, 1], torch.einsum("k,kyx->yx", second, colour[b]))
    maps = attribution_maps(classifier, images, "cam", classes)
    torch.testing.assert_close(maps, _stretched(cells[:, 0] + cells[:, 1]))


def test_an_activation_map_is_stretched_bilinearly_between_the_middles_of_its_cells(made):
    classifier, images, classes = made
    cells = class_activations(classifier, images, classes)[:, 0]
    maps = attribution_maps(classifier, images, "cam", classes)
    assert (maps.shape, maps.dtype) == ((3, SIDE, SIDE), torch.float32)
    torch.testing.assert_close(maps, _stretched(cells))
    assert torch.equal(maps[:, 0, 0], cells[:, 0, 0])


def _stretched(cells):
    """Stretch (B, h, w) to the image's side, weight by weight; the border goes on flat."""
    height = cells.shape[1]
    places = (torch.arange(SIDE) + 0.5) * height / SIDE - 0.5
    weights = (1 - (places[:, None] - torch.arange(height)).abs()).clamp(min=0)
    weights[places < 0, 0] = 1
    weights[places > height - 1, -1] = 1
    return weights @ cells @ weights.T


@pytest.mark.parametrize("method", ["gradient", "cam"])
@pytest.mark.parametrize("kind", ["made", "paired"])
def test_a_batch_gives_what_its_images_give_one_by_one(method, kind, request):
    classifier, images, classes = request.getfixturevalue(kind)
    together = attribution_maps(classifier, images, method, classes)
    for i in range(len(images)):
        alone = attribution_maps(classifier, images[i : i + 1], method, classes[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["gradient", "cam"])
def test_maps_leave_network_and_images_as_they_were(made, method):
    classifier, images, classes = made
    before = {k: v.clone() for k, v in classifier.encoder.network.state_dict().items()}
    copy = images.clone()
    with torch.no_grad():  # which a caller may be in
        maps = attribution_maps(classifier, images, method, classes)
    assert not maps.requires_grad
    assert torch.equal(images, copy)
    after = classifier.encoder.network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert all(p.grad is None for p in classifier.encoder.network.parameters())


def test_the_predicted_class_has_the_highest_score(made):
    classifier, images, _ = made
    expected = [max(range(4), key=lambda c, s=s: float(s[c])) for s in classifier.scores(images)]
    assert predicted(classifier, images).tolist() == expected


class Tokens(nn.Module):
    """What of a vision transformer matters here: features that are no map."""

    def forward(self, images):
        return images.mean(3).flatten(1)[:, :8]

    def forward_features(self, images):
        return images.flatten(2)[:, :, :8].transpose(1, 2)


def test_a_network_without_maps_has_a_gradient_and_no_activation_map(made):
    _, images, classes = made
    classifier = classifier_of(TimmEncoder(Tokens(), 8, nn.Identity()), 8)
    assert attribution_maps(classifier, images, "gradient", classes).shape == (3, SIDE, SIDE)
    with pytest.raises(CheckpointError, match=r"c\.pt must have feature maps .* the gradient"):
        attribution_maps(classifier, images, "cam", classes)

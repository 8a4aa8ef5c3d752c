"""Two backbones as one, and either alone: what each sees and what comes out."""

import pytest
import torch
from support.foreign import network
from torch.nn.functional import cosine_similarity

from dilo.eval.models.encoder import Encoder
from dilo.eval.models.two_stream import SingleStream, TwoStream
from dilo.train.networks.encoder import feature_map, pooled_features


def halves():
    return [network(channels=channels, seed=channels) for channels in (1, 2)]


def test_each_backbone_sees_its_own_channels():
    first, second = halves()
    (one, luminance), (two, colours) = TwoStream(first, second).streams(torch.rand(2, 3, 16, 16))
    assert (one, two) == (first, second)
    assert (luminance.shape[1], colours.shape[1]) == (1, 2)


def test_the_cosine_of_embeddings_is_the_mean_of_the_halves():
    first, second = halves()
    images = torch.rand(2, 3, 32, 32)
    found = TwoStream(first, second)(images)
    means = sum(
        cosine_similarity(*net(part), dim=0)
        for net, part in ((first, images[:, :1]), (second, images[:, 1:]))
    )
    torch.testing.assert_close(cosine_similarity(*found, dim=0), means / 2)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_half_alone_sees_what_it_sees_in_the_pair(channels, tmp_path):
    images = torch.rand(2, 3, 32, 32)
    made = halves()
    for half in made:
        half.fc = torch.nn.Identity()
    alone = SingleStream(made[channels - 1], channels)
    expected = TwoStream(*made)(images)[:, 128 * (channels - 1) : 128 * channels]
    assert torch.equal(alone(images), expected)
    (maps,) = Encoder(alone, 32, tmp_path, space="unit").feature_maps(images)
    part = images[:, :1] if channels == 1 else images[:, 1:]
    assert torch.equal(maps, feature_map(made[channels - 1], part))
    torch.testing.assert_close(maps.mean((2, 3)), pooled_features(made[channels - 1], part))

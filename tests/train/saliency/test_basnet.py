"""BASNet against the published list of its tensors, and against its definition read literally."""

import pytest
import torch
from support import basnet_reference
from support.golden import GOLDEN
from support.salientnetworks import WIDTH, basnet, double
from torch import nn
from torchvision.models import resnet34

from dilo.pipeline.errors import CheckpointError
from dilo.train.saliency.basnet import BASNet, load_encoder


def published():
    """Read the list: names and shapes."""
    lines = (GOLDEN / "basnet-state-dict.txt").read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return [(name, tuple(map(int, shape))) for name, *shape in rows]


def shapes(network):
    return [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]


def encoder_state(network):
    """Give the encoder by the names of torchvision."""
    state = network.state_dict().items()
    return {k.replace("encoder", "layer"): v.clone() for k, v in state if k.startswith("encoder")}


@pytest.fixture(scope="module")
def whole():
    """Build the network as wide as it was published, without memory."""
    with torch.device("meta"):
        return BASNet()


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_names_shapes_and_order_are_the_published_ones(whole):
    expected = published()
    assert len(expected) == 517
    assert shapes(whole) == expected


def test_parameters_and_layers_are_as_many_as_published(whole):
    assert sum(p.numel() for p in whole.parameters()) == 87_060_360
    assert len(list(whole.parameters())) == 283
    assert sum(isinstance(m, nn.BatchNorm2d) for m in whole.modules()) == 78
    assert sum(isinstance(m, nn.Conv2d) for m in whole.modules()) == 87


def test_a_narrower_network_has_the_same_names_and_a_share_of_the_channels(whole):
    def narrowed(side):
        return side * WIDTH // 64 if side >= 64 else side

    assert shapes(BASNet(WIDTH)) == [(k, tuple(map(narrowed, s))) for k, s in shapes(whole)]


def test_all_eight_maps_are_those_of_the_definition_read_layer_by_layer(images):
    network = basnet()
    expected = basnet_reference.logits(double(network), images.double())
    found = network(images)
    assert len(found) == len(expected) == 8
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.shape == (2, 1, 64, 96)
        assert wanted.std() > 0.02  # or there would be little to compare
        torch.testing.assert_close(actual.double(), wanted, rtol=1e-4, atol=1e-4 * wanted.std())


def test_every_parameter_learns(images):
    network = basnet().train().requires_grad_(True)
    sum(logit.square().mean() for logit in network(images)).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("size", [(64, 80), (240, 64)])
def test_a_side_that_cannot_be_halved_five_times_is_refused(size):
    with pytest.raises(ValueError, match=rf"multiples of 32, got \({size[0]}, {size[1]}\)"):
        basnet()(torch.zeros(1, 3, *size))


def test_the_encoder_of_a_resnet_34_is_taken_and_nothing_else_changes():
    network, other = basnet(seed=1), basnet(seed=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_encoder(network, encoder_state(other) | {"fc.weight": torch.zeros(2, 2)})
    for name, value in network.state_dict().items():
        source = other.state_dict() if name.startswith("encoder") else before
        assert torch.equal(value, source[name]), name


def test_the_encoder_computes_what_the_layers_of_torchvision_do(whole):
    resnet = resnet34(weights=None).eval()
    load_encoder(whole, resnet.state_dict())
    seen = expected = torch.randn(1, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    for n in range(1, 5):
        seen = getattr(whole, f"encoder{n}").eval()(seen)
        expected = getattr(resnet, f"layer{n}")(expected)
        assert torch.equal(seen, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda s: s.pop("layer2.0.downsample.0.weight"),
            r"named as torchvision does, got no layer2\.0\.downsample\.0\.weight: take another",
            id="missing",
        ),
        pytest.param(
            lambda s: s.update({f"layer3.6.conv{i}.weight": torch.zeros(1) for i in range(4)}),
            r"got the unknown layer3\.6\.conv0\.weight, layer3\.6\.conv1\.weight, "
            r"layer3\.6\.conv2\.weight and 1 more:",
            id="deeper",
        ),
        pytest.param(
            lambda s: s.update({"layer1.0.conv1.weight": torch.zeros(8, 8, 1, 1)}),
            r"got layer1\.0\.conv1\.weight of shape \(8, 8, 1, 1\) instead of \(8, 8, 3, 3\):",
            id="bottleneck",
        ),
        pytest.param(
            lambda s: s["layer4.2.bn2.bias"].fill_(torch.nan),
            r"got layer4\.2\.bn2\.bias with values that are not finite:",
            id="nan",
        ),
        pytest.param(dict.clear, r"got no layer1\.0\.conv1\.weight, .* and 172 more:", id="empty"),
    ],
)
def test_what_is_no_resnet_34_is_refused_by_its_first_names(change, message):
    network = basnet()
    before = network.encoder1[0].conv1.weight.clone()
    state = encoder_state(network)
    change(state)
    with pytest.raises(CheckpointError, match=f"^FILE must hold layer1 to layer4 .*{message}"):
        load_encoder(network, state, "FILE")
    assert torch.equal(network.encoder1[0].conv1.weight, before)

"""The numbers of the protocols, and the learning rates that follow from them."""

import math

import pytest

from dilo.eval.linear.protocols import (
    PROTOCOLS,
    describe,
    deviations,
    learning_rate,
    with_overrides,
)


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "lr", "decay", "crop", "weight_decay"),
    [
        ("paper", 100, 256, 30, 0.1, 0.08, 0),
        ("moco", 100, 256, 30, 0.1, 0.08, 0),
        ("cmc", 60, 256, 30, 0.2, 0.08, 0),
        ("pycontrast", 60, 256, 30, 0.2, 0.2, 0),
        ("simclr", 90, 4096, 0.1 * 4096 / 256, 1, 0.08, 1e-6),
    ],
)
def test_each_protocol_has_the_numbers_published(
    name, epochs, batch, lr, decay, crop, weight_decay
):
    protocol = PROTOCOLS[name]
    assert protocol.name == name
    assert (protocol.epochs, protocol.batch, protocol.lr) == (epochs, batch, lr)
    assert (protocol.decay, protocol.crop_scale) == (decay, (crop, 1.0))
    assert (protocol.weight_decay, protocol.momentum, protocol.flip) == (weight_decay, 0.9, 0.5)
    assert protocol.nesterov == (name == "simclr")
    assert protocol.init_std == (0.0 if name == "simclr" else 0.01)


@pytest.mark.parametrize(
    ("name", "milestones"),
    [("paper", (30, 60, 90)), ("moco", (60, 80)), ("cmc", (30, 40, 50)), ("pycontrast", ())],
)
def test_the_rate_falls_as_the_repositories_loops_have_it(name, milestones):
    protocol = PROTOCOLS[name]
    for epoch in range(protocol.epochs):
        expected = 30.0
        for milestone in milestones or (30, 40, 50):
            expected *= protocol.decay if epoch >= milestone else 1.0
        for share in (0, 0.5, 0.999):
            assert learning_rate(protocol, epoch + share) == pytest.approx(expected, rel=1e-12)


def test_simclrs_rate_falls_along_half_a_cosine_step_by_step():
    found = [learning_rate(PROTOCOLS["simclr"], passed) for passed in (0, 22.5, 45, 67.5, 90)]
    half = math.sqrt(0.5)
    expected = [1.6, 0.8 * (1 + half), 0.8, 0.8 * (1 - half), 0]
    assert found == pytest.approx(expected, abs=1e-12)


def test_decays_keep_their_share_of_fewer_epochs_also_within_one():
    short = with_overrides(PROTOCOLS["paper"], epochs=1)
    assert short.milestones == (0.3, 0.6, 0.9)
    found = [learning_rate(short, passed) for passed in (0, 0.29, 0.3, 0.6, 0.95)]
    assert found == pytest.approx([30, 30, 3, 0.3, 0.03])


def test_the_rate_grows_with_the_batch_unless_it_is_given():
    assert with_overrides(PROTOCOLS["moco"], batch=1024).lr == 120
    assert with_overrides(PROTOCOLS["simclr"], batch=256).lr == pytest.approx(0.1)
    assert with_overrides(PROTOCOLS["moco"], batch=1024, lr=7).lr == 7


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_an_unaltered_protocol_is_the_protocol(name):
    protocol = PROTOCOLS[name]
    given = with_overrides(protocol, epochs=protocol.epochs, batch=protocol.batch, lr=protocol.lr)
    assert given == with_overrides(protocol) == protocol
    assert deviations(given) == []


def test_deviations_name_every_number_that_differs():
    assert deviations(with_overrides(PROTOCOLS["moco"], epochs=10, batch=128)) == [
        "epochs 10 instead of 100",
        "batch 128 instead of 256",
        "lr 15 instead of 30",
        "milestones 6, 8 instead of 60, 80",
    ]
    words = describe(with_overrides(PROTOCOLS["simclr"], epochs=1, batch=256))
    assert words == "simclr: 1 epoch, batch 256, lr 0.1, along half a cosine"

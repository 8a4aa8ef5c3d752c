"""Protocols of the linear probe: every number of each, and the learning rate of each moment."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a linear layer is trained on the pooled, not normalised features of a frozen trunk.

    Attributes
    ----------
    name : str
        Whose it is.
    epochs, batch : int
        Passes over the training images, and images of a step.
    lr : float
        The learning rate at the beginning, for `batch`.
    schedule : {"step", "cosine"}
        Whether the rate falls at milestones, or along half a cosine, step by step.
    milestones : tuple of float
        Epochs, counted from 0, from which the rate is `decay` of what it was.
    decay : float
        Factor of the rate at a milestone.
    momentum, weight_decay : float
        Of SGD.
    nesterov : bool
        Whether the momentum is Nesterov's.
    crop_scale : (float, float)
        Range of a training crop's area, as a share of the image's.
    flip : float
        Probability that a training crop is mirrored.
    init_std : float
        Standard deviation of the weights at the beginning; the biases are 0.
    """

    name: str
    epochs: int = 100
    batch: int = 256
    lr: float = 30.0
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[float, ...] = (60.0, 80.0)
    decay: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    crop_scale: tuple[float, float] = (0.08, 1.0)
    flip: float = 0.5
    init_std: float = 0.01


_CMC = Protocol(name="cmc", epochs=60, milestones=(30.0, 40.0, 50.0), decay=0.2)

#: The paper's says only "100 epochs, lr 30, decay every 30": the rest is MoCo's. SimCLR's rate is
#: 0.1 for a batch of 256, scaled to 4096; its layer begins at zero.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(name="paper", milestones=(30.0, 60.0, 90.0)),
        Protocol(name="moco"),
        _CMC,
        dataclasses.replace(_CMC, name="pycontrast", crop_scale=(0.2, 1.0)),
        Protocol(
            name="simclr",
            epochs=90,
            batch=4096,
            lr=1.6,
            schedule="cosine",
            milestones=(),
            decay=1.0,
            nesterov=True,
            weight_decay=1e-6,
            init_std=0.0,
        ),
    )
}


def altered(
    protocol: Protocol,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
) -> Protocol:
    """Change a protocol, and what follows from the change.

    Parameters
    ----------
    protocol : Protocol
        As published.
    epochs : int, optional
        Another number of epochs; the milestones keep their share of them.
    batch : int, optional
        Another batch; the learning rate grows with it.
    lr : float, optional
        Another learning rate, whatever the batch.

    Returns
    -------
    Protocol
        Equal to `protocol` where nothing changes.

    Examples
    --------
    >>> short = altered(PROTOCOLS["moco"], epochs=10, batch=128)
    >>> short.milestones, short.lr
    ((6.0, 8.0), 15.0)
    """
    epochs, batch = epochs or protocol.epochs, batch or protocol.batch
    return dataclasses.replace(
        protocol,
        epochs=epochs,
        batch=batch,
        lr=protocol.lr * batch / protocol.batch if lr is None else lr,
        milestones=tuple(epoch * epochs / protocol.epochs for epoch in protocol.milestones),
    )


def rate(protocol: Protocol, passed: float) -> float:
    """Give the learning rate of a step.

    Parameters
    ----------
    protocol : Protocol
        Rate, schedule and epochs.
    passed : float
        Epochs passed before the step: steps taken over steps an epoch.

    Returns
    -------
    float
        What SGD multiplies with.

    Examples
    --------
    >>> [round(rate(PROTOCOLS["cmc"], passed), 6) for passed in (0, 29.99, 30, 59)]
    [30.0, 30.0, 6.0, 0.24]
    """
    if protocol.schedule == "cosine":
        return protocol.lr * 0.5 * (1 + math.cos(math.pi * passed / protocol.epochs))
    return protocol.lr * protocol.decay ** sum(passed >= epoch for epoch in protocol.milestones)


def departures(protocol: Protocol) -> list[str]:
    """Say what of a protocol is not as published.

    Parameters
    ----------
    protocol : Protocol
        As `altered` gives it.

    Returns
    -------
    list of str
        One a number: "epochs 1 instead of 100". Empty where it is the protocol.
    """
    asked, published = _values(protocol), _values(PROTOCOLS[protocol.name])
    return [
        f"{name} {_words(asked[name])} instead of {_words(published[name])}"
        for name in asked
        if asked[name] != published[name]
    ]


def protocol_words(protocol: Protocol) -> str:
    """Say a protocol in one line.

    Parameters
    ----------
    protocol : Protocol
        Any.

    Returns
    -------
    str
        For the log.

    Examples
    --------
    >>> protocol_words(PROTOCOLS["moco"])
    'moco: 100 epochs, batch 256, lr 30, times 0.1 after epochs 60, 80'
    """
    falls = (
        "along half a cosine"
        if protocol.schedule == "cosine"
        else f"times {protocol.decay:g} after epochs {_words(protocol.milestones)}"
    )
    epochs = "1 epoch" if protocol.epochs == 1 else f"{protocol.epochs} epochs"
    return f"{protocol.name}: {epochs}, batch {protocol.batch}, lr {protocol.lr:g}, {falls}"


def _values(protocol: Protocol) -> dict[str, Any]:
    """Name the numbers."""
    return dataclasses.asdict(protocol)


def _words(value: object) -> str:
    """Write a number, or several."""
    if isinstance(value, tuple):
        return ", ".join(map(_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Protocols of the linear probe: every number of each, and the learning rate of each moment."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a linear layer is trained on the pooled, not normalized features of a frozen backbone."""

    #: Whose it is.
    name: str
    #: Passes over the training images.
    epochs: int = 100
    #: Images of a step.
    batch: int = 256
    #: The learning rate at the beginning, for `batch`.
    lr: float = 30.0
    #: Whether the rate falls at milestones, or along half a cosine, step by step.
    schedule: Literal["step", "cosine"] = "step"
    #: Epochs, counted from 0, from which the rate is `decay` of what it was.
    milestones: tuple[float, ...] = (60.0, 80.0)
    decay: float = 0.1
    #: Of SGD.
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    #: Range of a training crop's area, as a share of the image's.
    crop_scale: tuple[float, float] = (0.08, 1.0)
    #: Probability that a training crop is mirrored.
    flip: float = 0.5
    #: Standard deviation of the weights at the beginning; the biases are 0.
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


def with_overrides(
    protocol: Protocol,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
) -> Protocol:
    """Change a protocol, and what follows from the change.

    The milestones keep their share of the epochs; the learning rate grows with the batch, unless
    it is given itself.

    Examples
    --------
    >>> short = with_overrides(PROTOCOLS["moco"], epochs=10, batch=128)
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


def learning_rate(protocol: Protocol, passed: float) -> float:
    """Give the learning rate of a step, before which `passed` epochs, or parts of one, were passed.

    Examples
    --------
    >>> [round(learning_rate(PROTOCOLS["cmc"], passed), 6) for passed in (0, 29.99, 30, 59)]
    [30.0, 30.0, 6.0, 0.24]
    """
    if protocol.schedule == "cosine":
        return protocol.lr * 0.5 * (1 + math.cos(math.pi * passed / protocol.epochs))
    return protocol.lr * protocol.decay ** sum(passed >= epoch for epoch in protocol.milestones)


def deviations(protocol: Protocol) -> list[str]:
    """Say what of a protocol is not as published, as "epochs 1 instead of 100"."""
    used, published = _values(protocol), _values(PROTOCOLS[protocol.name])
    return [
        f"{name} {_words(used[name])} instead of {_words(published[name])}"
        for name in used
        if used[name] != published[name]
    ]


def describe(protocol: Protocol) -> str:
    """Say a protocol in one line.

    Examples
    --------
    >>> describe(PROTOCOLS["moco"])
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

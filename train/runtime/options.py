"""How a run uses the machine."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from dilo.train.runtime.devices import Precision


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run uses the machine; nothing here changes what is learnt, but for rounding."""

    #: Where the network is.
    device: torch.device
    #: Processes of each rank that decode and crop.
    workers: int
    #: Of matrix products and convolutions.
    precision: Precision = "fp32"
    #: Whether torch.compile makes kernels of the networks that a method calls.
    compile: bool = False
    #: Whether the device adds in the same order each time, which is slower.
    deterministic: bool = False
    #: Parts of a rank's share of a batch that are taken one after the other, their gradients added,
    #: where the whole does not fit the device.
    accumulate: int = 1
    #: Whether to go on from the run's newest checkpoint: where there is one; or stop where there is
    #: none; or stop where there is one.
    resume: Literal["auto", "must", "never"] = "auto"
    #: A checkpoint is written at least this often, besides one at the end of an epoch.
    checkpoint_minutes: float = 15.0
    #: Checkpoints of every so many epochs stay, besides the newest two; 0 keeps none.
    keep_every: int = 0
    #: A line of metrics.jsonl every so many steps.
    log_every: int = 10
    #: Whether the metrics are also written for TensorBoard.
    tensorboard: bool = False
    #: A kNN read-out after every so many epochs; 0 for none.
    knn_every: int = 0
    #: Class folders of the images that it classifies; a part of the training images unless given.
    knn_test: Path | None = None
    #: Stop at the end of the step after so many minutes, with a checkpoint.
    max_minutes: float = math.inf

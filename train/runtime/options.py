"""How a run uses the machine."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from dilo.train.runtime.devices import Precision


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a run uses the machine; nothing here changes what is learnt, but for rounding.

    Attributes
    ----------
    device : torch.device
        Where the network is.
    workers : int
        Processes of each rank that decode and crop.
    precision : {"fp32", "bf16", "fp16"}
        Of matrix products and convolutions.
    compile : bool
        Whether torch.compile makes kernels of the networks that a method calls.
    parts : int
        Parts of a rank's share of a batch that are taken one after the other, their gradients
        added, where the whole does not fit the device.
    resume : {"auto", "must", "never"}
        Whether to go on from the run's newest checkpoint: where there is one; or stop where
        there is none; or stop where there is one.
    checkpoint_minutes : float
        A checkpoint is written at least this often, besides one at the end of an epoch.
    keep_every : int
        Checkpoints of every so many epochs stay, besides the newest two; 0 keeps none.
    log_every : int
        A line of metrics.jsonl every so many steps.
    tensorboard : bool
        Whether the metrics are also written for TensorBoard.
    knn_every : int
        A kNN read-out after every so many epochs; 0 for none.
    knn_test : Path, optional
        Class folders of the images that it classifies; a part of the training images unless
        given.
    max_minutes : float
        Stop at the end of the step after so many minutes, with a checkpoint.
    """

    device: torch.device
    workers: int
    precision: Precision = "fp32"
    compile: bool = False
    parts: int = 1
    resume: Literal["auto", "must", "never"] = "auto"
    checkpoint_minutes: float = 15.0
    keep_every: int = 0
    log_every: int = 10
    tensorboard: bool = False
    knn_every: int = 0
    knn_test: Path | None = None
    max_minutes: float = math.inf

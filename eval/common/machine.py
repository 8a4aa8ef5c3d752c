"""How a command uses the machine, as its options say."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.train.runtime.devices import Precision


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and in what a network computes, and how it gets its images."""

    #: "auto", "cpu" or "cuda".
    device: str = "auto"
    #: "auto", "fp32", "bf16" or "fp16".
    precision: str = "fp32"
    #: Images that the network sees at once.
    batch: int = 256
    #: Processes that decode; 0 decodes in this one.
    workers: int = 0
    #: Side of the crops in pixels; None for that of training.
    size: int | None = None
    #: Name of the network; None for what the checkpoint says.
    arch: str | None = None

    def choose(self) -> "tuple[torch.device, Precision]":
        """Find the device and the precision that the options name."""
        from dilo.train.runtime.devices import choose_device, choose_precision

        device = choose_device(self.device)
        return device, choose_precision(self.precision, device)

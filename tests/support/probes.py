"""What tests of the linear probe stand on: trunks of a millisecond, and their files."""

from pathlib import Path

import torch
from support.checkpoints import checkpoint_content
from torch import nn

from dilo.eval.features.folders import labelled_folder
from dilo.eval.linear.protocols import Protocol
from dilo.eval.models.encoder import Encoder
from dilo.train.networks.encoder import resnet
from dilo.train.recipes.recipe import ModelRecipe
from dilo.train.runtime.options import RunOptions

CPU = RunOptions(device=torch.device("cpu"), workers=0)
#: Twelve images in batches of five: the third batch of an epoch is smaller.
SHORT = Protocol(name="moco", epochs=2, batch=5, lr=1.0, milestones=(1.0,))


class Tiny(nn.Module):
    """A convolution with batch norm, pooled: all that a trunk is, but its size."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6)

    def forward(self, images):
        return self.norm(self.conv(images)).relu().mean((2, 3))


def tiny_encoder(source: Path) -> Encoder:
    """Freeze a trunk that no file holds."""
    return Encoder(Tiny().eval().requires_grad_(False), 16, source)


def folders(root: Path):
    """List what `write_class_folders` wrote below train/ and test/."""
    train = labelled_folder(root / "train")
    return train, labelled_folder(root / "test", classes=train.classes)


def small_state(seed: int = 0, channels: int = 3) -> dict[str, torch.Tensor]:
    """Draw a ResNet of a sixteenth of the weights, without its head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ModelRecipe(arch="resnet18", stem="small", width=0.25)
        state = resnet(model, channels=channels).state_dict()
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def write_small(path: Path, **layout) -> Path:
    """Write its checkpoint, as dilo-train would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint_content(small_state(), **({"size": 16} | layout)), path)
    return path


class Sliced:
    """Rows of which nothing but slices can be read, as of a file."""

    def __init__(self, rows: torch.Tensor) -> None:
        self._rows, self.shape = rows, rows.shape

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: slice) -> torch.Tensor:
        assert isinstance(index, slice)
        return self._rows[index].clone()

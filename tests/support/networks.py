"""Networks for tests: of numpy, in somebody else's package, with faults; and tiny weights."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

from support.plugins import lay_out

_METHODS = '''
import os, signal, time
from dataclasses import dataclass

import cv2
import numpy as np
from dilo.pipeline.saliency import NetworkMethod, NetworkParameters

def brightness(seen):
    return seen.mean(axis=-1, dtype=np.float32)

def is_red(seen):
    red, green, blue = seen.reshape(-1, 3).mean(axis=0)
    return red > 200 and green < 60 and blue < 60

class Net:
    """A network without layers: what is bright is salient."""

    def __init__(self, weights, parameters, device, names):
        self.gain = float(weights.read_text())
        self.side, self.device, self.names = parameters.side, device, names

    def prepare(self, image):
        if is_red(image) and self.refuses:
            raise ArithmeticError("red")
        return cv2.resize(np.ascontiguousarray(image), (self.side, self.side))

    refuses = False

    def maps(self, seen, paths):
        assert len(seen) == len(paths)
        return brightness(seen) * np.float32(self.gain)

    def finish(self, seen, found):
        found = found.astype(np.float64)
        low, high = found.min(), found.max()
        return (found - low) / (high - low) if low < high else np.zeros(found.shape)

class Picky(Net):
    """Refuses red images."""
    refuses = True

class Sick(Net):
    """Gives no numbers for red images."""
    def maps(self, seen, paths):
        found = super().maps(seen, paths)
        found[[is_red(one) for one in seen]] = np.nan
        return found

class Wild(Net):
    """Gives more than one."""
    def finish(self, seen, found):
        return super().finish(seen, found) * 2

class Choking(Net):
    """Fails on a batch with a red image."""
    def maps(self, seen, paths):
        if any(is_red(one) for one in seen):
            raise FloatingPointError("red")
        return super().maps(seen, paths)

class Killer(Net):
    """Is killed on a red image, as when memory runs out."""
    def maps(self, seen, paths):
        if any(is_red(one) for one in seen):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().maps(seen, paths)

class Full(Net):
    """Has room for one image."""
    def maps(self, seen, paths):
        if len(seen) > 1:
            raise MemoryError("no room")
        return super().maps(seen, paths)

class Dead(Net):
    """Computes nothing."""
    def maps(self, seen, paths):
        raise RuntimeError("device lost")

class Slow(Net):
    """Takes a tenth of a second an image."""
    def maps(self, seen, paths):
        time.sleep(0.1 * len(seen))
        return super().maps(seen, paths)

class Lacking:
    """Needs what is not installed."""
    def __init__(self, *ignored):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

NETS = {c.__name__.lower(): NetworkMethod(NetworkParameters(side=32), c)
        for c in (Net, Picky, Sick, Wild, Choking, Killer, Full, Dead, Slow, Lacking)}
globals().update({name.upper(): method for name, method in NETS.items()})
'''
_NAMES = ("net", "picky", "sick", "wild", "choking", "killer", "full", "dead", "slow", "lacking")


def install_networks(folder: Path) -> dict[str, str]:
    """Write the package, and give the environment in which it is installed."""
    folder.mkdir()
    points = "".join(f'{name} = "layerless:{name.upper()}"\n' for name in _NAMES)
    lay_out(folder, "layerless", _METHODS, f'[project.entry-points."dilo.saliency"]\n{points}')
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def gain(path: Path, value: float = 1.0) -> Path:
    """Write the weights of such a network."""
    path.write_text(str(value))
    return path


def weights_of(method: str, folder: Path) -> Path:
    """Write weights of one of our networks, small and by chance, but always the same."""
    import torch

    torch.manual_seed(0)
    file = folder / f"{method}.pth"
    torch.save(_STATES[method](), file)
    return file


def _salient(arch: str) -> object:
    from dilo.train.saliency.networks import NETWORKS

    return _shaken(NETWORKS[arch](4))


def _classifier() -> object:
    from torchvision.models import resnet18

    return _shaken(resnet18(num_classes=7))


def _contrast() -> object:
    """Lay out as dilo-train does: MoCo of a small network, its queue full."""
    import torch
    from support.checkpoints import checkpoint_content

    from dilo.train.networks.encoder import resnet
    from dilo.train.recipes.recipe import ModelRecipe

    model = ModelRecipe(arch="resnet18", width=0.25, head="mlp", dim=8)
    content = checkpoint_content(_shaken(resnet(model)))  # type: ignore[arg-type]
    content["dilo"]["recipe"]["model"] = {"arch": "resnet18"}
    queue = torch.nn.functional.normalize(torch.randn(8, 16), dim=0)
    content["state_dict"]["module.queue"] = queue
    return content


def _shaken(network: object) -> object:
    """Draw every number of a network, so that no layer is as it is made, and no map constant."""
    import torch

    state = network.state_dict()  # type: ignore[attr-defined]
    for name, value in state.items():
        if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.5)
        elif value.ndim == 1 and torch.is_floating_point(value):
            value.normal_(0, 0.1)
    return state


def _transformer() -> object:
    from support.transformers import dinov2_state

    return dinov2_state(patch=8, grid=8)


_STATES: dict[str, Callable[[], object]] = {
    "basnet": functools.partial(_salient, "basnet"),
    "cam": _classifier,
    "contracam": _contrast,
    "gradient": _classifier,
    "tokencut": _transformer,
    "unet": functools.partial(_salient, "unet"),
}

"""A trunk for other programs: torchvision, timm, detectron2, safetensors, MoCo's own scripts."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dilo.eval.encoder import Encoder
from dilo.eval.pair import Pair
from dilo.pipeline.atomic import published
from dilo.pipeline.errors import DiloError

Weights = dict[str, Tensor]

#: Names of torchvision's ResNets, and what detectron2 calls them.
_DETECTRON2 = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"^layer(\d)\.", lambda found: f"res{int(found[1]) + 1}."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)
#: What MoCo's scripts look for.
_MOCO = "module.encoder_q."


def export(encoder: Encoder, form: str, out: Path, *, half: str | None = None) -> int:
    """Write a trunk as another program reads it.

    Parameters
    ----------
    encoder : Encoder
        The trunk.
    form : {"torchvision", "timm", "detectron2", "safetensors", "moco"}
        For whom.
    out : Path
        The file.
    half : {"l", "ab"}, optional
        Which trunk of a pair.

    Returns
    -------
    int
        How many tensors were written.

    Raises
    ------
    DiloError
        If a pair is not parted, the program has no such network, or a library is missing.
    """
    weights = _weights(encoder, half)
    if form in ("timm", "detectron2"):
        _require_stem(weights, form)
    with published(out) as part:
        _WRITERS[form](weights, part)
    return len(weights)


def _weights(encoder: Encoder, half: str | None) -> Weights:
    """Take the tensors, under torchvision's names."""
    network = encoder.network
    if isinstance(network, Pair) != bool(half):
        raise DiloError(
            f"{encoder.source} holds two trunks, of luminance and of colours: give --half l or ab"
            if half is None
            else f"{encoder.source} holds one trunk: leave --half out"
        )
    if isinstance(network, Pair):
        network = network.l_to_ab if half == "l" else network.ab_to_l
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    return {name.removeprefix("trunk."): value for name, value in state.items()}


def _require_stem(weights: Weights, form: str) -> None:
    """Refuse the stem for small images, which the others do not have."""
    side = weights["conv1.weight"].shape[-1] if "conv1.weight" in weights else 7
    if side != 7:
        raise DiloError(
            f"--format {form} is for the stem of ImageNet, 7 x 7, got one of {side} x {side}: "
            f"give --format torchvision, and build the network with dilo.train.backbones.resnet"
        )


def _write_torch(weights: Weights, path: Path) -> None:
    """Write a bare state dict."""
    torch.save(weights, path)


def _write_moco(weights: Weights, path: Path) -> None:
    """Write what MoCo's linear script and detection converter read."""
    torch.save({"state_dict": {_MOCO + name: value for name, value in weights.items()}}, path)


def _write_detectron2(weights: Weights, path: Path) -> None:
    """Write the pickle of MoCo's converter; this program never reads one."""
    named = {}
    for name, value in weights.items():
        if name.endswith("num_batches_tracked"):
            continue
        for pattern, to in _DETECTRON2:
            name = re.sub(pattern, to, name)
        named[name] = value.numpy()
    content = {"model": named, "__author__": "dilo", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content))


def _write_safetensors(weights: Weights, path: Path) -> None:
    """Write without pickle."""
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise DiloError(
            "--format safetensors needs the package safetensors: pip install 'dilo[export]'"
        ) from error
    save_file(weights, path, metadata={"format": "pt"})


_WRITERS: dict[str, Callable[[Weights, Path], None]] = {
    "torchvision": _write_torch,
    "timm": _write_torch,
    "detectron2": _write_detectron2,
    "safetensors": _write_safetensors,
    "moco": _write_moco,
}

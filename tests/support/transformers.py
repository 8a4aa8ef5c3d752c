"""Small random vision transformers, laid out as DINO, DINOv2 and timm have them in files."""

import torch
from torch import Tensor

from dilo.train.networks.vit import VisionTransformer, VitShape

#: Channels of a token: a head of DINO's.
WIDTH = 64


def small_shape(**changes: int | bool) -> VitShape:
    """Give the sizes of a network of two blocks on images of 32 px, after some changes."""
    sizes = {"width": WIDTH, "depth": 2, "heads": 1, "patch": 8, "grid": 4, "hidden": 96}
    return VitShape(**{**sizes, **changes})  # type: ignore[arg-type]


def drawn_transformer(*, seed: int = 0, **changes: int | bool) -> VisionTransformer:
    """Draw a frozen one, of which no layer is as it is made."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VisionTransformer(small_shape(**changes))
        for value in network.state_dict().values():
            if value.ndim == 1:
                value.uniform_(-0.5, 1)
            else:
                value.normal_(0, 0.15)
    return network.eval().requires_grad_(False)


def dino_state(**changes: int) -> dict[str, Tensor]:
    """Lay one out as DINO's own files."""
    return dict(drawn_transformer(**changes).state_dict())


def dinov2_state(*, registers: int = 0, **changes: int) -> dict[str, Tensor]:
    """Lay one out as DINOv2's own files: their names, positions with the class's, a mask token."""
    shape = {"registers": registers, "layer_scale": True, **changes}
    state = {
        name.replace("reg_token", "register_tokens"): value
        for name, value in drawn_transformer(**shape).state_dict().items()
    }
    return state | {"mask_token": torch.zeros(1, WIDTH)}

"""The vision transformer of DINO and DINOv2, read without timm; its layers bear their names."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention, silu


@dataclass(frozen=True)
class VitShape:
    """What tells one vision transformer from another."""

    #: Channels of a token.
    width: int
    #: Blocks.
    depth: int
    #: Heads of an attention.
    heads: int
    #: Side of a patch, in pixels.
    patch: int
    #: Patches along a side of the images that its positions were learned on.
    grid: int
    #: Channels inside a block's MLP.
    hidden: int
    #: Tokens that are neither the class's nor a patch's.
    registers: int = 0
    #: Whether what a block adds is scaled, channel by channel.
    layer_scale: bool = False
    #: Whether the MLP is a gated one (SwiGLU).
    gated: bool = False


class VisionTransformer(nn.Module):
    """A vision transformer up to its last layer norm, without a head.

    Parameters
    ----------
    shape : VitShape
        Its sizes. Positions and tokens are zeros until weights are loaded.

    Attributes
    ----------
    num_prefix_tokens : int
        Tokens before those of the patches, under the name that timm has for it.

    References
    ----------
    A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.
    M. Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021.
    M. Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024.
    T. Darcet et al., "Vision Transformers Need Registers", ICLR 2024.
    """

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.shape = shape
        self.num_prefix_tokens = 1 + shape.registers
        width, patch = shape.width, shape.patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if shape.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, shape.registers, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + shape.grid**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.depth))
        self.norm = _norm(width)

    def forward_features(self, images: Tensor) -> Tensor:
        """Compute the tokens of images.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            Standardised; both sides multiples of the patch.

        Returns
        -------
        Tensor of shape (B, T, width)
            After the last layer norm: the class token, registers, and the patches row by row.
        """
        patches = self.patch_embed["proj"](images)
        rows, columns = patches.shape[-2:]
        tokens = patches.flatten(2).mT + self._positions(rows, columns)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        registers = [self.reg_token.expand(len(images), -1, -1)] if self.shape.registers else []
        tokens = torch.cat([first, *registers, tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return cast(Tensor, self.norm(tokens))

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Give the positions of a grid of patches: bicubic between those learned, as timm's are.

        DINO's own code adds 0.1 to the sides and filters nothing where it reduces, which is seen
        in the fourth digit.
        """
        learned = self.pos_embed[:, 1:]
        grid = self.shape.grid
        if (rows, columns) == (grid, grid):
            return learned
        field = learned.mT.reshape(1, -1, grid, grid).float()
        resized = interpolate(field, (rows, columns), mode="bicubic", antialias=True)
        return resized.flatten(2).mT.to(learned.dtype)


class _Block(nn.Module):
    """Attention, then an MLP, each added to what it sees."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(shape.width), _norm(shape.width)
        self.attn, self.mlp = _Attention(shape), _Mlp(shape)
        self.ls1, self.ls2 = (
            _LayerScale(shape.width) if shape.layer_scale else nn.Identity() for _ in range(2)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return cast(Tensor, tokens + self.ls2(self.mlp(self.norm2(tokens))))


class _Attention(nn.Module):
    """Each token sees all."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        # (B, T, 3 D) to three of (B, heads, T, D / heads)
        batch, count, width = tokens.shape
        shape = (batch, count, 3, self.heads, width // self.heads)
        qkv = self.qkv(tokens).reshape(shape).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(*qkv.unbind(0))
        return cast(Tensor, self.proj(attended.transpose(1, 2).flatten(2)))


class _Mlp(nn.Module):
    """Two layers; of the gated kind the first is of twice the width."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.gated = shape.gated
        self.fc1 = nn.Linear(shape.width, shape.hidden * (2 if shape.gated else 1))
        self.fc2 = nn.Linear(shape.hidden, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.fc1(tokens)
        if self.gated:
            gate, values = hidden.chunk(2, -1)
            return cast(Tensor, self.fc2(silu(gate) * values))
        return cast(Tensor, self.fc2(gelu(hidden)))


class _LayerScale(nn.Module):
    """A factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


def _norm(width: int) -> nn.LayerNorm:
    """Make a layer norm with the constant of DINO and of timm."""
    return nn.LayerNorm(width, eps=1e-6)


def is_square(number: int) -> bool:
    """Tell whether a number is a square."""
    return number > 0 and math.isqrt(number) ** 2 == number

"""Copy-paste as a transform of torchvision's, for any training code."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.errors import RecipeError
from dilo.pipeline.masks.files import same_proportions
from dilo.train.augment.backgrounds import STORED, square_crop
from dilo.train.augment.paste import paste_image
from dilo.train.data.crop import mask_to_alpha
from dilo.train.data.draws import GRAY, KINDS, NOISE, PasteDraw, PasteUniforms, paste_draw
from dilo.train.recipes.recipe import PasteRecipe, recipe_from_dict

#: How far beyond 0 and 1 a bicubic resize may leave the values of an image.
OVERSHOOT = 0.25
#: Images on a GPU that are looked at: each look waits for it.
LOOKS = 8


class CopyPaste(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Put the foreground of an image on another background, now and then.

    Takes an image and its mask, and gives the image alone, at its own size: to stand before
    the crop. Inside `v2.Compose`, or alone: ``CopyPaste()((image, mask))``. Each call draws
    anew, by torch's own generator, so that two views of an image get two backgrounds.

    Parameters
    ----------
    probability : float, default 0.3
        How often; the paper's best.
    backgrounds : mapping of str or Path to float, or str or Path, default "gray"
        What is pasted on: ``"gray"``, a level of 0 to 254; ``"noise"``; or the folder of a store
        that `dilo-prep backgrounds` made. Several come with their weights:
        ``{"gray": 2, "noise": 1}``.
    blend : {"mix", "none", "gaussian"}
        Whether the mask is blurred; "mix" blurs every other one.
    blend_sigma : float, default 5.0
        Sigma of that blur, in pixels of the image.
    alpha : {"soft", "binary"}
        Whether the mask is the alpha as it is, or 1 where it reaches `threshold`.
    threshold : float, default 0.5
        For a binary alpha.
    min_coverage : float, default 0.01
        An image whose mask covers less than this share of it is left alone.
    side : int, default 224
        Side of the picture that is laid behind the image, enlarged to cover it, in pixels.

    Raises
    ------
    ValueError
        If a value does not fit.
    StoreError
        If a folder is no store of backgrounds.

    References
    ----------
    .. [1] N. Zhao, Z. Wu, R. W. H. Lau and S. Lin, "Distilling Localization for
       Self-Supervised Representation Learning", AAAI 2021, section "Copy-and-paste".

    Examples
    --------
    >>> import torch
    >>> from torchvision import tv_tensors
    >>> from torchvision.transforms import v2
    >>> transform = v2.Compose([CopyPaste(probability=1.0), v2.RandomResizedCrop(32)])
    >>> image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    >>> mask = tv_tensors.Mask(torch.full((40, 60), 255, dtype=torch.uint8))
    >>> transform((image, mask)).shape
    torch.Size([3, 32, 32])
    """

    def __init__(
        self,
        probability: float = 0.3,
        *,
        backgrounds: Mapping[str | Path, float] | str | Path = "gray",
        blend: Literal["mix", "none", "gaussian"] = "mix",
        blend_sigma: float = 5.0,
        alpha: Literal["soft", "binary"] = "soft",
        threshold: float = 0.5,
        min_coverage: float = 0.01,
        side: int = 224,
    ) -> None:
        super().__init__()
        if side < 1:
            raise ValueError(f"side must be at least 1, got {side}")
        weights, self.stores = _sorted_out(backgrounds)
        values = {
            "probability": probability,
            "blend": blend,
            "blend_sigma": blend_sigma,
            "alpha": alpha,
            "threshold": threshold,
            "min_coverage": min_coverage,
            "backgrounds": weights,
        }
        try:
            self.recipe: PasteRecipe = recipe_from_dict({"paste": values}, "CopyPaste").paste
        except RecipeError as error:
            raise ValueError(str(error)) from error
        self.side = side
        self._warned = False
        self._checks_left = LOOKS

    def extra_repr(self) -> str:
        """Name what was given.

        Returns
        -------
        str
            For `repr`.
        """
        paste = self.recipe
        stores = {name: store.folder for name, store in self.stores.items()}
        kinds = {KINDS[kind]: str(folder) for kind, folder in stores.items()}
        backgrounds = {
            kinds.get(name, name): weight
            for name, weight in dataclasses.asdict(paste.backgrounds).items()
            if weight
        }
        return (
            f"probability={paste.probability:g}, backgrounds={backgrounds}, "
            f"blend={paste.blend!r}, blend_sigma={paste.blend_sigma:g}, alpha={paste.alpha!r}, "
            f"threshold={paste.threshold:g}, min_coverage={paste.min_coverage:g}, side={self.side}"
        )

    def forward(self, *inputs: Any) -> Any:
        """Paste, or not.

        Parameters
        ----------
        *inputs : (image, mask) or (image, mask, ...), or these as one tuple
            The image: PIL, or a tensor of shape (3, H, W) or (B, 3, H, W), uint8 in 0..255 or
            floating point in [0, 1]. The mask: `tv_tensors.Mask`, tensor, array or PIL, gray,
            uint8 in 0..255, floating point in [0, 1] or bool; of shape (h, w), (1, h, w), or of
            as many as the images. It is of the image squashed to its size, so a mask of the
            image's size will do, or of its proportions, and so will the square that `MaskStore`
            gives. A mask of 0 and 1 is taken as one of 0 and 255, with a warning.

        Returns
        -------
        PIL image or Tensor, or a tuple of it and what came after the mask
            The image, of the type that came.

        Raises
        ------
        TypeError
            If image or mask is something else.
        ValueError
            If a shape does not fit, or values lie outside their range: an image that was
            normalised before, a mask of 0..255 in floating point, NaN.
        """
        image, mask, *rest = inputs if len(inputs) > 1 else _pair(inputs[0])
        pasted = self._pictures(image, mask)
        return (pasted, *rest) if rest else pasted

    def make_draw(self, shape: tuple[int, int]) -> PasteDraw | None:
        """Draw whether to paste an image, and on what; pass it to `apply_draw`.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the image.

        Returns
        -------
        PasteDraw or None
            None if nothing is pasted.
        """
        uniform = PasteUniforms(*torch.rand(7, dtype=torch.float64).tolist())
        box = (0, 0, *shape)
        return paste_draw(self.recipe, uniform, shape=shape, box=box, flip=False, side=self.side)

    def apply_draw(self, image: Tensor, mask: NDArray[np.uint8], draw: PasteDraw | None) -> Tensor:
        """Paste one image by a draw.

        Parameters
        ----------
        image : Tensor of shape (3, H, W), floating point
            RGB in [0, 1].
        mask : ndarray of shape (h, w), uint8
            Saliency, 0 to 255, of the image squashed to this size.
        draw : PasteDraw or None
            As `make_draw` gives it.

        Returns
        -------
        Tensor of shape (3, H, W), floating point
            The very image if there is nothing to paste.
        """
        if draw is None or mask.mean() < max(255 * self.recipe.min_coverage, 1e-9):
            return image
        picture = None if draw.kind == GRAY else self._background(draw)
        pasted = paste_image(image.float(), mask_to_alpha(mask, self.recipe), draw, picture)
        return pasted.to(image.dtype)

    def _background(self, draw: PasteDraw) -> Tensor:
        """Find or make the picture that a draw lays behind the image: (3, s, s), in [0, 1]."""
        shape = (3, self.side, self.side)
        if draw.kind == NOISE:
            return torch.randint(0, 256, shape, dtype=torch.uint8) / 255
        store = self.stores[draw.kind]
        row = min(int(draw.pick * len(store)), len(store) - 1)
        offset = float(torch.rand((), dtype=torch.float64))
        pixels = square_crop(store[row], offset, self.side)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 255

    def _pictures(self, image: Any, mask: Any) -> Any:
        """Go from any kind of image to floating point, one by one, and back."""
        if isinstance(image, Image.Image):
            picture = image if image.mode == "RGB" else image.convert("RGB")
            pixels = functional.pil_to_tensor(picture)
            pasted = self._pictures(pixels, mask)
            return picture if pasted is pixels else functional.to_pil_image(pasted)
        if not isinstance(image, Tensor):
            raise TypeError(f"image must be a PIL image or a tensor, got {type(image).__name__}")
        if not (image.dtype == torch.uint8 or image.is_floating_point()):
            raise TypeError(f"image must be uint8 or floating point, got {image.dtype}")
        if image.ndim not in (3, 4) or image.shape[-3] != 3:
            raise ValueError(
                f"image must be of shape (3, H, W) or (B, 3, H, W), got {tuple(image.shape)}"
            )
        several = image if image.ndim == 4 else image[None]
        self._require_unit(image)
        shape = (image.shape[-2], image.shape[-1])
        masks = self._to_bytes(_masks(mask, len(several), shape))
        draws = [self.make_draw(shape) for _ in masks]
        if not any(draws):
            return image
        values = functional.to_dtype(several.as_subclass(Tensor), torch.float32, scale=True)
        pasted = torch.stack(
            [self.apply_draw(*each) for each in zip(values, masks, draws, strict=True)]
        )
        if not image.is_floating_point():
            pasted.mul_(255).round_()
        result = pasted.to(image.dtype).reshape(image.shape)
        return tv_tensors.wrap(result, like=image) if type(image) is not Tensor else result

    def _require_unit(self, image: Tensor) -> None:
        """Refuse an image whose values are no colours; on a GPU, look at the first ones alone."""
        if not image.is_floating_point() or (image.device.type != "cpu" and not self._checks_left):
            return
        self._checks_left = max(0, self._checks_left - 1)
        low, high = (float(value) for value in image.detach().aminmax())
        if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):  # NaN too
            remedy = "divide by 255" if low >= 0 else "paste before v2.Normalize"
            raise ValueError(
                f"a floating-point image must lie in [0, 1], got {low:g} to {high:g}: {remedy}"
            )

    def _to_bytes(self, masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Take masks of 0 and 1, as programs for labels write them, for what they mean; say so."""
        if masks.max(initial=0) != 1:
            return masks
        if not self._warned:
            self._warned = True
            message = "a uint8 mask of 0 and 1 is taken as one of 0 and 255; pass bool to be sure"
            warnings.warn(message, stacklevel=2)
        return masks * np.uint8(255)


def _sorted_out(
    backgrounds: Mapping[str | Path, float] | str | Path,
) -> tuple[dict[str, float], dict[int, BackgroundStore]]:
    """Open the stores, and give the weight of each kind."""
    if not isinstance(backgrounds, Mapping):
        backgrounds = {backgrounds: 1.0}
    weights, stores = {"gray": 0.0}, {}
    for name, weight in backgrounds.items():
        if name in ("gray", "noise"):
            weights[str(name)] = weight
            continue
        store = BackgroundStore(name)
        if STORED[store.kind] in stores:
            raise ValueError(f"backgrounds must be one store of each kind, got two: {store.kind}")
        weights[store.kind], stores[STORED[store.kind]] = weight, store
    return weights, stores


def _pair(sample: Any) -> tuple[Any, ...]:
    """Demand an image and a mask."""
    if not isinstance(sample, tuple | list) or len(sample) < 2:
        raise TypeError(
            f"CopyPaste takes an image and its mask, (image, mask), got {type(sample).__name__}: "
            f"let the data set give both"
        )
    return tuple(sample)


def _masks(mask: Any, count: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring masks of any kind to (B, h, w), uint8 in 0..255."""
    if isinstance(mask, Image.Image) and mask.mode == "P":
        raise ValueError(
            "mask must be gray, got a picture with a palette, whose values number its colours: "
            "pass mask.convert('L'), or numpy.asarray(mask) > 0 where they number objects"
        )
    values = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(values.dtype, np.floating):
        values = _of_unit(values)
    if values.dtype != np.uint8:
        raise TypeError(f"mask must be uint8, floating point or bool, got {values.dtype}")
    if values.ndim == 4 and values.shape[1] == 1:
        values = values[:, 0]
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or len(values) != count or not values.size:
        raise ValueError(
            f"mask must be of shape (h, w) for each of {count} images, got {values.shape}"
        )
    rows, columns = values.shape[1:]
    if not same_proportions((rows, columns), shape):
        turned = same_proportions((columns, rows), shape)
        raise ValueError(
            f"mask must have the proportions of its image, {shape[0]} x {shape[1]} (height x "
            f"width), or be square, got {rows} x {columns}: "
            + ("transpose it" if turned else "crop and resize it as its image, or pass both whole")
        )
    return values


def _of_unit(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Bring masks in [0, 1] to 0..255; what resizing leaves beyond the ends is cut off."""
    low, high = (float(end) for end in (values.min(initial=0), values.max(initial=0)))
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):  # NaN too
        remedy = "divide by 255" if low >= 0 else "scale it to [0, 1]"
        raise ValueError(
            f"a floating-point mask must lie in [0, 1], got {low:g} to {high:g}: {remedy}"
        )
    rounded = np.rint(255 * values.astype(np.float64).clip(0, 1))
    return np.asarray(rounded, np.uint8)

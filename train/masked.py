"""Images with their masks, for data sets that open files by a function of their own."""

import os
from pathlib import Path

import torch
from PIL import Image
from torchvision import tv_tensors

from dilo.pipeline.errors import ImageError, require_access
from dilo.pipeline.images.source import open_images
from dilo.pipeline.store import MaskStore


class LoadWithMask:
    """Open an image together with its mask: the ``loader`` of torchvision's ImageFolder.

    Parameters
    ----------
    images : Path or str
        Folder that the store's paths are relative to.
    masks : MaskStore, Path or str
        Store that `dilo-prep masks` made of the images.

    Raises
    ------
    StoreError
        If there is no such store.

    Examples
    --------
    ``ImageFolder("images", loader=LoadWithMask("images", "masks"))[0]`` is
    ``((image, mask), label)``, and a transform gets ``(image, mask)``: `CopyPaste` makes an
    image of it.
    """

    def __init__(self, images: Path | str, masks: MaskStore | Path | str) -> None:
        self.images = open_images(Path(images).absolute())
        self.store = masks if isinstance(masks, MaskStore) else MaskStore(masks)

    def __repr__(self) -> str:
        return f"LoadWithMask({str(self.images.path)!r}, {str(self.store.folder)!r})"

    def __call__(self, path: Path | str) -> tuple[Image.Image, tv_tensors.Mask]:
        """Open one.

        Parameters
        ----------
        path : Path or str
            The image's file.

        Returns
        -------
        image : PIL image
            RGB; its orientation tag is ignored, as it was for the mask.
        mask : Mask of shape (S, S), uint8
            Of the image squashed to a square; all zero if the store has it as failed, and then
            `CopyPaste` leaves the image alone.

        Raises
        ------
        ImageError
            If the file is no sound image.
        AccessError
            If the system does not let it be read now.
        KeyError
            If the store has no such image.
        StoreError
            If its shard is missing or damaged.
        """
        name = Path(os.path.relpath(os.path.abspath(path), self.images.path)).as_posix()
        try:
            mask = tv_tensors.Mask(torch.from_numpy(self.store[name]))
        except KeyError as error:
            first = self.store.names[0]
            hint = "" if self.images.has(first) else self.images.whereabouts(first)
            words = f"{error.args[0]}; images {self.images.path}: {hint}" if hint else error.args[0]
            raise KeyError(words) from None
        try:
            return Image.fromarray(self.images.decode(name)), mask
        except ImageError as error:
            require_access(error, path)
            raise ImageError(f"{path}: {error}", error.errno) from error

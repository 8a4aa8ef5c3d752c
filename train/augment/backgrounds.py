"""Backgrounds on the device: a bank of square pictures, drawn anew from their stores each epoch."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.errors import DiloError
from dilo.train.data.draws import (
    CROPS,
    IMAGES,
    KINDS,
    NOISE,
    TEXTURES,
    PasteDraw,
    bank_draw,
    noise_draw,
)
from dilo.train.recipes.recipe import PasteRecipe

#: Kinds that come from stores, by the word for them in plan.json and in recipes.
STORED = {"textures": TEXTURES, "crops": CROPS, "images": IMAGES}
#: Share of the memory that is free on a device which the bank may take; the network needs the rest.
ROOM = 0.5
#: Pictures read at once: more would only take memory.
TOGETHER = 64

#: Stores by kind of background.
Stores = Mapping[int, BackgroundStore]


def open_backgrounds(folders: Sequence[Path]) -> Stores:
    """Open stores of backgrounds, one of each kind.

    Parameters
    ----------
    folders : sequence of Path
        Stores that `dilo-prep backgrounds` made.

    Returns
    -------
    mapping of int to BackgroundStore
        By kind.

    Raises
    ------
    DiloError
        If one cannot serve, or a kind has two.
    """
    stores: dict[int, BackgroundStore] = {}
    for folder in folders:
        store = BackgroundStore(folder)
        if (other := stores.setdefault(STORED[store.kind], store)) is not store:
            raise DiloError(
                f"--backgrounds must be one store of each kind, got two of {store.kind}: "
                f"{other.folder} and {store.folder}"
            )
    return stores


def fingerprints(stores: Stores) -> str:
    """Return the fingerprints of stores, for a checkpoint.

    Parameters
    ----------
    stores : mapping of int to BackgroundStore
        By kind.

    Returns
    -------
    str
        Their fingerprints in the order of their kinds; empty for none.
    """
    return " ".join(stores[kind].fingerprint for kind in sorted(stores))


def require_drawn(stores: Stores, paste: PasteRecipe, name: str) -> None:
    """Refuse stores that a recipe does not draw from, and kinds that it draws without a store.

    Parameters
    ----------
    stores : mapping of int to BackgroundStore
        By kind.
    paste : PasteRecipe
        Its `backgrounds` says which kinds are drawn.
    name : str
        The recipe's.

    Raises
    ------
    DiloError
        If stores and weights do not fit.
    """
    if not paste.probability:
        if stores:
            raise DiloError(
                f"--backgrounds is for recipes that paste, got {name} with paste.probability = 0: "
                f"omit it"
            )
        return
    for word, kind in STORED.items():
        weight = getattr(paste.backgrounds, word)
        if weight and kind not in stores:
            raise DiloError(
                f"recipe {name} pastes on {word} (paste.backgrounds.{word} = {weight:g}) and needs "
                f"--backgrounds DIR, got none of that kind: make it with "
                f"dilo-prep backgrounds --kind {word}"
            )
        if kind in stores and not weight:
            raise DiloError(
                f"--backgrounds {stores[kind].folder} holds {word}, which recipe {name} never "
                f"draws: --set paste.backgrounds.{word}=1, with --set paste.backgrounds.gray=0 "
                f"for these alone"
            )


class BackgroundBank:
    """The pictures that foregrounds are pasted on during an epoch, as uint8 on the device.

    Parameters
    ----------
    paste : PasteRecipe
        How many pictures of which kinds, by weight.
    stores : mapping of int to BackgroundStore
        Where they come from.
    device : torch.device
        Where they are.
    seed : int
        What they are drawn by.
    side : int
        Their side s in pixels, that of the views.
    epochs : int, default 1
        Those of the run: during one, a thread reads the pictures of the next.

    Attributes
    ----------
    pictures : Tensor of shape (N, 3, s, s), uint8
        All of them, kind by kind.
    counts : dict of int to int
        How many of each kind.

    Raises
    ------
    DiloError
        If the device has no room for them.
    """

    def __init__(
        self,
        paste: PasteRecipe,
        stores: Stores,
        device: torch.device,
        *,
        seed: int,
        side: int,
        epochs: int = 1,
    ) -> None:
        self._stores, self._seed, self._side, self._epochs = stores, seed, side, epochs
        self.counts = _counts(paste, stores)
        *starts, total = itertools.accumulate(self.counts.values(), initial=0)
        self._starts = dict(zip(self.counts, starts, strict=True))
        shape = (total, 3, self._side, self._side)
        _require_room(shape, paste.bank, device)
        self.pictures = torch.empty(shape, dtype=torch.uint8, device=device)
        self._epoch: int | None = None
        #: What the thread reads, by epoch.
        self._ahead: dict[int, Future[Tensor]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backgrounds")

    def load_epoch(self, epoch: int) -> None:
        """Draw the pictures of an epoch, by the seed, unless it holds them already.

        Parameters
        ----------
        epoch : int
            Which; its pictures are the same whenever and wherever it is filled.

        Raises
        ------
        StoreError
            If a shard is missing or damaged.
        """
        if epoch == self._epoch or not len(self.pictures):
            return
        reading = self._ahead.pop(epoch, None)
        pictures = self._read(epoch, self._room()) if reading is None else reading.result()
        self.pictures.copy_(pictures, non_blocking=True)
        self._epoch = epoch
        self._ahead.clear()
        if epoch + 1 < self._epochs:
            self._ahead[epoch + 1] = self._thread.submit(self._read, epoch + 1, self._room())

    def _room(self) -> Tensor:
        """Make room on the CPU for the pictures of an epoch, which a GPU can copy from."""
        # Not in the thread, where CUDA's current device would be the first.
        pinned = self.pictures.device.type == "cuda"
        return torch.empty(self.pictures.shape, dtype=torch.uint8, pin_memory=pinned)

    def _read(self, epoch: int, pictures: Tensor) -> Tensor:
        """Draw the pictures of an epoch."""
        for kind, start in self._starts.items():
            for chunk in self._drawn(kind, epoch):
                pictures[start : start + len(chunk)] = chunk
                start += len(chunk)
        return pictures

    def _drawn(self, kind: int, epoch: int) -> Iterator[Tensor]:
        """Draw the pictures of a kind, some at a time: (n, 3, s, s), uint8."""
        seed, count = self._seed, self.counts[kind]
        if kind == NOISE:
            yield torch.from_numpy(noise_draw(seed, epoch, kind, count, self._side))
            return
        store = self._stores[kind]
        rows, offsets = bank_draw(seed, epoch, kind, len(store), count)
        for chunk in (slice(i, i + TOGETHER) for i in range(0, count, TOGETHER)):
            pictures = zip(store.batch(rows[chunk].tolist()), offsets[chunk], strict=True)
            squares = [square_crop(picture, place, self._side) for picture, place in pictures]
            yield torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)

    def image(self, draw: PasteDraw) -> Tensor:
        """Return the whole picture that a draw picks.

        Parameters
        ----------
        draw : PasteDraw
            Not on gray.

        Returns
        -------
        Tensor of shape (3, s, s), float32
            In [0, 1], on the device of the bank.
        """
        kind, pick = torch.tensor([draw.kind]), torch.tensor([draw.pick], dtype=torch.float64)
        index = int(self.index(kind, pick).item())
        return self.pictures[index] / 255

    def index(self, kinds: Tensor, picks: Tensor) -> Tensor:
        """Find the pictures that draws pick.

        Parameters
        ----------
        kinds : Tensor of shape (B,), int64
            Of each background; of gray, the answer means nothing.
        picks : Tensor of shape (B,), float64
            Which picture of its kind, in [0, 1).

        Returns
        -------
        Tensor of shape (B,), int64
            Their places among `pictures`; all on the CPU.
        """
        starts, counts = torch.zeros(2, len(KINDS), dtype=torch.int64).unbind()
        for kind, count in self.counts.items():
            starts[kind], counts[kind] = self._starts[kind], count
        counts = counts[kinds]
        # A product may round up to the count.
        return starts[kinds] + torch.minimum((picks * counts).long(), counts - 1)


def square_crop(picture: NDArray[np.uint8], offset: float, side: int) -> NDArray[np.uint8]:
    """Cut the largest square out of a picture, and resize it.

    Parameters
    ----------
    picture : ndarray of shape (h, w, 3), uint8
        RGB.
    offset : float
        Where along the longer side, in [0, 1).
    side : int
        Side of the result, in pixels.

    Returns
    -------
    ndarray of shape (side, side, 3), uint8
        With Pillow's antialiased bilinear filter.
    """
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = int(offset * (height - edge + 1)), int(offset * (width - edge + 1))
    square = Image.fromarray(picture[top : top + edge, left : left + edge])
    return np.array(square.resize((side, side), Image.Resampling.BILINEAR))


def _counts(paste: PasteRecipe, stores: Stores) -> dict[int, int]:
    """Share the bank out among the kinds, by weight; no picture is in it twice."""
    weights = paste.backgrounds
    shares = {kind: getattr(weights, word) for word, kind in STORED.items() if kind in stores}
    if paste.probability and weights.noise:
        shares[NOISE] = weights.noise
    total = sum(shares.values())
    counts = {kind: max(1, round(paste.bank * share / total)) for kind, share in shares.items()}
    return {
        kind: min(count, len(stores[kind])) if kind in stores else count
        for kind, count in counts.items()
    }


def _require_room(shape: tuple[int, int, int, int], requested: int, device: torch.device) -> None:
    """Refuse a bank that would leave no memory for the network."""
    picture_bytes = shape[1] * shape[2] * shape[3]
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
    if shape[0] * picture_bytes > ROOM * free:
        raise DiloError(
            f"paste.bank must fit into half of the memory that is free on {device}, got "
            f"{requested} pictures of {shape[3]} x {shape[3]}, "
            f"{shape[0] * picture_bytes / 1e9:.3g} GB of {free / 1e9:.3g} GB: "
            f"--set paste.bank={int(ROOM * free / picture_bytes)} or less"
        )

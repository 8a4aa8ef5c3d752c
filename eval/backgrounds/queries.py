"""Queries: the foreground of a photograph, cropped anew, on the background of another image."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dilo.eval.backgrounds.draws import QUERY, path_key
from dilo.eval.backgrounds.variations import Selection, crop_both, without_object
from dilo.eval.features.folders import LabelledFolder
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.common.rng import generator
from dilo.pipeline.errors import ImageError, require_access
from dilo.pipeline.store import MaskStore
from dilo.train.augment.backgrounds import square_crop
from dilo.train.augment.paste import paste
from dilo.train.data.crop import crop
from dilo.train.data.draws import ViewDraw, view_draw
from dilo.train.recipes.recipe import PasteRecipe, ViewsRecipe

#: Crops, and backgrounds, that are drawn until one will do.
CROP_TRIES, BACKGROUND_TRIES = 10, 32
#: Share of the foreground that a crop must hold.
HELD = 0.5


class Query(NamedTuple):
    """The N queries of an image; or of B of them, stacked."""

    #: RGB; of shape (N, 3, S, S), uint8.
    pictures: Tensor
    #: Position in the folder of the image that lent each background, -1 for none; of shape (N,),
    #: int64.
    donors: Tensor


@dataclass(frozen=True, kw_only=True)
class QueryRecipe:
    """How queries are made."""

    #: From which crops and backgrounds are drawn.
    seed: int = 0
    #: Least share of an image's area in a crop; 1 takes the evaluation crop, never mirrored.
    crop: float = 0.5
    #: Those of the other photographs, a gray level, or what a store holds.
    backgrounds: Literal["images", "gray"] | BackgroundStore = "images"
    #: What is one photograph: an image, or all images of a folder.
    same: Literal["image", "folder"] = "image"
    #: Queries of each image.
    questions: int = 1

    @property
    def background_words(self) -> str:
        """Name the backgrounds, such that equal names are of equal backgrounds."""
        store = self.backgrounds
        return store if isinstance(store, str) else f"{store.kind} {store.fingerprint}"

    def photograph(self, path: str) -> str:
        """Name the photograph that an image is of, by its path below the folder of all."""
        folder, _, _ = path.rpartition("/")
        return folder if folder and self.same == "folder" else path

    def photographs(self, paths: Iterable[str]) -> NDArray[np.int64]:
        """Give each of M images the number of its photograph."""
        numbers: dict[str, int] = {}
        return np.array(
            [numbers.setdefault(self.photograph(path), len(numbers)) for path in paths], np.int64
        )

    def draw(
        self, key: int, view: int, shape: tuple[int, ...], size: int, question: int = 0
    ) -> ViewDraw:
        """Draw the crop of an image for one of its queries, as training does."""
        views = ViewsRecipe(size=size, crop_scale=(self.crop, 1.0))
        if self.crop == 1:
            views = ViewsRecipe(size=size, crop="center", flip=0)
        plain = PasteRecipe(probability=0)
        return view_draw(
            views,
            plain,
            seed=self.seed,
            epoch=question,
            sample=key,
            view=view,
            height=shape[0],
            width=shape[1],
        )


class Queries(Dataset[tuple[int, Query | str]]):
    """Queries by the position of their image; the reason, in words, where there is none.

    Parameters
    ----------
    folder : LabelledFolder
        The images; their classes are not looked at.
    store : MaskStore
        Their masks.
    selection : Selection
        Where these are, and which images may lend their background.
    positions : ndarray of shape (N,), int64
        The images to ask for.
    recipe : QueryRecipe
        How.
    size : int
        Side of the pictures, in pixels.
    """

    def __init__(
        self,
        folder: LabelledFolder,
        store: MaskStore,
        selection: Selection,
        positions: NDArray[np.int64],
        recipe: QueryRecipe,
        size: int,
    ) -> None:
        self.folder, self.store, self.selection = folder, store, selection
        self.positions, self.recipe, self.size = positions, recipe, size

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> tuple[int, Query | str]:
        position = int(self.positions[index])
        try:
            image = self.folder.decode(position)
        except ImageError as error:
            require_access(error, self.folder.images.location(self.folder.names[position]))
            return position, str(error)
        pictures, donors = [], []
        for question in range(self.recipe.questions):
            background, donor = self._background(position, question)
            if background is None:
                return position, "no other image gives a background"
            view, alpha = self._foreground(position, image, question)
            picture = paste(view[None] / 255, alpha[None] / 255, background[None] / 255)[0]
            pictures.append((255 * picture).round().to(torch.uint8))
            donors.append(donor)
        return position, Query(torch.stack(pictures), torch.tensor(donors))

    def _foreground(
        self, position: int, image: NDArray[np.uint8], question: int
    ) -> tuple[Tensor, Tensor]:
        """Crop an image and its mask alike: the first crop that holds enough of the foreground."""
        mask, key = self._mask(position), path_key(self.folder.names[position])
        draws = (
            self.recipe.draw(key, view, image.shape, self.size, question)
            for view in range(CROP_TRIES)
        )
        draw = next((draw for draw in draws if held(mask, draw, image.shape) >= HELD), None)
        if draw is None:
            draw = QueryRecipe(crop=1).draw(key, 0, image.shape, self.size)
        view, alpha = crop(image, mask, draw, self.size)
        pixels, weights = np.array(view), np.array(alpha)
        return torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(weights)[None]

    def _background(self, position: int, question: int) -> tuple[Tensor | None, int]:
        """Draw backgrounds until one can be had, and say which image lent it."""
        key = path_key(self.folder.names[position])
        numbers = generator(self.recipe.seed, QUERY, key, question)
        uniform = numbers.random((BACKGROUND_TRIES, 2))
        source = self.recipe.backgrounds
        if source == "gray":
            return torch.full((3, 1, 1), int(255 * uniform[0, 0]), dtype=torch.uint8), -1
        for pick, offset in uniform.tolist():
            if isinstance(source, BackgroundStore):
                row = int(pick * len(source))
                if self._is_other(source.source(row), position):
                    pixels = square_crop(source[row], offset, self.size)
                    return torch.from_numpy(pixels).permute(2, 0, 1), -1
                continue
            donor = int(self.selection.positions[int(pick * len(self.selection.positions))])
            if not self._is_other(self.folder.names[donor], position):
                continue
            if (background := self._lent(donor)) is not None:
                return background, donor
        return None, -1

    def _is_other(self, path: str, position: int) -> bool:
        """Check whether an image by its path is of another photograph than one of the folder."""
        name = self.recipe.photograph
        return name(path) != name(self.folder.names[position])

    def _lent(self, donor: int) -> Tensor | None:
        """Take the background of an image, if it gives one."""
        try:
            crops = crop_both(self.folder.decode(donor), self._mask(donor), self.size)
            return without_object(*crops)
        except ImageError:
            return None  # reported where it is asked for itself

    def _mask(self, position: int) -> NDArray[np.uint8]:
        """Read the mask of an image."""
        return self.store[int(self.selection.rows[position])]


def held(mask: NDArray[np.uint8], draw: ViewDraw, shape: tuple[int, ...]) -> float:
    """Measure how much of the foreground a crop holds.

    Parameters
    ----------
    mask : ndarray of shape (S, S), uint8
        Saliency, of the image squashed to a square.
    draw : ViewDraw
        The crop, in pixels of the image.
    shape : tuple of int
        The image's: H, W, and what may follow.

    Returns
    -------
    float
        Share of the mask's sum, to whole cells of the mask.
    """
    top, left, height, width = draw.box
    down, across = len(mask) / shape[0], len(mask) / shape[1]
    rows = slice(round(top * down), round((top + height) * down))
    columns = slice(round(left * across), round((left + width) * across))
    return float(mask[rows, columns].sum() / mask.sum())


def collate(
    items: list[tuple[int, Query | str]],
) -> tuple[list[int], Query | None, list[tuple[int, str]]]:
    """Part queries from failures, and stack the queries."""
    made = {position: item for position, item in items if not isinstance(item, str)}
    failures = [(position, item) for position, item in items if isinstance(item, str)]
    stacked = Query(*map(torch.stack, zip(*made.values(), strict=True))) if made else None
    return list(made), stacked, failures

"""Masks and images, paired with ground truth by their names."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.masks.files import mask_files, read_mask, remarks, require_same_picture, white
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.plan import PLAN
from dilo.pipeline.store.rows import FAILED


class PngFolder:
    """Masks in files below a folder, at any depth: its PNGs, or, without any, its other images.

    A file's key is its path in the folder, without the extension.
    """

    squashed = False
    failed: Collection[str] = ()

    def __init__(self, folder: Path, option: str, images: Path | None = None) -> None:
        self.folder = folder
        files = list(mask_files(folder, images))
        # To relative paths, from relative paths without extension.
        self._files = dict(zip(_keys(files, f"{option} {folder}"), files, strict=True))

    @property
    def keys(self) -> Sequence[str]:
        """List what there is."""
        return list(self._files)

    @property
    def files(self) -> Sequence[str]:
        """List the relative paths of the files, in the order of `keys`."""
        return list(self._files.values())

    def read(self, key: str) -> NDArray[np.uint8]:
        """Read one mask.

        Parameters
        ----------
        key : str
            One of `keys`.

        Returns
        -------
        ndarray of shape (H, W), uint8
            As `read_mask` gives it.

        Raises
        ------
        DiloError
            If the file cannot be read, or is no mask.
        """
        path = self.folder / self._files[key]
        try:
            return read_mask(path)
        except ImageError as error:
            words = str(error)
            if words.startswith("its mask: "):
                words = f"must be a picture, got: {words.removeprefix('its mask: ')}: replace it"
                raise DiloError(f"{path} {words}") from error
            raise DiloError(f"{path}: {words}") from error

    def read_truth(self, key: str, image: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
        """Read one mask as truth.

        Parameters
        ----------
        key : str
            One of `keys`.
        image : tuple of int, optional
            Height and width of its image, where it is known.

        Returns
        -------
        ndarray of shape (H, W), bool
            Where it is above 128; nowhere in one that is black.

        Raises
        ------
        DiloError
            If the file cannot be read, is neither black nor white anywhere, or has other
            proportions than its image.
        """
        mask = self.read(key)
        try:
            if image is not None:
                require_same_picture(mask.shape, image[:2])
            return white(mask)
        except ImageError as error:
            raise DiloError(f"{self.folder / self._files[key]}: {error}") from error

    def remarks(self) -> list[str]:
        """Say what is odd about the masks, by a few of them."""
        return remarks(self.folder, list(self._files.values()))


class StoredMasks:
    """The masks of a store of dilo-prep, squashed to squares; their keys are of the images."""

    squashed = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = MaskStore(folder)
        keys = _keys(self._store.names, str(folder))
        self._rows = {key: row for row, key in enumerate(keys)}
        self.fingerprint = self._store.fingerprint
        status, self._shapes = self._store.columns("status", "shape")
        self.failed: Collection[str] = {keys[row] for row in np.flatnonzero(status == FAILED)}

    @property
    def keys(self) -> Sequence[str]:
        """List what there is."""
        return list(self._rows)

    def remarks(self) -> list[str]:
        """Say what is odd about the masks."""
        return []

    def read(self, key: str) -> NDArray[np.uint8]:
        """Read one mask.

        Parameters
        ----------
        key : str
            One of `keys`.

        Returns
        -------
        ndarray of shape (S, S), uint8
            Saliency; all zero for an image that failed.
        """
        return self._store[self._rows[key]]

    def image_shape(self, key: str) -> tuple[int, ...]:
        """Tell the size of the image that a mask is of."""
        height, width = self._shapes[self._rows[key]]
        return int(height), int(width)


@dataclass(frozen=True, eq=False)
class MaskSource:
    """Masks to score, and which of them belongs to which ground truth."""

    #: What tables and plots call it.
    name: str
    #: The masks.
    source: PngFolder | StoredMasks
    #: From the key of a ground truth to the key of its mask.
    pairs: Mapping[str, str]


def open_masks(
    name: str, folder: Path, truths: Sequence[str], *, option: str = "--masks", of: str = "--truth"
) -> MaskSource:
    """Find the masks of a method for some ground truths."""
    stored = (folder / PLAN).exists()
    source = StoredMasks(folder) if stored else PngFolder(folder, option)
    return MaskSource(name, source, match_by_name(truths, source.keys, f"{option} {folder}", of=of))


def match_by_name(
    truths: Sequence[str], others: Sequence[str], what: str, *, of: str = "--truth"
) -> Mapping[str, str]:
    """Pair ground truths with masks or images by path, or, if no path matches, by file name.

    Examples
    --------
    >>> match_by_name(["a/1", "a/2"], ["a/2", "a/3"], "masks")
    {'a/2': 'a/2'}
    >>> match_by_name(["1"], ["ant/1"], "masks")
    {'1': 'ant/1'}
    """
    known = set(others)
    if by_path := {key: key for key in truths if key in known}:
        return by_path
    by_stem = {_stem(key): key for key in others}
    if pairs := {key: by_stem[_stem(key)] for key in truths if _stem(key) in by_stem}:
        for keys, where in ((truths, of), (others, what)):
            if double := _first_double(map(_stem, keys)):
                raise DiloError(
                    f"{where} must have the relative paths of its pairs, or each file name once, "
                    f"got {double} in two folders: use the same layout in both folders"
                )
        return pairs
    raise DiloError(
        f"{what} must have files of the names in {of}, whatever the extension, "
        f"got {_first(others)}, but {of} has {_first(truths)}: check both folders"
    )


def _keys(names: Sequence[str] | Names, where: str) -> list[str]:
    """Take the extensions off; refuse two names that then are the same."""
    keys = [escaped(str(PurePosixPath(name).with_suffix(""))) for name in names]
    if double := _first_double(keys):
        raise DiloError(
            f"{where} must have each name once, whatever the extension, got {double} twice: "
            "move one of them"
        )
    return keys


def _stem(key: str) -> str:
    """Take the folders off a key."""
    return key.rpartition("/")[2]


def _first(keys: Sequence[str]) -> str:
    """Name the first of some keys, if there is one."""
    return keys[0] if keys else "none"


def _first_double(values: Iterable[str]) -> str | None:
    """Find a value that occurs more than once."""
    return next((value for value, count in Counter(values).items() if count > 1), None)


@dataclass(frozen=True, eq=False)
class ImagesOfTruth:
    """The images that masks are of, to show beside them."""

    #: Where they are read.
    images: ImageSource
    #: Relative paths by the key of the ground truth; not every one need have an image.
    files: Mapping[str, str]


def find_images_of_truth(
    images: Path | ImageSelection, truths: list[str], *, of: str = "--truth"
) -> ImagesOfTruth:
    """Find the images of ground truths, by path or by file name, whatever the extension."""
    selection = ImageSelection.of(images)
    names = sorted(selection.names(), key=lambda name: not name.lower().endswith(".png"))
    by_key = {escaped(name.rpartition(".")[0]): name for name in names}
    pairs = match_by_name(truths, list(by_key), f"--images {selection.root}", of=of)
    return ImagesOfTruth(selection.open(), {truth: by_key[key] for truth, key in pairs.items()})


def read_or_blank(photographs: ImagesOfTruth, image: str) -> NDArray[np.uint8]:
    """Read an image, or a blank where there is none: the sheet is about the masks."""
    empty_axes = np.full((1, 1), 230, np.uint8)
    if image not in photographs.files:
        return empty_axes
    try:
        return photographs.images.decode(photographs.files[image])
    except ImageError:
        return empty_axes

"""Training with few labels: which images a detector may see, by a share or by a list."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dilo.eval.detect.annotations import DetectionSet
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.rng import generator, permutation
from dilo.pipeline.common.textfiles import parse_json, read_text
from dilo.pipeline.errors import DiloError, first_few

#: Names the stream of the order of images.
_STREAM = 0xDE7EC7


def choose_labelled(
    data: DetectionSet, *, fraction: float | None, list_file: Path | None, seed: int
) -> DetectionSet:
    """Choose the images to train on.

    Parameters
    ----------
    data : DetectionSet
        The whole training set. Images without an object to be found count for nothing here, as in
        training.
    fraction : float, optional
        Share of the images, above 0 and at most 1. A smaller share is part of a larger one of the
        same seed.
    list_file : Path, optional
        A list of images, one a line, by id or by file name. With a fraction: the lists that
        Unbiased Teacher published for COCO, COCO_supervision.txt, of which the fraction chooses
        the share and the seed the run, 0 to 9.
    seed : int
        Of the choice.

    Returns
    -------
    DetectionSet
        The chosen images, in the order of the whole set.

    Raises
    ------
    DiloError
        If a list cannot be read, or names an image that the set lacks: with its line.
    """
    data = data.trainable()
    if list_file is None:
        if fraction is None or fraction == 1:
            return data
        return _part(data, _first_share(data, fraction, seed), f"{fraction:.4%}", seed)
    text = read_text(list_file)
    if text.lstrip().startswith("{"):
        return _published(data, list_file, parse_json(text, list_file), fraction, seed)
    if fraction is not None:
        raise DiloError(
            f"--fraction must stand without --list, or beside the lists of Unbiased Teacher, got "
            f"{fraction:g} beside {list_file}, which is one list: leave one of them out"
        )
    return data.chosen(_listed(data, list_file, text), f"{data.name} of {list_file.name}")


def write_list(path: Path, data: DetectionSet) -> None:
    """Write the ids of a set's images, one a line, as --list reads them."""
    write_text(path, "".join(f"{image.image_id}\n" for image in data.images))


def _part(data: DetectionSet, places: Sequence[int], share: str, seed: int) -> DetectionSet:
    """Take the images at some places."""
    share = share.rstrip("%").rstrip("0").rstrip(".")
    ids = [data.images[place].image_id for place in places]
    return data.chosen(ids, f"{data.name} {share} % (seed {seed})")


def _first_share(data: DetectionSet, fraction: float, seed: int) -> list[int]:
    """Take the first share of a random order, at least one image."""
    if not 0 < fraction <= 1:
        raise DiloError(f"--fraction must be above 0 and at most 1, got {fraction:g}")
    order = permutation(generator(seed, _STREAM), len(data.images))
    count = max(1, round(fraction * len(data.images)))
    places: list[int] = order[:count].tolist()
    return places


def _listed(data: DetectionSet, list_file: Path, text: str) -> set[int | str]:
    """Read a list of ids or of file names."""
    by_name: dict[str, int | str] = {}
    for image in data.images:
        by_name |= {str(image.image_id): image.image_id, image.path.name: image.image_id}
        by_name[image.path.stem] = image.image_id
    chosen: dict[int | str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not (word := line.strip()):
            continue
        where = f"--list {list_file}, line {number}"
        image_id = by_name.get(word, by_name.get(PurePosixPath(word).name))
        if image_id is None:
            raise DiloError(
                f"{where}: must be the id or the file name of an image of {data.name} that has an "
                f"object, such as {data.images[0].image_id}, got {word[:100]!r}"
            )
        if image_id in chosen:
            raise DiloError(
                f"{where}: an image must be listed once, got {word}, also in line "
                f"{chosen[image_id]}"
            )
        chosen[image_id] = number
    if not chosen:
        raise DiloError(f"--list {list_file} must name images, one a line, got none")
    return set(chosen)


def _published(
    data: DetectionSet, list_file: Path, content: Any, fraction: float | None, seed: int
) -> DetectionSet:
    """Choose one of the lists of Unbiased Teacher: positions of images, by per cent and run.

    They count the images of train2017 that have an object, by ascending id, from 0.
    """
    shares = _by_number(content, list_file)
    if fraction is None or round(100 * fraction, 6) not in shares:
        raise DiloError(
            f"--list {list_file} needs --fraction, one of "
            f"{', '.join(f'{share / 100:g}' for share in sorted(shares))}, got {fraction}"
        )
    runs = _by_number(shares[round(100 * fraction, 6)], list_file)
    places = runs.get(seed)
    if not isinstance(places, list) or not all(type(place) is int for place in places):
        raise DiloError(
            f"--list {list_file} has the runs {first_few([f'{run:g}' for run in sorted(runs)])} of "
            f"this share, got --seed {seed}"
        )
    expected = int(fraction * len(data.images))
    if len(places) != expected or not all(0 <= place < len(data.images) for place in places):
        raise DiloError(
            f"--list {list_file} must fit the images, {expected} of {len(data.images)} that have "
            f"an object, got a list of {len(places)}: it is of COCO's whole train2017"
        )
    return _part(data, places, f"{fraction:.4%}", seed)


def _by_number(content: object, list_file: Path) -> dict[float, Any]:
    """Read the keys of an object of JSON as numbers: "1" and "1.0" are the same."""
    try:
        if isinstance(content, Mapping):
            return {float(key): value for key, value in content.items()}
    except ValueError:
        pass
    raise DiloError(
        f"--list {list_file} must have positions by per cent and run, as COCO_supervision.txt, got "
        f"{str(content)[:100]}"
    )

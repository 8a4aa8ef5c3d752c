"""A sheet of variations, with what each classifier takes them for."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dilo.eval.backgrounds.challenge import Challenge, frame
from dilo.eval.backgrounds.classify import Answers, ClassifierUnderTest
from dilo.eval.backgrounds.draws import MIXED
from dilo.eval.backgrounds.variations import Variations, collate, compose
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.sheets import BLANK, Picture, sheet

#: Images on the sheet.
ROWS = 12


def spread_rows(count: int) -> list[int]:
    """Choose the images to show, evenly."""
    places = np.linspace(0, count - 1, min(count, ROWS))
    return [round(float(place)) for place in places]


def folder_sheet(
    variations: Variations,
    candidates: Sequence[ClassifierUnderTest],
    by_classifier: Sequence[Mapping[str, Answers]],
) -> Image.Image:
    """Draw images, their masks and their variations."""
    first = next(iter(by_classifier[0].values()))
    places = {int(position): i for i, position in enumerate(variations.positions)}
    rows = []
    for row in spread_rows(len(first.labels)):
        position = int(first.positions[row])
        _, layers, _ = collate([variations[places[position]]])
        if layers is None:  # readable a moment ago
            continue
        cells = []
        for name, images in compose(layers):
            caption = _caption(variations, position, name)
            if name in by_classifier[0]:
                caption += _answers(
                    candidates, by_classifier, name, position, variations.folder.classes
                )
            cells.append(Picture(_pixels(images[0]), caption))
        covered = float(layers.alphas.float().mean()) / 255
        cells.insert(1, Picture(layers.alphas[0, 0].numpy(), f"mask covers {covered:.0%}"))
        rows.append(cells)
    return sheet(rows)


def challenge_sheet(
    challenge: Challenge,
    side: int,
    candidates: Sequence[ClassifierUnderTest],
    by_classifier: Sequence[Mapping[str, Answers]],
) -> Image.Image:
    """Draw images of each variation, as many of each."""
    columns = []
    for name, answers in by_classifier[0].items():
        folder, cells = challenge.folders[name], []
        for row in spread_rows(len(answers.labels)):
            caption = f"{name}: {challenge.classes[int(answers.labels[row])]}"
            position = int(answers.positions[row])
            caption += _answers(candidates, by_classifier, name, position, challenge.classes)
            try:
                pixels = frame(folder.decode(position), side)
                cells.append(Picture(pixels.permute(1, 2, 0).numpy(), caption))
            except ImageError:  # readable a moment ago
                cells.append(Picture(BLANK, caption))
        columns.append(cells)
    depth = max(map(len, columns))
    padded = [column + [Picture(BLANK)] * (depth - len(column)) for column in columns]
    return sheet(list(zip(*padded, strict=True)))


def _caption(variations: Variations, position: int, name: str) -> str:
    """Say what a picture is."""
    classes, donors = variations.folder.classes, variations.donors
    if name in MIXED:
        return f"{name}: on {classes[donors.background_class(position, name)]}"
    return f"{name}: {classes[int(donors.labels[position])]}" if name == "original" else name


def _answers(
    candidates: Sequence[ClassifierUnderTest],
    by_classifier: Sequence[Mapping[str, Answers]],
    variation: str,
    position: int,
    classes: Sequence[str],
) -> str:
    """Say, a line each, what candidates take a picture for."""
    lines = []
    for classifier_under_test, answers in zip(candidates, by_classifier, strict=True):
        shown = answers[variation]
        # Candidates of another size may lack an image that gave no background at theirs.
        words = [
            classes[answer] if answer >= 0 else "another class"
            for answer in shown.predictions[shown.positions == position].tolist()
        ]
        lines.append(f"\n{classifier_under_test.name}: {''.join(words)}")
    return "".join(lines)


def _pixels(picture: Tensor) -> np.ndarray:
    """Round to 8 bits."""
    return (255 * picture).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()

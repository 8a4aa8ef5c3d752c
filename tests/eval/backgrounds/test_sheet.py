"""Sheets: which pictures they show, and what is written below them."""

import numpy as np
import pytest
import torch
from support.reliance import (
    CLASSES,
    NINE,
    Border,
    Middle,
    challenge_folder,
    classifier_under_test,
    nine_classifier,
    scenes_and_masks,
)

from dilo.eval.backgrounds import sheet
from dilo.eval.backgrounds.challenge import find_challenge
from dilo.eval.backgrounds.classify import (
    Answers,
    ClassifierUnderTest,
    RunOptions,
    classify_challenge,
    classify_variations,
)
from dilo.eval.backgrounds.draws import BackgroundDonors
from dilo.eval.backgrounds.variations import VARIATIONS, Variations, select
from dilo.eval.features.folders import labelled_folder
from dilo.pipeline.store import MaskStore

RUNNING = RunOptions(device=torch.device("cpu"))


@pytest.fixture
def drawn(monkeypatch):
    """Keep the rows of cells that a sheet is drawn of."""
    rows = []
    whole = sheet.sheet
    monkeypatch.setattr(sheet, "sheet", lambda cells: (rows.extend(cells), whole(cells))[1])
    return rows


@pytest.fixture
def variations(tmp_path):
    images, masks = scenes_and_masks(tmp_path, each=2)
    folder, store = labelled_folder(images), MaskStore(masks)
    selection = select(folder, store)
    donors = BackgroundDonors.of(folder.names, folder.labels.numpy(), selection.positions, 0)
    return Variations(folder, store, selection, donors, selection.positions, 28)


def test_a_row_shows_an_image_its_mask_and_its_variations(variations, drawn):
    both = [classifier_under_test(Border(), "beside"), classifier_under_test(Middle(), "object")]
    found = classify_variations(both, variations, VARIATIONS, RUNNING).by_classifier
    made = sheet.folder_sheet(variations, both, found)
    assert made.width == 7 * 164 + 4
    assert len(drawn) == 6
    original, mask, only_fg, no_fg, *mixed = drawn[2]
    green = CLASSES[1]
    assert original.caption == f"original: {green}\nbeside: {green}\nobject: {green}"
    assert mask.caption == "mask covers 8%"  # 64 of 784 pixels
    for kind, cell in zip(VARIATIONS[3:], mixed, strict=True):
        background = CLASSES[variations.donors.background_class(2, kind)]
        assert cell.caption == f"{kind}: on {background}\nbeside: {background}\nobject: {green}"
    assert (only_fg.pixels[mask.pixels == 0] == 0).all()
    assert (no_fg.pixels[mask.pixels == 255] == 0).all()
    for row, column in np.ndindex(28, 28):
        part = only_fg if mask.pixels[row, column] else no_fg
        assert (part.pixels[row, column] == original.pixels[row, column]).all()


def test_a_class_that_is_not_judged_and_an_image_that_was_not_shown_are_told(variations, drawn):
    answers = Answers(torch.tensor([0, 3]), ("a", "b"), torch.tensor([0, 1]), torch.tensor([-1, 1]))
    less = Answers(torch.tensor([3]), ("b",), torch.tensor([1]), torch.tensor([2]))
    both = [classifier_under_test(Border(), "one"), classifier_under_test(Border(), "two")]
    sheet.folder_sheet(variations, both, [{"no_fg": answers}, {"no_fg": less}])
    assert [row[3].caption for row in drawn] == [
        "no_fg\none: another class\ntwo: ",
        f"no_fg\none: {CLASSES[1]}\ntwo: {CLASSES[2]}",
    ]
    assert drawn[0][0].caption == f"original: {CLASSES[0]}"


def test_a_column_shows_a_variation_of_the_challenge(tmp_path, drawn):
    challenge = find_challenge(challenge_folder(tmp_path, ("original", "mixed_next"), each=1))
    fake = [ClassifierUnderTest("beside", nine_classifier(Border()), torch.arange(9))]
    found = classify_challenge(fake, challenge, RUNNING, side=8).by_classifier
    sheet.challenge_sheet(challenge, 8, fake, found)
    captions = [[cell.caption for cell in row] for row in drawn]
    assert captions == [
        [
            f"original: {NINE[label]}\nbeside: {NINE[label]}",
            f"mixed_next: {NINE[label]}\nbeside: {NINE[(label + 1) % 9]}",
        ]
        for label in range(9)
    ]


def test_many_images_are_shown_by_a_dozen_evenly():
    assert sheet.spread_rows(3) == [0, 1, 2]
    many = sheet.spread_rows(1000)
    assert (len(many), many[0], many[-1]) == (12, 0, 999)

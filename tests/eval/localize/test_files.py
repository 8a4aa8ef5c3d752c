"""What is said of a record, and that sheets are of the images that were scored."""

import pytest
from support.located import write_objects

from dilo.eval.common.pairing import find_images_of_truth, open_masks
from dilo.eval.localize.ground_truth import Dataset, MaskTruth
from dilo.eval.localize.metrics import MethodResult
from dilo.eval.localize.output import NAMED, notes, write_sheets
from dilo.eval.localize.scoring import score_all
from dilo.pipeline.errors import DiloError

CLEAN = {"truths_without_image": 0, "skipped": [], "methods": []}


def test_where_all_is_as_it_should_be_nothing_is_said():
    assert notes({**CLEAN, "methods": [{"name": "a", "constant_maps": 0}]}) == []


def test_of_many_images_left_out_the_first_are_named():
    skipped = [{"path": f"{i}.jpg", "reason": "broken"} for i in range(NAMED + 2)]
    lines = notes({**CLEAN, "skipped": skipped})
    assert lines[0] == "12 images cannot be scored and are skipped:"
    assert lines[1:-1] == [f"  {i}.jpg: broken" for i in range(NAMED)]
    assert lines[-1] == "  and 2 more; localize.json names all"
    assert len(notes({**CLEAN, "skipped": skipped[:NAMED]})) == 1 + NAMED


def test_an_image_that_broke_while_it_was_scored_is_not_drawn(tmp_path):
    write_objects(tmp_path, ("1", "2"))
    truth = MaskTruth(tmp_path / "masks")
    keys = list(truth.keys)
    methods = [open_masks("perfect", tmp_path / "perfect", keys)]
    dataset = Dataset(find_images_of_truth(tmp_path / "images", keys), truth, methods, 32)
    scores = score_all(dataset, [], keys, batch=2, workers=0, progress=ignore)
    rows = [
        MethodResult(name, name, score, [], True, baseline=name != "perfect")
        for name, score in zip(("perfect", "center", "random"), scores.rows, strict=True)
    ]
    write_sheets(tmp_path, dataset, [], rows, scores)
    assert [path.name for path in tmp_path.glob("*.png")] == ["sheet-perfect.png"]
    (tmp_path / "images" / "2.jpg").write_bytes(b"no picture")
    with pytest.raises(DiloError, match="must stay as it is until all is written"):
        write_sheets(tmp_path, dataset, [], rows, scores)


def ignore(count):
    """Take a count of images and do nothing with it."""

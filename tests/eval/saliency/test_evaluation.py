"""The whole road from folders of masks to files of numbers and pictures."""

import csv
import json
import re
from importlib.metadata import version

import pytest
from PIL import Image
from support.maps import disc, save, write_maps
from support.runs import photographs_and_masks

from dilo.eval.common.sheets import sheet_names
from dilo.eval.saliency.evaluation import Request, evaluate
from dilo.eval.saliency.metrics import METRICS
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.folder import FolderSource


@pytest.fixture
def maps(tmp_path):
    return write_maps(tmp_path)


def run(root, *names, **settings):
    """Evaluate folders of masks in this process; give the record and what was said."""
    said = []
    request = Request(
        masks=[(name, root / name) for name in names],
        truth=root / "truth",
        out=root / "scores",
        **{"images": None, "allow_missing": False, "jobs": 1, "plots": False, **settings},
    )
    return evaluate(request, said.append).record, said


def test_files_are_written_for_all_methods_and_for_each(maps):
    record, _ = run(maps, "good", "bad", plots=True, images=maps / "images")
    written = {path.name for path in (maps / "scores").iterdir()}
    assert written == {
        "saliency.json",
        "table.txt",
        "per-image.csv",
        "precision-recall.png",
        "f-threshold.png",
        "sheet-good.png",
        "sheet-bad.png",
    }
    for path in (maps / "scores").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert json.loads((maps / "scores" / "saliency.json").read_text()) == record


def test_the_record_says_what_was_scored_how_and_with_which_versions(maps):
    record, _ = run(maps, "good", "bad")
    assert (record["task"], record["images"], record["truths"]) == ("saliency", 4, 4)
    assert record["truth"] == str(maps / "truth")
    assert record["versions"] == {
        name: version(name) for name in ("dilo", "numpy", "pillow", "scipy")
    }
    assert set(record["conventions"]) == {"all", *(number.key for number in METRICS)}
    good, bad = record["methods"]
    assert list(good["numbers"]) == [number.key for number in METRICS]
    assert bad["numbers"]["mae"] == 1
    assert good["numbers"]["max_f_benchmark"] > 0.99 > 0.5 > bad["numbers"]["max_f_benchmark"]
    assert good["masks"] == str(maps / "good")
    assert {len(curve) for curve in good["curves"].values()} == {256}
    assert max(good["curves"]["f_benchmark"]) == good["numbers"]["max_f_benchmark"]
    assert max(good["curves"]["f_per_image"]) == good["numbers"]["max_f_per_image"]
    assert max(good["curves"]["e_measure"]) == good["numbers"]["e_measure_max"]


def test_matplotlib_is_among_the_versions_only_if_it_drew(maps):
    record, _ = run(maps, "good", plots=True)
    assert record["versions"]["matplotlib"] == version("matplotlib")


def test_the_table_has_a_row_a_method_and_says_what_each_number_is(maps):
    record, _ = run(maps, "good", "bad")
    lines = (maps / "scores" / "table.txt").read_text().splitlines()
    assert lines[0] == f"4 images of {maps / 'truth'}"
    numbers = record["methods"][0]["numbers"].values()
    assert lines[3].split() == ["good", *(f"{number:.4f}" for number in numbers)]
    assert lines[4].split()[0] == "bad"
    for number in METRICS:
        assert any(line.startswith(f"{number.column:<12} {number.key}: ") for line in lines)


def test_a_row_an_image_tells_which_are_worst(maps):
    run(maps, "good", "bad")
    with (maps / "scores" / "per-image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["image"]) for row in rows] == [
        (method, f"a/{number}") for method in ("good", "bad") for number in range(4)
    ]
    assert [float(row["mae"]) for row in rows[4:]] == [1.0] * 4
    assert float(rows[0]["max_f"]) == 1
    maes = [float(row["mae"]) for row in rows[:4]]
    assert maes == sorted(maes)
    assert len(set(maes)) == 4


def test_a_truth_without_a_mask_is_an_error_unless_allowed(maps):
    (maps / "bad" / "a" / "2.png").unlink()
    words = (
        f"{maps / 'bad'} must have a mask for each of the 4 ground truths in {maps / 'truth'}, "
        "got none for 1 (a/2): make them, or give --allow-missing to score only images that "
        "every method has a mask for"
    )
    with pytest.raises(DiloError, match=re.escape(words)):
        run(maps, "good", "bad")
    record, said = run(maps, "good", "bad", allow_missing=True)
    assert "  no mask for 1 of 4 ground truths" in said
    assert "scored on the 3 of 4 images that all have" in said
    assert (record["images"], record["truths"]) == (3, 4)
    assert record["skipped"] == [{"path": "a/2", "reason": "no mask of bad"}]
    bad = record["methods"][1]
    alone, _ = run(maps, "bad", allow_missing=True)
    assert alone["methods"][0]["numbers"] == bad["numbers"]  # both on the same three


def test_methods_without_an_image_in_common_are_refused(maps):
    for number in range(4):
        (maps / ("good", "bad")[number % 2] / "a" / f"{number}.png").unlink()
    with pytest.raises(DiloError, match="got 2 folders without one in common"):
        run(maps, "good", "bad", allow_missing=True)


def test_masks_without_a_truth_are_counted_and_not_scored(maps):
    before, _ = run(maps, "good")
    save(maps / "good" / "a" / "more.png", disc((9, 9), 3))
    record, said = run(maps, "good")
    expected = f"good: 5 masks in {maps / 'good'}, 1 of them without a ground truth and not scored"
    assert said[0] == expected
    assert record["methods"][0]["without_truth"] == 1
    assert record["methods"][0]["numbers"] == before["methods"][0]["numbers"]


def test_an_image_that_failed_is_scored_by_its_zero_mask_and_said(tmp_path):
    from dilo.pipeline.compute.shard import ShardBuilder
    from dilo.pipeline.masks.computed import MethodSource
    from dilo.pipeline.store.plan import shard_path

    images, store = photographs_and_masks(tmp_path, 2)
    for path in images.rglob("*.jpg"):
        with Image.open(path) as image:
            shape = image.height, image.width
        save(tmp_path / "truth" / f"{path.stem}.png", disc(shape, 12))
    (images / "class0" / "000.jpg").write_bytes(b"no picture")
    shard_path(store, 0).unlink()
    ShardBuilder(FolderSource(images), store, MethodSource()).build(0)
    record, said = run(tmp_path, "masks", images=images)
    (method,) = record["methods"]
    assert (record["images"], method["failed"]) == (2, ["000"])
    assert any("masks: 1 masks are of images that could not be read" in line for line in said)
    rows = (tmp_path / "scores" / "per-image.csv").read_text().splitlines()
    assert [row.rsplit(",", 1)[1] for row in rows] == ["failed", "1", "0"]
    truth_share = (disc((50, 60), 12) > 128).mean()
    assert f",{truth_share:.6f}," in rows[1]  # the mean absolute error of a zero mask


def test_resized_masks_and_empty_truths_are_said(maps):
    save(maps / "good" / "a" / "1.png", disc((9, 9), 3))
    save(maps / "truth" / "a" / "3.png", disc((16, 40), 0))
    record, said = run(maps, "good")
    assert "good: 1 masks had another size than their ground truth and were resized to it" in said
    assert (
        "1 of 4 ground truths are black: their F is 0 whatever the mask, and the means are lower "
        "by it; take them out if they are no truths"
    ) in said
    assert (record["methods"][0]["resized"], record["empty_truths"]) == (1, 1)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["rbd"], ["sheet-rbd.png"]),
        (["../../etc/passwd"], ["sheet-etc-passwd.png"]),
        (["..", "/", "…"], ["sheet-masks.png", "sheet-masks-2.png", "sheet-masks-3.png"]),
        (["a b", "A-B", "a-b-2"], ["sheet-a-b.png", "sheet-A-B-2.png", "sheet-a-b-2-2.png"]),
        (["x" * 300], [f"sheet-{'x' * 100}.png"]),
    ],
)
def test_no_name_leads_out_of_the_folder_or_over_another_sheet(names, expected):
    assert sheet_names(names) == expected

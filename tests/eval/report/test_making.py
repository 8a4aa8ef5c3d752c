"""The whole page: it says what the records say, claims no more, and needs nothing else."""

import csv
import io
import json
import re
import shutil

import pytest
from support.pages import Page
from support.reports import (
    backgrounds,
    knn,
    picture,
    saliency,
    training,
    whole_run,
    write_json,
)

from dilo.eval.report import curves
from dilo.eval.report.making import Request, make_report
from dilo.pipeline.errors import DiloError

pytest.importorskip("matplotlib")
EVIL = "<b onclick='x'>\"&"


def report(out, *runs, others=(), title="A title"):
    """Make a report; give the page, the record and what was said."""
    said = []
    request = Request(runs=runs, others=others, out=out, title=title)
    record = make_report(request, said.append)
    return Page((out / "report.html").read_text("utf-8")), record, said


@pytest.fixture
def _quick(monkeypatch):
    """Draw no curves, which takes seconds, where they do not matter."""
    monkeypatch.setattr(curves, "plot_runs", lambda runs, path, names, narrow: picture(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Make the report of two whole runs, one with a name that would break a page."""
    root = tmp_path_factory.mktemp("report")
    dilo = whole_run(root / "dilo", top1=53.6, probability=0.3)
    moco = whole_run(root / "moco")
    write_json(root / "masks" / "saliency.json", saliency())
    page, record, said = report(
        root / "out",
        ("dilo", dilo),
        (EVIL, moco),
        others=[("masks", root / "masks")],
        title=EVIL,
    )
    return root, page, record, said


def test_the_page_is_sound_and_needs_nothing_else(whole):
    root, page, _, _ = whole
    assert not page.unpaired
    assert not {"script", "link", "iframe", "object", "b"} & {name for name, _ in page.tags}
    assert not [key for _, found in page.tags for key in found if key.startswith("on")]
    assert all(source.startswith("data:image/") for source in page.attributes("img", "src"))
    assert all(source.startswith("data:image/") for source in page.attributes("source", "srcset"))
    text = (root / "out" / "report.html").read_text()
    assert not re.findall(r"url\(|@import|https?:", text)
    assert "default-src &#x27;none&#x27;" in text


def test_every_link_leads_to_a_heading_and_every_picture_is_told(whole):
    _, page, _, _ = whole
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(set(ids)) == len(ids)
    links = page.attributes("a", "href")
    assert {link.removeprefix("#") for link in links} == set(ids)
    assert links[:3] == ["#summary", "#numbers", "#runs"]
    assert all(page.attributes("img", "alt"))
    assert all(map(int, page.attributes("img", "width")))


def test_the_page_says_what_the_records_say(whole):
    _, page, _, _ = whole
    assert page.text.count(EVIL) > 20
    assert f"kNN top-1, k = 20: dilo 53.6 % (52.0\u201355.2, n = 3,925), {EVIL} 55.1 %" in page.text
    assert "1.5 points higher, within the noise of so many images" in page.text
    assert "paste.probability0.30" in page.text  # the setting, and its two values
    assert "All runs had the same list of images." in page.text
    assert "protocol moco, but not as published: epochs 20 instead of 100" in page.text
    assert "Not the protocol of any paper" in page.text
    assert "floor: center prior" in page.text
    assert "weighted F" in page.text
    assert "dilo: no gradients result: dilo-eval gradients" in page.text
    assert "no saliency result" not in page.text
    assert "60 of 60 (done)" in page.text


def test_all_pictures_lie_beside_the_page_and_nothing_else_does(whole):
    root, page, _, _ = whole
    names = {path.name for path in (root / "out").iterdir()}
    assert {"report.html", "numbers.csv", "curves.png", "curves-narrow.png"} <= names
    assert {"knn-by-k.png", "linear-epochs.png", "knn-classes.png", "backgrounds.png"} <= names
    assert {"dilo-neighbors.png", "dilo-backgrounds-variations.png"} <= names
    assert len(page.attributes("img", "src")) == len(names) - 3  # the narrow curves have no img
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names)


def test_the_numbers_are_the_same_in_the_csv_and_in_the_record(whole):
    root, _, record, said = whole
    text = (root / "out" / "numbers.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["run", "task", "name", "value", "unit"]
    assert len(rows) == len(record["numbers"])
    for row, found in zip(rows, record["numbers"], strict=True):
        assert {key: row[key] for key in ("run", "task", "name", "unit")} == {
            key: found[key] for key in ("run", "task", "name", "unit")
        }
        assert float(row["value"]) == pytest.approx(found["value"], rel=1e-5)
    assert json.loads(json.dumps(record)) == record
    assert said[-1].startswith(f"{root / 'out' / 'report.html'}: 2 runs, {len(rows)} numbers")


def small(root, name, **more):
    """Write a run that has kNN alone, and no curves."""
    write_json(
        root / name / "eval" / "knn" / "knn.json",
        knn(**more) | {"results": [{"k": 20, "top1": more.get("top1", 55.1), "top5": 90.0}]},
    )
    return name, root / name


def test_runs_that_were_not_measured_alike_are_not_compared(tmp_path):
    runs = small(tmp_path, "a", top1=90.0), small(tmp_path, "b", size=32, step=7)
    page, _, _ = report(tmp_path / "out", *runs)
    assert "Not measured alike, and so not compared: kNN top-1, k = 20." in page.text
    assert "knn: other side of the crops, pixels (a 64, b 32)." in page.text
    assert "knn: other step of the checkpoint (a 1764, b 7)." in page.text
    assert "† 90.0" in page.text
    assert "★" not in page.text


def test_a_run_that_leads_beyond_the_noise_is_marked_and_no_other(tmp_path):
    page, _, _ = report(tmp_path / "out", small(tmp_path, "a", top1=90.0), small(tmp_path, "b"))
    assert "a leads, by more than the noise of so many images, in: kNN top-1" in page.text
    assert "★ 90.0" in page.text
    assert "★ 55.1" not in page.text


def test_one_run_alone_makes_a_page(tmp_path):
    page, _, _ = report(tmp_path / "out", small(tmp_path, "a"))
    assert "One run, a: there is nothing to compare it with." in page.text
    assert "Nothing recorded in metrics.jsonl: a." in page.text
    assert "No recipe known: a" in page.text


@pytest.mark.usefixtures("_quick")
def test_a_run_without_results_says_what_is_missing(tmp_path):
    page, record, _ = report(tmp_path / "out", ("a b", training(tmp_path / "a b", 0.3)))
    assert record["numbers"] == []
    assert "No record of these runs holds a number yet" in page.text
    for task in ("knn", "linear", "localize", "backgrounds", "neighbors", "gradients"):
        assert f"a b: no {task} result: dilo-eval {task} --" in page.text
    assert f"'{tmp_path / 'a b'}'" in page.text  # quoted, for a shell
    assert (tmp_path / "out" / "numbers.csv").read_text() == "run,task,name,value,unit\n"


@pytest.mark.usefixtures("_quick")
def test_damage_is_told_on_the_page_and_on_the_way(tmp_path):
    run = training(tmp_path / "run", 0.3)
    (run / "eval" / "knn").mkdir(parents=True)
    (run / "eval" / "knn" / "knn.json").write_text("{")
    (run / "eval" / "knn" / "x.png").write_text("no picture")
    page, record, said = report(tmp_path / "out", ("run", run))
    assert len(record["notes"]) == 2
    assert said[:2] == record["notes"]
    assert all(note in page.text for note in record["notes"])


@pytest.mark.usefixtures("_quick")
def test_runs_of_other_images_are_told_apart(tmp_path):
    runs = [(d, training(tmp_path / d, 0.0, digest=d * 4)) for d in "ab"]
    page, _, _ = report(tmp_path / "out", *runs)
    assert f"the runs had different lists of images (digests a {'a' * 12}, b {'b' * 12})" in (
        page.text
    )
    assert "The runs had different lists of images." in page.text


@pytest.mark.usefixtures("_quick")
def test_results_of_other_checkpoints_than_the_last_are_told(tmp_path):
    run = training(tmp_path / "run", 0.0, steps=60)
    write_json(run / "eval" / "knn" / "knn.json", knn(step=40))
    page, _, _ = report(tmp_path / "out", ("run", run))
    assert "run: its results are of step 40, and it has trained to 60." in page.text
    shutil.rmtree(tmp_path / "out")
    write_json(run / "eval" / "backgrounds" / "backgrounds.json", backgrounds("run"))
    page, _, _ = report(tmp_path / "out", ("run", run))
    assert "several checkpoints (steps: backgrounds 1764, knn 40)" in page.text


def test_names_in_an_included_folder_are_those_of_the_runs(tmp_path):
    write_json(tmp_path / "both" / "b.json", backgrounds("a", "stranger", gap=20.0))
    runs = small(tmp_path, "a"), small(tmp_path, "b")
    page, record, _ = report(tmp_path / "out", *runs, others=[("both", tmp_path / "both")])
    gaps = {n["run"]: n["value"] for n in record["numbers"] if n["name"] == "BG-gap"}
    assert gaps == {"a": 20.0, "both: stranger": 20.0}
    assert "BG-gap: a 20.0 points" in page.text
    assert "a: no backgrounds result" not in page.text


def test_pictures_beyond_the_first_of_a_folder_are_counted(tmp_path):
    name, run = small(tmp_path, "a")
    for i in range(26):
        picture(run / "eval" / "knn" / f"{i:02}.png", side=4)
    page, _, _ = report(tmp_path / "out", (name, run))
    assert len(page.attributes("img", "src")) == 24
    assert "2 more pictures lie beside the records and are not shown." in page.text


@pytest.mark.parametrize("name", ["=1+1", " =1+1", "\uff1d1+1"])
def test_no_cell_of_the_csv_is_a_formula(tmp_path, name):
    _, run = small(tmp_path, "a")
    report(tmp_path / "out", (name, run))
    rows = (tmp_path / "out" / "numbers.csv").read_text().splitlines()[1:]
    assert rows
    assert all(row.startswith(f"'{name},") for row in rows)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(DiloError, match=r"run must be the folder of a run, or hold results of"):
        report(tmp_path / "out", ("run", tmp_path / "run"))
    assert not (tmp_path / "out").exists()

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
    localize,
    picture,
    saliency,
    training,
    whole_run,
    write_json,
)

from dilo.eval.report import sections
from dilo.eval.report.page import Request, make_report
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
    monkeypatch.setattr(sections, "plot_runs", lambda runs, path, names, narrow: picture(path))


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
    policy = page.attributes("meta", "content")[2]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_link_leads_to_a_heading_and_every_picture_is_told(whole):
    _, page, _, _ = whole
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(set(ids)) == len(ids)
    links = page.attributes("a", "href")
    assert {link.removeprefix("#") for link in links} == set(ids)
    assert links[:3] == ["#numbers", "#runs", "#recipes"]
    assert all(page.attributes("img", "alt"))
    assert all(map(int, page.attributes("img", "width")))


def test_the_page_says_what_the_records_say(whole):
    _, page, _, _ = whole
    assert page.text.count(EVIL) > 20
    assert "k = 20 %, more is better ≈ 53.6 52.0\u201355.2 ≈ 55.1 53.5\u201356.7 3,925" in page.text
    assert "paste.probability 0.3 0" in page.text  # the setting, and its two values
    assert "All runs had the same list of images." in page.text
    assert "protocol moco, but not as published: epochs 20 instead of 100" in page.text
    assert "Not the protocol of any paper" in page.text
    assert "baseline: center prior" in page.text
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
    assert list(rows[0]) == ["run", "task", "data", "name", "value", "unit"]
    assert len(rows) == len(record["numbers"])
    for row, found in zip(rows, record["numbers"], strict=True):
        assert {key: row[key] for key in ("run", "task", "name", "unit")} == {
            key: found[key] for key in ("run", "task", "name", "unit")
        }
        assert float(row["value"]) == pytest.approx(found["value"], rel=1e-5)
    assert json.loads(json.dumps(record)) == record
    assert record["page"] == str(root / "out" / "report.html")
    assert said == []


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
    assert "knn: other side of the crops, pixels (a 64, b 32)." in page.text
    assert "knn: other step of the checkpoint (a 1764, b 7)." in page.text
    assert "† 90.0" in page.text
    assert "★" not in page.text


def test_a_run_that_leads_beyond_the_noise_is_marked_and_no_other(tmp_path):
    page, _, _ = report(tmp_path / "out", small(tmp_path, "a", top1=90.0), small(tmp_path, "b"))
    assert "★ best, and by more than the noise of the number of test images." in page.text
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
    assert "None yet: see what is missing." in page.text
    for task in ("knn", "linear", "localize", "backgrounds", "neighbors", "gradients"):
        assert f"a b: no {task} result: dilo-eval {task} --" in page.text
    assert f"'{tmp_path / 'a b'}'" in page.text  # quoted, for a shell
    assert (tmp_path / "out" / "numbers.csv").read_text() == "run,task,data,name,value,unit\n"


@pytest.mark.usefixtures("_quick")
def test_damage_is_told_on_the_page_and_on_the_way(tmp_path):
    run = training(tmp_path / "run", 0.3)
    (run / "eval" / "knn").mkdir(parents=True)
    (run / "eval" / "knn" / "knn.json").write_text("{")
    (run / "eval" / "knn" / "x.png").write_text("no picture")
    page, record, said = report(tmp_path / "out", ("run", run))
    assert len(record["notes"]) == 2
    assert said == record["notes"]
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
    assert "BG-gap points, less is better 20.0" in page.text
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


def measured(root, name, *folders):
    """Write kNN of a run on several sets of images."""
    for number, folder in enumerate(folders, start=1):
        beside = "knn" if number == 1 else f"knn-{folder}"
        record = knn() | {"results": [{"k": 20, "top1": 50.0 + number, "top5": 90.0}]}
        record["inputs"] = {
            part: {"folder": f"/{folder}/{part}", "digest": f"{folder} {part}"}
            for part in ("train", "test")
        }
        record["name"] = folder
        write_json(root / name / "eval" / beside / "knn.json", record)
    return name, root / name


def top1(record):
    """List the run, data set and value of each top-1."""
    numbers = record["numbers"]
    return {(n["run"], n["data"], n["value"]) for n in numbers if n["name"] == "kNN top-1, k = 20"}


def test_results_of_several_data_sets_are_all_shown_each_by_its_name(tmp_path):
    runs = measured(tmp_path, "a", "flowers", "birds"), measured(tmp_path, "b", "flowers")
    page, record, _ = report(tmp_path / "out", *runs)
    assert top1(record) == {("a", "flowers", 51.0), ("a", "birds", 52.0), ("b", "flowers", 51.0)}
    # The first table: of each data set a row, with a dash for the run that lacks it.
    assert (
        "kNN, flowers kNN top-1, k = 20 %, more is better ≈ 51.0 49.4\u201352.6 ≈ 51.0" in page.text
    )
    assert "kNN, birds kNN top-1, k = 20 %, more is better 52.0 50.4\u201353.6 \u2013" in page.text
    assert "is not shown" not in page.text
    assert "Not measured alike" not in page.text
    assert str(tmp_path / "a" / "eval" / "knn-birds" / "knn.json") in page.text


def test_runs_measured_on_other_images_are_not_compared(tmp_path):
    runs = measured(tmp_path, "a", "flowers"), measured(tmp_path, "b", "birds")
    page, _, _ = report(tmp_path / "out", *runs)
    assert "knn: other test images (a flowers/test, b birds/test)." in page.text
    assert "≈" not in page.text


def test_runs_that_share_a_data_set_need_no_warning(tmp_path):
    runs = measured(tmp_path, "a", "flowers", "birds"), measured(tmp_path, "b", "birds")
    page, _, _ = report(tmp_path / "out", *runs)
    assert "other test images" not in page.text
    assert "kNN, birds kNN top-1, k = 20 %, more is better ≈ 52.0" in page.text


def test_of_one_data_set_the_later_step_is_shown(tmp_path):
    name, run = measured(tmp_path, "a", "flowers", "birds")
    record = json.loads((run / "eval" / "knn-birds" / "knn.json").read_text())
    later = {**record, "step": 9999, "results": [{"k": 20, "top1": 77.0}]}
    write_json(run / "eval" / "knn-3" / "knn.json", later)
    page, record, _ = report(tmp_path / "out", (name, run))
    assert top1(record) == {("a", "flowers", 51.0), ("a", "birds", 77.0)}
    assert "knn-birds/knn.json is not shown, for" in page.text


def test_a_checkpoint_stands_as_a_run_of_its_own(tmp_path):
    name, run = small(tmp_path, "moco", top1=60.0)
    write_json(
        run / "eval" / "knn-step-0" / "knn.json",
        knn(step=0) | {"results": [{"k": 20, "top1": 20.0}]},
    )
    checkpoint = run / "checkpoints" / "step-00000000.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    page, record, _ = report(tmp_path / "out", ("untrained", checkpoint), (name, run))
    assert {(run, value) for run, _, value in top1(record)} == {("untrained", 20.0), ("moco", 60.0)}
    assert "★ 60.0" in page.text  # that the step differs is what is compared
    assert "other step" not in page.text
    assert f"untrained: no linear result: dilo-eval linear --checkpoint {checkpoint}" in page.text
    with pytest.raises(DiloError, match=r"must be the folder of a run, or a checkpoint RUN/check"):
        report(tmp_path / "out", ("untrained", run / "eval" / "knn" / "knn.json"))


def test_what_is_missing_names_the_folders_that_another_run_was_measured_on(tmp_path):
    runs = [measured(tmp_path, "a", "of flowers"), small(tmp_path, "b")]
    (tmp_path / "b" / "eval" / "knn" / "knn.json").rename(tmp_path / "b" / "x.json")
    record = json.loads((tmp_path / "b" / "x.json").read_text())
    write_json(tmp_path / "b" / "x.json", record | {"task": "linear"})
    localized = localize("a", 40.0) | {
        "inputs": {"images": {"folder": "/images"}, "truth": {"folder": "/boxes.csv"}},
        "truth_kind": "boxes",
    }
    write_json(tmp_path / "a" / "eval" / "localize" / "localize.json", localized)
    page, _, _ = report(tmp_path / "out", *runs)
    b = tmp_path / "b"
    folders = "--train '/of flowers/train' --test '/of flowers/test'"
    assert f"b: no knn result: dilo-eval knn --checkpoint {b} {folders}" in page.text
    assert f"dilo-eval localize --checkpoint {b} --images /images --boxes /boxes.csv" in page.text
    assert f"dilo-eval gradients --checkpoint {b} --images DIR" in page.text


@pytest.mark.usefixtures("_quick")
def test_the_report_says_when_a_run_was_started_and_last_resumed(tmp_path):
    run = training(tmp_path / "run", 0.0)
    facts = json.loads((run / "run.json").read_text())
    starts = [{"time": "2026-01-01T01:01:01+00:00"}, {"time": facts["time"]}]
    write_json(run / "run.json", facts | {"starts": starts})
    page, _, _ = report(tmp_path / "out", ("run", run))
    assert "2026-01-01 01:01:01 UTC; last resumed 2026-01-02 03:04:05 UTC" in page.text
    write_json(run / "run.json", facts | {"starts": starts[1:]})
    page, _, _ = report(tmp_path / "out", ("run", run))
    assert "last resumed" not in page.text


def test_a_report_replaces_none_of_other_runs_and_nothing_else(tmp_path):
    runs = small(tmp_path, "a"), small(tmp_path, "b")
    report(tmp_path / "out", *runs)
    report(tmp_path / "out", *runs, title="Again")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(DiloError, match="the report of the same runs by the same names, got a"):
        report(tmp_path / "out", runs[0])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.txt").write_text("mine")
    with pytest.raises(DiloError, match=r"must be empty, or hold a report, got report\.txt and no"):
        report(tmp_path / "mine", *runs)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before

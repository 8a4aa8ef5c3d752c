"""The gist of records: what is kept of them, and which are a checkpoint's."""

import json
import math
import os
import time

from dilo.eval.export.model_card import gist, records_of, result_gist, run_of

LINEAR = {
    "task": "linear",
    "checkpoint": "/data/runs/dilo/checkpoints/step-00000100.pt",
    "step": 100,
    "best": {"top1": 61.2, "top5": 83.0, "epoch": 4},
    "results": [{"k": 1, "top1": 50.0}, {"k": 20, "top1": 55.5}],
    "unreadable": [{"path": "a", "reason": "b"}],
    "losses": list(range(1000)),
    "versions": {"torch": "2"},
    "nothing": None,
}
GIST = {
    "best": {"top1": 61.2, "top5": 83.0, "epoch": 4},
    "results": [{"k": 1, "top1": 50.0}, {"k": 20, "top1": 55.5}],
    "nothing": None,
    "unreadable": 1,
}


def write(run, name, record):
    path = run / "eval" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record if isinstance(record, str) else json.dumps(record))


def a_run(root):
    path = root / "run" / "checkpoints" / "step-00000100.pt"
    path.parent.mkdir(parents=True)
    path.touch()
    return root / "run", path


def test_scalars_and_short_lists_are_kept_of_every_record_of_the_run(tmp_path):
    run, checkpoint = a_run(tmp_path)
    write(run, "linear/linear", LINEAR)
    write(run, "knn/other", {"task": "knn", "top1": 40})
    other = {"task": "knn", "top1": 40}
    assert records_of(checkpoint, 100) == {"linear": LINEAR, "knn/other": other}
    assert (result_gist(LINEAR), result_gist(other)) == (GIST, {"top1": 40})
    (run / "eval" / "linear" / "classifier.pth").touch()
    assert run_of(run / "eval" / "linear" / "classifier.pth") == run.resolve()
    assert records_of(run / "eval" / "linear" / "classifier.pth", 100)["linear"] == LINEAR


def test_records_of_another_step_are_another_checkpoints(tmp_path):
    run, checkpoint = a_run(tmp_path)
    write(run, "linear/linear", LINEAR | {"step": 99})
    write(run, "knn/knn", {"task": "knn", "step": None, "top1": 40})
    assert set(records_of(checkpoint, 100)) == {"knn"}


def test_what_is_no_record_is_passed_over(tmp_path):
    run, checkpoint = a_run(tmp_path)
    for number, text in enumerate(("{", "[1]", '{"task": 3}', "[" * 100_000, "\x00", "{}")):
        write(run, f"x/{number}", text)
    (run / "eval" / "x" / "bytes.json").write_bytes(b"\xff\xfe")
    (run / "eval" / "x" / "folder.json").mkdir()
    write(run, "knn/knn", {"task": "knn", "top1": 40})
    assert records_of(checkpoint, 100) == {"knn": {"task": "knn", "top1": 40}}


def test_a_file_of_no_run_has_no_results(tmp_path):
    (tmp_path / "moco.pth").touch()
    assert run_of(tmp_path / "moco.pth") is None
    assert records_of(tmp_path / "moco.pth", None) == {}


def test_what_json_cannot_hold_is_dropped():
    values = {"nan": math.nan, "inf": math.inf, "bytes": b"x", 3: 4, "deep": [[[[1]]]], "ok": True}
    assert gist(values | {"long": "x" * 201, "line": "a\nb", "list": [1, math.nan]}) == {
        "ok": True,
        "line": "a\\x0ab",
    }


def test_of_a_path_the_last_name_is_kept():
    assert gist({"test": "/home/me/val", "masks": "a/b", "root": "/"}) == {
        "test": "val",
        "masks": "a/b",
        "root": "",
    }


def test_a_record_that_holds_itself_many_times_is_cut_short():
    nested = {"x": 1}
    for _ in range(50):
        nested = {f"{i}": nested for i in range(20)}
    started = time.monotonic()
    assert len(json.dumps(gist(nested))) < 100_000
    assert time.monotonic() - started < 30  # and not never


def test_a_record_that_no_program_wrote_is_passed_over(tmp_path):
    run, checkpoint = a_run(tmp_path)
    write(run, "knn/deep", "[" * 200_000)
    write(run, "knn/long", '{"task": "knn", "top1": ' + "9" * 4000 + "}")
    write(run, "knn/knn", {"task": "knn", "top1": 40})
    os.mkfifo(run / "eval" / "knn" / "pipe.json")
    assert records_of(checkpoint, 100) == {"knn": {"task": "knn", "top1": 40}}

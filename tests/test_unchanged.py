"""Tests of benchmarks/unchanged.py: whatever differs between two records is named."""

import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "unchanged.py"
RECORD = {"stores": {"rbd": {"shard 0 masks": "a1"}}, "runs": {"moco": {"loss": ["0x1p+0"]}}}


def compared(folder, monkeypatch, after, *more):
    paths = [folder / "before.json", folder / "after.json"]
    for path, record in zip(paths, (RECORD, after), strict=True):
        path.write_text(json.dumps(record))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "compare", *map(str, paths), *more])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return ended.value.code


def test_equal_records_are_the_same(tmp_path, monkeypatch, capsys):
    assert compared(tmp_path, monkeypatch, RECORD) == 0
    assert capsys.readouterr().out == "the same: 2 values\n"


def test_what_differs_or_is_in_one_record_alone_is_named(tmp_path, monkeypatch, capsys):
    after = {"stores": {"rbd": {"shard 0 masks": "a2"}}, "runs": {"moco": {"l": ["0x1p+0"]}}}
    assert compared(tmp_path, monkeypatch, after) == 1
    assert capsys.readouterr().out.splitlines() == [
        "differs: stores / rbd / shard 0 masks",
        "only before: runs / moco / loss",
        "only after: runs / moco / l",
    ]


def test_only_the_parts_that_are_asked_for_are_compared(tmp_path, monkeypatch, capsys):
    after = RECORD | {"runs": {"moco": {"loss": ["0x1.8p+0"]}}}
    assert compared(tmp_path, monkeypatch, after, "--only", "stores") == 0
    assert compared(tmp_path, monkeypatch, after, "--only", "runs") == 1


def test_a_comparison_of_nothing_fails(tmp_path, monkeypatch):
    assert compared(tmp_path, monkeypatch, RECORD, "--only", "views") == 1

"""Findings in words and for machines."""

import json
from pathlib import Path

from dilo.pipeline.doctor.report import Diagnosis, Finding

FOUND = Diagnosis(
    Path("masks"),
    [
        Finding("cores", "ok", "2 of 2"),
        Finding("memory", "breaks", "none", "get some"),
        Finding("disk", "slow", "old"),
    ],
)


def test_each_check_is_an_aligned_line_with_its_advice_on_the_next():
    assert FOUND.report_lines() == [
        "ok      cores   2 of 2",
        "BREAKS  memory  none",
        "                get some",
        "SLOW    disk    old",
        "masks: 3 checks; 1 would break a run here, 1 would slow it",
    ]


def test_the_record_is_json_and_counts():
    record = json.loads(json.dumps(FOUND.as_dict()))
    assert (record["directory"], record["breaks"], record["slow"]) == ("masks", 1, 1)
    assert record["findings"][1] == {
        "check": "memory",
        "level": "breaks",
        "found": "none",
        "advice": "get some",
    }

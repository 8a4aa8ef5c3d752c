"""The page of what a GPU is owed: written to its end, whatever becomes of a part."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_report.py"


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("gpu_report", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def part(report, name, code, limit=60):
    return report.Part(
        name=name,
        title=name,
        full=[],
        toy=["-c", code],
        limit=limit,
        figures={"images/s": "rates.real", "share": "share"},
    )


def test_a_page_has_the_figures_and_a_part_that_fails_or_hangs_is_a_line_of_it(report):
    record = {"rates": {"real": 3210.5}, "share": None}
    codes = {
        "fast": f"print('noise'); print({json.dumps(json.dumps(record))})",
        "broken": "raise SystemExit('no room')",
        "silent": "print('not JSON')",
    }
    outcomes = [report.run(part(report, name, code), toy=True) for name, code in codes.items()]
    hanging = part(report, "hanging", "import time; time.sleep(1000)", limit=1)
    outcomes.append(report.run(hanging, toy=True))
    lines = report.page(outcomes, toy=True).splitlines()
    rows = [line.rpartition("|")[0].rpartition("|")[0] for line in lines if line.startswith("| ")]
    assert rows[1:] == [
        "| fast | images/s 3,210, share - ",
        "| broken | **ended with status 1** ",
        "| silent | **printed no JSON** ",
        "| hanging | **stopped after 1 s** ",
    ]
    assert "no room" in lines


def test_all_parts_together_take_less_than_twenty_five_minutes(report):
    assert sum(part.limit for part in report.parts(None)) < 25 * 60


def test_at_toy_size_a_real_part_is_run_on_a_cpu(tmp_path):
    words = [sys.executable, SCRIPT, "--toy", "--only", "knn", "--out", tmp_path / "page.md"]
    done = subprocess.run(
        words,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    page = (tmp_path / "page.md").read_text()
    assert done.returncode == 0, page
    assert "| Nearest neighbours out of a file | seconds 0" in page
    assert '"same_neighbours": 1.0' in page

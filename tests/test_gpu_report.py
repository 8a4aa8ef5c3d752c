"""The page of what a GPU is owed: written to its end, whatever becomes of a part."""

import importlib.util
import json
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


def test_at_toy_size_a_real_part_is_run_on_a_cpu(report, tmp_path, monkeypatch):
    words = ("gpu_report.py", "--toy", "--only", "knn", "--out", str(tmp_path / "page.md"))
    monkeypatch.setattr(sys, "argv", list(words))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(SystemExit) as ended:
        report.main()
    page = (tmp_path / "page.md").read_text()
    assert ended.value.code == 0, page
    assert "| Nearest neighbours out of a file | seconds 0" in page
    assert '"same_neighbours": 1.0' in page

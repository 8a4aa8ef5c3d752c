"""`dilo-prep doctor`: words, JSON, exit status, and nothing left behind."""

import json

from support.cli import invoke

from dilo.pipeline import doctor
from dilo.pipeline.cli import main
from dilo.pipeline.doctor.report import Diagnosis, Finding


def test_the_doctor_examines_the_nearest_folder_and_makes_none(tmp_path):
    diagnosis = doctor.examine(tmp_path / "new" / "store", jobs=1)
    found = {finding.check: finding for finding in diagnosis.findings}
    assert found["folder"].found == f"does not exist yet; checked {tmp_path}"
    checks = {"file system", "writing", "renaming", "cores", "memory", "OpenCV"}
    assert checks <= set(found)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_breaks_a_run_and_is_not_tried(tmp_path):
    (tmp_path / "file").touch()
    shown = invoke(main, "doctor", tmp_path / "file", status=1).stdout
    assert f"BREAKS  folder         {tmp_path / 'file'} is a file" in shown
    record = json.loads(invoke(main, "doctor", tmp_path / "file", "--json", status=1).output)
    assert record["directory"] == str(tmp_path / "file")
    assert "writing" not in [finding["check"] for finding in record["findings"]]


def test_what_slows_a_run_is_no_fault_and_what_breaks_it_is(tmp_path, monkeypatch):
    for level, status in (("ok", 0), ("slow", 0), ("breaks", 1)):
        found = Diagnosis(tmp_path, [Finding("cores", level, "few")])
        monkeypatch.setattr(doctor, "examine", lambda directory, jobs, found=found: found)
        assert "cores" in invoke(main, "doctor", tmp_path, status=status).stdout


def test_a_check_that_stumbles_leaves_the_others(tmp_path, monkeypatch):
    def stumble(*_):
        raise ImportError("No module named 'joblib'")

    monkeypatch.setattr(doctor.machine, "cores", stumble)
    found = {finding.check: finding.found for finding in doctor.examine(tmp_path, 1).findings}
    assert found["cores"] == "cannot be checked here: No module named 'joblib'"
    assert "OpenCV" in found


def test_no_workers_are_wrong_usage(tmp_path):
    refused = invoke(main, "doctor", tmp_path, "--workers", 0, status=2)
    assert "0 workers do nothing: -1 starts one for each core" in refused.stderr

"""`dilo-train plot`: a picture of runs, or a sentence."""

import importlib.util
import json

from PIL import Image
from support.cli import invoke

from dilo.train.cli import main


def test_runs_become_a_picture(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2)]
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(lines))
    out = tmp_path / "curves.png"
    shown = invoke(main, "plot", tmp_path / "a", tmp_path / "b", "--out", out)
    assert f"{out}: 2 runs" in shown.stdout
    with Image.open(out) as picture:
        assert picture.format == "PNG"


def test_runs_are_named_on_the_command_line(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "dilo.train.monitor.plot.plot_runs", lambda *arguments: drawn.append(arguments)
    )
    runs, out = [tmp_path / "a", tmp_path / "b=c"], tmp_path / "curves.png"
    for run in runs:
        run.mkdir()
    invoke(main, "plot", *runs, "--out", out)
    invoke(main, "plot", f"dilo={runs[0]}", runs[1], "--out", out)
    assert drawn == [(runs, out, None), (runs, out, ["dilo", "b=c"])]
    twice = invoke(main, "plot", runs[0], f"x={runs[1]}", f"x={runs[0]}", "--out", out, status=2)
    assert "each RUN must have its own name, got x twice" in " ".join(twice.stderr.split())
    missing = invoke(main, "plot", "dilo=nowhere", "--out", out, status=2)
    assert "must be a RUN, or NAME=RUN, got dilo=nowhere: not found" in missing.stderr


def test_what_cannot_be_drawn_is_said_in_a_sentence(tmp_path):
    out = tmp_path / "curves.png"
    assert "Missing option '--out'" in invoke(main, "plot", tmp_path, status=2).stderr
    shown = invoke(main, "plot", tmp_path, "--out", out, status=3)
    assert "must be the folder of a run that has recorded something" in shown.stderr
    assert not out.exists()


def test_without_matplotlib_the_program_says_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "dilo.pipeline.common.extras.find_spec",
        lambda name: None if name == "matplotlib" else find(name),
    )
    shown = invoke(main, "plot", tmp_path, "--out", tmp_path / "curves.png", status=3)
    assert "dilo-train plot needs matplotlib: pip install 'dilo[eval]'" in shown.stderr

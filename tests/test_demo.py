"""The demo: its pictures, questions and table; the training is the programs', tested elsewhere."""

import json

import demo
import pytest
from support.cli import invoke
from support.probes import write_small

from dilo.pipeline.cli import main as prep


def test_networks_are_asked_by_the_program_and_their_answers_read(tmp_path, monkeypatch):
    photographs = {name: demo.PHOTOGRAPHS[name] for name in ("coffee", "rocket")}
    monkeypatch.setattr(demo, "PHOTOGRAPHS", photographs)
    monkeypatch.setattr(demo, "PICTURES", 2)
    demo.cut_photographs(tmp_path / "photographs")
    options = ("--images", tmp_path / "photographs", "--out", tmp_path / "masks")
    invoke(prep, "masks", *options, "--backend", "threading")
    for run, steps in (("with-paste", 7), ("without", 7), ("without", 0)):
        write_small(tmp_path / run / "checkpoints" / f"step-{steps:08d}.pt")
    shares = demo.ask(tmp_path, "gray", tmp_path / "answers", 0)
    record = json.loads((tmp_path / "answers" / "backgrounds-retrieval.json").read_text())
    assert (record["photographs"], record["candidates"], record["questions"]) == (2, 4, 2)
    assert [result["name"] for result in record["results"]] == [
        "with paste",
        "without paste",
        "untrained",
    ]
    assert shares == [result["top1"]["value"] for result in reversed(record["results"])]
    assert (tmp_path / "answers" / "retrieval.png").exists()


def test_no_background_of_a_question_is_a_photograph_of_the_training():
    assert not demo.UNSEEN.keys() & demo.PHOTOGRAPHS.keys()
    assert not set(demo.UNSEEN.values()) & set(demo.PHOTOGRAPHS.values())


def test_a_program_that_fails_ends_the_demo_with_its_status():
    with pytest.raises(SystemExit) as ended:
        demo.run("dilo-prep", "status", "nowhere")
    assert ended.value.code == 2

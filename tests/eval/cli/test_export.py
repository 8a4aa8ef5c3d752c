"""`dilo-eval export`: arguments in; exit status, words, JSON and files out."""

import json

import pytest
from support import foreign
from support.checkpoints import write_checkpoint
from support.cli import invoke

from dilo.eval.cli import main
from dilo.eval.models.encoder import load_encoder


@pytest.fixture
def run(tmp_path):
    write_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000007.pt")
    return tmp_path / "run"


def export(run, out, *more, form="torchvision", status=0):
    given = ("--checkpoint", run, "--format", form, "--out", out)
    return invoke(main, "export", *given, *more, status=status)


def test_words_say_what_was_written_and_json_is_the_card(run, tmp_path):
    out = tmp_path / "trunk.pth"
    source = run / "checkpoints" / "step-00000007.pt"
    assert export(run, out).stdout.splitlines() == [
        f"{out}: 126 tensors of {source}, for torchvision",
        f"{out}.card.md: no results",
    ]
    record = json.loads(export(run, out, "--json").stdout)
    card = json.loads((tmp_path / "trunk.pth.card.json").read_text())
    assert record == {"out": str(out), **card}
    assert {path.name for path in tmp_path.iterdir()} == {
        "run", "trunk.pth", "trunk.pth.card.json", "trunk.pth.card.md"
    }  # fmt: skip


def test_results_are_named_and_colours_that_the_format_cannot_say(run, tmp_path):
    (run / "eval" / "knn").mkdir(parents=True)
    (run / "eval" / "knn" / "knn.json").write_text(
        '{"task": "knn", "step": 7, "results": [{"k": 1, "top1": 3}]}'
    )

    def see(content):
        content["dilo"]["recipe"]["views"]["space"] = "unit"

    write_checkpoint(run / "checkpoints" / "step-00000007.pt", see)
    result = export(run, tmp_path / "x.pth")
    assert result.stdout.splitlines()[1] == f"{tmp_path / 'x.pth'}.card.md: knn"
    assert result.stderr == "The network takes unit, which this format cannot say: see the card\n"
    assert export(run, tmp_path / "x.pth", form="moco").stderr == ""


def test_what_does_not_fit_exits_with_3_and_leaves_nothing(run, tmp_path):
    refused = export(run, tmp_path / "x.pth", "--half", "l", status=3)
    assert "holds one backbone: leave --half out" in refused.stderr
    assert list(tmp_path.iterdir()) == [run]


def test_a_photograph_is_not_replaced_by_weights(run, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    refused = export(run, tmp_path / "photo.jpg", status=2)
    assert "a weights file must be called NAME.pth" in refused.stderr
    assert (tmp_path / "photo.jpg").read_bytes() == b"\xff\xd8\xff"


def test_an_out_without_a_folder_exits_with_2_before_any_work(run, tmp_path):
    (run / "checkpoints" / "step-00000007.pt").unlink()  # not even looked for
    assert "its folder must exist" in " ".join(
        export(run, tmp_path / "no" / "x.pth", status=2).stderr.split()
    )
    export(run, tmp_path / "x.pth", form="onnx", status=2)


def test_of_several_networks_one_is_exported_by_its_place_and_is_read_again(tmp_path):
    made = foreign.network()
    path = foreign.saved(tmp_path / "dino.pth", foreign.dino(made.state_dict()))
    out = tmp_path / "trunk.pth"
    result = export(path, out, status=3)
    assert "got 2 whole ones, in student.backbone, teacher.backbone" in result.stderr
    assert not out.exists()
    export(path, out, "--part", "teacher")
    weight = load_encoder(out).network.state_dict()["conv1.weight"]
    assert weight.equal(made.conv1.weight + 1)

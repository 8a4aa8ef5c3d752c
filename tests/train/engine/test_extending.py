"""A finished run that is given more epochs: how it goes on, and what is refused."""

import json
import math

import pytest
import torch
from support.folders import write_class_folders
from support.runs import losses, machine, small_recipe

from dilo.pipeline.errors import CheckpointError
from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.pretrain import train

STEPS = ("paste.probability=0", "optimizer.schedule=step", "optimizer.milestones=[3]")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Thirteen images: three steps an epoch."""
    root = write_class_folders(tmp_path_factory.mktemp("data") / "a", ("ant",), each=13)
    return find_image_set(root, None)


def taught(source, run, epochs, *overrides, **options):
    """Train for some epochs; return what was said."""
    said = []
    recipe = small_recipe(*STEPS, f"optimizer.epochs={epochs}", *overrides)
    train(recipe, source, run, machine(**options), said.append)
    return said


def weights(run):
    return checkpoint.load(checkpoint.newest_checkpoint(run))["state_dict"]


def test_where_the_schedule_does_not_stretch_it_is_the_longer_run_to_the_last_bit(source, tmp_path):
    taught(source, tmp_path / "longer", 4)
    taught(source, tmp_path / "run", 2)
    said = taught(source, tmp_path / "run", 4)
    assert "resuming from step 6 of 12" in said
    expected = "the learning rate stays at 0.06, and is divided by 10 at epoch 3"
    assert f"extended from 2 to 4 epochs: {expected}" in said
    assert losses(tmp_path / "run") == losses(tmp_path / "longer")
    longer = weights(tmp_path / "longer")
    assert all(torch.equal(longer[k], value) for k, value in weights(tmp_path / "run").items())


def test_each_extension_is_said_once_and_kept_with_the_run(source, tmp_path):
    taught(source, tmp_path, 1)
    # Stopped before it has a checkpoint of its own, then after that.
    stopped = {"checkpoint_minutes": 0, "max_minutes": 1e-9}
    assert any("from 1 to 2" in line for line in taught(source, tmp_path, 2, **stopped))
    assert not any("extended" in line for line in taught(source, tmp_path, 2))
    assert any("from 2 to 3" in line for line in taught(source, tmp_path, 3))
    extended = [{"step": 3, "epochs": 1}, {"step": 6, "epochs": 2}]
    assert json.loads((tmp_path / "run.json").read_text())["extended"] == extended
    assert checkpoint.load(checkpoint.newest_checkpoint(tmp_path))["dilo"]["extended"] == extended
    assert "\nepochs = 3\n" in (tmp_path / "recipe.toml").read_text()
    assert (tmp_path / "state").read_text() == "done\n"


def test_an_unfinished_run_a_shorter_one_and_any_other_change_are_refused(source, tmp_path):
    taught(source, tmp_path, 2, max_minutes=1e-9)
    rule = (
        r"optimizer.epochs = 2, asked for 3: a run can be extended when it is finished, and this "
        r"one is at epoch 0: finish it first, with optimizer.epochs = 2; give another --out"
    )
    with pytest.raises(CheckpointError, match=rule):
        taught(source, tmp_path, 3)
    taught(source, tmp_path, 2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="asked for 1: a run can be extended, not shortened"):
        taught(source, tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"optimizer.lr = 0.06, asked for 0.5: a run resumes"):
        taught(source, tmp_path, 3, "optimizer.lr=0.5")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("extended", ["often", [1], [{"step": 1}], [{"step": "1", "epochs": 2}]])
def test_what_is_no_list_of_extensions_is_dropped(source, tmp_path, extended):
    taught(source, tmp_path, 1)
    path = checkpoint.newest_checkpoint(tmp_path)
    content = checkpoint.load(path)
    content["dilo"]["extended"] = extended
    torch.save(content, path)
    taught(source, tmp_path, 1)
    assert "extended" not in json.loads((tmp_path / "run.json").read_text())


def test_with_a_cosine_the_rate_goes_where_the_longer_one_is(source, tmp_path):
    cosine = "optimizer.schedule=cosine"
    taught(source, tmp_path, 2, cosine)
    said = taught(source, tmp_path, 3, cosine)
    assert any("falls from 0.03 to 0.015, where the cosine over 3 epochs is" in s for s in said)
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [line["lr"] for line in lines][-1] == pytest.approx(
        0.03 * (1 + math.cos(2 / 3 * math.pi))
    )

"""Going on: with what was saved, from the newest that is whole, never with anything else."""

import dataclasses
import errno
import json

import pytest
import torch
from support.learners import RECIPE, checkpoints, trained
from support.runs import small_recipe

from dilo.pipeline.errors import AccessError, CheckpointError
from dilo.train.engine import checkpoint


def test_what_is_saved_comes_back(tmp_path):
    before, again = trained(tmp_path, 1, 2), checkpoints(tmp_path)
    assert again.resume(print) == 2
    for name, value in before.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name
    saved, loaded = before.optimizer.state_dict()["state"], again.optimizer.state_dict()["state"]
    assert all(
        torch.equal(saved[i]["momentum_buffer"], loaded[i]["momentum_buffer"]) for i in saved
    )


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99, flip]
)
def test_a_damaged_checkpoint_falls_back_and_says_so(tmp_path, damage):
    trained(tmp_path, 1, 2)
    newest = checkpoint.checkpoint_path(tmp_path, 2)
    newest.write_bytes(damage(newest.read_bytes()))
    said = []
    assert checkpoints(tmp_path).resume(said.append) == 1
    assert "step-00000002.pt must be a whole file" in said[0]
    assert "falling back" in said[0]


def torn(run, *numbers):
    for step in numbers:
        path = checkpoint.checkpoint_path(run, step)
        path.write_bytes(path.read_bytes()[:100])


def test_what_cannot_be_read_is_set_aside_so_that_the_next_checkpoint_stays(tmp_path):
    trained(tmp_path, 3, 6, 9)
    torn(tmp_path, 9)
    said = []
    assert checkpoints(tmp_path).resume(said.append) == 6
    damaged = tmp_path / "checkpoints" / "damaged"
    assert [path.name for path in damaged.iterdir()] == ["step-00000009.pt"]
    assert str(damaged) in said[0]
    trained(tmp_path, 7)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [7, 6]
    trained(tmp_path, 9)
    torn(tmp_path, 9)
    assert checkpoints(tmp_path).resume(said.append, "must") == 7
    names = sorted(path.name for path in damaged.iterdir())
    assert names == ["step-00000009.2.pt", "step-00000009.pt"]


@pytest.mark.parametrize("how", ["auto", "must"])
def test_a_run_never_begins_again_while_checkpoints_of_later_steps_lie_there(tmp_path, how):
    trained(tmp_path, 0, 6, 9)
    torn(tmp_path, 6, 9)
    message = (
        r"that of step 0 alone can be read.*restore intact copies of step-00000009.pt, step-0000"
    )
    with pytest.raises(CheckpointError, match=message):
        checkpoints(tmp_path).resume(print, how)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [9, 6, 0]


def test_a_refusal_sets_nothing_aside(tmp_path):
    trained(tmp_path, 3, 6)
    torn(tmp_path, 6)
    changed = small_recipe("optimizer.lr=0.5")
    with pytest.raises(CheckpointError, match=r"asked for 0\.5"):
        checkpoints(tmp_path, changed).resume(print)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [6, 3]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "ask its owner"),
        (errno.EIO, "the disk does not answer"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ESTALE, "the disk does not answer"),
        (errno.ENOMEM, "memory is short"),
    ],
)
def test_a_checkpoint_that_may_not_be_read_now_is_no_damaged_one(
    tmp_path, monkeypatch, number, remedy
):
    trained(tmp_path, 1, 2)
    newest = checkpoint.checkpoint_path(tmp_path, 2)
    plain = type(newest).open

    def refusing(path, *arguments, **more):
        if path == newest:
            raise OSError(number, "not now", str(path))
        return plain(path, *arguments, **more)

    monkeypatch.setattr(type(newest), "open", refusing)
    with pytest.raises(AccessError, match=remedy):
        checkpoints(tmp_path).resume(print)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [2, 1]


def test_a_folder_of_checkpoints_that_may_not_be_listed_is_no_empty_one(tmp_path, monkeypatch):
    trained(tmp_path, 1)

    def refuse(folder):
        raise PermissionError(errno.EACCES, "not now", str(folder))

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(AccessError, match=r"checkpoints: Permission denied: .*ask its owner"):
        checkpoints(tmp_path).resume(print)


def test_a_link_to_nothing_and_a_newer_format_stop_the_run_instead_of_losing_an_epoch(tmp_path):
    trained(tmp_path, 1)
    newest = checkpoint.checkpoint_path(tmp_path, 2)
    newest.symlink_to(tmp_path / "disk" / "away.pt")
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoints(tmp_path).resume(print)
    newest.unlink()
    content = checkpoint.load(checkpoint.checkpoint_path(tmp_path, 1))
    content["dilo"]["format"] = 2
    torch.save(content, newest)
    with pytest.raises(CheckpointError, match="resume with the version of dilo that wrote it"):
        checkpoints(tmp_path).resume(print)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [2, 1]


@pytest.mark.parametrize("missing", ["optimizer", "scaler", "state_dict"])
def test_a_checkpoint_without_a_part_of_its_state_is_refused_in_words(tmp_path, missing):
    trained(tmp_path, 1)
    path = checkpoint.checkpoint_path(tmp_path, 1)
    content = checkpoint.load(path)
    del content[missing]
    torch.save(content, path)
    with pytest.raises(
        CheckpointError, match=f"must hold what dilo-train wrote, got other values in {missing}"
    ):
        checkpoints(tmp_path).resume(print)


def rewritten(run, change):
    path = checkpoint.checkpoint_path(run, 1)
    content = checkpoint.load(path)
    change(content["dilo"]["recipe"])
    torch.save(content, path)


def test_a_key_that_is_younger_than_the_checkpoint_had_its_default(tmp_path):
    trained(tmp_path, 1)
    rewritten(tmp_path, lambda recipe: recipe["views"].pop("crop"))
    assert checkpoints(tmp_path).resume(print) == 1
    changed = small_recipe("views.crop=center")
    with pytest.raises(CheckpointError, match=r"views.crop = 'random', asked for 'center'"):
        checkpoints(tmp_path, changed).resume(print)


def test_a_key_that_is_no_longer_asked_for_is_named(tmp_path):
    trained(tmp_path, 1)
    rewritten(tmp_path, lambda recipe: recipe["options"].update(temperature=0.1))
    with pytest.raises(CheckpointError, match=r"options.temperature = 0.1, asked for nothing"):
        checkpoints(tmp_path).resume(print)
    asked = dataclasses.replace(RECIPE, options={"temperature": 0.1})
    assert checkpoints(tmp_path, asked).resume(print) == 1


@pytest.mark.parametrize("record", ["metrics.jsonl", "run.json", "recipe.toml"])
def test_records_without_a_checkpoint_are_not_overwritten(tmp_path, record):
    (tmp_path / record).write_text(json.dumps({"of": "a finished run"}))
    (tmp_path / "state").write_text("done\n")
    message = rf"--out .* must be a new folder .* got {record} of a run and no .*another --out"
    for how in ("auto", "never"):
        with pytest.raises(CheckpointError, match=message):
            checkpoints(tmp_path).resume(print, how)
    assert "finished" in (tmp_path / record).read_text()


def test_where_none_can_be_read_the_run_stops(tmp_path):
    trained(tmp_path, 1)
    checkpoint.checkpoint_path(tmp_path, 1).write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of its 1 checkpoints can be read"):
        checkpoints(tmp_path).resume(lambda line: None)


def test_another_recipe_or_other_data_is_refused_by_name(tmp_path):
    trained(tmp_path, 1)
    changed = small_recipe("optimizer.lr=0.5")
    with pytest.raises(CheckpointError, match=r"optimizer.lr = 0.06, asked for 0.5: .*--out"):
        checkpoints(tmp_path, changed).resume(print)
    with pytest.raises(CheckpointError, match="masks = 'masks', asked for 'others'"):
        checkpoints(tmp_path, data={"images": "images", "masks": "others"}).resume(print)


def test_other_masks_are_refused_by_how_they_were_made(tmp_path):
    def with_masks(letter, words):
        kept = checkpoints(tmp_path, data={"images": "images", "masks": letter * 64})
        return dataclasses.replace(kept, notes={"mask_store": words})

    with_masks("a", "rbd, 64 px").save(1, 0)
    words = r"masks = rbd, 64 px \(digest a{12}\), asked for u2net, 64 px \(digest b{12}\):"
    with pytest.raises(CheckpointError, match=words):
        with_masks("b", "u2net, 64 px").resume(print)
    assert with_masks("a", "rbd, 64 px").resume(print) == 1


def test_a_run_without_checkpoints_begins(tmp_path):
    assert checkpoints(tmp_path).resume(print) is None


def test_whether_to_go_on_can_be_said(tmp_path):
    with pytest.raises(CheckpointError, match="--resume must needs a checkpoint to resume from"):
        checkpoints(tmp_path).resume(print, "must")
    assert checkpoints(tmp_path).resume(print, "never") is None
    trained(tmp_path, 1)
    assert checkpoints(tmp_path).resume(print, "must") == 1
    with pytest.raises(CheckpointError, match=r"--resume never .* got .*step-00000001.pt: give an"):
        checkpoints(tmp_path).resume(print, "never")

"""The loop: learning, recording, and the same losses through any interruption."""

import dataclasses
import json
import math
import os
import re
import signal
import time

import pytest
import torch
from support.cli import invoke
from support.launching import start
from support.photographs import photograph_folder
from support.pictures import Pictures
from support.runs import (
    SMALL,
    losses,
    machine,
    method_recipe,
    photographs_and_masks,
    small_recipe,
)

from dilo.eval.models.classifier import load_classifier
from dilo.pipeline.errors import DiloError
from dilo.train.cli import main
from dilo.train.data.draws import CROPS
from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.pretrain import train
from dilo.train.methods import METHODS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(made, module_folder):
    run = module_folder / "undisturbed"
    train(small_recipe("optimizer.epochs=6"), find_image_set(*made), run, machine(), print)
    return run


def test_a_run_leaves_what_its_reader_needs(undisturbed):
    assert len(losses(undisturbed)) == 18
    facts = json.loads((undisturbed / "run.json").read_text())
    assert (facts["images"], facts["steps"], facts["device"]) == (13, 18, "cpu")
    assert "torch" in facts["versions"]
    assert facts["never_pasted"] == 0
    assert re.fullmatch(r"\w+(, refined by \w+)?, \d+ px", facts["mask_store"])
    assert [step for step, _ in checkpoint.list_checkpoints(undisturbed)] == [18, 15, 0]
    lines = (undisturbed / "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["lr"] for line in lines]
    assert rates[0] == 0.06
    assert rates[-1] == pytest.approx(0.03 * (1 + math.cos(5 / 6 * math.pi)))


def kill_after(arguments, run, lines):
    """Start dilo-train and kill -9 its process group once so many steps are recorded."""
    process = start(lambda: main(arguments), run.with_suffix(".log"))
    deadline = time.monotonic() + 120
    metrics = run / "metrics.jsonl"
    while time.monotonic() < deadline and process.is_alive():
        if metrics.exists() and metrics.read_text().count("\n") >= lines:
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create .* worker processes:UserWarning")
def test_the_losses_after_kill_9_are_those_without_it_to_the_last_bit(
    made, undisturbed, tmp_path, workers
):
    run = tmp_path / "run"
    arguments = ["--images", str(made[0]), "--masks", str(made[1]), "--out", str(run)]
    arguments += ["--recipe", "moco-v2-small", "--workers", str(workers), "--log-every", "1"]
    for override in (*SMALL, "optimizer.epochs=6"):
        arguments += ["--set", override]
    kill_after(arguments, run, lines=5)
    invoke(main, *arguments)
    assert losses(run) == losses(undisturbed)
    last = checkpoint.load(checkpoint.checkpoint_path(run, 18))["state_dict"]
    other = checkpoint.load(checkpoint.checkpoint_path(undisturbed, 18))["state_dict"]
    assert all(torch.equal(last[name], other[name]) for name in other)


def test_a_stop_in_the_middle_of_an_epoch_goes_on_there(made, undisturbed, tmp_path):
    recipe, source = small_recipe("optimizer.epochs=6"), find_image_set(*made)
    stop_at_once = machine(max_minutes=1e-9)
    for step in (1, 2):
        assert train(recipe, source, tmp_path, stop_at_once, print).step == step
    said = []
    train(recipe, source, tmp_path, machine(), said.append)
    assert "resuming from step 2 of 18" in said
    assert losses(tmp_path) == losses(undisturbed)


ON_CROPS = (
    *("optimizer.epochs=2", "paste.probability=0.7", "paste.bank=6"),
    *("paste.backgrounds.crops=2", "paste.backgrounds.noise=1"),
)


def test_a_stop_changes_nothing_about_the_backgrounds_of_an_epoch(made, tmp_path):
    recipe, source = small_recipe(*ON_CROPS), find_image_set(*made)
    stores = {CROPS: Pictures("crops", [(20, 30)] * 9)}
    train(recipe, source, tmp_path / "whole", machine(), print, backgrounds=stores)
    # The bank is another one each epoch, and the losses are those of the very pictures.
    other = {CROPS: Pictures("crops", [(20, 30)] * 8)}
    train(recipe, source, tmp_path / "other", machine(), print, backgrounds=other)
    assert losses(tmp_path / "other") != losses(tmp_path / "whole")
    stop_at_once = machine(max_minutes=1e-9)
    for _ in range(4):  # into the second epoch of three steps
        train(recipe, source, tmp_path / "cut", stop_at_once, print, backgrounds=stores)
    train(recipe, source, tmp_path / "cut", machine(), print, backgrounds=stores)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_run_does_not_go_on_with_other_backgrounds(made, tmp_path):
    recipe, source = small_recipe(*ON_CROPS), find_image_set(*made)
    stores = {CROPS: Pictures("crops", [(20, 30)] * 9)}
    train(recipe, source, tmp_path, machine(max_minutes=1e-9), print, backgrounds=stores)
    stores[CROPS].fingerprint = "of other crops"
    with pytest.raises(DiloError, match=r"with backgrounds = 'digest of crops', asked for 'of oth"):
        train(recipe, source, tmp_path, machine(), print, backgrounds=stores)


def test_backgrounds_that_do_not_fit_end_a_run_before_it_begins(made, tmp_path):
    recipe, source = (
        small_recipe(*ON_CROPS, "paste.bank=1048576", "views.size=2048"),
        find_image_set(*made),
    )
    run = tmp_path / "run"
    with pytest.raises(DiloError, match=r"paste.bank must fit .* --set paste.bank=\d+ or less"):
        train(recipe, source, run, machine(), print, backgrounds={})
    assert not run.exists()


def test_a_finished_run_is_left_as_it_is(made, undisturbed):
    recipe, source = small_recipe("optimizer.epochs=6"), find_image_set(*made)
    before = (undisturbed / "metrics.jsonl").read_bytes()
    result = train(recipe, source, undisturbed, machine(), print)
    assert (result.step, result.steps) == (18, 18)
    assert (undisturbed / "metrics.jsonl").read_bytes() == before


def test_copy_paste_and_its_absence_are_different_runs(made, undisturbed, tmp_path):
    recipe = small_recipe("optimizer.epochs=6", "paste.probability=0")
    train(recipe, find_image_set(*made), tmp_path, machine(), print)
    assert losses(tmp_path) != losses(undisturbed)


def test_training_beats_chance(tmp_path):
    """Photographs of different colours, and views that keep them: easily told apart."""
    images = photograph_folder(tmp_path / "images", 64)
    recipe = small_recipe(
        *("views.size=32", "views.order=[]", "paste.probability=0", "model.head=linear"),
        *("optimizer.epochs=20", "optimizer.batch=16", "moco.queue=16", "moco.momentum=0.9"),
    )
    train(recipe, find_image_set(images, None), tmp_path / "run", machine(), print)
    found, chance = losses(tmp_path / "run"), math.log(1 + 16)
    assert sum(found[-8:]) / 8 < 0.92 * chance
    # The queue begins as random directions, which any key beats; chance is met once it fills.
    assert max(found[1:]) > 0.92 * chance


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    made, tmp_path, monkeypatch
):
    class Broken(METHODS["moco"]):
        def forward(self, batch):
            views = tuple(view * (torch.nan if batch.step == 4 else 1) for view in batch.views)
            return super().forward(dataclasses.replace(batch, views=views))

    monkeypatch.setitem(METHODS, "moco", Broken)
    seldom = dataclasses.replace(machine(), log_every=3)
    message = (
        r"must stay a number, got nan at step 5 with learning rate 0.0\d+ \(recorded last: step 3"
    )
    with pytest.raises(DiloError, match=message):
        train(small_recipe(), find_image_set(*made), tmp_path, seldom, print)
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [3, 0]


def numbered(folder):
    """Lay photographs out in twelve classes named by numbers."""
    images = photograph_folder(folder / "flat", 12)
    for label, path in enumerate(sorted(images.rglob("*.jpg"))):
        (folder / "images" / str(label)).mkdir(parents=True)
        path.rename(folder / "images" / str(label) / "0.jpg")
    return folder / "images"


def test_a_run_that_learns_classes_names_them_and_says_that_numbers_are_sorted_so(tmp_path):
    images, lines = numbered(tmp_path), []
    recipe = method_recipe("supervised", "optimizer.epochs=1")
    train(recipe, find_image_set(images, None), tmp_path / "run", machine(), lines.append)
    assert any("classes are whole numbers and sorted as numbers: 0, 1, 2" in x for x in lines)
    newest = checkpoint.load(checkpoint.list_checkpoints(tmp_path / "run")[0][1])
    assert newest["dilo"]["classes"] == tuple(map(str, range(12)))
    classifier = load_classifier(tmp_path / "run")
    assert classifier.classes == tuple(map(str, range(12)))
    assert classifier.numbers(["10", "2"], "images").tolist() == [10, 2]


def test_a_run_that_learnt_classes_in_the_order_of_text_is_not_gone_on_with(tmp_path):
    images = numbered(tmp_path)
    recipe = method_recipe("supervised", "optimizer.epochs=1")
    again = find_image_set(images, None), tmp_path / "run", machine(), print
    train(recipe, *again)
    for _, path in checkpoint.list_checkpoints(tmp_path / "run"):
        content = torch.load(path, weights_only=True)
        del content["dilo"]["classes"], content["dilo"]["class_order"]  # as it was before
        torch.save(content, path)
    with pytest.raises(DiloError, match="made with class_order = '', asked for 'numbers'"):
        train(recipe, *again)


def test_a_run_of_classes_named_by_words_goes_on_from_a_checkpoint_without_them(tmp_path):
    images = photograph_folder(tmp_path / "images", 13)
    again = find_image_set(images, None), tmp_path / "run", machine(), print
    train(method_recipe("supervised", "optimizer.epochs=1"), *again)
    for _, path in checkpoint.list_checkpoints(tmp_path / "run"):
        content = torch.load(path, weights_only=True)
        del content["dilo"]["classes"], content["dilo"]["class_order"]
        torch.save(content, path)
    assert train(method_recipe("supervised", "optimizer.epochs=1"), *again).step == 3


def test_a_run_without_labels_names_no_classes_but_remarks_on_the_parts_of_a_data_set(tmp_path):
    images, lines = photograph_folder(tmp_path / "flat", 13), []
    for number, path in enumerate(sorted(images.rglob("*.jpg"))):
        part = tmp_path / "images" / ("val" if number % 4 else "train")
        part.mkdir(parents=True, exist_ok=True)
        path.rename(part / f"{number}.jpg")
    source = find_image_set(tmp_path / "images", None)
    recipe = method_recipe("moco", "paste.probability=0", "optimizer.epochs=1")
    train(recipe, source, tmp_path / "run", machine(), lines.append)
    assert sum("named train and val, as parts of a data set are" in x for x in lines) == 1
    newest = checkpoint.load(checkpoint.list_checkpoints(tmp_path / "run")[0][1])
    assert not newest["dilo"]["classes"]
    assert not any("numbers" in x for x in lines)

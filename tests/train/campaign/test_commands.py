"""The commands of a campaign, word by word."""

import shlex
import sys

import pytest
from support.campaigns import FILE, load

from dilo.train.campaign.commands import option_words, report_command, runs_of, table_command
from dilo.train.recipes import load_recipe


@pytest.fixture
def campaign(tmp_path):
    return load(tmp_path, FILE)


def test_runs_are_named_by_arm_and_seed_and_those_of_a_seed_stand_together(campaign, tmp_path):
    runs = runs_of(campaign, tmp_path / "out")
    assert [run.name for run in runs] == ["moco-0", "crops-0", "moco-2", "crops-2"]


def test_a_command_is_what_a_user_would_type(campaign, tmp_path):
    out = tmp_path / "out"
    run = runs_of(campaign, out)[3]
    assert run.train.line() == shlex.join(
        [
            *("dilo-train", "--images", "photos", "--recipe", "moco-v2", "--masks", "masks"),
            *("--set", "optimizer.epochs=5", "--set", "paste.probability=0.5"),
            *("--set", "paste.backgrounds.crops=1.0", "--set", "seed=2"),
            *("--backgrounds", "crops", "--backgrounds", "textures"),
            *("--out", str(out / "runs" / "crops-2")),
        ]
    )
    checkpoint = ["--checkpoint", str(run.folder)]
    assert [command.line() for command in run.evaluations] == [
        shlex.join(["dilo-eval", "knn", *checkpoint, "--k", "1", "--k", "20"]),
        shlex.join(["dilo-eval", "linear", *checkpoint, "--fast"]),
    ]
    start = [sys.executable, "-P", "-m", "dilo.eval", "knn"]
    assert run.evaluations[0].argv()[: len(start)] == start


def test_several_processes_share_a_training_and_a_linear_probe_but_nothing_else(tmp_path):
    campaign = load(tmp_path, f"{FILE}\n[evaluate.linear]\n")
    run = runs_of(campaign, tmp_path / "out", 8)[0]
    torchrun = "torchrun --nproc-per-node 8 -m dilo."
    assert run.train.line().startswith(f"{torchrun}train --images photos")
    lines = [command.line() for command in run.evaluations]
    assert [line.startswith(f"{torchrun}eval linear") for line in lines] == [False, False, True]
    assert run.train.argv()[1:6] == ["-P", "-m", "torch.distributed.run", "--nproc-per-node", "8"]


def test_what_is_made_of_all_runs_has_those_of_an_arm_side_by_side(campaign, tmp_path):
    runs = runs_of(campaign, tmp_path)
    for make, name in ((table_command, "table"), (report_command, "report")):
        words = list(make(campaign, runs, tmp_path).words)
        names = ("moco-0", "moco-2", "crops-0", "crops-2")
        folders = [str(tmp_path / "runs" / run) for run in names]
        assert words == [name, *folders, "--out", str(tmp_path / name)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("views.crop_scale", [0.2, 1.0]),
        ("paste.blend", "none"),
        ("paste.probability", 0),
        ("model.arch", "timm:resnet18"),
        ("views.order", ["jitter", "gray"]),
        ("optimizer.weight_decay", 1e-4),
    ],
)
def test_a_value_of_a_recipe_reaches_it_as_it_was_written(key, value):
    (_, word) = option_words({"set": {key: value}})
    section, _, name = key.partition(".")
    read = getattr(getattr(load_recipe("moco-v2", [word]), section), name)
    assert read == (tuple(value) if isinstance(value, list) else value)


def test_text_that_reads_as_a_number_keeps_its_quotes():
    assert option_words({"set": {"a.b": "1"}}) == ["--set", 'a.b="1"']

"""`dilo-train campaign`: what is refused before anything runs, and what is said of the rest."""

import json
import re
import shlex

import pytest
from support.campaigns import calls, install
from support.cli import invoke
from support.folders import write_class_folders

from dilo.train.cli import main

FILE = """
seeds = [0, 1]
[train]
images = "photos"
recipe = "moco-v2-small"
set.paste.probability = 0
[arms.moco]
[arms.long]
set.optimizer.epochs = 50
[evaluate.knn]
train = "photos"
test = "test"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give a folder with images and a campaign, which starts stand-ins of the programs."""
    for name in ("photos", "test"):
        write_class_folders(tmp_path / name, ("ant",), each=1)
    (tmp_path / "campaign.toml").write_text(FILE)
    for name in ("SLURM_ARRAY_TASK_ID", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    install(tmp_path / "programs", monkeypatch)
    return tmp_path


def campaign(folder, *more, status=0):
    """Run the command."""
    return invoke(
        main, "campaign", folder / "campaign.toml", "--out", folder / "out", *more, status=status
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[arms.long]", "[arms.long]\nmask = 'x'", "arms.long: No such option '--mask'"),
        ("[arms.long]", "[arms.long]\nepochs = 9", "give --set optimizer.epochs=9"),
        ("[arms.long]", "[arms.long]\nmasks = 'gone'", "arms.long: .* 'gone' does not exist"),
        ("[arms.long]", "[arms.long]\nout = 'x'", "arms.long: out must not be given"),
        ("[arms.long]", "[arms.long]\nset.seed = 1", "arms.long: set.seed must not be given"),
        ("epochs = 50", "epoch = 50", "arms.long: .*unknown key optimizer.epoch"),
        ("epochs = 50", "epochs = 50\nset.paste.probability = 1", "arms.long: .* needs --masks"),
        ('recipe = "moco-v2-small"', "", "arms.moco: recipe must be given"),
        ('images = "photos"\n', "", "arms.moco: images must be given"),
        ('test = "test"', 'test = "tset"', "evaluate.knn: .* 'tset' does not exist"),
        ('test = "test"', 'test = "test"\nkk = 2', "evaluate.knn: No such option '--kk'"),
        ("[evaluate.knn]", "[evaluate.kn]", "evaluate.kn: .* got 'kn': did you mean knn"),
        ("[arms.moco]", "[table]\nal = true\n[arms.moco]", "table: No such option '--al'"),
    ],
)
def test_what_the_programs_would_refuse_is_refused_before_anything_runs(folder, old, new, words):
    path = folder / "campaign.toml"
    assert FILE.count(old) == 1
    path.write_text(FILE.replace(old, new))
    result = campaign(folder, status=3)
    said = " ".join(result.stderr.split())
    assert said.startswith(f"Error: {path}: ")
    assert re.search(words, said), said
    assert not (folder / "out").exists()
    assert calls(folder) == []


def test_paths_are_below_the_folder_of_the_file_or_below_data(folder):
    (folder / "elsewhere").mkdir()
    (folder / "campaign.toml").rename(folder / "elsewhere" / "campaign.toml")
    file, out = folder / "elsewhere" / "campaign.toml", ("--out", folder / "out", "--dry-run")
    assert "does not exist" in invoke(main, "campaign", file, *out, status=3).stderr
    result = invoke(main, "campaign", file, *out, "--data", folder)
    assert result.stdout.startswith(f"cd {folder}\n")


def test_a_dry_run_prints_a_script_of_what_is_to_do(folder):
    lines = campaign(folder, "--dry-run").stdout.splitlines()
    runs = folder / "out" / "runs"
    assert lines[:2] == [f"cd {folder}", "# moco-0: missing"]
    assert shlex.split(lines[2]) == [
        *("dilo-train", "--images", "photos", "--recipe", "moco-v2-small"),
        *("--set", "paste.probability=0", "--set", "seed=0", "--out", str(runs / "moco-0")),
    ]
    assert lines[3] == (f"dilo-eval knn --checkpoint {runs / 'moco-0'} --train photos --test test")
    assert lines[-2].startswith(f"dilo-eval table {runs / 'moco-0'} {runs / 'moco-1'} ")
    assert not (folder / "out").exists()


def test_status_and_missing_say_what_is_left(folder):
    result = campaign(folder, "--status")
    assert result.stdout.splitlines() == [
        "4 runs: 0 done, 0 running, 0 failed, 4 missing",
        *(
            f"  {name}  train missing, knn missing"
            for name in ("moco-0", "long-0", "moco-1", "long-1")
        ),
    ]
    assert campaign(folder, "--missing").stdout == "0-3\n"
    campaign(folder, "--num-tasks", 4, "--task-id", 2)
    assert calls(folder) == ["train moco-1", "knn moco-1", "table moco-1", "report moco-1"]
    assert campaign(folder, "--missing").stdout == "0-1,3\n"
    assert campaign(folder, "--missing", "--num-tasks", 3).stdout == "0-1\n"
    record = json.loads(campaign(folder, "--status", "--json").stdout)
    assert [run["state"] for run in record["runs"]] == ["missing", "missing", "done", "missing"]
    names = [command["name"] for command in record["runs"][2]["commands"]]
    assert names == ["train", "knn"]


def test_a_task_of_an_array_runs_its_share_and_one_too_many_has_nothing_to_do(folder, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    result = campaign(folder, "--num-tasks", 3)
    assert calls(folder)[::2] == ["train long-0", "table long-0"]
    assert "task 1 of 3, counted from 0, by SLURM_ARRAY_TASK_ID=1" in result.stderr
    assert "1 run: 1 done, 0 running, 0 failed, 0 missing" in result.stderr
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    result = campaign(folder, "--num-tasks", 5)
    assert "nothing to do: there are 4 runs" in result.stderr
    assert calls(folder) == []


def test_a_failed_run_is_told_with_its_log_and_the_status_is_1(folder):
    (folder / "broken").mkdir()
    text = FILE.replace("[arms.long]", '[arms.long]\nimages = "broken"').replace("[0, 1]", "[0]")
    (folder / "campaign.toml").write_text(text)
    result = campaign(folder, status=1)
    assert result.stderr.endswith(
        "2 runs: 1 done, 0 running, 1 failed, 0 missing\n"
        "  moco-0  train done, knn done\n"
        "  long-0  train failed, knn missing\n"
        "    train failed: no images in broken: give another folder\n"
        f"    log: {folder / 'out' / 'logs' / 'long-0' / 'train.log'}\n"
    )


def test_the_table_is_what_is_printed(folder):
    result = campaign(folder)
    assert result.stdout == "made\n"
    record = json.loads(campaign(folder, "--json").stdout)
    assert record["table"] == {"task": "table"}
    assert len(record["runs"]) == 4


def test_torchrun_is_started_by_the_campaign_alone(folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = campaign(folder, status=2)
    assert "campaign starts torchrun itself: give --nproc-per-node N to it" in result.stderr

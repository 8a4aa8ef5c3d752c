"""The job scripts of docs/cluster.md: run as they stand there, under variables of batch systems."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import invoke
from support.photographs import photograph_folder
from support.plugins import install

from dilo.pipeline.cli import main
from dilo.pipeline.common.compiled import CACHE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "cluster.md").read_text()


def named_scripts():
    blocks = re.findall(r"```bash\n(#!/bin/bash\n# (\S+?):?[ \n].*?)```", PAGE, flags=re.S)
    return {name: script for script, name in blocks}


def here(text, folder, tasks):
    """Put a script's data in this folder, with one core for each of a few tasks."""
    text = text.replace("/data/", f"{folder}/")
    text = re.sub(r"\b0-19\b", f"0-{tasks - 1}", re.sub(r"\b20\b", str(tasks), text))
    return text.replace("--cpus-per-task=4", "--cpus-per-task=1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder of six photographs, with the page's programs on PATH.

    The masks are by a method that has nothing to compile: a dozen tasks start.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    dilo_prep = programs / "dilo-prep"
    dilo_prep.write_text(
        "#!/bin/bash\n"
        '[ "$1" = masks ] && set -- "$@" --method light\n'
        f'exec {sys.executable} -m dilo.pipeline "$@"\n'
    )
    sbatch = programs / "sbatch"
    source = (ROOT / "tests" / "support" / "sbatch.py").read_text()
    sbatch.write_text(f"#!{sys.executable}\n{source}")
    for program in (dilo_prep, sbatch):
        program.chmod(0o755)
    installed = install(tmp_path / "installed")
    monkeypatch.setenv("PYTHONPATH", installed["PYTHONPATH"])
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(CACHE.folder))  # the home is no place for tests
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    photograph_folder(tmp_path / "train", 6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(folder):
    store = folder / "masks"
    arguments = ("--images", folder / "train", "--out", store, "--shard-size", 1)
    invoke(main, "masks", *arguments, "--method", "light", "--plan-only")
    return store


def slurm_scripts(folder, tasks):
    for name in ("masks.sbatch", "rounds.sbatch"):
        (folder / name).write_text(here(named_scripts()[name], folder, tasks))


def jobs(folder):
    lines = (folder / "bin" / "jobs").read_text().splitlines()
    return [json.loads(line) for line in lines]


def missing(store):
    return invoke(main, "status", store, "--missing").stdout.strip()


def bash(script, **variables):
    environment = os.environ | variables
    return subprocess.run(
        ["bash", script], env=environment, capture_output=True, text=True, check=False
    )


def test_the_rounds_on_slurm_submit_what_is_missing_until_nothing_is(folder):
    store = plan(folder)
    slurm_scripts(folder, tasks=3)
    (folder / "bin" / "kill").write_text("1")
    subprocess.run(["sbatch", "rounds.sbatch"], check=True, capture_output=True)
    assert [
        (job["script"], job["words"], job["array"], job["dependency"]) for job in jobs(folder)
    ] == [
        ("rounds.sbatch", [], None, None),
        ("masks.sbatch", [], "0-2", None),
        ("rounds.sbatch", ["0-5"], None, "afterany:102"),
        ("masks.sbatch", [], "1", None),
        ("rounds.sbatch", ["1,4"], None, "afterany:104"),
    ]
    log = (folder / "bin" / "log").read_text()
    assert log.endswith("nothing is missing\n")
    assert "task 2 of 3, counted from 0, by SLURM_ARRAY_TASK_ID=2\n" in log
    assert missing(store) == ""
    invoke(main, "verify", store)


def test_the_rounds_on_slurm_end_where_one_made_nothing(folder):
    (folder / "bin" / "dilo-prep").write_text(
        '#!/bin/bash\n[ "$*" = "status ' + f"{folder}/masks --missing" + '" ] && echo 7 || echo 1\n'
    )
    slurm_scripts(folder, tasks=3)
    subprocess.run(["sbatch", "rounds.sbatch"], check=True, capture_output=True)
    assert [(job["script"], job["array"]) for job in jobs(folder)] == [
        ("rounds.sbatch", None),
        ("masks.sbatch", "1"),
        ("rounds.sbatch", None),
    ]
    log = (folder / "bin" / "log").read_text()
    assert log.endswith("the last round made nothing; shards 7 are missing\n")


def test_a_store_that_cannot_be_asked_submits_nothing(folder):
    slurm_scripts(folder, tasks=3)
    ran = bash("rounds.sbatch")
    assert ran.returncode == 2
    assert "does not exist" in ran.stderr
    assert not (folder / "bin" / "jobs").exists()


SYSTEMS = {
    "masks.pbs": {"PBS_ARRAY_INDEX": "0", "NCPUS": "1"},
    "masks.lsf": {
        "LSB_JOBINDEX": "2",
        "LSB_JOBINDEX_END": "4",
        "LSB_JOBINDEX_STEP": "1",
        "LSB_DJOB_NUMPROC": "1",
    },
    "masks.sge": {
        "SGE_TASK_ID": "3",
        "SGE_TASK_FIRST": "1",
        "SGE_TASK_LAST": "4",
        "SGE_TASK_STEPSIZE": "1",
        "NSLOTS": "1",
    },
}


def test_each_other_batch_systems_script_makes_the_share_of_its_task(folder):
    store = plan(folder)
    for index, (name, variables) in enumerate(SYSTEMS.items()):
        (folder / name).write_text(here(named_scripts()[name], folder, tasks=4))
        ran = bash(name, **variables)
        assert ran.returncode == 0, ran.stderr
        assert f"task {index} of 4, counted from 0, by " in ran.stderr
    assert missing(store) == "3"


def test_the_kubernetes_job_makes_the_share_of_its_task(folder):
    yaml = pytest.importorskip("yaml")
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    job = yaml.safe_load(here(text, folder, tasks=4))
    assert (job["kind"], job["spec"]["completionMode"]) == ("Job", "Indexed")
    assert job["spec"]["completions"] == 4
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    assert [volume["name"] for volume in pod["volumes"]] == [mount["name"]]
    command = container["command"]
    cores = command.index("--workers") + 1
    assert container["resources"]["requests"]["cpu"] == command[cores]
    command[cores] = "1"
    store = plan(folder)
    environment = os.environ | {"JOB_COMPLETION_INDEX": "3"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert missing(store) == "0-2,4-5"


@pytest.mark.parametrize(
    ("name", "asked", "used"),
    [
        ("masks.sbatch", r"#SBATCH --cpus-per-task=4\n", "SLURM_CPUS_PER_TASK"),
        ("masks.pbs", r"#PBS -l select=1:ncpus=4:mem=3gb\n", "NCPUS"),
        ("masks.lsf", r"#BSUB -n 4\n", "LSB_DJOB_NUMPROC"),
        ("masks.sge", r"#\$ -pe smp 4\n", "NSLOTS"),
    ],
)
def test_a_script_uses_the_cores_that_it_asks_for(name, asked, used):
    script = named_scripts()[name]
    assert re.search(asked, script)
    assert f'--workers "${used}"' in script


def test_every_script_that_computes_keeps_compiled_code_for_the_next_task_of_its_node():
    line = "export NUMBA_CACHE_DIR=${NUMBA_CACHE_DIR:-$HOME/.cache/dilo/$HOSTNAME}\n"
    scripts = named_scripts()
    assert all(line in scripts[name] for name in scripts if name != "rounds.sbatch")
    yaml = pytest.importorskip("yaml")
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable for variable in container["env"]}
    assert variables["NUMBA_CACHE_DIR"]["value"] == "/data/compiled/$(NODE)"
    assert list(variables) == ["NODE", "NUMBA_CACHE_DIR"]  # one is made of the other


def test_every_script_of_the_page_is_tested_here():
    assert shutil.which("bash")
    assert set(named_scripts()) == {
        *SYSTEMS,
        *("masks.sbatch", "rounds.sbatch", "train.sbatch", "campaign.sbatch"),
    }


@pytest.mark.parametrize(("status", "requeued"), [(75, True), (0, False), (3, False)])
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("train.sbatch", "1 1 2 n1 --images /data/train --masks"),
        (
            "campaign.sbatch",
            "    campaign campaign.toml --data /data --out /data/campaign --num-tasks",
        ),
    ],
)
def test_a_training_script_queues_again_when_it_was_preempted_and_only_then(
    folder, monkeypatch, script, words, status, requeued
):
    """Slurm and the trainer are stand-ins; the trainer itself is tried in tests/train."""
    programs = {
        "scontrol": 'if [ "$1" = show ]; then echo n1; echo n2; else echo "$@" > asked; fi',
        "srun": 'while [ "${1#--}" != "$1" ]; do shift; done\nSLURM_PROCID=1 SLURM_LOCALID=1 "$@"',
        "dilo-train": f'echo "$RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR $*" > told\nexit {status}',
    }
    for name, text in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    (folder / script).write_text(named_scripts()[script])
    variables = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "7"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = subprocess.run(["bash", script], check=False)
    assert ended.returncode == status
    assert (folder / "told").read_text().startswith(words)
    asked = folder / "asked"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 7\n" if requeued else "")

"""Stand in for Slurm's sbatch: run a script at once, each task of an array after the other.

Copied under the name `sbatch` into a folder of PATH. There it writes down what was submitted,
one line a job, in `jobs`; and it kills the task whose number stands in the file `kill`, once.
"""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(sys.argv[0]).parent


def numbers(specification):
    """Expand 0-3,7."""
    spans = [span.partition("-") for span in specification.split(",")]
    return [i for a, _, b in spans for i in range(int(a), int(b or a) + 1)]


def run(script, words, environment, *, kill=False):
    """Run a script as Slurm does, in the folder where it was submitted."""
    process = subprocess.Popen(["bash", script, *words], env=os.environ | environment)
    if kill:
        process.kill()
    process.wait()


def main():
    """Submit."""
    options = list(itertools.takewhile(lambda word: word.startswith("--"), sys.argv[1:]))
    script, *words = sys.argv[1 + len(options) :]
    asked = re.findall(r"^#SBATCH (--\S+)", Path(script).read_text(), flags=re.M)
    settings = dict(word[2:].partition("=")[::2] for word in [*asked, *options])
    job = {
        "script": script,
        "words": words,
        **{k: settings.get(k) for k in ("array", "dependency")},
    }
    with open(HERE / "jobs", "a+") as file:
        file.write(json.dumps(job) + "\n")
        file.seek(0)
        number = 100 + len(file.readlines())
    sys.stdout.write(f"{number}\n" if "parsable" in settings else f"Submitted batch job {number}\n")
    sys.stdout.flush()
    environment = {"SLURM_CPUS_PER_TASK": settings["cpus-per-task"]}
    # A job's output goes to a file of its own, not to who submitted it.
    with open(HERE / "log", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if not job["array"]:
        run(script, words, environment)
        return
    tasks = numbers(job["array"])
    environment |= {"SLURM_ARRAY_TASK_MIN": str(tasks[0]), "SLURM_ARRAY_TASK_MAX": str(tasks[-1])}
    environment |= {"SLURM_ARRAY_TASK_COUNT": str(len(tasks)), "SLURM_ARRAY_TASK_STEP": "1"}
    for task in tasks:
        victim = HERE / "kill"
        kill = victim.exists() and int(victim.read_text()) == task
        run(script, words, environment | {"SLURM_ARRAY_TASK_ID": str(task)}, kill=kill)
        if kill:
            victim.unlink()


main()

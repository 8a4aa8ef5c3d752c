"""Campaigns whose programs are stand-ins that take no time, and write down what they were asked."""

from pathlib import Path

import pytest

from dilo.train.campaign import commands
from dilo.train.campaign.commands import Run, runs_of
from dilo.train.campaign.file import Campaign, load_campaign
from dilo.train.campaign.running import Runner
from dilo.train.runtime.signals import StopSignal

#: A campaign of two arms and two seeds.
FILE = """
seeds = [0, 2]

[train]
images = "photos"
recipe = "moco-v2"
masks = "masks"
set.optimizer.epochs = 5
set.paste.probability = 0.5

[arms.moco]
masks = false
set.paste.probability = 0

[arms.crops]
backgrounds = ["crops", "textures"]
set."paste.backgrounds.crops" = 1.0

[evaluate.knn]
k = [1, 20]

[evaluate.quick]
command = "linear"
fast = true
"""
#: Trains in no time, in as many steps as it is told; --images says what else it does.
TRAIN = """
import json, signal, sys, time
from pathlib import Path

words = sys.argv[1:]
images, run = words[words.index("--images") + 1], Path(words[words.index("--out") + 1])
with open("calls", "a") as calls:
    calls.write(f"train {run.name}\\n")
if images == "broken":
    sys.exit("Error: no images in broken: give another folder\\nand more")
run.mkdir(parents=True, exist_ok=True)
if images == "slow" and not (run / "state").exists():
    def stop(number, frame):
        (run / "state").write_text("preempted\\n")
        sys.exit(75)
    signal.signal(signal.SIGTERM, stop)
    (run / "begun").touch()
    time.sleep(60)
steps = words[words.index("--steps") + 1] if "--steps" in words else "4"
(run / "run.json").write_text(json.dumps({"steps": int(steps)}))
(run / "state").write_text("done\\n")
"""
#: Evaluates in no time.
EVAL = """
import sys
from pathlib import Path

words = sys.argv[1:]
with open("calls", "a") as calls:
    names = [Path(word).name for word in words[1:] if "/runs/" in word]
    calls.write(f"{words[0]} {' '.join(names)}\\n")
if "--broken" in words:
    sys.exit("Error: no test images")
if words[0] in ("table", "report"):
    out = Path(words[words.index("--out") + 1])
    out.mkdir(exist_ok=True)
    (out / f"{words[0]}.txt").write_text("made\\n")
    (out / f"{words[0]}.json").write_text('{"task": "table"}')
    (out / f"{words[0]}.json").write_text('{"task": "table"}')
"""


def load(folder: Path, text: str) -> Campaign:
    """Write a campaign to a folder, and read it."""
    (folder / "campaign.toml").write_text(text)
    return load_campaign(folder / "campaign.toml")


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins in the place of the programs."""
    for name, code in (("stand_in_train", TRAIN), ("stand_in_eval", EVAL)):
        (folder / name).mkdir(parents=True)
        (folder / name / "__main__.py").write_text(code)
        # The options are those of the programs.
        (folder / name / "cli.py").write_text(f"from dilo.{name[9:]}.cli import main\n")
    patch.setenv("PYTHONPATH", str(folder))
    patch.syspath_prepend(str(folder))
    patch.setitem(commands.PACKAGES, "dilo-train", "stand_in_train")
    patch.setitem(commands.PACKAGES, "dilo-eval", "stand_in_eval")


def run_campaign(folder: Path, say, *, stop: StopSignal | None = None) -> list[Run]:
    """Run all of ``campaign.toml`` in a folder, in this process."""
    campaign, out = load_campaign(folder / "campaign.toml"), folder / "out"
    (out / "logs").mkdir(parents=True, exist_ok=True)
    runs = runs_of(campaign, out)
    runner = Runner(campaign, folder, out, say, stop or StopSignal())
    runner.run_all(runs)
    runner.summarize(runs)
    return runs


def calls(folder: Path) -> list[str]:
    """Read what the stand-ins were asked since the last look."""
    path = folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    return lines

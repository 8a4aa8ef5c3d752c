"""From two checkpoints through every command of `dilo-eval` to the report, in one process.

The report reads records that other commands write. Its own tests read records made by hand, so
that a key that a command calls otherwise would empty a row of the page and fail none of them.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import checkpoint_content, trunk_state
from support.cli import invoke
from support.reliance import (
    NINE,
    OBJECT,
    SIDE,
    challenge_folder,
    mask_store,
    nine_colours,
    object_mask,
)

from dilo.eval.backgrounds.challenge import CHALLENGE
from dilo.eval.cli import main as dilo_eval
from dilo.eval.common.lookup import find_in
from dilo.eval.records.conditions import CONDITIONS
from dilo.eval.records.metrics import METRICS as SPECS
from dilo.eval.records.metrics import metric_values
from dilo.eval.records.reading import read_source
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.evaluations import LOCALISATION, MASKS

pytest.importorskip("matplotlib")

RUNS = ("dilo", "moco")
#: Tasks that need boxes of objects: their own tests read their records as the report does.
ELSEWHERE = ("detect", "discovery")
#: Commands that compute nothing on a device.
WITHOUT_DEVICE = ("report", "export", "saliency")
VARIED = (
    "on a background of the same class (mixed_same)",
    "on a background of any class (mixed_rand)",
    "on a background of the next class (mixed_next)",
)
ONLY_BACKGROUND = (
    "of backgrounds, the object's box black (only_bg_b)",
    "of backgrounds, the object's box filled (only_bg_t)",
)
#: Every number of a run, of its own images and of the challenge: written by hand. Of classes, one.
METRICS = {
    "images": [
        *("kNN top-1, k = 1", "kNN top-1, k = 20", "kNN top-5, k = 20"),
        *("kNN top-1 of 00_dog, k = 1", "kNN top-1 of 00_dog, k = 20"),
        *("linear top-1, last epoch", "linear top-1, best epoch", "linear top-5, last epoch"),
        "linear top-1 of 00_dog",
        *("fast linear top-1", "fast linear top-5", "fast linear top-1 of 00_dog"),
        *(
            f"{measure}, {method} of the true class"
            for measure in (
                *("MaxBoxAcc", "MaxBoxAccV2", "PxAP", "CorLoc", "GT-known localisation"),
                *("top-1 localisation", "pointing game", "energy on the object"),
            )
            for method in ("gradient", "cam")
        ),
        "accuracy of the images as they are",
        "accuracy of foregrounds alone (only_fg)",
        "accuracy without the foreground (no_fg)",
        *(f"accuracy {shown}" for shown in VARIED),
        "BG-gap",
        *(f"answers of the background's class, {shown}" for shown in VARIED[1:]),
        "right answers that stay right, of foregrounds alone (only_fg)",
        "right answers that stay right, without the foreground (no_fg)",
        *(f"right answers that stay right, {shown}" for shown in VARIED),
        "photographs found first across backgrounds",
        "photographs found among ten across backgrounds",
        "median rank of the photograph",
        "photographs of the background found first",
        "neighbours of the query's class, of 3",
        "queries classified correctly by their neighbours",
    ],
    "challenge": [
        "accuracy of the images as they are",
        "accuracy of foregrounds alone (only_fg)",
        "accuracy without the foreground (no_fg)",
        *(f"accuracy {shown}" for shown in (*ONLY_BACKGROUND, *VARIED)),
        "BG-gap",
        f"answers of the background's class, {VARIED[2]}",
        "right answers that stay right, of foregrounds alone (only_fg)",
        "right answers that stay right, without the foreground (no_fg)",
        *(f"right answers that stay right, {shown}" for shown in (*ONLY_BACKGROUND, *VARIED)),
    ],
}


def run_folder(run: Path, seed: int) -> Path:
    """Write the random checkpoint of a run."""
    (run / "checkpoints").mkdir(parents=True)
    content = checkpoint_content(trunk_state(seed=seed), size=SIDE)
    torch.save(content, run / "checkpoints" / "step-00000007.pt")
    return run


def scenes(root: Path, *, each: int, seed: int) -> Path:
    """Write the nine classes of the challenge: a bright object on noise, in the class's colour."""
    rng = np.random.default_rng(seed)
    for name, colour in zip(NINE, nine_colours().numpy(), strict=True):
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = 120 * colour + rng.integers(0, 40, (SIDE, SIDE, 3))
            pixels[OBJECT, OBJECT] = 255 * colour
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def evaluate(command, *words):
    """Run a command, on the CPU where it computes, and read the JSON that it prints."""
    machine = () if command in WITHOUT_DEVICE else ("--device", "cpu", "--workers", 0)
    machine = machine[:2] if command == "gradients" else machine
    return json.loads(invoke(dilo_eval, command, *words, *machine, "--json").stdout)


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """Measure two runs by every command; give what the report reads, and what came of it."""
    root = tmp_path_factory.mktemp("evaluation")
    runs = [run_folder(root / name, seed) for seed, name in enumerate(RUNS)]
    train, test = scenes(root / "train", each=3, seed=0), scenes(root / "test", each=2, seed=1)
    names = [f"{name}/{i}.png" for name in NINE for i in range(2)]
    masks, truth = mask_store(root / "masks", dict.fromkeys(names, object_mask())), root / "truth"
    for name in names:
        (truth / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(object_mask()).save(truth / name)
    release = challenge_folder(root / "release", CHALLENGE, each=1, side=SIDE)

    learnt, short = ("--train", train, "--test", test), ("--epochs", 2, "--batch", 9)
    challenge = ("--challenge", release, "--size", SIDE)
    for run in runs:
        checkpoint, looked = ("--checkpoint", run), ("--checkpoint", run, "--images", test)
        evaluate("linear", *checkpoint, *learnt, "--fast")
        evaluate("knn", *checkpoint, *learnt)
        evaluate("localize", *looked, "--truth", truth)
        evaluate("backgrounds", *looked, "--masks", masks)
        evaluate("backgrounds", "--checkpoint", run, *challenge)
        retrieval = ("backgrounds", "--retrieval", *checkpoint, "--images", test)
        evaluate(*retrieval, "--masks", masks)
        evaluate("gradients", *looked, "--count", 2)
        evaluate("neighbors", *checkpoint, "--images", test, "--count", 2)
        # Last: the classifier of the protocol would stand for that of --fast, and guesses.
        evaluate("linear", *checkpoint, *learnt, *short)
    scores, out = root / "scores", root / "report"
    evaluate("saliency", "--masks", masks, "--truth", truth, "--out", scores)
    report = evaluate("report", *runs, "--include", scores, "--out", out)
    trunk = ("--format", "torchvision", "--out", root / "trunk.pth")
    card = evaluate("export", "--checkpoint", runs[0], *trunk)
    return SimpleNamespace(
        runs=[read_source(run.name, run, is_run=True) for run in runs],
        masks=read_source(scores.name, scores, is_run=False),
        report=report,
        page=(out / "report.html").read_text(),
        card=card,
    )


def holds(record, path):
    """Tell whether a number or anything else stands at a path of a record."""
    return any(value is not None for value, _ in find_in(record, path.split(".")))


@pytest.mark.parametrize("place", range(len(RUNS)), ids=RUNS)
def test_every_metric_of_the_report_finds_its_value_in_a_real_record(road, place):
    specs = {value.spec for value in metric_values([road.runs[place]], [])}
    wanted = [spec for spec in SPECS if spec.task not in ELSEWHERE]
    missing = [f"{spec.task}: {spec.path}" for spec in wanted if spec not in specs]
    assert missing == [], f"no record holds {', '.join(missing)}"


def of_challenge(number):
    """Tell whether a number is of the release of the challenge, by its data set."""
    return number["data"].endswith("release")


@pytest.mark.parametrize(("source", "metrics"), METRICS.items(), ids=METRICS)
def test_the_metrics_found_are_these(road, source, metrics):
    names = [
        number["name"]
        for number in road.report["numbers"]
        if number["run"] == "dilo" and of_challenge(number) == (source == "challenge")
    ]
    other_classes = [name for name in names if any(f" of {other}" in name for other in NINE[1:])]
    assert sorted(set(names) - set(other_classes)) == sorted(metrics)
    # kNN by two k, and both linear probes, by class.
    assert len(other_classes) == (4 * 8 if source == "images" else 0)


def test_both_runs_have_the_same_metrics(road):
    def metrics(run):
        listed = [number for number in road.report["numbers"] if number["run"] == run]
        return {(number["data"], number["name"]) for number in listed}

    assert metrics("dilo") == metrics("moco")


def test_the_tables_of_maps_and_masks_have_all_their_columns(road):
    for measures, result in (
        (LOCALISATION, road.runs[0].result("localize")),
        (MASKS, road.masks.result("saliency")),
    ):
        empty = [m.path for m in measures if not holds(result.record, f"methods.*.{m.path}")]
        assert empty == []


def test_what_records_must_agree_in_stands_in_real_records(road):
    results = road.runs[0].results
    absent = [
        condition.path
        for condition in CONDITIONS
        for task in condition.tasks or (None,)
        if task not in ELSEWHERE
        and not any(
            holds(result.record, condition.path)
            for result in results
            if task in (None, result.task)
        )
    ]
    assert absent == []


def test_the_folders_of_a_missing_command_stand_in_real_records(road):
    absent = [
        f"{task}: {path}"
        for task, about in TASKS.items()
        if task not in ELSEWHERE
        for _, path in about.folders
        if not holds(road.runs[0].result(task).record, path)
    ]
    assert absent == []


def test_the_page_names_both_runs_and_shows_each_task(road):
    assert road.report["notes"] == []
    for name in RUNS:
        assert f'alt="gradients of {name}"' in road.page
        assert f'alt="neighbors of {name}"' in road.page
    sections = {line for line in TASKS if f'<h2 id="{line}">' in road.page}
    # Of gradients, there are pictures alone, among the figures.
    assert sections == TASKS.keys() - {"gradients", *ELSEWHERE}


def test_the_card_of_an_exported_trunk_has_the_numbers_of_its_run(road):
    names = {number["name"] for number in road.card["numbers"]}
    assert names == {name for name in METRICS["images"] if "00_dog" not in name} | {
        f"{name} (backgrounds-release)" for name in METRICS["challenge"]
    }

"""Does copy-paste make a network look at the object? Backgrounds that lie, on your photographs.

In the training pictures, the foreground of each photograph stands on a background of another
class, nearly always the same one for its class: the fish on the background of churches, churches
on that of golf balls. So the background tells the class as well as the object does, and it lies:
in the test pictures backgrounds are random. MoCo is trained with the paste and without it, all
else equal, on masks that are computed from the lying pictures alone. Then each network is asked,
by neighbours and by a linear layer: of which class is the object, and of which the background?

Everything runs through the three programs, and each command is shown. The same command resumes.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch
from programs import call, run
from proof_answers import compare, draw_results, network_folder, question_all, table
from proof_pictures import (
    compose_all,
    draw_pictures,
    pair_classes,
    photographs,
    prepare_training,
    require_classes,
    training_data,
)

from dilo.pipeline.common.files import write_text
from dilo.pipeline.errors import DiloError

RECIPE = Path(__file__).with_name("proof.toml")


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    seeds: int = 3
    #: Changes of the recipe.
    changes: tuple[str, ...] = ()
    #: Objects that a class must have at least, to train on and to ask about.
    objects: int = 20


#: A minute, to see that everything runs; its numbers say nothing.
TINY = Size(
    seeds=1,
    changes=("optimizer.epochs=1", "optimizer.batch=4", "views.size=32", "model.width=0.125"),
    objects=2,
)


def main() -> None:
    """Compose the pictures, train the networks, ask them, and print the answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="class folders, to train on")
    parser.add_argument("--test", type=Path, required=True, help="the same classes, to ask about")
    parser.add_argument("--out", type=Path, default=Path("proof"), help="folder; resumed if there")
    parser.add_argument("--tiny", action="store_true", help="only see that everything runs")
    options = parser.parse_args()
    try:
        size = TINY if options.tiny else Size()
        prove(options.images, options.test, options.out, size)
    except DiloError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(3)


def prove(images: Path, test: Path, out: Path, size: Size) -> None:
    """Run what is missing of the experiment."""
    classes = require_classes(images, test)
    training = photographs(images, out / "photographs" / "train", size.objects)
    testing = photographs(test, out / "photographs" / "test", size.objects)
    partners = pair_classes(classes)
    pictures = compose_all(training, testing, partners, out)
    prepare_training(out)
    recipe = ("--recipe", RECIPE, *(word for change in size.changes for word in ("--set", change)))
    call("dilo-train", *training_data(out), *recipe, "--preview", out / "views.png")
    train_all(out, recipe, range(size.seeds))
    draw_pictures(training, testing, pictures, out)
    by_network = question_all(test, out, pictures, partners, range(size.seeds))
    record = {
        "partners": partners,
        "pictures": {kind: len(composed) for kind, composed in pictures.items()},
        "tiny": size is TINY,
        "measures": [compare(question, by_network) for question in by_network["untrained"][0]],
    }
    write_text(out / "results.json", json.dumps(record, indent=1) + "\n")
    draw_results(record["measures"], out / "results.png")
    lines = table(record["measures"])
    write_text(out / "table.txt", "\n".join(lines) + "\n")
    print(
        "\n".join(["", *lines, ""]) + f"\nLook at\n"
        f"  {out / 'composed.png'}   photographs, and what was composed of them\n"
        f"  {out / 'views.png'}   what the network is trained on\n"
        f"  {out / 'results.png'}   the table as a plot, a dot a seed\n"
        f"  {out / 'retrieval-0' / 'retrieval.png'}   what each network finds\n"
        f"  {out / 'results.json'}   all numbers"
    )


def train_all(out: Path, recipe: Sequence[object], seeds: Sequence[int]) -> None:
    """Train all networks, as many at the same time as there are cores."""
    arms = {
        "without paste": (*training_data(out)[:2], *recipe, "--set", "paste.probability=0"),
        "with paste": (*training_data(out), *recipe),
    }
    jobs = [(network, seed) for seed in seeds for network in arms]
    cores = 1 if torch.cuda.is_available() else os.cpu_count() or 1
    lanes = min(cores, len(jobs))
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, cores // lanes))}

    def work(lane: int) -> None:
        log_file = out / f"lane-{lane}.log"
        for network, seed in jobs[lane::lanes]:
            folder = network_folder(out, network, seed)
            seeding = ("--set", f"seed={seed}", "--workers", 0, "--out", folder)
            with log_file.open("a") as log:
                # Several progress bars would write over each other.
                stderr = log if lane else None
                try:
                    run("dilo-train", *arms[network], *seeding, env=environment, stderr=stderr)
                except SystemExit as ended:
                    if stderr is None:
                        raise
                    raise DiloError(
                        f"the training {network} of seed {seed} must succeed, got the status "
                        f"{ended.code}: {log_file} says why"
                    ) from ended

    with ThreadPoolExecutor(lanes) as pool:
        for result in as_completed([pool.submit(work, lane) for lane in range(lanes)]):
            result.result()


if __name__ == "__main__":
    main()

"""Pretraining: views of images to losses of a method, on from wherever it stopped."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from dilo.pipeline.errors import RecipeError
from dilo.pipeline.images.labels import class_remarks, sorted_by_number
from dilo.train import ranks
from dilo.train.backgrounds import Bank, Stores, fingerprints
from dilo.train.batches import Batches, loader
from dilo.train.checkpoint import Position
from dilo.train.data import Batch, Source, Views
from dilo.train.interruption import Interruption
from dilo.train.learner import Learner
from dilo.train.machine import Machine
from dilo.train.method import StepOutput
from dilo.train.monitor import Monitor
from dilo.train.optimizers import make_optimizer
from dilo.train.prefetch import Arrived, grouped, prefetched
from dilo.train.recipe import Recipe
from dilo.train.schedule import learning_rate, rate_words
from dilo.train.session import Result, Session
from dilo.train.step import Stepper, prepare


def train(
    recipe: Recipe,
    source: Source,
    run: Path,
    machine: Machine,
    say: Callable[[str], None],
    *,
    backgrounds: Stores | None = None,
) -> Result:
    """Train by a recipe, from the beginning or from the run's newest checkpoint.

    Under torchrun, every rank calls it with the same arguments.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    source : Source
        Images and masks.
    run : Path
        Folder of the run: checkpoints/, metrics.jsonl, recipe.toml, run.json, state.
    machine : Machine
        Where to do it.
    say : callable
        Told in words what happens, on rank 0.
    backgrounds : mapping of int to BackgroundStore, optional
        What the recipe pastes on, but gray and noise.

    Returns
    -------
    Result
        How it ended.

    Raises
    ------
    DiloError
        If the run cannot go on from its checkpoints, the data or the number of ranks does not
        serve, the device has no room for the backgrounds, or the loss is no number.
    """
    with ranks.joined(machine.device) as device, Interruption() as interruption:
        machine = dataclasses.replace(machine, device=device)
        say = say if ranks.rank() == 0 else ranks.silence
        return _Session(recipe, source, run, machine, say, backgrounds or {}, interruption).run()


def _require_shares(recipe: Recipe, machine: Machine) -> None:
    """Refuse ranks and parts among which the batch-norm groups cannot be dealt."""
    shares, groups = ranks.size() * machine.parts, recipe.model.bn_groups
    if groups > 1 and groups % shares:
        raise RecipeError(
            f"model.bn_groups must be 1 or a multiple of {ranks.size()} ranks times --accumulate "
            f"{machine.parts}, got {groups}: --set model.bn_groups={shares}, or use fewer"
        )


class _Session(Session[Recipe, Batch]):
    """One process's share of a run of pretraining."""

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        run: Path,
        machine: Machine,
        say: Callable[[str], None],
        stores: Stores,
        interruption: Interruption,
    ) -> None:
        _require_shares(recipe, machine)
        self.source = source
        bank = Bank(recipe, stores, machine.device)
        method, self.wanted = prepare(recipe, source, machine.device)
        method.train()
        for line in class_remarks(self.wanted.classes, f"--images {source.folder}"):
            say(line)
        classes = self.wanted.classes if self.wanted.labels is not None else ()
        optimizer = make_optimizer(method, recipe.optimizer)
        self.stepper = Stepper(recipe, machine, method, optimizer, bank)
        super().__init__(
            *(recipe, run, machine, say, interruption),
            learner=Learner(method, optimizer=optimizer, scaler=self.stepper.scaler),
            data=Position(
                step=0,
                epoch=0,
                images=source.names.digest(),
                masks=source.store.fingerprint if source.store else "",
                backgrounds=fingerprints(stores),
                class_order="numbers" if sorted_by_number(classes) else "",
                classes=classes,
            ),
            steps_per_epoch=Batches(source.usable, recipe, 0, machine.parts).steps_per_epoch,
        )
        self.monitor: Monitor | None = None
        if machine.knn_every:
            self.read_out_every = machine.knn_every
            where = machine.device, machine.workers, machine.knn_test
            self.monitor = Monitor(source, recipe, *where)

    def facts(self) -> dict[str, Any]:
        return {
            "images": len(self.source.usable),
            "images_in_folder": self.source.in_folder,
            "never_pasted": self.source.never_pasted,
        }

    def rate_words(self) -> str:
        return rate_words(self.recipe.optimizer)

    def parts(self) -> Generator[list[Arrived[Batch]]]:
        stream: Any = loader(
            Views(self.source, self.recipe, self.wanted),
            Batches(self.source.usable, self.recipe, self.step, self.machine.parts),
            workers=self.machine.workers,
            pin=self.machine.device.type == "cuda",
        )
        with contextlib.closing(prefetched(stream, self.machine.device)) as arriving:
            yield from grouped(arriving, self.machine.parts)

    def take(self, batches: list[Batch], epoch: int) -> tuple[StepOutput, float]:
        rate = learning_rate(self.recipe.optimizer, self.step, self.steps_per_epoch)
        return self.stepper.take(batches, step=self.step, epoch=epoch, rate=rate), rate

    def read_out(self, epoch: int) -> None:
        if self.monitor:
            networks = self.stepper.method.encoders()
            where = networks, self.step, epoch, self.give_way
            look = functools.partial(self.monitor.line, *where)
            self.watch.read_out(look, _knn_words)


def _knn_words(line: dict[str, Any]) -> str:
    """Say what the kNN read-out found."""
    found = line["knn_top1"]
    return f"step {line['step']}: kNN top-1 {'none' if found is None else f'{found:.1f} %'}"

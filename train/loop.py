"""The training loop: batches to losses, a record and checkpoints, on from wherever it stopped."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from dilo.pipeline.errors import DiloError
from dilo.pipeline.progress import Progress
from dilo.train import checkpoint
from dilo.train.augment import augment
from dilo.train.backgrounds import Bank, Stores
from dilo.train.checkpoint import Position
from dilo.train.crops import compile_ahead
from dilo.train.data import Batch, Batches, Source, Views, loader
from dilo.train.machine import Machine
from dilo.train.method import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.methods import METHODS
from dilo.train.recipe import Recipe
from dilo.train.record import Record, describe
from dilo.train.schedule import learning_rate


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes
    ----------
    step : int
        Optimiser steps taken in all.
    steps : int
        Steps of the whole recipe.
    checkpoint : Path
        The last checkpoint.
    loss : float
        Of the last step taken; NaN if none was left to take.
    unreadable : int
        Samples replaced because their image could not be read, since the last start.
    """

    step: int
    steps: int
    checkpoint: Path
    loss: float
    unreadable: int


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

    Parameters
    ----------
    recipe : Recipe
        What to do.
    source : Source
        Images and masks.
    run : Path
        Folder of the run: checkpoints/, metrics.jsonl, recipe.toml, run.json.
    machine : Machine
        Where to do it.
    say : callable
        Told in words what happens.
    backgrounds : mapping of int to BackgroundStore, optional
        What the recipe pastes on, but gray and noise.

    Returns
    -------
    Result
        How it ended.

    Raises
    ------
    DiloError
        If the run cannot go on from its checkpoints, the data does not serve, the device
        has no room for the backgrounds, or the loss is no number.
    """
    stores = backgrounds or {}
    bank = Bank(recipe, stores, machine.device)
    run.mkdir(parents=True, exist_ok=True)
    method = METHODS[recipe.method](recipe, TrainingSet(len(source.usable))).to(machine.device)
    method.to(memory_format=torch.channels_last)
    optimizer = _optimizer(method, recipe)
    data = Position(
        step=0,
        epoch=0,
        images=source.names.digest(),
        masks=source.store.fingerprint if source.store else "",
        backgrounds=" ".join(stores[kind].fingerprint for kind in sorted(stores)),
    )
    position = checkpoint.resume(run, method, optimizer, recipe, data, say) or data
    batches = Batches(source.usable, recipe, position.step)
    total = batches.steps_per_epoch * recipe.optimizer.epochs
    facts = {"device": _name(machine), "images": len(source.usable), "steps": total}
    describe(run, recipe, facts | {"never_pasted": source.never_pasted})
    if position.step:
        say(f"going on from step {position.step} of {total}")
    else:
        checkpoint.save(run, method, optimizer, recipe, position)
    session = _Session(recipe, run, machine, method, optimizer, data, bank, batches.steps_per_epoch)
    session.run(Views(source, recipe), batches, position.step, say)
    last = checkpoint.checkpoint_path(run, session.step)
    return Result(
        step=session.step,
        steps=total,
        checkpoint=last,
        loss=session.loss,
        unreadable=session.unreadable,
    )


def _optimizer(method: Method, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with weight decay on every parameter, batch norm and biases too, as MoCo has it."""
    settings = recipe.optimizer
    return torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad],
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


def _name(machine: Machine) -> str:
    """Name the device as a reader of run.json knows it."""
    if machine.device.type == "cuda":
        return torch.cuda.get_device_name(machine.device)
    return machine.device.type


class _Session:
    """One process's share of a run: from a start, or a resume, to an end."""

    def __init__(
        self,
        recipe: Recipe,
        run: Path,
        machine: Machine,
        method: Method,
        optimizer: torch.optim.Optimizer,
        data: Position,
        bank: Bank,
        steps_per_epoch: int,
    ) -> None:
        self.recipe, self.folder, self.machine = recipe, run, machine
        self.method, self.optimizer, self.data, self.bank = method, optimizer, data, bank
        self.steps_per_epoch = steps_per_epoch
        self.step, self.loss, self.unreadable = 0, math.nan, 0

    def run(self, views: Views, batches: Batches, start: int, say: Callable[[str], None]) -> None:
        """Take the steps that are left, with a checkpoint each epoch and every few minutes."""
        self.step = start
        if not len(batches):
            return
        compile_ahead(say)
        record = Record(self.folder, start)
        self.method.train()
        begin = saved = time.monotonic()
        stream = loader(
            views,
            batches,
            workers=self.machine.workers,
            pin=self.machine.device.type == "cuda",
        )
        images = self.recipe.optimizer.batch
        with contextlib.closing(record), Progress(len(batches) * images, "images", say) as bar:
            for batch in stream:
                self._step(cast(Batch, batch), record, begin, start)
                bar.advance(images, f"step {self.step}, loss {self.loss:.4f}")
                now = time.monotonic()
                late = now - begin > 60 * self.machine.max_minutes
                due = now - saved > 60 * self.machine.checkpoint_minutes
                if self.step % self.steps_per_epoch == 0 or due or late:
                    self._save()
                    saved = time.monotonic()
                if late:
                    break

    def _step(self, batch: Batch, record: Record, begin: float, start: int) -> None:
        """Take one optimiser step."""
        epoch = self.step // self.steps_per_epoch
        self.bank.fill(epoch)
        rate = learning_rate(self.recipe.optimizer, epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.method.begin_step()
        output = self._forward(batch)
        self.optimizer.zero_grad(set_to_none=True)
        output.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        self.method.end_step()
        self.step += 1
        self.unreadable += int(batch.unreadable.item())
        # Reading a scalar waits for the device, so only the steps that are recorded do.
        last = self.steps_per_epoch * self.recipe.optimizer.epochs
        if self.step % self.machine.log_every == 0 or self.step in (start + 1, last):
            self.loss = output.loss.item()
            taken = (self.step - start) * self.recipe.optimizer.batch
            record.add(
                {"step": self.step, "epoch": epoch, "loss": self.loss, "lr": rate}
                | {name: value.item() for name, value in output.scalars.items()}
                | {"images_per_second": round(taken / (time.monotonic() - begin), 1)}
            )
            if not math.isfinite(self.loss):
                raise DiloError(
                    f"the loss must stay a number, got {self.loss} at step {self.step} with rate "
                    f"{rate:g}: the checkpoint before is kept; try a lower optimizer.lr"
                )

    def _forward(self, batch: Batch) -> StepOutput:
        """Augment both views on the device and put them through the method."""
        device = self.machine.device
        views = augment(
            batch.images.to(device, non_blocking=True),
            batch.masks.to(device, non_blocking=True),
            batch.parameters,
            self.recipe.views,
            self.bank,
        ).contiguous(memory_format=torch.channels_last)
        held = ViewBatch(
            views=views.chunk(self.method.view_count),
            samples=batch.samples.to(device, non_blocking=True),
            step=self.step,
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=self.machine.precision == "bf16"):
            return cast(StepOutput, self.method(held))

    def _save(self) -> None:
        """Write a checkpoint of this very step."""
        epoch = self.step // self.steps_per_epoch
        position = self.data.at(self.step, epoch)
        checkpoint.save(self.folder, self.method, self.optimizer, self.recipe, position)

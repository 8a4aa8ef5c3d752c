"""The training loop: from the newest checkpoint, step by step, to the end of the recipe."""

import contextlib
import dataclasses
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from dilo.pipeline.common.compiled import CACHE
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.printing import counted
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import DiloError
from dilo.train.augment.loops import compile_loops
from dilo.train.data.crop import compile_crops
from dilo.train.data.images import ImageSet
from dilo.train.data.loader import (
    COPIED,
    BatchSampler,
    make_loader,
    micro_batches,
    prefetch_factor,
    prefetch_to_device,
    require_handles,
)
from dilo.train.engine import checkpoint
from dilo.train.engine.checkpoint import Checkpoints
from dilo.train.engine.claim import Claim, claim_run
from dilo.train.engine.memory import advice_on_memory, advice_on_parts
from dilo.train.engine.optim import describe_extension, describe_rate, learning_rate
from dilo.train.methods.base import StepOutput, TrainableModel
from dilo.train.monitor.metrics import MetricsLogger, has_evaluation, require_tensorboard
from dilo.train.monitor.run_info import note_failure, write_run_info
from dilo.train.recipes.recipe import RunRecipe
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import DTYPES, device_name, kernel_choice
from dilo.train.runtime.options import RunOptions
from dilo.train.runtime.signals import Abandoned, StopSignal


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    #: Optimiser steps taken in all.
    step: int
    #: Steps of the whole recipe.
    steps: int
    #: The last checkpoint.
    checkpoint: Path
    #: Loss of the last step recorded; NaN if none was left to take.
    loss: float
    #: Samples of this process that were replaced since the last start, for want of their image.
    unreadable: int
    #: What asked the run to stop; empty if nothing did.
    signal: str = ""


class Task(ABC):
    """What is trained, and on what: the loop asks, pretraining and saliency answer."""

    #: What to do.
    recipe: RunRecipe
    #: The images; batches are of its `indices`.
    source: ImageSet
    #: What is loaded of them, by (epoch, index).
    dataset: Dataset[Any]
    machine: RunOptions
    #: On the device, in train mode.
    model: TrainableModel
    #: Of the model's parameters.
    optimizer: torch.optim.Optimizer
    steps_per_epoch: int
    #: Of what is loaded, about.
    sample_bytes: int
    #: Digests of what the run stands on, which a resumed run must find again.
    data: Mapping[str, str]
    #: What else a checkpoint says of the run, in plain values.
    notes: Mapping[str, Any] = {}
    #: SHA-256 of the file that a new run begins with; empty where there is none.
    initial: str = ""
    #: Epochs from one evaluation to the next; 0 for none.
    eval_every: int = 0
    #: What of a batch is copied to the device while the step before it is taken.
    copied: Sequence[str] = COPIED
    #: What to try where the loss is no number.
    remedy: str = "try a lower optimizer.lr"

    @abstractmethod
    def inputs(self, batch: Any, step: int, part: int) -> object:
        """Turn a batch, or a part of one, into what the model takes, on the device."""

    @abstractmethod
    def evaluate(
        self, step: int, epoch: int, between: Callable[[], object]
    ) -> tuple[dict[str, Any], str]:
        """Measure the model: return a line of metrics.jsonl, and the same in words.

        `between` is called before each batch, on all ranks as often; what it raises gives it up.
        """

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile what this process and its workers will run, before they start."""
        compile_crops(say)
        if self.machine.device.type == "cpu":
            compile_loops(say)

    def batches(self, step: int) -> BatchSampler:
        """Make the order of this rank's batches from a step on."""
        return BatchSampler(self.source.indices, self.recipe, step, self.machine.accumulate)

    def loader(self, step: int) -> Iterable[Any]:
        """Load this rank's batches from a step on; an error in the place of one ends the run."""
        workers, pin = self.machine.workers, self.machine.device.type == "cuda"
        parts = self.machine.accumulate * distributed.world_size()
        ahead = prefetch_factor(workers, self.recipe.optimizer.batch // parts * self.sample_bytes)
        return make_loader(
            self.dataset, self.batches(step), workers=workers, pin=pin, prefetch_factor=ahead
        )

    def allows_parts(self, parts: int) -> bool:
        """Check whether a batch can be taken in so many parts, on as many ranks as there are."""
        return self.recipe.optimizer.batch % (parts * distributed.world_size()) == 0

    def advice_on_memory(self) -> str:
        """Say how a step could have room on the device."""
        batch, parts = self.recipe.optimizer.batch, self.machine.accumulate
        return advice_on_parts(batch, parts, self.allows_parts)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of the step that follows `step` steps."""
        return learning_rate(self.recipe.optimizer, step, self.steps_per_epoch)

    def describe(self) -> tuple[dict[str, Any], str]:
        """Return facts for run.json, and a line for the log: where the rate comes from."""
        facts: dict[str, Any] = {
            "images": len(self.source.indices),
            "images_in_folder": self.source.in_folder,
        }
        if self.source.selection is not None and self.source.is_narrowed:
            facts["selection"] = self.source.selection.options()
        return facts, describe_rate(self.recipe.optimizer)

    def remarks(self, metrics: Mapping[str, Any]) -> Sequence[str]:
        """Say in lines what is odd about a recorded step, by its line of metrics.jsonl."""
        return ()  # nothing, unless a task says otherwise

    def begin(self, say: Callable[[str], None]) -> dict[str, Any]:
        """Bring the model to where a new run begins; return what its checkpoints say of that."""
        return {}  # it is there, unless a task says otherwise

    def describe_extension(self, before: int, step: int) -> str:
        """Say what becomes of a run that was finished after `before` epochs and is given more."""
        optimizer = self.recipe.optimizer
        earlier = dataclasses.replace(optimizer, epochs=before)
        return describe_extension(earlier, optimizer, step, self.steps_per_epoch)

    def finish(self, run: Path) -> None:
        """Write what is wanted of the trained model, on rank 0, when all steps are taken."""
        return  # nothing, unless a task says otherwise


class Optimization:
    """A model, its optimiser, and how this machine takes a step with them."""

    def __init__(
        self, model: TrainableModel, optimizer: torch.optim.Optimizer, machine: RunOptions
    ) -> None:
        self.model, self.optimizer, self.machine = model, optimizer, machine
        #: Of float16's gradients; does nothing in other precisions.
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")
        if machine.compile:
            keep_kernels()
            for network in model.children():
                network.compile()  # in place: wrapped, its parameters would change their names
        self._module: nn.Module = model
        if distributed.world_size() > 1:
            with warnings.catch_warnings():
                # Its new name is not known to the oldest torch that serves.
                warnings.filterwarnings("ignore", "`broadcast_buffers` is dep", FutureWarning)
                # Memory and statistics are kept the same by what is written to them.
                self._module = DistributedDataParallel(
                    model, broadcast_buffers=False, gradient_as_bucket_view=True
                )

    def step(self, inputs: Iterable[object], parts: int, rate: float) -> StepOutput:
        """Take a step: forward and backward of each part, gradients added, then the optimiser.

        Returns the means over the parts of loss and scalars, of this rank, on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.begin_step()
        self.optimizer.zero_grad(set_to_none=True)
        outputs = [
            self._backward(batch, parts, last=part == parts - 1)
            for part, batch in enumerate(inputs)
        ]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.model.end_step()
        distributed.average_running_statistics(self.model)
        return StepOutput.mean(outputs)

    def _backward(self, batch: object, parts: int, *, last: bool) -> StepOutput:
        """Add the gradients of one part; between ranks they are exchanged with the last one."""
        module: Any = self._module
        hold = isinstance(module, DistributedDataParallel) and not last
        with module.no_sync() if hold else contextlib.nullcontext():
            dtype = DTYPES[self.machine.precision]
            half = dtype is not torch.float32
            with torch.autocast(self.machine.device.type, dtype, enabled=half):
                output: StepOutput = module(batch)
            loss: Any = self.scaler.scale(output.loss / parts)
            loss.backward()
        return StepOutput(output.loss.detach(), output.scalars)


def keep_kernels() -> None:
    """Let torch.compile keep its kernels where ours are kept, unless the user says where.

    Torch's own folder has a name that anybody on the machine could take first, and what lies in
    it is run.
    """
    if CACHE.folder is not None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(CACHE.folder / "torchinductor"))


def launch(
    make_task: Callable[[RunOptions, Callable[[str], None]], Task],
    run: Path,
    machine: RunOptions,
    say: Callable[[str], None],
    *,
    fixed_shapes: bool = True,
) -> Result:
    """Join the other ranks, note signals, and train what is made for this process's device.

    `fixed_shapes` says that each step has the shapes of the one before.
    """
    with (
        distributed.init_process_group(machine.device) as device,
        StopSignal() as interruption,
        kernel_choice(deterministic=machine.deterministic, trials=fixed_shapes),
        advice_on_memory("this training", device, lambda: "use a device with more free memory"),
    ):
        machine = dataclasses.replace(machine, device=device)
        say = say if distributed.rank() == 0 else distributed.no_log
        return fit(make_task(machine, say), run, machine, say, interruption)


def fit(
    task: Task,
    run: Path,
    machine: RunOptions,
    say: Callable[[str], None],
    interruption: StopSignal,
) -> Result:
    """Train, from the beginning or from the run's newest checkpoint: one process's share."""
    require_handles(machine.workers)
    if machine.tensorboard:
        require_tensorboard()
    per_epoch, images = task.steps_per_epoch, task.recipe.optimizer.batch
    steps = per_epoch * task.recipe.optimizer.epochs
    optimization = Optimization(task.model, task.optimizer, machine)
    checkpoints = Checkpoints(
        run=run,
        recipe=task.recipe,
        data=task.data,
        model=task.model,
        optimizer=task.optimizer,
        scaler=optimization.scaler,
        notes=task.notes,
        initial=task.initial,
    )
    logger = MetricsLogger(run, machine, task.remedy)

    def save() -> None:
        """Write a checkpoint of this very step, if it is sound and the run is still this one's."""

        def write() -> None:
            claim.require()
            checkpoints.save(step, step // per_epoch, keep_every=machine.keep_every * per_epoch)

        with logger.meter.paused():
            logger.require_finite(step, task.optimizer.param_groups[0]["lr"])
            distributed.on_rank_zero(write)

    def evaluation_due() -> bool:
        """Check whether an evaluation is due at this step."""
        return task.eval_every > 0 and step % (task.eval_every * per_epoch) == 0

    def evaluate() -> str:
        """Measure the model; return the name of a signal that cut this short, or nothing."""
        try:
            with logger.meter.paused():
                line, summary = task.evaluate(step, step // per_epoch, raise_if_stopped)
        except Abandoned:
            return stop_name()
        logger.write(line)
        say(summary)
        return ""

    def raise_if_stopped() -> None:
        """Abandon an evaluation for a signal on any rank; all ranks call this as often."""
        if any(distributed.any_rank([bool(interruption.name)])):
            raise Abandoned

    def stop_name() -> str:
        """Return the name of the signal that came."""
        return interruption.name or "on another rank"

    room_for_step = f"a step on {images} images, taken in {counted(machine.accumulate, 'part')}"
    with contextlib.ExitStack() as life:
        claim = life.enter_context(claim_run(run, say, interruption))
        resumed = checkpoints.resume(say, machine.resume)
        life.enter_context(_failure_noted(run, claim))
        step = start = resumed or 0
        # A checkpoint first: records without one would be those of a run that lost its own.
        if resumed is None:
            checkpoints.history.update(task.begin(say))
            save()
        elif start:
            say(f"resuming from step {start} of {steps}")
            if before := checkpoints.extended_from(start):
                say(task.describe_extension(before, start))
        facts, summary = task.describe()
        facts = {"step": start, "steps": steps, **facts, "data": dict(task.data)}
        facts |= checkpoints.history
        facts |= {"device": device_name(machine.device), "world_size": distributed.world_size()}
        if distributed.rank() == 0:
            write_run_info(run, task.recipe, facts | {"precision": machine.precision})
        say(summary)
        _write_state(run, "running")

        signal = ""
        evaluation_owed = evaluation_due() and not distributed.on_rank_zero(
            lambda: has_evaluation(run, start)
        )
        with contextlib.ExitStack() as stack:
            if evaluation_owed or start < steps:
                task.prepare(say)
                logger.open(stack, start)
            begin = last_save = time.monotonic()
            if evaluation_owed:
                signal = evaluate()
            remaining = 0 if signal else steps - start
            bar = Progress(remaining * images, "images", say)
            if remaining:
                stack.enter_context(bar)
            batches_left = task.loader(start) if remaining else ()
            loading = prefetch_to_device(batches_left, machine.device, task.copied)
            batches = stack.enter_context(contextlib.closing(loading))
            for parts in micro_batches(batches, machine.accumulate):
                epoch, rate = step // per_epoch, task.learning_rate(step)
                logger.waits.end()
                inputs = (task.inputs(p.batch, step, part) for part, p in enumerate(parts))
                with advice_on_memory(room_for_step, machine.device, task.advice_on_memory):
                    output = optimization.step(inputs, len(parts), rate)
                step += 1

                logger.count(parts, output.loss)
                if step % machine.log_every == 0 or step in (start + 1, steps):
                    metrics = logger.record(output, step=step, epoch=epoch, rate=rate)
                    for remark in task.remarks(metrics):
                        say(remark)
                bar.advance(images, f"step {step}, loss {logger.loss:.4f}")

                now = time.monotonic()
                out_of_time = now - begin > 60 * machine.max_minutes
                checkpoint_due = now - last_save > 60 * machine.checkpoint_minutes
                stop_requested, out_of_time, checkpoint_due = distributed.any_rank(
                    [bool(interruption.name), out_of_time, checkpoint_due]
                )
                if step % per_epoch == 0 or checkpoint_due or out_of_time or stop_requested:
                    save()
                    last_save = time.monotonic()
                # After the checkpoint: a kill loses nothing, and the next start evaluates first.
                if evaluation_due():
                    signal = evaluate()
                if stop_requested and step < steps:
                    signal = stop_name()
                if signal or out_of_time:
                    break
                logger.waits.begin()

        if step == steps and not signal:
            distributed.on_rank_zero(lambda: task.finish(run))
        path = checkpoint.checkpoint_path(run, step)
        distributed.on_rank_zero(lambda: checkpoint.require_exists(path))
        _write_state(run, "preempted" if signal else "done" if step == steps else "stopped")
        return Result(
            step=step,
            steps=steps,
            checkpoint=path,
            loss=logger.loss,
            unreadable=logger.unreadable,
            signal=signal,
        )


@contextlib.contextmanager
def _failure_noted(run: Path, claim: Claim) -> Iterator[None]:
    """Record that a run failed, and why; nothing if another process has it by now."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(OSError, DiloError):
            if distributed.rank() == 0 and checkpoint.list_checkpoints(run):
                claim.require()
                write_text(run / "state", "failed\n")
                note_failure(run, error)
        raise


def _write_state(run: Path, word: str) -> None:
    """Leave the state of the run where a script finds it."""
    if distributed.rank() == 0:
        write_text(run / "state", word + "\n")

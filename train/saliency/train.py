"""Training a network for saliency: images and masks to weights, on from wherever it stopped."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dilo.pipeline.errors import RecipeError
from dilo.pipeline.saliency.weights import weights_digest
from dilo.train.augment.backgrounds import Bank, Stores, fingerprints
from dilo.train.data.loader import Arrived, Batches, grouped, loader, prefetched
from dilo.train.engine.checkpoint import Standing, write
from dilo.train.engine.optim import learning_rate, rate_words
from dilo.train.engine.trainer import Descent, Result, Session
from dilo.train.methods.base import StepOutput
from dilo.train.networks.torchfile import read
from dilo.train.networks.weights import tensors_of
from dilo.train.recipes.recipe import OptimizerRecipe
from dilo.train.recipes.saliency_recipe import AdamRecipe, SaliencyRecipe
from dilo.train.runtime import distributed
from dilo.train.runtime.options import Machine
from dilo.train.runtime.signals import Interruption
from dilo.train.saliency.basnet import BASNet, load_encoder
from dilo.train.saliency.dataset import COPIED, ExampleBatch, Examples, collate, make_lesson
from dilo.train.saliency.model import SaliencyLearner, SaliencyLearning, make_adam, make_learning
from dilo.train.saliency.networks import learning_format
from dilo.train.saliency.pairs import Pairs
from dilo.train.saliency.score import Scorer

#: The weights alone, at the end of a run.
WEIGHTS = "network.pth"


@dataclass(frozen=True)
class SaliencyPosition(Standing):
    """Where a run stands, and on what.

    Attributes
    ----------
    images : str
        Digest of the list of images.
    truth : str
        Fingerprint of the store of masks, or digest of the list of files.
    backgrounds : str
        Fingerprints of the stores of backgrounds, in the order of their kinds; empty without.
    encoder : str
        Digest of the file that the encoder began with; empty without one.
    kind : str, default "saliency"
        What was trained.
    """

    images: str
    truth: str
    backgrounds: str
    encoder: str
    kind: str = "saliency"


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """What a run learns from.

    Attributes
    ----------
    pairs : Pairs
        Images and masks.
    backgrounds : mapping of int to BackgroundStore
        What the recipe pastes on, but gray and noise.
    encoder : Path or None
        Weights of a ResNet-34 that BASNet's encoder begins with.
    test : Pairs or None
        Images and people's masks to score by, which nothing is learnt from.
    test_every : int
        Epochs from one scoring to the next.
    """

    pairs: Pairs
    backgrounds: Stores = field(default_factory=dict)
    encoder: Path | None = None
    test: Pairs | None = None
    test_every: int = 1


def train_saliency(
    recipe: SaliencyRecipe,
    data: Data,
    run: Path,
    machine: Machine,
    say: Callable[[str], None],
) -> Result:
    """Train by a recipe, from the beginning or from the run's newest checkpoint.

    Under torchrun, every rank calls it with the same arguments.

    Parameters
    ----------
    recipe : SaliencyRecipe
        What to do.
    data : Data
        On what.
    run : Path
        Folder of the run: checkpoints/, metrics.jsonl, recipe.toml, run.json, state, and at the
        end network.pth.
    machine : Machine
        Where to do it.
    say : callable
        Told in words what happens, on rank 0.

    Returns
    -------
    Result
        How it ended.

    Raises
    ------
    DiloError
        If the run cannot go on from its checkpoints, the data, the encoder or the number of ranks
        does not serve, or the loss is no number.
    """
    with distributed.joined(machine.device) as device, Interruption() as interruption:
        machine = dataclasses.replace(machine, device=device)
        say = say if distributed.rank() == 0 else distributed.silence
        return _Session(recipe, data, run, machine, say, interruption).run()


def schedule_of(settings: AdamRecipe) -> OptimizerRecipe:
    """Say a schedule as pretraining says it.

    Parameters
    ----------
    settings : AdamRecipe
        Rate, batch, epochs, warm-up, schedule.

    Returns
    -------
    OptimizerRecipe
        The rate is that of any batch, and changes each step.
    """
    return OptimizerRecipe(
        lr=settings.lr,
        batch=settings.batch,
        scaling="none",
        epochs=settings.epochs,
        warmup=settings.warmup,
        schedule="cosine" if settings.schedule == "cosine" else "step",
        milestones=(),
        by="step",
    )


class _Session(Session[SaliencyRecipe, ExampleBatch]):
    """One process's share of a training for saliency."""

    def __init__(
        self,
        recipe: SaliencyRecipe,
        data: Data,
        run: Path,
        machine: Machine,
        say: Callable[[str], None],
        interruption: Interruption,
    ) -> None:
        self.pairs, source = data.pairs, data.pairs.source
        learning, model = make_learning(recipe), recipe.model
        encoder = _begin_with(data.encoder, model.arch, learning)
        layout = learning_format(model.arch, model.width, machine.device)
        learning.to(machine.device).to(memory_format=layout)
        learning.train()
        optimizer = make_adam(learning.network, recipe.optimizer)
        self.descent = Descent(machine, learning, optimizer)
        self.learning = learning
        self.schedule = schedule_of(recipe.optimizer)
        self.bank = Bank(recipe.pretraining(), data.backgrounds, machine.device)
        super().__init__(
            *(recipe, run, machine, say, interruption),
            learner=SaliencyLearner(learning, optimizer=optimizer, scaler=self.descent.scaler),
            data=SaliencyPosition(
                step=0,
                epoch=0,
                images=source.names.digest(),
                truth=data.pairs.digest(),
                backgrounds=fingerprints(data.backgrounds),
                encoder=encoder,
            ),
            steps_per_epoch=Batches(source.usable, recipe, 0, machine.parts).steps_per_epoch,
        )
        self.scorer: Scorer | None = None
        if data.test is not None:
            self.scorer = Scorer(data.test, recipe.data.size, machine)
            self.read_out_every = data.test_every

    def facts(self) -> dict[str, Any]:
        source = self.pairs.source
        return {
            "images": len(source.usable),
            "images_in_folder": source.in_folder,
            "left_out": list(self.pairs.left_out),
        }

    def rate_words(self) -> str:
        return rate_words(self.schedule)

    def parts(self) -> Generator[list[Arrived[ExampleBatch]]]:
        stream: Any = loader(
            Examples(self.pairs, self.recipe),
            Batches(self.pairs.source.usable, self.recipe, self.step, self.machine.parts),
            workers=self.machine.workers,
            pin=self.machine.device.type == "cuda",
            stack=collate,
        )
        with contextlib.closing(prefetched(stream, self.machine.device, COPIED)) as arriving:
            yield from grouped(arriving, self.machine.parts)

    def take(self, batches: list[ExampleBatch], epoch: int) -> tuple[StepOutput, float]:
        rate = learning_rate(self.schedule, self.step, self.steps_per_epoch)
        self.descent.set_rate(rate)
        self.bank.fill(epoch)
        epochs = self.step / self.steps_per_epoch
        about: dict[str, Any] = {"soft": self.pairs.soft, "step": self.step, "epochs": epochs}
        lessons = (make_lesson(batch, self.recipe.data, self.bank, **about) for batch in batches)
        return self.descent.learn(lessons, len(batches)), rate

    def read_out(self, epoch: int) -> None:
        self.watch.read_out(functools.partial(self._scored, epoch), _score_words)

    def _scored(self, epoch: int) -> dict[str, Any]:
        """Score the masks of the network as it stands."""
        score = cast(Scorer, self.scorer).score(self.learning.masker, self.give_way)
        found: dict[str, Any] = {"test_mae": score.mae, "test_max_f": score.max_f}
        if score.empty:
            found["test_empty"] = score.empty
        return {"step": self.step, "epoch": epoch, **found}

    def end(self) -> None:
        weights = {name: value.cpu() for name, value in self.learning.masker.state_dict().items()}
        write(self.folder / WEIGHTS, weights, "make room and give the same command again")


def _score_words(line: dict[str, Any]) -> str:
    """Say how good the masks are."""
    words = f"epoch {line['epoch']}: MAE {line['test_mae']:.3f}, max F {line['test_max_f']:.3f}"
    empty = line.get("test_empty")
    return words + (f", without {empty} images whose truth is black" if empty else "")


def _begin_with(file: Path | None, arch: str, learning: SaliencyLearning) -> str:
    """Fill BASNet's encoder from a file, if there is one; give the file's digest."""
    if file is None:
        return ""
    if arch != "basnet":
        raise RecipeError(
            f"--encoder {file} is for model.arch basnet alone: leave it out, or take that recipe"
        )
    load_encoder(cast(BASNet, learning.network), tensors_of(read(file)), f"--encoder {file}")
    if learning.teacher is not None:
        learning.teacher.load_state_dict(learning.network.state_dict())
    return weights_digest(file)

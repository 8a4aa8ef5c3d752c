"""Training a network for saliency: images and masks to weights, on from wherever it stopped."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dilo.pipeline.errors import RecipeError
from dilo.pipeline.saliency.weights import weights_digest
from dilo.train.augment.backgrounds import BackgroundBank, Stores, fingerprints
from dilo.train.data.dataset import CropBatch
from dilo.train.data.loader import sample_bytes
from dilo.train.engine.checkpoint import save_torch_file
from dilo.train.engine.optim import make_optimizer
from dilo.train.engine.trainer import Result, Task, launch
from dilo.train.recipes.saliency_recipe import SaliencyRecipe
from dilo.train.runtime.options import RunOptions
from dilo.train.saliency.basnet import BASNet, load_encoder
from dilo.train.saliency.dataset import CropDataset, SaliencyBatch, prepare_batch
from dilo.train.saliency.model import SaliencyModel, make_model
from dilo.train.saliency.networks import training_format
from dilo.train.saliency.pairs import ImageMaskPairs
from dilo.train.saliency.score import MaskScorer
from dilo.train.weights.loading import state_dict_of
from dilo.train.weights.torchfile import read

#: The weights alone, at the end of a run.
WEIGHTS = "network.pth"


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """What a run learns from."""

    #: Images and masks.
    pairs: ImageMaskPairs
    #: What the recipe pastes on, but gray and noise.
    backgrounds: Stores = field(default_factory=dict)
    #: Weights of a ResNet-34 that BASNet's encoder begins with.
    encoder: Path | None = None
    #: Images and people's masks to score by, which nothing is learnt from.
    test: ImageMaskPairs | None = None
    #: Epochs from one scoring to the next.
    test_every: int = 1


def train_saliency(
    recipe: SaliencyRecipe,
    data: Data,
    run: Path,
    machine: RunOptions,
    say: Callable[[str], None],
) -> Result:
    """Train by a recipe, from the beginning or from the run's newest checkpoint.

    Under torchrun, every rank calls it with the same arguments.
    """
    return launch(lambda here, _: SaliencyTask(recipe, data, here), run, machine, say)


class SaliencyTask(Task):
    """A network for saliency, its optimiser, and the images and masks that it learns from.

    Parameters
    ----------
    recipe : SaliencyRecipe
        What to do.
    data : Data
        On what.
    machine : RunOptions
        Device, workers.

    Raises
    ------
    DiloError
        If data or encoder do not serve, or the device has no room for the backgrounds.
    """

    def __init__(self, recipe: SaliencyRecipe, data: Data, machine: RunOptions) -> None:
        self.recipe: SaliencyRecipe = recipe
        self.pairs, self.source, self.machine = data.pairs, data.pairs.source, machine
        self.dataset = CropDataset(data.pairs, recipe)
        self.sample_bytes = sample_bytes(recipe.data.crop)
        self.model: SaliencyModel = make_model(recipe)
        arch = recipe.model.arch
        encoder = _load_encoder(data.encoder, arch, self.model)
        layout = training_format(arch, recipe.model.width, machine.device)
        self.model.to(machine.device).to(memory_format=layout)
        self.model.train()
        self.optimizer = make_optimizer(self.model, recipe.optimizer)
        side, device = recipe.data.crop, machine.device
        self.bank = BackgroundBank(
            recipe.paste,
            data.backgrounds,
            device,
            seed=recipe.seed,
            side=side,
            epochs=recipe.optimizer.epochs,
        )
        self.steps_per_epoch = self.batches(0).steps_per_epoch
        self.data = {
            "images": self.source.names.digest(),
            "truth": data.pairs.digest(),
            "backgrounds": fingerprints(data.backgrounds),
            "encoder": encoder,
            "kind": "saliency",
        }
        self.scorer: MaskScorer | None = None
        if data.test is not None:
            self.scorer = MaskScorer(data.test, recipe.data.size, machine)
            self.eval_every = data.test_every

    def inputs(self, batch: CropBatch, step: int, part: int) -> SaliencyBatch:
        """Paste, jitter and standardise a batch on the device."""
        self.bank.load_epoch(step // self.steps_per_epoch)
        epochs = step / self.steps_per_epoch
        settings: dict[str, Any] = {"soft": self.pairs.soft, "step": step, "epochs": epochs}
        return prepare_batch(batch, self.recipe.data, self.bank, **settings)

    def describe(self) -> tuple[dict[str, Any], str]:
        """Return what is trained on, and where the rate comes from."""
        facts, line = super().describe()
        return facts | {"skipped": list(self.pairs.skipped)}, line

    def describe_extension(self, before: int, step: int) -> str:
        """Say also what becomes of the teacher's share, which grows over the whole run."""
        line, noise = super().describe_extension(before, step), self.recipe.noise
        if not (noise.teacher and noise.trust):
            return line
        epochs, begin = self.recipe.optimizer.epochs, noise.trust_from
        share = noise.trust * (before - begin) / (epochs - begin)
        return (
            f"{line}; the teacher's share falls from {noise.trust:g} to {share:.3g} and rises again"
        )

    def evaluate(
        self, step: int, epoch: int, between: Callable[[], object]
    ) -> tuple[dict[str, Any], str]:
        """Score the masks of the network as it stands."""
        score = cast(MaskScorer, self.scorer).score(self.model.mask_network, between)
        line = {"step": step, "epoch": epoch, "test_mae": score.mae, "test_max_f": score.max_f}
        summary = f"epoch {epoch}: MAE {score.mae:.3f}, max F {score.max_f:.3f}"
        if score.empty:
            line["test_empty"] = score.empty
            summary += f", {score.empty} images with an empty truth skipped"
        return line, summary

    def finish(self, run: Path) -> None:
        """Write the weights alone."""
        weights = {
            name: value.cpu() for name, value in self.model.mask_network.state_dict().items()
        }
        save_torch_file(run / WEIGHTS, weights, "make room and run the same command again")


def _load_encoder(file: Path | None, arch: str, learning: SaliencyModel) -> str:
    """Load BASNet's encoder from a file, if there is one; return the file's digest."""
    if file is None:
        return ""
    if arch != "basnet":
        raise RecipeError(
            f"--encoder {file} is for model.arch basnet alone: omit it, or take that recipe"
        )
    load_encoder(cast(BASNet, learning.network), state_dict_of(read(file)), f"--encoder {file}")
    if learning.teacher is not None:
        learning.teacher.load_state_dict(learning.network.state_dict())
    return weights_digest(file)

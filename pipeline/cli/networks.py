"""The options of methods that are networks: which weights, where they compute, how fast."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.pipeline.cli.options import DEVICE, PRECISION, option_group
from dilo.pipeline.errors import near

if TYPE_CHECKING:
    from dilo.pipeline.cli.run import RunOptions
    from dilo.pipeline.images.names import Names
    from dilo.pipeline.masks.network import InferenceSettings
    from dilo.pipeline.saliency import MaskRecipe

#: Options that are parameters: what `NetworkOptions` calls them is what plan.json does.
_PARAMETERS = {
    "precision": "--precision",
    "arch": "--arch",
    "label": "--class",
    "segmentation": "--segmentation",
}
#: Whose some of them are.
_OWNERS = {
    "arch": "cam, gradient, contracam or tokencut",
    "label": "cam or gradient",
    "segmentation": "gradient",
}
#: The values of --class, and what plan.json calls them.
_CLASS_RULES = {"predicted": "predicted", "true": "folder"}
#: Those that say how it runs.
_RUNNING = {"device": "--device", "batch": "--batch", "threads": "--threads"}


@dataclass(frozen=True)
class NetworkOptions:
    """The options of networks; None where one was not given."""

    weights: Path | None
    device: str | None
    precision: str | None
    batch: int | None
    threads: int | None
    arch: str | None
    label: str | None
    segmentation: str | None

    def recipe(
        self, method: str, refine: str | None, settings: dict[str, Any], out: Path
    ) -> "MaskRecipe":
        """Find a method and its parameters by their names, and refuse options it has not."""
        from dilo.pipeline.saliency import METHODS, NetworkMethod

        if method not in METHODS:
            raise click.BadParameter(
                f"must be one of {', '.join(METHODS)}, got {method!r}{near(method, METHODS)}",
                param_hint="--method",
            )
        entry = METHODS[method]
        network = isinstance(entry, NetworkMethod)
        self._refuse_others(method, set(entry.as_dict()) if network else set(), network=network)
        parameters = {
            name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None
        }
        for name in set(parameters) & set(settings):
            raise click.UsageError(
                f"{_PARAMETERS[name]} and --set {name}=... set the same parameter: give only one"
            )
        if network and self.weights is None:
            raise click.UsageError(f"--method {method} is a network: give its --weights FILE")
        from dilo.pipeline.saliency.recipe import recipe_by_weights

        if self.precision == "auto":
            parameters["precision"] = self._automatic_precision(out)
        try:
            return recipe_by_weights(method, refine, settings | parameters, self.weights)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--set") from error

    def _chosen_device(self) -> str:
        """Choose the kind of device."""
        from dilo.pipeline.masks.gpus import automatic_device

        if self.device in (None, "auto"):
            return automatic_device()
        return str(self.device)

    def _automatic_precision(self, out: Path) -> str:
        """Return the precision of the store that is there, or what suits the device."""
        from dilo.pipeline.masks.gpus import choose_precision
        from dilo.pipeline.store.plan import PLAN, Plan

        planned = Plan.load(out).parameters if (out / PLAN).exists() else {}
        return str(planned.get("precision") or choose_precision(self._chosen_device()))

    def _refuse_others(self, method: str, known: set[str], *, network: bool) -> None:
        """Refuse options that the method has not."""
        for name, option in ({"weights": "--weights"} | _RUNNING).items():
            if getattr(self, name) is not None and not network:
                raise click.UsageError(
                    f"{option} belongs to a --method that is a network, such as basnet, "
                    f"got {method}"
                )
        for name, option in _PARAMETERS.items():
            if getattr(self, name) is not None and name not in known:
                owner = _OWNERS.get(name, "basnet or another network")
                raise click.UsageError(f"{option} belongs to --method {owner}, got {method}")

    def inference_settings(
        self, recipe: "MaskRecipe", options: "RunOptions"
    ) -> tuple["InferenceSettings | None", "RunOptions"]:
        """Choose how a network runs, and in how many processes; other methods change nothing."""
        import joblib

        from dilo.pipeline.masks.gpus import require_gpus
        from dilo.pipeline.masks.network import InferenceSettings
        from dilo.pipeline.saliency.weights import weights_file

        if self.weights is None:
            return None, options
        device = self._chosen_device()
        precision = recipe.parameters()["precision"]
        if device == "cpu" and precision == "fp16":
            raise click.UsageError("--precision fp16 needs a GPU, got a CPU: give bf16 or fp32")
        if device == "cuda" and not options.on_cluster:
            count = require_gpus(precision)
            if options.jobs == -1:  # one a GPU; threads of one process share its own
                options = dataclasses.replace(
                    options, jobs=1 if options.backend == "threading" else count
                )
        file = weights_file(self.weights).absolute()
        processes = 1 if options.on_cluster else joblib.effective_n_jobs(options.jobs)
        return InferenceSettings(file, device, self.batch, self.threads, processes), options


def require_weights(
    recipe: "MaskRecipe",
    inference: "InferenceSettings | None",
    out: Path,
    names: "Names",
    options: "RunOptions",
) -> None:
    """Refuse weights that do not fit before a store is begun with them.

    The workers of a cluster see for themselves, as this machine need not have torch.
    """
    from dilo.pipeline.masks.network import check_weights
    from dilo.pipeline.store.plan import PLAN

    if inference is None or options.on_cluster or (out / PLAN).exists():
        return
    check_weights(recipe, inference.weights, names)


network_options = option_group(
    "network",
    NetworkOptions,
    {
        "weights": click.option(
            "--weights",
            type=click.Path(exists=True, path_type=Path),
            metavar="FILE",
            help="For a network: file of its weights, or the run that trained it (its newest "
            "checkpoint).",
        ),
        "device": click.option(
            "--device",
            type=DEVICE,
            show_default="auto",
            help="For a network: cuda: GPUs, one process on each unless --workers says more; cpu: "
            "one process on each core, which takes memory, 1.5 GB per process for basnet: see "
            "--workers. auto: GPUs if there are any.",
        ),
        "precision": click.option(
            "--precision",
            type=PRECISION,
            show_default="fp32",
            help="For a network: number format. bf16 and fp16 are faster on GPUs, and change MAE "
            "by less than 0.002. auto: what the store has; for a new store, bf16 on a GPU that "
            "has it, fp16 on another, fp32 on a CPU.",
        ),
        "batch": click.option(
            "--batch",
            type=click.IntRange(min=1),
            show_default="32 on a GPU, 1 on a CPU",
            help="For a network: images per batch.",
        ),
        "threads": click.option(
            "--threads",
            type=click.IntRange(min=1),
            show_default="1 on a CPU; on a GPU the process's share of the cores, at most 16",
            help="For a network: threads in each process that read images and finish masks.",
        ),
        "arch": click.option(
            "--arch",
            show_default="from the weights",
            help="For cam, gradient, contracam and tokencut: architecture, if the file does not "
            "name it: resnet50, or timm:NAME.",
        ),
        "label": click.option(
            "--class",
            "label",
            type=click.Choice(list(_CLASS_RULES)),
            callback=lambda ctx, parameter, value: _CLASS_RULES.get(value),
            show_default="predicted",
            help="For cam and gradient: explain the predicted class, or the true one, which is "
            "the image's first folder.",
        ),
        "segmentation": click.option(
            "--segmentation",
            type=click.Choice(["grabcut", "star"]),
            show_default="grabcut",
            help="For gradient: segmentation by OpenCV's GrabCut, or with geodesic stars.",
        ),
    },
)

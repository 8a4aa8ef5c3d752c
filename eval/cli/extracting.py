"""A folder, or a file of features, to features: saying how far it is and what could not be read."""

from pathlib import Path
from typing import TYPE_CHECKING

from dilo.eval.cli.options import say_unreadable, worker_count
from dilo.pipeline.cli.options import say
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import DiloError

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.eval.features.features import Features
    from dilo.eval.features.folders import LabelledFolder
    from dilo.eval.models.encoder import Encoder
    from dilo.train.runtime.devices import Precision


def extracted(
    encoder: "Encoder | None",
    source: "Path | LabelledFolder | Features",
    batch: int,
    workers: int | None,
    device: "torch.device",
    *,
    precision: "Precision" = "fp32",
    keep: Path | None = None,
    said: set[Path] | None = None,
) -> "Features":
    """Take features from a file of them, or run the network over a folder.

    A file, or what was opened of it, must be of the encoder's, where there is one. Features of a
    folder lie in memory, or in a file of the folder `keep`, which is taken if it is there. What a
    folder holds is not said where it is among `said`, of those that were told before.
    """
    from dilo.eval.features.features import Features, features
    from dilo.eval.features.file import open_features
    from dilo.eval.features.folders import labelled_folder

    if isinstance(source, Path):
        source = open_features(source) if source.is_file() else labelled_folder(source, say=say)
    if isinstance(source, Features):
        return _checked(encoder, source, said)
    if encoder is None:
        raise DiloError(
            f"--checkpoint must be given for a folder of images, got none for {source.root}: "
            "give one, or a file of features"
        )
    if keep is not None:
        return stored(encoder, source, keep, batch, workers, device, precision=precision)
    classes = f" in {len(source.classes)} classes" if source.classes else ""
    _say_once(said, source.root, f"{len(source.names)} images{classes}")
    with Progress(len(source.names), "images", say) as progress:
        found = features(
            encoder,
            source,
            batch=batch,
            workers=worker_count(workers),
            device=device,
            precision=precision,
            progress=progress.advance,
        )
    say_unreadable(found.unreadable)
    return found


def stored(
    encoder: "Encoder",
    folder: "LabelledFolder",
    path: Path,
    batch: int,
    workers: int | None,
    device: "torch.device",
    *,
    precision: "Precision" = "fp32",
) -> "Features":
    """Run the network over a folder into a file, going on where a run before was stopped.

    In place of a file, a folder stands for one in it that is named for all it follows from.
    """
    from dilo.eval.features.resume import FeatureJob

    classes = f" in {len(folder.classes)} classes" if folder.classes else ""
    say(f"{folder.root}: {len(folder.names)} images{classes}")
    job = FeatureJob(encoder, folder, path, precision=precision)
    if job.kept:
        whole = job.kept == job.images
        say(f"{job.path}: {'all' if whole else job.kept} of them are done already")
    with Progress(job.images - job.kept, "images", say) as progress:
        found = job.run(
            batch=batch,
            workers=worker_count(workers),
            device=device,
            progress=progress.advance,
        )
    say_unreadable(found.unreadable)
    return found


def _say_once(said: set[Path] | None, root: Path, words: str) -> None:
    """Say what a folder holds, unless it was told before."""
    if said is None or root not in said:
        say(f"{root}: {words}")
    if said is not None:
        said.add(root)


def _checked(
    encoder: "Encoder | None", found: "Features", said: set[Path] | None = None
) -> "Features":
    """Say what a file of features is of, which must be the encoder's where there is one."""
    from dilo.eval.features.provenance import Origin

    if encoder is not None:
        wanted = Origin.of(encoder, found.origin.precision)
        if differences := found.origin.differences(wanted):
            raise DiloError(
                f"features of {found.root} must be what the checkpoint makes, got "
                f"{'; '.join(differences)}: leave --checkpoint out, or make the file anew"
            )
    classes = f" in {len(found.classes)} classes" if found.classes else ""
    _say_once(said, found.root, f"features of {len(found.labels)} images{classes}")
    say_unreadable(found.unreadable)
    return found


def listed(path: Path, classes: tuple[str, ...] | None = None) -> "LabelledFolder | Features":
    """List the images of a folder, or open a file of features; by given classes or their own."""
    from dilo.eval.features.features import relabelled
    from dilo.eval.features.file import open_features
    from dilo.eval.features.folders import labelled_folder

    if path.is_dir():
        return labelled_folder(path, classes=classes, say=say)
    found = open_features(path)
    if not found.classes:
        raise DiloError(
            f"{path} must hold features of images in class folders, got none in any: "
            "make it of a folder of class folders"
        )
    return found if classes is None else relabelled(found, classes)

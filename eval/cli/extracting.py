"""A folder, or a file of features, to features: saying how far it is and what could not be read."""

from pathlib import Path
from typing import TYPE_CHECKING

from dilo.eval.cli.options import worker_count
from dilo.pipeline.cli.options import NAMED, say
from dilo.pipeline.errors import DiloError
from dilo.pipeline.progress import Progress

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.eval.encoder import Encoder
    from dilo.eval.features import Features
    from dilo.eval.folders import LabelledFolder
    from dilo.train.devices import Precision


def extracted(
    encoder: "Encoder | None",
    source: "Path | LabelledFolder",
    batch: int,
    workers: int | None,
    device: "torch.device",
    *,
    precision: "Precision" = "fp32",
) -> "Features":
    """Take features from a file of them, or run the network over a folder.

    A file must be of the encoder's, where there is one. Features of a folder lie in memory.
    """
    from dilo.eval.features import features
    from dilo.eval.folders import labelled_folder

    if isinstance(source, Path) and source.is_file():
        return opened(encoder, source, precision=precision)
    folder = labelled_folder(source) if isinstance(source, Path) else source
    if encoder is None:
        raise DiloError(f"--checkpoint must be given for images, got none for {folder.root}")
    say(f"{folder.root}: {len(folder.names)} images in {len(folder.classes)} classes")
    with Progress(len(folder.names), "images", say) as progress:
        found = features(
            encoder,
            folder,
            batch=batch,
            workers=worker_count(workers),
            device=device,
            precision=precision,
            progress=progress.advance,
        )
    tell_unreadable(found)
    return found


def opened(
    encoder: "Encoder | None", path: Path, *, precision: "Precision | None" = None
) -> "Features":
    """Open a file of features, which must be of the encoder's where there is one."""
    from dilo.eval.featurefile import open_features
    from dilo.eval.origin import Origin

    found = open_features(path)
    if encoder is not None:
        wanted = Origin.of(encoder, precision or found.origin.precision)
        if differences := found.origin.differences(wanted):
            raise DiloError(
                f"{path} must hold features as the checkpoint makes them, got "
                f"{'; '.join(differences)}: leave --checkpoint out, or make the file anew"
            )
    classes = f" in {len(found.classes)} classes" if found.classes else ""
    say(f"{path}: features of {len(found.labels)} images{classes} of {found.root}")
    tell_unreadable(found)
    return found


def tell_unreadable(found: "Features") -> None:
    """Name images that are left out."""
    if found.unreadable:
        say(f"{len(found.unreadable)} of them could not be read and are left out:")
        for path, reason in found.unreadable[:NAMED]:
            say(f"  {path}: {reason}")
        if len(found.unreadable) > NAMED:
            say(f"  and {len(found.unreadable) - NAMED} more; --json names all")

"""A folder to features, saying how far it is and what could not be read."""

from typing import TYPE_CHECKING

from dilo.eval.cli.options import worker_count
from dilo.pipeline.cli.options import NAMED, say
from dilo.pipeline.progress import Progress

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none of it
    import torch

    from dilo.eval.encoder import Encoder
    from dilo.eval.features import Features
    from dilo.eval.folders import LabelledFolder


def extracted(
    encoder: "Encoder",
    folder: "LabelledFolder",
    batch: int,
    workers: int | None,
    device: "torch.device",
) -> "Features":
    """Run the network over a folder, saying how far it is and what could not be read."""
    from dilo.eval.features import features

    say(f"{folder.root}: {len(folder.names)} images in {len(folder.classes)} classes")
    with Progress(len(folder.names), "images", say) as progress:
        found = features(
            encoder,
            folder,
            batch=batch,
            workers=worker_count(workers),
            device=device,
            progress=progress.advance,
        )
    if found.unreadable:
        say(f"{len(found.unreadable)} of them could not be read and are left out:")
        for path, reason in found.unreadable[:NAMED]:
            say(f"  {path}: {reason}")
        if len(found.unreadable) > NAMED:
            say(f"  and {len(found.unreadable) - NAMED} more; --json names all")
    return found

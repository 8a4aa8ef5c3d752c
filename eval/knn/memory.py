"""The memory of a training run, a row an image, as a bank of neighbours."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import Origin
from dilo.eval.models.encoder import Encoder
from dilo.eval.models.formats import read_weights
from dilo.eval.models.layouts import entry
from dilo.pipeline.errors import CheckpointError, DiloError

#: Where memories lie, and under which names: ours and InstDisc's; the CMC repository's, whose
#: InstDisc has one; PyContrast's. Of a pair, luminance's is first.
_PLACES = ("state_dict", "contrast")
_NAMES = (
    ("module.memory",),
    ("module.memory_l", "module.memory_ab"),
    ("memory",),
    ("memory_l", "memory_ab"),
    ("memory_1", "memory_2"),
)


def memory_features(encoder: Encoder, folder: LabelledFolder) -> Features:
    """Take the training memory of a checkpoint for the features of the images it was trained on.

    Parameters
    ----------
    encoder : Encoder
        The network, whose file has the memory; it gives the embedding.
    folder : LabelledFolder
        The images, in the order of training, which is that of their paths.

    Returns
    -------
    Features
        A row for each image: embeddings of augmented views, averaged over the epochs.

    Raises
    ------
    CheckpointError
        If the file has no memory, or one that is not finite.
    DiloError
        If the images are not those of the training.

    References
    ----------
    .. [1] Z. Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
       Discrimination", CVPR 2018; test.py of the released code.
    """
    content = read_weights(encoder.source)
    rows = _memory(content, encoder.source)
    trained = entry(content, "dilo", "images")
    if len(rows) != len(folder.names) or trained not in (None, folder.names.digest()):
        why = (
            f"{len(folder.names)} images for {len(rows)} rows of memory"
            if len(rows) != len(folder.names)
            else "another list of images, or another order"
        )
        raise DiloError(
            f"--train {folder.root} must hold the images that {encoder.source} was trained on, "
            f"got {why}: give the folder of its training, or leave --bank memory out"
        )
    if not bool(rows.isfinite().all()):
        raise CheckpointError(
            f"the memory of {encoder.source} must be finite, got NaN or infinity: the training "
            "run diverged; take an earlier checkpoint"
        )
    return Features(
        folder.root,
        rows,
        folder.labels,
        folder.classes,
        folder.names,
        (),
        folder.names.digest(),
        Origin.of(encoder),
    )


def _memory(content: object, source: Path) -> Tensor:
    """Find the memory; of two, the unit vectors side by side, as `Pair` gives embeddings."""
    for place in _PLACES:
        for names in _NAMES:
            found = [entry(content, place, name) for name in names]
            if all(isinstance(part, Tensor) and part.ndim == 2 for part in found):
                if any(_is_odd(part) for part in found) or len({len(part) for part in found}) > 1:
                    raise CheckpointError(
                        f"{source} must hold a memory of finite numbers, a row an image, got "
                        f"{' and '.join(names)} with others: take an earlier checkpoint, or leave "
                        "--bank memory out, and the images are read"
                    )
                parts = [part.float() for part in found]
                return parts[0] if len(parts) == 1 else torch.cat([*map(normalize, parts)], 1)
    raise CheckpointError(
        f"{source} must hold a memory, a row an image, for --bank memory, got none: only InstDisc "
        "and CMC train with one; leave the option out, and the images are read"
    )


def _is_odd(part: Tensor) -> bool:
    """Tell whether a memory is no dense matrix of finite numbers."""
    dense = part.layout == torch.strided and part.is_floating_point() and not part.is_meta
    return not dense or not bool(part.float().isfinite().all())

"""The proof that a frozen trunk is still what its checkpoint holds."""

from collections.abc import Mapping

from torch import Tensor

from dilo.eval.models.encoder import Encoder, load_encoder
from dilo.pipeline.errors import CheckpointError, first_few


def weights_of(encoder: Encoder) -> dict[str, Tensor]:
    """Copy every weight and statistic of a trunk.

    Parameters
    ----------
    encoder : Encoder
        The trunk.

    Returns
    -------
    dict of str to Tensor
        On the CPU.
    """
    state = encoder.network.state_dict()
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def require_unchanged(encoder: Encoder, kept: Mapping[str, Tensor]) -> None:
    """Refuse a trunk that is not, to the last bit, what its file holds.

    Parameters
    ----------
    encoder : Encoder
        The trunk after work on it.
    kept : mapping of str to Tensor
        Its weights before, as `weights_of` gives them: where the file is there no more, since a
        run that goes on keeps its newest two, they serve in its place.

    Raises
    ------
    CheckpointError
        If a weight, a statistic of batch norm or its count of batches differs.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: the check of its repository's linear evaluation.
    """
    expected = kept
    if encoder.source.exists():
        again = load_encoder(
            encoder.source, arch=encoder.model.arch, size=encoder.size, part=encoder.part
        )
        expected = again.network.state_dict()
    found = encoder.network.state_dict()
    changed = [name for name in found if not expected[name].equal(found[name].cpu())]
    if changed:
        raise CheckpointError(
            f"the trunk must stay as {encoder.source} holds it, got {len(changed)} of "
            f"{len(found)} entries changed, {first_few(changed)}: what was measured is void; "
            "was the network in train mode, or the file replaced?"
        )

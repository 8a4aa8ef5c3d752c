"""Weights into the network that they are of, and into no other."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from dilo.pipeline.errors import CheckpointError

#: What batch norm counts. Files of torch 0.4.0 and before lack it, and no output depends on it.
COUNTER = ".num_batches_tracked"


def fill(network: nn.Module, weights: Mapping[str, Tensor], what: str, advice: str) -> None:
    """Load weights that are exactly those of a network; its batch norms need not be counted.

    Parameters
    ----------
    network : Module
        To be filled.
    weights : mapping of str to Tensor
        By the names of its state dict.
    what : str
        How an error begins: what must hold the weights of what.
    advice : str
        How it ends: what to do.

    Raises
    ------
    CheckpointError
        If some are missing, unknown, of another shape, or not finite.
    """
    expected = network.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    missing = [name for name in expected if name not in weights and not name.endswith(COUNTER)]
    unknown = [name for name in weights if name not in expected]
    misfits = [
        f"{name} of shape {tuple(tensor.shape)} instead of {shapes[name]}"
        for name, tensor in weights.items()
        if name in expected and tuple(tensor.shape) != shapes[name]
    ]
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    faults = {"no": missing, "the unknown": unknown, "": misfits, "not finite numbers in": broken}
    if any(faults.values()):
        got = "; ".join(f"{kind} {_few(names)}".strip() for kind, names in faults.items() if names)
        raise CheckpointError(f"{what}, got {got}: {advice}")
    # As a plain dict: what a file says of its version would make the counters obligatory.
    network.load_state_dict(dict(weights))


def _few(names: Sequence[str]) -> str:
    """List the first three names and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

"""Weights into the network that they are of, and into no other."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dilo.pipeline.errors import CheckpointError, first_few

#: The MoCo repository saves a network wrapped for many devices; its tools expect the prefix.
PREFIX = "module."
#: What other programs wrap a network or a part of it in; a name means the same without.
_WRAPPERS = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
)
#: Under which names files keep a network's weights, and how they call a network in another.
_FRAMES = ("state_dict", "model", "module")
_MODEL = "model."
#: What batch norm counts. Files of torch 0.4.0 and before lack it, and no output depends on it.
_COUNTER = ".num_batches_tracked"
_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def state_dict_of(content: object) -> dict[str, Tensor]:
    """Find the tensors of a file, whatever else is in it; empty where there are none."""
    fields = content if isinstance(content, Mapping) else {}
    states = (fields.get(name) for name in _FRAMES)
    state = next((state for state in states if isinstance(state, Mapping)), fields)
    tensors = unwrapped(
        {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    )
    while tensors and all(name.startswith(_MODEL) for name in tensors):
        tensors = {name.removeprefix(_MODEL): value for name, value in tensors.items()}
    return tensors


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take out of names what other programs wrap a network, or a part of it, in."""
    plain = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): value
        for name, value in tensors.items()
    }
    return plain if len(plain) == len(tensors) else dict(tensors)


def load_weights(
    network: nn.Module, weights: Mapping[str, Tensor], requirement: str, advice: str
) -> None:
    """Load weights that are exactly those of a network; its batch norms need not be counted."""
    expected = network.state_dict()
    missing = [name for name in expected if name not in weights and not name.endswith(_COUNTER)]
    unknown = [name for name in weights if name not in expected]
    misfits = [
        fault
        for name, tensor in weights.items()
        if name in expected and (fault := _fault(name, tensor, expected[name]))
    ]
    faults = {"no ": missing, "the unknown ": unknown, "": misfits}
    if any(faults.values()):
        problems = "; ".join(kind + first_few(names) for kind, names in faults.items() if names)
        raise CheckpointError(f"{requirement}, got {problems}: {advice}")
    # With counters, so that it does not matter which version a file says it is of.
    no_count = torch.tensor(0)
    state = {
        name: weights.get(name, no_count).to(tensor.dtype) for name, tensor in expected.items()
    }
    network.load_state_dict(state, assign=next(network.parameters()).is_meta)


def _fault(name: str, tensor: Tensor, expected: Tensor) -> str | None:
    """Describe what is wrong with a tensor; None if nothing is."""
    if tensor.shape != expected.shape:
        return f"{name} of shape {tuple(tensor.shape)} instead of {tuple(expected.shape)}"
    dense = tensor.layout == torch.strided and not tensor.is_meta
    if name.endswith(_COUNTER) and dense and not tensor.is_complex() and not tensor.is_quantized:
        return None
    if not dense or tensor.dtype not in _NUMBERS:
        return f"{name} of type {tensor.dtype}, {tensor.layout}, instead of dense floats"
    if not bool(tensor.isfinite().all()):
        return f"{name} with values that are not finite"
    if not bool(tensor.to(expected.dtype).isfinite().all()):
        return f"{name} with values too large for {expected.dtype}"
    return None

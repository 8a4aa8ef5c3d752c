"""Files of weights, told apart by their bytes: torch's, safetensors', pickles of arrays."""

from pathlib import Path
from typing import Any

from dilo.pipeline.common.textfiles import parse_json
from dilo.pipeline.errors import CheckpointError, require_access
from dilo.train.weights.foreign import read_foreign
from dilo.train.weights.pickled_arrays import read_arrays
from dilo.train.weights.torchfile import begins_as_legacy, read_start, reason_of

#: How a pickle of the protocols 2 to 5 begins.
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


_LONGEST_HEADER = 100_000_000


#: Under which name `dilo-eval export` tells safetensors what our checkpoints say of themselves.
METADATA_KEY = "dilo"


def read_weights(path: Path) -> object:
    """Load the tensors and plain values of a file in any of the formats, running nothing in it.

    Parameters
    ----------
    path : Path
        What torch.save or safetensors wrote, or a pickled dictionary of numpy arrays.

    Returns
    -------
    object
        Its content, on the CPU. Of safetensors, the tensors are "state_dict", beside what an
        export of ours says of itself.

    Raises
    ------
    CheckpointError
        If the file is damaged or of no such format, or safetensors is not installed.
    """
    try:
        start = read_start(path)
    except OSError as error:
        require_access(error, path)
        raise CheckpointError(
            f"{path} must be a file that can be read, got: {error.strerror}"
        ) from error
    # The header's length, of which the format allows 100 MB, then the header, which is JSON.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER:
        return _safetensors(path)
    if start.startswith(_PICKLES) and not begins_as_legacy(start):
        return read_arrays(path)
    return read_foreign(path)


def _safetensors(path: Path) -> dict[str, Any]:
    """Read tensors, and what is said of them."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise CheckpointError(
            f"{path} is a file of safetensors, which needs the package safetensors: "
            "pip install 'dilo[export]'"
        ) from error
    try:
        with safe_open(path, framework="pt") as file:
            metadata = parse_json((file.metadata() or {}).get(METADATA_KEY, "{}"), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    # The library's own errors, JSON's, and torch's for types that it does not have.
    except Exception as error:
        require_access(error, path)
        raise CheckpointError(
            f"{path} must be a whole file of safetensors, but reading it failed "
            f"({reason_of(error)}): copy it again, or take another checkpoint"
        ) from error
    return (metadata if isinstance(metadata, dict) else {}) | {"state_dict": tensors}

"""Pickles of numpy arrays, as detectron2 keeps weights, to tensors: nothing in them is called."""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dilo.pipeline.errors import CheckpointError, require_access
from dilo.train.weights.torchfile import reason_of

#: Element types that weights have: float, signed, unsigned, bool, with their bytes.
_ELEMENTS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


_MOST_DIMENSIONS = 8


#: Integers that no count or size of ours comes near.
_BEYOND = 2**64


class _RefusedError(ValueError):
    """Something that no file of arrays needs."""


class _ElementType:
    """Stands for a numpy dtype: its code, and the order of its bytes."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, order, *fields = state
        if order not in ("<", ">", "|", "=") or any(fields[:3]):
            raise _RefusedError("elements that are records")
        self.order = order


class _Array:
    """Stands for a numpy array, which a pickle names first and fills later."""

    __slots__ = ("_make", "tensor")

    def __init__(self, make: Callable[..., Tensor], tensor: Tensor | None = None) -> None:
        self._make, self.tensor = make, tensor

    def __setstate__(self, state: Any) -> None:
        _, shape, element_type, by_columns, raw = state
        self.tensor = self._make(raw, element_type, shape, "F" if by_columns else "C")


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays, with methods of its own in place of the few functions that they name."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(io.BytesIO(raw))
        self._left = len(raw)  # bytes: a file may name its values again and again
        functions: dict[str, Callable[..., object]] = {
            "numpy.ndarray": self._refuse_call,
            "numpy.dtype": self._element_type,
            "_codecs.encode": self._encode,
            "__builtin__.bytes": self._no_bytes,
            "collections.OrderedDict": self._dictionary,
        }
        for core in ("numpy.core", "numpy._core"):  # before numpy 2, and since
            functions[f"{core}.multiarray._reconstruct"] = self._empty_array
            functions[f"{core}.multiarray.scalar"] = self._scalar
            functions[f"{core}.numeric._frombuffer"] = self._array
        self._functions = functions

    def find_class(self, module: str, name: str) -> Any:
        """Give what stands for a function of the allow-list, and refuse any other."""
        function = self._functions.get(f"{module}.{name}")
        if function is None:
            raise _RefusedError(f"{f'{module}.{name}'[:99]!r}, which could run code")
        return function

    def _refuse_call(self, *ignored: object) -> None:
        raise _RefusedError("a call of numpy.ndarray")

    def _element_type(self, code: object, *ignored: object) -> _ElementType:
        if not isinstance(code, str) or code not in _ELEMENTS:
            named = code[:99] if isinstance(code, str) else ""
            raise _RefusedError(f"elements of the type {named!r} instead of {', '.join(_ELEMENTS)}")
        return _ElementType(code)

    def _encode(self, text: object, encoding: object) -> bytes:
        """Make bytes, as pickles of protocol 2 keep them."""
        if not isinstance(text, str) or encoding != "latin1":
            raise _RefusedError("text in another encoding than latin1")
        self._spend(len(text))
        return text.encode("latin1")

    def _no_bytes(self) -> bytes:
        """Make no bytes, as pickles of protocol 2 spell them."""
        return b""

    def _dictionary(self) -> dict[str, Any]:
        return {}

    def _empty_array(self, *ignored: object) -> _Array:
        return _Array(self._tensor)

    def _array(self, *fields: Any) -> _Array:
        return _Array(self._tensor, self._tensor(*fields))

    def _scalar(self, element_type: object, raw: object) -> float:
        return self._tensor(raw, element_type, (), "C").item()

    def _spend(self, count: int) -> None:
        """Count bytes that are made of the file's."""
        self._left -= count
        if self._left < 0:
            raise _RefusedError("more values than the file has bytes")

    def _tensor(self, raw: object, element_type: object, shape: object, order: Any) -> Tensor:
        """Make a tensor of bytes whose number fits its shape."""
        if not isinstance(element_type, _ElementType) or not isinstance(raw, bytes | bytearray):
            raise _RefusedError("an array that is not made of bytes")
        sides = shape if isinstance(shape, tuple) and len(shape) <= _MOST_DIMENSIONS else (-1,)
        # What is no number stays out of the sentence: tuples of tuples may be long without end.
        if not all(type(side) is int and 0 <= side < _BEYOND for side in sides) or order not in (
            "C",
            "F",
        ):
            raise _RefusedError("an array whose shape is no tuple of counts")
        code = element_type.code
        if math.prod(sides) * int(code[1:]) != len(raw):
            raise _RefusedError(
                f"an array of the shape {sides} and type {code} in {len(raw)} bytes"
            )
        self._spend(len(raw))
        written = np.dtype(element_type.order + code)
        flat = np.frombuffer(raw, written) if raw else np.empty(0, written)
        return torch.from_numpy(flat.reshape(sides, order=order).astype(code, order="C"))


def read_arrays(path: Path) -> dict[str, Any]:
    """Load a pickled dictionary of numpy arrays, none of whose names is looked up or called.

    The few functions that arrays name have stand-ins; an array is made from its bytes, after
    their number has been compared with its shape. Any other name is refused.

    Parameters
    ----------
    path : Path
        ``{"model": {NAME: array}, "__author__": ..., "matching_heuristics": ...}``, as MoCo's
        converter writes it, or the arrays without that frame.

    Returns
    -------
    dict
        The same, arrays being tensors on the CPU; of all else, strings and numbers alone.

    Raises
    ------
    CheckpointError
        If the file is cut short, or holds or does anything else.
    """
    try:
        raw = path.read_bytes()
        _require_small_memo(raw)
        content = _ArrayUnpickler(raw).load()
        if not isinstance(content, dict):
            raise _RefusedError(f"a {type(content).__name__} of them")
        model = content.get("model")
        inner = {"model": _plain(model)} if isinstance(model, dict) else {}
        return _plain(content) | inner
    except _RefusedError as error:
        raise CheckpointError(
            f"{path} must be a pickled dictionary of numpy arrays, strings and numbers, got "
            f"{error}: where you trust the file, save its weights alone again, "
            'torch.save({"arch": ..., "state_dict": ...}, FILE)'
        ) from error
    # A damaged pickle may fail in any way at all.
    except Exception as error:
        require_access(error, path)
        raise CheckpointError(
            f"{path} must be a whole pickle of numpy arrays, but reading it failed "
            f"({reason_of(error)}): copy it again, or take another checkpoint"
        ) from error


def _require_small_memo(raw: bytes) -> None:
    """Refuse a place in the memo beyond the file's bytes, up to which the memo would be filled."""
    for opcode, argument, _ in pickletools.genops(raw):
        if opcode.name in ("PUT", "LONG_BINPUT") and (argument or 0) > len(raw):
            raise _RefusedError(f"the place {argument} of a memo, beyond its {len(raw)} bytes")


def _plain(values: dict[Any, Any]) -> dict[str, Any]:
    """Take arrays, strings and numbers."""
    tensors = {name: value.tensor for name, value in values.items() if isinstance(value, _Array)}
    if empty := [name for name, tensor in tensors.items() if tensor is None]:
        raise _RefusedError(f"an array without values, {empty[0]!r}")
    plain = {
        name: value
        for name, value in values.items()
        if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _BEYOND)
    }
    return {name: value for name, value in (plain | tensors).items() if isinstance(name, str)}

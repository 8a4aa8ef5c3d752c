"""Pickles of numpy arrays, as detectron2 keeps weights, to tensors: nothing in them is called."""

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dilo.pipeline.errors import CheckpointError, require_access
from dilo.train.networks.torchfile import reason_of

#: Element types that weights have: float, signed, unsigned, bool, with their bytes.
_KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


_MOST_DIMENSIONS = 8


#: Integers that no count or size of ours comes near.
_BEYOND = 2**64


class _Refused(ValueError):
    """Something that no file of arrays needs."""


@dataclass(frozen=True)
class _Name:
    """The name of a class or function, which stands for nothing but itself."""

    text: str


@dataclass
class _Kind:
    """A numpy dtype: its code, and the order of its bytes."""

    code: str
    order: str = "="


@dataclass
class _Array:
    """A numpy array, which a pickle names first and fills later."""

    tensor: Tensor | None = None


def read_arrays(path: Path) -> dict[str, Any]:
    """Load a pickled dictionary of numpy arrays without unpickling it.

    The instructions of the pickle are followed by a machine that knows those alone which
    dictionaries, strings, numbers and numpy's arrays need. It looks nothing up in any module
    and calls nothing; an array is made from its bytes, after their number has been compared
    with its shape.

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
        found = _Machine(len(raw)).run(raw)
        if not isinstance(found, dict):
            raise _Refused(f"a {type(found).__name__} of them")
        model = found.get("model")
        inner = {"model": _kept(model)} if isinstance(model, dict) else {}
        return _kept(found) | inner
    except _Refused as error:
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


def _kept(values: dict[str, Any]) -> dict[str, Any]:
    """Keep arrays, strings and numbers."""
    tensors = {name: value.tensor for name, value in values.items() if isinstance(value, _Array)}
    if empty := [name for name, tensor in tensors.items() if tensor is None]:
        raise _Refused(f"an array without values, {empty[0]!r}")
    plain = {
        k: value
        for k, value in values.items()
        if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _BEYOND)
    }
    return plain | tensors


class _Machine:
    """Follows a pickle's instructions, as far as files of arrays need them.

    Parameters
    ----------
    size : int
        Bytes of the file: what it makes of them may not be larger.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self, raw: bytes) -> object:
        """Follow all instructions, and give what is left in the end."""
        for opcode, argument, _ in pickletools.genops(raw):
            if opcode.name not in _STEPS:
                raise _Refused(f"the instruction {opcode.name}")
            _STEPS[opcode.name](self, argument)
        (result,) = self.stack
        return result

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def to_mark(self) -> list[Any]:
        """Take all values down to the last mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def mark(self) -> None:
        """Begin a list of values."""
        self.below.append(self.stack)
        self.stack = []

    def collect(self, count: int) -> None:
        """Make a tuple of the uppermost values."""
        values = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def set_items(self, values: list[Any]) -> None:
        """Put names and values into the dictionary below them."""
        target, names = self.stack[-1], values[::2]
        if not isinstance(target, dict) or not all(isinstance(name, str) for name in names):
            raise _Refused("entries that have no string for a name")
        target.update(zip(names, values[1::2], strict=True))

    def append(self, values: list[Any]) -> None:
        """Put values at the end of the list below them."""
        if not isinstance(self.stack[-1], list):
            raise _Refused("values for something that is no list")
        self.stack[-1].extend(values)

    def name(self, module: object, name: object) -> None:
        """Push a name that is known."""
        text = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
        if text not in _CALLS:
            raise _Refused(f"{text[:99]!r}, which could run code")
        self.push(_Name(text))

    def call(self) -> None:
        """Make what a known name makes of its arguments."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise _Refused("a call of something that is no name")
        self.push(_CALLS[function.text](self, *arguments))

    def build(self) -> None:
        """Fill an array, or a type of elements."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Kind):
            _, order, *fields = state
            if order not in ("<", ">", "|", "=") or any(fields[:3]):
                raise _Refused("elements that are records")
            target.order = order
        elif isinstance(target, _Array):
            _, shape, kind, by_columns, raw = state
            target.tensor = self.tensor(raw, kind, shape, "F" if by_columns else "C")
        else:
            raise _Refused("a state of something that is no array")

    def spend(self, count: int) -> None:
        """Count bytes that are made of the file's, which may repeat them for ever."""
        self.left -= count
        if self.left < 0:
            raise _Refused("more values than the file has bytes")

    def tensor(self, raw: object, kind: object, shape: object, order: Any) -> Tensor:
        """Make a tensor of bytes whose number fits its shape."""
        if not isinstance(kind, _Kind) or not isinstance(raw, bytes | bytearray):
            raise _Refused("an array that is not made of bytes")
        sides = shape if isinstance(shape, tuple) and len(shape) <= _MOST_DIMENSIONS else (-1,)
        # What is no number stays out of the sentence: tuples of tuples may be long without end.
        if not all(type(side) is int and 0 <= side < _BEYOND for side in sides) or order not in (
            "C",
            "F",
        ):
            raise _Refused("an array whose shape is no tuple of counts")
        if math.prod(sides) * int(kind.code[1:]) != len(raw):
            raise _Refused(
                f"an array of the shape {sides} and type {kind.code} in {len(raw)} bytes"
            )
        self.spend(len(raw))
        written = np.dtype(kind.order + kind.code)
        flat = np.frombuffer(raw, written) if raw else np.empty(0, written)
        values = flat.reshape(sides, order=order).astype(kind.code, order="C")
        return torch.from_numpy(values)


def _kind(machine: _Machine, code: object, *ignored: object) -> _Kind:
    """Name a type of elements."""
    if not isinstance(code, str) or code not in _KINDS:
        named = code[:99] if isinstance(code, str) else ""
        raise _Refused(f"elements of the type {named!r} instead of {', '.join(_KINDS)}")
    return _Kind(code)


def _encoded(machine: _Machine, text: object, encoding: object) -> bytes:
    """Make bytes, as pickles of protocol 2 keep them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("text in another encoding than latin1")
    machine.spend(len(text))
    return text.encode("latin1")


def _dictionary(machine: _Machine, *items: object) -> dict[str, Any]:
    """Make a dictionary that is filled later."""
    if items:
        raise _Refused("an OrderedDict as Python 2 pickles it")
    return {}


def _uncalled(machine: _Machine, *ignored: object) -> None:
    """Refuse a call of what arrays only name."""
    raise _Refused("a call of numpy.ndarray")


_ARRAYS: dict[str, Callable[..., object]] = {
    "multiarray._reconstruct": lambda machine, *ignored: _Array(),
    "multiarray.scalar": lambda machine, kind, raw: machine.tensor(raw, kind, (), "C").item(),
    # Pickles of protocol 5 make an array at once.
    "numeric._frombuffer": lambda machine, *fields: _Array(machine.tensor(*fields)),
}


#: What a name makes of its arguments; all are functions of this module.
_CALLS: dict[str, Callable[..., object]] = {
    "numpy.ndarray": _uncalled,
    "numpy.dtype": _kind,
    "_codecs.encode": _encoded,
    "__builtin__.bytes": lambda machine: b"",  # how protocol 2 spells no bytes
    "collections.OrderedDict": _dictionary,
    **{f"numpy.core.{name}": make for name, make in _ARRAYS.items()},  # before numpy 2
    **{f"numpy._core.{name}": make for name, make in _ARRAYS.items()},
}


_VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)


#: What the machine does at each instruction, given its argument.
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, argument: None),
    **dict.fromkeys(_VALUES, _Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, _: machine.collect(1),
    "TUPLE2": lambda machine, _: machine.collect(2),
    "TUPLE3": lambda machine, _: machine.collect(3),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.to_mark()),
    "GLOBAL": lambda machine, words: machine.name(*words.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(machine.stack.pop(-2), machine.stack.pop()),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "MEMOIZE": lambda machine, _: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    **dict.fromkeys(
        ("BINPUT", "LONG_BINPUT"),
        lambda machine, place: machine.memo.update({place: machine.stack[-1]}),
    ),
    **dict.fromkeys(
        ("BINGET", "LONG_BINGET"), lambda machine, place: machine.push(machine.memo[place])
    ),
}

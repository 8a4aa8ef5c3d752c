"""What a pickle of torch.save names and asks for, read without doing what it says."""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

#: Bytes of an element, by the kind of storage that a pickle names.
_ELEMENTS = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage", "QInt32Storage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage", "UntypedStorage"), 1),
    **dict.fromkeys(("QInt8Storage", "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage"), 1),
    "ComplexDoubleStorage": 16,
}
#: Calls its first argument with its third.
_CALLS_ANOTHER = "torch._tensor._rebuild_from_type_v2"
#: What takes as much memory as its arguments say, and stands in no file of weights.
_REFUSED = (
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
)
_CONSTANTS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    *("SHORT_BINSTRING", "BINSTRING"),
)
_EMPTY = ("NONE", "NEWTRUE", "NEWFALSE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET")
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
#: Values that an instruction takes from the stack and puts into the one below them.
_FILLING = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}
_WITHOUT_EFFECT = ("PROTO", "STOP")


@dataclass(frozen=True)
class Survey:
    """What a pickle names and asks for."""

    #: Classes and functions, with their modules.
    names: set[str] = field(default_factory=set)
    #: Bytes that it expects of each storage of numbers, by its key.
    storages: dict[str, int] = field(default_factory=dict)
    #: Where it keeps classes together with their sources, as torch did before 1.6: from the mark of
    #: a tuple to the instruction that makes it a reference.
    classes: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class _Name:
    """The name of a class or function."""

    text: str


def survey(file: BinaryIO) -> Survey:
    """Read a pickle, from where a file stands to the pickle's end.

    The stack is followed with numbers, text, names and tuples of these alone; all else that
    would be on it is None. The instructions known are those that torch follows.
    """
    try:
        return _Machine(Survey()).run(pickletools.genops(file))
    except IndexError as error:
        raise ValueError("a pickle that takes from an empty stack") from error


class _Machine:
    """Follows the instructions of a pickle, with values that do nothing."""

    def __init__(self, summary: Survey) -> None:
        self.summary = summary
        self.stack: list[Any] = []
        self.marks: list[tuple[int, int]] = []  # where in the pickle, and the stack's height
        self.memo: dict[int, Any] = {}
        self.tuple_at = -1  # where the tuple that was made last began; -1 if it is not the last

    def run(self, instructions: Iterator[tuple[Any, Any, int | None]]) -> Survey:
        """Follow all of them."""
        for opcode, argument, position in instructions:
            if opcode.name in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
                continue  # the tuple before it is still the last
            self.step(opcode.name, argument, position or 0)
            if opcode.name != "TUPLE":
                self.tuple_at = -1
        return self.summary

    def step(self, name: str, argument: Any, position: int) -> None:
        """Follow one."""
        if name in _CONSTANTS:
            self.stack.append(argument)
        elif name in _EMPTY:
            self.stack.append(None)
        elif name == "EMPTY_TUPLE":
            self.stack.append(())
        elif name == "MARK":
            self.marks.append((position, len(self.stack)))
        elif name == "TUPLE":
            self.stack.append(self.pop_to_mark())
        elif name in _TUPLES:
            self.stack.append(self.pop(_TUPLES[name]))
        elif name in ("APPENDS", "SETITEMS"):
            self.pop_to_mark()
        elif name in _FILLING:
            self.pop(_FILLING[name])
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo.get(argument))
        elif name == "GLOBAL":
            self.stack.append(self.record_name(*argument.split(" ", 1)))
        elif name in ("REDUCE", "NEWOBJ"):
            self.call(*self.pop(2))
        elif name == "BINPERSID":
            self.record_reference(self.stack.pop(), position)
        elif name not in _WITHOUT_EFFECT:
            raise ValueError(f"the instruction {name} in a pickle")

    def pop_to_mark(self) -> tuple[Any, ...]:
        """Pop all values down to the last mark."""
        self.tuple_at, height = self.marks.pop()
        values = tuple(self.stack[height:])
        del self.stack[height:]
        return values

    def pop(self, count: int) -> tuple[Any, ...]:
        """Pop the uppermost values."""
        if count > len(self.stack):
            raise IndexError
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def record_name(self, module: str, name: str) -> _Name:
        """Record a name, as the file spells it, and as Python 3 does where Python 2 wrote it."""
        module_3 = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        self.summary.names.update((f"{module}.{name}", f"{module_3}.{name}"))
        return _Name(f"{module_3}.{name}")

    def call(self, function: Any, arguments: Any) -> None:
        """Refuse a call that takes memory without bounds."""
        text = function.text if isinstance(function, _Name) else ""
        if text == _CALLS_ANOTHER and isinstance(arguments, tuple) and len(arguments) > 2:
            self.call(arguments[0], arguments[2])
            return
        plain = text.startswith("torch.") and text.endswith("Tensor") and arguments != ()
        sized = not isinstance(arguments, tuple) or any(type(a) is int for a in arguments)
        if text in _REFUSED or plain or (text == "builtins.bytearray" and sized):
            raise ValueError(f"a call of {text}, which takes as much memory as the file says")
        self.stack.append(None)

    def record_reference(self, reference: Any, position: int) -> None:
        """Record a reference: to a storage, or to a class that is kept with its source."""
        self.stack.append(None)
        kind = reference[0] if isinstance(reference, tuple) and reference else None
        if kind == "module":
            if self.tuple_at >= 0:
                self.summary.classes.append((self.tuple_at, position))
        elif kind == "storage" and len(reference) in (5, 6):
            self.record_storage(*reference[1:5])
        else:
            raise ValueError("a reference that torch.save does not make")

    def record_storage(self, kind: Any, key: Any, _: Any, count: Any) -> None:
        """Record how many bytes of a storage are expected."""
        name = kind.text.rpartition(".")[2] if isinstance(kind, _Name) else ""
        if name not in _ELEMENTS or not isinstance(key, str):
            raise ValueError("a storage of numbers of a kind unknown")
        if type(count) is not int or count < 0:
            raise ValueError("a storage whose size is no count")
        size = count * _ELEMENTS[name]
        self.summary.storages[key] = max(size, self.summary.storages.get(key, 0))

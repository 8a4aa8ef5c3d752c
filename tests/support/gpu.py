"""A stand-in for a GPU: it computes nothing, and notes what a real one would be asked to do.

Tensors on "cuda" are fake: they have shape, strides and type, but no values. Those on the CPU are
real. Tensors of both in one call are refused, as by CUDA.
"""

import collections
import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import dilo

Value = TypeVar("Value", Tensor, nn.Module)

#: Calls whose result the CPU must know; those whose size it must know are refused by torch itself.
SYNCS = {"_local_scalar_dense": 0, "equal": True, "is_nonzero": True}
COPIES = {"_to_copy", "copy_"}
#: Calls that launch nothing, beside those that torch knows to be views.
FREE = {"_unsafe_view", "alias", "detach", "device", "lift_fresh"}
FREE |= {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}
#: Where lines of ours lie: the package, wherever it is installed, and the tests.
OURS = (Path(dilo.__file__).parent, Path(__file__).parents[1])


class Spec(NamedTuple):
    """A tensor without its values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    @property
    def channels_last(self) -> bool:
        """Whether channels, where there are several, lie together."""
        return self.shape[1] == 1 or self.stride[1] == 1


class Call(NamedTuple):
    """A call that launches something on the GPU."""

    #: Without "aten::".
    name: str
    #: Its tensors on the GPU.
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    #: What it reads and writes.
    nbytes: int


class FakeGpu(TorchDispatchMode):
    """Stand in for one GPU while the context lasts.

    Put on it what is to be there (`put`), train as on CUDA, and read `calls` and `waits`.
    A first step may set things up; `reset` forgets it.
    """

    device = torch.device("cuda", 0)

    def __init__(self) -> None:
        super().__init__()
        #: Calls that launch something, in order.
        self.calls: list[Call] = []
        #: All calls on tensors of the GPU, with views and allocations: what the host pays for.
        self.dispatched = 0
        #: What makes the CPU wait for the GPU, or may, and where.
        self.waits: list[str] = []
        #: Copies to the GPU from pinned memory, which nobody waits for: their bytes.
        self.copies: list[int] = []
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._pinned: dict[int, Tensor] = {}  # by address, which none other has while it is here
        self._patches = contextlib.ExitStack()

    @property
    def nbytes(self) -> int:
        """Bytes that all calls read and write."""
        return sum(call.nbytes for call in self.calls)

    def count(self) -> collections.Counter[str]:
        """Count the calls by name."""
        return collections.Counter(call.name for call in self.calls)

    def reset(self) -> None:
        """Forget what was noted."""
        self.dispatched = 0
        for notes in (self.calls, self.waits, self.copies):
            notes.clear()

    def put(self, value: Value) -> Value:
        """Put a tensor, or in place a module, on the GPU, in its layout."""
        if isinstance(value, Tensor):
            with self._fake:
                return torch.empty_strided(
                    value.shape, value.stride(), dtype=value.dtype, device=self.device
                )
        for module in value.modules():
            for name, parameter in module.named_parameters(recurse=False):
                moved = nn.Parameter(self.put(parameter), parameter.requires_grad)
                setattr(module, name, moved)
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, self.put(buffer))
        return value

    def __enter__(self) -> "FakeGpu":
        with contextlib.ExitStack() as patches:
            for place, name, value in self._pretences():
                patches.enter_context(patch.object(place, name, value))
            # torch.tensor(..., device="cuda") then makes a CPU's, and copies it in our sight.
            before = torch._C._only_lift_cpu_tensors()
            torch._C._set_only_lift_cpu_tensors(True)
            patches.callback(torch._C._set_only_lift_cpu_tensors, before)
            self._patches = patches.pop_all()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patches.close()

    def _pretences(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield what of torch is to behave as if CUDA were there: where, its name, its place."""
        yield torch.cuda.amp.common, "amp_definitely_not_available", lambda: False
        yield torch.cuda, "_lazy_init", lambda: None
        yield torch.cuda, "current_device", lambda: 0
        yield torch.cuda, "is_bf16_supported", lambda *_, **__: True
        yield torch.cuda, "mem_get_info", lambda *_: (140 << 30, 141 << 30)
        yield torch, "Generator", lambda device="cpu", new=torch.Generator: new()
        yield Tensor, "is_pinned", lambda tensor, *_: self._is_pinned(tensor)
        yield Tensor, "pin_memory", lambda tensor, *_: self._pin(tensor)
        yield Tensor, "backward", lambda loss: backward(loss)
        # By default, optimisers of tensors on CUDA make one call for all of them.
        optimizer = importlib.import_module("torch.optim.optimizer")
        types = [*optimizer._foreach_supported_types, FakeTensor]
        yield optimizer, "_foreach_supported_types", types

    def _pin(self, tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        self._pinned[copy.untyped_storage().data_ptr()] = copy
        return copy

    def _is_pinned(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self._pinned

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        target = torch.device(kwargs.get("device") or "cpu").type
        if target != "cuda" and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            return func(*args, **kwargs)  # a matter of the CPU
        name = func.name().partition("::")[2].removesuffix(".default")
        short = name.partition(".")[0]
        self.dispatched += short != "device"
        if short in COPIES:
            source = args[1] if short == "copy_" else args[0]
            into = args[0] if short == "copy_" else None
            if not isinstance(source, FakeTensor):
                self._note_upload(source, kwargs.get("non_blocking") or args[2:] == (True,))
            elif (kwargs.get("device") is not None and target == "cpu") or is_real(into):
                self._note_wait(f"{name} to the CPU")
                dtype = kwargs.get("dtype") or source.dtype
                return torch.zeros(source.shape, dtype=dtype) if into is None else into
        elif short.startswith("index"):
            self._note_index(name, args)
        elif short in SYNCS:
            self._note_wait(name)
            return SYNCS[short]
        with self._fake:
            result = func(*args, **kwargs)
        if not func.is_view and short not in FREE:
            self._note_call(short, tensors, result)
        return result

    def _note_upload(self, source: Tensor, asynchronous: object) -> None:
        """Note a copy to the GPU."""
        if asynchronous and self._is_pinned(source):
            self.copies.append(source.nbytes)
        else:
            manner = "from unpinned memory" if asynchronous else "blocking"
            self._note_wait(f"copy of {source.nbytes} bytes, {manner}")

    def _note_index(self, name: str, args: Any) -> None:
        """Note indices that the CPU has, or whose number only the GPU knows."""
        for index in tree_leaves(args[1:]):
            if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8):
                self._note_wait(f"{name} by a mask")
            elif is_real(index) and index.ndim:
                self._note_wait(f"{name} by indices of the CPU")

    def _note_call(self, name: str, tensors: list[Tensor], result: Any) -> None:
        """Note a call, and what it reads and writes."""
        inputs = tuple(spec(tensor) for tensor in tensors if isinstance(tensor, FakeTensor))
        outputs = tuple(spec(leaf) for leaf in tree_leaves(result) if isinstance(leaf, FakeTensor))
        written = sum(output.nbytes for output in outputs)
        if name in ("fill_", "zero_"):
            nbytes = written
        elif name in ("index_select", "gather", "index"):
            nbytes = 2 * written
        elif name in ("copy_", "index_copy_", "index_put_"):
            nbytes = 2 * inputs[-1].nbytes  # reads what it writes, whatever else lies there
        else:
            nbytes = written + sum(source.nbytes for source in inputs)
        self.calls.append(Call(name, inputs, outputs, nbytes))

    def _note_wait(self, reason: str) -> None:
        """Note that the CPU waits, and for which lines."""
        self.waits.append(f"{reason}: {_lines()}")


def is_real(value: object) -> bool:
    """Check for a tensor that is the CPU's."""
    return isinstance(value, Tensor) and not isinstance(value, FakeTensor)


def spec(tensor: Tensor) -> Spec:
    """Describe a tensor."""
    return Spec(tuple(tensor.shape), tensor.stride(), tensor.dtype)


def _lines(most: int = 3) -> str:
    """Name the innermost lines of the repository that are being executed, but for this file's."""
    lines = []
    frame = sys._getframe()
    while frame and len(lines) < most:
        path = Path(frame.f_code.co_filename)
        if any(map(path.is_relative_to, OURS)) and path != Path(__file__):
            lines.append(f"{path.name}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(lines)


@torch.no_grad()
def backward(loss: Tensor) -> None:
    """Compute gradients as autograd does, whose engine wants a real device and its streams."""
    root: Any = loss.grad_fn
    gradients: dict[Any, list[Any]] = {root: [torch.ones_like(loss)]}
    for node in _backwards(root):
        arrived = gradients.pop(node)
        if hasattr(node, "variable"):
            leaf, (gradient,) = node.variable, arrived
            leaf.grad = gradient if leaf.grad is None else leaf.grad.add_(gradient)
            continue
        call: Callable[..., Any] = getattr(node, "apply", node)
        results = call(*arrived)
        results = results if isinstance(results, tuple) else (results,)
        # What ends a function's results without a way on is for inputs that are no tensors.
        for (following, slot), result in zip(node.next_functions, results, strict=False):
            if following is not None:
                slots = gradients.setdefault(following, [])
                slots += [None] * (slot + 1 - len(slots))
                if result is not None:
                    wanted = following._input_metadata[slot]
                    result = result.sum_to_size(wanted.shape).to(wanted.dtype)
                    slots[slot] = result if slots[slot] is None else slots[slot] + result


def _backwards(root: Any) -> Iterator[Any]:
    """Yield the nodes of a graph of gradients, each after all that lead to it."""
    leading: collections.Counter[Any] = collections.Counter()
    stack, known = [root], {root}
    while stack:
        for following, _ in stack.pop().next_functions:
            if following is not None:
                leading[following] += 1
                if following not in known:
                    known.add(following)
                    stack.append(following)
    ready = [root]
    while ready:
        node = ready.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None:
                leading[following] -= 1
                if not leading[following]:
                    ready.append(following)

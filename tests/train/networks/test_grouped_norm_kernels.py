"""The kernels for GPUs: run by Triton's interpreter, compiled for a GPU, and on one if there is."""

import os
import subprocess
import sys

import pytest
import torch
import triton
from torch.testing import assert_close
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from dilo.train.networks import grouped_norm_kernels
from dilo.train.networks.grouped_norm import backward_by_loop, forward_by_loop

#: Run in a process of its own, for Triton decides when it is imported whether it interprets.
#: Tiles are small, so that there are many.
INTERPRET = """
import sys
import torch
from dilo.train.networks import grouped_norm_kernels as kernels
kernels.TILE, kernels.CHANNELS, kernels.PROGRAMS = 64, 4, 12
results = []
for values, slope, weight, bias, groups in torch.load(sys.argv[1]):
    forward = kernels.forward(values, weight, bias, groups, 1e-5)
    backward = kernels.backward(slope, values, weight, *forward[1:3])
    results.append((kernels._Cut(values, groups).by_part, forward, backward))
torch.save(results, sys.argv[2])
"""
FULL, HALF = torch.float32, torch.float16
#: Shape, precision, groups: many tiles and parts, a head, single pixels.
CASES = [
    ((6, 6, 5, 7), FULL, 2),
    ((8, 3), FULL, 4),
    ((4, 9, 1, 1), FULL, 2),
    ((4, 5, 9, 9), HALF, 2),
]
KERNELS = ("_reduce_moments", "_join_moments", "_normalise")
KERNELS += ("_reduce_gradients", "_join_gradients", "_differentiate")


def drawn(shape, dtype, device="cpu"):
    """Draw values that are not about zero, their slopes, scale and shift."""
    generator = torch.Generator().manual_seed(0)
    values, slope = torch.randn(2, *shape, generator=generator).to(device, dtype)
    values = values * 3 + 5
    if len(shape) == 4:
        values = values.contiguous(memory_format=torch.channels_last)
        if dtype is FULL:  # slopes may come in another layout
            slope = slope.contiguous(memory_format=torch.channels_last)
    return values, slope, *torch.randn(2, shape[1], generator=generator).to(device)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    given, results = (tmp_path_factory.mktemp("kernels") / name for name in ("given", "results"))
    torch.save([(*drawn(shape, dtype), groups) for shape, dtype, groups in CASES], given)
    command = [sys.executable, "-c", INTERPRET, given, results]
    subprocess.run(command, check=True, env=os.environ | {"TRITON_INTERPRET": "1"})
    return dict(zip(CASES, torch.load(results), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_interpreted_they_come_to_what_the_loop_does(interpreted, case):
    shape, dtype, groups = case
    _, forward, backward = interpreted[case]
    values, slope, weight, bias = drawn(shape, dtype)
    expected = forward_by_loop(values.float(), weight, bias, groups, 1e-5)
    assert_close(forward[0], expected[0].to(dtype))
    assert_close(forward[1:], expected[1:])
    assert forward[0].stride() == backward[0].stride() == values.stride()
    expected = backward_by_loop(slope.float(), values.float(), weight, *expected[1:3], 1e-5)
    assert_close(backward[0], expected[0].to(dtype), rtol=1e-3, atol=1e-5)
    assert_close(backward[1:], expected[1:], rtol=1e-5, atol=1e-4)


def test_the_interpreted_cases_have_several_parts_and_columns(interpreted):
    assert interpreted[CASES[0]][0] == (3, 2, 2)


@pytest.mark.parametrize("name", KERNELS)
def test_they_compile_for_a_gpu_that_is_not_here(name):
    kernel = getattr(grouped_norm_kernels, name)
    constants = {"TALL": 64, "WIDE": 64}
    types = dict.fromkeys(("rows", "channels", "part_rows", "groups", "count"), "i32")
    types |= dict.fromkeys(("values", "result", "gradient"), "*bf16") | {"eps": "fp32"}
    types |= dict.fromkeys(constants, "constexpr")
    signature = {argument: types.get(argument, "*fp32") for argument in kernel.arg_names}
    places = {(i,): constants[a] for i, a in enumerate(kernel.arg_names) if a in constants}
    source = ASTSource(kernel, signature, constexprs=places)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("shape", "groups"), [((64, 96, 28, 28), 8), ((16, 2048), 4)], ids=str)
def test_a_gpu_gives_what_the_loop_gives(shape, groups, dtype):
    values, slope, weight, bias = drawn(shape, dtype, "cuda")
    forward = torch.ops.dilo.grouped_batch_norm(values, weight, bias, groups, 1e-5)
    backward = torch.ops.dilo.grouped_batch_norm_backward(
        slope, values, weight, *forward[1:3], 1e-5
    )
    expected = forward_by_loop(values.float(), weight, bias, groups, 1e-5)
    assert_close(forward[0], expected[0].to(dtype))
    assert_close(forward[1:], expected[1:])
    expected = backward_by_loop(slope.float(), values.float(), weight, *expected[1:3], 1e-5)
    assert_close(backward[0], expected[0].to(dtype), rtol=2e-2, atol=1e-2)
    assert_close(backward[1:], expected[1:], rtol=1e-3, atol=1e-1)

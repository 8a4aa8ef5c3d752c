"""The kernels for GPUs: run by Triton's interpreter, and compiled for a GPU that is not here."""

import dataclasses
import os
import subprocess
import sys

import pytest
import torch
import triton
from support.augmentation import on_gray, smooth_crops
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from dilo.train.augment import kernels
from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.color import standardisation, to_color_space
from dilo.train.augment.plain import augment_plainly
from dilo.train.augment.table import view_table
from dilo.train.data.dataset import stack_params
from dilo.train.data.draws import TEXTURES, view_draw
from dilo.train.recipes.recipe import BackgroundsRecipe, PasteRecipe, ViewsRecipe

#: Run in a process of its own, for Triton decides when it is imported whether it interprets.
INTERPRET = """
import sys
import torch
from dilo.train.augment import kernels
kernels.BLOCK = 256
cases = torch.load(sys.argv[1])
torch.save([kernels.augment_by_kernels(*case) for case in cases], sys.argv[2])
"""
SIZE = 24
PASTE = PasteRecipe(probability=1.0, bank=6, backgrounds=BackgroundsRecipe(gray=1.0, textures=2.0))
#: Order, space, precision.
CASES = [
    (("jitter", "gray", "blur"), "rgb", torch.bfloat16),
    (("gray", "jitter"), "unit", torch.float32),
    (("blur",), "rgb", torch.float16),
    ((), "rgb", torch.float32),
]


def drawn(order):
    """Draw views of which every other is pasted, the first after it blurred."""
    views = ViewsRecipe(size=SIZE, order=order, jitter=0.7, blur_sigma=(0.5, 1.0))
    key = {"seed": 0, "epoch": 0, "view": 0, "height": 40, "width": 30}
    draws = [view_draw(views, PASTE, sample=sample, **key) for sample in range(8)]
    pasted = [d if i % 2 else dataclasses.replace(d, paste=None) for i, d in enumerate(draws)]
    pasted[1] = dataclasses.replace(pasted[1], paste=on_gray(200))
    return views, stack_params(pasted)


def arguments(order, space, dtype):
    """Make what `augment_by_kernels` takes: a mask for each view that is pasted."""
    views, parameters = drawn(order)
    bank = BackgroundBank(PASTE, {TEXTURES: range(9)}, torch.device("cpu"), seed=0, side=SIZE)
    bank.pictures[:] = smooth_crops(6, SIZE, seed=1)[0]
    images, masks = smooth_crops(8, SIZE)
    masks = masks[parameters.paste]
    table = view_table(parameters, len(masks), views, bank)
    return images, masks, bank.pictures, table, order, standardisation(space), dtype


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    given, results = (tmp_path_factory.mktemp("kernels") / name for name in ("given", "results"))
    torch.save([arguments(*case) for case in CASES], given)
    command = [sys.executable, "-c", INTERPRET, given, results]
    subprocess.run(command, check=True, env=os.environ | {"TRITON_INTERPRET": "1"})
    return dict(zip(CASES, torch.load(results), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_interpreted_they_give_what_plain_torch_gives_to_a_step_of_the_precision(interpreted, case):
    order, space, dtype = case
    result, (*tensors, _, _, _) = interpreted[case], arguments(*case)
    assert (tensors[3][:, :3] >= 0).any(0).all()  # a mask, a level, a picture
    expected = to_color_space(augment_plainly(*tensors, order), space)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(result.float(), expected, rtol=step, atol=1e-5)


@pytest.mark.parametrize("name", ["_luma_sums", "_paint", "_blur_columns", "_blur_rows"])
def test_they_compile_for_a_gpu_that_is_not_here(name):
    kernel = getattr(kernels, name)
    constants = {"first": 1, "second": 2, "blurring": True, "lanes": 128, "block": kernels.BLOCK}
    types = dict.fromkeys(("images", "masks", "pictures"), "*u8")
    types |= dict.fromkeys(("table", "sums", "planes", "blurred"), "*fp32") | {"result": "*bf16"}
    types |= {f"{c}_{part}": "fp32" for c in ("red", "green", "blue") for part in ("mean", "std")}
    types |= dict.fromkeys(constants, "constexpr")
    signature = {argument: types.get(argument, "i32") for argument in kernel.arg_names}
    places = {(i,): constants[a] for i, a in enumerate(kernel.arg_names) if a in constants}
    source = ASTSource(kernel, signature, constexprs=places)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]

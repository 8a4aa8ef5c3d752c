"""What a step asks of a GPU, on a stand-in: nothing that the CPU would wait for."""

import functools

import pytest
import torch
from support.gpu import FakeGpu
from support.runs import METHODS_SMALL, method_recipe

from dilo.train.engine.optim import make_optimizer
from dilo.train.engine.trainer import Optimization
from dilo.train.methods import make_method
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.runtime.options import RunOptions

BATCH = 8


@functools.cache
def step_on_gpu(method, *overrides, precision="bf16", parts=1):
    """Take a step of a method, in parts; give what was noted of it."""
    recipe = method_recipe(method, f"optimizer.batch={BATCH}", *overrides)
    model = make_method(recipe, TrainingSet(100, 10)).to(memory_format=torch.channels_last).train()
    views, size = model.view_count, recipe.views.size
    images = torch.empty(views * BATCH // parts, 3, size, size)
    with FakeGpu() as gpu:
        gpu.put(model)
        images = gpu.put(images.contiguous(memory_format=torch.channels_last))
        masks, numbers = gpu.put(images[:, :1]), gpu.put(torch.arange(BATCH // parts))
        options = RunOptions(device=gpu.device, workers=0, precision=precision)
        update = Optimization(model, make_optimizer(model, recipe.optimizer), options)
        batches = [
            ViewBatch(
                views=images.chunk(views),
                samples=numbers,
                step=0,
                part=part,
                labels=numbers if model.needs_labels else None,
                masks=masks.chunk(views) if model.needs_masks else (),
            )
            for part in range(parts)
        ]
        update.step(batches, parts, 0.1)
    return gpu


@pytest.mark.parametrize("method", METHODS_SMALL)
def test_nothing_in_a_step_makes_the_cpu_wait(method):
    assert step_on_gpu(method).waits == []


def test_in_float16_and_in_parts_the_scaler_alone_waits_once_a_step():
    (wait,) = step_on_gpu("moco", precision="fp16", parts=2).waits
    assert wait.startswith("_local_scalar_dense: trainer.py")


def test_the_stand_in_notes_what_waits_and_refuses_mixed_devices():
    with FakeGpu() as gpu:
        values = gpu.put(torch.ones(4))
        torch.ones(4).pin_memory().to(gpu.device, non_blocking=True)
        assert (gpu.waits, gpu.copies) == ([], [16])
        torch.ones(4).to(gpu.device, non_blocking=True)
        torch.ones(4).pin_memory().to(gpu.device)
        values.cpu(), values.sum().item()
        values[values > 0] = 0
        with pytest.raises(RuntimeError, match="same device"):
            values + torch.ones(4)
    expected = [
        "16 bytes, from unpinned",
        "16 bytes, blocking",
        "to the CPU",
        "scalar",
        "by a mask",
    ]
    assert all(word in wait for word, wait in zip(expected, gpu.waits, strict=True))
    assert all("test_gpu_step.py" in wait for wait in gpu.waits)

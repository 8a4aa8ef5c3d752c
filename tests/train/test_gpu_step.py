"""What a step asks of a GPU, on a stand-in, and what a compiler makes of it."""

import collections
import functools

import pytest
import torch
from support.gpu import FakeGpu
from support.runs import METHODS_SMALL, method_recipe
from torch import nn

from dilo.train.augment.swaps import Swaps
from dilo.train.engine.optim import make_optimizer
from dilo.train.engine.trainer import Optimization
from dilo.train.methods import make_method
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.networks.encoder import build_encoder
from dilo.train.recipes import load_recipe
from dilo.train.runtime.options import RunOptions

BATCH = 8
SWAPS = "moco.swap_negatives=true"
PRODUCTS = {"addmm", "bmm", "convolution", "convolution_backward", "mm"}


def taken(recipe, *, parts=1, step=0, **options):
    """Take a first step of a recipe, in parts and by any number; give what was noted of it."""
    model = make_method(recipe, TrainingSet(100, 10)).to(memory_format=torch.channels_last).train()
    swapping = recipe.moco.swap_negatives
    views, size, samples = model.view_count, recipe.views.size, recipe.optimizer.batch // parts
    with FakeGpu() as gpu:
        gpu.put(model)
        images = torch.empty(views * samples, 3, size, size, device=gpu.device)
        images = images.contiguous(memory_format=torch.channels_last)
        masks = torch.empty(views * samples, 1, size, size, device=gpu.device)
        numbers = torch.arange(samples, device=gpu.device)
        machine = RunOptions(device=gpu.device, workers=0, **{"precision": "bf16"} | options)
        update = Optimization(model, make_optimizer(model, recipe.optimizer), machine)
        batches = [
            ViewBatch(
                views=images.chunk(views),
                samples=numbers,
                step=step,
                part=part,
                labels=numbers if model.needs_labels else None,
                masks=masks.chunk(views) if model.needs_masks else (),
                swaps=Swaps(images[:samples], numbers > 1) if swapping else None,
            )
            for part in range(parts)
        ]
        gpu.reset()
        update.step(batches, parts, 0.1)
    return gpu


@functools.cache
def step_on_gpu(method, *overrides, **options):
    """Take a step of a small recipe of a method."""
    return taken(method_recipe(method, f"optimizer.batch={BATCH}", *overrides), **options)


@pytest.mark.parametrize("method", METHODS_SMALL)
def test_nothing_in_a_step_makes_the_cpu_wait(method):
    assert step_on_gpu(method).waits == []


def test_swaps_take_one_more_forward_of_the_key_encoder_and_no_wait():
    plain, swapping = (step_on_gpu("moco", *words) for words in ((), (SWAPS,)))
    assert swapping.waits == []
    extra = swapping.count() - plain.count()
    network = method_recipe("moco", f"optimizer.batch={BATCH}")
    layers = build_encoder(network).modules()
    assert extra["convolution"] == sum(isinstance(layer, nn.Conv2d) for layer in layers)
    assert "convolution_backward" not in extra


def test_in_float16_and_in_parts_the_scaler_alone_waits_once_a_step():
    (wait,) = step_on_gpu("moco", precision="fp16", parts=2).waits
    assert wait.startswith("_local_scalar_dense: trainer.py")


@pytest.mark.parametrize("method", ["moco", "instdisc"])
def test_neither_calls_nor_shapes_hang_on_what_a_step_draws(method):
    one, other = (step_on_gpu(method, step=step).calls for step in (0, 7))
    assert one == other


def test_the_calls_of_a_step_do_not_grow_with_the_groups():
    one, two, four = (step_on_gpu("moco", f"model.bn_groups={groups}") for groups in (1, 2, 4))
    assert one.dispatched == two.dispatched == four.dispatched
    assert two.count() == four.count()
    assert "cat" not in step_on_gpu("supervised").count()


def test_the_step_of_the_default_recipe_is_within_its_budget():
    recipe = load_recipe("moco-v2")
    assert (recipe.model.arch, recipe.model.bn_groups) == ("resnet50", 8)
    gpu = taken(recipe)
    assert gpu.dispatched < 1500  # by a loop of batch norms, 7,059
    assert gpu.nbytes < 150e9  # by a loop, 180e9


@pytest.mark.parametrize("groups", [1, 2])
def test_channels_stay_last_through_convolutions_and_batch_norm(groups):
    # In bfloat16 the stand-in does not know cuDNN's layouts.
    gpu = step_on_gpu("moco", f"model.bn_groups={groups}", precision="fp16")
    norm = "cudnn_batch_norm" if groups == 1 else "grouped_batch_norm"
    names = {"convolution", "convolution_backward", norm, f"{norm}_backward"}
    calls = [call for call in gpu.calls if call.name in names]
    assert {call.name for call in calls} == names
    for call in calls:
        maps = [spec for spec in call.inputs + call.outputs if len(spec.shape) == 4]
        assert all(spec.channels_last for spec in maps), call


@pytest.mark.parametrize(
    ("method", "exact"),
    [
        ("moco", {"mm": 2}),  # queries by the queue, and the way back
        ("naive", {"mm": 2}),
        ("simclr", {"mm": 3}),
        ("instdisc", {"bmm": 2}),  # features by their slots
        ("cmc", {"bmm": 4}),
        ("supervised", {}),
    ],
)
def test_all_but_the_similarities_is_multiplied_in_half_precision(method, exact):
    calls = [call for call in step_on_gpu(method).calls if call.name in PRODUCTS]
    types = {spec.dtype for call in calls for spec in call.inputs}
    assert types <= {torch.bfloat16, torch.float32}
    in_full = [call.name for call in calls if call.inputs[0].dtype is torch.float32]
    assert collections.Counter(in_full) == exact


@pytest.mark.parametrize("method", METHODS_SMALL)
def test_a_step_enters_each_network_where_it_was_compiled(method, monkeypatch):
    compiled, entered = set(), set()

    def compile_network(network):
        def enter(*inputs):
            entered.add(network)
            return network._call_impl(*inputs)

        compiled.add(network)
        network._compiled_call_impl = enter

    monkeypatch.setattr(nn.Module, "compile", compile_network)
    taken(method_recipe(method, f"optimizer.batch={BATCH}"), compile=True)
    assert entered == compiled
    assert entered


def test_compiled_a_network_is_one_graph_with_masks_too():
    torch._dynamo.reset()
    network = build_encoder(method_recipe("naive", f"optimizer.batch={BATCH}"))
    network.compile(backend="eager", fullgraph=True)  # which refuses a break
    network(torch.randn(BATCH, 3, 16, 16), torch.rand(BATCH, 1, 16, 16)).sum().backward()


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

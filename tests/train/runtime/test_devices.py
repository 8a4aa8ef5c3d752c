"""Devices: which there are, what they are named, and why torch cannot use the one there is."""

import warnings

import pytest
import torch

from dilo.pipeline.errors import DiloError
from dilo.train.runtime import devices
from dilo.train.runtime.devices import (
    choose_device,
    describe_device,
    gpu_name,
    gpus,
    has_kernels,
    kernel_choice,
)
from dilo.train.runtime.distributed import local_device

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 12040)."


def test_gpus_are_those_that_torch_can_use(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    for able in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda able=able: able)
        assert gpus() == (3 if able else 0)


def test_a_gpu_is_named_by_what_no_other_has(monkeypatch):
    class Properties:
        def __init__(self, index):
            self.uuid = f"1234-{index}"

    monkeypatch.setattr(torch.cuda, "get_device_properties", Properties)
    assert [gpu_name(index) for index in (0, 1)] == ["gpu-1234-0", "gpu-1234-1"]


@pytest.fixture
def unusable(tmp_path, monkeypatch):
    """Load a driver that is too old for torch, which says so once in a warning."""
    driver = tmp_path / "version"
    driver.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar 5\nGCC:\n"
    )

    def is_available():
        warnings.warn(f"{OLD_DRIVER} (Triggered internally at x.cpp:1)", UserWarning, stacklevel=2)
        return False

    monkeypatch.setattr(devices, "NVIDIA_DRIVER", driver)
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_that_torch_cannot_use_is_said_and_no_reason_to_train_on_the_cpu(unusable, name):
    with pytest.raises(DiloError) as refused:
        choose_device(name)
    for words in (f"--device {name} needs", "driver 550.54.15", OLD_DRIVER, "or give --device cpu"):
        assert words in str(refused.value)
    assert choose_device("cpu") == CPU


@pytest.mark.filterwarnings("ignore:The NVIDIA driver")
def test_a_gpu_that_the_user_hides_is_none(unusable, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_device("auto") == CPU


def test_a_gpu_that_torch_is_not_built_for_is_named(monkeypatch):
    facts = {
        "is_available": True,
        "get_device_capability": (7, 0),
        "get_arch_list": ["sm_75", "sm_80"],
        "get_device_name": "Tesla V100",
    }
    for name, value in facts.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    with pytest.raises(DiloError, match=r"got Tesla V100 of compute capability 7\.0, which torch"):
        choose_device("auto")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    assert choose_device("auto") == CUDA


def test_a_gpu_that_does_not_answer_is_said_in_the_words_of_cuda(monkeypatch):
    def fail():
        raise RuntimeError("CUDA error: device busy\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", fail)
    with pytest.raises(DiloError, match="got CUDA error: device busy: check nvidia-smi"):
        choose_device("auto")


@pytest.mark.parametrize(
    ("capability", "kernels", "runs"),
    [
        ((9, 0), ["sm_80", "sm_90a"], True),
        ((8, 6), ["sm_80"], True),  # of the same generation
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80"], False),
        ((12, 0), ["sm_90", "compute_90"], True),  # PTX is compiled on the spot
        ((10, 3), ["sm_100"], True),
    ],
)
def test_kernels_run_on_later_gpus_of_their_generation_and_ptx_on_all_later_ones(
    capability, kernels, runs
):
    assert has_kernels(capability, kernels) == runs


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LOCAL_RANK": "3"}, "LOCAL_RANK 3 needs 4 GPUs that this process sees, got 1"),
        ({}, "several processes on GPUs need LOCAL_RANK"),
        ({"LOCAL_RANK": "one"}, "LOCAL_RANK must be a whole number, got 'one'"),
    ],
)
def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch, environment, words):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DiloError, match=words):
        local_device(CUDA)
    assert local_device(CPU) == CPU


def test_each_of_several_processes_has_the_gpu_of_its_local_rank(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert local_device(CUDA) == torch.device("cuda", 3)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert local_device(CUDA) == CUDA


def test_a_device_is_described_by_its_name_its_precision_and_how_many_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert describe_device(CUDA, "bf16", 1) == "on NVIDIA H200, bf16"
    assert describe_device(CUDA, "bf16", 8) == "on 8 x NVIDIA H200, bf16"
    assert describe_device(CPU, "fp32", 1) == "on the CPU, fp32"


def switches():
    """Read how kernels are chosen."""
    cudnn = torch.backends.cudnn
    return cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()


def test_kernels_are_the_fastest_or_deterministic_and_chosen_as_before_afterwards(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = switches()
    with kernel_choice(deterministic=False):
        assert switches() == (True, False, False)
    with kernel_choice(deterministic=True):
        assert switches() == (False, True, True)
        assert devices.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert switches() == before


def test_an_operation_without_a_deterministic_kernel_is_named():
    words = "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but"
    with (
        pytest.raises(DiloError, match=r"--deterministic needs .* none for grid_sampler_2d_back"),
        kernel_choice(deterministic=True),
    ):
        raise RuntimeError(words)

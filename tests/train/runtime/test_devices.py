"""Devices: how many GPUs there are, and their names."""

import torch

from dilo.train.runtime.devices import gpu_name, gpus


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

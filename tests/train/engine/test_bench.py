"""The bench: rates of all stages, the slowest named, and a table that fits a terminal."""

import os

import pytest
import torch
from support.runs import photographs_and_masks, small_recipe

from dilo.train.data.images import find_image_set
from dilo.train.engine import bench as module
from dilo.train.engine.bench import bench, bench_table
from dilo.train.runtime.options import RunOptions

RATES = {"decode": 310.0, "augment": 8000.0, "network": 2000.0, "whole": 290.0}


@pytest.fixture
def canned(monkeypatch):
    """Replace the stages by ones whose rates are known; returns a bench of them."""

    def run(workers=2, cores=8, **rates):
        known = RATES | rates

        class Known:
            def __init__(self, *arguments):
                self.method = torch.nn.Module()
                self.method.view_count = 2

            def whole(self):
                return known["whole"], 0.85

            def __getattr__(self, name):
                return lambda: known[name]

        monkeypatch.setattr(module, "Stages", Known)
        monkeypatch.setattr(module, "usable_cores", lambda: cores)
        machine = RunOptions(device=torch.device("cpu"), workers=workers)
        return bench(small_recipe(), None, machine, {}, lambda words: None)

    return run


@pytest.mark.parametrize(
    ("rates", "bottleneck"),
    [
        ({}, "decode and crops"),
        ({"decode": 1700.0}, "network"),  # with the augmentation, 1600
        ({"decode": 1700.0, "augment": 2000.0, "network": 8000.0}, "augmentation"),
        ({"decode": 1500.0}, "decode and crops"),
    ],
)
def test_the_slowest_stage_is_named_and_the_device_is_its_two_stages_together(
    canned, rates, bottleneck
):
    assert canned(**rates)["bottleneck"] == bottleneck


@pytest.mark.parametrize(
    ("workers", "cores", "a_core", "needed"),
    [(2, 8, 155.0, 11), (0, 8, 310.0, 6), (16, 4, 77.5, 21)],
)
def test_the_cores_that_feed_the_device_are_its_rate_over_that_of_a_core_rounded_up(
    canned, workers, cores, a_core, needed
):
    result = canned(workers, cores)
    assert (result["decode_per_core"], result["cores"]) == (a_core, needed)


def test_the_table_says_it_in_eighty_columns(canned):
    result = canned()
    assert bench_table(result) == [
        "stage                             images/s   cpu",
        "decode and crops, 2 workers            310   (155 a core)",
        "augmentation                         8,000   (2 x 16 px)",
        "network, resnet18                    2,000   (fp32)",
        "whole                                  290   (85% waiting for the loader)",
        "bottleneck: decode and crops; 11 cores would keep this device busy",
    ]
    longest = {"device": "NVIDIA H200 Multi-Instance GPU, of a very long name", "workers": 128}
    longest |= {"arch": "timm:vit_large_patch14_reg4_dinov2.lvd142m", "waited": 1.0}
    lines = bench_table(result | longest | {"decode_per_core": 0.123})
    assert max(map(len, lines)) <= 80
    assert "(0.12 a core)" in lines[1]


def test_a_bench_measures_every_stage_and_leaves_nothing(tmp_path, monkeypatch):
    source = find_image_set(*photographs_and_masks(tmp_path / "data", 5))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    said = []
    machine = RunOptions(device=torch.device("cpu"), workers=0)
    result = bench(small_recipe(), source, machine, {}, said.append, seconds=0.01)
    assert all(result[name] > 0 for name in RATES)
    assert 0 < result["waited"] < 1
    assert result["bottleneck"] in ("network", "augmentation", "decode and crops")
    assert any("measuring" in words for words in said)
    assert len(bench_table(result)) == 6
    assert os.listdir(empty) == []

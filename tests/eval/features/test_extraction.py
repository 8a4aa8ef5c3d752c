"""A backbone over a folder: batch by batch, in the precision asked for."""

import pytest
import torch
from support.features import small_checkpoint
from support.folders import write_class_folders
from support.gpu import FakeGpu

from dilo.eval.features.extraction import extract_batches, run_backbone, width_of
from dilo.eval.features.features import extract_features
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.encoder import load_encoder
from dilo.train.augment import color


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(small_checkpoint(tmp_path / "c.pt"))


@pytest.fixture
def folder(tmp_path):
    return labelled_folder(write_class_folders(tmp_path / "images", ("ant", "bee"), each=3))


def test_only_the_batches_asked_for_are_computed_in_their_order(encoder, folder):
    whole = extract_features(encoder, folder)
    (folder.root / "bee" / "1.png").write_bytes(b"no image")
    blocks = [*extract_batches(encoder, folder, [[5, 4], [4, 1], [4]])]
    assert [block.positions for block in blocks] == [[5], [1], []]
    assert [[at for at, _ in block.failures] for block in blocks] == [[4], [4], [4]]
    torch.testing.assert_close(blocks[0].vectors, whole.vectors[[5]])
    torch.testing.assert_close(blocks[1].vectors, whole.vectors[[1]])


@pytest.mark.parametrize("layer", ["pooled", "embedding"])
def test_the_width_is_that_of_the_features(tmp_path, encoder, folder, layer):
    encoder = load_encoder(encoder.source, layer=layer)
    assert width_of(encoder) == extract_features(encoder, folder).vectors.shape[1]


def test_half_precision_gives_float32_that_is_close_but_another_origin(encoder, folder):
    whole, half = (extract_features(encoder, folder, precision=p) for p in ("fp32", "bf16"))
    assert half.vectors.dtype == torch.float32
    assert not torch.equal(whole.vectors, half.vectors)
    torch.testing.assert_close(half.vectors, whole.vectors, rtol=0.1, atol=0.05)
    assert whole.source.differences(half.source) == ["precision fp32 and bf16"]


def test_on_a_gpu_nothing_waits_until_features_are_read_and_channels_stay_last(
    encoder, monkeypatch
):
    crops = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    with FakeGpu() as gpu:
        # Copied once in the life of a program.
        statistics = gpu.put(torch.zeros(3, 1, 1)), gpu.put(torch.ones(3, 1, 1))
        monkeypatch.setattr(color, "_statistics", lambda device: statistics)
        gpu.put(encoder.network.to(memory_format=torch.channels_last))
        vectors = run_backbone(encoder, gpu.put(crops), "fp16")
    assert (vectors.shape[0], vectors.dtype) == (4, torch.float32)
    assert gpu.waits == []
    layouts = [
        call.inputs[0].channels_last
        for call in gpu.calls
        if "convolution" in call.name or "batch_norm" in call.name
    ]
    assert len(layouts) > 20
    assert all(layouts)

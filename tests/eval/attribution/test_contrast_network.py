"""Contrastive networks that make masks: whose checkpoints, each image alone, what is refused."""

import numpy as np
import pytest
import torch
from support import foreign
from support.checkpoints import trunk_state, write_checkpoint
from support.classifiers import write_classifier
from support.cli import invoke
from support.networks import weights_of
from support.photographs import photograph, photograph_folder
from support.runs import machine, method_recipe
from torch.nn.functional import normalize

from dilo.eval.attribution.contrast import contrast_maps
from dilo.eval.attribution.contrast_network import load_contrast, open_contrast
from dilo.eval.attribution.heatmaps import normalized
from dilo.eval.attribution.maskmethods import ContraCamParameters
from dilo.pipeline.cli import main
from dilo.pipeline.errors import CheckpointError
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.store import MaskStore
from dilo.train.data.images import find_image_set
from dilo.train.engine.pretrain import train
from dilo.train.methods import make_method
from dilo.train.methods.base import TrainingSet

SIDE = 64


@pytest.fixture(scope="module")
def weights(module_folder):
    """Write a checkpoint of MoCo."""
    return weights_of("contracam", module_folder)


def opened(weights, **options):
    return open_contrast(weights, ContraCamParameters(**{"side": SIDE, **options}), "cpu", None)


def seen_by(network, count=4):
    return np.stack([network.prepare(photograph(seed)) for seed in range(count)])


def drawn(*shape):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(3)))


def state_of(**options):
    return trunk_state(dim=8, head="mlp", **options)


def test_what_it_sees_is_squashed_and_its_saliency_is_the_map_stretched(weights):
    network, image = opened(weights), photograph(0, 90, 50)
    np.testing.assert_array_equal(network.prepare(image), squash(image, SIDE))
    seen = seen_by(network)
    maps = network.maps(seen, [""] * 4)
    images = torch.from_numpy(seen).permute(0, 3, 1, 2) / 255
    expected = contrast_maps(network.encoder, network.negatives, images)
    np.testing.assert_array_equal(maps, expected)
    for one, output in zip(seen, maps, strict=True):
        saliency = network.finish(one, output)
        np.testing.assert_array_equal(saliency, normalized(output))
        assert (saliency.min(), saliency.max()) == (0, 1)


def test_the_map_of_an_image_does_not_depend_on_the_others(weights):
    network = opened(weights)
    seen = seen_by(network)
    together = network.maps(seen, [""] * 4)
    for i in range(4):
        alone = network.maps(seen[i : i + 1], [""])[0]
        np.testing.assert_allclose(normalized(together[i]), normalized(alone), atol=1e-5)


def test_at_stride_1_a_map_has_cells_of_half_the_side(weights):
    coarse, fine = opened(weights), opened(weights, layer4_stride=1)
    image = torch.zeros(1, 3, SIDE, SIDE)
    sides = [network.encoder.feature_maps(image)[0].shape[2:] for network in (coarse, fine)]
    assert sides == [(2, 2), (4, 4)]
    seen = seen_by(fine)
    assert np.isfinite(fine.maps(seen, [""] * 4)).all()
    with pytest.raises(ValueError, match="layer4_stride must be 1 or 2, got 4"):
        ContraCamParameters(layer4_stride=4)


def test_a_precision_that_moves_maps_is_refused():
    with pytest.raises(ValueError, match=r"precision must be fp32 for contracam, .* got 'bf16'"):
        ContraCamParameters(precision="bf16")


def test_a_map_that_is_not_finite_is_refused(weights):
    network = opened(weights)
    output = np.full((SIDE, SIDE), np.nan, np.float32)
    with pytest.raises(ValueError, match="a map of contracam must be finite"):
        network.finish(seen_by(network, 1)[0], output)


def layouts():
    """Lay out what others write, and name the negatives in it."""
    state, queue, memory = state_of(), drawn(8, 16), drawn(16, 8)
    moco = foreign.moco(state)
    moco["state_dict"]["module.queue"] = queue
    yield "moco", moco, queue.T
    single = foreign.cmc_single(state) | {"contrast": {"memory": memory, "params": torch.zeros(5)}}
    yield "cmc-single", single, memory
    yield "pycontrast", foreign.pycontrast(state) | {"contrast": {"memory": memory}}, memory
    ours = {"state_dict": foreign.under("module.encoder_q.", state) | {"module.memory": memory}}
    yield "instdisc", {"arch": "resnet18"} | ours, memory


@pytest.mark.parametrize(("name", "content", "expected"), [*layouts()], ids=lambda v: str(v)[:10])
def test_negatives_are_found_in_the_checkpoints_of_moco_and_of_memory_banks(
    tmp_path, name, content, expected
):
    path = foreign.saved(tmp_path / f"{name}.pt", content)
    encoder, (negatives,) = load_contrast(path, None, SIDE)
    assert (encoder.layer, encoder.model.head, encoder.model.dim) == ("embedding", "mlp", 8)
    torch.testing.assert_close(negatives, expected)
    trained = foreign.resnet(encoder.model)
    trained.load_state_dict(state_of())
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder.network(images), trained.eval()(images))
    assert np.isfinite(opened(path).maps(np.zeros((1, SIDE, SIDE, 3), np.uint8), [""])).all()


@pytest.mark.parametrize("names", [("memory_l", "memory_ab"), ("memory_1", "memory_2")])
def test_of_a_pair_each_half_has_the_bank_of_the_other(tmp_path, names):
    banks = dict(zip(names, (drawn(16, 8), -drawn(16, 8)), strict=True))
    content = foreign.ours_pair(state_of(channels=1), state_of(channels=2, seed=4))
    content["state_dict"] |= foreign.under("module.", banks)
    torch.save(content, tmp_path / "cmc.pt")
    encoder, negatives = load_contrast(tmp_path / "cmc.pt", None, SIDE)
    assert negatives[0].equal(banks[names[1]])
    assert negatives[1].equal(banks[names[0]])
    network = opened(tmp_path / "cmc.pt")
    assert np.isfinite(network.maps(seen_by(network), [""] * 4)).all()
    assert encoder.space == "lab"


def without(name):
    return lambda content: content["state_dict"].pop(f"module.{name}")


def instead(name, value):
    return lambda content: content["state_dict"].update({f"module.{name}": value})


def headless(content):
    state = content["state_dict"]
    content["state_dict"] = {name: value for name, value in state.items() if ".fc." not in name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("queue"), r"must hold the negatives .* got neither: SimCLR and supervised"),
        (headless, "must hold the projection head, .* got a backbone alone"),
        (instead("queue", torch.zeros(64, 16)), r"with 128 numbers in a row, got \(16, 64\)"),
        (instead("queue", torch.zeros(128)), r"with 128 numbers in a row, got \(128,\)"),
        (instead("queue", torch.full((128, 4), torch.nan)), "must hold finite negatives"),
        (instead("queue", torch.zeros(128, 4, dtype=torch.int64)), "must hold finite negatives"),
    ],
)
def test_a_checkpoint_that_lacks_something_is_refused_by_its_name(tmp_path, change, words):
    path = write_checkpoint(tmp_path / "moco.pt", change)
    with pytest.raises(CheckpointError, match=words):
        opened(path)


def test_classifiers_and_networks_for_saliency_are_refused(tmp_path):
    files = [write_classifier(tmp_path / "linear.pt", ("a", "b")), weights_of("unet", tmp_path)]
    for path in files:
        with pytest.raises(CheckpointError, match="queue as MoCo's or a memory bank as InstDisc's"):
            opened(path)


def test_a_network_without_feature_maps_and_a_stride_that_only_resnets_have_are_refused(tmp_path):
    timm = pytest.importorskip("timm")
    for arch, side in (("test_vit", 160), ("test_efficientnet", 64)):
        trunk = timm.create_model(arch, num_classes=0)
        state = foreign.under("module.encoder_q.trunk.", trunk.state_dict())
        state["module.encoder_q.fc.weight"] = torch.randn(8, trunk.num_features)
        state["module.encoder_q.fc.bias"] = torch.zeros(8)
        content = {"arch": f"timm:{arch}", "state_dict": state | {"module.queue": drawn(8, 4)}}
        torch.save(content, tmp_path / f"{arch}.pt")
        if arch == "test_vit":
            with pytest.raises(CheckpointError, match="must have feature maps for contracam"):
                opened(tmp_path / f"{arch}.pt", side=side)
            continue
        network = opened(tmp_path / f"{arch}.pt", side=side)
        assert np.isfinite(network.maps(seen_by(network), [""] * 4)).all()
        with pytest.raises(CheckpointError, match="must be a ResNet for layer4_stride=1, got timm"):
            opened(tmp_path / f"{arch}.pt", side=side, layer4_stride=1)


@pytest.mark.parametrize("method", ["instdisc", "cmc", "naive", "simclr", "supervised"])
def test_a_checkpoint_of_each_method_of_ours_serves_or_is_refused(method, tmp_path):
    recipe = method_recipe(method, "model.bn_groups=1")
    content = make_method(recipe, TrainingSet(images=6, classes=2)).checkpoint()
    torch.save({"arch": "resnet18", **content}, tmp_path / "run.pt")
    if method in ("simclr", "supervised"):
        with pytest.raises(CheckpointError, match=r"must hold the negatives .* got neither"):
            opened(tmp_path / "run.pt")
        return
    _, negatives = load_contrast(tmp_path / "run.pt", None, SIDE)
    rows = 12 if method == "naive" else 6
    assert [tuple(bank.shape) for bank in negatives] == [(rows, 8)] * (1 + (method == "cmc"))
    assert np.isfinite(
        opened(tmp_path / "run.pt").maps(np.zeros((1, 64, 64, 3), np.uint8), [""])
    ).all()


def test_a_run_makes_masks_of_its_own_images_the_same_ones_again(tmp_path):
    images = photograph_folder(tmp_path / "images", 8)
    recipe = method_recipe("moco", "paste.probability=0", "optimizer.epochs=1")
    result = train(recipe, find_image_set(images, None), tmp_path / "run", machine(), print)
    assert result.step == 2
    for name, batch in (("one", 1), ("two", 3), ("again", 3)):
        invoke(
            main, "masks", "--images", images, "--out", tmp_path / name, "--method", "contracam",
            "--weights", tmp_path / "run", "--set", "side=32", "--device", "cpu", "--batch", batch,
            "--jobs", 1, "--backend", "threading",
        )  # fmt: skip
    one, two, again = (MaskStore(tmp_path / name) for name in ("one", "two", "again"))
    assert not one.column("status").any()
    for first, second, third in zip(one, two, again, strict=True):
        assert first.any()
        np.testing.assert_array_equal(second, third)
        # Of another batch, by rounding alone, as of every network.
        assert np.abs(first.astype(int) - second.astype(int)).max() <= 1

"""Files of weights: every layout comes to the same network, and what does not fit is named."""

from collections import OrderedDict

import pytest
import torch
from support.salientnetworks import WIDTH, basnet

from dilo.pipeline.errors import CheckpointError
from dilo.train.saliency.networks import NETWORKS, read_network, training_format

NETWORK = basnet()


def state():
    """Give the 517 entries, with the version of batch norm that torch keeps beside them."""
    return NETWORK.state_dict()


def without_counters():
    """Give the 439 entries of old files, and no version."""
    return OrderedDict((k, v) for k, v in state().items() if "num_batches" not in k)


def without_counters_of_version_2():
    found = without_counters()
    found._metadata = state()._metadata
    return found


def wrapped():
    return {f"module.{name}": value for name, value in state().items()}


def compiled():
    names = (name.replace(".0.conv1", ".0._orig_mod.conv1") for name in state())
    return {
        f"_orig_mod.module.{name}": value
        for name, value in zip(names, state().values(), strict=True)
    }


def in_lightning():
    return {"state_dict": {f"model._orig_mod.{name}": value for name, value in state().items()}}


def in_deepspeed():
    return {"module": {f"model.model.{name}": value for name, value in state().items()}}


def checkpoint(arch="basnet"):
    """Lay out as dilo-train saliency does."""
    return {"epoch": 3, "arch": arch, "state_dict": state(), "dilo": {"format": 1}}


def in_float64():
    return {name: v.double() if v.is_floating_point() else v for name, v in state().items()}


def saved(path, content, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path, **options)
    return path


def check(network):
    """Compare with the network whose weights were saved, bit for bit."""
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    for actual, expected in zip(network(images), NETWORK(images), strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (state, 517),
        (without_counters, 439),
        (without_counters_of_version_2, 439),
        (wrapped, 517),
        (compiled, 517),
        (in_lightning, 1),
        (in_deepspeed, 1),
        (in_float64, 517),
        (checkpoint, 4),
    ],
)
@pytest.mark.parametrize("archive", [True, False])
def test_every_layout_gives_the_same_maps(tmp_path, content, entries, archive):
    assert len(content()) == entries
    path = saved(tmp_path / "x.pth", content(), _use_new_zipfile_serialization=archive)
    check(read_network(path, "basnet"))


def test_a_file_of_a_gpu_in_the_format_of_torch_04_is_read_without_one(tmp_path):
    path = saved(tmp_path / "x.pth", without_counters(), _use_new_zipfile_serialization=False)
    raw = path.read_bytes()
    for here, there in [
        (b"ctorch\nFloatStorage\n", b"ctorch.cuda\nFloatStorage\n"),
        (b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"),
    ]:
        assert here in raw
        raw = raw.replace(here, there)
    path.write_bytes(raw)
    check(read_network(path, "basnet"))


def test_of_a_run_the_newest_checkpoint_is_read(tmp_path):
    for step, scale in [(5, 0.0), (70, 1.0)]:
        scaled = {name: value * scale for name, value in in_float64().items()}
        saved(tmp_path / f"checkpoints/step-{step:08d}.pt", checkpoint() | {"state_dict": scaled})
    check(read_network(tmp_path, "basnet"))


def changed(**changes):
    """Give the 517 entries with some others, or without where None is given."""
    found = {**state(), **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            changed(inconv__bias=None, outconv1__bias=None),
            r"got no inconv\.bias, outconv1\.bias: give its own file, or another --method",
            id="missing",
        ),
        pytest.param(
            {name: v for name, v in state().items() if "refunet" not in name},
            r"got no refunet\.conv0\.weight, refunet\.conv0\.bias, refunet\.conv1\.weight and 55 "
            "more:",
            id="unrefined",
        ),
        pytest.param(changed(extra=torch.ones(1)), "got the unknown extra:", id="unknown"),
        pytest.param(
            changed(outconv1__weight=torch.zeros(1, WIDTH, 1, 1)),
            r"got outconv1\.weight of shape \(1, 8, 1, 1\) instead of \(1, 8, 3, 3\):",
            id="shape",
        ),
        pytest.param(
            changed(inconv__weight=None),
            r"got no inconv\.weight; inconv\.bias of shape \(8,\) instead of \(64,\), .* more:",
            id="first",
        ),
        pytest.param(
            # A few bytes that claim to be a network of a million channels.
            changed(inconv__weight=torch.zeros(1).expand(10**6, 3, 3, 3)),
            r"got inconv\.weight of shape \(1000000, 3, 3, 3\) instead of \(64, 3, 3, 3\), ",
            id="claims",
        ),
        pytest.param(
            changed(inconv__bias=torch.full((WIDTH,), torch.inf)),
            r"got inconv\.bias with values that are not finite:",
            id="infinite",
        ),
        pytest.param(
            changed(inconv__bias=torch.zeros(WIDTH, dtype=torch.complex64)),
            r"got inconv\.bias of type torch\.complex64, torch\.strided, instead of dense floats:",
            id="complex",
        ),
        pytest.param(
            changed(inconv__bias=torch.zeros(WIDTH).to_sparse()),
            r"got inconv\.bias of type torch\.float32, torch\.sparse_coo, instead of dense",
            id="sparse",
        ),
        pytest.param(
            {"conv1.weight": torch.zeros(64, 3, 7, 7)},
            r"got no inconv\.weight, .* and 436 more; the unknown conv1\.weight:",
            id="classifier",
        ),
        pytest.param({"epoch": 3}, "got no tensor: give another file", id="numbers"),
        pytest.param([torch.zeros(3)], "got no tensor: give another file", id="list"),
        pytest.param({"state_dict": 3}, "got no tensor: give another file", id="no-state"),
        pytest.param(
            checkpoint("resnet50"), "got those of resnet50: give another file", id="other-arch"
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_its_first_names(tmp_path, content, message):
    path = saved(tmp_path / "x.pth", content)
    with pytest.raises(
        CheckpointError, match=rf"^--weights .*x\.pth must hold the weights of basnet, {message}"
    ):
        read_network(path, "basnet")


def test_a_file_of_another_network_of_ours_says_which_method_takes_it(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "other", NETWORKS["basnet"])
    path = saved(tmp_path / "x.pth", checkpoint("other"))
    with pytest.raises(CheckpointError, match=r"got those of other: give --method other$"):
        read_network(path, "basnet")
    check(read_network(path, "other"))


def test_the_words_of_a_file_cannot_command_a_terminal(tmp_path):
    for arch in ("\x1b]0;owned\x07", "a" * 10**6):
        saved(tmp_path / "x.pth", {"arch": arch, "state_dict": state()})
        with pytest.raises(CheckpointError, match=r"got those of .*: give another file") as caught:
            read_network(tmp_path / "x.pth", "basnet")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500


def test_a_file_that_is_not_of_torch_is_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match=r"x\.pth must be a whole file that torch\.save"):
        read_network(tmp_path / "x.pth", "basnet")


def test_the_whole_width_is_told_by_the_file(tmp_path):
    path = saved(tmp_path / "x.pth", basnet(width=4).state_dict())
    assert read_network(path, "basnet").inconv.out_channels == 4


@pytest.mark.parametrize(
    ("arch", "width", "device", "last"),
    [
        ("basnet", 15, "cpu", False),
        ("basnet", 16, "cpu", True),
        ("basnet", 15, "cuda", True),
        ("unet", 4, "cpu", True),
    ],
)
def test_channels_come_last_in_what_learns_but_where_torch_would_overwrite_memory(
    arch, width, device, last
):
    found = training_format(arch, width, torch.device(device))
    assert found == (torch.channels_last if last else torch.contiguous_format)

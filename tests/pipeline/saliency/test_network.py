"""Opening a network: what it is given, and what is said where it cannot be opened."""

from pathlib import Path

import pytest

from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.names import Names
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkparameters import NetworkParameters

PARAMETERS = NetworkParameters(side=32)
FILE = Path("weights.pth")


def raising(error):
    def open_it(*given):
        raise error

    return NetworkMethod(PARAMETERS, open_it)


def test_an_opener_gets_file_parameters_device_and_images():
    names = Names(["a.jpg"])
    method = NetworkMethod(PARAMETERS, lambda *given: given)
    assert method.open(FILE, "cuda:3", names) == (FILE, PARAMETERS, "cuda:3", names)
    assert method.open(FILE, "cpu") == (FILE, PARAMETERS, "cpu", None)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            r"masks from a network need torch and torchvision: pip install 'dilo\[train\]'",
        ),
        (
            ModuleNotFoundError("No module named 'onnx'", name="onnx"),
            "weights.pth must be the weights of this network, got: ModuleNotFoundError: No module",
        ),
        (KeyError("conv1"), "--weights weights.pth must be .*, got: KeyError: 'conv1'"),
    ],
    ids=["no-torch", "no-other", "other-weights"],
)
def test_what_an_opener_stumbles_over_is_said_in_a_sentence(error, message):
    with pytest.raises(DiloError, match=message):
        raising(error).open(FILE, "cpu")


def test_what_an_opener_says_itself_is_left_as_it_is():
    said = CheckpointError("layer1 is missing")
    with pytest.raises(CheckpointError) as found:
        raising(said).open(FILE, "cpu")
    assert found.value is said

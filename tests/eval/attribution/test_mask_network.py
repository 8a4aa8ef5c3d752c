"""Classifiers that make masks: which maps, whose score, each image alone, and what is refused."""

import numpy as np
import pytest
import torch
from support.checkpoints import write_checkpoint
from support.classifiers import write_classifier
from support.photographs import photograph

from dilo.eval.attribution.heatmaps import normalized
from dilo.eval.attribution.maps import attribution_maps, predicted
from dilo.eval.attribution.mask_network import open_classifier
from dilo.eval.attribution.maskmethods import CamParameters, GradientParameters
from dilo.eval.attribution.seeded import segmented
from dilo.eval.models.classifier import load_classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.resizing import squash

CLASSES = ("zebra", "cat", "ant", "bee")  # in an order of their own
SIDE = 32
PARAMETERS = {"cam": CamParameters, "gradient": GradientParameters}
PATHS = ["ant/0.jpg", "bee/1.jpg", "cat/2.jpg", "ant/sub/3.jpg"]

both = pytest.mark.parametrize("method", PARAMETERS)


@pytest.fixture
def weights(tmp_path):
    """Write a classifier of four classes."""
    return write_classifier(tmp_path / "classifier.pth", CLASSES)


def opened(method, weights, names=None, device="cpu", **options):
    parameters = PARAMETERS[method](**{"side": SIDE, **options})
    return open_classifier(weights, parameters, device, names)


def seen_by(network, count=4):
    return np.stack([network.prepare(photograph(seed)) for seed in range(count)])


@both
def test_what_it_sees_is_the_whole_image_squashed(method, weights):
    network, image = opened(method, weights), photograph(0, 90, 50)
    found = network.prepare(image)
    assert (found.shape, found.dtype) == ((SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(found, squash(image, SIDE))


@both
@pytest.mark.parametrize("label", ["predicted", "folder"])
def test_the_maps_are_those_of_the_class_that_is_asked_for(method, label, weights):
    network = opened(method, weights, Names(PATHS), label=label)
    seen = seen_by(network)
    found = network.maps(seen, PATHS)
    classifier = load_classifier(weights)
    images = torch.from_numpy(seen).permute(0, 3, 1, 2) / 255
    classes = torch.tensor([2, 3, 1, 2])  # ant, bee, cat, ant
    if label == "predicted":
        classes = predicted(classifier, images)
    expected = attribution_maps(classifier, images, method, classes)
    assert (found.shape, found.dtype) == ((4, SIDE, SIDE), np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not classes.equal(torch.tensor([2, 3, 1, 2])) or label == "folder"


@both
def test_the_map_of_an_image_does_not_depend_on_the_others(method, weights):
    network = opened(method, weights)
    seen = seen_by(network)
    together = network.maps(seen, PATHS)
    for i in range(4):
        alone = network.maps(seen[i : i + 1], PATHS[i : i + 1])[0]
        np.testing.assert_allclose(together[i], alone, rtol=1e-4, atol=1e-5)


def test_bf16_costs_an_activation_map_little(weights):
    exact = opened("cam", weights, Names(PATHS), label="folder")
    rough = opened("cam", weights, Names(PATHS), label="folder", precision="bf16")
    seen = seen_by(exact)
    expected, found = exact.maps(seen, PATHS), rough.maps(seen, PATHS)
    assert found.dtype == np.float32
    assert not np.array_equal(found, expected)
    for one, other in zip(expected, found, strict=True):
        assert np.abs(normalized(one) - normalized(other)).mean() < 0.01


def test_saliency_of_cam_is_the_map_stretched_as_localization_scores_it(weights):
    network = opened("cam", weights)
    seen = seen_by(network)
    for one, found in zip(seen, network.maps(seen, PATHS), strict=True):
        saliency = network.finish(one, found)
        assert saliency.dtype == np.float64
        np.testing.assert_array_equal(saliency, normalized(found))
        assert (saliency.min(), saliency.max()) == (0, 1)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_a_constant_map_gives_zeros(value, weights):
    network = opened("cam", weights)
    found = np.full((SIDE, SIDE), value, np.float32)
    rounded = found.copy()
    rounded[::2, 1::3] *= 1 + np.finfo(np.float32).eps  # as stretching rounds
    for one in (found, rounded):
        np.testing.assert_array_equal(network.finish(seen_by(network, 1)[0], one), 0)


@pytest.mark.parametrize("segmentation", ["grabcut", "star"])
def test_saliency_of_a_gradient_is_its_cut(segmentation, weights):
    network = opened("gradient", weights, segmentation=segmentation, cut_side=20)
    seen = seen_by(network)
    parameters = GradientParameters(side=SIDE, segmentation=segmentation, cut_side=20)
    for one, found in zip(seen, network.maps(seen, PATHS), strict=True):
        saliency = network.finish(one, found)
        np.testing.assert_array_equal(saliency, segmented(one, found.astype(float), parameters))
        assert saliency.any()


@both
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(method, value, weights):
    network = opened(method, weights)
    found = np.zeros((SIDE, SIDE), np.float32)
    found[3, 4] = value
    with pytest.raises(ValueError, match=f"a map of {method} must be finite, got NaN or infinity"):
        network.finish(seen_by(network, 1)[0], found)


@both
def test_the_classes_of_folders_need_a_store(method, weights):
    words = "label=folder needs a store's images, .* got none: give label=predicted"
    with pytest.raises(DiloError, match=words):
        opened(method, weights, label="folder")


def test_an_image_in_no_folder_is_refused_where_folders_are_classes(weights):
    names = Names(["ant/0.jpg", "lone.jpg"])
    words = "the folder of images must hold a folder for each class, got the image lone.jpg"
    with pytest.raises(DiloError, match=words):
        opened("cam", weights, names, label="folder")
    opened("cam", weights, names)


def test_a_class_that_the_classifier_does_not_know_is_refused(weights):
    names = Names(["ant/0.jpg", "dog/1.jpg"])
    words = "classes of the folder of images must be among the 4 of .*classifier.pth, got dog"
    with pytest.raises(DiloError, match=words):
        opened("gradient", weights, names, label="folder")


@both
def test_a_checkpoint_without_a_classifier_is_refused(method, tmp_path):
    path = write_checkpoint(tmp_path / "moco.pt")
    with pytest.raises(CheckpointError, match="must end in a classifier"):
        opened(method, path)


def test_a_network_without_feature_maps_is_refused_when_it_is_opened(tmp_path):
    timm = pytest.importorskip("timm")
    made = timm.create_model("test_vit", num_classes=4)
    path = tmp_path / "vit.pt"
    torch.save({"arch": "timm:test_vit", "state_dict": made.state_dict()}, path)
    with pytest.raises(CheckpointError, match=r"feature maps .*: take the gradient instead"):
        opened("cam", path, side=160)
    found = opened("gradient", path, side=160)
    assert found.maps(np.zeros((1, 160, 160, 3), np.uint8), ["a/b.jpg"]).shape == (1, 160, 160)


@both
def test_a_network_that_its_file_does_not_name_is_named_by_arch(method, tmp_path):
    timm = pytest.importorskip("timm")
    path = tmp_path / "bare.pt"
    torch.save(timm.create_model("test_efficientnet", num_classes=4).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"name another architecture with --arch"):
        opened(method, path, side=64)
    network = opened(method, path, side=64, arch="timm:test_efficientnet")
    assert network.maps(np.zeros((1, 64, 64, 3), np.uint8), ["a/b.jpg"]).shape == (1, 64, 64)


def test_a_cpu_does_not_compute_in_fp16(weights):
    with pytest.raises(DiloError, match="fp16 needs a GPU, got a CPU"):
        opened("cam", weights, precision="fp16")

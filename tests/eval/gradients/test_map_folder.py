"""A folder of maps: of whole images, whole files, one classifier, and no work done twice."""

import numpy as np
import pytest
import torch
from PIL import Image
from support.classifiers import write_classifier
from support.folders import write_class_folders

from dilo.eval.attribution.heatmaps import gray
from dilo.eval.attribution.maps import attribution_maps
from dilo.eval.features.folders import any_folder
from dilo.eval.gradients.map_folder import write_maps
from dilo.eval.gradients.viewer import Viewer
from dilo.eval.models.classifier import load_classifier
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode
from dilo.pipeline.images.resizing import squash

CLASSES = ("ant", "bee")
SIZE = 16


@pytest.fixture
def images(tmp_path):
    """Write four images of two classes."""
    return write_class_folders(tmp_path / "images", CLASSES, each=2)


def viewer(tmp_path, which="predicted", seed=0, size=SIZE):
    path = write_classifier(tmp_path / f"{seed}.pth", CLASSES, seed=seed, size=size)
    return Viewer(load_classifier(path), any_folder(tmp_path / "images"), which)


def test_a_map_is_that_of_the_whole_image_squashed(tmp_path, images):
    watched = viewer(tmp_path, "true")
    found = write_maps(watched, tmp_path / "maps", ["gradient", "cam"], batch=3)
    assert (found.written, found.kept, found.unreadable) == (4, 0, ())
    for name, label in zip(watched.folder.names, watched.folder.labels, strict=True):
        pixels = torch.from_numpy(squash(decode(images / name), SIZE)).permute(2, 0, 1)[None] / 255
        for method in ("gradient", "cam"):
            (expected,) = attribution_maps(watched.classifier, pixels, method, label[None])
            written = Image.open(tmp_path / "maps" / method / name)
            assert (written.mode, written.size) == ("L", (SIZE, SIZE))
            difference = np.asarray(written).astype(int) - gray(expected.numpy())
            assert abs(difference).max() <= 1
            assert np.asarray(written).max() == 255


def test_images_of_one_name_have_maps_of_their_own(tmp_path, images):
    Image.open(images / "ant" / "0.png").save(images / "ant" / "0.jpg")
    write_maps(viewer(tmp_path), tmp_path / "maps", ["cam"])
    files = {path.name for path in (tmp_path / "maps" / "cam" / "ant").iterdir()}
    assert files == {"0.png.png", "0.jpg.png", "1.png"}


def test_what_is_there_is_kept_and_what_is_missing_is_made(tmp_path, images):
    out, counted = tmp_path / "maps", []
    write_maps(viewer(tmp_path), out, ["cam"])
    mark = b"kept as it is"
    (out / "cam" / "ant" / "0.png").write_bytes(mark)
    (out / "cam" / "bee" / "1.png").unlink()
    found = write_maps(viewer(tmp_path), out, ["cam"], progress=counted.append)
    assert (found.written, found.kept, sum(counted)) == (1, 3, 4)
    assert (out / "cam" / "ant" / "0.png").read_bytes() == mark
    assert (out / "cam" / "bee" / "1.png").exists()
    assert not list(out.rglob(".*"))


def test_unreadable_images_are_reported_and_have_no_map(tmp_path, images):
    (images / "bee" / "0.png").write_bytes(b"no image")
    (images / "bee" / "1.png").write_bytes(b"no image")
    found = write_maps(viewer(tmp_path), tmp_path / "maps", ["cam"], batch=2)
    assert found.written == 2
    assert found.unreadable == (("bee/0.png", "not an image"), ("bee/1.png", "not an image"))
    assert not (tmp_path / "maps" / "cam" / "bee").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"seed": 1}, "another classifier in", id="classifier"),
        pytest.param({"which": "true"}, "another class in", id="class"),
        pytest.param({"size": 32}, "another classifier and size in", id="size"),
    ],
)
def test_a_folder_of_other_maps_is_refused_and_left_alone(tmp_path, images, change, words):
    write_maps(viewer(tmp_path), tmp_path / "maps", ["cam"])
    before = {path: path.read_bytes() for path in (tmp_path / "maps").rglob("*.png")}
    with pytest.raises(DiloError, match=f"{words} maps.json: give a fresh folder"):
        write_maps(viewer(tmp_path, **change), tmp_path / "maps", ["cam"])
    assert before == {path: path.read_bytes() for path in (tmp_path / "maps").rglob("*.png")}


def test_a_folder_of_other_files_is_refused(tmp_path, images):
    with pytest.raises(DiloError, match=r"must be empty or hold maps, got files but no maps\.json"):
        write_maps(viewer(tmp_path), tmp_path, ["cam"])
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "maps.json").write_text("[]")
    with pytest.raises(DiloError, match="got another classifier and class and size"):
        write_maps(viewer(tmp_path), tmp_path / "maps", ["cam"])


def test_a_map_that_says_nothing_is_black(tmp_path, images):
    watched = viewer(tmp_path)
    watched.classifier.weight.zero_()
    write_maps(watched, tmp_path / "maps", ["gradient"])
    assert not decode(tmp_path / "maps" / "gradient" / "ant" / "0.png").any()

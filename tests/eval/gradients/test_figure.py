"""Figures of neighbours and maps: how many panels, and what their frames say."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from support.classifiers import small_classifier
from support.features import features_of_all
from support.folders import write_class_folders

from dilo.eval.common.panels import NO, PIXELS, YES
from dilo.eval.features.folders import LabelledFolder, any_folder
from dilo.eval.features.pictures import picture
from dilo.eval.gradients.explainer import Explainer, Explanation, explain_images
from dilo.eval.gradients.figure import gradient_figure, map_panels
from dilo.eval.neighbors.comparison import compare
from dilo.eval.neighbors.figure import neighbor_figure
from dilo.pipeline.images.names import Names

CLASSES = ("ant", "bee")


@pytest.fixture
def folder(tmp_path):
    """Write eight images of two classes."""
    return any_folder(write_class_folders(tmp_path / "images", CLASSES, each=4))


def extract(encoder, listed):
    vectors = torch.rand(len(listed.names), 4, generator=torch.Generator().manual_seed(0))
    return features_of_all(listed, vectors)


def panels(figure):
    """Count all pictures, and the frames in green and in red."""
    (axes,) = figure.axes
    colours = [to_hex(patch.get_facecolor()) for patch in axes.patches if _is_frame(patch)]
    return len(axes.images), colours.count(YES), colours.count(NO)


def _is_frame(patch):
    return isinstance(patch, Rectangle)


def test_a_query_stands_beside_its_neighbours_and_its_gradient(folder):
    classifier = small_classifier(CLASSES)
    found = compare(
        dict.fromkeys(("first", "second"), classifier.encoder), folder, None, k=3, extract=extract
    )
    shown = [0, 3, 6]
    figure = neighbor_figure(found, shown, {})
    same = 2 * int(found.results[0].same[shown, :3].sum())
    assert panels(figure) == (3 * 7, same, 18 - same)
    seen = explain_images(Explainer(classifier, folder, "true"), shown, ["gradient"])
    figure = neighbor_figure(found, shown, {"second": seen})
    right = sum(bool(one.right) for one in seen)
    assert panels(figure) == (3 * 8, same + right, 18 - same + 3 - right)


def test_without_classes_nothing_is_framed(folder):
    plain = LabelledFolder(folder.root, folder.names, torch.full((8,), -1), ())
    encoder = small_classifier(CLASSES).encoder
    found = compare({"x": encoder}, plain, None, k=2, extract=extract)
    figure = neighbor_figure(found, [0, 1], {})
    assert panels(figure) == (2 * 3, 0, 0)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    folder = any_folder(write_class_folders(tmp_path / "images", CLASSES, each=1))
    for name in CLASSES:
        (image,) = (tmp_path / "images" / name).iterdir()
        image.rename(image.with_name("1.png"))
    plain = LabelledFolder(folder.root, Names(["ant/1.png", "bee/1.png"]), torch.full((2,), -1), ())
    found = compare({"x": small_classifier(CLASSES).encoder}, plain, None, k=1, extract=extract)
    words = {text.get_text() for text in neighbor_figure(found, [0, 1], {}).findobj(Text)}
    assert any("ant/1.png" in word for word in words)
    assert not any(word.startswith("1.png") for word in words)


def test_a_figure_of_gradients_has_a_panel_for_each_method_of_each_classifier(folder):
    seen = {
        name: explain_images(
            Explainer(small_classifier(CLASSES), folder, "true"), [0, 7], ["gradient", "cam"]
        )
        for name in ("one", "two")
    }
    figure = gradient_figure(folder, [0, 7], seen)
    right = 4 * sum(bool(one.right) for one in seen["one"])
    assert panels(figure) == (2 * 5, right, 8 - right)


def test_a_map_is_named_with_its_class_and_score():
    values = np.eye(4, dtype=np.float32)
    image = np.full((8, 8, 3), 255, np.uint8)
    seen = Explanation({"gradient": values, "cam": values}, "tench", -1.25, 0.071, False)
    gradient, cam = map_panels(seen, image)
    assert gradient.lines == cam.lines == ("tench", "score -1.2, 7%")
    assert (gradient.mark, cam.mark) == (False, False)
    assert (gradient.pixels.shape, cam.pixels.shape) == ((4, 4, 3), (8, 8, 3))
    assert cam.pixels.min() > 100  # the white image shows through


def test_an_image_that_can_be_read_no_more_is_blank(folder):
    assert picture(folder, 0).shape == (PIXELS, PIXELS, 3)
    (folder.root / folder.names[0]).unlink()
    assert picture(folder, 0).shape == (1, 1)
    assert panels(gradient_figure(folder, [0], {})) == (1, 0, 0)

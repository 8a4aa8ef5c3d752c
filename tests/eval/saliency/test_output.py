"""What saliency writes: lines of a CSV, record, plots and sheets."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from support.maps import disc, save, write_maps
from support.scores import made_of

from dilo.eval.common.pairing import PngFolder, find_images_of_truth, open_masks
from dilo.eval.common.plots import COLOURS, LONGEST
from dilo.eval.saliency.metrics import METRICS
from dilo.eval.saliency.output import (
    example_sheet,
    f_threshold_plot,
    per_image,
    precision_recall_plot,
    ranked,
    score_record,
)
from dilo.eval.saliency.scoring import score
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.sheets import CAPTION, CELL, GAP


@pytest.mark.parametrize(
    ("values", "best", "median", "worst"),
    [
        ([0.1, 0.9, 0.5, 0.3, 0.7, 0.2, 0.8], [1, 6, 4], [4, 2, 3], [0, 5, 3]),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 2], [0, 1, 2], [3, 2, 1]),
        ([0.2, 0.4], [1, 0], [1, 0], [0, 1]),
        ([0.2], [0], [0], [0]),
    ],
)
def test_masks_are_ranked_by_weighted_f(values, best, median, worst):
    found = ranked(SimpleNamespace(weighted_f=np.array(values)))
    assert found == {"best": best, "median": median, "worst": worst}


def drawn(root, images):
    truth = PngFolder(root / "truth", "--truth")
    method = open_masks("good", root / "good", truth.keys)
    (scored,) = score([method], truth, truth.keys, jobs=1, progress=lambda _: None)
    photographs = find_images_of_truth(images, list(truth.keys)) if images else None
    return np.asarray(example_sheet(scored, method, truth, photographs))


def cell(sheet, row, column):
    """Cut a cell out of a sheet, without its caption."""
    top, left = GAP + row * (CELL + CAPTION + GAP), GAP + column * (CELL + GAP)
    return sheet[top : top + CELL, left : left + CELL]


def centre(sheet, row, column):
    return cell(sheet, row, column)[CELL // 2, CELL // 2 - 12].tolist()


def test_a_sheet_has_three_triples_a_row(tmp_path):
    sheet = drawn(write_maps(tmp_path), tmp_path / "images")
    assert sheet.shape == (3 * (CELL + CAPTION + GAP) + GAP, 9 * (CELL + GAP) + GAP, 3)
    red, green, blue = centre(sheet, 0, 0)  # the image is magenta where the mask falls short
    assert min(red, blue) > 200
    assert green > 200
    assert centre(sheet, 0, 1) == [255, 255, 255]
    # The masks get worse by image: the first is best, the last, a wide one, worst.
    best, worst = cell(sheet, 0, 2), cell(sheet, 2, 2)
    assert np.array_equal(best, cell(sheet, 0, 1))
    assert not np.array_equal(worst, cell(sheet, 2, 1))
    assert np.all(worst[:40] == 255)  # paper above a picture of 16 x 40


def test_without_images_truth_and_mask_are_shown(tmp_path):
    sheet = drawn(write_maps(tmp_path), None)
    assert sheet.shape[1] == 6 * (CELL + GAP) + GAP
    assert np.array_equal(cell(sheet, 0, 0), cell(sheet, 0, 1))


def test_an_image_that_is_missing_or_broken_is_blank(tmp_path):
    write_maps(tmp_path)
    (tmp_path / "images" / "a" / "0.jpg").write_bytes(b"no picture")
    (tmp_path / "images" / "a" / "3.jpg").unlink()
    sheet = drawn(tmp_path, tmp_path / "images")
    assert np.all(cell(sheet, 0, 0) == 230)
    assert np.all(cell(sheet, 2, 0) == 230)
    assert not np.all(cell(sheet, 0, 3) == 230)


def test_a_photograph_goes_before_a_mask_of_its_name(tmp_path):
    save(tmp_path / "1.png", disc((5, 5), 2))
    save(tmp_path / "1.jpg", disc((5, 5), 2))
    save(tmp_path / "2.png", disc((5, 5), 2))
    assert find_images_of_truth(tmp_path, ["1", "2"]).files == {"1": "1.jpg", "2": "2.png"}


def test_images_of_other_names_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "other.jpg")
    with pytest.raises(DiloError, match=r"--images .* got other, but"):
        find_images_of_truth(tmp_path, ["1"])


def curve(*values):
    """Make one row whose largest value and sum are known."""
    row = np.zeros(256)
    row[: len(values)] = values
    return row


def test_each_column_of_the_csv_holds_its_number():
    score = made_of(
        f=np.array([curve(0.5, 0.25), curve(0.75)]),
        e=np.array([curve(0.125, 0.375), curve(1.0)]),
        adaptive_f=np.array([0.11, 0.12]),
        weighted_f=np.array([0.21, 0.22]),
        iou=np.array([0.61, 0.62]),
        mae=np.array([0.31, 0.32]),
        s_measure=np.array([0.41, 0.42]),
        adaptive_e=np.array([0.51, 0.52]),
        failed=["1"],
    )
    first, second = csv.DictReader(per_image([score]).splitlines())
    assert first == {
        "method": "x",
        "image": "0",
        "max_f": "0.500000",
        "mean_f": f"{0.75 / 256:.6f}",
        "adaptive_f": "0.110000",
        "weighted_f": "0.210000",
        "iou": "0.610000",
        "mae": "0.310000",
        "s_measure": "0.410000",
        "e_measure_max": "0.375000",
        "e_measure_mean": f"{0.5 / 256:.6f}",
        "e_measure_adaptive": "0.510000",
        "failed": "0",
    }
    assert (second["image"], second["e_measure_max"], second["failed"]) == ("1", "1.000000", "1")


def test_names_with_commas_and_quotes_survive_the_csv():
    score = made_of(mae=np.zeros(1), name='a, "b"', images=["c,d/é"])
    (row,) = csv.DictReader(per_image([score]).splitlines())
    assert (row["method"], row["image"]) == ('a, "b"', "c,d/é")


def test_a_record_is_plain_json_with_the_mean_curves():
    p = np.array([curve(0.5), curve(1.0)])
    record = score_record(made_of(precision=p, recall=p / 2))
    assert json.loads(json.dumps(record)) == record
    assert record["curves"]["mean_precision"][0] == 0.75
    assert record["curves"]["mean_recall"][:2] == [0.375, 0.0]
    expected = 1.3 * 0.75 * 0.375 / (0.3 * 0.75 + 0.375)
    assert abs(record["curves"]["f_benchmark"][0] - expected) < 1e-12
    assert list(record["numbers"]) == [metric.key for metric in METRICS]


def method(name, start=0.2):
    """Make a method whose precision rises and whose recall falls with the threshold."""
    t = np.linspace(0, 1, 256)
    return SimpleNamespace(
        name=name, precision=(start + (1 - start) * t)[None], recall=(1 - t)[None]
    )


@pytest.fixture
def figures(monkeypatch):
    """Keep the figures that are saved."""
    saved, save = [], Figure.savefig

    def keep(self, *arguments, **settings):
        saved.append(self)
        save(self, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_a_precision_recall_plot_has_a_line_a_method_and_a_dot_at_its_best(tmp_path, figures):
    scores = [method("one"), method("two", 0.5)]
    precision_recall_plot(scores, tmp_path / "plot")
    lines = figures[0].axes[0].get_lines()
    for drawn_method, line, dot in zip(scores, lines[::2], lines[1::2], strict=True):
        p, r = drawn_method.precision[0], drawn_method.recall[0]
        assert np.array_equal(line.get_xdata(), r)
        assert np.array_equal(line.get_ydata(), p)
        best = np.argmax(1.3 * p * r / np.maximum(0.3 * p + r, 1e-9))
        assert (dot.get_xdata(), dot.get_ydata()) == (r[best], p[best])
    assert (tmp_path / "plot").read_bytes().startswith(b"\x89PNG")


def test_an_f_threshold_plot_has_a_line_a_method(tmp_path, figures):
    f_threshold_plot([method("one")], tmp_path / "plot")
    line, dot = figures[0].axes[0].get_lines()
    p, r = method("one").precision[0], method("one").recall[0]
    expected = 1.3 * p * r / np.maximum(0.3 * p + r, 1e-9)
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert line.get_xdata().tolist() == list(range(256))
    assert dot.get_ydata() == pytest.approx(expected.max())


def test_names_are_shown_as_they_are_and_cut_if_long(tmp_path, figures):
    names = ["_hidden", "$x_1", "$\\bad{$", "long " * 20, "字"]
    f_threshold_plot([method(name) for name in names], tmp_path / "plot")
    texts = [text.get_text().split("  ", 1) for text in figures[0].legends[0].get_texts()]
    assert [name for _, name in texts] == [*names[:3], ("long " * 20)[: LONGEST - 1] + "…", "字"]
    p, r = method("x").precision[0], method("x").recall[0]
    best = (1.3 * p * r / np.maximum(0.3 * p + r, 1e-9)).max()
    assert {number for number, _ in texts} == {f"{best:.3f}"}


def test_the_legend_lies_beside_the_axes_and_inside_the_picture(tmp_path, figures):
    precision_recall_plot([method(f"m{i}") for i in range(28)], tmp_path / "plot")
    figure = figures[0]
    legend = figure.legends[0].get_window_extent()
    axes = figure.axes[0].get_window_extent()
    assert axes.x1 < legend.x0
    assert legend.y0 >= 0
    assert legend.x1 <= figure.bbox.x1


def test_28_methods_are_told_apart_by_colour_and_style(tmp_path, figures):
    precision_recall_plot([method(f"m{i}") for i in range(28)], tmp_path / "plot")
    lines = figures[0].axes[0].get_lines()[::2]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 28
    assert {line.get_color() for line in lines} == set(COLOURS)

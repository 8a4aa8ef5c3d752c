"""Sheets of backgrounds: each in its place, its window where it was cut, bad images in words."""

import numpy as np
import pytest
from PIL import Image

from dilo.pipeline.backgrounds import preview
from dilo.pipeline.backgrounds.cropping import tile
from dilo.pipeline.backgrounds.preview import (
    FRAME,
    LINE_EDGE,
    OTHER_LINE,
    WINDOW_LINE,
    crop_sheet,
    window_sheet,
)
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.sheets import CAPTION, CELL, GAP

STEP = CELL + GAP


class Store:
    """Backgrounds cut from pictures of one colour, in a list."""

    def __init__(self, *rows):
        self.rows = rows  # (name, (height, width), colour, box)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return tile(self.picture(index), self.box(index))

    def picture(self, index):
        _, shape, colour, _ = self.rows[index]
        return np.full((*shape, 3), colour, np.uint8)

    def source(self, index):
        return self.rows[index][0]

    def box(self, index):
        return self.rows[index][3]

    def written(self, folder):
        """Write the pictures, and give their folder."""
        for index in range(len(self)):
            path = folder / self.source(index)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(self.picture(index)).save(path)
        return folder


@pytest.fixture
def drawn(monkeypatch):
    """Keep the rows of pictures that sheets are laid out from, whose words no test can read."""
    kept = []

    def keep(rows):
        kept[:] = rows
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(preview, "sheet", keep)
    return kept


def _many(count):
    return Store(
        *((f"c/{i}.png", (40, 60), (10 * i, 90, 255), (0, 0, 20, 30)) for i in range(count))
    )


def _cell(canvas, column, row=0):
    """Cut a cell out of a sheet, without its words."""
    top, left = GAP + row * (STEP + CAPTION), GAP + column * STEP
    return np.asarray(canvas)[top : top + CELL, left : left + CELL].astype(int)


def _extent(cell, colour):
    """Give first and last row, first and last column of what has a colour."""
    rows, columns = np.nonzero((cell == colour).all(axis=2))
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (6, 1), (7, 2), (50, 3)])
def test_crops_stand_six_a_row(count, rows):
    canvas = crop_sheet(_many(13), count=count, seed=0)
    assert canvas.height == rows * (STEP + CAPTION) + GAP
    assert canvas.width == min(count, 6) * STEP + GAP


def test_the_seed_chooses_crops_and_each_is_shown_once(drawn):
    def chosen(seed):
        crop_sheet(_many(20), count=8, seed=seed)
        return [int(picture.pixels[50, 80, 0]) // 10 for row in drawn for picture in row]

    assert chosen(0) == chosen(0) == sorted(set(chosen(0)))
    assert chosen(0) != chosen(1)
    assert len(chosen(0)) == 8


def test_a_crop_is_shown_whole_with_its_size_and_name(drawn):
    store = Store(("a/b/odd\nname.jpg", (200, 300), (9, 9, 9), (5, 7, 20, 40)))
    crop_sheet(store, count=1, seed=0)
    ((picture,),) = drawn
    assert picture.caption == r"40 x 20  odd\x0aname.jpg"
    assert picture.pixels.shape == (CELL // 2, CELL, 3)
    assert (picture.pixels[1:-1, 1:-1] == 9).all()


def test_files_of_one_name_are_told_apart_by_their_folders(drawn, tmp_path):
    store = Store(*((f"c{i}/a.png", (40, 40), (9, 9, 9), (0, 0, 20, 20)) for i in range(2)))
    crop_sheet(store, count=2, seed=0)
    assert [cell.caption for cell in drawn[0]] == ["20 x 20  c0/a.png", "20 x 20  c1/a.png"]
    window_sheet(store, FolderSource(store.written(tmp_path)), count=2, seed=0)
    assert [cell.caption for cell in drawn[0][::2]] == ["c0/a.png", "c1/a.png"]


def test_a_white_crop_is_seen_on_white_paper():
    store = Store(("a.png", (40, 40), (255, 255, 255), (0, 0, 20, 20)))
    cell = _cell(crop_sheet(store, count=1, seed=0), 0)
    assert _extent(cell, FRAME) == (0, CELL - 1, 0, CELL - 1)


def test_a_store_of_nothing_says_so(drawn, tmp_path):
    for _ in (
        crop_sheet(Store(), count=9, seed=0),
        window_sheet(Store(), FolderSource(tmp_path), count=9, seed=0),
    ):
        assert [[picture.caption for picture in row] for row in drawn] == [["no backgrounds"]]


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), WINDOW_LINE, (127, 127, 127)])
def test_a_window_is_outlined_where_it_lies_on_any_ground(tmp_path, colour):
    store = Store(("a.png", (200, 400), colour, (50, 100, 100, 250)))
    cell = _cell(window_sheet(store, FolderSource(store.written(tmp_path)), count=1, seed=0), 0)
    # 400 pixels become 160, and the picture's 80 rows begin at row 40.
    if colour != WINDOW_LINE:
        assert _extent(cell, WINDOW_LINE) == (60, 99, 40, 139)
    if colour != LINE_EDGE:
        assert _extent(cell, LINE_EDGE) == (59, 100, 39, 140)
    middle = cell[64:96, 44:136]
    assert (middle == colour).all()


def test_beside_an_image_is_what_was_cut_from_it(tmp_path):
    store = Store(("a.png", (200, 400), (0, 0, 0), (50, 100, 50, 50)))
    folder = store.written(tmp_path)
    store.rows = (("a.png", (200, 400), (1, 200, 3), (50, 100, 50, 50)),)
    canvas = window_sheet(store, FolderSource(folder), count=1, seed=0)
    assert _extent(_cell(canvas, 1), (1, 200, 3)) == (1, CELL - 2, 1, CELL - 2)


def test_an_image_comes_once_with_all_its_windows(tmp_path):
    boxes = [(0, 0, 40, 160), (60, 0, 40, 40), (120, 120, 40, 40)]
    store = Store(
        ("a.png", (160, 160), (0, 90, 0), (10, 10, 9, 9)),
        *(("b.png", (160, 160), (0, 0, 90), box) for box in boxes),
        ("c.png", (160, 160), (90, 0, 0), (10, 10, 9, 9)),
    )
    folder, yellow = store.written(tmp_path), set()
    for seed in range(20):
        canvas = window_sheet(store, FolderSource(folder), count=9, seed=seed)
        assert canvas.size == (6 * STEP + GAP, STEP + CAPTION + GAP)
        cell = _cell(canvas, 2)
        first, last, left, right = _extent(cell, WINDOW_LINE)
        shown = (first, left, last - first + 1, right - left + 1)
        yellow.add(shown)
        for top, left, height, width in set(boxes) - {shown}:
            assert _extent(cell[top : top + height, left : left + width], OTHER_LINE) == (
                *(0, height - 1),
                *(0, width - 1),
            )
    assert yellow == set(boxes)


@pytest.mark.parametrize(
    ("box", "extent", "within", "beyond"),
    [
        pytest.param((20, 20, 60, 60), (40, 159, 40, 159), (70, 70), (90, 90), id="both"),
        pytest.param((0, 0, 30, 80), (40, 99, 0, 159), (110, 70), (110, 90), id="right"),
        pytest.param((20, 10, 60, 20), (40, 159, 60, 99), (70, 110), (90, 110), id="below"),
    ],
)
def test_a_texture_goes_on_paler_as_far_as_its_window(tmp_path, box, extent, within, beyond):
    store = Store(("a.png", (40, 40), (100, 0, 40), box))
    cell = _cell(window_sheet(store, FolderSource(store.written(tmp_path)), count=1, seed=0), 0)
    assert _extent(cell, WINDOW_LINE) == extent
    assert cell[within].tolist() == [100, 0, 40]
    assert cell[beyond].tolist() == [177, 127, 147]


def test_three_images_stand_in_a_row(tmp_path):
    store = _many(7)
    canvas = window_sheet(store, FolderSource(store.written(tmp_path)), count=4, seed=0)
    assert canvas.size == (6 * STEP + GAP, 2 * (STEP + CAPTION) + GAP)


def test_an_image_that_cannot_be_read_is_a_blank_with_the_reason(drawn, tmp_path):
    store = Store(
        ("c/broken.png", (40, 40), (0, 0, 0), (0, 0, 20, 10)),
        ("c/gone.png", (40, 40), (0, 0, 0), (0, 0, 20, 10)),
        ("c/sound.png", (40, 40), (0, 0, 0), (0, 0, 20, 10)),
    )
    folder = store.written(tmp_path)
    (folder / "c" / "gone.png").unlink()
    (folder / "c" / "broken.png").write_bytes(b"words")
    window_sheet(store, FolderSource(folder), count=3, seed=0)
    (pictures,) = drawn
    assert [picture.caption for picture in pictures] == [
        *("not an image", "10 x 20  broken.png"),
        *("No such file or directory", "10 x 20  gone.png"),
        *("sound.png", "10 x 20"),
    ]
    assert all(len(set(picture.pixels.ravel().tolist())) == 1 for picture in pictures[:4:2])


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (39_999, 0, 1, 1), (0, 0, 40_000, 1)])
def test_a_window_thinner_than_a_line_is_drawn_all_the_same(tmp_path, box):
    store = Store(("a.png", (40_000, 2), (0, 0, 0), box))
    cell = _cell(window_sheet(store, FolderSource(store.written(tmp_path)), count=1, seed=0), 0)
    assert (cell == WINDOW_LINE).all(axis=2).any()

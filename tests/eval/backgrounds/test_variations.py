"""Variations: against the definition, pixel by pixel, and which images have them."""

import numpy as np
import pytest
import torch
from PIL import Image
from support.reliance import CLASSES, SIDE, SIZE, mask_store, object_mask, scenes_and_masks
from torch.utils.data import DataLoader

from dilo.eval.backgrounds.draws import MIXED, BackgroundDonors
from dilo.eval.backgrounds.variations import (
    VARIATIONS,
    Layers,
    Variations,
    collate,
    compose,
    evenly_spaced,
    fill_object_box,
    select,
)
from dilo.eval.features.folders import labelled_folder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode
from dilo.pipeline.store import MaskStore


def varied(images, masks, seed=0):
    folder, store = labelled_folder(images), MaskStore(masks)
    selection = select(folder, store)
    donors = BackgroundDonors.of(folder.names, folder.labels.numpy(), selection.positions, seed)
    return Variations(folder, store, selection, donors, selection.positions, SIZE)


def test_variations_are_the_definition_read_pixel_by_pixel():
    rng = torch.Generator().manual_seed(0)
    parts = [torch.randint(0, 256, shape, generator=rng) for shape in ((2, 3, 4, 4), (2, 1, 4, 4))]
    background_labels = torch.randint(0, 256, (2, 3, 3, 4, 4), generator=rng)
    made = dict(compose(Layers(*parts, background_labels)))
    assert list(made) == list(VARIATIONS)
    for i, c, y, x in np.ndindex(2, 3, 4, 4):
        pixel, alpha = parts[0][i, c, y, x] / 255, parts[1][i, 0, y, x] / 255
        expected = {"original": pixel, "only_fg": pixel * alpha, "no_fg": pixel * (1 - alpha)}
        for kind, name in enumerate(MIXED):
            expected[name] = pixel * alpha + background_labels[i, kind, c, y, x] / 255 * (1 - alpha)
        for name, value in expected.items():
            assert made[name][i, c, y, x] == pytest.approx(float(value), abs=1e-6)


def test_pieces_are_the_crops_of_the_image_its_mask_and_its_donors_backgrounds(tmp_path):
    variations = varied(*scenes_and_masks(tmp_path))
    inner = slice((SIDE - SIZE) // 2, (SIDE + SIZE) // 2)  # 28 px of the 32 px image
    mask = object_mask()[inner, inner]
    for index in range(len(variations)):
        position, layers = variations[index]
        assert (layers.images.permute(1, 2, 0).numpy() == crop(variations, position)).all()
        assert (layers.alphas[0].numpy() == mask).all()
        for kind, background in zip(MIXED, layers.backgrounds, strict=True):
            donor = int(variations.donors.order(position, kind)[0])
            expected = fill_object_box(crop(variations, donor), mask)
            assert (background.permute(1, 2, 0).numpy() == expected).all()


def crop(variations, position):
    inner = slice((SIDE - SIZE) // 2, (SIDE + SIZE) // 2)
    return decode(variations.folder.root / variations.folder.names[position])[inner, inner]


def test_a_background_shows_nothing_of_the_other_object(tmp_path):
    variations = varied(*scenes_and_masks(tmp_path))
    for index in range(len(variations)):
        # Objects alone reach 200.
        assert int(variations[index][1].backgrounds.max()) < 150


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_pieces_are_the_same_in_any_batch_and_any_process(tmp_path):
    variations = varied(*scenes_and_masks(tmp_path))
    alone = [variations[index][1] for index in range(len(variations))]
    loader = DataLoader(variations, batch_size=5, num_workers=1, collate_fn=collate)
    again = list(loader)
    assert [position for positions, _, _ in again for position in positions] == list(range(12))
    for part in range(3):
        assert torch.cat([layers[part] for _, layers, _ in again]).equal(
            torch.stack([layers[part] for layers in alone])
        )
    other = varied(tmp_path / "images", tmp_path / "masks", seed=1)
    assert any(not other[i][1].backgrounds.equal(alone[i].backgrounds) for i in range(12))


def test_a_mask_that_failed_or_covers_too_little_or_too_much_leaves_its_image_out(tmp_path):
    images, _ = scenes_and_masks(tmp_path)
    masks = dict.fromkeys((f"{name}/{i}.png" for name in CLASSES for i in range(4)), object_mask())
    masks[f"{CLASSES[0]}/0.png"] = None
    masks[f"{CLASSES[0]}/1.png"] = np.full((SIDE, SIDE), 2, np.uint8)
    masks[f"{CLASSES[1]}/2.png"] = np.full((SIDE, SIDE), 243, np.uint8)
    del masks[f"{CLASSES[2]}/3.png"]
    variations = varied(images, mask_store(tmp_path / "others", masks))
    selection = select(variations.folder, variations.store)
    assert selection.skipped == [
        (f"{CLASSES[2]}/3.png", "no mask in the store"),
        (f"{CLASSES[0]}/0.png", "mask failed"),
        (f"{CLASSES[0]}/1.png", "mask covers less than 1 %"),
        (f"{CLASSES[1]}/2.png", "mask covers more than 95 %"),
    ]
    assert selection.positions.tolist() == [2, 3, 4, 5, 7, 8, 9, 10]
    # Nor do they lend a background.
    tried = {int(d) for p in range(2, 4) for k in MIXED for d in variations.donors.order(p, k)}
    assert tried <= set(selection.positions.tolist())


def test_an_image_that_cannot_be_read_is_said_and_another_lends_its_background(tmp_path):
    images, masks = scenes_and_masks(tmp_path, each=3)
    whole = varied(images, masks)
    first = int(whole.donors.order(0, "mixed_next")[0])
    (images / whole.folder.names[first]).write_bytes(b"no image")
    broken = varied(images, masks)
    assert "not an image" in broken[first][1]
    second = int(broken.donors.order(0, "mixed_next")[1])
    expected = fill_object_box(crop(broken, second), object_mask()[2:30, 2:30])
    assert (broken[0][1].backgrounds[2].permute(1, 2, 0).numpy() == expected).all()
    assert broken[0][1].backgrounds[0].equal(whole[0][1].backgrounds[0])


def test_an_image_whose_class_has_no_other_background_is_skipped_of_all(tmp_path):
    images, masks = scenes_and_masks(tmp_path, each=1)
    assert varied(images, masks)[0] == (0, "no other image of blue-ish gives a background")


def test_masks_of_other_images_are_refused(tmp_path):
    images, _ = scenes_and_masks(tmp_path)
    masks = mask_store(tmp_path / "others", {"elsewhere/0.png": object_mask()})
    with pytest.raises(DiloError, match=r"got none that can be used \(no mask in the store: 12"):
        select(labelled_folder(images), MaskStore(masks))


def test_a_limit_takes_images_of_every_class():
    assert evenly_spaced(np.arange(100, 112), 4).tolist() == [100, 103, 106, 109]
    assert (
        evenly_spaced(np.arange(3), 5).tolist()
        == evenly_spaced(np.arange(3), None).tolist()
        == [0, 1, 2]
    )


def test_a_batch_without_any_piece_has_none():
    assert collate([(3, "why")]) == ([], None, [(3, "why")])


def test_masks_are_cropped_as_images_are(tmp_path):
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[10:30, 30:50] = 250
    mask = np.zeros((SIDE, SIDE), np.uint8)  # of the image squashed to a square
    mask[8:24, 12:20] = 255
    images = tmp_path / "images"
    for name in ("a", "b"):
        (images / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(wide).save(images / name / f"{i}.png")
    names = [f"{name}/{i}.png" for name in "ab" for i in range(2)]
    variations = varied(images, mask_store(tmp_path / "masks", dict.fromkeys(names, mask)))
    image, alpha = variations._crops(0)
    assert image.shape == (3, SIZE, SIZE)
    assert alpha.shape == (1, SIZE, SIZE)
    # White pixels and mask are in one place, but for the soft edge.
    assert ((image[0] > 125) == (alpha[0] > 125)).float().mean() > 0.95


SQUARE = 16


def picture():
    return np.random.default_rng(0).integers(0, 256, (SQUARE, SQUARE, 3), dtype=np.uint8)


def test_the_box_repeats_the_window_and_the_rest_stays():
    mask = np.zeros((SQUARE, SQUARE), np.uint8)
    mask[2:5, 9] = 11  # a cross, whose box is rows 2 to 11 and columns 6 to 12
    mask[11, 6:13] = 200
    pixels = picture()
    made = fill_object_box(pixels, mask)
    # The largest boxes that no salient pixel touches: rows 0 to 10, columns 0 to 8 (99 pixels);
    # columns 0 to 5, all rows (96). Right of it 10 to 15, rows 0 to 10 (66).
    for row in range(SQUARE):
        for column in range(SQUARE):
            inside = 2 <= row <= 11 and 6 <= column <= 12
            expected = pixels[row % 11, column % 9] if inside else pixels[row, column]
            assert (made[row, column] == expected).all(), (row, column)


def test_faint_saliency_is_no_object():
    mask = np.full((SQUARE, SQUARE), 10, np.uint8)
    assert fill_object_box(picture(), mask) is None  # nothing was found
    mask[8:10, 8:10] = 255
    pixels = picture()
    made = fill_object_box(pixels, mask)
    assert (made[:8] == pixels[:8]).all()
    # Rows 10 to 15 or 0 to 7 are free; the latter are more.
    assert (made[8:10, 8:10] == pixels[0:2, 8:10]).all()


def test_a_picture_full_of_the_object_gives_no_background():
    mask = np.full((SQUARE, SQUARE), 255, np.uint8)
    mask[:, :3] = 0  # narrower than a quarter
    assert fill_object_box(picture(), mask) is None
    mask[:, :4] = 0
    made = fill_object_box(picture(), mask)
    assert (made == np.tile(picture()[:, :4], (1, 4, 1))).all()

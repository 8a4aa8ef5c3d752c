"""The challenge's folders and files: as they are laid out, and what is refused."""

import numpy as np
import pytest
from PIL import Image
from support.reliance import NINE, challenge_folder

from dilo.eval.backgrounds.challenge import Frames, find_challenge, frame, read_mask
from dilo.pipeline.errors import DiloError, ImageError


def test_the_variations_that_are_there_are_found_with_nine_classes(tmp_path):
    root = challenge_folder(tmp_path, ("mixed_same", "original"))
    challenge = find_challenge(root)
    assert list(challenge.folders) == ["original", "mixed_same"]
    assert challenge.classes == NINE
    folder = challenge.folders["original"]
    assert folder.labels.tolist() == [c for c in range(9) for _ in range(2)]
    assert list(find_challenge(root, ("mixed_same",)).folders) == ["mixed_same"]


def test_a_class_without_images_keeps_its_number(tmp_path):
    root = challenge_folder(tmp_path, ("original",))
    for path in (root / "original" / "val" / NINE[0]).iterdir():
        path.unlink()
    assert sorted(set(find_challenge(root).folders["original"].labels.tolist())) == [*range(1, 9)]


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(DiloError, match=r"must hold VARIATION/val/CLASS/, got no original, only"):
        find_challenge(tmp_path)
    root = challenge_folder(tmp_path / "a", ("original", "no_fg"))
    with pytest.raises(DiloError, match="got no mixed_next: give the folder that a release"):
        find_challenge(root, ("original", "mixed_next"))
    (root / "no_fg" / "val" / "09_extra").mkdir()
    with pytest.raises(DiloError, match=r"no_fg/val must hold the 9 class .* got 10 \(00_dog"):
        find_challenge(root)


def test_images_of_the_right_size_are_shown_untouched_and_others_squashed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert (frame(tmp_path / "x.png", 8).permute(1, 2, 0).numpy() == pixels).all()
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 16:] = 255
    Image.fromarray(wide).save(tmp_path / "y.png")
    squashed = frame(tmp_path / "y.png", 16)
    assert squashed.shape == (3, 16, 16)
    assert int(squashed[:, :, :7].max()) == 0
    assert int(squashed[:, :, 9:].min()) == 255


def test_an_unreadable_image_is_said(tmp_path):
    root = challenge_folder(tmp_path, ("original",))
    (root / "original" / "val" / NINE[0] / "1.png").write_bytes(b"")
    frames = Frames(find_challenge(root).folders["original"], np.arange(18), 8)
    assert len(frames) == 18
    assert isinstance(frames[1][1], str)
    assert frames[2][1].shape == (3, 8, 8)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_a_mask_is_an_array_of_0_and_1(tmp_path, kind):
    mask = np.random.default_rng(0).integers(0, 2, (4, 6)).astype(kind)
    np.save(tmp_path / "m.npy", mask)
    read = read_mask(tmp_path / "m.npy", 12)
    for row in range(12):
        for column in range(12):
            assert read[0, row, column] == float(mask[row // 3, column // 2])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(np.array([[0, 2]]), "other values", id="values"),
        pytest.param(np.array([[0.0, np.nan]]), "other values", id="nan"),
        pytest.param(np.zeros((2, 2, 3)), "float64 of shape", id="shape"),
        pytest.param(np.zeros((0, 3)), "of shape", id="empty"),
        pytest.param(np.array([["a"]]), "<U1 of shape", id="letters"),
        pytest.param(np.array([[{}]], dtype=object), "objects", id="objects"),
    ],
)
def test_another_array_is_refused(tmp_path, content, words):
    np.save(tmp_path / "m.npy", content)
    with pytest.raises(ImageError, match=rf"an array of 0 and 1 as \.npy, got.*{words}"):
        read_mask(tmp_path / "m.npy", 4)


def test_a_file_that_is_no_array_is_refused(tmp_path):
    (tmp_path / "m.npy").write_bytes(b"cos\nsystem\n")
    with pytest.raises(ImageError, match=r"an array of 0 and 1 as \.npy"):
        read_mask(tmp_path / "m.npy", 4)
    (tmp_path / "e.npy").write_bytes(b"")
    with pytest.raises(ImageError, match=r"an array of 0 and 1 as \.npy"):
        read_mask(tmp_path / "e.npy", 4)
    np.savez(tmp_path / "z.npz", np.zeros((2, 2)))
    (tmp_path / "z.npz").rename(tmp_path / "z.npy")
    with pytest.raises(ImageError, match=r"an array of 0 and 1 as \.npy"):
        read_mask(tmp_path / "z.npy", 4)

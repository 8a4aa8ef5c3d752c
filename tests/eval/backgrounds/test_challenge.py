"""The challenge's folders and its mapping to nine classes: read whole, or refused in words."""

import json

import numpy as np
import pytest
from PIL import Image
from support.reliance import NINE, challenge_folder, in_to_in9

from dilo.eval.backgrounds.challenge import Frames, find_challenge, frame, read_mapping
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode


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
    assert (frame(decode(tmp_path / "x.png"), 8).permute(1, 2, 0).numpy() == pixels).all()
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 16:] = 255
    Image.fromarray(wide).save(tmp_path / "y.png")
    squashed = frame(decode(tmp_path / "y.png"), 16)
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


def test_the_file_says_the_nine_classes_and_none(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(in_to_in9()))
    mapping = read_mapping(tmp_path / "m.json")
    assert mapping.numbers.tolist() == [in_to_in9()[str(i)] for i in range(1000)]
    assert mapping.counts == [list(in_to_in9().values()).count(c) for c in range(9)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("no", "got no JSON", id="words"),
        pytest.param("\xff", "got no JSON", id="bytes"),
        pytest.param("[" * 200_000, "got no JSON", id="deep"),
        pytest.param("9" * 5000, "got no JSON", id="long"),
        pytest.param([1], "got list", id="list"),
        pytest.param({"0": 1}, "got 1 keys", id="few"),
        pytest.param(in_to_in9() | {"7": 9}, "got 7: 9", id="nine"),
        pytest.param(in_to_in9() | {"7": -2}, "got 7: -2", id="less"),
        pytest.param(in_to_in9() | {"7": True}, "got 7: True", id="bool"),
        pytest.param(in_to_in9() | {"7": "dog"}, "got 7: 'dog'", id="word"),
        pytest.param(
            {str(i): i % 8 for i in range(1000)}, "no class of ImageNet that is 8", id="no"
        ),
    ],
)
def test_anything_else_is_refused(tmp_path, content, words):
    path = tmp_path / "m.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DiloError, match=rf'm\.json must be a JSON object from "0".*{words}'):
        read_mapping(path)

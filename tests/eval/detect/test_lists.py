"""Which images a detector with few labels may see."""

import json
from itertools import pairwise

import pytest
from support.detection import annotated, set_of

from dilo.eval.detect.lists import choose_labelled, write_list
from dilo.pipeline.errors import DiloError

BOX = [(0, 0, 9, 9)]
#: 200 images with an object, the ids 0, 3, 6 ..., and one without.
WHOLE = set_of([*(annotated(3 * n, BOX, [0]) for n in range(200)), annotated(1000, [], [])])


def chosen(*, fraction=None, list_file=None, seed=0, data=WHOLE):
    part = choose_labelled(data, fraction=fraction, list_file=list_file, seed=seed)
    return [image.image_id for image in part.images]


def refusal(**more):
    with pytest.raises(DiloError) as error:
        chosen(**more)
    return str(error.value)


def test_a_share_is_the_same_whenever_it_is_drawn_and_part_of_a_larger_one():
    shares = [set(chosen(fraction=fraction)) for fraction in (0.01, 0.02, 0.05, 0.1)]
    assert [len(share) for share in shares] == [2, 4, 10, 20]
    assert all(small < large for small, large in pairwise(shares))
    # Published with results: another version must draw the same.
    assert chosen(fraction=0.01) == [228, 264]
    assert chosen(fraction=0.01, seed=1) != chosen(fraction=0.01)


def test_the_chosen_keep_their_order_and_images_without_an_object_are_never_chosen():
    assert chosen(fraction=1) == chosen() == [3 * n for n in range(200)]
    assert chosen(fraction=0.5) == sorted(chosen(fraction=0.5))
    assert len(chosen(fraction=1e-9)) == 1


def test_a_part_is_named_after_its_share_and_has_a_digest_of_its_own():
    part = choose_labelled(WHOLE, fraction=0.015, list_file=None, seed=4)
    assert part.name == "some 1.5 % (seed 4)"
    assert part.digest not in (
        WHOLE.digest,
        choose_labelled(WHOLE, fraction=0.015, list_file=None, seed=5).digest,
    )


def test_a_list_that_was_written_chooses_the_same_again_by_ids_or_file_names(tmp_path):
    part = choose_labelled(WHOLE, fraction=0.05, list_file=None, seed=0)
    write_list(tmp_path / "ids.txt", part)
    assert chosen(list_file=tmp_path / "ids.txt") == [image.image_id for image in part.images]
    (tmp_path / "names.txt").write_text("train2014/6.jpg\n\n3.jpg\n")
    assert chosen(list_file=tmp_path / "names.txt") == [3, 6]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "3\n4\n",
            "line 2: must be the id or the file name of an image of some that has an "
            "object, such as 0, got '4'",
        ),
        ("3\n1000\n", "line 2: must be the id or the file name of an image of some that has an"),
        ("3\n6\n3.jpg\n", "line 3: an image must be listed once, got 3.jpg, also in line 1"),
        ("\n", "must name images, one a line, got none"),
    ],
)
def test_a_line_that_names_no_image_is_named(tmp_path, text, words):
    (tmp_path / "list.txt").write_text(text)
    assert f"--list {tmp_path}/list.txt" in refusal(list_file=tmp_path / "list.txt")
    assert words in refusal(list_file=tmp_path / "list.txt")


def test_the_lists_of_unbiased_teacher_are_read_by_share_and_run(tmp_path):
    file = tmp_path / "COCO_supervision.txt"
    file.write_text(json.dumps({"1.0": {"0": [5, 2], "1": [199, 0]}, "0.5": {"0": [7]}}))
    assert chosen(list_file=file, fraction=0.01) == [6, 15]
    assert chosen(list_file=file, fraction=0.01, seed=1) == [0, 597]
    assert chosen(list_file=file, fraction=0.005) == [21]
    assert "needs --fraction, one of 0.005, 0.01, got None" in refusal(list_file=file)
    assert "needs --fraction, one of 0.005, 0.01, got 0.3" in refusal(list_file=file, fraction=0.3)
    words = refusal(list_file=file, fraction=0.01, seed=2)
    assert words == f"--list {file} has the runs 0, 1 of this share, got --seed 2"
    small = WHOLE.chosen([0, 3, 6], "small")
    words = refusal(list_file=file, fraction=0.01, data=small)
    assert "must fit the images, 0 of 3 that have an object, got a list of 2" in words


@pytest.mark.parametrize("text", ['{"1": 3}', '{"a": {}}', '{"1": {"0": "x"}}', "{"])
def test_lists_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    assert "list" in refusal(list_file=tmp_path / "list.txt", fraction=0.01)


def test_a_share_of_a_list_and_a_share_that_is_none_are_refused(tmp_path):
    (tmp_path / "list.txt").write_text("3\n")
    words = refusal(list_file=tmp_path / "list.txt", fraction=0.5)
    assert "--fraction must stand without --list" in words
    for fraction in (0.0, 1.5, -1.0):
        assert "--fraction must be above 0 and at most 1, got" in refusal(fraction=fraction)

"""Judging: who looks at the background follows it, who looks at the object does not."""

import numpy as np
import pytest
import torch
from support.reliance import (
    NINE,
    Border,
    Middle,
    candidate,
    challenge_folder,
    nine_classifier,
    scenes_and_masks,
)

from dilo.eval.backgrounds.challenge import find_challenge
from dilo.eval.backgrounds.classify import (
    Candidate,
    Running,
    judge_challenge,
    judge_variations,
    read_backgrounds,
)
from dilo.eval.backgrounds.draws import Donors
from dilo.eval.backgrounds.metrics import background_gap, follows, share
from dilo.eval.backgrounds.variations import VARIATIONS, Variations, select
from dilo.eval.features.folders import labelled_folder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.store import MaskStore

RUNNING = Running(batch=5, device=torch.device("cpu"))


def variations_of(images, masks):
    folder, store = labelled_folder(images), MaskStore(masks)
    selection = select(folder, store)
    donors = Donors.of(folder.names, folder.labels.numpy(), selection.positions, 0)
    return Variations(folder, store, selection, donors, selection.positions, 28)


def test_eyes_on_the_background_follow_it_always_and_eyes_on_the_object_never(tmp_path):
    variations = variations_of(*scenes_and_masks(tmp_path, each=8))
    both = [candidate(Border()), candidate(Middle())]
    border, middle = judge_variations(both, variations, VARIATIONS, RUNNING).found
    for name in ("mixed_rand", "mixed_next"):
        assert follows(border[name]).value == 100.0
        assert follows(middle[name]).value == 0.0
    assert [share(border[name].right).value for name in ("original", "no_fg", "mixed_same")] == [
        100.0
    ] * 3
    assert share(border["mixed_next"].right).value == 0.0
    assert all(middle[name].right.all() for name in VARIATIONS if name != "no_fg")
    # Right on mixed_rand where chance took the class's own background, and only there.
    same = [
        variations.donors.behind(p, "mixed_rand") == variations.donors.labels[p] for p in range(24)
    ]
    assert border["mixed_rand"].right.tolist() == same
    gap = background_gap(border["mixed_same"], border["mixed_rand"])
    assert gap.value == pytest.approx(100 - 100 * sum(same) / 24)
    assert background_gap(middle["mixed_same"], middle["mixed_rand"]).value == 0.0


def test_all_variations_are_of_the_same_images(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    bad = sorted(images.rglob("*.png"))[5]
    bad.write_bytes(b"")
    judged = judge_variations(
        [candidate(Border())], variations_of(images, masks), ("original", "no_fg"), RUNNING
    )
    assert list(judged.found[0]) == ["original", "no_fg"]
    assert [path for path, _ in judged.failures] == [bad.relative_to(images).as_posix()]
    for answers in judged.found[0].values():
        assert answers.positions.tolist() == [i for i in range(12) if i != 5]


def test_a_folder_of_which_nothing_can_be_shown_is_refused(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    for path in images.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DiloError, match=r"can be shown, but none of 12 can, the first being blue"):
        judge_variations([candidate(Border())], variations_of(images, masks), VARIATIONS, RUNNING)


def test_the_challenge_is_judged_by_its_folders(tmp_path):
    names = ("original", "mixed_same", "mixed_rand", "mixed_next")
    challenge = find_challenge(challenge_folder(tmp_path, names))
    both = [Candidate("x", nine_classifier(n), torch.arange(9)) for n in (Border(), Middle())]
    border, middle = judge_challenge(both, challenge, RUNNING, side=8).found
    assert all(answers.right.all() for answers in middle.values())
    assert [share(border[name].right).value for name in names] == [100, 100, 100 / 9, 0]
    assert follows(border["mixed_next"]).value == 100.0
    assert follows(border["mixed_rand"]) is None  # nobody says which class it is
    assert background_gap(border["mixed_same"], border["mixed_rand"]).value == 100 - 100 / 9


def test_a_limit_holds_for_each_variation(tmp_path):
    challenge = find_challenge(challenge_folder(tmp_path, ("original", "no_fg")))
    fake = Candidate("x", nine_classifier(Border()), torch.arange(9))
    (found,) = judge_challenge([fake], challenge, RUNNING, side=8, limit=9).found
    assert [answers.labels.tolist() for answers in found.values()] == [[*range(9)]] * 2


def test_backgrounds_are_read_in_order_and_the_unreadable_said(tmp_path):
    challenge = find_challenge(challenge_folder(tmp_path, ("only_bg_t",)))
    (tmp_path / "only_bg_t" / "val" / NINE[1] / "0.png").write_bytes(b"")
    backgrounds, failures = read_backgrounds(challenge, RUNNING, 8)
    assert backgrounds.shape == (17, 3, 8, 8)
    assert failures[0][0] == "only_bg_t/val/01_bird/0.png"
    answers = nine_classifier(Border()).scores(backgrounds / 255).argmax(1)
    assert answers.tolist() == [0, 0, 1, *np.repeat(range(2, 9), 2).tolist()]

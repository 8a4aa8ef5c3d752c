"""Judging: who looks at the background follows it, who looks at the object does not."""

import pytest
import torch
from support.reliance import (
    Border,
    Middle,
    challenge_folder,
    classifier_under_test,
    nine_classifier,
    scenes_and_masks,
)

from dilo.eval.backgrounds.challenge import find_challenge
from dilo.eval.backgrounds.classify import (
    ClassifierUnderTest,
    RunOptions,
    classify_challenge,
    classify_variations,
)
from dilo.eval.backgrounds.draws import BackgroundDonors
from dilo.eval.backgrounds.metrics import background_gap, background_match_rate, proportion
from dilo.eval.backgrounds.variations import VARIATIONS, Variations, select
from dilo.eval.features.folders import labelled_folder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.store import MaskStore

RUNNING = RunOptions(batch=5, device=torch.device("cpu"))


def variations_of(images, masks):
    folder, store = labelled_folder(images), MaskStore(masks)
    selection = select(folder, store)
    donors = BackgroundDonors.of(folder.names, folder.labels.numpy(), selection.positions, 0)
    return Variations(folder, store, selection, donors, selection.positions, 28)


def test_eyes_on_the_background_follow_it_always_and_eyes_on_the_object_never(tmp_path):
    variations = variations_of(*scenes_and_masks(tmp_path, each=8))
    both = [classifier_under_test(Border()), classifier_under_test(Middle())]
    border, middle = classify_variations(both, variations, VARIATIONS, RUNNING).by_classifier
    for name in ("mixed_rand", "mixed_next"):
        assert background_match_rate(border[name]).value == 100.0
        assert background_match_rate(middle[name]).value == 0.0
    assert [
        proportion(border[name].right).value for name in ("original", "no_fg", "mixed_same")
    ] == [100.0] * 3
    assert proportion(border["mixed_next"].right).value == 0.0
    assert all(middle[name].right.all() for name in VARIATIONS if name != "no_fg")
    # Right on mixed_rand where chance took the class's own background, and only there.
    same = [
        variations.donors.background_class(p, "mixed_rand") == variations.donors.labels[p]
        for p in range(24)
    ]
    assert border["mixed_rand"].right.tolist() == same
    gap = background_gap(border["mixed_same"], border["mixed_rand"])
    assert gap.value == pytest.approx(100 - 100 * sum(same) / 24)
    assert background_gap(middle["mixed_same"], middle["mixed_rand"]).value == 0.0


def test_all_variations_are_of_the_same_images(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    bad = sorted(images.rglob("*.png"))[5]
    bad.write_bytes(b"")
    judged = classify_variations(
        [classifier_under_test(Border())],
        variations_of(images, masks),
        ("original", "no_fg"),
        RUNNING,
    )
    assert list(judged.by_classifier[0]) == ["original", "no_fg"]
    assert [path for path, _ in judged.failures] == [bad.relative_to(images).as_posix()]
    for answers in judged.by_classifier[0].values():
        assert answers.positions.tolist() == [i for i in range(12) if i != 5]


def test_a_folder_of_which_nothing_can_be_shown_is_refused(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    for path in images.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DiloError, match=r"can be shown, but none of 12 can, the first being blue"):
        classify_variations(
            [classifier_under_test(Border())], variations_of(images, masks), VARIATIONS, RUNNING
        )


def test_the_challenge_is_judged_by_its_folders(tmp_path):
    names = ("original", "mixed_same", "mixed_rand", "mixed_next")
    challenge = find_challenge(challenge_folder(tmp_path, names))
    both = [
        ClassifierUnderTest("x", nine_classifier(n), torch.arange(9)) for n in (Border(), Middle())
    ]
    border, middle = classify_challenge(both, challenge, RUNNING, side=8).by_classifier
    assert all(answers.right.all() for answers in middle.values())
    assert [proportion(border[name].right).value for name in names] == [100, 100, 100 / 9, 0]
    assert background_match_rate(border["mixed_next"]).value == 100.0
    assert background_match_rate(border["mixed_rand"]) is None  # nobody says which class it is
    assert background_gap(border["mixed_same"], border["mixed_rand"]).value == 100 - 100 / 9


def test_a_limit_holds_for_each_variation(tmp_path):
    challenge = find_challenge(challenge_folder(tmp_path, ("original", "no_fg")))
    fake = ClassifierUnderTest("x", nine_classifier(Border()), torch.arange(9))
    (found,) = classify_challenge([fake], challenge, RUNNING, side=8, limit=9).by_classifier
    assert [answers.labels.tolist() for answers in found.values()] == [[*range(9)]] * 2

"""Classifiers in front of pictures: what they predict, and who follows the background."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.reliance import (
    CLASSES,
    NINE,
    Border,
    Mean,
    Middle,
    challenge_folder,
    classifier,
    classifier_under_test,
    in_to_in9,
    nine_classifier,
    scenes_and_masks,
)

from dilo.eval.backgrounds.challenge import Mapping, find_challenge
from dilo.eval.backgrounds.classify import (
    ClassifierUnderTest,
    RunOptions,
    classify_challenge,
    classify_variations,
    of_challenge,
    of_folder,
    predict_all,
)
from dilo.eval.backgrounds.draws import BackgroundDonors
from dilo.eval.backgrounds.metrics import background_gap, background_match_rate
from dilo.eval.backgrounds.variations import VARIATIONS, Variations, select
from dilo.eval.common.outcomes import proportion
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.store import MaskStore
from dilo.train.augment.color import normalise

MAPPING = Mapping(Path("m.json"), torch.tensor(list(in_to_in9().values())))


def flat(*colours):
    """Make images of one colour each."""
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, 4, 4)


def thousand(scores, classes=None):
    """Make a classifier whose scores are the same for all images."""
    fake = classifier(Mean(), torch.zeros(1000, 3), classes=classes)
    return Classifier(fake.encoder, fake.weight, scores, classes)


def test_the_best_of_all_1000_counts_even_if_it_is_none_of_the_nine():
    scores = torch.zeros(1000)
    scores[10], scores[3] = 2.0, 1.0  # 10 is none; 3 would be the best of those that are mapped
    classifier_under_test = of_challenge("x", thousand(scores), MAPPING, NINE, "it")
    assert classifier_under_test.predictions(flat((0.0, 0.0, 0.0))).tolist() == [-1]
    scores[12] = 3.0  # 12 % 9
    assert classifier_under_test.predictions(flat((0.0, 0.0, 0.0))).tolist() == [3]


def test_a_mapping_counts_named_classes_in_their_sorted_order():
    names = tuple(f"n{i:04d}" for i in reversed(range(1000)))
    scores = torch.zeros(1000)
    scores[999 - 12] = 1.0  # the row of n0012
    classifier_under_test = of_challenge("x", thousand(scores, names), MAPPING, NINE, "it")
    assert classifier_under_test.predictions(flat((0.0, 0.0, 0.0))).tolist() == [3]


def test_classes_that_a_folder_lacks_mean_none():
    fake = classifier(Mean())
    classifier_under_test = of_folder("x", fake, [CLASSES[2], CLASSES[0]], "it")
    colours = flat((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert classifier_under_test.predictions(colours).tolist() == [1, -1, 0]


def nine(classes=None):
    fake = classifier(Mean(), torch.eye(9, 3), classes=classes)
    encoder = replace(fake.encoder, space="rgb", recipe={})
    return Classifier(encoder, fake.weight, fake.bias, classes)


def test_images_are_clamped_and_standardised_as_in_training():
    classifier_under_test = of_challenge("x", nine(classes=NINE), None, NINE, "it")
    seen = []
    classifier_under_test.classifier.encoder.network.register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    classifier_under_test.predictions(flat((0.3, 1.2, -0.1)))
    torch.testing.assert_close(seen[-1], normalise(flat((0.3, 1.0, 0.0))))
    classifier_under_test.classifier.encoder.network._forward_pre_hooks.clear()


def test_other_classifiers_are_refused():
    with pytest.raises(
        DiloError, match=r"must have 9 classes, or ImageNet's 1000, .* got 3: train"
    ):
        of_challenge("x", classifier(Mean()), MAPPING, NINE, "it")
    with pytest.raises(DiloError, match=r"so --mapping must say which of the 9 .* got none: give"):
        of_challenge("x", thousand(torch.zeros(1000)), None, NINE, "it")
    with pytest.raises(DiloError, match=r"classes of it must be among the 9 of .* got 00_dog"):
        of_challenge("x", nine(classes=tuple("abcdefghi")), None, NINE, "it")


def test_scores_that_are_no_numbers_are_refused():
    fake = thousand(torch.full((1000,), torch.nan))
    classifier_under_test = of_challenge("x", fake, MAPPING, NINE, "it")
    with pytest.raises(CheckpointError, match="must be finite, got NaN or infinity: the training"):
        classifier_under_test.predictions(flat((0.0, 0.0, 0.0)))


def test_every_candidate_answers_to_every_variation_in_order():
    turned = ClassifierUnderTest(
        "turned", classifier(Mean(), torch.eye(3).roll(1, 0)), torch.arange(3)
    )
    colours = torch.eye(3)[:, :, None, None]
    batches = [
        ([4, 2], colours[[0, 1]], []),
        ([], None, [(7, "broken")]),
        ([9], colours[[2]], [(1, "gone")]),
    ]
    done = []

    def shown(content):
        yield "as they are", content
        yield "other channels", content.flip(1)

    predictions = predict_all([classifier_under_test(Mean()), turned], batches, shown, done.append)
    assert predictions.positions == [4, 2, 9]
    assert predictions.failures == [(7, "broken"), (1, "gone")]
    assert done == [2, 1, 2]
    told = [{name: t.tolist() for name, t in found.items()} for found in predictions.predictions]
    assert told == [
        {"as they are": [0, 1, 2], "other channels": [2, 1, 0]},
        {"as they are": [1, 2, 0], "other channels": [0, 2, 1]},
    ]


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

"""Evaluations: the record, its numbers by hand, and that nothing else decides them."""

import json

import pytest
import torch
from support.reliance import (
    CLASSES,
    Border,
    Middle,
    challenge_folder,
    classifier,
    in_to_in9,
    nine_classifier,
    scenes_and_masks,
)

from dilo.eval.backgrounds.classify import RunOptions
from dilo.eval.backgrounds.evaluation import (
    ChallengeOptions,
    Setup,
    evaluate_challenge,
    evaluate_folder,
)


def request(*networks, made=classifier, batch=5, **options):
    running = RunOptions(batch=batch, device=torch.device("cpu"))
    named = [(type(network).__name__, made(network)) for network in networks]
    return Setup(classifiers=named, running=running, **options)


def values(shares):
    return {name: told["value"] for name, told in shares.items()}


def test_the_record_of_a_folder(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    said = []
    made = evaluate_folder(request(Border(), Middle()), images, masks, seed=3, say=said.append)
    record = json.loads(json.dumps(made.record))
    border, middle = record.pop("results")
    assert record.pop("masks_fingerprint")
    (pair,) = record.pop("pairs")
    assert (pair["first"], pair["second"]) == ("Border", "Middle")
    assert pair["top1"]["mixed_next"]["value"] == -100.0
    assert pair["bg_gap"]["value"] == border["bg_gap"]["value"]
    inputs = record.pop("inputs")
    assert [inputs[part]["folder"] for part in ("images", "masks")] == [str(images), str(masks)]
    assert record == {
        "task": "backgrounds",
        "checkpoint": "fake.pth",
        "step": 5,
        "size": 28,
        "mode": "folder",
        "images": str(images),
        "masks": str(masks),
        "seed": 3,
        "judged_classes": 3,
        "skipped": [],
    }
    assert border.keys() == {
        *("name", "checkpoint", "step", "size", "classes", "images", "chance"),
        *("top1", "bg_gap", "retained", "follows_background"),
    }
    assert (border["name"], border["images"]) == ("Border", 12)
    assert border["chance"] == pytest.approx(100 / 3)
    assert values(border["follows_background"]) == {"mixed_rand": 100.0, "mixed_next": 100.0}
    assert values(middle["follows_background"]) == {"mixed_rand": 0.0, "mixed_next": 0.0}
    assert values(middle["retained"]) | {"no_fg": 0} == {
        **dict.fromkeys(("only_fg", "mixed_same", "mixed_rand", "mixed_next"), 100.0),
        "no_fg": 0,
    }
    assert border["bg_gap"]["value"] == 100 - border["top1"]["mixed_rand"]["value"]


def test_batches_and_company_change_nothing(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    told = [
        evaluate_folder(predictions, images, masks, seed=0, say=print)
        for predictions in (request(Middle(), Border()), request(Border(), batch=64))
    ]
    assert told[0].record["results"][1] == told[1].record["results"][0]


def test_some_images_are_varied_as_all_of_them_are(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    predictions = request(Border(), limit=6, variations=("original", "mixed_rand"))
    (result,) = evaluate_folder(predictions, images, masks, seed=0, say=print).record["results"]
    assert result["images"] == 6
    assert result["top1"].keys() == {"original", "mixed_rand"}
    assert "bg_gap" not in result


def test_classifiers_of_other_sizes_see_their_own(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    both = request(Border())
    large = classifier(Middle(), size=56)
    both = Setup(classifiers=[*both.classifiers, ("large", large)], running=both.running)
    seen = []
    large.encoder.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    made = evaluate_folder(both, images, masks, seed=0, say=print)
    small, big = made.record["results"]
    assert {shape[2:] for shape in seen} == {(56, 56)}
    assert (small["size"], big["size"]) == (28, 56)
    assert big["top1"]["mixed_next"]["value"] == 100.0


def test_skipped_images_are_said(tmp_path):
    images, masks = scenes_and_masks(tmp_path)
    (images / CLASSES[0] / "new.png").write_bytes((images / CLASSES[0] / "0.png").read_bytes())
    (images / CLASSES[1] / "0.png").write_bytes(b"")
    said = []
    made = evaluate_folder(request(Border()), images, masks, seed=0, say=said.append)
    skipped = {image["path"]: image["reason"] for image in made.record["skipped"]}
    assert list(skipped) == [f"{CLASSES[0]}/new.png", f"{CLASSES[1]}/0.png"]
    assert skipped[f"{CLASSES[0]}/new.png"] == "no mask in the store"
    assert any("1 of 13 images skipped: no mask in the store" in line for line in said)


def test_the_challenge_with_all_that_belongs_to_it(tmp_path):
    names = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_bg_t")
    root = challenge_folder(tmp_path / "release", names)
    mapping = tmp_path / "in_to_in9.json"
    mapping.write_text(json.dumps(in_to_in9()))
    rows = [next(int(k) for k, v in in_to_in9().items() if v == c) for c in range(9)]
    predictions = request(Border(), Middle(), made=lambda network: nine_classifier(network, rows))
    said = []
    options = ChallengeOptions(mapping=mapping, size=8)
    made = evaluate_challenge(predictions, root, options, say=said.append)
    border, _ = made.record["results"]
    assert values(border["top1"]) == pytest.approx(
        {**dict.fromkeys(names, 100.0), "mixed_rand": 100 / 9, "mixed_next": 0.0}
    )
    assert border["bg_gap"]["value"] == pytest.approx(100 - 100 / 9)
    assert values(border["follows_background"]) == {"mixed_next": 100.0}
    assert border["chance"] == pytest.approx(100 / 9)
    assert border["classes"] == 1000
    assert any("classes of ImageNet are [" in line for line in said)
    assert "Border: sees 8 px" in said


def test_what_is_not_as_the_challenge_has_it_is_said(tmp_path):
    root = challenge_folder(tmp_path, ("original", "no_fg"))
    said = []
    evaluate_challenge(
        request(Border(), made=nine_classifier),
        root,
        ChallengeOptions(size=16),
        say=said.append,
    )
    assert "8 x 8 px are resized to 16 x 16: images of original, no_fg" in said
    assert any("sees 16 px, trained at 8 px: --size 8" in line for line in said)


def test_a_class_that_is_none_of_the_nine_is_wrong(tmp_path):
    root = challenge_folder(tmp_path / "release", ("original",))
    mapping = tmp_path / "in_to_in9.json"
    rows = [next(int(k) for k, v in in_to_in9().items() if v == c) for c in range(9)]
    rows[3] = 10  # of ImageNet's classes, none of the nine
    mapping.write_text(json.dumps(in_to_in9()))
    predictions = request(Middle(), made=lambda network: nine_classifier(network, rows))
    options = ChallengeOptions(mapping=mapping, size=8)
    (result,) = evaluate_challenge(predictions, root, options, say=print).record["results"]
    assert result["top1"]["original"]["value"] == pytest.approx(100 * 8 / 9)

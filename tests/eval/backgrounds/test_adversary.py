"""The challenge's accuracy: against pasting on every background in loops."""

import numpy as np
import pytest
import torch
from PIL import Image
from support.reliance import NINE, Border, Mean, Middle, challenge_folder, nine_classifier

from dilo.eval.backgrounds.adversary import attack, find_foregrounds
from dilo.eval.backgrounds.challenge import find_challenge
from dilo.eval.backgrounds.classify import Candidate
from dilo.pipeline.errors import DiloError


def judged(network):
    return Candidate("x", nine_classifier(network), torch.arange(9))


@pytest.fixture
def release(tmp_path):
    return challenge_folder(tmp_path, ("original", "only_bg_t"))


def backgrounds_of(challenge):
    folder = challenge.folders["only_bg_t"]
    read = [np.asarray(Image.open(folder.root / name)) for name in folder.names]
    return torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2)


def test_a_foreground_holds_if_no_background_makes_it_mistaken(release):
    rng = np.random.default_rng(0)
    for path in sorted(release.glob("fg_mask/val/*/*.npy")):
        side = int(rng.integers(2, 8))  # the larger the object, the more it holds
        mask = np.zeros((8, 8), np.uint8)
        mask[:side, :] = 1
        np.save(path, mask)
    challenge = find_challenge(release)
    foregrounds, backgrounds = find_foregrounds(challenge), backgrounds_of(challenge)
    candidates = [judged(Mean()), judged(Border())]
    verdict = attack(candidates, foregrounds, backgrounds, batch=5)
    assert len(foregrounds) == 18
    for candidate, holds in zip(candidates, verdict.holds, strict=True):
        expected = []
        for foreground in foregrounds:
            image, mask = np.asarray(Image.open(foreground.image)), np.load(foreground.mask)
            mistakes = 0
            for background in backgrounds.permute(0, 2, 3, 1).numpy():
                pasted = torch.tensor(np.where(mask[:, :, None] == 1, image, background) / 255)
                answer = candidate.predictions(pasted.float().permute(2, 0, 1)[None])
                mistakes += int(answer) != foreground.label
            expected.append(mistakes == 0)
        assert holds.tolist() == expected
    assert 0 < int(verdict.holds[0].sum()) < 18


def test_who_looks_at_the_object_holds_and_who_looks_beside_it_does_not(release):
    challenge = find_challenge(release)
    done = []
    verdict = attack(
        [judged(Middle()), judged(Border())],
        find_foregrounds(challenge),
        backgrounds_of(challenge),
        batch=64,
        progress=done.append,
    )
    assert verdict.holds[0].all()
    assert not verdict.holds[1].any()
    assert sum(done) == 18


def test_the_first_mistake_ends_a_foreground(release):
    challenge = find_challenge(release)
    candidate, seen = judged(Border()), []
    network = candidate.classifier.encoder.network
    network.register_forward_hook(lambda *_: seen.append(1))
    attack([candidate], find_foregrounds(challenge), backgrounds_of(challenge), batch=1)
    # Of 18 backgrounds, two a class, the first deceives all but the foregrounds of its class,
    # which the third does.
    assert len(seen) == 16 * 1 + 2 * 3


def test_a_foreground_that_cannot_be_read_is_said_and_the_others_are_judged(release):
    bad = release / "fg_mask" / "val" / NINE[3] / "0.npy"
    bad.write_bytes(b"")
    challenge = find_challenge(release)
    verdict = attack(
        [judged(Middle())], find_foregrounds(challenge), backgrounds_of(challenge), batch=64
    )
    assert len(verdict.holds[0]) == 17
    assert verdict.failures[0][0] == str(bad)


def test_a_release_that_lacks_something_is_refused(tmp_path, release):
    (release / "original" / "val" / NINE[0] / "1.png").unlink()
    with pytest.raises(DiloError, match=r"1\.npy must be the mask of an image of .*00_dog, got"):
        find_foregrounds(find_challenge(release))
    for mask in release.glob("fg_mask/val/*/*.npy"):
        mask.unlink()
    with pytest.raises(DiloError, match=r"fg_mask/val must hold CLASS/NAME\.npy .* got none"):
        find_foregrounds(find_challenge(release))
    with pytest.raises(DiloError, match="got no only_bg_t: unpack the whole release"):
        find_foregrounds(find_challenge(release, ("original",)))

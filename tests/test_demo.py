"""The demo: its pictures, questions and table; the training is the programs', tested elsewhere."""

import demo
import numpy as np
import pytest
import torch
from PIL import Image
from support.cli import invoke

from dilo.pipeline.cli import main as prep


def test_questions_are_pastes_that_differ_and_that_a_seed_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "PHOTOGRAPHS", {"coffee": demo.PHOTOGRAPHS["coffee"]})
    monkeypatch.setattr(demo, "PICTURES", 1)
    monkeypatch.setattr(demo, "QUESTIONS", 3)
    photographs, masks = tmp_path / "photographs", tmp_path / "masks"
    demo.cut_photographs(photographs)
    invoke(prep, "masks", "--images", photographs, "--out", masks, "--backend", "threading")
    for folder in ("first", "again"):
        torch.manual_seed(0)
        demo.ask(photographs, masks, "gray", tmp_path / folder)
    first, again = (
        [np.asarray(Image.open(path)) for path in sorted((tmp_path / folder).rglob("*.png"))]
        for folder in ("first", "again")
    )
    assert len(first) == 3
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert first[0].shape == (demo.QUESTION_SIDE, demo.QUESTION_SIDE, 3)


def test_no_background_of_a_question_is_a_photograph_of_the_training():
    assert not demo.UNSEEN.keys() & demo.PHOTOGRAPHS.keys()
    assert not set(demo.UNSEEN.values()) & set(demo.PHOTOGRAPHS.values())


def test_a_program_that_fails_ends_the_demo_with_its_status():
    with pytest.raises(SystemExit) as ended:
        demo.run("dilo-prep", "status", "nowhere")
    assert ended.value.code == 2

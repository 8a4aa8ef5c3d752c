"""`dilo-eval detect` from the command line: results, several trainings, resuming, refusals."""

import json

import numpy as np
import pytest
from PIL import Image
from support.cli import invoke
from support.detection import write_voc
from support.detectors import SMALL_OPTIONS, write_backbone
from support.probes import write_small

from dilo.eval.cli import main
from dilo.eval.common.lookup import find_in
from dilo.eval.detect import evaluation, run
from dilo.eval.detect.detections import read_detections
from dilo.eval.detect.evaluation import SETTINGS
from dilo.eval.detect.voc_data import read_voc
from dilo.eval.detect.weights import load_detector
from dilo.eval.models.encoder import load_encoder
from dilo.eval.records.conditions import CONDITIONS
from dilo.eval.records.metrics import metric_values
from dilo.eval.records.reading import read_source
from dilo.train.runtime.signals import PREEMPTED

OBJECTS = [("cat", 5, 5, 50, 45, ""), ("dog", 30, 10, 75, 55, "")]


@pytest.fixture(scope="module")
def voc(module_folder):
    """Write both years of VOC, a few images each."""
    folder = module_folder / "VOCdevkit"
    write_voc(folder, {f"00000{n}": OBJECTS[: 1 + n % 2] for n in range(3)}, split="trainval")
    write_voc(folder, {"000008": OBJECTS, "000009": OBJECTS[:1]}, split="test")
    write_voc(folder, {"2012_1": OBJECTS}, year=2012, split="trainval")
    return folder


@pytest.fixture
def backbone(tmp_path):
    """Write a run with a small backbone."""
    return write_backbone(tmp_path / "run" / "checkpoints" / "step-00000007.pt").parents[1]


def detect(checkpoint, voc, *more, status=0):
    fixed = ("--device", "cpu", "--workers", 0, "--subset", "--size", 32, *SMALL_OPTIONS)
    small = ("--iterations", 2, "--batch", 4, "--groups", 2)
    arguments = ("--checkpoint", checkpoint, "--voc", voc, *fixed, *small, *more)
    return invoke(main, "detect", *arguments, status=status)


def test_a_run_gets_a_record_a_detector_its_detections_and_a_sheet(backbone, voc):
    result = detect(backbone, voc, "--json")
    record = json.loads(result.stdout)
    folder = backbone / "eval" / "detect"
    assert record == json.loads((folder / "detect.json").read_text())
    assert (record["task"], record["protocol"], record["seeds"]) == ("detect", "voc-24k", [0])
    assert not record["is_protocol"]
    assert not record["is_comparable"]
    assert "model.arch resnet18 instead of resnet50" in record["deviations"]
    assert record["deviations"][-1] == (
        "4 training images (voc_2007_trainval+voc_2012_trainval), 2 test images"
    )
    assert record["taken"].startswith("2 groups of 2 images, as 2 GPUs would take a batch of 4")
    assert "11 recalls" in record["rule"]
    assert set(record["results"]["box"]) == {"AP", "AP50", "AP75"}
    assert record["results"]["box"]["AP"]["std"] is None
    assert len(record["per_class"]["box"]) == 20
    assert record["inputs"]["test"]["folder"].endswith("VOC2007")
    place = folder / "seed-0"
    test = read_voc(voc, 2007, "test", subset=True)
    assert len(read_detections(place / run.DETECTIONS, test)) == 2
    with Image.open(place / run.SHEET) as sheet:
        assert sheet.width > 100
    detector = load_detector(place / "detector.pth")
    assert detector.classes == test.classes
    found = detector.detect(np.zeros((60, 80, 3), np.uint8))
    assert set(found) == {"boxes", "scores", "labels"}
    source = read_source("run", backbone, is_run=True)
    labels = {value.label for value in metric_values([source], [])}
    assert {f"detection {name} of boxes" for name in ("AP", "AP50", "AP75")} <= labels
    assert "detection AP of cat" in labels
    for condition in CONDITIONS:
        if "detect" in condition.tasks:
            assert list(find_in(record, condition.path.split(".")))
    lines = detect(backbone, voc).stdout
    assert "MoCo v1, 200 epochs (MoCo repository)    55.9      81.5      62.6" in lines
    assert "the published rows are for orientation" in lines


def test_several_trainings_give_mean_and_deviation_and_none_is_done_twice(
    tmp_path, voc, monkeypatch
):
    checkpoint = write_backbone(tmp_path / "backbone.pt")
    first = json.loads(detect(checkpoint, voc, "--out", tmp_path / "out", "--json").stdout)
    done = (tmp_path / "out" / "seed-0" / "detector.pth").stat().st_mtime_ns

    def load_last(path, **more):
        """Load a checkpoint that then goes, as those of a run that is still trained do."""
        encoder = load_encoder(path, **more)
        path.unlink()
        return encoder

    monkeypatch.setattr(evaluation, "load_encoder", load_last)
    record = json.loads(
        detect(checkpoint, voc, "--out", tmp_path / "out", "--runs", 2, "--json").stdout
    )
    assert (tmp_path / "out" / "seed-0" / "detector.pth").stat().st_mtime_ns == done
    assert record["seeds"] == [0, 1]
    number = record["results"]["box"]["AP50"]
    assert number["each"][0] == first["results"]["box"]["AP50"]["value"]
    assert number["value"] == pytest.approx(sum(number["each"]) / 2)
    difference = abs(number["each"][0] - number["each"][1])
    assert number["std"] == pytest.approx(difference / 2**0.5)


def test_a_signal_ends_it_with_75_and_the_same_command_resumes(tmp_path, voc, monkeypatch):
    checkpoint, out = write_backbone(tmp_path / "backbone.pt"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(
            run.StopSignal, "name", property(lambda self: "SIGTERM", lambda *_: None), False
        )
        result = detect(checkpoint, voc, "--out", out, "--json", status=PREEMPTED)
    assert json.loads(result.stdout) == {"task": "detect", "preempted": True, "signal": "SIGTERM"}
    assert "interrupted by SIGTERM; run the same command to resume" in result.stderr
    assert not (out / "detect.json").exists()
    assert "resuming from step 1 of 2" in detect(checkpoint, voc, "--out", out).stderr


def test_another_protocol_goes_beside_in_the_folder_of_a_run(backbone, voc):
    folder = backbone / "eval" / "detect"
    folder.mkdir(parents=True)
    (folder / SETTINGS).write_text('{"protocol": "another"}')
    result = detect(backbone, voc, "--protocol", "voc-fast")
    assert "holds detectors of other settings, which are kept" in result.stderr
    assert (backbone / "eval" / "detect-voc-fast" / "detect.json").exists()


def test_a_folder_of_other_settings_or_of_something_else_is_refused(tmp_path, voc):
    checkpoint, out = write_backbone(tmp_path / "backbone.pt"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("")
    assert "must be empty, or hold what this command wrote before, got mine.txt" in (
        detect(checkpoint, voc, "--out", out, status=3).stderr
    )
    (out / SETTINGS).write_text('{"protocol": "voc-9k"}')
    assert "holds detectors of other settings, which differ in protocol" in (
        detect(checkpoint, voc, "--out", out, status=3).stderr
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--coco", "."), "Give the images by --voc DIR or by --coco DIR, got both"),
        (
            ("--protocol", "coco-fpn-1x"),
            "--protocol coco-fpn-1x is for the other images than --voc",
        ),
    ],
)
def test_images_and_protocol_must_go_together(tmp_path, voc, options, words):
    checkpoint = write_backbone(tmp_path / "backbone.pt")
    assert words in detect(checkpoint, voc, *options, status=2).stderr


def test_bad_input_ends_in_a_sentence(tmp_path, voc):
    checkpoint = write_backbone(tmp_path / "backbone.pt")
    out = ("--out", tmp_path / "out")
    assert "must hold" in detect(checkpoint, tmp_path, *out, status=3).stderr
    unknown = detect(checkpoint, voc, *out, "--set", "model.roi=3", status=3).stderr
    assert "unknown key model.roi" in unknown
    small_stem = write_small(tmp_path / "other.pt")
    assert "for detection, whose cells are 4 px apart, got the stem for small images" in (
        detect(small_stem, voc, *out, status=3).stderr
    )
    assert not (tmp_path / "out").exists()


def test_without_pycocotools_the_command_says_what_to_install(tmp_path, voc, monkeypatch):
    from dilo.pipeline.common import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None if "coco" in name else name)
    result = detect(write_backbone(tmp_path / "backbone.pt"), voc, status=3)
    assert "dilo-eval detect needs pycocotools: pip install 'dilo[detection]'" in result.stderr


def test_a_detector_is_no_backbone_for_other_formats(tmp_path, backbone, voc):
    detect(backbone, voc)
    file = backbone / "eval" / "detect" / "seed-0" / "detector.pth"
    words = ("export", "--checkpoint", file, "--out", tmp_path / "weights.pkl")
    refused = invoke(main, *words, "--format", "moco", status=3).stderr
    assert "is a detector, for --format detectron2 alone, got moco" in refused
    refused = invoke(main, *words, "--format", "detectron2", status=3).stderr
    assert "needs a backbone of bottlenecks for C4" in refused

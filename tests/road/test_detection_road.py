"""From a backbone to detections on real images of VOC: losses fall, and a box lies on an object."""

import numpy as np
import pytest
import torch
from support.detection import DETECTION
from support.detectors import small_recipe, write_backbone

from dilo.eval.common.overlaps import overlaps
from dilo.eval.detect.prediction import predict
from dilo.eval.detect.training import DetectionTask
from dilo.eval.detect.voc_data import read_voc
from dilo.eval.detect.weights import Detector
from dilo.eval.models.encoder import load_encoder
from dilo.train.engine.trainer import launch
from dilo.train.monitor.metrics import read_metrics
from dilo.train.runtime.options import RunOptions

pytestmark = pytest.mark.skipif(not DETECTION.is_dir(), reason="needs the shared images")


def test_losses_fall_and_a_box_is_found_that_overlaps_an_object(tmp_path):
    data = read_voc(DETECTION / "VOCdevkit", 2012, "trainval", subset=True).trainable()
    encoder = load_encoder(write_backbone(tmp_path / "backbone.pt"))
    machine = RunOptions(device=torch.device("cpu"), workers=0, log_every=1)
    tasks = []

    def make(here, _):
        tasks.append(DetectionTask(encoder, data, small_recipe(iterations=40), here))
        return tasks[0]

    launch(make, tmp_path / "run", machine, lambda line: None, fixed_shapes=False)
    tasks[0].measure_statistics(lambda line: None, lambda: None)
    lines = read_metrics(tmp_path / "run")
    # Objectness falls late: its weights begin at a hundredth.
    for name, share in (("loss", 0.9), ("loss_classifier", 0.9), ("loss_objectness", 0.99)):
        values = [line[name] for line in lines]
        assert np.mean(values[-8:]) < share * np.mean(values[:4]), name
    network = tasks[0].model.detector.eval()
    network.roi_heads.score_thresh = 0.01
    detector = Detector(network, data.classes, tasks[0].recipe, "voc-24k", width=0.125)
    found = predict(detector, data, machine, lambda line: None, lambda: None)
    assert len(found) == len(data.images)
    best = max(
        overlaps(each.boxes, image.boxes).max(initial=0)
        for each, image in zip(found, data.images, strict=True)
    )
    assert best > 0.5

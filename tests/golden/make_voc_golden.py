"""Make voc-detections.npz from real detections on 100 images of PASCAL VOC, and add its digest.

    python tests/golden/make_voc_golden.py DETECTION

DETECTION holds VOCdevkit, with 50 images as VOC2012 and 50 as VOC2007 (25 of them its test set),
voc-detections/CLASS.txt (id, score, xmin, ymin, xmax, ymax), and voc-detections/expected.json:
what detectron2's evaluator (02b5c4e2) gives for them without rounding. Images, detections and
their annotations are of rafaelpadilla/review_object_detection_metrics (MIT), 2efe66d2.
"""

import json
import sys
from pathlib import Path

import numpy as np
from make_golden import HERE, write_sums

from dilo.eval.detect.voc_data import VOC_CLASSES, read_voc

SETS = ((2007, "trainval"), (2007, "test"), (2012, "trainval"))


def main(folder: Path) -> None:
    """Write the arrays, and the digest of the file."""
    sets = [read_voc(folder / "VOCdevkit", *one, subset=True) for one in SETS]
    images = [image for one in sets for image in one.images]
    places = {image.image_id: place for place, image in enumerate(images)}
    found = []
    for label, name in enumerate(VOC_CLASSES):
        for line in (folder / "voc-detections" / f"{name}.txt").read_text().splitlines():
            image_id, *numbers = line.split()
            found.append((places[image_id], label, *map(float, numbers)))
    expected = json.loads((folder / "voc-detections" / "expected.json").read_text())
    arrays = {
        "set_of_image": np.repeat(np.arange(3, dtype=np.uint8), [len(s.images) for s in sets]),
        # x0, y0, x1, y1, class, whether difficult, image; counted from 0.
        "objects": np.array(
            [
                (*box, label, hard, place)
                for place, image in enumerate(images)
                for box, label, hard in zip(image.boxes, image.labels, image.difficult, strict=True)
            ],
            np.float32,
        ),
        # image, class, score, xmin, ymin, xmax, ymax; the boxes counted from 1.
        "found": np.array(found, np.float64),
        "names": np.array(list(expected)),
        "means": np.array(
            [[one[key] for key in ("AP", "AP50", "AP75")] for one in expected.values()], np.float64
        ),
        "per_class_ap50": np.array(
            [[one["per_class_AP50"][c] for c in VOC_CLASSES] for one in expected.values()],
            np.float64,
        ),
    }
    np.savez_compressed(HERE / "voc-detections.npz", **arrays)
    write_sums()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

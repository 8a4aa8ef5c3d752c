"""Small sets for detection: real ones, and folders in the layouts of VOC and COCO."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.golden import golden_arrays

from dilo.eval.detect.annotations import Annotated, DetectionSet
from dilo.eval.detect.detections import Detections
from dilo.eval.detect.voc_data import VOC_CLASSES

#: Real images of VOC and COCO, which not everybody has.
DETECTION = Path(__file__).resolve().parents[3] / "shared" / "data" / "detection"
HEIGHT, WIDTH = 60, 80

#: One object: its class, xmin, ymin, xmax, ymax, and what else its XML says.
VocObject = tuple[str, int, int, int, int, str]


def voc_xml(objects: Sequence[VocObject], *, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Write an annotation, an object on three lines: the first on line 3."""
    lines = [
        "<annotation>",
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for name, *corners, more in objects:
        box = "".join(
            f"<{corner}>{value}</{corner}>"
            for corner, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        lines += ["<object>", f"<name>{name}</name>{more}", f"<bndbox>{box}</bndbox></object>"]
    return "\n".join([*lines, "</annotation>"])


def write_voc(
    root: Path, images: Mapping[str, Sequence[VocObject]], *, year: int = 2007, split: str = "test"
) -> Path:
    """Write a year of VOC with images of noise; returns its folder."""
    folder = root / f"VOC{year}"
    for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, objects in images.items():
        (folder / "Annotations" / f"{name}.xml").write_text(voc_xml(objects))
        save_noise(folder / "JPEGImages" / f"{name}.jpg")
    list_file = folder / "ImageSets" / "Main" / f"{split}.txt"
    list_file.write_text("".join(f"{name}\n" for name in images))
    return folder


def write_coco(
    root: Path, annotations: Sequence[Mapping[str, Any]], *, count: int = 3, **more: Any
) -> tuple[Path, Path]:
    """Write a file of annotations, and images of noise with the ids 1, 2 and so on, backwards."""
    folder, file = root / "images", root / "annotations.json"
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {"id": number, "file_name": f"{number}.jpg", "height": HEIGHT, "width": WIDTH}
        for number in range(count, 0, -1)
    ]
    for entry in entries:
        save_noise(folder / entry["file_name"])
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "ant"}]
    numbered = [{"id": 100 + at, **each} for at, each in enumerate(annotations)]
    content = {"images": entries, "categories": categories, "annotations": numbered, **more}
    file.write_text(json.dumps(content))
    return folder, file


def save_noise(path: Path) -> None:
    """Write an image."""
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(path)


def annotated(
    image_id: int | str,
    boxes: Any,
    labels: Any,
    difficult: Any = None,
    *,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Annotated:
    """Make an image of arrays."""
    count = len(labels)
    return Annotated(
        path=Path(f"{image_id}.jpg"),
        image_id=image_id,
        height=size[0],
        width=size[1],
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        difficult=np.zeros(count, bool) if difficult is None else np.array(difficult, bool),
        crowd=np.zeros(count, bool),
    )


def set_of(images: Sequence[Annotated], *, rule: Any = "11 points") -> DetectionSet:
    """Make a set of VOC's classes."""
    return DetectionSet(
        images=tuple(images),
        classes=VOC_CLASSES,
        category_ids=tuple(range(1, 21)),
        name="some",
        source=Path("VOC2007"),
        digest="0" * 64,
        rule=rule,
    )


def equal_to_truth(data: DetectionSet) -> list[Detections]:
    """Find every object that is no crowd, with scores that differ."""
    return [
        Detections(
            image_id=image.image_id,
            boxes=image.boxes[~image.crowd],
            scores=np.linspace(0.9, 0.1, int((~image.crowd).sum()), dtype=np.float32),
            labels=image.labels[~image.crowd],
        )
        for image in data.images
    ]


def golden_voc() -> tuple[dict[str, DetectionSet], list[Detections], dict[str, Any]]:
    """Give sets of 100 real images of VOC, real detections on them, and what detectron2 says."""
    arrays = golden_arrays("voc-detections")
    images, found = [], []
    for place in range(len(arrays["set_of_image"])):
        mine = arrays["objects"][arrays["objects"][:, 6] == place]
        images.append(annotated(place, mine[:, :4], mine[:, 4], mine[:, 5]))
        these = arrays["found"][arrays["found"][:, 0] == place]
        boxes = these[:, 3:] - (1, 1, 0, 0)
        found.append(Detections(place, boxes, these[:, 2], these[:, 1].astype(np.int64)))
    parts = [
        [image for image, part in zip(images, arrays["set_of_image"], strict=True) if part == one]
        for one in range(3)
    ]
    sets = [set_of(parts[0]), set_of(parts[1]), set_of(parts[2], rule="area"), set_of(images)]
    sets.append(replace(sets[-1], rule="area"))
    return dict(zip(arrays["names"].tolist(), sets, strict=True)), found, arrays

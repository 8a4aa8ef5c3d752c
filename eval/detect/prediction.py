"""Objects found on the images of a set, by all ranks together."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilo.eval.detect.annotations import Annotated, DetectionSet
from dilo.eval.detect.detections import Detections
from dilo.eval.detect.masks import pasted_masks
from dilo.eval.detect.samples import TestImages
from dilo.eval.detect.weights import Detector
from dilo.pipeline.common.progress import Progress
from dilo.train.data.loader import make_loader, read_through
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import DTYPES
from dilo.train.runtime.options import RunOptions


@torch.no_grad()
def predict(
    detector: Detector,
    data: DetectionSet,
    machine: RunOptions,
    say: Callable[[str], None],
    stop: Callable[[], object],
) -> list[Detections]:
    """Find the objects of each image, each rank those of its share.

    Parameters
    ----------
    detector : Detector
        On the device.
    data : DetectionSet
        The images.
    machine : RunOptions
        Workers, precision.
    say : callable
        Takes lines for people.
    stop : callable
        Called before each image, on all ranks as often; what it raises ends the work.

    Returns
    -------
    list of Detections
        One an image, in their order; the same on all ranks.
    """
    ranks, device = distributed.world_size(), machine.device
    rounds = -(-len(data.images) // ranks)
    share = range(distributed.rank(), len(data.images), ranks)
    # One at a time: in a batch, the padding of the smaller images would change their features.
    loader = make_loader(
        TestImages(data, detector.recipe.data),
        [[number] for number in share],
        workers=machine.workers,
        pin=device.type == "cuda",
        collate_fn=list,
    )
    dtype = DTYPES[machine.precision]
    half = dtype is not torch.float32
    terminal = None if distributed.rank() == 0 else False
    detections: dict[int, Detections] = {}
    with Progress(len(share), "test images", say, terminal=terminal) as bar:
        for batch in read_through(loader):
            stop()
            number, pixels = batch[0]
            with torch.autocast(device.type, dtype, enabled=half):
                (result,) = detector.network([pixels.to(device, non_blocking=True).float()])
            detections[number] = _of_image(data.images[number], result, pixels.shape[1:])
            bar.advance(1, "")
    for _ in range(rounds - len(share)):
        stop()
    everyone: dict[int, Detections] = {}
    for part in distributed.gather_values(detections):
        everyone |= part
    return [everyone[number] for number in range(len(data.images))]


def _of_image(image: Annotated, result: dict[str, Tensor], shape: torch.Size) -> Detections:
    """Move what was found back to the pixels of the image; what is empty there is left out."""
    height, width = shape
    boxes = result["boxes"].float()
    ratios = boxes.new_tensor([image.width / width, image.height / height] * 2)
    limits = boxes.new_tensor([image.width, image.height] * 2)
    boxes = torch.minimum((boxes * ratios).clamp(min=0), limits)
    nonempty = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
    boxes = boxes[nonempty]
    masks = None
    if "masks" in result:
        masks = pasted_masks(result["masks"][nonempty], boxes, (image.height, image.width))
    return Detections(
        image_id=image.image_id,
        boxes=_array(boxes).astype(np.float32),
        scores=_array(result["scores"][nonempty].float()).astype(np.float32),
        labels=_array(result["labels"][nonempty]).astype(np.int64) - 1,
        masks=masks,
    )


def _array(values: Tensor) -> NDArray[np.generic]:
    """Bring values to the CPU, as an array."""
    array: NDArray[np.generic] = values.cpu().numpy()
    return array

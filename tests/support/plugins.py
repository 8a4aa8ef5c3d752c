"""Saliency methods with faults, installed as a package of somebody else's would be."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

_METHODS = '''
import ctypes, os, signal, time
import numpy as np
from dilo.pipeline.saliency import Method, Parameters

def brightness(image):
    return image.mean(axis=2) / 255

def is_marked(image):
    red, green, blue = image.reshape(-1, 3).mean(axis=0)
    return red > 200 and green < 60 and blue < 60

def crashing(image, parameters):
    """Die inside a library on a red image."""
    if is_marked(image):
        ctypes.string_at(0)
    return brightness(image)

def greedy(image, parameters):
    """Be killed on a red image, as when memory runs out."""
    if is_marked(image):
        os.kill(os.getpid(), signal.SIGKILL)
    return brightness(image)

def moody(image, parameters):
    """Be killed as often as there are files in a folder, whatever the image."""
    for token in os.scandir(os.environ["DILO_MOODS"]):
        os.remove(token)
        os.kill(os.getpid(), signal.SIGKILL)
    return brightness(image)

def slow(image, parameters):
    """Take a tenth of a second."""
    time.sleep(0.1)
    return brightness(image)

CRASHING, GREEDY, MOODY, SLOW = (
    Method(Parameters(side=16), function) for function in (crashing, greedy, moody, slow)
)
'''


def install(folder: Path) -> dict[str, str]:
    """Write the package, and give the environment in which it is installed."""
    folder.mkdir()
    (folder / "faulty.py").write_text(_METHODS)
    info = folder / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    names = ("crashing", "greedy", "moody", "slow")
    points = [f"{name} = faulty:{name.upper()}\n" for name in names]
    (info / "entry_points.txt").write_text("".join(["[dilo.saliency]\n", *points]))
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def mark(path: Path) -> None:
    """Write the red image that some of the methods cannot bear."""
    Image.fromarray(np.full((40, 40, 3), (255, 0, 0), np.uint8)).save(path)

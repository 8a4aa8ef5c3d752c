"""Packages of somebody else's, laid out as pip would install them; one has faults."""

import os
import tomllib
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

def light(image, parameters):
    """Take a hundredth of a second, and have nothing to compile or to load."""
    time.sleep(0.01)
    return brightness(image)

CRASHING, GREEDY, MOODY, SLOW, LIGHT = (
    Method(Parameters(side=16), function) for function in (crashing, greedy, moody, slow, light)
)
'''


def lay_out(folder: Path, name: str, code: str, pyproject: str) -> None:
    """Write a package of one module, with the entry points that its pyproject.toml names."""
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in tomllib.loads(pyproject)["project"]["entry-points"].items():
        lines += [f"[{group}]\n", *(f"{point} = {value}\n" for point, value in points.items())]
    (info / "entry_points.txt").write_text("".join(lines))


def install(folder: Path) -> dict[str, str]:
    """Write the package, and give the environment in which it is installed."""
    folder.mkdir()
    names = ("crashing", "greedy", "moody", "slow", "light")
    points = "".join(f'{name} = "faulty:{name.upper()}"\n' for name in names)
    lay_out(folder, "faulty", _METHODS, f'[project.entry-points."dilo.saliency"]\n{points}')
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def mark(path: Path) -> None:
    """Write the red image that some of the methods cannot bear."""
    Image.fromarray(np.full((40, 40, 3), (255, 0, 0), np.uint8)).save(path)

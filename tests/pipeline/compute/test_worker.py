"""Workers: nothing to compile, and one core each."""

import os
import subprocess
import sys

from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.masks.computed import precompile
from dilo.pipeline.saliency import MaskRecipe

#: Counts the loops that this process compiled or loaded, and of these what it had to compile.
COUNTING = """
import sys
from numba.core.dispatcher import Dispatcher
from dilo.pipeline.masks.computed import precompile
from dilo.pipeline.saliency import MaskRecipe, saliency

def loops():
    found = {id(f): f for m in list(sys.modules.values()) if 'dilo.pipeline' in m.__name__
             for f in vars(m).values() if isinstance(f, Dispatcher)}.values()
    return (sum(len(f.signatures) for f in found),
            sum(sum(f.stats.cache_misses.values()) for f in found))
"""


def counted(code, **variables):
    """Run a program that counts loops; give the words of its two streams."""
    environment = {k: v for k, v in os.environ.items() if k not in variables} | {
        name: value for name, value in variables.items() if value is not None
    }
    command = [sys.executable, "-c", COUNTING + code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.split(), ended.stderr


def test_compiling_ahead_leaves_nothing_to_compile_for_a_worker():
    image = "from skimage.data import chelsea\nsaliency(chelsea(), 'consensus')\n"
    ahead = "precompile(MaskRecipe.create('consensus'), sys.stderr.write)\n"
    (before, after), _ = counted(f"{ahead}print(loops()[0])\n{image}print(loops()[0])\n")
    assert int(before) > 5
    assert after == before
    (compiled,), _ = counted(f"{image}print(loops()[1])\n")
    assert int(compiled) == 0


def test_what_was_compiled_ahead_is_loaded_and_not_announced_again(tmp_path):
    ahead = "precompile(MaskRecipe.create('basnet', 'grabcut'), sys.stderr.write)\n"
    places = {"NUMBA_CACHE_DIR": None, "TMPDIR": str(tmp_path)}
    first, again = (counted(f"{ahead}print(loops()[1])\n", **places) for _ in range(2))
    assert int(first[0][0]) > 0
    assert "compiling" in first[1]
    assert again == (["0"], "")


def test_of_a_network_its_refinement_alone_is_compiled(monkeypatch):
    asked, said = [], []
    monkeypatch.setattr(MaskRecipe, "to_mask", lambda recipe, *given: asked.append(recipe.name))
    precompile(MaskRecipe.create("basnet"), said.append)
    assert (asked, said) == ([], [])
    precompile(MaskRecipe.create("basnet", "grabcut"), said.append)
    assert asked == ["basnet"]


def test_a_worker_keeps_to_one_core(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dilo.pipeline.compute.shard import ShardBuilder\n"
        "from dilo.pipeline.masks.computed import MethodSource\n"
        "from dilo.pipeline.images.source import open_images\n"
        "images = open_images(Path(sys.argv[1]))\n"
        "ShardBuilder(images, Path(sys.argv[2]), MethodSource()).build(0)\n"
        "import cv2, numba\n"
        "assert cv2.getNumThreads() == 1, cv2.getNumThreads()\n"
        "assert numba.get_num_threads() == 1, numba.get_num_threads()\n"
    )
    images = photograph_folder(tmp_path / "images", 2)
    create_mask_store(images, tmp_path / "store", recipe=MaskRecipe.create("rbd"), size=32)
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    subprocess.run(
        [sys.executable, "-c", code, images, tmp_path / "store"], env=environment, check=True
    )

"""Workers: nothing to compile, and one core each."""

import os
import subprocess
import sys

from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.masks.computed import precompile
from dilo.pipeline.saliency import MaskRecipe


def test_compiling_ahead_leaves_nothing_to_compile_for_a_worker(tmp_path):
    code = (
        "import sys\nfrom dilo.pipeline.masks.computed import precompile\n"
        "from dilo.pipeline.saliency import MaskRecipe, saliency\n"
        "import numpy as np\n"
        "from skimage.data import chelsea\n"
        "recipe = MaskRecipe.create('consensus')\n"
        "if sys.argv[1] == 'ahead': precompile(recipe, sys.stderr.write)\n"
        "else: saliency(chelsea(), 'consensus')\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "found = {id(f): f for m in list(sys.modules.values()) if 'dilo.pipeline' in m.__name__\n"
        "         for f in vars(m).values() if isinstance(f, Dispatcher)}.values()\n"
        "print(sum(sum(f.stats.cache_misses.values()) for f in found))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment["TMPDIR"] = str(tmp_path)
    command = [sys.executable, "-c", code]
    ahead, worker, again = (
        subprocess.run(
            [*command, when], env=environment, capture_output=True, text=True, check=True
        )
        for when in ("ahead", "worker", "ahead")
    )
    assert int(ahead.stdout) > 5
    assert "compiling" in ahead.stderr
    assert int(worker.stdout) == 0
    assert int(again.stdout) == 0
    assert again.stderr == ""


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
        "ShardBuilder(Path(sys.argv[1]), Path(sys.argv[2]), MethodSource()).build(0)\n"
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

"""A Ray cluster, where Ray is installed: it makes the store that one process makes."""

import subprocess
import sys

import pytest
from support.cli import invoke
from support.photographs import photograph_folder

from dilo.pipeline.cli import main

ray = pytest.importorskip("ray")


def test_a_ray_cluster_makes_the_same_store(tmp_path):
    images = photograph_folder(tmp_path / "images", 6)
    arguments = ["--images", str(images), "--size", "32", "--shard-size", "1", "--workers", "2"]
    invoke(main, "masks", *arguments, "--out", tmp_path / "alone")
    command = [sys.executable, "-m", "dilo.pipeline", "masks", *arguments, "--backend", "ray"]
    command += ["--out", str(tmp_path / "cluster")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "6 of 6 images, 0 failed" in ran.stdout
    alone, cluster = (
        {path.name: path.read_bytes() for path in (tmp_path / store).iterdir()}
        for store in ("alone", "cluster")
    )
    assert len(alone) == 8
    assert cluster == alone

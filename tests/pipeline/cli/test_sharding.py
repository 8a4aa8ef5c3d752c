"""What every command that makes shards shares, when a run ends before its work does."""

import errno
import subprocess
import sys
from pathlib import Path

from support.cli import invoke
from support.photographs import photograph_folder

from dilo.pipeline.cli import main

LEAVE = """
import sys
from pathlib import Path
from dilo.pipeline.common.files import temporary_name
part = temporary_name(Path(sys.argv[1]))
part.touch()
print(part)
"""


def test_what_a_killed_worker_was_writing_goes_when_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    images, store, left = photograph_folder(tmp_path / "images", 6), tmp_path / "store", []

    def full(path, rows, plan):
        command = [sys.executable, "-c", LEAVE, str(path)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        left.append(Path(said.strip()))
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("dilo.pipeline.compute.shard.write_shard", full)
    options = ("--size", 32, "--workers", 1, "--backend", "threading")
    refused = invoke(main, "masks", "--images", images, "--out", store, *options, status=3)
    assert "No space left on device" in refused.stderr
    assert left
    assert not [path for path in left if path.exists()]

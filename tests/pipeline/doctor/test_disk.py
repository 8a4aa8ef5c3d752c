"""A disk judged by facts, and by what the kernel says of it."""

from pathlib import Path

import pytest

from dilo.pipeline.common.disk import nearest_existing
from dilo.pipeline.doctor.disk import Mount, file_system, folder, mount_of, space, temporary

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/a /data nfs4 rw,vers=4.2 0 0
none /data/with\\040blank tmpfs ro,size=8m 0 0
/dev/sdb /data2 xfs rw 0 0
"""


def test_what_is_not_there_is_judged_by_the_nearest_folder_above(tmp_path):
    assert nearest_existing(tmp_path / "a" / "b") == tmp_path
    (tmp_path / "file").touch()
    assert nearest_existing(tmp_path / "file" / "store") == tmp_path / "file"
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert nearest_existing(tmp_path / "circle" / "store") == tmp_path


@pytest.mark.parametrize(
    ("place", "point", "kind"),
    [
        ("/home", "/", "ext4"),
        ("/data", "/data", "nfs4"),
        ("/data/masks", "/data", "nfs4"),
        ("/data2/masks", "/data2", "xfs"),
        ("/data/with blank/x", "/data/with blank", "tmpfs"),
    ],
)
def test_the_deepest_mount_above_a_place_is_its_file_system(place, point, kind):
    found = mount_of(Path(place), MOUNTS)
    assert (found.point, found.kind) == (Path(point), kind)


def test_the_last_of_several_mounts_on_a_point_shows():
    assert mount_of(Path("/x"), MOUNTS + "none / overlay rw 0 0\n").kind == "overlay"


def test_kinds_of_disk_and_what_to_know_of_them():
    assert file_system(None).level == "ok"
    assert file_system(Mount(Path("/"), "ext4", ("rw",))).advice == ""
    assert "no file locks" in file_system(Mount(Path("/"), "lustre", ("rw",))).advice
    assert "container" in file_system(Mount(Path("/"), "overlay", ("rw",))).advice
    assert "memory" in file_system(Mount(Path("/"), "tmpfs", ("rw",))).advice
    assert Mount(Path("/"), "fuse.glusterfs", ()).network == "fuse.glusterfs"
    assert Mount(Path("/"), "btrfs", ()).network is None


def test_a_folder_that_cannot_be_written_breaks_and_the_reason_decides_the_advice(tmp_path):
    disk = Mount(Path("/mnt"), "ext4", ("rw",))
    assert folder(tmp_path, tmp_path, True, disk).level == "ok"
    assert "does not exist yet" in folder(tmp_path / "new", tmp_path, True, disk).found
    refused = folder(tmp_path, tmp_path, False, disk)
    assert refused.level == "breaks"
    assert "chmod" in refused.advice
    read_only = folder(tmp_path, tmp_path, False, Mount(Path("/mnt"), "ext4", ("ro",)))
    assert "remount,rw /mnt" in read_only.advice
    (tmp_path / "file").touch()
    assert folder(tmp_path / "file/s", tmp_path / "file", True, disk).found.endswith("is a file")


def test_space_is_counted_in_masks_and_files():
    plenty = space(20_000_000_000, None)
    assert (plenty.level, plenty.advice) == ("ok", "")
    assert plenty.found == "20.0 GB, room for 2,020,202 masks of size 224"
    some = space(1_000_000_000, 10**6)
    assert some.level == "ok"
    assert "1,281,167 need 12.7 GB" in some.advice
    assert space(8_000_000, 10**6).level == "breaks"
    few = space(20_000_000_000, 100)
    assert few.level == "breaks"
    assert "but 100 files" in few.found


def test_the_folder_for_temporary_files():
    assert temporary(Path("/tmp"), None, 10**9).advice == ""
    assert temporary(Path("/tmp"), "/tmp/", 10**9).advice == ""
    assert "ignored" in temporary(Path("/tmp"), "/nowhere", 10**9).advice
    assert temporary(Path("/tmp"), None, 10**6).level == "slow"
    assert temporary(None, None, 0).level == "breaks"

"""Speeds: measured until the time is up, judged by what cores need."""

import itertools

from dilo.pipeline.doctor.speed import (
    PUBLISH_FILES,
    READ_IMAGES,
    WRITE_BYTES,
    publishing,
    read_speed,
    sample_images,
    time_publishing,
    time_reading,
    time_writing,
    write_speed,
)


def clock(step):
    """Tick by so many seconds whenever it is asked."""
    return itertools.count(0, step).__next__


def test_writing_ends_with_the_file_or_with_patience(tmp_path):
    count, seconds = time_writing(tmp_path / "file", clock(0.001))
    assert count == WRITE_BYTES == (tmp_path / "file").stat().st_size
    assert seconds > 0
    count, _ = time_writing(tmp_path / "file", clock(1))
    assert 0 < count < WRITE_BYTES


def test_publishing_is_the_mean_of_those_done(tmp_path):
    assert time_publishing(tmp_path, clock(0.001)) < 0.01
    assert time_publishing(tmp_path, clock(10)) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]
    assert PUBLISH_FILES > 1


def test_images_are_found_at_some_depth_without_hidden_ones(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for name in ("1.JPEG", "2.png", "notes.txt", ".hidden.png"):
        (folder / name).write_bytes(b"1234")
    (tmp_path / "folder.png").mkdir()
    found = sample_images(tmp_path, frozenset((".jpeg", ".png")))
    assert sorted(path.name for path in found) == ["1.JPEG", "2.png"]
    count, _, size = time_reading(found)
    assert (count, size) == (2, 8)
    assert sample_images(tmp_path, frozenset((".png",)), clock(100)) == []


def test_no_more_images_are_read_than_needed(tmp_path):
    for i in range(READ_IMAGES + 5):
        (tmp_path / f"{i}.png").write_bytes(b"1")
    found = sample_images(tmp_path, frozenset((".png",)))
    assert len(found) == READ_IMAGES
    assert time_reading(found, clock(1))[0] < READ_IMAGES


def test_slow_disks_are_told_from_fast_ones():
    assert write_speed(16_000_000, 0.1).found == "160 MB/s, flushed"
    assert write_speed(16_000_000, 4.0).level == "slow"
    assert publishing(0.004).level == "ok"
    assert publishing(2.0).level == "slow"
    assert read_speed(10, 0.1, 1_000_000).found == "10.0 ms per image, 10 MB/s"
    assert read_speed(10, 1.0, 1_000_000).level == "slow"
    assert read_speed(0, 0.0, 0).level == "ok"

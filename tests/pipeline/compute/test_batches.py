"""Rows in batches: in order, whatever the threads; what fails; how long the device waits."""

import threading
import time

import pytest
from support.fakes import ticking

from dilo.pipeline.compute.batches import Batching, make_batched
from dilo.pipeline.compute.failures import Attempts
from dilo.pipeline.errors import DiloError
from dilo.pipeline.store.maskrows import MaskRows


class Device:
    """Adds up what it is given, and can be made to fail."""

    def __init__(self, rows, size=3, threads=2, *, room=None, bad=(), slow=()):
        self.rows, self.room, self.bad, self.slow = rows, room, bad, slow
        self.batches, self.finished, self.threads = [], {}, set()
        self.batching = Batching(
            size, threads, self.prepare, self.compute, self.finish, lambda image: 0
        )

    def prepare(self, row, content):
        if row in self.slow:
            time.sleep(0.05)
        if content == b"unfit":
            raise ValueError("unfit")
        return len(content)

    def compute(self, rows, prepared):
        self.batches.append(list(zip(rows, prepared, strict=True)))
        if self.room is not None and len(rows) > self.room:
            raise MemoryError("full")
        if self.bad == "all" or any(value in self.bad for value in prepared):
            raise FloatingPointError("bad")
        return [10 * value for value in prepared]

    def finish(self, row, prepared, made):
        self.threads.add(threading.current_thread())
        if made == 50:
            raise ArithmeticError("fifty")
        self.finished[row] = (prepared, made)


def made(tmp_path, contents, broken=None, todo=None, **options):
    """Make rows of files of these contents."""
    names = [f"{row}.jpg" for row in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    attempts = Attempts(tmp_path, "net", MaskRows.blank(names, 4), broken or {})
    device = Device(attempts.rows, **options)
    todo = range(len(contents)) if todo is None else todo
    device.pace = make_batched(attempts, device.batching, todo, clock=ticking(1.0))
    return device


ONES = [b"x" * (row + 1) for row in range(8)]


@pytest.mark.parametrize("threads", [1, 2, 9])
@pytest.mark.parametrize("slow", [(), (0,), (1, 4)])
def test_batches_are_in_the_order_of_rows_whichever_thread_is_first(tmp_path, threads, slow):
    device = made(tmp_path, [b"1", b"22", b"333", b"22", b"1", b"22"], threads=threads, slow=slow)
    assert device.batches == [[(0, 1), (1, 2), (2, 3)], [(3, 2), (4, 1), (5, 2)]]
    assert device.finished == {
        0: (1, 10),
        1: (2, 20),
        2: (3, 30),
        3: (2, 20),
        4: (1, 10),
        5: (2, 20),
    }
    assert threading.current_thread() not in device.threads


@pytest.mark.parametrize("count", [0, 1, 3, 4, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_every_row_is_made_once_however_many_are_taken_at_once(tmp_path, count, size):
    device = made(tmp_path, [b"x"] * count, size=size)
    rows = [row for batch in device.batches for row, _ in batch]
    assert rows == [*range(count), *[count - 1] * (-count % size)]
    assert sorted(device.finished) == list(range(count))
    assert {len(batch) for batch in device.batches} <= {size}


def test_only_rows_that_are_to_do_are_made(tmp_path):
    assert sorted(made(tmp_path, ONES[:4], todo=[1, 3]).finished) == [1, 3]


def test_what_fails_beside_the_device_is_its_row_s_error_and_leaves_no_gap(tmp_path):
    contents = [None, b"1", b"unfit", b"22", b"55555", b"1"]
    device = made(tmp_path, contents, broken={5: "it kills"})
    assert device.batches == [[(1, 1), (3, 2), (4, 5)]]
    assert sorted(device.finished) == [1, 3]
    assert device.rows.error == [
        "No such file or directory",
        "",
        "net failed: ValueError: unfit",
        "",
        "net failed: ArithmeticError: fifty",
        "it kills",
    ]


@pytest.mark.parametrize("size", [5, 8])
def test_of_a_batch_that_fails_each_image_is_tried_down_to_itself(tmp_path, size):
    device = made(tmp_path, [b"1", b"22", b"1", b"1", b"22"], size=size, bad=(2,))
    assert sorted(device.finished) == [0, 2, 3]
    assert device.rows.error[1] == device.rows.error[4] == "net failed: FloatingPointError: bad"
    assert device.finished[0] == (1, 10)


def test_a_batch_that_finds_no_room_is_made_in_parts(tmp_path):
    device = made(tmp_path, [b"1"] * 8, size=8, room=2)
    assert [len(batch) for batch in device.batches] == [8, 4, 2, 2, 4, 2, 2]
    assert len(device.finished) == 8
    assert not any(device.rows.error)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("options", [{"bad": "all"}, {"room": 0}])
def test_a_device_that_takes_not_even_a_blank_image_stops_the_run(tmp_path, count, options):
    with pytest.raises(
        DiloError, match=r"each image, and for a blank one: .*Error: .*--batch less than 3 if memo"
    ):
        made(tmp_path, [b"1"] * count, **options)


def test_images_that_all_fail_are_at_fault_where_a_blank_one_does_not(tmp_path):
    device = made(tmp_path, [b"22", b"22", b"22"], bad=(2,))
    assert device.rows.error == ["net failed: FloatingPointError: bad"] * 3


def test_every_batch_has_one_shape_also_the_last_and_that_of_a_row_alone(tmp_path):
    device = made(tmp_path, [b"1", b"22", b"333", b"4444"])
    assert device.batches[1] == [(3, 4), (3, 4), (3, 4)]
    assert sorted(device.finished) == [0, 1, 2, 3]
    device.batching.fill(0, b"1")
    assert device.batches[2] == [(0, 1), (0, 1), (0, 1)]
    assert device.finished[0] == (1, 10)


def test_what_is_no_image_s_fault_ends_it_at_once(tmp_path):
    with pytest.raises(DiloError, match="is the disk mounted"):
        made(tmp_path / "nowhere", [None] * 50)


def test_time_that_the_device_does_not_compute_is_waiting(tmp_path):
    pace = made(tmp_path, [b"1"] * 6).pace  # the clock goes on by a second when it is asked
    assert (pace.images, pace.seconds, pace.waited) == (6, 5.0, 3.0)


def test_no_more_is_read_ahead_than_the_device_will_soon_take(tmp_path):
    begun, ahead = [], []
    names = [f"{row}.jpg" for row in range(60)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    attempts = Attempts(tmp_path, "net", MaskRows.blank(names, 4))

    def compute(rows, prepared):
        ahead.append(len(begun) - rows[0])
        return prepared

    def prepare(row, content):
        begun.append(row)
        return row

    fill = Batching(4, 3, prepare, compute, lambda *made: None, lambda image: image)
    make_batched(attempts, fill, range(60))
    assert max(ahead) <= 4 + 2 * 4 + 3

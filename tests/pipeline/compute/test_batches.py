"""Rows in batches: in order, whatever the threads; what fails; how long the device waits."""

import threading
import time

import numpy as np
import pytest
from support.fakes import ticking

from dilo.pipeline.compute import batches
from dilo.pipeline.compute.batches import BatchProcessor, process_in_batches
from dilo.pipeline.compute.failures import FailureRecorder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.saliency.networkmasks import NetworkInput
from dilo.pipeline.store.maskrows import MaskRows


class Network:
    """Multiplies how long files are by ten, and can be made to fail; files are no images here."""

    def __init__(self, size=3, threads=2, *, in_flight=1, room=None, bad=(), slow=()):
        self.size, self.workers, self.in_flight = size, threads, in_flight
        self.room, self.bad, self.slow = room, bad, slow
        self.batches, self.finished, self.threads = [], {}, set()

    def prepare(self, pixels):
        if pixels.shape[0] in self.slow:
            time.sleep(0.05)
        return NetworkInput(np.full((1, 1, 3), pixels.shape[0], np.uint8), None)

    def maps(self, prepared, paths):
        values = [int(image.pixels.flat[0]) for image in prepared]
        self.batches.append([(int(path[:-4]), v) for path, v in zip(paths, values, strict=True)])
        if self.room is not None and len(paths) > self.room:
            raise MemoryError("full")
        if self.bad == "all" or any(value in self.bad for value in values):
            raise FloatingPointError("bad")
        return np.stack([np.full((4, 4), 10 * value, np.float32) for value in values])

    def finish(self, prepared, found, size):
        self.threads.add(threading.current_thread())
        if found[0, 0] == 50:
            raise ArithmeticError("fifty")
        return found.astype(np.uint8)


def decode(content):
    """Give an image that is as high as its file is long."""
    if content == b"unfit":
        raise ValueError("unfit")
    return np.zeros((len(content), 1, 3), np.uint8)


def processor(network, rows):
    return BatchProcessor(
        network,
        rows,
        rows.path,
        network.size,
        network.workers,
        threading.Semaphore(network.in_flight),
        network.in_flight,
    )


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Make rows of files of given contents."""
    monkeypatch.setattr(batches, "decode_content", decode)

    def make(contents, skip=None, todo=None, folder=tmp_path, **options):
        names = [f"{row}.jpg" for row in range(len(contents))]
        for name, content in zip(names, contents, strict=True):
            if content is not None:
                (folder / name).write_bytes(content)
        attempts = FailureRecorder(
            FolderSource(folder), "net", MaskRows.empty(names, 4), skip or {}
        )
        network = Network(**options)
        network.rows = attempts.rows
        network.batch = processor(network, attempts.rows)
        todo = range(len(contents)) if todo is None else todo
        network.pace = process_in_batches(attempts, network.batch, todo, clock=ticking(1.0))
        filled = np.flatnonzero(attempts.rows.masks.any(axis=(1, 2))).tolist()
        shape, masks = attempts.rows.shape, attempts.rows.masks
        network.finished = {row: (int(shape[row, 0]), int(masks[row, 0, 0])) for row in filled}
        return network

    return make


ONES = [b"x" * (row + 1) for row in range(8)]


@pytest.mark.parametrize("threads", [1, 2, 9])
@pytest.mark.parametrize("slow", [(), (1,), (2,)])
def test_batches_are_in_the_order_of_rows_whichever_thread_is_first(made, threads, slow):
    device = made([b"1", b"22", b"333", b"22", b"1", b"22"], threads=threads, slow=slow)
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
@pytest.mark.parametrize("in_flight", [1, 2])
def test_every_row_is_made_once_however_many_are_taken_at_once(made, count, size, in_flight):
    device = made([b"x"] * count, size=size, in_flight=in_flight)
    rows = [row for batch in sorted(device.batches) for row, _ in batch]
    assert rows == [*range(count), *[count - 1] * (-count % size)]
    assert sorted(device.finished) == list(range(count))
    assert {len(batch) for batch in device.batches} <= {size}


def test_only_rows_that_are_to_do_are_made(made):
    assert sorted(made(ONES[:4], todo=[1, 3]).finished) == [1, 3]


def test_what_fails_beside_the_device_is_its_row_s_error_and_leaves_no_gap(made):
    contents = [None, b"1", b"unfit", b"22", b"55555", b"1"]
    device = made(contents, skip={5: "it kills"})
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
def test_of_a_batch_that_fails_each_image_is_tried_down_to_itself(made, size):
    device = made([b"1", b"22", b"1", b"1", b"22"], size=size, bad=(2,))
    assert sorted(device.finished) == [0, 2, 3]
    assert device.rows.error[1] == device.rows.error[4] == "net failed: FloatingPointError: bad"
    assert device.finished[0] == (1, 10)


def test_a_batch_that_finds_no_room_is_made_in_parts(made):
    device = made([b"1"] * 8, size=8, room=2)
    assert [len(batch) for batch in device.batches] == [8, 4, 2, 2, 4, 2, 2]
    assert len(device.finished) == 8
    assert not any(device.rows.error)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("options", [{"bad": "all"}, {"room": 0}])
def test_a_device_that_takes_not_even_a_blank_image_stops_the_run(made, count, options):
    with pytest.raises(
        DiloError, match=r"each image, and for a blank one: .*Error: .*--batch less than 3 if memo"
    ):
        made([b"1"] * count, **options)


def test_images_that_all_fail_are_at_fault_where_a_blank_one_does_not(made):
    device = made([b"22", b"22", b"22"], bad=(2,))
    assert device.rows.error == ["net failed: FloatingPointError: bad"] * 3


def test_every_batch_has_one_shape_also_the_last_and_that_of_a_row_alone(made):
    device = made([b"1", b"22", b"333", b"4444"])
    assert device.batches[1] == [(3, 4), (3, 4), (3, 4)]
    assert sorted(device.finished) == [0, 1, 2, 3]
    device.batch.process(0, b"1")
    assert device.batches[2] == [(0, 1), (0, 1), (0, 1)]
    assert device.rows.masks[0].max() == 10


def test_what_is_no_image_s_fault_ends_it_at_once(made, tmp_path):
    with pytest.raises(DiloError, match="is the disk mounted"):
        made([None] * 50, folder=tmp_path / "nowhere")


def test_time_that_the_device_does_not_compute_is_waiting(made):
    pace = made([b"1"] * 6).pace  # the clock goes on by a second when it is asked
    assert (pace.images, pace.seconds, pace.idle_seconds) == (6, 5.0, 3.0)


def test_a_batch_is_given_to_the_device_while_another_computes_and_their_time_counts_once(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(batches, "decode_content", decode)
    names = [f"{row}.jpg" for row in range(4)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    recorder = FailureRecorder(FolderSource(tmp_path), "net", MaskRows.empty(names, 4))
    network, both = Network(2, in_flight=2), threading.Barrier(2, timeout=30)
    maps = network.maps

    def together(prepared, paths):
        both.wait()  # for ever, if one were over before the next began
        return maps(prepared, paths)

    network.maps = together
    batch = processor(network, recorder.rows)
    pace = process_in_batches(recorder, batch, range(4), clock=ticking(1.0))
    assert not any(recorder.rows.error)
    # Of the clock's looks the first and the last are not the device's: four between them are.
    assert (pace.seconds, pace.idle_seconds) == (5.0, 2.0)


def test_no_more_is_read_ahead_than_the_device_will_soon_take(tmp_path, monkeypatch):
    begun, ahead = [], []
    names = [f"{row}.jpg" for row in range(60)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(batches, "decode_content", lambda content: begun.append(1) or decode(b"x"))
    attempts = FailureRecorder(FolderSource(tmp_path), "net", MaskRows.empty(names, 4))
    network = Network(4, 3)
    maps = network.maps
    network.maps = lambda prepared, paths: (
        ahead.append(len(begun) - int(paths[0][:-4])) or maps(prepared, paths)
    )
    process_in_batches(attempts, processor(network, attempts.rows), range(60))
    assert max(ahead) <= 4 + 2 * 4 + 3

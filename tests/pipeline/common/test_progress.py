"""Progress: lines for a log every so often, with what is left."""

import threading

from dilo.pipeline.common.progress import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_every_thirty_seconds():
    clock, lines = Clock(), []
    with Progress(100, "images", lines.append, terminal=False, clock=clock) as progress:
        for _ in range(10):
            clock.now += 10
            progress.advance(10, "1 failed")
    assert lines == [
        "30/100 images, 1.0/s, 0:01:10 left, 1 failed",
        "60/100 images, 1.0/s, 0:00:40 left, 1 failed",
        "90/100 images, 1.0/s, 0:00:10 left, 1 failed",
    ]


def test_nothing_done_leaves_an_unknown_time():
    assert "unknown time left" in Progress(5, "images", print, terminal=False).line()


def test_a_terminal_gets_a_bar(capsys):
    lines = []
    with Progress(4, "images", lines.append, terminal=True) as progress:
        progress.advance(4, "0 failed")
    assert "4/4" in capsys.readouterr().err
    assert not lines


def test_a_log_gets_lines_also_while_nothing_is_finished():
    lines, spoken = [], threading.Event()

    def say(line):
        lines.append(line)
        spoken.set()

    with Progress(5, "images", say, terminal=False, steady=True, period=0.01):
        assert spoken.wait(timeout=30)
    assert lines[0] == "0/5 images, 0.0/s, unknown time left"

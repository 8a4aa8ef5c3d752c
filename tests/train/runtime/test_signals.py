"""Signals: noted, answered later; a second Ctrl-C is not to be refused."""

import os
import signal

import pytest

from dilo.train.runtime import signals
from dilo.train.runtime.signals import SIGNALS, StopSignal


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_the_handler_of_before_comes_back(number):
    before = signal.getsignal(number)
    with StopSignal() as noted:
        assert noted.name == ""
        os.kill(os.getpid(), number)
        assert noted.name == number.name
    assert signal.getsignal(number) == before


def test_the_first_is_the_one_that_is_told(monkeypatch):
    with StopSignal() as noted:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert noted.name == "SIGUSR1"


def test_a_second_interrupt_ends_at_once_unless_it_is_the_first_one_passed_on(monkeypatch):
    with StopSignal():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        monkeypatch.setattr(signals, "PATIENCE", -1.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

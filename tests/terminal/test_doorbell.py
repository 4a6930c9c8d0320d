"""Checks what ends a wait for the world outside."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from procession.attachment import Doorbell

LONG_S = 20.0


@pytest.fixture
def signalled() -> Iterator[None]:
    """SIGUSR2 does nothing but be heard."""
    before = signal.signal(signal.SIGUSR2, lambda _number, _frame: None)
    yield
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.usefixtures("signalled")
def test_a_signal_ends_a_wait_whenever_it_comes() -> None:
    """Its handler may run after the wait alone."""
    with Doorbell() as doorbell:
        os.kill(os.getpid(), signal.SIGUSR2)
        before_s = time.monotonic()
        assert doorbell.wait(LONG_S) == []
        assert time.monotonic() - before_s < LONG_S / 2
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.usefixtures("signalled")
def test_who_hears_of_signals_already_goes_on_to() -> None:
    reading_end, writing_end = os.pipe()
    os.set_blocking(writing_end, False)
    signal.set_wakeup_fd(writing_end)
    try:
        with Doorbell() as doorbell:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert os.read(reading_end, 1) == bytes((signal.SIGUSR2,))
            doorbell.ring()
            assert doorbell.wait(LONG_S) == []
    finally:
        assert signal.set_wakeup_fd(-1) == writing_end
        os.close(reading_end)
        os.close(writing_end)

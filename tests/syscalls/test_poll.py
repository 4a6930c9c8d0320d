"""poll, select, epoll_wait: deadlines, what is written back, and what a signal does."""

from __future__ import annotations

from struct import pack, unpack

import pytest

from procession.abi.errno import (
    EBADF,
    EFAULT,
    EINTR,
    EINVAL,
    EPERM,
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
)
from procession.fs.file import O_RDONLY, POLLHUP, POLLIN, POLLNVAL, POLLOUT
from procession.fs.wait_queue import Sleep
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.task import RESTORE_MASK, SIGNAL_PENDING
from procession.kernel.time.costs import POLLED_FILE_NS
from tests.kernel.process_ids import pid_numbered
from tests.syscalls.conftest import END, Caller

SIGUSR1 = 10
SECOND_NS = 10**9
STICKY_TIMEOUTS = 0x4000000


def descriptors(*wanted: tuple[int, int]) -> bytes:
    """An array of struct pollfd."""
    return b"".join(pack("<ihh", fd, events, -1) for fd, events in wanted)


def results(call: Caller, address: int, count: int) -> list[int]:
    """The revents of an array of struct pollfd."""
    return [unpack("<ihh", call.read(address + 8 * position, 8))[2] for position in range(count)]


def signal(call: Caller) -> None:
    """A signal with a handler is pending."""
    call.handle(SIGUSR1)
    send_signal(call.kernel, call.task, SigInfo(SIGUSR1, 0, sender=pid_numbered(1)))
    assert call.task.work & SIGNAL_PENDING


def test_poll_reports_each_descriptor(call: Caller) -> None:
    reader, writer = call.pipe()
    path = call("open", b"/file\0", 0o10000000)
    array = call.put(descriptors((reader, POLLIN), (writer, POLLOUT), (-1, POLLIN), (99, POLLIN), (path, 1)))
    assert call("poll", array, 5, -1) == 3
    assert results(call, array, 5) == [0, POLLOUT, 0, POLLNVAL, POLLNVAL]
    call("close", writer)
    assert call("poll", call.put(descriptors((reader, 0))), 1, -1) == 1


def test_poll_ends_at_its_deadline(call: Caller) -> None:
    reader, _ = call.pipe()
    array = call.put(descriptors((reader, POLLIN)))
    assert call("poll", array, 1, 0) == 0
    start_ns = call.kernel.clock.now_ns
    with pytest.raises(Sleep) as caught:
        call("poll", array, 1, 1500)
    assert caught.value.deadline_ns == start_ns + 1_500_000_000
    assert len(caught.value.queues) == 1
    call.pass_time(SECOND_NS)
    with pytest.raises(Sleep) as caught:
        call.again()
    assert caught.value.deadline_ns == start_ns + 1_500_000_000
    call.pass_time(SECOND_NS)
    assert call.again() == 0
    assert results(call, array, 1) == [0]


def test_poll_goes_on_after_a_signal_with_the_time_that_is_left(call: Caller) -> None:
    reader, writer = call.pipe()
    array = call.put(descriptors((reader, POLLIN)))
    for timeout in (1500, -1):
        with pytest.raises(Sleep) as caught:
            call("poll", array, 1, timeout)
        assert caught.value.interrupted is ERESTART_RESTARTBLOCK
        with pytest.raises(Sleep) as again:
            call("restart_syscall")
        assert again.value.deadline_ns == caught.value.deadline_ns
    call("write", writer, b"x", 1)
    assert call("restart_syscall") == 1


def test_poll_checks_its_arguments(call: Caller) -> None:
    with pytest.raises(EINVAL):
        call("poll", 0, 1025, 0)
    with pytest.raises(EFAULT):
        call("poll", END, 1, 0)
    with pytest.raises(Sleep) as caught:
        call("poll", 0, 0, -1)
    assert caught.value.queues == ()
    assert caught.value.deadline_ns is None


def test_ppoll_tells_the_time_that_is_left(call: Caller) -> None:
    reader, writer = call.pipe()
    array, timeout = call.put(descriptors((reader, POLLIN))), call.put(pack("<qq", 5, 500))
    with pytest.raises(Sleep) as caught:
        call("ppoll", array, 1, timeout, 0, 0)
    assert caught.value.interrupted is ERESTARTNOHAND
    call.pass_time(2 * SECOND_NS)
    call("write", writer, b"x", 1)
    slept = call.slept
    call.slept = slept
    assert call.again() == 1
    assert unpack("<qq", call.read(timeout, 16)) == (2, SECOND_NS + 500 - 2 * POLLED_FILE_NS)


def test_a_signal_leaves_the_time_for_the_restart(call: Caller) -> None:
    reader, _ = call.pipe()
    array, timeout = call.put(descriptors((reader, POLLIN))), call.put(pack("<qq", 5, 0))
    with pytest.raises(Sleep):
        call("ppoll", array, 1, timeout, 0, 0)
    call.pass_time(2 * SECOND_NS)
    signal(call)
    with pytest.raises(ERESTARTNOHAND):
        call.again()
    assert unpack("<qq", call.read(timeout, 16)) == (2, SECOND_NS - 2 * POLLED_FILE_NS)
    call.task.personality = STICKY_TIMEOUTS
    with pytest.raises(EINTR):
        call("ppoll", array, 1, timeout, 0, 0)
    assert unpack("<qq", call.read(timeout, 16)) == (2, SECOND_NS - 2 * POLLED_FILE_NS)


def test_a_mask_for_the_call_alone(call: Caller) -> None:
    reader, _ = call.pipe()
    array, mask = call.put(descriptors((reader, POLLIN))), call.put(pack("<Q", 1 << SIGUSR1 - 1))
    signal(call)
    with pytest.raises(Sleep):
        call("ppoll", array, 1, 0, mask, 8)
    assert call.task.work & RESTORE_MASK
    assert call.task.blocked == 1 << SIGUSR1 - 1
    with pytest.raises(EINVAL):
        call("ppoll", array, 1, 0, mask, 16)


@pytest.mark.parametrize("timeout", [(-1, 0), (0, -1), (0, SECOND_NS)])
def test_bad_timeouts(call: Caller, timeout: tuple[int, int]) -> None:
    with pytest.raises(EINVAL):
        call("ppoll", 0, 0, pack("<qq", *timeout), 0, 0)
    with pytest.raises(EINVAL):
        call("pselect6", 0, 0, 0, 0, pack("<qq", *timeout), 0)
    with pytest.raises(EINVAL):
        call("epoll_pwait2", 0, 0, 1, pack("<qq", *timeout), 0, 0)


def bits(*numbers: int, size: int = 128) -> bytes:
    """An fd_set."""
    return sum(1 << number for number in numbers).to_bytes(size, "little")


def test_select_writes_the_three_sets(call: Caller) -> None:
    reader, writer = call.pipe()
    readable, writable = call.put(bits(reader, writer)), call.put(bits(reader, writer))
    exceptional = call.put(bits(reader))
    timeout = call.put(pack("<qq", 1, 2_500_000))
    assert call("select", 10, readable, writable, exceptional, timeout) == 1
    assert call.read(readable, 8) == bits(size=8)
    assert call.read(writable, 8) == bits(writer, size=8)
    assert call.read(exceptional, 8) == bits(size=8)
    seconds, microseconds = unpack("<qq", call.read(timeout, 16))
    # The call itself has taken some.
    assert (seconds, microseconds // 10) == (3, 49_999)
    call("close", writer)
    assert call("select", 10, bits(reader), 0, 0, 0) == 1


def test_select_ignores_bits_beyond_the_table(call: Caller) -> None:
    reader, writer = call.pipe()
    call("write", writer, b"x", 1)
    readable = call.put(bits(reader, 300))
    assert call("select", 1024, readable, 0, 0, 0) == 1
    assert call.read(readable, 8) == bits(reader, size=8)
    with pytest.raises(EBADF):
        call("select", 60, bits(reader, 40), 0, 0, 0)
    with pytest.raises(EINVAL):
        call("select", -1, 0, 0, 0, 0)


def test_select_sleeps_and_is_interrupted(call: Caller) -> None:
    reader, _ = call.pipe()
    readable, timeout = call.put(bits(reader)), call.put(pack("<qq", 5, 0))
    with pytest.raises(Sleep) as caught:
        call("select", 10, readable, 0, 0, timeout)
    assert caught.value.interrupted is ERESTARTNOHAND
    call.pass_time(SECOND_NS + 500_000)
    signal(call)
    with pytest.raises(ERESTARTNOHAND):
        call.again()
    seconds, microseconds = unpack("<qq", call.read(timeout, 16))
    assert (seconds, microseconds // 10_000) == (3, 99)
    assert call.read(readable, 8) == bits(reader, size=8)


def test_select_at_its_deadline(call: Caller) -> None:
    reader, _ = call.pipe()
    readable = call.put(bits(reader))
    assert call("select", 10, readable, 0, 0, pack("<qq", 0, 0)) == 0
    assert call.read(readable, 8) == bits(size=8)


def event(events: int, data: int) -> bytes:
    """A struct epoll_event."""
    return pack("<IQ", events, data)


def test_epoll_wait(call: Caller) -> None:
    instance = call("epoll_create1", 0o2000000)
    reader, writer = call.pipe()
    call("epoll_ctl", instance, 1, reader, event(POLLIN, 77))
    array = call.space(48)
    assert call("epoll_wait", instance, array, 4, 0) == 0
    with pytest.raises(Sleep) as caught:
        call("epoll_wait", instance, array, 4, 1000)
    assert caught.value.interrupted is EINTR
    call("write", writer, b"x", 1)
    assert call.again() == 1
    assert unpack("<IQ", call.read(array, 12)) == (POLLIN, 77)
    call("close", writer)
    assert call("epoll_wait", instance, array, 4, 0) == 1
    assert unpack("<IQ", call.read(array, 12)) == (POLLIN | POLLHUP, 77)


def test_epoll_wait_hands_over_what_fits(call: Caller) -> None:
    instance = call("epoll_create", 1)
    for number in range(3):
        _, writer = call.pipe()
        call("epoll_ctl", instance, 1, writer, event(POLLOUT, number))
    assert call("epoll_wait", instance, END - 30, 3, 0) == 2
    assert [call.number(END - 30 + 12 * n + 4, 8) for n in range(2)] == [0, 1]
    with pytest.raises(EFAULT):
        call("epoll_wait", instance, END, 3, 0)
    array = call.space(12)
    assert call("epoll_wait", instance, array, 1, 0) == 1
    assert call.number(array + 4, 8) == 2


def test_epoll_s_arguments(call: Caller) -> None:
    instance = call("epoll_create", 1)
    reader, _ = call.pipe()
    file = call("open", b"/file\0", O_RDONLY)
    with pytest.raises(EPERM):
        call("epoll_ctl", instance, 1, file, event(1, 0))
    for arguments in ((instance, instance), (reader, instance)):
        with pytest.raises(EINVAL):
            call("epoll_ctl", arguments[0], 1, arguments[1], event(1, 0))
    with pytest.raises(EINVAL):
        call("epoll_ctl", instance, 9, reader, event(1, 0))
    with pytest.raises(EFAULT):
        call("epoll_ctl", instance, 1, reader, 0)
    for maximum in (0, -1, 0x7FFFFFFF):
        with pytest.raises(EINVAL):
            call("epoll_wait", instance, 0, maximum, 0)
    with pytest.raises(EINVAL):
        call("epoll_wait", reader, 0, 1, 0)
    with pytest.raises(EBADF):
        call("epoll_wait", 99, 0, 1, 0)
    for size in (0, -1):
        with pytest.raises(EINVAL):
            call("epoll_create", size)

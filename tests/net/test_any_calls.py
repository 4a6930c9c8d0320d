"""Properties of all sequences of socket calls: they answer, sleep, and give everything back."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procession.abi.errno import Errno
from procession.fs.wait_queue import Sleep
from procession.kernel.state_hash import state_hash
from procession.machine import Machine
from tests.net.conftest import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    DATAGRAM,
    DONTWAIT,
    NON_BLOCKING,
    RAW,
    SEQUENCED,
    STREAM,
    SocketCaller,
    inet,
    inet6,
    unix,
)
from tests.of_a_kind import examples
from tests.syscalls.conftest import BASE

FAMILIES = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, 0, 17)
KINDS = (STREAM, DATAGRAM, SEQUENCED, RAW, STREAM | NON_BLOCKING, DATAGRAM | NON_BLOCKING)
FLAGS = (0, DONTWAIT, 1, 2, 0x20, 0x40, 0x42, 0x100, 0x140, 0x2000, 0x4000, 0x40000000, 0xFFFFFFFF)
ADDRESSES = (
    b"",
    b"\0\0",
    unix(b""),
    unix(b"\0name"),
    unix(b"/tmp/name\0"),
    unix(b"/none/name\0"),
    inet("127.0.0.1", 5000),
    inet("127.0.0.1", 0),
    inet("0.0.0.0", 5001),
    inet("127.255.255.255", 5000),
    inet("224.0.0.1", 5000),
    inet("8.8.8.8", 53),
    inet6(b"\1", 5000),
    inet6(b"", 5001),
    inet6(b"\xff\xff\x7f\0\0\1", 5000),
    pack("<HHII", AF_NETLINK, 0, 0, 1),
    pack("<HHII", AF_NETLINK, 0, 5, 0),
    bytes(128),
)
descriptors = st.integers(0, 21)
addresses = st.one_of(st.sampled_from(ADDRESSES), st.binary(max_size=140))
flags = st.sampled_from(FLAGS)
data = st.one_of(st.binary(max_size=200), st.sampled_from((bytes(5000), bytes(70_000), bytes(200_000))))
levels = st.one_of(st.sampled_from((0, 1, 6, 17, 41, 270)), st.integers(-5, 300))
values = st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-2, 300))
names = st.integers(-1, 90)
protocols = st.sampled_from((0, 6, 17))
requests = st.sampled_from((0x541B, 0x5411, 0x8905, 0x8912, 0x8913, 0x89E0))


@st.composite
def control_messages(draw: st.DrawFn) -> bytes:
    """Control messages of sendmsg(2), most of them well formed."""
    parts = []
    for _ in range(draw(st.integers(0, 2))):
        body = draw(
            st.one_of(
                st.lists(descriptors, max_size=4).map(lambda fds: b"".join(pack("<i", fd) for fd in fds)),
                st.binary(max_size=24),
                st.just(pack("<iII", 1, 0, 0)),
            )
        )
        level, kind = draw(st.sampled_from((1, 1, 0, 41))), draw(st.sampled_from((1, 1, 2, 3, 8, 50)))
        length = draw(st.sampled_from((16 + len(body), 16 + len(body), 3, 100)))
        parts.append(pack("<Qii", length, level, kind) + body + bytes(-len(body) % 8))
    return b"".join(parts)


steps = st.one_of(
    st.tuples(
        st.just("socket"), st.sampled_from(FAMILIES), st.sampled_from(KINDS), st.sampled_from((0, 6, 17))
    ),
    st.tuples(st.just("pair"), st.sampled_from(KINDS)),
    st.tuples(st.just("bind"), descriptors, addresses),
    st.tuples(st.just("connect"), descriptors, addresses),
    st.tuples(st.just("listen"), descriptors, st.integers(-1, 3)),
    st.tuples(st.just("accept"), descriptors),
    st.tuples(st.just("send"), descriptors, data, flags, st.one_of(st.none(), addresses)),
    st.tuples(st.just("receive"), descriptors, st.integers(0, 10_000), flags),
    st.tuples(st.just("sendmsg"), descriptors, data, flags, control_messages()),
    st.tuples(st.just("recvmsg"), descriptors, st.integers(0, 300), st.integers(0, 80), flags),
    st.tuples(st.just("shutdown"), descriptors, st.integers(-1, 3)),
    st.tuples(st.just("set_option"), descriptors, levels, names, values),
    st.tuples(st.just("option"), descriptors, levels, names),
    st.tuples(st.just("name"), descriptors, st.sampled_from(("getsockname", "getpeername"))),
    st.tuples(
        st.just("ioctl"), descriptors, st.sampled_from((0x541B, 0x5411, 0x8905, 0x8912, 0x8913, 0x89E0))
    ),
    st.tuples(st.just("close"), descriptors),
    st.tuples(st.just("poll"), descriptors),
    st.tuples(st.just("tick")),
)


def make_sockets(call: SocketCaller) -> None:
    """Sockets of all kinds, connected and not, so that calls find some."""
    for kind in (STREAM, DATAGRAM, SEQUENCED):
        call.pair(kind)
    call.connection()
    call.listener(5000, 1)
    for family, kind in (
        (AF_INET, STREAM),
        (AF_INET6, STREAM),
        (AF_INET, DATAGRAM),
        (AF_INET6, DATAGRAM),
        (AF_UNIX, STREAM),
        (AF_UNIX, STREAM),
        (AF_UNIX, DATAGRAM),
        (AF_NETLINK, RAW),
    ):
        call.socket(family, kind)


def perform(call: SocketCaller, step: tuple[Any, ...]) -> None:
    """Make one call; what it answers doesn't matter."""
    name, *arguments = step
    if name == "tick":
        call.pass_time(10**10)
        call.kernel.timers.run_due()
    elif name == "accept":
        call("accept4", arguments[0], call.space(128), pack("<i", 128), 0)
    elif name in ("listen", "shutdown"):
        call(name, *arguments)
    elif name == "close":
        call("close", arguments[0])
    elif name == "ioctl":
        call("ioctl", *arguments, call.put(b"lo".ljust(64, b"\0")))
    elif name == "poll":
        call("poll", pack("<ihh", arguments[0], -1, 0), 1, 0)
    elif name == "sendmsg":
        fd, body, flag, control = arguments
        vector = pack("<QQ", call.put(body), len(body))
        header = pack("<QQQQQQQ", 0, 0, call.put(vector), 1, call.put(control), len(control), 0)
        call("sendmsg", fd, header, flag)
    elif name == "recvmsg":
        fd, length, room, flag = arguments
        vector = pack("<QQ", call.space(length), length)
        header = pack("<QQQQQQQ", call.space(128), 128, call.put(vector), 1, call.space(room), room, 0)
        call("recvmsg", fd, header, flag)
    else:
        getattr(call, name)(*arguments)


def has_file(call: SocketCaller, name: bytes) -> bool:
    """Whether there is a file of that name."""
    try:
        call("access", name + b"\0", 0)
    except Errno:
        return False
    return True


@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sequence=st.lists(steps, min_size=5, max_size=50))
def test_sequences_of_calls_leak_nothing(call: SocketCaller, sequence: list[tuple[Any, ...]]) -> None:
    machine = call.machine
    accounts = machine.kernel.vfs.accounts
    before = accounts.file_count - len(call.task.files.files)
    make_sockets(call)
    for step in sequence:
        call.next_address = BASE
        try:
            perform(call, step)
        except (Errno, Sleep):
            continue
    assert state_hash(machine.kernel)
    call.task.files.release()
    # Whoever sends the next local socket collects what is left over.
    call.next_address = BASE
    one, other = call.pair(STREAM)
    call("close", one)
    call("close", other)
    system, network = call.system, call.network
    assert accounts.file_count == before
    assert system.socket_count == 0
    assert system.live_count == 0
    assert system.in_flight == {}
    assert system.files_in_flight == {}
    assert system.buffered_bytes == 0
    assert not network.unix.sockets
    assert not network.unix.abstract
    assert not network.netlink_sockets
    assert not network.udp_ports.holders
    call.pass_time(100 * 10**9)
    network.tcp.expire()
    assert not network.tcp.connections
    assert not network.tcp.ports.holders
    machine.kernel.timers.run_due()
    if has_file(call, b"/tmp/name"):
        call("unlink", b"/tmp/name\0")


def test_the_state_is_the_same_after_the_same_calls(tmp_path: Path) -> None:
    hashes = []
    for _ in range(2):
        machine = Machine(rootfs=tmp_path, memory=16 << 20, engine="scripted", seed=3)
        call = SocketCaller(machine)
        client, server = call.connection()
        call.send(client, b"bytes")
        one, _ = call.pair(DATAGRAM)
        call.send(one, b"message")
        call("close", server)
        hashes.append(state_hash(machine.kernel))
        machine.close()
    assert hashes[0] == hashes[1]

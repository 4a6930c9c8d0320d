"""Properties of all sequences of netlink requests and packets: they answer, and give everything back."""

from __future__ import annotations

import contextlib
from pathlib import Path
from struct import pack
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procession.abi.errno import Errno
from procession.fs.wait_queue import Sleep
from procession.hardware.kernel_memory import INTERFACE
from procession.machine import Machine
from procession.net.internet.flow import settle_flows
from procession.net.link_change import delete_interface
from tests.net.conftest import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    DATAGRAM,
    DONTWAIT,
    RAW,
    STREAM,
    SocketCaller,
    inet,
)
from tests.of_a_kind import examples

CLONE_NEWNET = 0x40000000
NAMES = (b"lo\0", b"v0\0", b"v1\0", b"br0\0", b"d0\0", b"veth%d\0", b"a/b\0", b"", b"toolongforaname\0")
ADDRESSES = (
    *(b"\x0a\0\0\1", b"\x0a\0\0\2", b"\x0a\0\1\1", b"\x7f\0\0\1", bytes(4), b"\xff" * 4, b"\xe0\0\0\1"),
    *(bytes(15) + b"\1", b"\xfd" + bytes(14) + b"\1", b"\xfe\x80" + bytes(13) + b"\1", bytes(16), b"", b"\1"),
)
numbers = st.one_of(st.integers(0, 6), st.sampled_from((254, 255, 1500, 65536, 0x7FFFFFFF, 0xFFFFFFFF)))
values = st.one_of(
    numbers.map(lambda number: pack("<I", number)),
    st.sampled_from(NAMES),
    st.sampled_from(ADDRESSES),
    st.sampled_from((b"\x02\0\0\0\0\1", b"\1\0\0\0\0\1", bytes(6))),
    st.binary(max_size=12),
)


def packed(kind: int, data: bytes) -> bytes:
    return pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


@st.composite
def link_information(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from((b"veth", b"bridge", b"dummy", b"nonsense", b"")))
    name = packed(3, draw(st.sampled_from(NAMES)))
    peer = draw(
        st.sampled_from((b"", packed(2, packed(1, bytes(16) + name)), packed(2, packed(1, bytes(3)))))
    )
    return packed(18, packed(1, kind) + peer)


@st.composite
def netlink_requests(draw: st.DrawFn) -> bytes:
    """Requests most of which the kernel takes for good."""
    kind = draw(
        st.one_of(st.sampled_from((16, 16, 19, 20, 20, 24, 24, 28)), st.integers(16, 36), st.integers(84, 92))
    )
    flags = draw(st.sampled_from((5, 0x405, 0x605, 0x305, 0x505, 0xC05, 0x301)))
    index = draw(st.one_of(st.integers(-1, 6), st.sampled_from((0, 0, 0x7FFFFFFF))))
    up = draw(st.sampled_from(((0, 0), (1, 1), (0, 1), (0xFFFFFFFF, 0))))
    family, prefix = (
        draw(st.sampled_from((0, 2, 2, 10, 7, 255))),
        draw(st.sampled_from((0, 8, 24, 32, 64, 128, 200))),
    )
    if kind < 20:
        header = pack("<BxHiII", 0, 0, index, *up)
    elif kind < 24:
        header = pack(
            "<BBBBI", family, prefix, 0, draw(st.sampled_from((0, 253, 254, 255))), index & 0xFFFFFFFF
        )
    elif kind < 28:
        table, scope = draw(st.sampled_from((254, 255, 0, 7))), draw(st.sampled_from((0, 253, 254)))
        header = pack("<BBBBBBBBI", family, prefix, 0, 0, table, 3, scope, draw(st.integers(0, 12)), 0)
    elif kind < 32:
        header = pack("<BxxxiHBB", family, index, draw(st.sampled_from((0, 2, 128, 0xFFFF))), 0, 0)
    else:
        header = bytes(draw(st.sampled_from((4, 12))))
    attributes = b"".join(
        packed(draw(st.integers(0, 54)), draw(values)) for _ in range(draw(st.integers(0, 4)))
    )
    if kind == 16:
        attributes += draw(st.sampled_from((b"", b"x"))) and draw(link_information())
    body = header[: draw(st.sampled_from((100, 100, 100, 3)))] + attributes
    return pack("<IHHII", 16 + len(body), kind, flags, 1, 0) + body


@st.composite
def good_requests(draw: st.DrawFn) -> bytes:
    """Requests as ip(8) makes them, about a few interfaces and addresses."""
    what = draw(
        st.sampled_from(
            ("make", "make", "set", "up", "address", "address", "route", "neighbour", "delete", "list")
        )
    )
    index = draw(st.integers(1, 5))
    flags = draw(st.sampled_from((5, 0x605, 0x605, 0x505)))
    address = draw(st.sampled_from(ADDRESSES[:2] + ADDRESSES[10:12]))
    family = AF_INET if len(address) == 4 else AF_INET6
    if what == "make":
        kind, flags = 16, 0x605
        name = packed(3, draw(st.sampled_from((b"v0", b"v1", b"br0", b"d0", b"veth%d"))))
        body = pack("<BxHiII", 0, 0, 0, 0, 0) + name + draw(link_information())
        body += draw(st.sampled_from((b"", b"", packed(19, pack("<I", 1)))))
    elif what in ("set", "up"):
        kind = 19
        up = draw(st.integers(0, 3)) != 0 if what == "up" else draw(st.booleans())
        body = pack("<BxHiII", 0, 0, index, up, what == "up")
        attribute = draw(st.sampled_from((10, 10, 4, 3, 1, 19)))
        if what == "set":
            body += packed(
                attribute, draw(values if attribute in (1, 3) else numbers.map(lambda n: pack("<I", n)))
            )
    elif what == "address":
        kind = draw(st.sampled_from((20, 20, 20, 21)))
        prefix = draw(st.sampled_from((24, 8 * len(address))))
        body = pack("<BBBBI", family, prefix, 0, 0, index) + packed(2, address) + packed(1, address)
    elif what == "route":
        kind = draw(st.sampled_from((24, 24, 25)))
        way = draw(st.sampled_from((packed(4, pack("<I", index)), packed(5, address))))
        form = draw(st.sampled_from(((0, 0, 1), (0, 253, 1), (0, 0, 6))))
        body = pack("<BBBBBBBBI", family, 0, 0, 0, 254, 3, form[1], form[2], 0) + way
    elif what == "neighbour":
        kind = draw(st.sampled_from((28, 29)))
        body = pack("<BxxxiHBB", family, index, 128, 0, 0) + packed(1, address)
        body += packed(2, b"\2\0\0\0\0\1")
    elif what == "delete":
        kind, body = 17, pack("<BxHiII", 0, 0, index, 0, 0)
    else:
        kind, flags, body = draw(st.sampled_from((18, 22, 26, 30, 34, 90))), 0x301, bytes(16)
    return pack("<IHHII", 16 + len(body), kind, flags, 1, 0) + body


targets = st.sampled_from(
    [inet(address, 5000) for address in ("10.0.0.1", "10.0.0.2", "10.0.1.1", "127.0.0.1")]
)
steps = st.one_of(
    st.tuples(st.just("ask"), good_requests()),
    st.tuples(st.just("ask"), good_requests()),
    st.tuples(st.just("ask"), good_requests()),
    st.tuples(st.just("ask"), netlink_requests()),
    st.tuples(st.just("ask"), st.binary(max_size=64)),
    st.tuples(st.just("datagram"), targets, st.binary(max_size=8)),
    st.tuples(st.just("raw"), targets, st.binary(max_size=40)),
    st.tuples(st.just("connect"), targets),
    st.tuples(st.just("unshare")),
    st.tuples(st.just("tick")),
    st.tuples(
        st.just("ioctl"), st.sampled_from((*range(0x8910, 0x8928), 0x8933, 0x8942, 0x8943, 0x894C)), values
    ),
)


def perform(call: SocketCaller, step: tuple[Any, ...]) -> None:
    name, *arguments = step
    if name == "ask":
        fd = call.socket(AF_NETLINK, RAW)
        try:
            call.bind(fd, pack("<HHII", AF_NETLINK, 0, 0, 0xFFFF))
            call.send(fd, arguments[0])
            for _ in range(3):
                call.receive(fd, 9000)
        finally:
            call("close", fd)
    elif name == "tick":
        call.pass_time(10**9)
        call.kernel.timers.run_due()
    elif name == "unshare":
        call("unshare", CLONE_NEWNET)
    elif name == "ioctl":
        fd = call.socket(AF_INET, DATAGRAM)
        try:
            call(
                "ioctl",
                fd,
                arguments[0],
                call.put(arguments[1].ljust(16, b"\0") + arguments[1].ljust(24, b"\0")),
            )
        finally:
            call("close", fd)
    else:
        kind, protocol = {"datagram": (DATAGRAM, 0), "raw": (RAW, 1), "connect": (STREAM, 0)}[name]
        fd = call.socket(AF_INET, kind | 0o4000, protocol)
        try:
            if name == "connect":
                call.connect(fd, arguments[0])
            else:
                call.send(fd, arguments[1], DONTWAIT, arguments[0])
        finally:
            call("close", fd)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, max_size=40))
def test_requests_answer_and_give_everything_back(
    tmp_path_factory: Any, sequence: list[tuple[Any, ...]]
) -> None:
    root: Path = tmp_path_factory.mktemp("root")
    for name in ("proc", "sys", "dev", "tmp"):
        (root / name).mkdir()
    machine = Machine(rootfs=root, memory=32 << 20, engine="scripted")
    try:
        call = SocketCaller(machine)
        first = call.task.namespaces
        first.acquire()
        account = machine.kernel.memory.account
        taken = account.kinds[INTERFACE]
        call("unshare", CLONE_NEWNET)
        for step in sequence:
            with contextlib.suppress(Errno, Sleep):
                perform(call, step)
            for network in call.system.networks():
                settle_flows(network)
                for index, interface in network.interfaces.items():
                    assert interface.index == index
                    assert interface.network is network
                    assert interface.peer is None or interface.peer.peer is interface
                    assert interface.master is None or interface in interface.master.ports
        last, call.task.namespaces = call.task.namespaces, first
        last.put()
        call.pass_time(10**12)
        machine.kernel.timers.run_due()
        assert call.system.networks() == [call.network]
        for interface in list(call.network.interfaces.values()):
            if interface is not call.network.loopback and call.network.interfaces.get(interface.index):
                delete_interface(interface)
        assert account.kinds[INTERFACE] == taken
        assert call.system.live_count == 0
        assert call.system.buffered_bytes == 0
    finally:
        machine.close()

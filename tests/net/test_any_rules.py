"""Properties of all batches of nftables' requests: they answer, packets pass, and all is given back."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from struct import pack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procession.abi.errno import EMLINK, Errno
from procession.fs.wait_queue import Sleep
from procession.hardware.kernel_memory import PACKET_FILTER
from procession.machine import Machine
from procession.net.netfilter.draft import MOST_JUMPS
from tests.net.conftest import AF_INET, AF_NETLINK, DATAGRAM, DONTWAIT, RAW, STREAM, SocketCaller, inet
from tests.of_a_kind import examples

NETLINK_NETFILTER = 12
CLONE_NEWNET = 0x40000000
BEGIN, END = 0x10, 0x11
NEW_TABLE, NEW_CHAIN, NEW_RULE, NEW_SET, NEW_ELEMENT = 0, 3, 6, 9, 12
NESTED = 0x8000
CREATE, ACK, REQUEST = 0x400, 4, 1
DREG_VERDICT = 0
JUMP, ACCEPT, DROP = 0xFFFFFFFD, 1, 0
NAMES = (b"t\0", b"u\0", b"a\0", b"b\0", b"c\0", b"s\0", b"m\0", b"__set%d\0", b"", b"t", b"x" * 300)
EXPRESSIONS = (
    *(b"payload\0", b"cmp\0", b"meta\0", b"immediate\0", b"counter\0", b"bitwise\0", b"lookup\0"),
    *(b"reject\0", b"range\0", b"ct\0", b"match\0", b"target\0", b"nonsense\0", b""),
)


def attribute(kind: int, data: bytes) -> bytes:
    return pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(kind: int, flags: int, body: bytes, family: int = 2, subsystem: int = 10) -> bytes:
    header = pack("<IHHII", 20 + len(body), subsystem << 8 | kind, flags, 1, 0)
    whole = header + bytes((family, 0, 0, 0)) + body
    return whole + bytes(-len(whole) % 4)


def batch(*messages: bytes) -> bytes:
    ends = [pack("<IHHIIBBH", 20, kind, REQUEST, 0, 0, 0, 0, 10 << 8) for kind in (BEGIN, END)]
    return ends[0] + b"".join(messages) + ends[1]


numbers = st.one_of(
    st.integers(0, 5), st.sampled_from((8, 16, 255, 0xFFFFFFFB, JUMP, 0xFFFFFFFC, 0x7FFFFFFF, 0xFFFFFF00))
)
plain = st.one_of(
    numbers.map(lambda number: pack(">I", number)),
    numbers.map(lambda number: pack(">Q", number)),
    st.sampled_from(NAMES),
    st.sampled_from(EXPRESSIONS),
    st.binary(max_size=20),
)
attributes = st.recursive(
    st.tuples(st.integers(0, 12), plain).map(lambda pair: attribute(*pair)),
    lambda inner: st.tuples(st.integers(0, 12), st.lists(inner, max_size=4)).map(
        lambda pair: attribute(pair[0] | NESTED, b"".join(pair[1]))
    ),
    max_leaves=12,
)


REGISTERS = (1, 1, 1, 2, 8, 9, 12, 23)
KINDS = {
    b"payload\0": ((1, REGISTERS), (2, (0, 1, 2, 3)), (3, (0, 9, 12, 255)), (4, (1, 2, 4, 16, 255))),
    b"meta\0": ((2, range(8)), (1, REGISTERS)),
    b"cmp\0": ((1, REGISTERS), (2, range(7))),
    b"bitwise\0": ((1, REGISTERS), (2, REGISTERS), (3, (1, 2, 4, 16)), (6, (0, 1))),
    b"lookup\0": ((2, REGISTERS), (3, REGISTERS), (5, (0, 1))),
    b"reject\0": ((1, (0, 1, 2)),),
    b"range\0": ((1, REGISTERS), (2, (0, 1))),
    b"immediate\0": ((1, (DREG_VERDICT, 1, 8)),),
    b"ct\0": ((2, range(8)), (1, REGISTERS)),
    b"counter\0": (),
}
"""The numbers that expressions are made of."""
LOADED = b"".join(
    attribute(
        1 | NESTED,
        attribute(1, b"payload\0")
        + attribute(2 | NESTED, b"".join(attribute(kind, pack(">I", number)) for kind, number in load)),
    )
    for load in (((1, 1), (2, 1), (3, 0), (4, 16)), ((1, 2), (2, 1), (3, 4), (4, 16)))
)
"""Expressions that load registers, which may only be read then."""
NESTS = {b"cmp\0": (3,), b"bitwise\0": (4, 5), b"range\0": (3, 4), b"immediate\0": (2,)}
"""Where their values are."""


@st.composite
def verdicts(draw: st.DrawFn) -> bytes:
    code = draw(st.sampled_from((ACCEPT, DROP, JUMP, 0xFFFFFFFC, 0xFFFFFFFB, 0xFFFFFFFF, 7)))
    target = (
        attribute(2, draw(st.sampled_from((b"c\0", b"d\0", b"a\0")))) if code in (JUMP, 0xFFFFFFFC) else b""
    )
    return attribute(2 | NESTED, attribute(1, pack(">I", code)) + target)


@st.composite
def expressions(draw: st.DrawFn) -> bytes:
    """One expression of a rule, mostly well made."""
    name = draw(st.sampled_from(sorted(KINDS)))
    data = b"".join(attribute(kind, pack(">I", draw(st.sampled_from(some)))) for kind, some in KINDS[name])
    length = draw(st.sampled_from((1, 2, 4, 4, 16)))
    for kind in NESTS.get(name, ()):
        value = attribute(1, draw(st.binary(min_size=length, max_size=length)))
        nested = draw(verdicts()) if name == b"immediate\0" else value
        data += attribute(kind | NESTED, nested)
    if name == b"lookup\0":
        data += attribute(1, draw(st.sampled_from((b"s\0", b"m\0"))))
    if draw(st.integers(0, 9)) == 0:
        data += draw(attributes)
    return attribute(1 | NESTED, attribute(1, name) + attribute(2 | NESTED, data))


@st.composite
def elements(draw: st.DrawFn) -> bytes:
    """Elements of one of the sets."""
    keys = draw(st.lists(st.sampled_from((b"\x7f\0\0\1", bytes(4), b"\0\0\x13\x88")), max_size=3))
    into = draw(st.sampled_from((b"s\0", b"m\0")))
    listed = b""
    for key in keys:
        element = attribute(1 | NESTED, attribute(1, key))
        if into == b"m\0":
            element += attribute(2 | NESTED, draw(verdicts()))
        listed += attribute(1 | NESTED, element)
    return attribute(1, b"t\0") + attribute(2, into) + attribute(3 | NESTED, listed)


@st.composite
def changes(draw: st.DrawFn) -> bytes:
    """One request of a batch, most of which the kernel takes for good."""
    flags = REQUEST | CREATE | draw(st.sampled_from((0, 0x800, 0x200, 0x100, ACK)))
    family = draw(st.sampled_from((*[2] * 8, 1, 10, 7)))
    kind = draw(st.sampled_from((NEW_RULE, NEW_RULE, NEW_RULE, NEW_ELEMENT, 14, 8, 5, -1)))
    table, name = attribute(1, b"t\0"), draw(st.sampled_from((b"a\0", b"b\0", b"c\0", b"d\0")))
    if kind == NEW_RULE:
        flags = REQUEST | CREATE | draw(st.sampled_from((0, 0x800, 0x800 | ACK)))
        rule = LOADED + b"".join(draw(st.lists(expressions(), min_size=1, max_size=3)))
        return message(kind, flags, table + attribute(2, name) + attribute(4 | NESTED, rule), family)
    if kind in (NEW_ELEMENT, 14):
        return message(kind, flags, draw(elements()), family)
    if kind in (8, 5):
        return message(kind, flags, table + attribute(2 if kind == 8 else 3, name), family)
    body = table + b"".join(draw(st.lists(attributes, max_size=6)))
    return message(draw(st.integers(0, 40)), flags, body, family)


def tell(call: SocketCaller, data: bytes) -> list[bytes]:
    """What the packet filter answers at once."""
    place = call.next_address
    fd = call.socket(AF_NETLINK, RAW, NETLINK_NETFILTER)
    answers = []
    try:
        call.bind(fd, pack("<HHII", AF_NETLINK, 0, 0, 0))
        call.send(fd, data)
        with contextlib.suppress(Errno):
            while True:
                call.next_address = place
                answers.append(call.receive(fd, 9000))
    finally:
        call.next_address = place
        call("close", fd)
    return answers


def errno_of(answer: bytes) -> int:
    return -int.from_bytes(answer[16:20], "little", signed=True)


def send_packets(call: SocketCaller) -> None:
    for kind in (DATAGRAM, STREAM):
        fd = call.socket(AF_INET, kind | 0o4000)
        try:
            with contextlib.suppress(Errno, Sleep):
                if kind == STREAM:
                    call.connect(fd, inet("127.0.0.1", 5000))
                else:
                    call.send(fd, b"some", DONTWAIT, inet("127.0.0.1", 5000))
        finally:
            call("close", fd)


@pytest.fixture
def alone(call: SocketCaller) -> SocketCaller:
    """A caller in a network of its own, whose loopback is up."""
    call("unshare", CLONE_NEWNET)
    fd = call.socket(AF_INET, DATAGRAM)
    call("ioctl", fd, 0x8914, call.put(b"lo".ljust(16, b"\0") + pack("<H", 1) + bytes(22)))
    call("close", fd)
    return call


def with_one_table(*messages: bytes) -> bytes:
    return batch(message(NEW_TABLE, REQUEST | CREATE, attribute(1, b"t\0")), *messages)


def chain(name: bytes, hook: int | None = None) -> bytes:
    body = attribute(1, b"t\0") + attribute(3, name)
    if hook is not None:
        place = attribute(1, pack(">I", hook)) + attribute(2, pack(">I", 0))
        body += attribute(4 | NESTED, place) + attribute(7, b"filter\0")
    return message(NEW_CHAIN, REQUEST | CREATE, body)


def rule_to(name: bytes, target: bytes) -> bytes:
    told = attribute(1, pack(">I", JUMP)) + attribute(2, target)
    verdict = attribute(2 | NESTED, attribute(2 | NESTED, told))
    data = attribute(1, pack(">I", DREG_VERDICT)) + verdict
    jump = attribute(1 | NESTED, attribute(1, b"immediate\0") + attribute(2 | NESTED, data))
    body = attribute(1, b"t\0") + attribute(2, name) + attribute(4 | NESTED, jump)
    return message(NEW_RULE, REQUEST | CREATE | 0x800, body)


def test_chains_that_lead_to_each_other_many_times_are_refused(alone: SocketCaller) -> None:
    names = [b"c%d\0" % number for number in range(MOST_JUMPS)]
    made = [chain(names[0], 3), *map(chain, names[1:])]
    for times, expected in ((1, []), (4, [EMLINK.number])):
        rules = [rule_to(name, target) for name, target in pairwise(names) for _ in range(times)]
        answers = tell(alone, with_one_table(*made, *rules))
        assert [errno_of(each) for each in answers] == expected
        before_ns = alone.kernel.clock.now_ns
        send_packets(alone)
        assert alone.kernel.clock.now_ns - before_ns < 10**8


def test_passing_rules_takes_time(alone: SocketCaller) -> None:
    def time_of_a_packet() -> int:
        before_ns = alone.kernel.clock.now_ns
        send_packets(alone)
        return alone.kernel.clock.now_ns - before_ns

    without_ns = time_of_a_packet()
    rules = [rule_to(b"c0\0", b"c1\0") for _ in range(200)]
    assert tell(alone, with_one_table(chain(b"c0\0", 3), chain(b"c1\0"), *rules)) == []
    assert time_of_a_packet() > without_ns + 200 * 400


def filter_set(name: bytes, number: int, flags: int = 0, data: bytes = b"") -> bytes:
    body = attribute(1, b"t\0") + attribute(2, name) + attribute(3, pack(">I", flags))
    body += attribute(5, pack(">I", 4)) + data + attribute(10, pack(">I", number))
    return message(NEW_SET, REQUEST | CREATE, body)


IS_MAP, TO_VERDICTS = 8, attribute(6, pack(">I", 0xFFFFFF00)) + attribute(7, pack(">I", 16))
FIRST = (
    *(chain(b"a\0", 3), chain(b"b\0", 1), chain(b"c\0"), chain(b"d\0")),
    *(filter_set(b"s\0", 1), filter_set(b"m\0", 2, IS_MAP, TO_VERDICTS)),
)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.lists(changes(), max_size=2), max_size=20), st.lists(st.integers(0, 2000), max_size=4))
def test_batches_answer_and_give_everything_back(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], flipped: list[int]
) -> None:
    root = tmp_path_factory.mktemp("root")
    for name in ("proc", "sys", "dev", "tmp"):
        (root / name).mkdir()
    machine = Machine(rootfs=root, memory=32 << 20, engine="scripted")
    try:
        call = SocketCaller(machine)
        first = call.task.namespaces
        first.acquire()
        call("unshare", CLONE_NEWNET)
        account = machine.kernel.memory.account
        taken = account.kinds[PACKET_FILTER]
        assert tell(call, with_one_table(*FIRST)) == []
        for number, messages in enumerate(batches):
            data = bytearray(with_one_table(*messages))
            if number % 2:
                for place in flipped:
                    data[place % len(data)] ^= 1 << place % 8
            with contextlib.suppress(Errno, Sleep):
                tell(call, bytes(data))
            send_packets(call)
            for kind in (1, 4, 7, 10, 13):
                tell(call, message(kind, REQUEST | 0x300, attribute(1, b"t\0") + attribute(2, b"a\0")))
        last, call.task.namespaces = call.task.namespaces, first
        last.put()
        call.pass_time(10**12)
        machine.kernel.timers.run_due()
        assert account.kinds[PACKET_FILTER] == taken
    finally:
        machine.close()

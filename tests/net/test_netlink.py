"""NETLINK_ROUTE: dumps, single answers, refusals."""

from __future__ import annotations

from struct import pack, unpack, unpack_from

import pytest

from procession.abi.errno import EBUSY, ECONNREFUSED, EINVAL, ENOBUFS, ENODATA, EPERM, EPROTONOSUPPORT
from procession.hardware.kernel_memory import SOCKET_BUFFER
from tests.net.conftest import AF_NETLINK, RAW, SOL_SOCKET, SocketCaller

AF_INET, AF_INET6 = 2, 10
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR, RTM_GETROUTE = 16, 18, 20, 22, 26
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP = 1, 4, 0x301
IFLA_IFNAME, IFA_ADDRESS = 3, 1
RTM_NEWROUTE, NLM_F_CREATE = 24, 0x400
RTM_NEWRULE, RTM_DELRULE = 32, 33
FRA_TABLE, FR_ACT_TO_TBL = 15, 1
RTA_DST, RTA_OIF, RTA_VIA = 1, 4, 18
SO_RCVBUF = 8


def request(kind: int, flags: int, body: bytes, sequence: int = 7) -> bytes:
    return pack("<IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def messages(data: bytes) -> list[tuple[int, bytes]]:
    """The messages in what was received, as (type, body)."""
    found = []
    while data:
        length, kind, _, _, _ = unpack_from("<IHHII", data)
        found.append((kind, data[16:length]))
        data = data[(length + 3) // 4 * 4 :]
    return found


def attributes(body: bytes) -> dict[int, bytes]:
    found = {}
    while body:
        length, kind = unpack_from("<HH", body)
        found[kind] = body[4:length]
        body = body[(length + 3) // 4 * 4 :]
    return found


def ask(call: SocketCaller, fd: int, data: bytes) -> list[tuple[int, bytes]]:
    call.send(fd, data)
    answers = messages(call.receive(fd, 8192))
    while answers[-1][0] not in (NLMSG_DONE, NLMSG_ERROR) and data[7:8] != b"\0":
        answers += messages(call.receive(fd, 8192))
    return answers


def error_in(body: bytes) -> int:
    """The errno of an NLMSG_ERROR."""
    error: int = unpack("<i", body[:4])[0]
    return -error


@pytest.fixture
def fd(call: SocketCaller) -> int:
    fd = call.socket(AF_NETLINK, RAW)
    call.bind(fd, pack("<HHII", AF_NETLINK, 0, 0, 0))
    return fd


def test_a_dump_of_links(call: SocketCaller, fd: int) -> None:
    (kind, body), (last, _) = ask(call, fd, request(RTM_GETLINK, DUMP, bytes(16)))
    assert (kind, last) == (RTM_NEWLINK, NLMSG_DONE)
    assert unpack("<i", body[4:8])[0] == 1
    assert attributes(body[16:])[IFLA_IFNAME] == b"lo\0"


def test_a_table_that_a_rule_names_is_counted_when_the_rule_is_gone(call: SocketCaller, fd: int) -> None:
    network = call.network
    before = network.address_count
    for table in range(1000, 1010):
        body = pack("<BBBBBBBBI", AF_INET6, 0, 0, 0, 0, 0, 0, FR_ACT_TO_TBL, 0) + pack(
            "<HHI", 8, FRA_TABLE, table
        )
        for kind in (RTM_NEWRULE, RTM_DELRULE):
            (_, answer), *_ = ask(call, fd, request(kind, REQUEST | ACK | NLM_F_CREATE, body))
            assert error_in(answer) == 0
    assert network.address_count == before + 10


def test_a_dump_of_addresses(call: SocketCaller, fd: int) -> None:
    answers = ask(call, fd, request(RTM_GETADDR, DUMP, bytes(8)))
    assert [kind for kind, _ in answers] == [RTM_NEWADDR, RTM_NEWADDR, NLMSG_DONE]
    found = [attributes(body[8:])[IFA_ADDRESS] for _, body in answers[:-1]]
    assert found == [bytes((127, 0, 0, 1)), bytes(15) + b"\1"]
    only_6 = ask(call, fd, request(RTM_GETADDR, DUMP, b"\x0a" + bytes(7)))
    assert len(only_6) == 2


def test_a_link_by_its_name(call: SocketCaller, fd: int) -> None:
    name = pack("<HH", 4 + 3, IFLA_IFNAME) + b"lo\0\0"
    [(kind, _)] = ask(call, fd, request(RTM_GETLINK, REQUEST, bytes(16) + name))
    assert kind == RTM_NEWLINK
    name = pack("<HH", 4 + 5, IFLA_IFNAME) + b"eth0\0\0\0\0"
    [(kind, body)] = ask(call, fd, request(RTM_GETLINK, REQUEST, bytes(16) + name))
    assert (kind, error_in(body)) == (NLMSG_ERROR, 19)


def test_routes(call: SocketCaller, fd: int) -> None:
    assert len(ask(call, fd, request(RTM_GETROUTE, DUMP, bytes(12)))) == 5
    target = pack("<HH", 8, 1) + bytes((8, 8, 8, 8))
    [(kind, body)] = ask(call, fd, request(RTM_GETROUTE, REQUEST, b"\2\x20" + bytes(10) + target))
    assert (kind, error_in(body)) == (NLMSG_ERROR, 101)


def test_a_gateway_of_another_protocol_is_refused(call: SocketCaller, fd: int) -> None:
    """Linux takes one if it has IPv6: it isn't built."""
    header = pack("<BBBBBBBBI", AF_INET, 24, 0, 0, 254, 3, 0, 1, 0)
    for via in (pack("<H16s", AF_INET6, b"\xfe\x80" + b"\1" * 14), pack("<H2s", AF_INET, b"\1\1")):
        body = header + pack("<HH4s", 8, RTA_DST, bytes((10, 9, 0, 0))) + pack("<HHI", 8, RTA_OIF, 1)
        body += pack("<HH", 4 + len(via), RTA_VIA) + via + bytes(-len(via) % 4)
        ((kind, answer),) = ask(call, fd, request(RTM_NEWROUTE, REQUEST | ACK | NLM_F_CREATE, body))
        assert (kind, error_in(answer)) == (NLMSG_ERROR, EINVAL.number)


def test_changes_take_a_capability(call: SocketCaller, fd: int) -> None:
    header = pack("<BxHiII", 0, 0, 1, 1, 1)
    [(kind, body)] = ask(call, fd, request(RTM_NEWLINK, REQUEST | ACK, header))
    assert (kind, error_in(body)) == (NLMSG_ERROR, 0)
    [(_, body)] = ask(call, fd, request(RTM_NEWLINK, REQUEST | ACK, pack("<BxHiII", 0, 0, 1, 0, 1)))
    assert error_in(body) == 0
    call.task.credentials = call.task.credentials.for_user(1000, 1000)
    [(_, body)] = ask(call, fd, request(RTM_NEWLINK, REQUEST | ACK, header))
    assert error_in(body) == EPERM.number


def test_only_the_kernel_answers_and_only_about_routes(call: SocketCaller, fd: int) -> None:
    with pytest.raises(ECONNREFUSED):
        call.send(fd, b"x", 0, pack("<HHII", AF_NETLINK, 0, 77, 0))
    with pytest.raises(EPROTONOSUPPORT):
        call.socket(AF_NETLINK, RAW, 21)


def test_port_ids(call: SocketCaller, fd: int) -> None:
    assert unpack("<HHII", call.name(fd)) == (AF_NETLINK, 0, call.task.tgid, 0)
    other = call.socket(AF_NETLINK, RAW)
    call.bind(other, pack("<HHII", AF_NETLINK, 0, 0, 5))
    _, _, port_id, groups = unpack("<HHII", call.name(other))
    assert port_id not in (0, call.task.tgid)
    assert groups == 5


def test_malformed_requests_are_ignored(call: SocketCaller, fd: int) -> None:
    with pytest.raises(ENODATA):
        call.send(fd, b"")
    for data in (b"short", pack("<IHHII", 5, RTM_GETLINK, DUMP, 0, 0), request(RTM_GETLINK, 0, b"")):
        call.send(fd, data)
    assert call.object(fd).poll_mask() & 1 == 0


def test_a_list_is_refused_while_another_is_read(call: SocketCaller, fd: int) -> None:
    """A call may ask for many: each takes time, and only one is made."""
    before_ns = call.kernel.clock.now_ns
    many = b"".join(request(RTM_GETLINK, REQUEST | DUMP, bytes(16), each) for each in range(1000))
    assert call.send(fd, many) == len(many)
    assert call.kernel.clock.now_ns - before_ns > 1_000_000
    kinds = []
    with pytest.raises(ENOBUFS):
        call.receive(fd, 8192)
    for _ in range(20):
        kinds += [
            kind if kind != NLMSG_ERROR else -error_in(body)
            for kind, body in messages(call.receive(fd, 8192))
        ]
    assert kinds == [RTM_NEWLINK] + [-EBUSY.number] * 19


def test_a_long_list_comes_as_it_is_read(call: SocketCaller, fd: int) -> None:
    """However little room the socket has, nothing is lost; and what isn't read is given back."""
    account = call.kernel.memory.account
    before = account.kinds[SOCKET_BUFFER]
    for number in range(40):
        name = pack("<HH", 8, IFLA_IFNAME) + b"d%03d" % number
        kind = pack("<HH", 10, 1) + b"dummy\0" + bytes(2)
        body = bytes(16) + name + pack("<HH", 4 + len(kind), 18) + kind
        call.send(fd, request(RTM_NEWLINK, REQUEST | ACK | 0x600, body))
        assert error_in(call.receive(fd, 64)[16:]) == 0
    call.set_option(fd, SOL_SOCKET, SO_RCVBUF, 1)
    answers = ask(call, fd, request(RTM_GETLINK, REQUEST | DUMP, bytes(16)))
    assert [kind for kind, _ in answers] == [RTM_NEWLINK] * 41 + [NLMSG_DONE]
    assert account.kinds[SOCKET_BUFFER] == before
    call.send(fd, request(RTM_GETLINK, REQUEST | DUMP, bytes(16)))
    assert account.kinds[SOCKET_BUFFER] > before + 41 * 500
    call("close", fd)
    assert account.kinds[SOCKET_BUFFER] == before

"""TCP and UDP where a machine differs from a host with a network, and what needs its own clock."""

from __future__ import annotations

from struct import pack
from unittest.mock import Mock

import pytest

from procession.abi.errno import (
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAGAIN,
    ECONNREFUSED,
    EINPROGRESS,
    EINTR,
    EINVAL,
    ENETUNREACH,
    ENODEV,
    ERESTARTSYS,
    ETIMEDOUT,
)
from procession.abi.internet import TcpInfo
from procession.fs.wait_queue import Sleep
from procession.hardware.kernel_memory import INTERFACE, SOCKET, SOCKET_BUFFER
from procession.net.internet.tcp_connection import TIME_WAIT_NS
from procession.net.sysctls import FIRST_EPHEMERAL, LAST_EPHEMERAL
from tests.net.conftest import (
    AF_INET,
    AF_INET6,
    DATAGRAM,
    DONTWAIT,
    NON_BLOCKING,
    RAW,
    SOL_SOCKET,
    STREAM,
    SocketCaller,
    inet,
    inet6,
)

SECOND_NS = 10**9
SO_ERROR, SO_REUSEADDR, SO_RCVTIMEO, SO_SNDBUF, SO_RCVBUF, SO_LINGER = 4, 2, 20, 7, 8, 13
SO_ATTACH_FILTER = 26
SOL_TCP, TCP_NODELAY, TCP_MAXSEG, TCP_DEFER_ACCEPT, TCP_INFO = 6, 1, 2, 9, 11
MSG_MORE, SIOCSIFMTU, IP_RECVERR, ERRQUEUE = 0x8000, 0x8922, 11, 0x2040
IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_BLOCK_SOURCE, IP_MSFILTER = 35, 36, 38, 41
ELSEWHERE = (inet("8.8.8.8", 53), inet("10.0.0.1", 53), inet("224.0.0.1", 53), inet("255.255.255.255", 53))
ELSEWHERE_6 = (inet6(b"\x20\x01" + bytes(13) + b"\1", 53),)
ON_A_LINK = inet6(b"\xfe\x80" + bytes(13) + b"\1", 53)


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_nothing_beyond_the_loopback_can_be_reached(call: SocketCaller, kind: int) -> None:
    for address in ELSEWHERE:
        with pytest.raises(ENETUNREACH):
            call.connect(call.socket(AF_INET, kind), address)
    for address in ELSEWHERE_6:
        with pytest.raises(ENETUNREACH):
            call.connect(call.socket(AF_INET6, kind), address)
    with pytest.raises(EINVAL):
        call.connect(call.socket(AF_INET6, kind), ON_A_LINK)
    with pytest.raises(ENETUNREACH):
        call.connect(call.socket(AF_INET6, kind), ON_A_LINK[:24] + b"\1\0\0\0")
    with pytest.raises(EADDRNOTAVAIL):
        call.bind(call.socket(AF_INET, kind), inet("10.0.0.1", 80))


def test_groups_are_refused(call: SocketCaller) -> None:
    fd = call.socket(AF_INET, DATAGRAM)
    with pytest.raises(ENETUNREACH):
        call.send(fd, b"x", 0, inet("224.0.0.1", 5353))
    membership = bytes((224, 0, 0, 251)) + bytes(4)
    with pytest.raises(ENODEV):
        call("setsockopt", fd, 0, 35, membership, len(membership))


def test_the_loopback_is_all_of_127(call: SocketCaller) -> None:
    server = call.listener(port=80, address="127.44.55.66")
    client = call.socket(AF_INET, STREAM)
    with pytest.raises(ECONNREFUSED):
        call.connect(client, inet("127.0.0.1", 80))
    assert call.connect(client, inet("127.44.55.66", 80)) == 0
    accepted = call("accept", server, 0, 0)
    assert call.name(accepted)[4:8] == bytes((127, 44, 55, 66))
    assert call.name(client)[4:8] == bytes((127, 0, 0, 1))


def test_free_ports_are_given_in_a_fixed_order(call: SocketCaller) -> None:
    bound = []
    for _ in range(3):
        fd = call.socket(AF_INET, STREAM)
        call.bind(fd, inet("127.0.0.1", 0))
        bound.append(call.port(fd))
    assert bound == [FIRST_EPHEMERAL + 1, FIRST_EPHEMERAL + 3, FIRST_EPHEMERAL + 5]
    client, _ = call.connection()
    assert FIRST_EPHEMERAL <= call.port(client) <= LAST_EPHEMERAL
    assert call.port(client) % 2 == 0


def test_ports_run_out(call: SocketCaller) -> None:
    ports = call.network.udp_ports
    holder = call.object(call.socket(AF_INET, DATAGRAM))
    for port in range(FIRST_EPHEMERAL, LAST_EPHEMERAL + 1):
        ports.holders[port] = {holder: None}  # type: ignore[dict-item]
    fd = call.socket(AF_INET, DATAGRAM)
    with pytest.raises(EADDRINUSE):
        call.bind(fd, inet("127.0.0.1", 0))
    with pytest.raises(EAGAIN):
        call.send(fd, b"x", 0, inet("127.0.0.1", 9))
    ports.holders.clear()


def test_low_ports_need_a_capability(call: SocketCaller) -> None:
    call.task.credentials = call.task.credentials.for_user(1000, 1000)
    with pytest.raises(EACCES):
        call.bind(call.socket(AF_INET, STREAM), inet("127.0.0.1", 80))
    assert call.bind(call.socket(AF_INET, STREAM), inet("127.0.0.1", 1024)) == 0


def test_a_connection_waits_for_a_place_in_the_backlog(call: SocketCaller) -> None:
    listener = call.listener(port=5000, backlog=0)
    address = inet("127.0.0.1", 5000)
    assert call.connect(call.socket(AF_INET, STREAM), address) == 0
    waiting = call.socket(AF_INET, STREAM)
    with pytest.raises(Sleep) as sleeping:
        call.connect(waiting, address)
    assert sleeping.value.interrupted is ERESTARTSYS
    call("accept", listener, 0, 0)
    # The SYN is sent again a second after the first.
    call.pass_time(10**9)
    call.kernel.timers.run_due()
    assert call.again() == 0
    call("accept", listener, 0, 0)


def test_an_attempt_to_connect_times_out(call: SocketCaller) -> None:
    call.listener(port=5000, backlog=0)
    address = inet("127.0.0.1", 5000)
    call.connect(call.socket(AF_INET, STREAM), address)
    fd = call.socket(AF_INET, STREAM | NON_BLOCKING)
    with pytest.raises(EINPROGRESS):
        call.connect(fd, address)
    # Ten times it was sent again: a second apart at first, and then twice as far each time.
    for _ in range(131):
        call.pass_time(10**9)
        call.kernel.timers.run_due()
    assert call.option(fd, SOL_SOCKET, SO_ERROR) == ETIMEDOUT.number


def test_a_listener_that_closes_refuses_those_who_wait(call: SocketCaller) -> None:
    listener = call.listener(port=5000, backlog=0)
    address = inet("127.0.0.1", 5000)
    call.connect(call.socket(AF_INET, STREAM), address)
    fd = call.socket(AF_INET, STREAM)
    with pytest.raises(Sleep):
        call.connect(fd, address)
    call("close", listener)
    call.pass_time(10**9)
    call.kernel.timers.run_due()
    with pytest.raises(ECONNREFUSED):
        call.again()


def test_ports_of_closed_connections_are_kept_for_a_minute(call: SocketCaller) -> None:
    client, server = call.connection()
    port = call.port(client)
    call("close", client)
    call("close", server)
    fd = call.socket(AF_INET, STREAM)
    with pytest.raises(EADDRINUSE):
        call.bind(fd, inet("127.0.0.1", port))
    call.pass_time(TIME_WAIT_NS)
    call.network.tcp.expire()
    assert call.bind(fd, inet("127.0.0.1", port)) == 0


def test_a_timeout_ends_a_receive_and_keeps_it_from_being_restarted(call: SocketCaller) -> None:
    client, _ = call.connection()
    call("setsockopt", client, SOL_SOCKET, SO_RCVTIMEO, pack("<qq", 2, 0), 16)
    with pytest.raises(Sleep) as sleeping:
        call.receive(client, 10, 0)
    assert sleeping.value.interrupted is EINTR
    assert sleeping.value.deadline_ns is not None
    call.pass_time(SECOND_NS)
    with pytest.raises(Sleep) as again:
        call.again()
    assert again.value.deadline_ns == sleeping.value.deadline_ns
    call.pass_time(SECOND_NS)
    with pytest.raises(EAGAIN):
        call.again()


def test_what_a_long_write_sent_is_its_result_when_it_is_interrupted(call: SocketCaller) -> None:
    client, server = call.connection()
    call.set_option(client, SOL_SOCKET, SO_SNDBUF, 5000)
    call.set_option(server, SOL_SOCKET, SO_RCVBUF, 5000)
    data = call.put(bytes(100_000))
    with pytest.raises(Sleep) as sleeping:
        call("write", client, data, 100_000)
    sent = sleeping.value.interrupted
    assert isinstance(sent, int)
    assert 10_000 <= sent < 100_000
    got = len(call.receive(server, 100_000))
    with pytest.raises(Sleep) as again:
        call.again()
    assert again.value.interrupted == sent + got


def test_many_short_writes_take_little_room(call: SocketCaller) -> None:
    client, server = call.connection()
    call.set_option(client, SOL_TCP, TCP_NODELAY, 1)
    for _ in range(3000):
        call.next_address = 0x100000
        call.send(client, b"ab")
    queue = call.object(server).arrived  # type: ignore[attr-defined]
    assert queue.length == 6000
    assert len(queue.chunks) < 5
    assert call.receive(server, 6001) == b"ab" * 3000


def test_full_buffers_of_the_machine_slow_everybody_down(call: SocketCaller) -> None:
    client, server = call.connection()
    one, other = call.pair(STREAM)
    system = call.system
    system.buffered_bytes += system.maximum_buffered_bytes
    assert call.send(client, bytes(10_000), DONTWAIT) == 4096
    with pytest.raises(EAGAIN):
        call.send(client, b"x", DONTWAIT)
    assert call.send(one, bytes(1000)) == 1000
    with pytest.raises(EAGAIN):
        call.send(one, b"x", DONTWAIT)
    assert len(call.receive(other)) == 1000
    assert call.send(one, b"x") == 1
    system.buffered_bytes -= system.maximum_buffered_bytes
    assert call.send(client, bytes(10_000)) == 10_000
    assert len(call.receive(server, 20_000)) == 14_096


def test_reuse_of_an_address_needs_both(call: SocketCaller) -> None:
    one, other = call.socket(AF_INET, STREAM), call.socket(AF_INET, STREAM)
    call.set_option(one, SOL_SOCKET, SO_REUSEADDR, 1)
    call.bind(one, inet("127.0.0.1", 5000))
    with pytest.raises(EADDRINUSE):
        call.bind(other, inet("0.0.0.0", 5000))
    call.set_option(other, SOL_SOCKET, SO_REUSEADDR, 1)
    assert call.bind(other, inet("0.0.0.0", 5000)) == 0
    assert call("listen", one, 1) == 0
    with pytest.raises(EADDRINUSE):
        call("listen", other, 1)


def test_a_datagram_goes_to_the_socket_that_fits_best(call: SocketCaller) -> None:
    wildcard, exact = call.socket(AF_INET, DATAGRAM), call.socket(AF_INET, DATAGRAM)
    six, client = call.socket(AF_INET6, DATAGRAM), call.socket(AF_INET, DATAGRAM)
    for fd in (wildcard, exact, six):
        call.set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    call.bind(wildcard, inet("0.0.0.0", 5000))
    call.bind(exact, inet("127.0.0.2", 5000))
    call.bind(six, inet6(b"", 5000))
    call.send(client, b"to 2", 0, inet("127.0.0.2", 5000))
    call.send(client, b"to 3", 0, inet("127.0.0.3", 5000))
    call.send(call.socket(AF_INET6, DATAGRAM), b"to ::1", 0, inet6(b"\1", 5000))
    assert call.receive(exact) == b"to 2"
    assert call.receive(wildcard) == b"to 3"
    assert call.receive(six) == b"to ::1"


def test_segments_keep_a_length_however_short_packets_are(call: SocketCaller) -> None:
    client, _ = call.connection()
    for mtu in (76, 68):
        call("ioctl", client, SIOCSIFMTU, call.put(b"lo".ljust(16, b"\0") + pack("<i", mtu).ljust(24, b"\0")))
        assert call.send(client, b"x" * 40, MSG_MORE) == 40
        assert call.option(client, SOL_TCP, TCP_MAXSEG) == 36


def test_held_bytes_that_find_nobody_are_given_back(call: SocketCaller) -> None:
    """However they are let go: by an option, by shutdown(2), by close(2), or after a while."""
    account = call.kernel.memory.account
    for way in range(4):
        client, server = call.connection()
        assert call.send(client, b"abc", MSG_MORE) == 3
        call("close", server)
        assert account.kinds[SOCKET_BUFFER] == 3
        if way == 0:
            call.set_option(client, SOL_TCP, TCP_NODELAY, 1)
        elif way == 1:
            call("shutdown", client, 1)
        elif way == 2:
            call.pass_time(SECOND_NS)
            call.kernel.timers.run_due()
        call("close", client)
        assert account.kinds[SOCKET_BUFFER] == 0
    assert call.system.buffered_bytes == 0


@pytest.mark.parametrize(("kind", "protocol"), [(DATAGRAM, 0), (RAW, 200)])
def test_a_part_of_a_packet_is_paid_for_while_it_waits(call: SocketCaller, kind: int, protocol: int) -> None:
    account, nobody = call.kernel.memory.account, inet("127.0.0.1", 0 if protocol else 9)
    for is_sent in (True, False):
        fd = call.socket(AF_INET, kind, protocol)
        assert call.send(fd, bytes(1000), MSG_MORE, nobody) == 1000
        head = account.kinds[SOCKET_BUFFER]
        assert head > 1000
        assert call.send(fd, bytes(1000), MSG_MORE, nobody) == 1000
        assert account.kinds[SOCKET_BUFFER] >= head + 1000
        if is_sent:
            assert call.send(fd, b"x", 0, nobody) == 1
            assert account.kinds[SOCKET_BUFFER] == call.object(fd).arrived_bytes  # type: ignore[attr-defined]
        call("close", fd)
        assert account.kinds[SOCKET_BUFFER] == 0


def test_what_is_held_back_is_not_among_what_was_sent(call: SocketCaller) -> None:
    client, _ = call.connection()
    call.send(client, b"abc", MSG_MORE)
    address, length = call.space(256), call.put(pack("<i", 256))
    call("getsockopt", client, SOL_TCP, TCP_INFO, address, length)
    info = TcpInfo.unpack_from(call.read(address, TcpInfo.SIZE))
    # The SYN counts as a byte.
    assert (info.tcpi_bytes_acked, info.tcpi_bytes_sent, info.tcpi_notsent_bytes) == (1, 0, 3)


def test_deferred_connections_that_are_reset_are_gone(call: SocketCaller) -> None:
    listener = call.listener(backlog=1)
    call.set_option(listener, SOL_TCP, TCP_DEFER_ACCEPT, 60)
    before = call.kernel.memory.account.kinds[SOCKET]
    for _ in range(5):
        client = call.socket(AF_INET, STREAM)
        call.connect(client, inet("127.0.0.1", call.port(listener)))
        call("setsockopt", client, SOL_SOCKET, SO_LINGER, pack("<ii", 1, 0), 8)
        call("close", client)
    assert call.kernel.memory.account.kinds[SOCKET] == before


def test_groups_and_their_sources_are_charged(call: SocketCaller) -> None:
    account = call.kernel.memory.account
    before = account.kinds[SOCKET]
    fd = call.socket(AF_INET, DATAGRAM)
    alone = account.kinds[SOCKET]
    group, loopback = bytes((239, 1, 2, 3)), bytes((127, 0, 0, 1))
    call("setsockopt", fd, 0, IP_ADD_MEMBERSHIP, group + loopback, 8)
    joined = account.kinds[SOCKET]
    assert joined - alone >= 320
    for source in range(10):
        value = group + loopback + bytes((10, 0, 0, source))
        call("setsockopt", fd, 0, IP_BLOCK_SOURCE, value, len(value))
    assert account.kinds[SOCKET] - joined >= 10 * 57
    for count in (3, 10, 0):
        value = group + loopback + pack("<ii", 0, count) + bytes(range(4 * count))
        call("setsockopt", fd, 0, IP_MSFILTER, value, len(value))
        assert account.kinds[SOCKET] - joined >= count * 57
    call("setsockopt", fd, 0, IP_DROP_MEMBERSHIP, group + loopback, 8)
    assert account.kinds[SOCKET] == alone
    call("setsockopt", fd, 0, IP_ADD_MEMBERSHIP, group + loopback, 8)
    call("close", fd)
    assert account.kinds[SOCKET] == before


def test_what_routers_are_still_to_be_told_is_no_memory_groups(call: SocketCaller) -> None:
    """It's given back by a timer, when anybody may run."""
    memory, payer = call.kernel.memory, Mock()
    before = memory.account.kinds[INTERFACE]
    fd = call.socket(AF_INET, DATAGRAM)
    value = bytes((239, 1, 2, 3)) + bytes((127, 0, 0, 1))
    memory.payer = payer
    try:
        call("setsockopt", fd, 0, IP_ADD_MEMBERSHIP, value, len(value))
        call("setsockopt", fd, 0, IP_DROP_MEMBERSHIP, value, len(value))
    finally:
        memory.payer = None
    assert memory.account.kinds[INTERFACE] > before
    assert {each.args[0] for each in payer.charge_kernel.call_args_list} == {SOCKET}


def test_queued_errors_take_room(call: SocketCaller) -> None:
    account = call.kernel.memory.account
    fd = call.socket(AF_INET, DATAGRAM)
    call.set_option(fd, 0, IP_RECVERR, 1)
    call.set_option(fd, SOL_SOCKET, SO_RCVBUF, 20_000)
    target = inet("127.0.0.1", 9)
    for _ in range(20):
        try:
            call.send(fd, b"x" * 9000, 0, target)
        except ECONNREFUSED:
            continue
    assert 18_000 <= account.kinds[SOCKET_BUFFER] <= 40_000
    assert len(call.receive(fd, 9999, ERRQUEUE)) == 9000
    assert account.kinds[SOCKET_BUFFER] > 9_000
    call("close", fd)
    assert account.kinds[SOCKET_BUFFER] == 0


@pytest.mark.parametrize("is_closed", [False, True])
def test_what_no_filter_lets_in_is_given_up(call: SocketCaller, is_closed: bool) -> None:
    account = call.kernel.memory.account
    before = account.kinds[SOCKET]
    client, server = call.connection()
    program = call.put(pack("<HBBI", 6, 0, 0, 0))
    call("setsockopt", server, SOL_SOCKET, SO_ATTACH_FILTER, pack("<QQ", 1, program), 16)
    call.send(client, b"abc")
    if is_closed:
        call("close", client)
    for _ in range(20):
        assert account.kinds[SOCKET_BUFFER] == 3
        call.pass_time(130 * SECOND_NS)
        call.kernel.timers.run_due()
        if account.kinds[SOCKET_BUFFER] == 0:
            break
    assert account.kinds[SOCKET_BUFFER] == 0
    if not is_closed:
        assert call.option(client, SOL_SOCKET, SO_ERROR) == ETIMEDOUT.number
        call("close", client)
    call("close", server)
    assert account.kinds[SOCKET] == before

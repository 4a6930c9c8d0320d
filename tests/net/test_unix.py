"""Local sockets: limits and collection of files in flight, and what a machine's bounds mean for them."""

from __future__ import annotations

from struct import pack, unpack

import pytest

from procession.abi.errno import EAGAIN, ENFILE, ETOOMANYREFS
from procession.fs.wait_queue import Sleep
from procession.net import socket_file
from tests.net.conftest import AF_UNIX, DATAGRAM, SOL_SOCKET, STREAM, SocketCaller, unix

SO_PASSCRED, SO_PEERPIDFD, SO_PASSPIDFD = 16, 77, 76
SCM_PIDFD = 4
RLIMIT_NOFILE = 7


def send_files(call: SocketCaller, fd: int, *fds: int) -> int:
    """sendmsg(2) of a byte with descriptors."""
    body = b"".join(pack("<i", each) for each in fds)
    control = pack("<Qii", 16 + len(body), SOL_SOCKET, 1) + body
    vector = pack("<QQ", call.put(b"x"), 1)
    header = pack("<QQQQQQQ", 0, 0, call.put(vector), 1, call.put(control), len(control), 0)
    return call("sendmsg", fd, header, 0)


def receive_control(call: SocketCaller, fd: int) -> list[tuple[int, bytes]]:
    """The control messages of the next message, as (type, data)."""
    vector = pack("<QQ", call.space(100), 100)
    control = call.space(200)
    header = call.put(pack("<QQQQQQQ", 0, 0, call.put(vector), 1, control, 200, 0))
    call("recvmsg", fd, header, 0)
    used = call.number(header + 40, 8)
    data, found = call.read(control, used), []
    while len(data) >= 16:
        length, _, kind = unpack("<Qii", data[:16])
        found.append((kind, data[16:length]))
        data = data[(length + 7) // 8 * 8 :]
    return found


def test_files_in_flight_are_limited_for_each_user(call: SocketCaller) -> None:
    one, _ = call.pair(DATAGRAM)
    call.task.credentials = call.task.credentials.for_user(1000, 1000)
    call.task.group.limits.soft[RLIMIT_NOFILE] = 3
    for _ in range(4):
        send_files(call, one, one)
    with pytest.raises(ETOOMANYREFS):
        send_files(call, one, one)
    assert call.system.files_in_flight == {1000: 4}


def test_a_circle_of_sockets_in_flight_is_collected(call: SocketCaller) -> None:
    pairs = [call.pair(STREAM) for _ in range(4)]
    reader, writer = call.pipe()
    for (sender, _), (_, held) in zip(pairs, pairs[1:] + pairs[:1], strict=True):
        send_files(call, sender, held)
    send_files(call, pairs[0][0], writer)
    call("close", writer)
    for pair in pairs:
        for fd in pair:
            call("close", fd)
    one, _ = call.pair(STREAM)
    call("close", one)
    assert call.system.in_flight == {}
    assert call("read", reader, call.space(1), 1) == 0


def test_what_a_listener_holds_in_unaccepted_connections_is_collected(call: SocketCaller) -> None:
    listener = call.socket(AF_UNIX, STREAM)
    call.bind(listener, unix(b"\0listener"))
    call("listen", listener, 5)
    client = call.socket(AF_UNIX, STREAM)
    call.connect(client, unix(b"\0listener"))
    send_files(call, client, listener)
    send_files(call, client, client)
    call("close", listener)
    call("close", client)
    one, _ = call.pair(STREAM)
    call("close", one)
    assert call.system.in_flight == {}
    assert call.network.unix.abstract == {}


def test_a_socket_that_somebody_can_still_reach_is_kept(call: SocketCaller) -> None:
    outer, inner = call.pair(STREAM), call.pair(STREAM)
    call.send(inner[0], b"kept")
    send_files(call, outer[0], inner[1])
    send_files(call, inner[0], inner[0])
    call("close", inner[0])
    call("close", inner[1])
    other, _ = call.pair(STREAM)
    call("close", other)
    [(_, body)] = receive_control(call, outer[1])
    assert call.receive(unpack("<i", body)[0]) == b"keptx"


def test_pidfds_of_peers(call: SocketCaller) -> None:
    one, other = call.pair(STREAM)
    pidfd = call.option(one, SOL_SOCKET, SO_PEERPIDFD)
    details = call.task.files.files[pidfd].show_details()
    assert details.startswith(b"Pid:\t%d\n" % call.task.tgid)
    call.set_option(other, SOL_SOCKET, SO_PASSPIDFD, 1)
    call.send(one, b"x")
    [(kind, body)] = receive_control(call, other)
    assert kind == SCM_PIDFD
    assert call.task.files.files[unpack("<i", body)[0]].show_details() == details


def test_the_kernel_names_sockets_that_tell_who_they_are(call: SocketCaller) -> None:
    server, client = call.socket(AF_UNIX, DATAGRAM), call.socket(AF_UNIX, DATAGRAM)
    call.bind(server, unix(b"\0server"))
    call.set_option(client, SOL_SOCKET, SO_PASSCRED, 1)
    call.send(client, b"x", 0, unix(b"\0server"))
    assert call.name(client) == unix(b"\x0000000")


def test_automatic_names_are_given_in_turn(call: SocketCaller) -> None:
    names = []
    for _ in range(3):
        fd = call.socket(AF_UNIX, STREAM)
        call.bind(fd, unix(b""))
        names.append(call.name(fd)[3:])
    assert names == [b"00000", b"00001", b"00002"]


def test_sockets_are_counted(call: SocketCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    call.pair(STREAM)
    monkeypatch.setattr(socket_file, "SOCKETS_LIMIT", call.system.live_count + 1)
    with pytest.raises(ENFILE):
        call.pair(STREAM)
    fd = call.socket(AF_UNIX, STREAM)
    with pytest.raises(ENFILE):
        call.socket(AF_UNIX, STREAM)
    call("close", fd)
    assert call.socket(AF_UNIX, STREAM) == fd


def test_waiting_for_all_bytes_remembers_how_far_it_got(call: SocketCaller) -> None:
    one, other = call.pair(STREAM)
    call.send(one, b"abc")
    with pytest.raises(Sleep) as sleeping:
        call.receive(other, 8, 0x100)
    assert sleeping.value.interrupted == 3
    call.send(one, b"defgh")
    assert call.again() == 8


def test_a_datagram_wakes_who_waits_for_a_place(call: SocketCaller) -> None:
    server, client = call.socket(AF_UNIX, DATAGRAM), call.socket(AF_UNIX, DATAGRAM)
    call.bind(server, unix(b"\0server"))
    call.connect(client, unix(b"\0server"))
    for _ in range(11):
        call.send(client, b"x")
    with pytest.raises(Sleep) as sleeping:
        call.send(client, b"y")
    assert sleeping.value.queues == (call.object(server).place_queue,)  # type: ignore[attr-defined]
    with pytest.raises(EAGAIN):
        call.send(client, b"y", 0x40)
    call.receive(server)
    assert call.again() == 1

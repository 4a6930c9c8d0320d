"""What /proc/net and /proc/sys/net show of a machine's sockets."""

from __future__ import annotations

from procession.fs import opening
from tests.net.conftest import AF_INET, AF_INET6, AF_UNIX, DATAGRAM, STREAM, SocketCaller, inet, inet6, unix


def read(call: SocketCaller, name: str) -> list[bytes]:
    """The lines of a file below /proc."""
    task = call.task
    file = opening.open(task.fs, task.credentials, b"/proc/" + name.encode())
    data = file.read(65_536)
    file.release_if_unheld()
    return data.splitlines()


def fields(call: SocketCaller, name: str) -> list[list[bytes]]:
    """The words of each line but the heading."""
    return [line.split() for line in read(call, name)[1:]]


def inode(call: SocketCaller, fd: int) -> bytes:
    return b"%d" % call.task.files.files[fd].inode.number


def test_tcp_connections(call: SocketCaller) -> None:
    listener = call.listener(port=80)
    client = call.socket(AF_INET, STREAM)
    call.connect(client, inet("127.0.0.1", 80))
    server = call("accept", listener, 0, 0)
    call.send(client, b"abc")
    rows = fields(call, "net/tcp")
    assert [row[3] for row in rows] == [b"0A", b"01", b"01"]
    assert rows[0][1] == b"0100007F:0050"
    assert [row[9] for row in rows] == [inode(call, fd) for fd in (listener, client, server)]
    assert rows[2][4] == b"00000000:00000003"
    assert all(len(line) == 149 for line in read(call, "net/tcp"))
    call("close", client)
    call.receive(server)
    call("close", server)
    assert [row[3] for row in fields(call, "net/tcp")] == [b"0A", b"06"]


def test_sockets_of_ipv6(call: SocketCaller) -> None:
    fd = call.socket(AF_INET6, STREAM)
    call.bind(fd, inet6(b"\1", 8080))
    call("listen", fd, 5)
    [row] = fields(call, "net/tcp6")
    assert row[1] == b"00000000000000000000000001000000:1F90"
    assert fields(call, "net/tcp") == []


def test_udp_sockets(call: SocketCaller) -> None:
    fd, sender = call.socket(AF_INET, DATAGRAM), call.socket(AF_INET, DATAGRAM)
    call.bind(fd, inet("0.0.0.0", 53))
    call.send(sender, b"x", 0, inet("127.0.0.1", 53))
    rows = fields(call, "net/udp")
    assert rows[0][1:5] == [b"00000000:0035", b"00000000:0000", b"07", b"00000000:00000340"]
    assert len(rows) == 2
    counted = read(call, "net/dev")[2].split()
    assert counted[:3] == [b"lo:", b"29", b"1"]


def test_local_sockets(call: SocketCaller) -> None:
    listener = call.socket(AF_UNIX, STREAM)
    call.bind(listener, unix(b"\0a\0b"))
    call("listen", listener, 5)
    client = call.socket(AF_UNIX, STREAM)
    call.connect(client, unix(b"\0a\0b"))
    named = call.socket(AF_UNIX, DATAGRAM)
    call.bind(named, unix(b"/tmp/name\0"))
    rows = fields(call, "net/unix")
    assert [row[3:8] for row in rows] == [
        [b"00010000", b"0001", b"01", inode(call, listener), b"@a@b"],
        [b"00000000", b"0001", b"03", inode(call, client)],
        [b"00000000", b"0001", b"02", b"0", b"@a@b"],
        [b"00000000", b"0002", b"01", inode(call, named), b"/tmp/name"],
    ]


def test_counts(call: SocketCaller) -> None:
    call.connection()
    call.socket(AF_INET, DATAGRAM)
    lines = read(call, "net/sockstat")
    assert lines[0] == b"sockets: used 3"
    assert lines[1].startswith(b"TCP: inuse 2 orphan 0 tw 0 alloc 2")


def test_limits(call: SocketCaller) -> None:
    assert read(call, "sys/net/core/somaxconn") == [b"4096"]
    assert read(call, "sys/net/ipv4/ip_local_port_range") == [b"32768\t60999"]
    assert read(call, "sys/net/unix/max_dgram_qlen") == [b"10"]


def test_every_process_has_the_network(call: SocketCaller) -> None:
    assert read(call, f"{call.task.tgid}/net/if_inet6")[0].endswith(b"lo")
    assert read(call, "self/net/route")[0].startswith(b"Iface")

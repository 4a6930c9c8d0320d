"""Tests of how a trace shows what calls on sockets pass."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from procession.machine import Machine
from procession.trace.socket import (
    control_text,
    message_text,
    option_text,
    option_value_text,
    socket_address_text,
)
from tests.net.conftest import SocketCaller, inet, inet6, unix


@pytest.fixture
def call(tmp_path: Path) -> SocketCaller:
    return SocketCaller(Machine(rootfs=tmp_path, memory=16 << 20, engine="scripted"))


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (unix(b""), "{sa_family=AF_UNIX}"),
        (unix(b"/a/name\0"), '{sa_family=AF_UNIX, sun_path="/a/name"}'),
        (unix(b"\0abstract"), '{sa_family=AF_UNIX, sun_path=@"abstract"}'),
        (inet("127.0.0.1", 80), '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}'),
        (
            inet6(b"\1", 9),
            '{sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", '
            "&sin6_addr), sin6_scope_id=0}",
        ),
        (pack("<HHII", 16, 0, 7, 1), "{sa_family=AF_NETLINK, nl_pid=7, nl_groups=00000001}"),
        (pack("<H2s", 17, b"ab"), '{sa_family=AF_PACKET, sa_data="ab"}'),
    ],
)
def test_addresses(call: SocketCaller, address: bytes, text: str) -> None:
    assert socket_address_text(call.task.mm, call.put(address), len(address)) == text


def test_addresses_that_cannot_be_read(call: SocketCaller) -> None:
    assert socket_address_text(call.task.mm, 0, 16) == "NULL"
    assert socket_address_text(call.task.mm, 8, 16) == "0x8"
    assert socket_address_text(call.task.mm, call.put(b"\2"), 1).startswith("0x")


def test_options(call: SocketCaller) -> None:
    assert option_text(1, 2) == "SO_REUSEADDR"
    assert option_text(6, 1) == "TCP_NODELAY"
    assert option_text(41, 26) == "IPV6_V6ONLY"
    assert option_text(99, 26) == "0x1a"
    assert option_value_text(call.task.mm, call.put(pack("<i", -1)), 4) == "[-1]"
    assert option_value_text(call.task.mm, call.put(b"cubic"), 5) == '"cubic"'


def test_messages(call: SocketCaller) -> None:
    control = pack("<Qiiii", 24, 1, 1, 3, 4)
    vector = call.put(pack("<QQ", call.put(b"hello"), 5))
    header = call.put(pack("<QQQQQQQ", 0, 0, vector, 1, call.put(control), len(control), 0))
    assert message_text(call.task.mm, header, None) == (
        '{msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="hello", iov_len=5}], msg_iovlen=1, '
        "msg_control=[{cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[3, 4]}], "
        "msg_controllen=24, msg_flags=0}"
    )
    assert 'iov_base="he", iov_len=5' in message_text(call.task.mm, header, 2)
    credentials = pack("<QiiiII", 28, 1, 2, 7, 8, 9)
    assert "cmsg_data={pid=7, uid=8, gid=9}" in control_text(call.task.mm, call.put(credentials), 28)
    assert message_text(call.task.mm, 8, None) == "0x8"


def test_malformed_control_messages_end(call: SocketCaller) -> None:
    assert control_text(call.task.mm, call.put(bytes(64)), 64).count("cmsg_len=0") == 1

"""Bytes at the debugger's port: packets are taken apart, and nothing else does any harm."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

import pytest

from procession import Machine
from procession.gdbserver.connection import listen
from procession.gdbserver.debugger import Debugger
from procession.gdbserver.packet import LONGEST_PACKET, PacketReader, escaped, framed, unescaped
from procession.gdbserver.signals import from_protocol, to_protocol

REQUESTS = (
    *(
        b"?",
        b"g",
        b"G00",
        b"p0",
        b"pffffffff",
        b"P0=00",
        b"P0=0000000000000000",
        b"m0,8",
        b"m7fffffffe000,40",
    ),
    *(b"mffffffffffffffff,ffffffff", b"M0,1:00", b"X0,1:}", b"Hg0", b"Hgp1.1", b"Hgp-1.-1", b"Hc-1", b"T0"),
    *(
        b"Tp2.2",
        b"qSupported:multiprocess+;fork-events+",
        b"qfThreadInfo",
        b"qsThreadInfo",
        b"qC",
        b"qAttached",
    ),
    *(b"qRcmd,7073", b"qXfer:features:read:target.xml:0,100", b"qXfer:auxv:read::0,1000", b"qXfer::::"),
    *(b"qXfer:osdata:read:nothing:0,1", b"qXfer:siginfo:read::0,80", b"qXfer:exec-file:read:2:0,ff"),
    *(
        b"vFile:open:2f,0,0",
        b"vFile:open:2f6574632f706173737764,0,0",
        b"vFile:pread:3,10,0",
        b"vFile:close:3",
    ),
    *(
        b"vFile:fstat:9",
        b"vCont?",
        b"Z0,0,1",
        b"z0,0,1",
        b"Z2,7ffff7ff0000,8",
        b"Z9,0,0",
        b"QPassSignals:e;zz",
    ),
    *(b"QCatchSyscalls:1;1", b"vAttach;1", b"vAttach;ffff", b"", b"\xff\xfe", b"D;9999", b"QStartNoAckMode"),
)


def test_packets_are_framed_and_found() -> None:
    reader = PacketReader()
    reader.feed(b"+-junk\x03" + framed(b"qC") + framed(b"g")[:-1])
    assert reader.next_packet() == b"qC"
    assert reader.was_interrupted
    assert reader.next_packet() is None
    reader.feed(framed(b"g")[-1:])
    assert reader.next_packet() == b"g"
    assert bytes(reader.replies) == b"++"


def test_wrong_checksum_is_refused() -> None:
    reader = PacketReader()
    reader.feed(b"$qC#00" + framed(b"qC"))
    assert reader.next_packet() == b"qC"
    assert bytes(reader.replies) == b"-+"


def test_binary_data_survives() -> None:
    data = bytes(range(256)) * 3
    assert unescaped(escaped(data)) == data
    assert not set(b"#$") & set(escaped(data))


def test_endless_packet_is_refused() -> None:
    reader = PacketReader()
    with pytest.raises(ValueError, match="without an end"):
        reader.feed(b"$" + b"x" * LONGEST_PACKET)


def test_signals_have_the_protocols_numbers() -> None:
    assert [to_protocol(number) for number in (7, 10, 17, 19, 34, 64)] == [10, 30, 20, 17, 46, 78]
    assert all(from_protocol(to_protocol(number)) == number for number in range(1, 65) if number != 16)
    assert from_protocol(9999) == 0


@pytest.mark.parametrize("seed", range(6))
def test_hostile_bytes_do_no_harm(seed: int) -> None:
    """Requests in any order, cut and changed: the run ends as it does without a debugger."""
    chance = random.Random(seed)
    machine = Machine(seed=1)
    listener = listen(0)
    port = listener.getsockname()[1]
    machine.debugger = debugger = Debugger(machine, listener)

    def attack() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client, suppress(OSError):
            client.settimeout(0.2)
            for _ in range(60):
                request = bytearray(chance.choice(REQUESTS))
                if request and chance.random() < 0.5:
                    request[chance.randrange(len(request))] = chance.randrange(256)
                client.sendall(framed(bytes(request)) if chance.random() < 0.9 else bytes(request))
                with suppress(TimeoutError):
                    client.recv(65536) if chance.random() < 0.1 else None
            client.sendall(framed(b"vCont;c"))

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        result = machine.run(["/bin/true"])
    finally:
        debugger.close()
        thread.join()
        machine.close()
    # A byte may have made of a request the one that kills the program.
    assert result.status in (0, 137)
    assert result.reason == ""

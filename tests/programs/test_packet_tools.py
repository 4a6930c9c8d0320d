"""Tools that look at packets and neighbours, from Debian, unmodified."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procession import Machine

pytestmark = pytest.mark.heavy

PAIR = """
ip link set lo up
ip netns add b; ip link add v0 type veth peer name v1 netns b
ip addr add 10.0.0.1/24 dev v0; ip link set v0 up
ip -n b addr add 10.0.0.2/24 dev v1; ip -n b link set v1 up; ip -n b link set lo up
"""
SERVER = """
import os, socket
listener = socket.create_server(("10.0.0.2", 8000))
if os.fork() == 0:
    connection, _ = listener.accept()
    connection.sendall(connection.recv(10).upper())
    connection.close()
    os._exit(0)
"""
CLIENT = """
import socket
connection = socket.create_connection(("10.0.0.2", 8000))
connection.sendall(b"hello")
print(connection.recv(10))
print(connection.recv(10))
"""
RunScript = Callable[[str], list[str]]


@pytest.fixture
def run_script(containers_root: Path) -> Iterator[RunScript]:
    """Return a function that runs a script of bash between two networks, and gives the lines it prints."""
    machines: list[Machine] = []

    def run(script: str) -> list[str]:
        machine = Machine(rootfs=containers_root)
        machines.append(machine)
        result = machine.run(["bash", "-c", PAIR + script], time_limit_s=600)
        assert result.reason == ""
        return (result.stdout + result.stderr).decode().splitlines()

    yield run
    for machine in machines:
        machine.close()


def test_tcpdump_shows_what_passes_an_interface(run_script: RunScript) -> None:
    """Questions for neighbours, pings, and all segments of a connection, in a ring of version 3."""
    lines = run_script(f"""
        timeout 5 tcpdump -Z root -n -i v0 -c 15 -l >/tmp/seen 2>/tmp/said & sleep 1
        ping -c 1 10.0.0.2 >/dev/null
        ip netns exec b python3 -c '{SERVER}'
        python3 -c '{CLIENT}'
        wait; cat /tmp/seen /tmp/said""")
    seen = [
        re.sub(r"^\d\d:[\d:.]+ |, options \[.*?\]|, win \d+|, seq \d+|, id \d+", "", line) for line in lines
    ]
    text = re.sub(r"is-at [0-9a-f:]+|10.0.0.1.\d{5}", "X", "\n".join(seen))
    assert "b'HELLO'" in seen
    for expected in (
        "ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28",
        "ARP, Reply 10.0.0.2 X, length 28",
        "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, length 64",
        "IP 10.0.0.2 > 10.0.0.1: ICMP echo reply, length 64",
        "IP X > 10.0.0.2.8000: Flags [S], length 0",
        "IP 10.0.0.2.8000 > X: Flags [S.], ack 0, length 0",
        "IP X > 10.0.0.2.8000: Flags [.], ack 1, length 0",
        "IP X > 10.0.0.2.8000: Flags [P.]:6, ack 1, length 5",
        "IP 10.0.0.2.8000 > X: Flags [.], ack 6, length 0",
        "IP 10.0.0.2.8000 > X: Flags [P.]:6, ack 6, length 5",
        "0 packets dropped by kernel",
    ):
        assert expected in text.splitlines(), text


def test_tcpdump_keeps_what_it_has_seen_everywhere(run_script: RunScript) -> None:
    lines = run_script("""
        timeout 5 tcpdump -Z root -n -i any -c 2 -w /tmp/file icmp 2>/dev/null & sleep 1
        ping -c 1 127.0.0.1 >/dev/null; wait
        tcpdump -Z root -n -r /tmp/file 2>/dev/null""")
    assert [line.split(" ", 1)[1].split(", id")[0] for line in lines] == [
        "lo    In  IP 127.0.0.1 > 127.0.0.1: ICMP echo request",
        "lo    In  IP 127.0.0.1 > 127.0.0.1: ICMP echo reply",
    ]


def test_arping_is_answered(run_script: RunScript) -> None:
    lines = run_script("arping -c 1 -I v0 10.0.0.2; arping -c 1 -w 1 -I v0 10.0.0.9")
    assert lines[0] == "ARPING 10.0.0.2 from 10.0.0.1 v0"
    assert lines[1].startswith("Unicast reply from 10.0.0.2 [")
    assert lines[3] == "Received 1 response(s)"
    assert lines[-1] == "Received 0 response(s)"


def test_conntrack_lists_and_forgets_connections(run_script: RunScript) -> None:
    """And tells of those that begin and end."""
    talk = """
import socket, subprocess
first, second = (socket.socket(type=socket.SOCK_DGRAM) for _ in "ab")
first.bind(("127.0.0.1", 1000))
second.bind(("127.0.0.1", 2000))
second.sendto(b"x", ("127.0.0.1", 1000))
listener = socket.create_server(("127.0.0.1", 8000))
client = socket.create_connection(("127.0.0.1", 8000), source_address=("127.0.0.1", 9000))
server, _ = listener.accept()
client.sendall(b"x")
server.recv(1)
subprocess.run("conntrack -L; conntrack -D -p udp; conntrack -C; conntrack -F; conntrack -C", shell=True)
"""
    lines = run_script(f"""
        nft add table ip t; nft 'add chain ip t c {{ type filter hook input priority 0; }}'
        nft add rule ip t c ct state invalid drop
        conntrack -E -e NEW,DESTROY >/tmp/events 2>/dev/null & sleep 1
        python3 -c '{talk}' 2>/dev/null; kill %1; wait; cat /tmp/events""")
    udp = (
        "src=127.0.0.1 dst=127.0.0.1 sport=2000 dport=1000 [UNREPLIED]"
        " src=127.0.0.1 dst=127.0.0.1 sport=1000 dport=2000"
    )
    tcp = "src=127.0.0.1 dst=127.0.0.1 sport=9000 dport=8000"
    back = "src=127.0.0.1 dst=127.0.0.1 sport=8000 dport=9000"
    found = [re.sub(r"(udp|tcp) +(17|6) \d+ |\[USERSPACE\].*", r"\1 ", line).strip() for line in lines]
    assert found == [
        f"udp {udp} mark=0 use=1",
        f"tcp ESTABLISHED {tcp} {back} [ASSURED] mark=0 use=1",
        f"udp {udp} mark=0 use=1",
        "1",
        "0",
        f"[NEW] udp {udp}",
        f"[NEW] tcp SYN_SENT {tcp} [UNREPLIED] {back}",
        f"[DESTROY] udp {udp}",
        f"[DESTROY] tcp ESTABLISHED {tcp} {back} [ASSURED]",
    ]

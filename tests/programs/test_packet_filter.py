"""iptables and nft filter packets in a network namespace, and say of it what they say on the host's Linux."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from procession import Machine
from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import DIRECTORY, ENVIRONMENT

TALK = r"""
import socket, sys
def report(what, action):
    try: print(what, action())
    except OSError as error: print(what, type(error).__name__, error.errno)
def udp(port):
    server, client = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    server.bind(("127.0.0.1", port)); server.settimeout(0.3)
    client.connect(("127.0.0.1", port)); client.settimeout(0.3)
    def ask():
        client.send(b"question")
        _, sender = server.recvfrom(100)
        server.sendto(b"answer", sender)
        return client.recv(100)
    report(f"udp {port}", ask)
    report(f"udp {port} again", ask)
def tcp(port):
    server = socket.create_server(("127.0.0.1", port)); server.settimeout(0.3)
    def ask():
        client = socket.create_connection(("127.0.0.1", port), 0.3)
        connection, _ = server.accept()
        client.sendall(b"question")
        connection.sendall(connection.recv(100)[::-1])
        return client.recv(100)
    report(f"tcp {port}", ask)
for name, *ports in (word.split(":") for word in sys.argv[1:]):
    for port in ports: {"udp": udp, "tcp": tcp}[name](int(port))
"""
IPTABLES = """
ip link set lo up
talk() { python3 -c "$TALK" "$@"; }
alias iptables=iptables-nft ip6tables=ip6tables-nft
iptables -P INPUT DROP; talk udp:1000 tcp:1000
iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A INPUT -p tcp -m multiport --dports 80,443,8000:8010 -m conntrack --ctstate NEW -j ACCEPT
iptables -A INPUT -p udp --dport 53 -m comment --comment 'names are asked for' -j ACCEPT
talk udp:53:54 tcp:79:80:8005:8011
ping -c1 -W1 127.0.0.1 | grep received
iptables -A INPUT -p icmp --icmp-type echo-request -j ACCEPT; ping -c1 -W1 127.0.0.1 | grep received
iptables -A INPUT -p tcp --dport 113 -j REJECT --reject-with tcp-reset; talk tcp:113
iptables -A INPUT -i lo -j REJECT; talk udp:1000 tcp:1000
iptables -A OUTPUT -p udp --dport 99 -j DROP; talk udp:99
iptables -N web; iptables -A web -s 127.0.0.0/8 -j RETURN; iptables -A web -j DROP
iptables -I INPUT 1 -p tcp --dport 80 --syn -j web; talk tcp:80
iptables -X web; iptables -A INPUT -j nowhere; iptables -D INPUT -p tcp -j DROP
iptables -C INPUT -i lo -j REJECT && echo it is there
iptables -L -n; iptables -S; iptables-nft-save | grep -v '^#' | grep -v '^:'
iptables-nft-save | iptables-nft-restore; iptables -S
ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j REJECT; ip6tables -S
ping -c1 -W1 ::1 | grep -i unreach
iptables -F; iptables -P INPUT ACCEPT; iptables -Z; iptables -X; iptables -S; talk udp:1000 tcp:1000
"""
NFT = """
ip link set lo up
talk() { python3 -c "$TALK" "$@"; }
nft -f - <<END
flush ruleset
table inet filter {
    set ports { type inet_service; flags interval; elements = { 80, 8000-8010 }; }
    map decisions { type inet_service : verdict; elements = { 53 : accept, 54 : drop }; }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        tcp dport @ports counter accept
        udp dport vmap @decisions
        meta l4proto { icmp, ipv6-icmp } accept
        ip saddr 10.0.0.0/8 iifname "eth*" tcp dport != 22-25 jump refused
        iif lo goto refused
    }
    chain refused {
        tcp flags syn / syn,ack reject with tcp reset
        udp dport 1000 reject with icmpx admin-prohibited comment "not here"
        reject
    }
}
END
talk udp:53:54:1000:1001 tcp:80:81:8010:8011
nft -a list ruleset | sed 's/counter packets .* accept/counter accept/'
nft insert rule inet filter input tcp dport 80 drop; talk tcp:80
nft delete rule inet filter input handle 999
nft add rule inet filter nowhere accept; nft create table inet filter
nft add element inet filter ports '{ 81 }'; talk tcp:81
nft delete set inet filter ports; nft delete chain inet filter refused
nft 'add rule inet filter refused jump refused'
nft flush chain inet filter input; nft list chain inet filter input; talk udp:53
nft flush ruleset; nft list ruleset; talk udp:1000 tcp:1000
"""


def script_of(commands: str) -> list[str]:
    talk = f"TALK='{TALK.replace(chr(39), chr(34))}'; exec 2>&1\n"
    return ["unshare", "--net", "dash", "-c", talk + commands]


def expect_the_same(inside: str, native: str) -> None:
    assert inside.splitlines() == native.splitlines()


@pytest.mark.timeout(1800)
@pytest.mark.heavy
def test_iptables(containers_root: Path, tmp_path: Path) -> None:
    """Debian's iptables, which is iptables-nft."""
    linux = NativeLinux(containers_root, tmp_path)
    if linux.why_not():
        pytest.skip(f"programs can't be run natively here: {linux.why_not()}")
    native = linux.run(script_of(IPTABLES))
    machine = Machine(rootfs=containers_root, environment=ENVIRONMENT, cwd=DIRECTORY)
    inside = machine.run(script_of(IPTABLES))
    machine.close()
    text = inside.stdout.decode()
    assert "udp 53 b'answer'" in text
    assert "tcp 113 ConnectionRefusedError 111" in text
    expect_the_same(text, native.stdout.decode())


@pytest.mark.timeout(1800)
@pytest.mark.heavy
def test_nft() -> None:
    """The host's own nft."""
    if shutil.which("nft") is None:
        pytest.skip("the host has no nft")
    native = subprocess.run(script_of(NFT), capture_output=True, text=True, check=False)
    if "Operation not permitted" in native.stderr:
        pytest.skip("there are no network namespaces here")
    machine = Machine()
    inside = machine.run(script_of(NFT))
    machine.close()
    text = inside.stdout.decode()
    assert "tcp 8010 b'noitseuq'" in text
    expect_the_same(text, native.stdout)

"""iptables and nft filter packets in a network namespace, and say of it what they say on the host's Linux."""

from __future__ import annotations

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
iptables -E web www; iptables -S; talk tcp:80; iptables -E www INPUT; iptables -E www web
iptables -X web; iptables -A INPUT -j nowhere; iptables -D INPUT -p tcp -j DROP
iptables -C INPUT -i lo -j REJECT && echo it is there
iptables -L -n; iptables -S; iptables-nft-save | grep -v '^#' | grep -v '^:'
iptables-nft-save | iptables-nft-restore; iptables -S
ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j REJECT; ip6tables -S
ping -c1 -W1 ::1 | grep -i unreach
iptables -F; iptables -P INPUT ACCEPT; iptables -Z; iptables -X; iptables -S; talk udp:1000 tcp:1000
"""
NETWORKS = """
mkdir -p /run/netns
ip link set lo up
ip link add br0 type bridge; ip addr add 10.1.0.1/24 dev br0; ip link set br0 up
ip netns add inner; ip netns add other; ip netns add outer
for name in inner:2 other:3; do
    n=${name%:*}
    ip link add v$n type veth peer name eth0 netns $n; ip link set v$n master br0 up
    ip -n $n link set lo up; ip -n $n addr add 10.1.0.${name#*:}/24 dev eth0; ip -n $n link set eth0 up
    ip -n $n route add default via 10.1.0.1
done
ip link add vout type veth peer name eth0 netns outer; ip addr add 10.9.0.1/24 dev vout; ip link set vout up
ip -n outer addr add 10.9.0.2/24 dev eth0; ip -n outer link set eth0 up; ip -n outer link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
ask() { n=$1; shift; ip netns exec $n python3 -c "$ENDS" ask "$@"; }
talk() {
    rm -f /tmp/serving; ip netns exec $1 python3 -c "$ENDS" serve $2 0.0.0.0 $3 &
    until [ -e /tmp/serving ]; do sleep 0.05; done; shift 3; ask "$@"; wait
}
alias iptables='iptables-nft -t nat'
"""
"""Two containers on a bridge, and a router with a way out."""
NAT = """
iptables -P FORWARD ACCEPT 2>&1
iptables -N DOCKER; iptables -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
iptables -A POSTROUTING -s 10.1.0.0/24 ! -o br0 -j MASQUERADE
iptables -A POSTROUTING -s 10.1.0.0/24 -d 10.1.0.2 -j MASQUERADE
iptables -A DOCKER -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80
iptables -A DOCKER -p udp --dport 5353 -j DNAT --to-destination 10.1.0.2:53
iptables -A DOCKER -p tcp --dport 8081 -j REDIRECT --to-ports 90
echo out; talk outer tcp 1000 inner tcp 10.9.0.2 1000; talk outer udp 1000 inner udp 10.9.0.2 1000
ip netns exec inner ping -c1 -W1 10.9.0.2 | grep received
echo in; talk inner tcp 80 outer tcp 10.9.0.1 8080; talk inner udp 53 outer udp 10.9.0.1 5353
echo round; talk inner tcp 80 other tcp 10.9.0.1 8080
echo refused; ask inner tcp 10.9.0.2 7; ask inner udp 10.9.0.2 7
ask outer tcp 10.9.0.1 8080; ask outer udp 10.9.0.1 5353; ask outer tcp 10.9.0.1 8081
echo nowhere; ask inner tcp 10.9.0.77 7; ask inner udp 10.77.0.1 7
ip netns exec inner ping -c1 -t1 -W1 10.9.0.2 | grep -i exceeded
iptables-nft -A FORWARD -p tcp --dport 80 -j REJECT --reject-with tcp-reset
iptables-nft -A FORWARD -p udp --dport 53 -j REJECT
echo rejected; ask outer tcp 10.9.0.1 8080; ask outer udp 10.9.0.1 5353
iptables -t mangle -A FORWARD -m mark ! --mark 5 -j MARK --set-mark 5
iptables -I POSTROUTING -p udp --dport 1001 -j SNAT --to-source 10.9.0.1:3000-3000
talk outer udp 1001 inner udp 10.9.0.2 1001
iptables -L -n; iptables -S; iptables-nft-save -t nat | grep -v '^#' | grep -v '^:'
iptables -A PREROUTING -j MASQUERADE; iptables-nft -A INPUT -j SNAT --to-source 1.2.3.4
iptables-nft-save | iptables-nft-restore; iptables -S | wc -l; iptables -F; iptables -X; iptables -S
"""
ENDS = r"""
import socket, sys
what, kind, address, port = sys.argv[1:]
one = socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
one.settimeout(5)
try:
    if what == "ask":
        one.connect((address, int(port)))
        one.sendall(b"x" * 5000 if kind == "tcp" else b"question")
        print("told", one.recv(1000).decode(), "by", one.getpeername())
    else:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, int(port)))
        if kind == "tcp": one.listen()
        open("/tmp/serving", "w").close()
        if kind == "tcp":
            connection, sender = one.accept()
            count = 0
            while count < 5000: count += len(connection.recv(5000))
            connection.sendall(f"{count} from {sender[0]} to {connection.getsockname()}".encode())
        else:
            text, sender = one.recvfrom(100)
            one.sendto(f"{len(text)} from {sender[0]}".encode(), sender)
except OSError as error:
    print(what, type(error).__name__, error.errno)
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
nft -f - <<END
table ip nat {
    chain post {
        type nat hook postrouting priority srcnat;
        oifname "out" counter masquerade random
        ip saddr 10.1.0.0/16 meta l4proto tcp snat to 10.0.0.1-10.0.0.9:1000-2000 persistent
    }
    chain pre {
        type nat hook prerouting priority dstnat;
        tcp dport 80 dnat to 10.0.0.2:8080
        fib daddr type local tcp dport 81 redirect to :90
    }
    chain mark { type route hook output priority mangle; meta mark set meta mark | 0x2000; }
}
table inet both {
    chain pre { type nat hook prerouting priority 0; tcp dport 80 dnat ip to 10.0.0.2; }
}
END
nft -a list ruleset; nft add chain ip nat f '{ type nat hook forward priority 0; }'
nft add rule ip nat pre masquerade; nft add rule ip nat post redirect
"""

MONITOR = """
nft monitor >/tmp/ev 2>/tmp/er & sleep 1
nft add table ip t
nft 'add chain ip t c { type filter hook input priority 0; policy accept; }'
nft add chain ip t d
nft add rule ip t c tcp dport 80 counter accept
nft insert rule ip t c udp dport 53 drop
nft add rule ip t c jump d
nft 'add set ip t s { type ipv4_addr; flags interval; }'
nft 'add element ip t s { 10.0.0.0/8, 192.168.0.1 }'
nft 'add map ip t m { type inet_service : verdict; }'
nft 'add element ip t m { 80 : accept, 81 : jump d }'
nft add rule ip t d ip saddr @s drop
nft add rule ip t d tcp dport '{ 1, 2, 3 }' accept
nft delete element ip t s '{ 192.168.0.1 }'
nft rename chain ip t d e
nft -a list chain ip t c | grep udp
nft delete rule ip t c handle 4
nft 'chain ip t c { policy drop; }'
nft flush chain ip t e
nft flush ruleset
sleep 1; kill $!; wait; sed 's/process [0-9]*/process/' /tmp/ev; cat /tmp/er
"""
"""Each kind of change, as who listens is told of it."""


def script_of(commands: str) -> list[str]:
    talk = f"TALK='{TALK.replace(chr(39), chr(34))}' ENDS='{ENDS.replace(chr(39), chr(34))}'; exec 2>&1\n"
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
def test_networks_of_containers(containers_root: Path, tmp_path: Path) -> None:
    """What docker and podman do with iptables: masquerade, and forwarded ports."""
    linux = NativeLinux(containers_root, tmp_path)
    if linux.why_not():
        pytest.skip(f"programs can't be run natively here: {linux.why_not()}")
    native = linux.run(script_of(NETWORKS + NAT))
    machine = Machine(rootfs=containers_root, environment=ENVIRONMENT, cwd=DIRECTORY)
    inside = machine.run(script_of(NETWORKS + NAT))
    machine.close()
    text = inside.stdout.decode()
    assert "told 5000 from 10.9.0.1 to " in text
    assert "by ('10.9.0.1', 8080)" in text
    expect_the_same(text, native.stdout.decode())


@pytest.mark.timeout(1800)
@pytest.mark.heavy
def test_nft(containers_root: Path, tmp_path: Path) -> None:
    """Debian's nft."""
    linux = NativeLinux(containers_root, tmp_path)
    if linux.why_not():
        pytest.skip(f"programs can't be run natively here: {linux.why_not()}")
    native = linux.run(script_of(NFT))
    machine = Machine(rootfs=containers_root, environment=ENVIRONMENT, cwd=DIRECTORY)
    inside = machine.run(script_of(NFT))
    machine.close()
    text = inside.stdout.decode()
    assert "tcp 8010 b'noitseuq'" in text
    expect_the_same(text, native.stdout.decode())


@pytest.mark.timeout(1800)
@pytest.mark.heavy
def test_nft_monitor(containers_root: Path, tmp_path: Path) -> None:
    """Debian's nft as a listener."""
    linux = NativeLinux(containers_root, tmp_path)
    if linux.why_not():
        pytest.skip(f"programs can't be run natively here: {linux.why_not()}")
    native = linux.run(script_of(MONITOR))
    machine = Machine(rootfs=containers_root, environment=ENVIRONMENT, cwd=DIRECTORY)
    inside = machine.run(script_of(MONITOR))
    machine.close()
    text = inside.stdout.decode()
    assert "insert rule ip t c udp dport 53 drop" in text
    expect_the_same(text, native.stdout.decode())

"""Debian's ip, ping and Python build networks of namespaces, and talk over them."""

from __future__ import annotations

import re

import pytest

from tests.programs.conftest import RunProgram

PAIR = """
set -e
ip netns add red; ip netns add blue
ip link add v0 netns red type veth peer name v1 netns blue
ip -n red addr add 10.0.0.1/24 dev v0; ip -n blue addr add 10.0.0.2/24 dev v1
ip -n red link set v0 up; ip -n red link set lo up; ip -n blue link set v1 up
"""
ROUTER = """
set -e
for name in a r b; do ip netns add $name; ip -n $name link set lo up; done
ip link add a0 netns a type veth peer name r0 netns r
ip link add b0 netns b type veth peer name r1 netns r
ip -n a addr add 10.1.0.2/24 dev a0; ip -n r addr add 10.1.0.1/24 dev r0
ip -n b addr add 10.2.0.2/24 dev b0; ip -n r addr add 10.2.0.1/24 dev r1
ip -n a link set a0 up; ip -n b link set b0 up; ip -n r link set r0 up; ip -n r link set r1 up
ip -n a route add default via 10.1.0.1; ip -n b route add default via 10.2.0.1
"""
BRIDGE = """
set -e
ip link add br0 type bridge; ip link set br0 up; ip addr add 192.168.7.254/24 dev br0
for i in 1 2; do
    ip netns add n$i; ip link add p$i type veth peer name eth0 netns n$i
    ip link set p$i master br0; ip link set p$i up
    ip -n n$i addr add 192.168.7.$i/24 dev eth0; ip -n n$i link set eth0 up
done
"""
SERVER = """
import os, socket
listener = socket.create_server(("", 8000))
if os.fork() == 0:
    connection, _ = listener.accept()
    connection.sendall(connection.recv(100).upper())
    os._exit(0)
"""
CLIENT = """
import socket
connection = socket.create_connection(("10.2.0.2", 8000))
connection.sendall(b"hello")
print(connection.recv(100), connection.getsockname()[0])
"""

TAP_ON_A_BRIDGE = """
import fcntl, os, socket, struct, subprocess
file = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(file, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x1002))
subprocess.run("ip link set tap0 master br0; ip link set tap0 up", shell=True, check=True)
mine, here = bytes.fromhex("020000000009"), socket.inet_aton("192.168.7.9")
ask = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'there', ('192.168.7.9', 9))"
def frame():
    while True:
        data = os.read(file, 2000)
        if data[12:14] in (bytes.fromhex("0806"), bytes.fromhex("0800")):
            return data
def arp(operation, to, target):
    front = bytes.fromhex("08060001080006040000")
    os.write(file, to + mine + front[:9] + bytes([operation]) + mine + here + to + target)
socket.socket(type=socket.SOCK_DGRAM).sendto(b"hello", ("192.168.7.9", 9))
asked = frame()
arp(2, asked[6:12], asked[28:32])
told = frame()
print(asked[21], socket.inet_ntoa(asked[28:32]), told[:6] == mine, told[-5:])
subprocess.run(["ip", "netns", "exec", "n1", "python3", "-c", ask], check=True)
asked = frame()
arp(2, asked[6:12], asked[28:32])
told = frame()
print(asked[21], socket.inet_ntoa(asked[28:32]), told[6:12] == asked[6:12], told[-5:])
arp(1, b"\\xff" * 6, socket.inet_aton("192.168.7.2"))
told = frame()
print(told[21], socket.inet_ntoa(told[28:32]), told[6:12] != asked[6:12])
"""


def output_of(run_program: RunProgram, script: str) -> str:
    result = run_program(["sh", "-c", script])
    assert (result.status, result.reason) == (0, ""), result.stderr.decode()
    return result.stdout.decode()


def test_two_namespaces_over_a_veth(run_program: RunProgram) -> None:
    text = output_of(
        run_program,
        PAIR + "ip netns exec red ping -c2 -i0.2 10.0.0.2; ip -n red -br addr show v0; ip -n red route;"
        "ip -n red neigh; ip netns exec red ping -c1 -W5 10.0.0.9 || true; ip -n red neigh show 10.0.0.9;"
        "ip netns del red; ip -n blue link show v1 || echo gone",
    )
    assert "2 packets transmitted, 2 received, 0% packet loss" in text
    assert re.search(r"^v0@if\d+ +UP +10\.0\.0\.1/24 fe80::", text, re.MULTILINE)
    assert "10.0.0.0/24 dev v0 proto kernel scope link src 10.0.0.1" in text
    assert "10.0.0.2 dev v0 lladdr" in text
    assert "From 10.0.0.1 icmp_seq=1 Destination Host Unreachable" in text
    assert "10.0.0.9 dev v0 FAILED" in text
    assert text.endswith("gone\n")


@pytest.mark.heavy
def test_what_a_program_says_of_a_neighbour_is_believed_for_a_while(run_program: RunProgram) -> None:
    state = "ip -n red neigh show 10.0.0.9 | awk '{ print $NF }'"
    tell = "ip -n red neigh replace 10.0.0.9 dev v0 nud stale lladdr $(ip netns exec blue cat $address);"
    send = "ip netns exec red ping -c1 -W1 -q 10.0.0.9 >/dev/null || true;"
    text = output_of(
        run_program,
        PAIR + "address=/sys/class/net/v1/address;"
        f"{tell} {state}; {send} {state}; sleep 5; {state}; sleep 3; {state};"
        f"{tell} {send} ip -n blue addr add 10.0.0.9/24 dev v1; sleep 5; {state}",
    )
    assert text.split() == ["STALE", "DELAY", "PROBE", "FAILED", "REACHABLE"]


@pytest.mark.heavy
def test_a_router_passes_on_what_it_is_told_to(run_program: RunProgram) -> None:
    text = output_of(
        run_program,
        ROUTER + "ip netns exec a ping -c1 -W1 10.2.0.2 || echo silence;"
        "ip netns exec r sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward';"
        "ip netns exec a ping -c1 10.2.0.2; ip netns exec a ping -c1 -t1 10.2.0.2 || true;"
        "ip netns exec a ping -c1 10.3.0.2 || true;"
        f"ip netns exec b python3 -c '{SERVER}'; ip netns exec a python3 -c '{CLIENT}'",
    )
    silence, _, rest = text.partition("silence\n")
    assert "100% packet loss" in silence
    assert "64 bytes from 10.2.0.2: icmp_seq=1 ttl=63" in rest
    assert "From 10.1.0.1 icmp_seq=1 Time to live exceeded" in rest
    assert "From 10.1.0.1 icmp_seq=1 Destination Net Unreachable" in rest
    assert rest.endswith("b'HELLO' 10.1.0.2\n")


@pytest.mark.heavy
def test_namespaces_on_a_bridge(run_program: RunProgram) -> None:
    text = output_of(
        run_program,
        BRIDGE + "ip netns exec n1 ping -c1 192.168.7.2; ip netns exec n2 ping -c1 192.168.7.254;"
        "ping -c1 192.168.7.1; ip link show master br0; ip -d link show p1; ip link set p2 nomaster;"
        "ip netns exec n1 ping -c1 -W1 192.168.7.2 || echo apart",
    )
    assert text.count("1 packets transmitted, 1 received") == 3
    assert "p1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master br0 state UP" in text
    assert text.endswith("apart\n")


def test_a_user_namespace_has_a_network_to_itself(run_program: RunProgram) -> None:
    text = output_of(
        run_program,
        "unshare -Urn sh -c 'ip link add v0 type veth peer name v1; ip link set v0 up; ip -br link;"
        "echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward;"
        "ip link set lo up; ping -c1 127.0.0.1'; ip -br link; cat /proc/sys/net/ipv4/ip_forward",
    )
    inside, _, outside = text.partition("rtt ")
    assert "v0@v1            LOWERLAYERDOWN" in inside
    assert "\n1\nPING 127.0.0.1" in inside
    assert "v0" not in outside
    assert outside.endswith("\n0\n")


def test_who_listens_is_told(run_program: RunProgram) -> None:
    text = output_of(
        run_program,
        "timeout 2 ip monitor link address route > /tmp/monitor & sleep 0.5;"
        "ip link add v0 type veth peer name v1; ip addr add 1.2.3.4/24 dev v0; ip link set v0 up;"
        "ip link del v0; wait; cat /tmp/monitor",
    )
    assert "v0@v1: <BROADCAST,MULTICAST,M-DOWN> mtu 1500 qdisc noop state DOWN" in text
    assert "inet 1.2.3.4/24 scope global v0" in text
    assert "1.2.3.0/24 dev v0 proto kernel scope link src 1.2.3.4 linkdown" in text
    assert "Deleted 3: v0" in text


INTERFACES = """
cd /sys/class/net; ls; cat lo/mtu; cd /
unshare -mn sh -c '
    ip link add va type veth peer name vb; mount -t sysfs x /sys; cd /sys/class/net; ls
    cat va/addr_len va/iflink va/operstate va/flags va/type; cat va/carrier
    ip link set va up; ip link set vb up; cat va/operstate va/carrier va/flags
    ip link set va down; ip link set va name vc; ls; ls vc/statistics | wc -l; readlink vc
    ip link del vc; ls; cat vc/mtu; cd lo; realpath . subsystem' 2>&1
"""


def test_interfaces_in_sysfs(run_program: RunProgram) -> None:
    assert output_of(run_program, INTERFACES).splitlines() == [
        *("lo", "65536"),
        *("lo", "va", "vb"),
        *("6", "2", "down", "0x1002", "1", "cat: va/carrier: Invalid argument"),
        *("up", "1", "0x1003"),
        *("lo", "vb", "vc", "24", "../../devices/virtual/net/vc"),
        *("lo", "cat: vc/mtu: No such file or directory"),
        *("/sys/devices/virtual/net/lo", "/sys/class/net"),
    ]


@pytest.mark.heavy
def test_a_program_is_behind_a_port_of_a_bridge(run_program: RunProgram) -> None:
    """It answers questions for its address, from the bridge's network and another one, and asks itself."""
    text = output_of(run_program, f"{BRIDGE}\npython3 - <<'END'\n{TAP_ON_A_BRIDGE}\nEND\n")
    assert text.splitlines() == [
        "1 192.168.7.254 True b'hello'",
        "1 192.168.7.1 True b'there'",
        "2 192.168.7.2 True",
    ]


def test_tuns_are_made_and_listed(run_program: RunProgram) -> None:
    script = (
        "ip tuntap add t0 mode tun user 5; ip tuntap add t1 mode tap multi_queue; ip tuntap;"
        " ip -d link show dev t0; ip link add t2 type tun; ip tuntap del t0 mode tun; ip -br link show up"
    )
    result = run_program(["sh", "-c", script + "; ip -br link show type tun | cut -d' ' -f1"])
    lines = result.stdout.decode().splitlines()
    assert lines[:2] == ["t0: tun persist user 5", "t1: tap multi_queue persist"]
    assert "<POINTOPOINT,MULTICAST,NOARP> mtu 1500 qdisc noop state DOWN" in lines[2]
    assert "link/none" in lines[3]
    assert "tun type tun pi off vnet_hdr off persist on user games" in lines[4]
    assert lines[-1] == "t1"
    assert result.stderr == b"Error: tun/tap creation via rtnetlink is not supported.\n"

"""Flow labels of IPv6 (RFC 6437): who has leased which (IPV6_FLOWLABEL_MGR), and which a packet gets.

Linux: net/ipv6/ip6_flowlabel.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.duration import NS_PER_S
from procession.abi.errno import EEXIST, EINVAL, ENOBUFS, ENOENT, ENOPROTOOPT, EPERM, ERANGE, ESRCH
from procession.abi.flow_label import FlowLabelAction, FlowLabelFlag, FlowLabelShare, In6FlowlabelReq
from procession.abi.internet import Ipv6Option
from procession.abi.socket import SocketLevel
from procession.abi.word import pack_address
from procession.hardware.kernel_memory import SOCKET
from procession.net.internet.address import AF_INET6, is_any, unmapped

if TYPE_CHECKING:
    from procession.fs.process_id import ProcessId
    from procession.net.internet.packet import Packet
    from procession.net.internet.socket import InternetSocket
    from procession.net.network import Network

LABEL_MASK, INFO_MASK = 0xFFFFF, 0xFFFFFFF
"""The label itself, and with the traffic class before it."""
_STATELESS = 0x80000
"""In Linux, IPV6_FLOWLABEL_STATELESS_FLAG."""
LEASE_BYTES = 256
"""What a label takes, and each lease of it."""
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_LEAST_LINGER_S, _MOST_LINGER_S = 6, 60
_MOST_OF_SOCKET, _MOST_OF_ALL = 32, 4096
_PRIVATE = (
    int(FlowLabelShare.IPV6_FL_S_EXCL),
    int(FlowLabelShare.IPV6_FL_S_PROCESS),
    int(FlowLabelShare.IPV6_FL_S_USER),
)
_AUTOMATIC_OFF, _AUTOMATIC_ON, _AUTOMATIC_FORCED = 0, 1, 3
"""What net.ipv6.auto_flowlabels says, beside that who asks for labels gets some (2)."""
_SENDS_INFO = (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_FLOWINFO_SEND))
_AUTOMATIC = (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_AUTOFLOWLABEL))
_SPREAD, _LARGE_PRIME = 2_654_435_761, 4_294_967_291


class FlowLabel:
    """A label that sockets have leased (in Linux, struct ip6_flowlabel).

    `share` says who may have it too: `process` and `uid` are for that. It's gone when nobody of its
    `user_count` is left and `expiry_ns` has come, which is no earlier than `linger_ns` after its last use.
    """

    __slots__ = ("destination", "expiry_ns", "label", "linger_ns", "process", "share", "uid", "user_count")

    def __init__(
        self, label: int, share: int, destination: bytes, process: ProcessId | None, uid: int
    ) -> None:
        self.label = label
        self.share = share
        self.destination = destination
        self.process = process
        self.uid = uid
        self.linger_ns = 0
        self.expiry_ns = 0
        self.user_count = 1

    def renew(self, now_ns: int, linger_ns: int, lease_ns: int) -> None:
        """Keep it at least so long. Linux: net/ipv6/ip6_flowlabel.c, fl6_renew."""
        self.linger_ns = max(self.linger_ns, linger_ns)
        self.expiry_ns = max(self.expiry_ns, now_ns + max(lease_ns, self.linger_ns))


def _span_ns(socket: InternetSocket, seconds: int) -> int:
    """Raises EPERM. Linux: net/ipv6/ip6_flowlabel.c, check_linger."""
    if seconds > _MOST_LINGER_S and not socket.caller.credentials.capable(_CAP_NET_ADMIN):
        raise EPERM("so long takes CAP_NET_ADMIN")
    return max(seconds, _LEAST_LINGER_S) * NS_PER_S


def _forget_expired(network: Network) -> None:
    now_ns = network.host.clock.now_ns
    labels = network.flow_labels
    network.host.clock.spend_looking(len(labels))
    for lease in [each for each in labels.values() if not each.user_count and each.expiry_ns <= now_ns]:
        del labels[lease.label]
        network.system.account.uncharge(SOCKET, LEASE_BYTES)


def manage_labels(socket: InternetSocket, value: bytes) -> int:
    """IPV6_FLOWLABEL_MGR: the label that it was about. Raises EINVAL and others.

    Linux: net/ipv6/ip6_flowlabel.c, ipv6_flowlabel_opt.
    """
    if len(value) < In6FlowlabelReq.SIZE:
        raise EINVAL("a struct in6_flowlabel_req is needed")
    request = In6FlowlabelReq.unpack_from(value)
    label = int.from_bytes(request.flr_label, "big")
    _forget_expired(socket.network)
    if request.flr_action == FlowLabelAction.IPV6_FL_A_PUT:
        _put(socket, request, label)
    elif request.flr_action == FlowLabelAction.IPV6_FL_A_RENEW:
        _renew(socket, request, label)
    elif request.flr_action == FlowLabelAction.IPV6_FL_A_GET:
        return _get(socket, request, label, len(value))
    else:
        raise EINVAL("no such action")
    return label


def told_label(socket: InternetSocket, asked: bytes) -> bytes:
    """What getsockopt(2) tells of the label that the socket is connected by, or that the other end's packets
    have. Raises EINVAL, ENOENT. Linux: net/ipv6/ip6_flowlabel.c, ipv6_flowlabel_opt_get.
    """
    request = In6FlowlabelReq.unpack_from(asked)
    if request.flr_action != FlowLabelAction.IPV6_FL_A_GET:
        raise EINVAL("nothing else can be asked")
    if request.flr_flags & FlowLabelFlag.IPV6_FL_F_REMOTE:
        return In6FlowlabelReq().pack()
    lease = _leased(socket, socket.flow_info & LABEL_MASK)
    if lease is None:
        raise ENOENT("the socket is connected by no label that it has leased")
    left_ns = lease.expiry_ns - socket.network.host.clock.now_ns
    return In6FlowlabelReq(
        flr_dst=lease.destination,
        flr_label=pack_address(lease.label, 4),
        flr_share=lease.share,
        flr_expires=max(left_ns, 0) // NS_PER_S,
        flr_linger=lease.linger_ns // NS_PER_S,
    ).pack()


def _leased(socket: InternetSocket, label: int) -> FlowLabel | None:
    return next((lease for lease in socket.flow_labels if lease.label == label), None)


def _put(socket: InternetSocket, request: In6FlowlabelReq, label: int) -> None:
    """Linux: net/ipv6/ip6_flowlabel.c, ipv6_flowlabel_put."""
    if request.flr_flags & FlowLabelFlag.IPV6_FL_F_REFLECT:
        raise ENOPROTOOPT("no label is reflected") if not socket.is_stream else ESRCH("nor was one")
    lease = _leased(socket, label)
    if lease is None:
        raise ESRCH("the socket hasn't leased that label")
    leases = list(socket.flow_labels)
    leases.remove(lease)
    socket.flow_labels = tuple(leases)
    _release(socket, lease)


def _release(socket: InternetSocket, lease: FlowLabel) -> None:
    """One lease less. Linux: net/ipv6/ip6_flowlabel.c, fl_release."""
    network = socket.network
    lease.user_count -= 1
    if not lease.user_count:
        lease.expiry_ns = max(lease.expiry_ns, network.host.clock.now_ns + lease.linger_ns)
    network.system.account.uncharge(SOCKET, LEASE_BYTES)


def release_labels(socket: InternetSocket) -> None:
    """The socket is gone. Linux: net/ipv6/ip6_flowlabel.c, fl6_free_socklist."""
    leases, socket.flow_labels = socket.flow_labels, ()
    for lease in leases:
        _release(socket, lease)


def _renew(socket: InternetSocket, request: In6FlowlabelReq, label: int) -> None:
    """Linux: net/ipv6/ip6_flowlabel.c, ipv6_flowlabel_renew."""
    lease = _leased(socket, label)
    network = socket.network
    is_nobodys = lease is None and request.flr_share == FlowLabelShare.IPV6_FL_S_NONE
    if is_nobodys and socket.caller.credentials.ns_capable(network.owner, _CAP_NET_ADMIN):
        lease = network.flow_labels.get(label)
    if lease is None:
        raise ESRCH("no such lease")
    linger_ns, lease_ns = _span_ns(socket, request.flr_linger), _span_ns(socket, request.flr_expires)
    lease.renew(network.host.clock.now_ns, linger_ns, lease_ns)


def _get(socket: InternetSocket, request: In6FlowlabelReq, label: int, length: int) -> int:
    """Lease a label that there is, or with IPV6_FL_F_CREATE a new one, of which 0 is any.

    Linux: net/ipv6/ip6_flowlabel.c, ipv6_flowlabel_get, fl_create.
    """
    network, flags, share = socket.network, request.flr_flags, request.flr_share
    if flags & FlowLabelFlag.IPV6_FL_F_REFLECT:
        raise EPERM("net.ipv6.flowlabel_consistency")
    if label & ~LABEL_MASK:
        raise EINVAL("a label of more than 20 bits")
    if label & _STATELESS and network.sysctls.marks_automatic_labels:
        raise ERANGE("net.ipv6.flowlabel_state_ranges keeps such labels for flows")
    if length > _aligned_size():
        raise EINVAL("headers that go with a label")
    linger_ns, lease_ns = _span_ns(socket, request.flr_linger), _span_ns(socket, request.flr_expires)
    destination = request.flr_dst
    if is_any(destination) or len(unmapped(destination)) == 4:
        raise EINVAL("no destination of IPv6")
    if share not in _PRIVATE and share != FlowLabelShare.IPV6_FL_S_ANY:
        raise EINVAL("no such way to share")
    caller = socket.caller
    process = caller.group.pid if share == FlowLabelShare.IPV6_FL_S_PROCESS else None
    uid = caller.credentials.euid if share == FlowLabelShare.IPV6_FL_S_USER else 0
    now_ns = network.host.clock.now_ns
    found = network.flow_labels.get(label) if label else None
    if found is not None:
        if flags & FlowLabelFlag.IPV6_FL_F_EXCL:
            raise EEXIST("somebody has that label")
        is_ours = found.process is process and found.uid == uid
        if found.share == FlowLabelShare.IPV6_FL_S_EXCL or found.share != share or not is_ours:
            raise EPERM("the label is shared with others, or with nobody")
        if len(socket.flow_labels) >= _MOST_OF_SOCKET and not caller.credentials.capable(_CAP_NET_ADMIN):
            raise ENOBUFS("too many leases")
        network.system.account.charge(SOCKET, LEASE_BYTES)
        found.user_count += 1
        found.renew(now_ns, linger_ns, lease_ns)
    else:
        if not flags & FlowLabelFlag.IPV6_FL_F_CREATE:
            raise ENOENT("nobody has that label")
        _check_room(socket)
        # The label and the lease.
        network.system.account.charge(SOCKET, 2 * LEASE_BYTES)
        while not label or label in network.flow_labels:
            label = int.from_bytes(network.host.random_bytes(4), "big") & LABEL_MASK
        found = network.flow_labels[label] = FlowLabel(label, share, destination, process, uid)
        found.renew(now_ns, linger_ns, lease_ns)
        if share in _PRIVATE:
            network.has_private_labels = True
    socket.flow_labels = (found, *socket.flow_labels)
    return label


def _aligned_size() -> int:
    return (In6FlowlabelReq.SIZE + 7) & ~7


def _check_room(socket: InternetSocket) -> None:
    """Raise ENOBUFS where there are too many labels. Linux: net/ipv6/ip6_flowlabel.c, mem_check."""
    room = _MOST_OF_ALL - len(socket.network.flow_labels)
    if room > _MOST_OF_ALL - _MOST_OF_SOCKET:
        return
    count = len(socket.flow_labels)
    is_short = count >= _MOST_OF_SOCKET or (count and room < _MOST_OF_ALL // 2) or room < _MOST_OF_ALL // 4
    if room <= 0 or (is_short and not socket.caller.credentials.capable(_CAP_NET_ADMIN)):
        raise ENOBUFS("too many labels")


def check_label(socket: InternetSocket, info: int) -> None:
    """Raise EINVAL if a packet mustn't have the label in `info`: once some are anybody's own, each has to be
    leased. Linux: include/net/ipv6.h, fl6_sock_lookup.
    """
    label = info & LABEL_MASK
    if label and socket.network.has_private_labels and _leased(socket, label) is None:
        raise EINVAL("the socket hasn't leased that label")


def put_label(socket: InternetSocket, packet: Packet, info: int) -> None:
    """A packet of IPv6 gets the label in `info`, 0 for none that was chosen; of the class nothing comes."""
    if len(packet.target) == 16:
        packet.flow_label = info & LABEL_MASK or automatic_label(socket, packet)


def chosen_info(socket: InternetSocket, address: bytes | None) -> int:
    """The label and traffic class that go with `address` if the socket sends such (IPV6_FLOWINFO_SEND); it's
    None for whom the socket is connected to. Raises EINVAL.
    """
    if socket.family != AF_INET6 or not socket.protocol_options.get(_SENDS_INFO):
        return 0
    info = socket.flow_info if address is None else int.from_bytes(address[4:8], "big") & INFO_MASK
    check_label(socket, info)
    return info


def automatic_label(socket: InternetSocket, packet: Packet) -> int:
    """What a packet gets that nobody has given a label: one for all of its flow.

    Linux: include/net/ipv6.h, ip6_make_flowlabel; net/ipv6/ip6_output.c, ip6_autoflowlabel.
    """
    mode = socket.network.sysctls.automatic_labels
    wanted = socket.protocol_options.get(_AUTOMATIC, mode == _AUTOMATIC_ON)
    if mode == _AUTOMATIC_OFF or (mode != _AUTOMATIC_FORCED and not wanted):
        return 0
    ports = (packet.source_port << 16 | packet.target_port) << 8 | packet.protocol
    value = int.from_bytes(packet.source + packet.target, "big") << 40 | ports
    label = (value % _LARGE_PRIME * _SPREAD >> 12 & LABEL_MASK) or 1
    return label | _STATELESS if socket.network.sysctls.marks_automatic_labels else label

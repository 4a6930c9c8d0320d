"""/proc/net/ip6_flowlabel: which flow labels sockets have leased."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.flow_label import FlowLabelShare

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.internet.flow_label import FlowLabel


def show_flow_labels(kernel: Kernel) -> bytes:
    """Linux: net/ipv6/ip6_flowlabel.c, ip6fl_seq_show."""
    leases = kernel.seen_namespaces.network.flow_labels.values()
    heading = b"Label S Owner  Users  Linger Expires  Dst                              Opt\n"
    return heading + b"".join(_line(kernel, lease) for lease in leases)


def _line(kernel: Kernel, lease: FlowLabel) -> bytes:
    owner = 0
    if lease.process is not None:
        owner = lease.process.number_in(kernel.seen_pid_namespace)
    elif lease.share == FlowLabelShare.IPV6_FL_S_USER:
        owner = kernel.seen_namespaces.network.owner.from_kuid_munged(lease.uid)
    return b"%05X %-1d %-6d %-6d %-6d %-8d %s %-4d\n" % (
        *(lease.label, lease.share, owner, lease.user_count, lease.linger_ns // NS_PER_S),
        *((lease.expiry_ns - kernel.clock.now_ns) // NS_PER_S, lease.destination.hex().encode(), 0),
    )

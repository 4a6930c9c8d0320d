"""How long an address is preferred, and how long it's there at all (RFC 4862, 5.5.4; ip-address(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.netlink import IFA_F_DEPRECATED, IFA_F_PERMANENT

if TYPE_CHECKING:
    from procession.net.internet.device_address import DeviceAddress

INFINITY_S = 0xFFFF_FFFF
ADDRESS_TIMER = "address"


def set_lifetimes(address: DeviceAddress, preferred_s: int, valid_s: int) -> None:
    """The address is valid for so many seconds from now on, and programs prefer it for so many of these.

    Linux: net/ipv4/devinet.c, set_ifa_lifetime; net/ipv6/addrconf.c, inet6_addr_modify.
    """
    address.preferred_s, address.valid_s = preferred_s, valid_s
    address.updated_ns = address.interface.network.host.clock.now_ns
    address.flags &= ~(IFA_F_PERMANENT | IFA_F_DEPRECATED)
    if valid_s == INFINITY_S:
        address.flags |= IFA_F_PERMANENT
    if not preferred_s:
        address.flags |= IFA_F_DEPRECATED
    await_next(address)


def await_next(address: DeviceAddress) -> None:
    """Arm the timer for what comes next."""
    stop_waiting(address)
    spans = [address.valid_s]
    if not address.flags & IFA_F_DEPRECATED:
        spans.append(address.preferred_s)
    seconds = min(spans)
    if seconds != INFINITY_S:
        timers = address.interface.network.host.timers
        address.timer = timers.add(address.updated_ns + seconds * NS_PER_S, ADDRESS_TIMER, address)


def stop_waiting(address: DeviceAddress) -> None:
    """Disarm it."""
    if address.timer is not None:
        address.interface.network.host.timers.cancel(address.timer)
        address.timer = None


def lifetimes_left(address: DeviceAddress) -> tuple[int, int]:
    """For how many seconds it's still preferred, and valid."""
    is_endless = bool(address.flags & IFA_F_PERMANENT)
    if is_endless and (not address.is_ipv6 or address.preferred_s == INFINITY_S):
        return INFINITY_S, INFINITY_S
    age_s = (address.interface.network.host.clock.now_ns - address.updated_ns) // NS_PER_S
    preferred_s, valid_s = (
        span if span == INFINITY_S else max(span - age_s, 0)
        for span in (address.preferred_s, address.valid_s)
    )
    return preferred_s, valid_s

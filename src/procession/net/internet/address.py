"""Internet addresses: sockaddrs taken apart, and what kinds of addresses there are."""

from __future__ import annotations

from procession.abi.errno import EAFNOSUPPORT, EINVAL
from procession.abi.socket import AddressFamily, SockaddrIn, SockaddrIn6
from procession.abi.word import pack_port

AF_UNSPEC = int(AddressFamily.AF_UNSPEC)
AF_INET = int(AddressFamily.AF_INET)
AF_INET6 = int(AddressFamily.AF_INET6)

# An address is its 4 or 16 bytes; those of IPv4 in IPv6 (::ffff:127.0.0.1) are taken out of it.
ANY_4 = bytes(4)
ANY_6 = bytes(16)
LOOPBACK_4 = bytes((127, 0, 0, 1))
LOOPBACK_6 = bytes(15) + b"\1"
BROADCAST_4 = b"\xff\xff\xff\xff"
MAPPED_PREFIX = bytes(10) + b"\xff\xff"
SHORTEST_6 = 24
"""A struct sockaddr_in6 without its scope (RFC 2133)."""

EVERYBODY = (bytes((224, 0, 0, 1)), b"\xff\2" + bytes(13) + b"\1", b"\xff\1" + bytes(13) + b"\1")
"""The groups that every interface is in."""


def family_of(sockaddr: bytes) -> int:
    """The family that a sockaddr says. Raises EINVAL if it's too short to say one."""
    if len(sockaddr) < 2:
        raise EINVAL("an address is needed")
    return int.from_bytes(sockaddr[:2], "little")


def parse(sockaddr: bytes, family: int) -> tuple[bytes, int]:
    """The address and port in a sockaddr for a socket of `family`. Raises EINVAL, EAFNOSUPPORT."""
    if family == AF_INET:
        if len(sockaddr) < SockaddrIn.SIZE:
            raise EINVAL("a struct sockaddr_in is needed")
        if family_of(sockaddr) != AF_INET:
            raise EAFNOSUPPORT
        return sockaddr[4:8], int.from_bytes(sockaddr[2:4], "big")
    if len(sockaddr) < SHORTEST_6:
        raise EINVAL("a struct sockaddr_in6 is needed")
    if family_of(sockaddr) != AF_INET6:
        raise EAFNOSUPPORT
    return unmapped(sockaddr[8:24]), int.from_bytes(sockaddr[2:4], "big")


def unmapped(address: bytes) -> bytes:
    """The IPv4 address that `address`, of 16 bytes, stands for, or itself."""
    return address[12:] if address[:12] == MAPPED_PREFIX else address


def mapped(address: bytes) -> bytes:
    """`address` in 16 bytes."""
    return MAPPED_PREFIX + address if len(address) == 4 else address


def format_sockaddr(address: bytes, port: int, family: int, index: int = 0) -> bytes:
    """A sockaddr of `family`; `index` is the interface's at which the address counts if that's one alone.

    Linux: include/net/ipv6.h, ipv6_iface_scope_id.
    """
    if family == AF_INET:
        return SockaddrIn(AF_INET, pack_port(port), address).pack()
    scope = index if index and needs_scope(address) else 0
    return SockaddrIn6(AF_INET6, pack_port(port), 0, mapped(address), scope).pack()


def is_any(address: bytes) -> bool:
    """Whether it stands for all of the machine's addresses."""
    return not any(address)


def is_multicast(address: bytes) -> bool:
    """Whether it stands for a group."""
    return address[0] >> 4 == 0xE if len(address) == 4 else address[0] == 0xFF


def is_loopback(address: bytes) -> bool:
    """Whether it stands for the machine itself."""
    return address[0] == 127 if len(address) == 4 else address == LOOPBACK_6


def is_link_local(address: bytes) -> bool:
    """Whether it counts on one link only, which must be named: fe80::/10."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def needs_scope(address: bytes) -> bool:
    """Whether it counts at one interface or on one link only, which has to be named: groups do, too.

    Linux: include/net/ipv6.h, __ipv6_addr_needs_scope_id.
    """
    if len(address) == 4:
        return False
    return (address[0] == 0xFF and address[1] & 0x0F in (1, 2)) or is_link_local(address)


def scope_of(sockaddr: bytes) -> int:
    """The index of the interface that a struct sockaddr_in6 names for an address that needs one, else 0."""
    if len(sockaddr) < SockaddrIn6.SIZE or family_of(sockaddr) != AF_INET6 or not needs_scope(sockaddr[8:24]):
        return 0
    return int.from_bytes(sockaddr[24:28], "little")


def any_of(family: int) -> bytes:
    """The address that stands for all."""
    return ANY_4 if family == AF_INET else ANY_6

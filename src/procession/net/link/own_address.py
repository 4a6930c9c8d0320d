"""Addresses that a program lets an interface listen to: `bridge fdb add ... self`, `ip maddr add`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, ENOENT
from procession.abi.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container

    from procession.net.link.interface import Interface

_LINK_LOCAL, _LINK_LOCAL_BYTES = b"\x01\x80\xc2\0\0", 5


class OwnAddress(NamedTuple):
    """One of them, with the state that was asked for, a NUD_*."""

    address: bytes
    state: int


def is_group(address: bytes) -> bool:
    """Whether it's listed with groups: not those of bridges. Linux: include/linux/etherdevice.h,
    is_link_local_ether_addr."""
    return bool(address[0] & 1) and not (
        address[:_LINK_LOCAL_BYTES] == _LINK_LOCAL and address[_LINK_LOCAL_BYTES] & 0xF0 == 0
    )


def listen_to(interface: Interface, address: bytes, others: Container[bytes] = ()) -> None:
    """Raises EEXIST if it's listened to already, as to `others`; ENOBUFS.

    Linux: net/core/dev_addr_lists.c, dev_uc_add_excl, dev_mc_add_excl.
    """
    if address in interface.own_addresses or address in others:
        raise EEXIST("it listens to that address")
    interface.network.account_address(1)
    interface.own_addresses[address] = None
    interface.look_at_own_addresses()


def ignore(interface: Interface, address: bytes) -> None:
    """Raises ENOENT. Linux: net/core/dev_addr_lists.c, dev_uc_del, dev_mc_del_global."""
    if address not in interface.own_addresses:
        raise ENOENT("nobody has asked for that address")
    del interface.own_addresses[address]
    interface.network.account_address(-1)
    interface.look_at_own_addresses()


def ignore_all(interface: Interface) -> None:
    """It goes, or goes to another network. Linux: net/core/dev_addr_lists.c, dev_uc_flush, dev_mc_flush."""
    interface.network.account_address(-len(interface.own_addresses))
    interface.own_addresses.clear()
    interface.hears_all = False

"""Flags of struct arpreq (arp(7))."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class ArpFlag(IntFlag):
    """arp_flags."""

    ATF_COM = 0x02
    ATF_PERM = 0x04
    ATF_PUBL = 0x08
    ATF_NETMASK = 0x20
    ATF_DONTPUB = 0x40

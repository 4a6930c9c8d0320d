"""Netlink sockets by which processes talk to each other: NETLINK_USERSOCK, where no kernel listens."""

from __future__ import annotations

from typing import ClassVar

from procession.abi.errno import ECONNREFUSED, EPERM
from procession.net.netlink.socket import NetlinkSocket


class UserSocket(NetlinkSocket):
    """A socket of NETLINK_USERSOCK. Linux: net/netlink/af_netlink.c, netlink_add_usersock_entry."""

    __slots__ = ()

    is_for_everybody: ClassVar[bool] = True

    def check_groups(self, groups: int) -> None:
        if not self.may_administrate:
            raise EPERM("CAP_NET_ADMIN is needed to listen to groups")

    def answer_all(self, data: bytes) -> None:
        raise ECONNREFUSED("no kernel listens")

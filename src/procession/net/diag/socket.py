"""Netlink sockets of NETLINK_SOCK_DIAG: they list sockets, or tell of one (sock_diag(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT, EOPNOTSUPP, EPERM
from procession.abi.sock_diag import SockDiagMessageType
from procession.abi.socket import AddressFamily
from procession.net.diag.destroy import destroy_socket
from procession.net.diag.internet import tell_internet
from procession.net.diag.local import tell_local
from procession.net.diag.netlinks import tell_netlinks
from procession.net.diag.packets import tell_packets
from procession.net.netlink.socket import NetlinkSocket
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Answer, Request

_BY_FAMILY = int(SockDiagMessageType.SOCK_DIAG_BY_FAMILY)
_DESTROY = int(SockDiagMessageType.SOCK_DESTROY)
_UNIX, _NETLINK = int(AddressFamily.AF_UNIX), int(AddressFamily.AF_NETLINK)
_PACKET = int(AddressFamily.AF_PACKET)
_INTERNET = (int(AddressFamily.AF_INET), int(AddressFamily.AF_INET6))
_FAMILIES = (_UNIX, _NETLINK, _PACKET)
_FAMILY_BYTES, _LAST_FAMILY = 2, 46


class DiagSocket(NetlinkSocket):
    """A socket of NETLINK_SOCK_DIAG (Linux: net/core/sock_diag.c)."""

    __slots__ = ()

    def answer_to(self, request: Request) -> Answer:
        """Raises EINVAL, ENOENT, EOPNOTSUPP, EPERM. Linux: net/core/sock_diag.c, sock_diag_rcv_msg."""
        if request.kind not in (_BY_FAMILY, _DESTROY):
            raise EINVAL("no such message")
        if len(request.body) < _FAMILY_BYTES:
            raise EINVAL("no family")
        family = request.body[0]
        if request.kind == _DESTROY and family in _INTERNET:
            destroy_socket(request)
            return []
        if request.kind == _DESTROY and family in _FAMILIES:
            raise EOPNOTSUPP("sockets of this family aren't destroyed")
        if family == _UNIX:
            answer = tell_local(request)
        elif family in _INTERNET:
            answer = tell_internet(request)
        elif family == _NETLINK:
            answer = tell_netlinks(request)
        elif family == _PACKET:
            answer = tell_packets(request)
        elif family >= _LAST_FAMILY:
            raise EINVAL("no such family")
        else:
            raise ENOENT("nothing is told of this family")
        return [(_BY_FAMILY, body) for body in answer]

    def lists_all(self, request: Request) -> bool:
        return request.asks_for_list and request.kind == _BY_FAMILY

    def ends_apart(self, request: Request, answers: Answer) -> bool:
        """Linux: net/ipv4/inet_diag.c, inet_diag_dump; net/unix/diag.c, unix_diag_dump."""
        return bool(answers) and request.body[0] != _NETLINK

    def check_groups(self, groups: int) -> None:
        """Only who administrates the network hears of sockets' ends."""
        if not self.caller.credentials.ns_capable(self.network.owner, CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")

"""Netlink sockets of the connector, by which parts of the kernel tell of events: NETLINK_CONNECTOR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ECONNREFUSED, EPERM
from procession.abi.netlink import Nlmsghdr
from procession.abi.process_event import (
    CN_IDX_PROC,
    CN_VAL_PROC,
    CONNECTOR_MAX_MSG_SIZE,
    CnMsg,
    ProcCnEvent,
    ProcMcastOperation,
)
from procession.net.netlink.socket import NetlinkSocket
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from procession.net.network import Network

_EXIT = int(ProcCnEvent.PROC_EVENT_EXIT)
_NONZERO_EXIT = int(ProcCnEvent.PROC_EVENT_NONZERO_EXIT)
_IGNORE = int(ProcMcastOperation.PROC_CN_MCAST_IGNORE)
ALL_EVENTS = sum(int(event) for event in ProcCnEvent)
_HEADER_BYTES = Nlmsghdr.SIZE
_LOOKS_PER_ANSWER = 16
"""To look whether so many sockets listen costs as much as one answer."""


class ConnectorSocket(NetlinkSocket):
    """A socket of NETLINK_CONNECTOR (Linux: drivers/connector/connector.c).

    `operation` is what the process connector was asked for last, 0 for nothing yet, and `events` those that
    the socket wants: all, if it only listens to the group.
    """

    __slots__ = ("events", "operation")

    def __init__(self, network: Network, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, kind, protocol, owner_uid)
        self.operation = 0
        self.events = ALL_EVENTS

    def check_groups(self, groups: int) -> None:
        """Who listens hears of everybody's processes, so it takes CAP_NET_ADMIN over the whole machine.

        Linux as first released as 6.12 let anybody listen to the process connector.
        Linux: drivers/connector/connector.c, cn_bind.
        """
        if not self.caller.credentials.capable(CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN over the machine is needed to listen")

    def answer_all(self, data: bytes) -> None:
        """Hand a message to whom it's meant for; nothing is said of one that's no message, or for nobody.

        Linux: drivers/connector/connector.c, cn_rx_skb, cn_call_callback.
        """
        events = self.network.host.process_connector_of(self.network)
        if events is None:
            raise ECONNREFUSED("the connector is in the machine's first network alone")
        if len(data) < _HEADER_BYTES + CnMsg.SIZE:
            return
        length = Nlmsghdr.unpack_from(data).nlmsg_len
        body = data[_HEADER_BYTES:length]
        if not CnMsg.SIZE <= length - _HEADER_BYTES <= min(len(body), CONNECTOR_MAX_MSG_SIZE):
            return
        message = CnMsg.unpack_from(body)
        if (message.idx, message.val) == (CN_IDX_PROC, CN_VAL_PROC) and CnMsg.SIZE + message.len <= len(body):
            events.take_request(self, message, body[CnMsg.SIZE : CnMsg.SIZE + message.len])

    def wants(self, what: int, exit_code: int) -> bool:
        """Whether it's told of an event, of whose kind there's `exit_code` for ends alone.

        Linux: drivers/connector/cn_proc.c, cn_filter.
        """
        if self.operation == _IGNORE:
            return False
        if self.events == ALL_EVENTS:
            return True
        if self.events & _NONZERO_EXIT and what == _EXIT and exit_code:
            return True
        return bool(self.events & what)


def tell_of_process(network: Network, message: bytes, what: int, exit_code: int) -> None:
    """Tell all who listen of an event. Linux: drivers/connector/connector.c, cn_netlink_send_mult."""
    sockets = network.netlink_sockets
    network.host.clock.spend_answering(1 + len(sockets) // _LOOKS_PER_ANSWER)
    for socket in list(sockets.values()):
        if (
            isinstance(socket, ConnectorSocket)
            and socket.groups >> CN_IDX_PROC - 1 & 1
            and socket.wants(what, exit_code)
        ):
            socket.tell(message, CN_IDX_PROC)

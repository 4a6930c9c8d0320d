"""What listeners of NETLINK_NETFILTER are told: of connections (`conntrack -E`) and rules (`nft monitor`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.conntrack import ConntrackGroup, ConntrackMessage
from procession.abi.netlink import NetlinkFlag, NetlinkProtocol
from procession.abi.nftables import (
    ChainAttribute,
    FilterGroup,
    RuleAttribute,
    SetAttribute,
    Subsystem,
    TableAttribute,
)
from procession.abi.word import Words
from procession.net.netfilter.chains import chain_message
from procession.net.netfilter.connections import connection_message
from procession.net.netfilter.expression import be64
from procession.net.netfilter.note import (
    DELETE_CHAIN,
    DELETE_RULE,
    DELETE_SET,
    DELETE_TABLE,
    NEW_CHAIN,
    NEW_RULE,
    NEW_SET,
)
from procession.net.netfilter.rules import rule_message
from procession.net.netfilter.sets import element_messages, set_message
from procession.net.netfilter.tables import header, table_message
from procession.net.netlink.attributes import attribute

if TYPE_CHECKING:
    from procession.net.netfilter.note import Note
    from procession.net.netfilter.tracking import Connection
    from procession.net.netlink.attributes import Message
    from procession.net.netlink.socket import NetlinkSocket
    from procession.net.network import Network

_NETFILTER = int(NetlinkProtocol.NETLINK_NETFILTER)
_BEGUN, _ENDED = int(ConntrackGroup.NFNLGRP_CONNTRACK_NEW), int(ConntrackGroup.NFNLGRP_CONNTRACK_DESTROY)
_NEW, _DELETE = int(ConntrackMessage.IPCTNL_MSG_CT_NEW), int(ConntrackMessage.IPCTNL_MSG_CT_DELETE)
_CREATED = int(NetlinkFlag.NLM_F_CREATE | NetlinkFlag.NLM_F_EXCL)
_HEADER = Words("<IHHII")
_MOST_TOGETHER = 3_776
"""NLMSG_GOODSIZE: how much is told at once."""
RULES = int(FilterGroup.NFNLGRP_NFTABLES)
_NFTABLES = int(Subsystem.NFNL_SUBSYS_NFTABLES)
_TOLD_FLAGS = int(
    NetlinkFlag.NLM_F_CREATE | NetlinkFlag.NLM_F_EXCL | NetlinkFlag.NLM_F_APPEND | NetlinkFlag.NLM_F_REPLACE
)
_TABLE, _TABLE_HANDLE = int(TableAttribute.NFTA_TABLE_NAME), int(TableAttribute.NFTA_TABLE_HANDLE)
_CHAIN_NAME, _CHAIN_HANDLE = int(ChainAttribute.NFTA_CHAIN_NAME), int(ChainAttribute.NFTA_CHAIN_HANDLE)
_RULE_CHAIN, _RULE_HANDLE = int(RuleAttribute.NFTA_RULE_CHAIN), int(RuleAttribute.NFTA_RULE_HANDLE)
_SET_NAME, _SET_HANDLE = int(SetAttribute.NFTA_SET_NAME), int(SetAttribute.NFTA_SET_HANDLE)


def has_listeners(network: Network, group: int) -> bool:
    """Whether anybody is told."""
    return any(_listens(socket, group) for socket in network.netlink_sockets.values())


def _listens(socket: NetlinkSocket, group: int) -> bool:
    return socket.protocol == _NETFILTER and bool(socket.groups >> group - 1 & 1)


def _tell(network: Network, group: int, message: bytes) -> None:
    for socket in list(network.netlink_sockets.values()):
        if _listens(socket, group):
            socket.tell(message, group)


def tell_of_connection(network: Network, connection: Connection, *, is_there: bool, port_id: int) -> None:
    """It's new, or forgotten, which the socket with this port has asked for, 0 for none.

    Linux: net/netfilter/nf_conntrack_netlink.c, ctnetlink_conntrack_event.
    """
    group = _BEGUN if is_there else _ENDED
    if not has_listeners(network, group):
        return
    now_ns = network.host.clock.now_ns
    kind, body = connection_message(connection, now_ns, _NEW if is_there else _DELETE, is_event=True)
    flags = _CREATED if is_there else 0
    _tell(network, group, _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, port_id) + body)


def tell_of_rules(network: Network, notes: list[Note], generation: Message, port_id: int) -> None:
    """What a batch has changed, which came from the socket with this port, and the new state's number.

    Linux: net/netfilter/nf_tables_api.c, nf_tables_commit, nf_tables_gen_notify.
    """
    number = 0
    together = b""
    for note in notes:
        number = note.number
        flags = note.flags & _TOLD_FLAGS
        for kind, body in _messages_of(network, note):
            header_ = _HEADER.pack(_HEADER.size + len(body), _NFTABLES << 8 | kind, flags, number, port_id)
            if together and len(together) + len(header_) + len(body) > _MOST_TOGETHER:
                _tell(network, RULES, together)
                together = b""
            together += header_ + body
    if together:
        _tell(network, RULES, together)
    kind, body = generation
    _tell(network, RULES, _HEADER.pack(_HEADER.size + len(body), kind, 0, number, port_id) + body)


def _messages_of(network: Network, note: Note) -> list[Message]:
    table, chain, rule, found = note.table, note.chain, note.rule, note.found
    front = header(network, table.family)
    kind = note.kind
    if note.elements and found is not None:
        return [
            (kind, body)
            for element in note.elements
            for _, body in element_messages(network, table, found, (element,))
        ]
    # All name their table by the same number.
    told = front + attribute(_TABLE, table.name + b"\0")
    if kind == DELETE_TABLE:
        return [(kind, told + attribute(_TABLE_HANDLE, be64(table.handle)))]
    if kind == DELETE_CHAIN and chain is not None:
        told += attribute(_CHAIN_NAME, chain.name + b"\0") + attribute(_CHAIN_HANDLE, be64(chain.handle))
        return [(kind, told)]
    if kind == DELETE_RULE and chain is not None and rule is not None:
        told += attribute(_RULE_CHAIN, chain.name + b"\0") + attribute(_RULE_HANDLE, be64(rule.handle))
        return [(kind, told)]
    if kind == DELETE_SET and found is not None:
        told += attribute(_SET_NAME, found.name + b"\0") + attribute(_SET_HANDLE, be64(found.handle))
        return [(kind, told)]
    if kind == NEW_RULE and chain is not None and rule is not None:
        return [rule_message(network, table, chain, rule, note.before)]
    if kind == NEW_CHAIN and chain is not None:
        network.host.clock.spend_filtering(table.step_count)
        return [chain_message(network, table, chain, table.references()[chain.name])]
    if kind == NEW_SET and found is not None:
        return [set_message(network, table, found)]
    return [table_message(network, table)]

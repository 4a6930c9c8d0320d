"""Netlink sockets that speak to the packet filter: NETLINK_NETFILTER, as nft(8) and iptables(8) use it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT, EPERM, ERESTART, Errno
from procession.abi.netlink import NetlinkFlag, Nlmsghdr
from procession.abi.nftables import (
    BatchAttribute,
    BatchMessage,
    CompatAttribute,
    FilterMessage,
    GenerationAttribute,
    Nfgenmsg,
    Subsystem,
)
from procession.abi.word import pack_u8
from procession.net.netfilter.chains import delete_chain, list_chains, new_chain
from procession.net.netfilter.connections import CONNTRACK, answer_about_connections
from procession.net.netfilter.draft import Draft
from procession.net.netfilter.expression import be32, be32_in
from procession.net.netfilter.monitor import RULES, has_listeners, tell_of_rules
from procession.net.netfilter.request import FilterRequest
from procession.net.netfilter.rules import delete_rule, list_rules, new_rule
from procession.net.netfilter.ruleset import ruleset_of
from procession.net.netfilter.sets import (
    delete_elements,
    delete_set,
    list_elements,
    list_sets,
    new_elements,
    new_set,
)
from procession.net.netfilter.tables import delete_table, header, list_tables, new_table
from procession.net.netfilter.targets import check_revision
from procession.net.netlink.attributes import Request, attribute, nested_in, text_in
from procession.net.netlink.socket import NetlinkSocket
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.net.netlink.attributes import Answer, Message

_BEGIN, _END = int(BatchMessage.NFNL_MSG_BATCH_BEGIN), int(BatchMessage.NFNL_MSG_BATCH_END)
_WANTED_GENERATION = int(BatchAttribute.NFNL_BATCH_GENID)
_NFTABLES = int(Subsystem.NFNL_SUBSYS_NFTABLES)
_REQUEST, _ACK = int(NetlinkFlag.NLM_F_REQUEST), int(NetlinkFlag.NLM_F_ACK)
_GET_GENERATION = int(FilterMessage.NFT_MSG_GETGEN)
_NEW_GENERATION = int(FilterMessage.NFT_MSG_NEWGEN)
_GENERATION_ID = int(GenerationAttribute.NFTA_GEN_ID)
_GENERATION_PROCESS = int(GenerationAttribute.NFTA_GEN_PROC_PID)
_GENERATION_NAME = int(GenerationAttribute.NFTA_GEN_PROC_NAME)
_COMPAT = int(Subsystem.NFNL_SUBSYS_NFT_COMPAT)
_COMPAT_NAME, _COMPAT_REVISION = int(CompatAttribute.NFTA_COMPAT_NAME), int(CompatAttribute.NFTA_COMPAT_REV)
_COMPAT_TYPE = int(CompatAttribute.NFTA_COMPAT_TYPE)
_LONGEST_COMMAND = 15

_CHANGES: dict[int, Callable[[Draft, FilterRequest], None]] = {
    int(FilterMessage.NFT_MSG_NEWTABLE): new_table,
    int(FilterMessage.NFT_MSG_DELTABLE): delete_table,
    int(FilterMessage.NFT_MSG_NEWCHAIN): new_chain,
    int(FilterMessage.NFT_MSG_DELCHAIN): delete_chain,
    int(FilterMessage.NFT_MSG_NEWRULE): new_rule,
    int(FilterMessage.NFT_MSG_DELRULE): delete_rule,
    int(FilterMessage.NFT_MSG_NEWSET): new_set,
    int(FilterMessage.NFT_MSG_DELSET): delete_set,
    int(FilterMessage.NFT_MSG_NEWSETELEM): new_elements,
    int(FilterMessage.NFT_MSG_DELSETELEM): delete_elements,
}
"""What batches consist of."""
_DESTRUCTIONS = {
    int(FilterMessage.NFT_MSG_DESTROYTABLE): delete_table,
    int(FilterMessage.NFT_MSG_DESTROYCHAIN): delete_chain,
    int(FilterMessage.NFT_MSG_DESTROYRULE): delete_rule,
    int(FilterMessage.NFT_MSG_DESTROYSET): delete_set,
    int(FilterMessage.NFT_MSG_DESTROYSETELEM): delete_elements,
}
"""The same as deleting, but that nothing need be there."""


def _nothing(request: FilterRequest) -> Answer:
    """There are no objects and no flow tables."""
    if not request.is_dump:
        raise ENOENT("there is none")
    return []


def _compatible(request: FilterRequest) -> Message:
    """Whether there is a match or target, as iptables asks. Raises EINVAL, ENOENT, EPROTONOSUPPORT.

    Linux: net/netfilter/nft_compat.c, nfnl_compat_get_rcu.
    """
    found = request.found
    name = text_in(found, _COMPAT_NAME)
    revision, kind = be32_in(found, _COMPAT_REVISION), be32_in(found, _COMPAT_TYPE)
    if name is None or revision is None or kind is None:
        raise EINVAL("an attribute is missing")
    check_revision(request.family, name, revision, is_target=kind != 0)
    told = attribute(_COMPAT_NAME, name + b"\0") + attribute(_COMPAT_REVISION, be32(revision))
    told += attribute(_COMPAT_TYPE, be32(kind))
    return _COMPAT << 8, pack_u8(request.family) + bytes(3) + told


_QUESTIONS: dict[int, Callable[[FilterRequest], Answer]] = {
    int(FilterMessage.NFT_MSG_GETTABLE): list_tables,
    int(FilterMessage.NFT_MSG_GETCHAIN): list_chains,
    int(FilterMessage.NFT_MSG_GETRULE): list_rules,
    int(FilterMessage.NFT_MSG_GETSET): list_sets,
    int(FilterMessage.NFT_MSG_GETSETELEM): list_elements,
    int(FilterMessage.NFT_MSG_GETOBJ): _nothing,
    int(FilterMessage.NFT_MSG_GETFLOWTABLE): _nothing,
}


class NetfilterSocket(NetlinkSocket):
    """A socket of NETLINK_NETFILTER (Linux: net/netfilter/nfnetlink.c)."""

    __slots__ = ()

    def answer_all(self, data: bytes) -> None:
        """A batch is done as a whole, or each request by itself. Linux: net/netfilter/nfnetlink.c,
        nfnetlink_rcv."""
        if len(data) < Nlmsghdr.SIZE:
            return
        header = Nlmsghdr.unpack_from(data)
        if not Nlmsghdr.SIZE <= header.nlmsg_len <= len(data):
            return
        if not self.caller.credentials.ns_capable(self.network.owner, CAP_NET_ADMIN):
            self.acknowledge(header, data[: header.nlmsg_len], EPERM.number)
        elif header.nlmsg_type == _BEGIN:
            self._answer_batch(header, data)
        else:
            super().answer_all(data)

    # One question

    def answer_to(self, request: Request) -> Answer:
        """Linux: net/netfilter/nfnetlink.c, nfnetlink_rcv_msg."""
        if len(request.body) < Nfgenmsg.SIZE:
            return []
        asked = FilterRequest(request)
        if asked.subsystem == _COMPAT and asked.operation == 0:
            return [_compatible(asked)]
        if asked.subsystem == CONNTRACK:
            return answer_about_connections(asked)
        if asked.subsystem != _NFTABLES:
            raise EINVAL("no such subsystem")
        if asked.operation == _GET_GENERATION:
            answers = [self._generation()]
        else:
            question = _QUESTIONS.get(asked.operation)
            if question is None:
                raise EINVAL("no question, or one for a batch")
            answers = question(asked)
        return [(_NFTABLES << 8 | kind, body) for kind, body in answers]

    def _generation(self) -> tuple[int, bytes]:
        """Linux: net/netfilter/nf_tables_api.c, nf_tables_fill_gen_info."""
        caller = self.caller
        told = attribute(_GENERATION_ID, be32(ruleset_of(self.network).generation))
        told += attribute(_GENERATION_PROCESS, be32(caller.group.pid.own_number))
        told += attribute(_GENERATION_NAME, caller.command_name[:_LONGEST_COMMAND] + b"\0")
        return _NEW_GENERATION, header(self.network, 0) + told

    def lists_all(self, request: Request) -> bool:
        return request.is_dump and len(request.body) >= Nfgenmsg.SIZE

    def ends_apart(self, request: Request, answers: Answer) -> bool:
        return bool(answers)

    # Batches

    def _answer_batch(self, begin: Nlmsghdr, data: bytes) -> None:
        """Linux: net/netfilter/nfnetlink.c, nfnetlink_rcv_skb_batch, nfnetlink_rcv_batch."""
        if len(data) < Nlmsghdr.SIZE + Nfgenmsg.SIZE:
            return
        whole = data[: begin.nlmsg_len]
        body = whole[Nlmsghdr.SIZE :]
        if len(body) < Nfgenmsg.SIZE:
            self.acknowledge(begin, whole, EINVAL.number)
            return
        try:
            wanted = be32_in(nested_in(body[Nfgenmsg.SIZE :]), _WANTED_GENERATION)
        except Errno as error:
            self.acknowledge(begin, whole, error.number)
            return
        subsystem = int.from_bytes(body[2:4], "big")
        if subsystem != _NFTABLES:
            self.acknowledge(begin, whole, EINVAL.number)
            return
        if wanted is not None and wanted != ruleset_of(self.network).generation:
            self.acknowledge(begin, whole, ERESTART.number)
            return
        draft = Draft(self.network)
        failures, is_whole = self._draft(draft, data, len(whole) + 3 & ~3)
        failed = self._finish(draft, is_good=is_whole and not any(each[2] for each in failures))
        if failed:
            failures = [(begin, whole, failed, 0)]
        for header_, request, number, blamed in failures:
            self.acknowledge(header_, request, number, blamed=blamed)

    def _draft(
        self, draft: Draft, data: bytes, offset: int
    ) -> tuple[list[tuple[Nlmsghdr, bytes, int, int]], bool]:
        """Do all of a batch in `draft`: what is to be acknowledged by which errno because of which attribute,
        and whether it ends."""
        told: list[tuple[Nlmsghdr, bytes, int, int]] = []
        while len(data) - offset >= Nlmsghdr.SIZE:
            header_ = Nlmsghdr.unpack_from(data, offset)
            length = header_.nlmsg_len
            if not Nlmsghdr.SIZE <= length <= len(data) - offset:
                return told, False
            request = data[offset : offset + length]
            offset += length + 3 & ~3
            if header_.nlmsg_type == _END:
                return told, True
            number = blamed = 0
            is_request = header_.nlmsg_flags & _REQUEST and header_.nlmsg_type > _BEGIN
            if not is_request:
                number = EINVAL.number
            else:
                number, blamed = self._change(draft, header_, request[Nlmsghdr.SIZE :])
            if number or header_.nlmsg_flags & _ACK:
                told.append((header_, request, number, blamed))
        return told, False

    def _change(self, draft: Draft, header_: Nlmsghdr, body: bytes) -> tuple[int, int]:
        """One change of a batch: the errno or 0, and where the attribute is that it's about."""
        self.network.host.clock.spend_answering(1)
        if len(body) < Nfgenmsg.SIZE:
            return EINVAL.number, 0
        asked = FilterRequest(
            Request(
                *(self.network, self.caller.credentials, header_.nlmsg_type, header_.nlmsg_flags),
                *(body, header_.nlmsg_seq, self.port_id),
            )
        )
        draft.request_flags, draft.request_number = header_.nlmsg_flags, header_.nlmsg_seq
        try:
            self._do(draft, asked)
        except Errno as error:
            return error.number, asked.blamed_offset
        return 0, 0

    def _do(self, draft: Draft, asked: FilterRequest) -> None:
        """Raises EINVAL, and what each change does."""
        if asked.subsystem != _NFTABLES:
            raise EINVAL("another subsystem than the batch's")
        change = _CHANGES.get(asked.operation)
        if change is not None:
            change(draft, asked)
            return
        destruction = _DESTRUCTIONS.get(asked.operation)
        if destruction is None:
            raise EINVAL("no change")
        with suppress(ENOENT):
            destruction(draft, asked)

    def _finish(self, draft: Draft, *, is_good: bool) -> int:
        """Publish the draft or throw it away; the errno if it can't be published, 0 otherwise."""
        if not is_good:
            draft.abandon()
            return 0
        try:
            draft.publish()
        except Errno as error:
            draft.abandon()
            return error.number
        if draft.is_changed and has_listeners(self.network, RULES):
            kind, body = self._generation()
            tell_of_rules(self.network, draft.notes, (_NFTABLES << 8 | kind, body), self.port_id)
        return 0

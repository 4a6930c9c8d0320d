"""Netlink sockets: requests to the kernel as messages, and its answers; netlink(7)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, NoReturn

from procession.abi.capability import Capability
from procession.abi.errno import (
    EADDRINUSE,
    EAGAIN,
    EBUSY,
    EINVAL,
    EMSGSIZE,
    ENOBUFS,
    ENODATA,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPERM,
    Errno,
)
from procession.abi.netlink import (
    AcknowledgementAttribute,
    NetlinkFlag,
    NetlinkMessageType,
    NetlinkOption,
    NetlinkProtocol,
    Nlmsghdr,
)
from procession.abi.socket import AddressFamily, SockaddrNl, SocketLevel
from procession.abi.word import Words, pack_array, pack_u16, pack_u32
from procession.net.buffer_charge import datagram_charge
from procession.net.message import Received
from procession.net.netlink.attributes import NESTED, Answer, Request, attribute
from procession.net.netlink.peers import broadcast, unicast
from procession.net.netlink.requests import answer, ends_apart, lists_all
from procession.net.netlink.waiting_message import NetlinkMessage, batches
from procession.net.peer_identity import credentials_of
from procession.net.socket import (
    ESTABLISHED,
    MSG_DONTWAIT,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    POLLERR,
    POLLIN,
    POLLOUT,
    POLLWRBAND,
    Socket,
)
from procession.net.socket_filter import FilteredPacket, accepted_bytes
from procession.net.socket_options import CAP_NET_ADMIN, pack_int, read_int

if TYPE_CHECKING:
    from procession.net.message import Control
    from procession.net.network import Network
    from procession.net.peer_identity import SenderCredentials

AF_NETLINK = int(AddressFamily.AF_NETLINK)
AF_UNSPEC = int(AddressFamily.AF_UNSPEC)
SOL_NETLINK = int(SocketLevel.SOL_NETLINK)

NLMSG_ERROR = int(NetlinkMessageType.NLMSG_ERROR)
NLMSG_DONE = int(NetlinkMessageType.NLMSG_DONE)
_FIRST_REAL_TYPE = 0x10
_REQUEST = int(NetlinkFlag.NLM_F_REQUEST)
_ACK = int(NetlinkFlag.NLM_F_ACK)
_MULTI = int(NetlinkFlag.NLM_F_MULTI)
_FILTERED = int(NetlinkFlag.NLM_F_DUMP_FILTERED)
_CAPPED = int(NetlinkFlag.NLM_F_CAPPED)
_ADD_MEMBERSHIP = int(NetlinkOption.NETLINK_ADD_MEMBERSHIP)
_DROP_MEMBERSHIP = int(NetlinkOption.NETLINK_DROP_MEMBERSHIP)
MEMBERSHIPS = (SOL_NETLINK, int(NetlinkOption.NETLINK_LIST_MEMBERSHIPS))
_CAP_ACK = int(NetlinkOption.NETLINK_CAP_ACK)
_EXT_ACK = int(NetlinkOption.NETLINK_EXT_ACK)
_STRICT = int(NetlinkOption.NETLINK_GET_STRICT_CHK)
_NO_ENOBUFS = int(NetlinkOption.NETLINK_NO_ENOBUFS)
_PKTINFO = int(NetlinkOption.NETLINK_PKTINFO)
_LISTEN_ALL = int(NetlinkOption.NETLINK_LISTEN_ALL_NSID)
_CAP_NET_BROADCAST = int(Capability.CAP_NET_BROADCAST)
_ACK_TLVS = int(NetlinkFlag.NLM_F_ACK_TLVS)
_BLAMED = int(AcknowledgementAttribute.NLMSGERR_ATTR_OFFS)
_POLICY = int(AcknowledgementAttribute.NLMSGERR_ATTR_POLICY)
_MISSING = int(AcknowledgementAttribute.NLMSGERR_ATTR_MISS_TYPE)
_EXPLANATION = int(AcknowledgementAttribute.NLMSGERR_ATTR_MSG)
_SWITCHES = frozenset(
    int(option)
    for option in (
        NetlinkOption.NETLINK_PKTINFO,
        NetlinkOption.NETLINK_BROADCAST_ERROR,
        NetlinkOption.NETLINK_NO_ENOBUFS,
        NetlinkOption.NETLINK_LISTEN_ALL_NSID,
        NetlinkOption.NETLINK_CAP_ACK,
        NetlinkOption.NETLINK_EXT_ACK,
        NetlinkOption.NETLINK_GET_STRICT_CHK,
    )
)
_ROUTE = int(NetlinkProtocol.NETLINK_ROUTE)
_GROUP_WORDS = {_ROUTE: 2, int(NetlinkProtocol.NETLINK_GENERIC): 2}
"""In how many words of 32 bits a protocol's groups are, if not in one."""
_LAST_OF_ROUTES = 39
_HEADER = Words("<IHHII")
_ERROR_CODE = Words("<i")
_FIRST_MADE_UP_ID = 0xFFFFF000
_FIRST_WORD = 0xFFFFFFFF
_MESSAGE_OVERHEAD = 32


def parse_address(address: bytes) -> SockaddrNl:
    """A struct sockaddr_nl. Raises EINVAL."""
    if len(address) < SockaddrNl.SIZE:
        raise EINVAL("a struct sockaddr_nl is needed")
    parsed = SockaddrNl.unpack_from(address)
    if parsed.nl_family != AF_NETLINK:
        raise EINVAL("not an address of AF_NETLINK")
    return parsed


class NetlinkSocket(Socket):
    """A netlink socket (Linux: net/netlink/af_netlink.h, struct netlink_sock), of NETLINK_ROUTE or
    what a subclass says.

    `port_id` is its address, 0 until it's bound; `groups` a mask of the groups that it listens to. `target`
    and `target_groups` are whom it's connected to: the kernel (0), or another socket, and groups. `answers`
    wait to be received; `answer_bytes` is what they take. `is_congested` says that something was missed, and
    that nothing more is kept until all that waits has been received.
    `dump` is the rest of a list, which is charged and follows when there is room.
    """

    __slots__ = (
        "answer_bytes",
        "answers",
        "dump",
        "group_words",
        "groups",
        "is_congested",
        "port_id",
        "protocol_options",
        "target",
        "target_groups",
    )

    prototype: ClassVar[bytes] = b"NETLINK"
    is_for_everybody: ClassVar[bool] = False

    can_shut_down: ClassVar[bool] = False

    def __init__(self, network: Network, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, AF_NETLINK, kind, protocol, owner_uid)
        self.port_id = 0
        self.groups = self.group_words = 0
        self.target = 0
        self.target_groups = 0
        self.answers: deque[NetlinkMessage] = deque()
        self.answer_bytes = 0
        self.is_congested = False
        self.dump: deque[bytes] = deque()
        self.protocol_options: dict[int, int] = {}

    # Names

    def bind(self, address: bytes) -> None:
        """Linux: net/netlink/af_netlink.c, netlink_bind."""
        wanted = parse_address(address)
        if self.port_id and wanted.nl_pid != self.port_id:
            raise EINVAL("the socket has another address")
        if wanted.nl_groups:
            self.check_groups(wanted.nl_groups)
        if wanted.nl_pid and not self.port_id:
            self._take(wanted.nl_pid)
        else:
            self.bind_automatically()
        if wanted.nl_groups:
            self.group_words = _GROUP_WORDS.get(self.protocol, 1)
        self.groups = self.groups & ~_FIRST_WORD | wanted.nl_groups

    def check_groups(self, groups: int) -> None:
        """Raise EPERM unless the caller may listen to the groups of this mask."""

    def _take(self, port_id: int) -> None:
        sockets = self.network.netlink_sockets
        key = self.protocol, port_id
        if key in sockets:
            raise EADDRINUSE
        sockets[key] = self
        self.port_id = port_id

    def bind_automatically(self) -> None:
        """Get the process's id as address, or another if that is taken.

        Linux: net/netlink/af_netlink.c, netlink_autobind.
        """
        if self.port_id:
            return
        port_id = self.caller.group.pid.own_number
        sockets = self.network.netlink_sockets
        candidate = _FIRST_MADE_UP_ID
        while (self.protocol, port_id) in sockets:
            port_id = candidate
            candidate -= 1
        self._take(port_id)

    def connect(self, address: bytes, flags: int) -> None:
        """Linux: net/netlink/af_netlink.c, netlink_connect."""
        if len(address) < 2:
            raise EINVAL
        if address[:2] == pack_u16(AF_UNSPEC):
            self.state, self.target, self.target_groups = 7, 0, 0
            return
        wanted = parse_address(address)
        if (wanted.nl_groups or wanted.nl_pid) and not self.may_speak_to_others:
            raise EPERM
        self.bind_automatically()
        self.state, self.target, self.target_groups = ESTABLISHED, wanted.nl_pid, wanted.nl_groups

    @property
    def may_administrate(self) -> bool:
        """Whether the caller administrates the network."""
        return self.caller.credentials.ns_capable(self.network.owner, CAP_NET_ADMIN)

    @property
    def may_speak_to_others(self) -> bool:
        """Whether the caller may send to other sockets, and to groups (in Linux, NL_CFG_F_NONROOT_SEND)."""
        return self.is_for_everybody or self.may_administrate

    def getname(self, peer: int) -> bytes:
        """Linux: net/netlink/af_netlink.c, netlink_getname."""
        if peer:
            return SockaddrNl(AF_NETLINK, 0, self.target, self.target_groups & -self.target_groups).pack()
        return SockaddrNl(AF_NETLINK, 0, self.port_id, self.groups & _FIRST_WORD).pack()

    # Messages

    def check_length(self, length: int, address: bytes | None = None) -> None:
        if length > self.send_room - _MESSAGE_OVERHEAD:
            raise EMSGSIZE("more than the buffer for sending holds")

    def check_message(self, length: int, flags: int, address: bytes | None) -> None:
        if flags & MSG_OOB:
            raise EOPNOTSUPP
        if address:
            parse_address(address)

    def send(self, data: bytes, flags: int, address: bytes | None, control: Control | None) -> int:
        """Linux: net/netlink/af_netlink.c, netlink_sendmsg."""
        if flags & MSG_OOB:
            raise EOPNOTSUPP
        if not data:
            raise ENODATA("a message without even a header")
        target, groups = self.target, self.target_groups
        if address:
            wanted = parse_address(address)
            target, groups = wanted.nl_pid, wanted.nl_groups
            if (groups or target) and not self.may_speak_to_others:
                raise EPERM
        self.bind_automatically()
        self.check_length(len(data))
        claimed = None if control is None else control.credentials
        identity = claimed or credentials_of(self.caller)
        # Only the first of several groups hears it. Linux: net/netlink/af_netlink.c, netlink_sendmsg.
        group = (groups & -groups).bit_length()
        if group:
            broadcast(self, data, group, target, identity)
        if target:
            unicast(self, data, target, group, flags, identity)
        else:
            self.answer_all(data)
        return len(data)

    def answer_all(self, data: bytes) -> None:
        """Answer each request in `data`. Linux: net/netlink/af_netlink.c, netlink_rcv_skb."""
        offset = 0
        while len(data) - offset >= _HEADER.size:
            header = Nlmsghdr.unpack_from(data, offset)
            length = header.nlmsg_len
            if not _HEADER.size <= length <= len(data) - offset:
                return
            request = data[offset : offset + length]
            offset += length + 3 & ~3
            if not header.nlmsg_flags & _REQUEST or header.nlmsg_type < _FIRST_REAL_TYPE:
                if header.nlmsg_flags & _ACK:
                    self.acknowledge(header, request, 0)
                continue
            asked = Request(
                *(self.network, self.caller.credentials, header.nlmsg_type, header.nlmsg_flags),
                *(request[_HEADER.size :], header.nlmsg_seq, self.port_id),
                is_strict=bool(self.protocol_options.get(_STRICT)),
            )
            try:
                is_dump = self._answer(header, asked)
            except Errno as error:
                told = self._explained(asked, error)
                self.acknowledge(header, request, error.number, told)
                continue
            if header.nlmsg_flags & _ACK and not is_dump:
                self.acknowledge(header, request, 0, self._explained(asked))

    def _answer(self, header: Nlmsghdr, asked: Request) -> bool:
        """Answer one request; whether by a list of all objects. Raises what it is answered by instead."""
        clock = self.network.host.clock
        clock.spend_answering(1)
        is_dump = self.lists_all(asked)
        if is_dump and self.dump:
            raise EBUSY("the list before isn't read yet")
        failure: Errno | None = None
        try:
            answers = self.answer_to(asked)
        except Errno as error:
            if not asked.is_listing:
                raise
            answers, failure = [], error
        clock.spend_answering(len(answers))
        flags = (_MULTI if is_dump else 0) | (_FILTERED if asked.is_filtered else 0)
        messages = [self._pack(kind, flags, header, body) for kind, body in answers]
        if not is_dump:
            for batch in batches(messages):
                self._queue(batch)
            return False
        is_apart = self.ends_apart(asked, answers) and failure is None and bool(answers)
        # What was noted while the question was read is forgotten by then, unless it's read each time.
        told = b"" if is_apart and not asked.is_read_again else self._explained(asked, failure)
        body = _ERROR_CODE.pack(-failure.number if failure is not None else 0) + told
        end_flags = _MULTI | (_FILTERED if asked.ends_filtered else 0) | (_ACK_TLVS if told else 0)
        end = self._pack(NLMSG_DONE, end_flags, header, body)
        self._start_dump([*batches(messages), end] if is_apart else batches([*messages, end]))
        return True

    def _explained(self, asked: Request, error: Errno | None = None) -> bytes:
        """What the asker is told beside the number of an error, if it wants to know.

        Linux: net/netlink/af_netlink.c, netlink_ack_tlv_fill.
        """
        if not self.protocol_options.get(_EXT_ACK):
            return b""
        explanation = error.reason if error is not None and error.is_told else asked.note
        told = attribute(_EXPLANATION, explanation.encode() + b"\0") if explanation else b""
        if error is not None and asked.blamed:
            told += attribute(_BLAMED, pack_u32(asked.blamed))
            if asked.policy:
                told += attribute(_POLICY | NESTED, asked.policy)
        if error is not None and asked.missing:
            told += attribute(_MISSING, pack_u32(asked.missing))
        return told

    def answer_to(self, request: Request) -> Answer:
        """What the kernel answers to one request. Raises what it answers instead."""
        return answer(request)

    def lists_all(self, request: Request) -> bool:
        """Whether all objects of a kind are asked for."""
        return lists_all(request)

    def ends_apart(self, request: Request, answers: Answer) -> bool:
        """Whether what ends a list comes by itself, though there were room behind the last object."""
        return ends_apart(request)

    def _start_dump(self, parts: list[bytes]) -> None:
        """List objects: some now, the rest as it's read. Raises ENOBUFS.

        Linux: net/netlink/af_netlink.c, __netlink_dump_start, netlink_dump.
        """
        if not self.network.system.charge_arrived(sum(datagram_charge(len(part)) for part in parts)):
            raise ENOBUFS("no memory")
        self.dump.extend(parts)
        if self.answer_bytes >= self.receive_room:
            raise ENOBUFS("no room")
        self._continue_dump()

    def _continue_dump(self) -> None:
        message = self.dump.popleft()
        charge = datagram_charge(len(message))
        kept = self.let_in(message)
        if kept is None:
            self.network.system.uncharge_buffer(charge)
        else:
            self.append(kept, 0, charge)

    def _pack(self, kind: int, flags: int, request: Nlmsghdr, body: bytes) -> bytes:
        message = _HEADER.pack(_HEADER.size + len(body), kind, flags, request.nlmsg_seq, self.port_id) + body
        return message + bytes(-len(message) % 4)

    def acknowledge(
        self, header: Nlmsghdr, request: bytes, error: int, told: bytes = b"", blamed: int = 0
    ) -> None:
        """Say that it was done, or why it wasn't: what is `told` beside, and the attribute at `blamed` in the
        request, if that isn't 0. Linux: net/netlink/af_netlink.c, netlink_ack.
        """
        is_capped = not error or self.protocol_options.get(_CAP_ACK)
        flags = _CAPPED if is_capped else 0
        body = _ERROR_CODE.pack(-error) + (header.pack() if is_capped else request)
        if blamed and self.protocol_options.get(_EXT_ACK):
            told += attribute(_BLAMED, pack_u32(blamed))
        if told:
            flags |= _ACK_TLVS
            body += bytes(-len(body) % 4) + told
        self._queue(self._pack(NLMSG_ERROR, flags, header, body))

    def tell(self, message: bytes, group: int = 0, origin: int | None = None) -> None:
        """Say what nobody has asked for, unless the socket is closed.

        Linux: net/netlink/af_netlink.c, netlink_sendskb.
        """
        if self.file is not None:
            self.hear(message, group, 0, None, origin)

    def let_in(self, message: bytes) -> bytes | None:
        """What SO_ATTACH_FILTER's program keeps of a message, None for nothing."""
        if self.filter is None:
            return message
        accepted = accepted_bytes(self, FilteredPacket(message))
        return message[:accepted] if accepted else None

    def _queue(self, message: bytes, group: int = 0) -> None:
        """The kernel says something. Linux: net/netlink/af_netlink.c, netlink_unicast."""
        self.hear(message, group, 0, None)

    def hear(
        self,
        data: bytes,
        group: int,
        sender: int,
        credentials: SenderCredentials | None,
        origin: int | None = None,
    ) -> None:
        """Keep `data`, or note that it was missed: once, until what waits has been received.

        Linux: net/netlink/af_netlink.c, do_one_broadcast, netlink_broadcast_deliver, netlink_overrun.
        """
        kept = self.let_in(data)
        if kept is None:
            return
        charge = datagram_charge(len(kept))
        has_room = not self.is_congested and (
            not self.answers or self.answer_bytes + charge <= self.receive_room
        )
        if not has_room or not self.network.system.charge_arrived(charge):
            if not self.is_congested and not self.protocol_options.get(_NO_ENOBUFS):
                self.is_congested = bool(self.answers)
                self.error = ENOBUFS.number
                self.state_changed()
            return
        self.append(kept, group, charge, sender, credentials, origin)

    def append(
        self,
        message: bytes,
        group: int,
        charge: int,
        sender: int = 0,
        credentials: SenderCredentials | None = None,
        origin: int | None = None,
    ) -> None:
        """Let `message`, which has been charged, wait to be received."""
        self.answers.append(NetlinkMessage(message, group, charge, sender, credentials, origin))
        self.answer_bytes += charge
        self.read_queue.wake_all()

    def wait_for_room(self, sender: NetlinkSocket, flags: int) -> NoReturn:
        """`sender` waits until something has been received. Raises EAGAIN, or Sleep.

        Linux: net/netlink/af_netlink.c, netlink_attachskb.
        """
        if flags & MSG_DONTWAIT:
            raise EAGAIN
        sender.sleep(self.write_queue, sender.send_timeout_ns)

    def receive(self, length: int, flags: int) -> Received:
        """Linux: net/netlink/af_netlink.c, netlink_recvmsg."""
        if flags & MSG_OOB:
            raise EOPNOTSUPP
        self.raise_error()
        if not self.answers:
            self.wait_to_receive(flags)
        message = self.answers[0]
        data, group = message.data, message.group
        if not flags & MSG_PEEK:
            self.answers.popleft()
            self._uncount(message)
            if not self.answers:
                # Linux: net/netlink/af_netlink.c, netlink_rcv_wake.
                self.is_congested = False
                self.write_queue.wake_all()
        if self.dump and self.answer_bytes <= self.receive_room >> 1:
            self._continue_dump()
        full = len(data)
        groups = 1 << group - 1 & 0xFFFFFFFF if group else 0
        sender = SockaddrNl(AF_NETLINK, 0, message.sender, groups).pack()
        received = Received(data[:length], full, MSG_TRUNC if full > length else 0, sender)
        received.credentials = message.credentials
        items = []
        if self.protocol_options.get(_PKTINFO):
            items.append((SOL_NETLINK, _PKTINFO, pack_u32(group)))
        if self.protocol_options.get(_LISTEN_ALL) and message.origin is not None:
            items.append((SOL_NETLINK, _LISTEN_ALL, pack_int(message.origin)))
        if items:
            received.items = items
        return received

    @property
    def unread_bytes(self) -> int:
        return sum(len(message.data) for message in self.answers)

    def _uncount(self, message: NetlinkMessage) -> None:
        self.answer_bytes -= message.charge
        self.network.system.uncharge_buffer(message.charge)

    def release(self) -> None:
        while self.answers:
            self._uncount(self.answers.popleft())
        while self.dump:
            self.network.system.uncharge_buffer(datagram_charge(len(self.dump.popleft())))
        key = self.protocol, self.port_id
        if self.port_id and self.network.netlink_sockets.get(key) is self:
            del self.network.netlink_sockets[key]
        self.network.system.listeners_everywhere.pop(self, None)
        self.forget()
        self.state_changed()

    def poll_mask(self) -> int:
        mask = POLLERR if self.error else 0
        if self.answers:
            mask |= POLLIN
        return mask | POLLOUT | POLLWRBAND

    # Options

    def check_option(self, level: int, name: int, *, is_set: bool) -> None:
        if level != SOL_NETLINK:
            raise ENOPROTOOPT

    def set_option(self, level: int, name: int, value: bytes) -> None:
        """Linux: net/netlink/af_netlink.c, netlink_setsockopt."""
        number = read_int(value) if len(value) >= 4 else 0
        if name in _SWITCHES:
            if name == _LISTEN_ALL:
                self._listen_everywhere(is_wanted=bool(number))
            self.protocol_options[name] = int(number != 0)
            if name == _NO_ENOBUFS and number:
                self.is_congested = False
                self.write_queue.wake_all()
        elif name in (_ADD_MEMBERSHIP, _DROP_MEMBERSHIP):
            self.group_words = _GROUP_WORDS.get(self.protocol, 1)
            if not 0 < number <= (_LAST_OF_ROUTES if self.protocol == _ROUTE else 32 * self.group_words):
                raise EINVAL(f"no group {number}")
            bit = 1 << number - 1
            self.check_groups(bit)
            self.groups = self.groups | bit if name == _ADD_MEMBERSHIP else self.groups & ~bit
        else:
            raise ENOPROTOOPT

    def _listen_everywhere(self, *, is_wanted: bool) -> None:
        """Raises EPERM. Linux: net/netlink/af_netlink.c, netlink_setsockopt."""
        if not self.caller.credentials.ns_capable(self.network.owner, _CAP_NET_BROADCAST):
            raise EPERM("CAP_NET_BROADCAST is needed")
        listeners = self.network.system.listeners_everywhere
        if is_wanted:
            listeners[self] = None
        else:
            listeners.pop(self, None)

    def may_hear_of(self, network: Network) -> bool:
        """Whether who has opened the socket may hear what is said in another network, which needs a number.

        Linux: net/netlink/af_netlink.c, do_one_broadcast.
        """
        if network not in self.network.numbers or self.file is None:
            return False
        return self.file.subject.ns_capable(network.owner, _CAP_NET_BROADCAST)

    def get_option(self, level: int, name: int, length: int) -> bytes:
        """Linux: net/netlink/af_netlink.c, netlink_getsockopt."""
        if length < 0:
            raise EINVAL("a negative length")
        if name not in _SWITCHES:
            raise ENOPROTOOPT
        if length < 4:
            raise EINVAL("an int doesn't fit")
        return pack_int(self.protocol_options.get(name, 0))

    def listed_groups(self) -> bytes:
        """The groups as a mask in words of 32 bits; none before the socket has joined one.

        Linux: net/netlink/af_netlink.c, netlink_getsockopt.
        """
        return pack_array("I", [self.groups >> 32 * at & _FIRST_WORD for at in range(self.group_words)])

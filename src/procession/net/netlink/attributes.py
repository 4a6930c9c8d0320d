"""Attributes of netlink messages, and what a request is (netlink(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ERANGE
from procession.abi.netlink import NetlinkFlag, RouteMessageType
from procession.abi.word import Words, pack_u32
from procession.net.cause import Cause

if TYPE_CHECKING:
    from procession.net.host import Identity
    from procession.net.network import Network

_ATTRIBUTE = Words("<HH")
_TYPE_MASK = 0x3FFF
_FILTERED_ENDS = (int(RouteMessageType.RTM_GETADDR), int(RouteMessageType.RTM_GETROUTE))
_ROOT_OR_MATCH = int(NetlinkFlag.NLM_F_DUMP)

ATTRIBUTE_BYTES = _ATTRIBUTE.size
"""What comes before an attribute's data."""
NESTED = 0x8000
"""Of an attribute's type: there are others in it (NLA_F_NESTED)."""

Message = tuple[int, bytes]
"""Its type and body."""
Answer = list[Message]


class Request:
    """One request as the kernel reads it: who asks what of which network.

    `credentials` are the caller's, `port_id` the asking socket's address. `is_strict` says that the asker
    wants to be told of what isn't understood (NETLINK_GET_STRICT_CHK). `blamed` is where in the message the
    attribute is that an error is about, 0 for none. `is_listing` says that it was understood as a question
    for all objects, which ends in an error then, `is_filtered` that not all of them are told, and
    `is_read_again` that it's read once more for each part of the answer. `policy` is
    what was expected of the attribute that is blamed, `missing` an attribute that has to be there, `note`
    what the asker is told if there is no better explanation."""

    __slots__ = (
        "blamed",
        "body",
        "credentials",
        "flags",
        "is_filtered",
        "is_listing",
        "is_narrowed",
        "is_read_again",
        "is_strict",
        "kind",
        "missing",
        "network",
        "note",
        "policy",
        "port_id",
        "sequence",
    )

    def __init__(
        self,
        network: Network,
        credentials: Identity,
        kind: int,
        flags: int,
        body: bytes,
        sequence: int,
        port_id: int,
        *,
        is_strict: bool = False,
    ) -> None:
        self.network = network
        self.credentials = credentials
        self.kind = kind
        self.flags = flags
        self.body = body
        self.sequence = sequence
        self.port_id = port_id
        self.is_strict = is_strict
        self.is_listing = self.is_filtered = self.is_narrowed = self.is_read_again = False
        self.blamed = self.missing = 0
        self.policy = b""
        self.note = ""

    @property
    def is_dump(self) -> bool:
        """Whether all objects are asked for. Linux: net/netlink/genetlink.c, genl_family_rcv_msg."""
        return self.flags & _ROOT_OR_MATCH == _ROOT_OR_MATCH

    @property
    def asks_for_list(self) -> bool:
        """The same where one of the two flags is enough. Linux: net/core/rtnetlink.c, rtnetlink_rcv_msg."""
        return bool(self.flags & _ROOT_OR_MATCH)

    @property
    def ends_filtered(self) -> bool:
        """Whether the end of a list says too that not all is in it: neighbours and links say it of each
        alone."""
        return self.is_narrowed and self.kind in _FILTERED_ENDS

    @property
    def cause(self) -> Cause:
        """What those are told who hear of a change that comes of this."""
        return Cause(self.port_id, self.sequence, self.has(NetlinkFlag.NLM_F_ECHO), self.flags)

    def has(self, flag: NetlinkFlag) -> bool:
        """Whether NLM_F_CREATE ... is there."""
        return bool(self.flags & int(flag))


def attribute(kind: int, data: bytes) -> bytes:
    """A struct rtattr with its data, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def number(value: int) -> bytes:
    """A number of 32 bits as data."""
    return pack_u32(value)


def attributes_in(body: bytes, offset: int) -> dict[int, bytes]:
    """The attributes after a message's header. Raises EINVAL."""
    found: dict[int, bytes] = {}
    while len(body) - offset >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if not _ATTRIBUTE.size <= length <= len(body) - offset:
            raise EINVAL("the length of an attribute")
        found[kind & _TYPE_MASK] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found


def list_in(body: bytes) -> list[tuple[int, bytes]]:
    """The attributes of a list, whose kinds may come again, up to the first that has no right length.

    Linux: include/net/netlink.h, nla_for_each_attr.
    """
    found: list[tuple[int, bytes]] = []
    offset = 0
    while len(body) - offset >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if not _ATTRIBUTE.size <= length <= len(body) - offset:
            break
        found.append((kind & _TYPE_MASK, body[offset + _ATTRIBUTE.size : offset + length]))
        offset += length + 3 & ~3
    return found


def attribute_offset(body: bytes, offset: int, kind: int) -> int:
    """Where in `body`, behind `offset`, the attribute of this kind begins; 0 if it isn't there."""
    while len(body) - offset >= _ATTRIBUTE.size:
        length, found = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            break
        if found & _TYPE_MASK == kind:
            return offset
        offset += length + 3 & ~3
    return 0


def is_marked_as_nested(body: bytes, offset: int, kind: int) -> bool:
    """Whether the attribute of this kind says that there are others in it, as newer requests must."""
    place = attribute_offset(body, offset, kind)
    return bool(place) and bool(_ATTRIBUTE.unpack_from(body, place)[1] & NESTED)


def nested_in(body: bytes) -> dict[int, bytes]:
    """The attributes in another one, of each kind the last: what comes behind a wrong length is left out.

    Linux: lib/nlattr.c, __nla_validate_parse with NL_VALIDATE_LIBERAL.
    """
    return dict(list_in(body))


def number_in(found: dict[int, bytes], kind: int) -> int | None:
    """The number of 32 bits in an attribute, None if it isn't there. Raises ERANGE."""
    data = found.get(kind)
    if data is None:
        return None
    if len(data) < 4:
        raise ERANGE("an attribute too short")
    return int.from_bytes(data[:4], "little")


def signed_in(found: dict[int, bytes], kind: int) -> int | None:
    """The same with a sign."""
    data = found.get(kind)
    if data is None:
        return None
    if len(data) < 4:
        raise ERANGE("an attribute too short")
    return int.from_bytes(data[:4], "little", signed=True)


def text_in(found: dict[int, bytes], kind: int) -> bytes | None:
    """The string in an attribute, None if it isn't there."""
    data = found.get(kind)
    return None if data is None else data.split(b"\0", 1)[0]

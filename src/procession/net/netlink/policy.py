"""What the attributes of a request must be like: nla_policy, by which Linux looks at them first
(netlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ERANGE, TOLD
from procession.abi.named_tuple import NamedTuple
from procession.abi.netlink import Nlmsghdr
from procession.abi.word import Words, pack_u64
from procession.net.netlink.attributes import attribute, attribute_offset, number

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Request

_ATTRIBUTE = Words("<HH")
_HEADER_BYTES = _ATTRIBUTE.size
_TYPE_MASK, _NESTED = 0x3FFF, 0x8000
_NUMBER, _AT_LEAST, _AT_MOST, _STRING, _TERMINATED, _LIST, _SIGNED, _BITS, _REFUSED, _FLAG = range(10)
_NAME, _LEAST_SIGNED, _MOST_SIGNED, _LEAST_UNSIGNED, _MOST_UNSIGNED, _MOST_BYTES = 1, 2, 3, 4, 5, 7
_KNOWN_BITS = 12
"""NL_POLICY_TYPE_ATTR_*."""
_NUMBER_NAMES = {1: 2, 2: 3, 4: 4, 8: 5}
_NAMES = {_FLAG: 1, _SIGNED: 8, _AT_MOST: 10, _STRING: 11, _TERMINATED: 12, _LIST: 13}
"""What the kinds are called (NL_ATTR_TYPE_*)."""
_FAILED = "Attribute failed policy validation"


class Expected(NamedTuple):
    """What one attribute is (Linux: include/net/netlink.h, struct nla_policy): a number of `length` bytes,
    that many bytes or more, or less; a string.

    `least` is the least of a number and `most` the last, unless that is 0; `bits` are those that it may have.
    """

    kind: int
    length: int = 0
    least: int = 0
    bits: int = 0
    most: int = 0


U8, U16, U32 = Expected(_NUMBER, 1), Expected(_NUMBER, 2), Expected(_NUMBER, 4)
U64 = Expected(_NUMBER, 8)
BYTES = Expected(_AT_MOST)
"""As many bytes as one likes."""
NESTED_LIST = Expected(_LIST)


def at_least(length: int) -> Expected:
    """So many bytes, or more, whatever is in them."""
    return Expected(_AT_LEAST, length)


def at_most(length: int) -> Expected:
    """Not more bytes than these (NLA_BINARY)."""
    return Expected(_AT_MOST, length)


def string(length: int) -> Expected:
    """Text of one byte to so many, with or without a NUL (NLA_STRING)."""
    return Expected(_STRING, length)


def terminated(length: int) -> Expected:
    """Text that a NUL ends (NLA_NUL_STRING)."""
    return Expected(_TERMINATED, length)


def not_less(least: int) -> Expected:
    """A number of 32 bits that isn't less than another (NLA_POLICY_MIN)."""
    return Expected(_NUMBER, 4, least)


def most_of_byte(most: int) -> Expected:
    """A number of 8 bits that isn't more than another (NLA_POLICY_MAX)."""
    return Expected(_NUMBER, 1, most=most)


def signed(least: int) -> Expected:
    """A number of 32 bits with a sign that isn't less than another (NLA_POLICY_MIN)."""
    return Expected(_SIGNED, 4, least)


def bits(known: int) -> Expected:
    """A number of 32 bits, of which some are known (NLA_POLICY_MASK)."""
    return Expected(_BITS, 4, bits=known)


FLAG = Expected(_FLAG)
"""Something that is there, and nothing in it."""
REFUSED = Expected(_REFUSED)
"""What is told, but can't be said (NLA_REJECT)."""


class Policy:
    """What a kind of request may say.

    `largest` is the last attribute that there is; those from `strict_from` on, which are newer, must have
    their right length and say it if there are others in them."""

    __slots__ = ("expected", "largest", "strict_from")

    def __init__(self, expected: dict[int, Expected], largest: int, strict_from: int = 0) -> None:
        self.expected = expected
        self.largest = largest
        self.strict_from = strict_from


def checked_attributes(
    request: Request, header_bytes: int, policy: Policy, *, is_strict: bool = False
) -> dict[int, bytes]:
    """The attributes behind a header of so many bytes. Strictly none is there that isn't known, and nothing
    comes behind them.

    Raises EINVAL, ERANGE. Linux: lib/nlattr.c, __nla_validate_parse.
    """
    body, offset = request.body, header_bytes + 3 & ~3
    found: dict[int, bytes] = {}
    while len(body) - offset >= _HEADER_BYTES:
        length, raw_kind = _ATTRIBUTE.unpack_from(body, offset)
        if not _HEADER_BYTES <= length <= len(body) - offset:
            break
        kind = raw_kind & _TYPE_MASK
        if 0 < kind <= policy.largest:
            data = body[offset + _HEADER_BYTES : offset + length]
            expected = policy.expected.get(kind)
            is_new = 0 < policy.strict_from <= kind
            if expected is not None or is_new:
                request.blamed = Nlmsghdr.SIZE + offset
                request.policy = b"" if expected is None else _description(expected)
                _check(expected, data, is_nested=bool(raw_kind & _NESTED), is_strict=is_new)
                if expected is not None and expected.kind == _BITS:
                    request.policy = b""
                    _check_bits(expected, data)
                request.blamed, request.policy = 0, b""
            found[kind] = data
        elif is_strict:
            request.blamed = Nlmsghdr.SIZE + offset
            raise EINVAL("Unknown attribute type", TOLD)
        offset += length + 3 & ~3
    if len(body) > offset:
        # Programs are told of it even if nothing comes of it.
        request.note = "bytes leftover after parsing attributes"
        if is_strict:
            raise EINVAL(request.note, TOLD)
    return found


def check_lengths(found: dict[int, bytes], expected: dict[int, Expected]) -> None:
    """What was found has at least the lengths of numbers: of several lists the first alone was checked.
    Raises ERANGE."""
    for kind, data in found.items():
        if kind in expected and expected[kind].kind == _NUMBER and len(data) < expected[kind].length:
            raise ERANGE(_FAILED, TOLD)


def check_nested(
    request: Request, path: tuple[int, ...], header_bytes: int, expected: dict[int, Expected]
) -> None:
    """What is in the attribute at the end of `path`, one in the other, is as it has to be. Raises ERANGE,
    EINVAL. Linux: lib/nlattr.c, validate_nla."""
    body, offset, end = request.body, header_bytes, len(request.body)
    for kind in path:
        offset = attribute_offset(body[:end], offset, kind)
        if not offset:
            return
        end = min(end, offset + _ATTRIBUTE.unpack_from(body, offset)[0])
        offset += _HEADER_BYTES
    while end - offset >= _HEADER_BYTES:
        length, raw_kind = _ATTRIBUTE.unpack_from(body, offset)
        if not _HEADER_BYTES <= length <= end - offset:
            return
        found = expected.get(raw_kind & _TYPE_MASK)
        if found is not None:
            request.blamed = Nlmsghdr.SIZE + offset
            request.policy = _description(found)
            if found.kind == _REFUSED:
                raise EINVAL(_FAILED, TOLD)
            _check(found, body[offset + _HEADER_BYTES : offset + length], is_nested=False, is_strict=False)
            request.blamed, request.policy = 0, b""
        offset += length + 3 & ~3


def _description(expected: Expected) -> bytes:
    """What was expected of an attribute that isn't right. Linux: net/netlink/policy.c,
    __netlink_policy_dump_write_attr."""
    kind, length = expected.kind, expected.length
    if kind in (_AT_LEAST, _REFUSED):
        return b""
    told = b""
    if kind == _NUMBER:
        told = attribute(_LEAST_UNSIGNED, pack_u64(expected.least))
        told += attribute(_MOST_UNSIGNED, pack_u64(expected.most or (1 << 8 * length) - 1))
    elif kind == _SIGNED:
        told = attribute(_LEAST_SIGNED, pack_u64(expected.least)) + attribute(
            _MOST_SIGNED, pack_u64(0x7FFFFFFF)
        )
    elif kind == _BITS:
        told = attribute(_KNOWN_BITS, pack_u64(expected.bits))
    elif kind != _LIST and length:
        told = attribute(_MOST_BYTES, number(length))
    name = _NUMBER_NAMES[length] if kind in (_NUMBER, _BITS) else _NAMES[kind]
    return told + attribute(_NAME, number(name))


def _check(expected: Expected | None, data: bytes, *, is_nested: bool, is_strict: bool) -> None:
    """Linux: lib/nlattr.c, validate_nla."""
    if expected is None:
        raise EINVAL("Unsupported attribute", TOLD)
    kind, length = expected.kind, expected.length
    if is_strict:
        if kind in (_NUMBER, _SIGNED, _BITS) and len(data) != length:
            raise EINVAL("invalid attribute length", TOLD)
        if kind == _LIST and not is_nested:
            raise EINVAL("NLA_F_NESTED is missing", TOLD)
        if kind != _LIST and is_nested:
            raise EINVAL("NLA_F_NESTED not expected", TOLD)
    if kind in (_NUMBER, _AT_LEAST, _SIGNED, _BITS):
        if len(data) < length:
            raise ERANGE(_FAILED, TOLD)
        value = int.from_bytes(data[:length], "little")
        if kind == _NUMBER and not expected.least <= value <= (expected.most or value):
            raise ERANGE("integer out of range", TOLD)
        if kind == _SIGNED and int.from_bytes(data[:4], "little", signed=True) < expected.least:
            raise ERANGE("integer out of range", TOLD)
    elif kind == _REFUSED:
        raise EINVAL("Attribute is rejected", TOLD)
    elif kind == _FLAG or (kind == _AT_MOST and length):
        if len(data) > length:
            raise ERANGE(_FAILED, TOLD)
    elif kind == _LIST:
        if 0 < len(data) < _HEADER_BYTES:
            raise ERANGE(_FAILED, TOLD)
    elif kind in (_STRING, _TERMINATED):
        _check_text(kind, data, length)


def _check_bits(expected: Expected, data: bytes) -> None:
    """What is known isn't told. Linux: lib/nlattr.c, nla_validate_mask."""
    if int.from_bytes(data[:4], "little") & ~expected.bits:
        raise EINVAL("reserved bit set", TOLD)


def _check_text(kind: int, data: bytes, length: int) -> None:
    if kind == _TERMINATED and (not data or b"\0" not in data[: length + 1]):
        raise EINVAL(_FAILED, TOLD)
    if length and (not data or len(data) - (data[-1] == 0) > length):
        raise ERANGE(_FAILED, TOLD)

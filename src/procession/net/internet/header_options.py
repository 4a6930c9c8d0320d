"""Options in IPv4's header (IP_OPTIONS): what a socket sends, and what some gather on their way (ip(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.abi.word import pack_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_OPTIONS = 40
_END, _NOTHING, _ROUTE, _TIMES = 0, 1, 7, 68
_LOOSE_ROUTE, _STRICT_ROUTE, _ALERT = 131, 137, 148
_SOURCE_ROUTES = (_LOOSE_ROUTE, _STRICT_ROUTE)
_CIPSO, _SHORTEST_CIPSO = 134, 8
_ONCE = (*_SOURCE_ROUTES, _ROUTE, _TIMES, _CIPSO)
_TIMES_ALONE, _TIMES_AND_ADDRESSES, _TIMES_OF_SOME = 0, 1, 3
_MOST_OVERFLOWS, _ONE_OVERFLOW = 15, 16
_DAY_MS = 86_400_000


def _each(options: bytes) -> Iterator[tuple[int, int, int]]:
    """The kind, the place and the length of each option. Raises EINVAL."""
    place = 0
    while place < len(options) and options[place] != _END:
        if options[place] == _NOTHING:
            place += 1
            continue
        length = options[place + 1] if place + 1 < len(options) else 0
        if not 2 <= length <= len(options) - place:
            raise EINVAL("the length of an option")
        yield options[place], place, length
        place += length


def checked_options(data: bytes, is_privileged: Callable[[], bool]) -> bytes:
    """What a program wants in headers, padded. Raises EINVAL, and EPERM of routes that it isn't to choose.

    `is_privileged` is asked where it matters.

    Linux: net/ipv4/ip_options.c, ip_options_get, __ip_options_compile.
    """
    if len(data) > LONGEST_OPTIONS:
        raise EINVAL("more than a header holds")
    options = data + bytes(-len(data) % 4)
    end = 0
    seen: set[int] = set()
    for kind, place, length in _each(options):
        group = _LOOSE_ROUTE if kind == _STRICT_ROUTE else kind
        if kind in _ONCE and group in seen:
            raise EINVAL("an option twice")
        seen.add(group)
        _check(kind, options[place : place + length], is_privileged)
        end = place + length
    if seen & {_LOOSE_ROUTE} and not is_privileged():
        raise EPERM("CAP_NET_RAW is needed")
    end += len(options[end:]) - len(options[end:].lstrip(b"\1"))
    return options[:end] + bytes(len(options) - end)


def _check(kind: int, option: bytes, is_privileged: Callable[[], bool]) -> None:
    length = len(option)
    pointer = option[2] if length > 2 else 0
    if kind in _SOURCE_ROUTES:
        is_good = pointer == 4 and length >= 7 and length % 4 == 3
    elif kind == _ROUTE:
        is_good = length >= 3 and pointer >= 4 and (pointer > length or pointer + 3 <= length)
    elif kind == _TIMES:
        is_good = length >= 4 and pointer >= 5 and _has_place(option, pointer, is_privileged)
    elif kind == _ALERT:
        is_good = length >= 4
    elif kind == _CIPSO:
        is_good = is_privileged() and length >= _SHORTEST_CIPSO and any(option[2:6])
    else:
        is_good = is_privileged()
    if not is_good:
        raise EINVAL("no such option, or a bad one")


def _has_place(option: bytes, pointer: int, is_privileged: Callable[[], bool]) -> bool:
    what = option[3] & 15
    if pointer > len(option):
        return what == _TIMES_OF_SOME or option[3] >> 4 < _MOST_OVERFLOWS
    if what in (_TIMES_AND_ADDRESSES, _TIMES_OF_SOME):
        return pointer + 7 <= len(option)
    return pointer + 3 <= len(option) and (what == _TIMES_ALONE or is_privileged())


def is_routed_by_source(options: bytes) -> bool:
    """Whether they say by which routers a packet goes: nobody passes such a packet on, or takes it in, as
    net.ipv4.conf.all.accept_source_route is 0.
    """
    return any(kind in _SOURCE_ROUTES for kind, _, _ in _each(options))


def recorded(
    options: bytes, address: bytes, time_ns: int, is_own: Callable[[bytes], bool], *, is_sender: bool = False
) -> bytes:
    """The same once a packet has been at `address`, at `time_ns` since the epoch.

    `is_own` says whether an address is one of those there. Raises EINVAL for a place that's too short.
    Linux: net/ipv4/ip_options.c, ip_options_build, __ip_options_compile.
    """
    changed = bytearray(options)
    time = pack_address(time_ns // 1_000_000 % _DAY_MS, 4)
    for kind, place, length in _each(options):
        if kind not in (_ROUTE, _TIMES):
            continue
        pointer, what = options[place + 2], options[place + 3] & 15 if kind == _TIMES else _TIMES_ALONE
        at = place + pointer - 1
        if pointer > length:
            if kind == _TIMES and what != _TIMES_OF_SOME and not is_sender:
                changed[place + 3] = (options[place + 3] + _ONE_OVERFLOW) & 0xFF
            continue
        size = 8 if what in (_TIMES_AND_ADDRESSES, _TIMES_OF_SOME) else 4
        if pointer + size - 1 > length:
            raise EINVAL("no place for an address or a time")
        if kind == _ROUTE:
            entry = address
        elif what == _TIMES_ALONE:
            entry = time
        elif what == _TIMES_AND_ADDRESSES:
            entry = address + time
        elif what == _TIMES_OF_SOME and is_own(options[at : at + 4]):
            entry = options[at : at + 4] + time
        else:
            continue
        changed[at : at + size] = entry
        changed[place + 2] += size
    return bytes(changed)


def answered(options: bytes) -> bytes:
    """What of a packet's options goes into the header of an answer.

    Linux: net/ipv4/ip_options.c, __ip_options_echo.
    """
    found = b"".join(
        options[place : place + length]
        for wanted in (_ROUTE, _TIMES)
        for kind, place, length in _each(options)
        if kind == wanted
    )
    return found + bytes(-len(found) % 4)

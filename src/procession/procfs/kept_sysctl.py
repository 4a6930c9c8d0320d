"""The files of /proc/sys/net of which nothing comes but that they tell what was written to them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.net.kept_sysctls import FIRST_GC_PAUSE_MS, FIRST_PIECES, GC_PAUSE, KEPT, PIECES
from procession.net.sysctls import MOST_SECONDS
from procession.procfs.parameter_kind import INTEGER, UNSIGNED, UNSIGNED_LONG, ParameterKind
from procession.procfs.parse_integer import parse_milliseconds, parse_parameter
from procession.procfs.system_directory import SystemFile

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_LARGEST_BYTE, _MS_PER_S = 255, 1_000
_MOST_BYTES = 0xFFFF_FFFF_FFFF_FFFF
_IN_TICKS = b"ipv4/tcp_invalid_ratelimit"
_HIGH, _LOW = b"high_thresh", b"low_thresh"
_KINDS = {
    b"ipv4/tcp_probe_interval": UNSIGNED,
    b"ipv4/tcp_child_ehash_entries": UNSIGNED,
    b"ipv4/udp_child_hash_entries": UNSIGNED,
}
"""Of those of another kind than their bounds say."""


def _kept(kernel: Kernel) -> dict[bytes, int]:
    return kernel.seen_namespaces.network.sysctls.kept


def _show(name: bytes, kernel: Kernel) -> bytes:
    return b"%d\n" % _kept(kernel).get(name, KEPT[name][0])


def _store(name: bytes, kernel: Kernel, data: bytes) -> None:
    """Raises EINVAL. Linux: net/ipv4/sysctl_net_ipv4.c, ipv4_net_table."""
    _, least, most = KEPT[name]
    value = parse_milliseconds(data) if name == _IN_TICKS else parse_parameter(data, least, most)
    _kept(kernel)[name] = value


def _kind(name: bytes) -> ParameterKind:
    _, least, most = KEPT[name]
    return _KINDS.get(name) or (UNSIGNED if 0 <= least <= most <= _LARGEST_BYTE else INTEGER)


def _show_bytes(place: bytes, name: bytes, kernel: Kernel) -> bytes:
    return b"%d\n" % _kept(kernel).get(place + name, FIRST_PIECES[name])


def _store_bytes(place: bytes, name: bytes, kernel: Kernel, data: bytes) -> None:
    """Neither goes beyond the other. Raises EINVAL.

    Linux: net/ipv4/ip_fragment.c, ip4_frags_ns_ctl_register.
    """
    other = _LOW if name == _HIGH else _HIGH
    bound = _kept(kernel).get(place + other, FIRST_PIECES[other])
    least, most = (bound, _MOST_BYTES) if name == _HIGH else (0, bound)
    _kept(kernel)[place + name] = parse_parameter(data, least, most)


def _show_pause(unit_ms: int, kernel: Kernel) -> bytes:
    return b"%d\n" % (_kept(kernel).get(GC_PAUSE, FIRST_GC_PAUSE_MS) // unit_ms)


def _store_pause(unit_ms: int, kernel: Kernel, data: bytes) -> None:
    """Raises EINVAL. Linux: net/ipv6/route.c, ipv6_route_table_template."""
    if unit_ms == 1:
        pause_ms = parse_milliseconds(data)
    else:
        pause_ms = parse_parameter(data, -MOST_SECONDS, MOST_SECONDS) * unit_ms
    _kept(kernel)[GC_PAUSE] = pause_ms


def kept_in(directory: bytes) -> dict[bytes, SystemFile]:
    """Those of a directory of /proc/sys/net, by their names."""
    found: dict[bytes, SystemFile] = {}
    for path in KEPT:
        where, _, name = path.rpartition(b"/")
        if where == directory:
            found[name] = SystemFile(0o644, partial(_show, path), partial(_store, path), kind=_kind(path))
    for place in PIECES:
        where, _, beginning = place.rpartition(b"/")
        if where == directory:
            for name in FIRST_PIECES:
                found[beginning + name] = SystemFile(
                    0o644,
                    partial(_show_bytes, place, name),
                    partial(_store_bytes, place, name),
                    kind=UNSIGNED_LONG,
                )
    where, _, name = GC_PAUSE.rpartition(b"/")
    if where == directory:
        for ending, unit_ms in ((b"", _MS_PER_S), (b"_ms", 1)):
            found[name + ending] = SystemFile(
                0o644, partial(_show_pause, unit_ms), partial(_store_pause, unit_ms)
            )
    return found

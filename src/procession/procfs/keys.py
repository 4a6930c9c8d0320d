"""/proc/keys and /proc/key-users: what there is of keys (keyrings(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.kernel.security.key_search import has_expired
from procession.kernel.security.process_keys import may_view

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.key import Key

_UNITS = ((604_800, b"w"), (86_400, b"d"), (3_600, b"h"), (60, b"m"), (1, b"s"))


def _left(kernel: Kernel, key: Key) -> bytes:
    """How long a key is of use yet. Linux: security/keys/proc.c, proc_keys_show."""
    if key.expiry_ns is None:
        return b"perm"
    if has_expired(kernel, key):
        return b"expd"
    seconds = (key.expiry_ns - kernel.clock.now_ns) // NS_PER_S
    length, unit = next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])
    return b"%d%s" % (seconds // length, unit)


def show_keys(kernel: Kernel) -> bytes:
    """/proc/keys: those that the reader may see."""
    current = kernel.current
    if current is None:
        return b""
    credentials = current.credentials
    seen = credentials.user_namespace
    lines: list[bytes] = []
    for serial, key in sorted(kernel.keys.keys.items()):
        if not may_view(current, credentials, key):
            continue
        flags = b"".join(
            letter if is_set else b"-"
            for letter, is_set in (
                *((b"I", True), (b"R", key.is_revoked), (b"D", False), (b"Q", key.is_counted)),
                *((b"U", False), (b"N", key.error is not None), (b"i", False)),
            )
        )
        if key.error is not None:
            about = key.description
        elif key.links is None:
            about = b"%s: %d" % (key.description, len(key.data))
        else:
            about = key.description + (b": %d" % len(key.links) if key.links else b": empty")
        uid, gid = seen.from_kuid_munged(key.uid), key.gid_for(seen)
        lines.append(
            b"%08x %s %5d %4s %08x %5d %5d %-9.9s %s\n"
            % (serial, flags, key.holders, _left(kernel, key), key.permissions, uid, gid, key.type, about)
        )
    return b"".join(lines)


def show_key_users(kernel: Kernel) -> bytes:
    """/proc/key-users: how many keys each user has. Linux: security/keys/proc.c, proc_key_users_show."""
    current = kernel.current
    seen = kernel.vfs.init_user_namespace if current is None else current.credentials.user_namespace
    lines: list[bytes] = []
    registry = kernel.keys
    for uid, user in sorted(registry.users.items()):
        most_keys, most_bytes = registry.limits_of(uid)
        lines.append(
            b"%5d: %5d %d/%d %d/%d %d/%d\n"
            % (
                *(seen.from_kuid_munged(uid), user.key_count, user.key_count, user.key_count),
                *(user.counted_keys, most_keys, user.byte_count, most_bytes),
            )
        )
    return b"".join(lines)

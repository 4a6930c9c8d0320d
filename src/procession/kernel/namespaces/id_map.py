"""Writing the maps of a user namespace's ids, and whether it may call setgroups: each once and for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.fs.user_namespace import NO_ID, Extent, IdMap, UserNamespace
from procession.hardware.kernel_memory import EXTENT_BYTES
from procession.kernel.security.capability import CAP_SETFCAP, CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN

if TYPE_CHECKING:
    from procession.kernel.security.credentials import Credentials

UID, GID, PROJECT = "uid", "gid", "projid"
"""The kinds of maps: of users, groups, and projects of quotas."""
_CAPABILITIES = {UID: CAP_SETUID, GID: CAP_SETGID}
MOST_EXTENTS = 340
"""Linux: include/linux/user_namespace.h, UID_GID_MAP_MAX_EXTENTS."""
_FEW_EXTENTS = 5
"""Linux keeps and shows more of them sorted."""
TOO_LONG_MAP = 4096
_WORD = 0xFFFF_FFFF
_SPACE = b" \t\n\v\f\r"
TOO_LONG_ANSWER = 8


def map_of(namespace: UserNamespace, kind: str) -> IdMap:
    """The map of that kind."""
    if kind == UID:
        return namespace.uid_map
    return namespace.gid_map if kind == GID else namespace.projid_map


def show_map(namespace: UserNamespace, kind: str, opener: Credentials) -> bytes:
    """/proc/PID/uid_map, gid_map and projid_map: ids as who opened the file sees them, who may be inside.

    Linux: kernel/user_namespace.c, uid_m_show.
    """
    around = opener.user_namespace
    if around is namespace and namespace.parent is not None:
        around = namespace.parent
    shown = map_of(around, kind)
    return b"".join(
        b"%10u %10u %10u\n" % (first, shown.up(lower), count)
        for first, lower, count in map_of(namespace, kind).extents
    )


def write_map(
    namespace: UserNamespace, kind: str, data: bytes, opener: Credentials, writer: Credentials
) -> None:
    """Set a map. Raises EPERM, EINVAL; then nothing has changed.

    Linux: kernel/user_namespace.c, map_write.
    """
    parent = namespace.parent
    if parent is None:
        raise EPERM("the machine's first user namespace has its map")
    if opener.user_namespace is not namespace and opener.user_namespace is not parent:
        raise EPERM("the map was opened neither inside the namespace nor right around it")
    if len(data) >= TOO_LONG_MAP:
        raise EINVAL("a page of text or more")
    target = map_of(namespace, kind)
    if target.extents:
        raise EPERM("the map is written already")
    capability = _CAPABILITIES.get(kind)
    if capability is not None and not opener.has_ns_capability(namespace, CAP_SYS_ADMIN):
        raise EPERM("CAP_SYS_ADMIN over the namespace is missing")
    extents = _parse(data)
    if not _is_permitted(namespace, parent, extents, capability, opener, writer):
        raise EPERM("the ids aren't the writer's to give")
    around = map_of(parent, kind)
    found: list[Extent] = []
    for first, lower, count in extents:
        kid = around.range_down(lower, count)
        if kid == NO_ID:
            raise EPERM(f"the user namespace around has no ids {lower} to {lower + count - 1}")
        found.append((first, kid, count))
    if namespace.memory is not None:
        namespace.charge_memory(namespace.memory, len(found) * EXTENT_BYTES)
    target.extents = tuple(sorted(found) if len(found) > _FEW_EXTENTS else found)


def _parse(data: bytes) -> list[Extent]:
    """The lines of a map, its ids as the namespace around has them. Raises EINVAL."""
    lines = data.partition(b"\0")[0].split(b"\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    if not data or len(lines) > MOST_EXTENTS:
        raise EINVAL("no lines, or too many")
    extents: list[Extent] = []
    for line in lines:
        first, lower, count = _parse_line(line)
        if NO_ID in (first, lower):
            raise EINVAL("-1 is no id")
        if count == 0 or first + count > _WORD or lower + count > _WORD:
            raise EINVAL("no ids, or more than there are")
        for other_first, other_lower, other_count in extents:
            if (first < other_first + other_count and other_first < first + count) or (
                lower < other_lower + other_count and other_lower < lower + count
            ):
                raise EINVAL("two lines have ids in common")
        extents.append((first, lower, count))
    return extents


def _parse_line(line: bytes) -> Extent:
    """Three numbers; what isn't one is 0 if a space follows."""
    numbers: list[int] = []
    rest = line.lstrip(_SPACE)
    for position in range(3):
        text = rest.lstrip(b"0123456789")
        numbers.append(int(rest[: len(rest) - len(text)] or b"0") & _WORD)
        if text[0] not in _SPACE if text else position < 2:
            raise EINVAL("not three numbers")
        rest = text.lstrip(_SPACE)
    if rest:
        raise EINVAL("more than three numbers")
    return numbers[0], numbers[1], numbers[2]


def _is_permitted(
    namespace: UserNamespace,
    parent: UserNamespace,
    extents: list[Extent],
    capability: int | None,
    opener: Credentials,
    writer: Credentials,
) -> bool:
    """Linux: kernel/user_namespace.c, new_idmap_permitted."""
    if capability == CAP_SETUID and not _may_map_root(namespace, parent, extents, opener):
        return False
    if len(extents) == 1 and extents[0][2] == 1 and namespace.owner_uid == opener.euid:
        lower = extents[0][1]
        if capability == CAP_SETUID and parent.make_kuid(lower) == opener.euid:
            return True
        if (
            capability == CAP_SETGID
            and not namespace.allows_setgroups
            and parent.make_kgid(lower) == opener.egid
        ):
            return True
    if capability is None:
        return True
    return writer.ns_capable(parent, capability) and opener.has_ns_capability(parent, capability)


def _may_map_root(
    namespace: UserNamespace, parent: UserNamespace, extents: list[Extent], opener: Credentials
) -> bool:
    """Who maps the superuser around could give files capabilities there.

    Linux: kernel/user_namespace.c, verify_root_map.
    """
    if all(lower for _, lower, _ in extents):
        return True
    if opener.user_namespace is namespace:
        return namespace.capable_parent
    return opener.has_ns_capability(parent, CAP_SETFCAP)


def show_setgroups(namespace: UserNamespace) -> bytes:
    """/proc/PID/setgroups. Linux: kernel/user_namespace.c, proc_setgroups_show."""
    return b"allow\n" if namespace.allows_setgroups else b"deny\n"


def write_setgroups(namespace: UserNamespace, data: bytes) -> None:
    """Say whether setgroups may be called. Raises EINVAL, EPERM.

    Linux: kernel/user_namespace.c, proc_setgroups_write.
    """
    if len(data) >= TOO_LONG_ANSWER:
        raise EINVAL("neither allow nor deny")
    answer = data.partition(b"\0")[0].rstrip(_SPACE)
    if answer == b"allow":
        if not namespace.allows_setgroups:
            raise EPERM("what was denied stays denied")
    elif answer == b"deny":
        if namespace.gid_map.extents:
            raise EPERM("there are groups already")
        namespace.allows_setgroups = False
    else:
        raise EINVAL("neither allow nor deny")

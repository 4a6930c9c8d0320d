"""Who may do what with a key, and how keys are found in keyrings and the keyrings below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    EACCES,
    EDEADLK,
    EKEYEXPIRED,
    EKEYREVOKED,
    ELOOP,
    ENOKEY,
    ENOTDIR,
    EPERM,
    Errno,
)
from procession.abi.named_tuple import NamedTuple
from procession.fs.user_namespace import NO_ID
from procession.kernel.security.key import (
    ALL,
    GROUP_SHIFT,
    POSSESSOR_SHIFT,
    SEARCH,
    USER_SHIFT,
    Key,
)

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials

_DEEPEST = 6
"""How many keyrings below one another are searched (in Linux, KEYRING_SEARCH_MAX_DEPTH)."""


class Found(NamedTuple):
    """A key, and whether who has looked for it possesses it."""

    key: Key
    is_possessed: bool


class Wanted(NamedTuple):
    """What is looked for: a type and a description, or one key; keys in another state than usable are errors
    with `checks_state`, or overlooked if they have expired and `skips_expired`.
    """

    what: tuple[bytes, bytes]
    key: Key | None = None
    checks_state: bool = True
    skips_expired: bool = False


def may(credentials: Credentials, found: Found, needed: int) -> bool:
    """Linux: security/keys/permission.c, key_task_permission."""
    key = found.key
    permissions = key.permissions
    if key.uid == credentials.fsuid:
        own = permissions >> USER_SHIFT
    elif (
        key.gid != NO_ID
        and permissions & ALL << GROUP_SHIFT
        and (key.gid == credentials.fsgid or credentials.is_in_group(key.gid))
    ):
        own = permissions >> GROUP_SHIFT
    else:
        own = permissions
    if found.is_possessed:
        own |= permissions >> POSSESSOR_SHIFT
    return own & needed == needed


def check_permission(credentials: Credentials, found: Found, needed: int) -> None:
    """Raise EACCES if that isn't allowed."""
    if not may(credentials, found, needed):
        raise EACCES("the key's permissions")


def has_expired(kernel: Kernel, key: Key) -> bool:
    """Whether its time is over."""
    return key.expiry_ns is not None and kernel.clock.now_ns >= key.expiry_ns


def validate(kernel: Kernel, key: Key) -> None:
    """Raise EKEYREVOKED or EKEYEXPIRED. Linux: security/keys/permission.c, key_validate."""
    if key.is_revoked:
        raise EKEYREVOKED
    if has_expired(kernel, key):
        raise EKEYEXPIRED


def search(kernel: Kernel, credentials: Credentials, start: Found, wanted: Wanted) -> Found | None:
    """The key that is wanted, in a keyring or below; None if there is none. A keyring that many others have
    is looked into once for each depth, where Linux does for each way.

    Raises ENOTDIR, EACCES, and what became of one that can't be used. Linux: security/keys/keyring.c,
    keyring_search_rcu, search_nested_keyrings.
    """
    if start.key.links is None:
        raise ENOTDIR
    check_permission(credentials, start, SEARCH)
    is_possessed = start.is_possessed
    problem: Errno | None = None
    stack = [(start.key, 0)]
    seen = set(stack)
    try:
        if start.key.index == wanted.what and wanted.key in (None, start.key):
            return start if _is_usable(kernel, credentials, start, wanted) else None
        while stack:
            keyring, depth = stack.pop()
            links = keyring.links
            if links is None or keyring.is_revoked:
                continue
            key = links.get(wanted.what)
            if key is not None and wanted.key in (None, key):
                found = Found(key, is_possessed)
                try:
                    if _is_usable(kernel, credentials, found, wanted):
                        return found
                except (EKEYREVOKED, EKEYEXPIRED, EACCES, ENOKEY) as error:
                    problem = error
            if depth < _DEEPEST:
                below = [
                    (each, depth + 1)
                    for each in reversed(keyring.nested.values())
                    if (each, depth + 1) not in seen and may(credentials, Found(each, is_possessed), SEARCH)
                ]
                seen.update(below)
                stack += below
    finally:
        kernel.memory.note_changed(len(seen))
    if problem is not None:
        raise problem
    return None


def _is_usable(kernel: Kernel, credentials: Credentials, found: Found, wanted: Wanted) -> bool:
    """Linux: security/keys/keyring.c, keyring_search_iterator."""
    key = found.key
    if wanted.checks_state:
        if wanted.skips_expired and not key.is_revoked and has_expired(kernel, key):
            return False
        validate(kernel, key)
    check_permission(credentials, found, SEARCH)
    if wanted.checks_state and key.error is not None:
        raise ENOKEY("looked for in vain before")
    return True


def link_key(kernel: Kernel, keyring: Key, key: Key) -> None:
    """Put a key into a keyring. Raises ENOTDIR, EPERM, EDEADLK, ELOOP, EDQUOT, OutOfFrames.

    Linux: security/keys/keyring.c, key_link.
    """
    check_link(kernel, keyring, key)
    kernel.keys.link(keyring, key)


def check_link(kernel: Kernel, keyring: Key, key: Key | None) -> None:
    """Raise what would keep a key from being put there, but for a lack of room."""
    if keyring.links is None:
        raise ENOTDIR
    if keyring.is_restricted:
        raise EPERM("the keyring is restricted")
    if key is not None and key.links is not None:
        _check_cycle(kernel, keyring, key)


def _check_cycle(kernel: Kernel, keyring: Key, key: Key) -> None:
    """Linux: security/keys/keyring.c, keyring_detect_cycle."""
    stack = [(key, 0)]
    seen = set(stack)
    while stack:
        each, depth = stack.pop()
        if each is keyring:
            raise EDEADLK("a keyring would be in itself")
        if depth > _DEEPEST:
            raise ELOOP("too many keyrings below one another")
        below = [(ring, depth + 1) for ring in each.nested.values() if (ring, depth + 1) not in seen]
        kernel.memory.note_changed(1 + len(below))
        seen.update(below)
        stack += below

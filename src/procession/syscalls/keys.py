"""Keys: add_key, request_key and keyctl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import (
    EACCES,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOKEY,
    ENOTDIR,
    EOPNOTSUPP,
    EPERM,
    Errno,
)
from procession.abi.keyctl import (
    KEYCTL_MOVE_EXCL,
    KeyCapability,
    KeyctlOperation,
    MoreKeyCapability,
    RequestDestination,
)
from procession.abi.word import pack_array, pack_u8
from procession.fs.user_namespace import NO_ID
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.security.capability import CAP_SETUID, CAP_SYS_ADMIN
from procession.kernel.security.key import (
    EVERY_PERMISSION,
    KEYRING,
    LINK,
    LOGON,
    POSSESSOR_SHIFT,
    READ,
    SEARCH,
    SETATTR,
    USER_SHIFT,
    VIEW,
    WRITE,
    Key,
    check_description,
    check_type,
)
from procession.kernel.security.key_search import (
    Found,
    Wanted,
    check_link,
    check_permission,
    link_key,
    may,
    search,
    validate,
)
from procession.kernel.security.process_keys import (
    PROCESS,
    SESSION,
    THREAD,
    destination_of_requests,
    join_session,
    keys_of,
    look_up,
    persistent_keyring,
    search_own,
)
from procession.kernel.session_change import give_session_to_parent
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice, InBuffer, Int, Size
from procession.syscalls.user_vector import MAX_RW_COUNT, check_user_range, import_vector

if TYPE_CHECKING:
    from procession.kernel.task import Task

_TYPE_BYTES, _DESCRIPTION_BYTES = 32, 4096
_LONGEST_PAYLOAD = (1 << 20) - 1
_VAIN_S = 60
"""How long a key is remembered that nobody could make (Linux: security/keys/request_key.c)."""
_NOBODY = 0xFFFF_FFFF
_CAPABILITIES = pack_u8(
    int(
        KeyCapability.KEYCTL_CAPS0_CAPABILITIES
        | KeyCapability.KEYCTL_CAPS0_PERSISTENT_KEYRINGS
        | KeyCapability.KEYCTL_CAPS0_INVALIDATE
        | KeyCapability.KEYCTL_CAPS0_RESTRICT_KEYRING
        | KeyCapability.KEYCTL_CAPS0_MOVE
    )
) + pack_u8(int(MoreKeyCapability.KEYCTL_CAPS1_NS_KEYRING_NAME | MoreKeyCapability.KEYCTL_CAPS1_NS_KEY_TAG))


def _signed(register: int) -> int:
    """A number of 32 bits."""
    return ((register & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000


def _read_type(task: Task, address: int) -> bytes:
    """Linux: security/keys/keyctl.c, key_get_type_from_user."""
    kind = task.mm.read_cstring(address, _TYPE_BYTES)
    if not kind:
        raise EINVAL("no name of a type")
    if kind[:1] == b".":
        raise EPERM("a type of the kernel's own")
    return kind


def _read_text(task: Task, address: int, limit: int = _DESCRIPTION_BYTES) -> bytes:
    text = task.mm.read_cstring(address, limit)
    if text is None:
        raise EINVAL("a description that is too long")
    return text


def _known_type(kind: bytes) -> None:
    """Raise ENOKEY for an unknown type to look for. Linux: security/keys/key.c, key_type_lookup."""
    try:
        check_type(kind)
    except ENODEV as error:
        raise ENOKEY(error.reason) from None


def _permissions_at_first(kind: bytes) -> int:
    """Linux: security/keys/key.c, key_create_or_update."""
    possessor = VIEW | SEARCH | LINK | SETATTR | WRITE | (0 if kind == LOGON else READ)
    return possessor << POSSESSOR_SHIFT | VIEW << USER_SHIFT


@syscall(248)
def add_key(
    task: Task, kind: Address, description: Address, payload: InBuffer, length: Size, keyring: Int
) -> int:
    """add_key(2). Linux: security/keys/keyctl.c, SYSCALL_DEFINE5(add_key)."""
    if length > _LONGEST_PAYLOAD:
        raise EINVAL("a payload that is too long")
    type_name = _read_type(task, kind)
    name = _read_text(task, description) if description else b""
    if name[:1] == b"." and type_name.startswith(KEYRING):
        raise EPERM("a keyring of the kernel's own")
    data = task.mm.read(payload, length) if length else b""
    return _create_or_update(task, type_name, name, data, look_up(task, keyring, WRITE, creates=True)).serial


def _create_or_update(task: Task, kind: bytes, name: bytes, data: bytes, target: Found) -> Key:
    """Linux: security/keys/key.c, key_create_or_update."""
    kernel, credentials = task.kernel, task.credentials
    registry = kernel.keys
    check_type(kind)
    if target.key.links is None:
        raise ENOTDIR
    if (kind == KEYRING) == bool(data):
        raise EINVAL("a keyring has no contents, a key has some")
    if not name:
        raise EINVAL("no description")
    check_link(kernel, target.key, None)
    old = target.key.links.get((kind, name))
    if old is not None and kind != KEYRING and not old.is_revoked:
        check_permission(credentials, Found(old, target.is_possessed), WRITE)
        registry.set_data(old, data)
        old.expiry_ns = None
        return old
    check_description(kind, name)
    key = Key(
        *(kind, name, credentials.fsuid, credentials.fsgid),
        *(_permissions_at_first(kind), credentials.user_namespace),
    )
    registry.make(kernel, key)
    key.holders = 1
    try:
        if data:
            registry.set_data(key, data)
        registry.link(target.key, key)
    finally:
        registry.put(key)
    return key


@syscall(249)
def request_key(task: Task, kind: Address, description: Address, callout: Address, keyring: Int) -> int:
    """request_key(2): no program is started to make a key that there isn't.

    Linux: security/keys/keyctl.c, SYSCALL_DEFINE4(request_key).
    """
    type_name = _read_type(task, kind)
    name = _read_text(task, description)
    asks = bool(callout)
    if asks:
        _read_text(task, callout, PAGE_SIZE)
    target = look_up(task, keyring, WRITE, creates=True) if keyring else None
    _known_type(type_name)
    found = search_own(task, (type_name, name))
    if found is not None:
        if target is not None:
            check_permission(task.credentials, found, LINK)
            link_key(task.kernel, target.key, found.key)
        return found.key.serial
    if not asks:
        raise ENOKEY
    if type_name == b"keyring":
        # Linux: security/keys/request_key.c, construct_get_dest_keyring.
        raise EPERM("no program makes a keyring")
    _remember_in_vain(task, type_name, name, destination_of_requests(task) if target is None else target.key)
    raise ENOENT("there is no /sbin/request-key")


def _remember_in_vain(task: Task, kind: bytes, name: bytes, keyring: Key) -> None:
    """For a while nobody asks for that key again. Linux: security/keys/key.c, key_reject_and_link."""
    kernel, credentials = task.kernel, task.credentials
    check_permission(credentials, Found(keyring, is_possessed=True), WRITE)
    check_link(kernel, keyring, None)
    key = Key(
        *(kind, name, credentials.fsuid, credentials.fsgid),
        *(_permissions_at_first(kind), credentials.user_namespace),
    )
    kernel.keys.make(kernel, key)
    key.holders = 1
    key.error = ENOKEY.number
    key.expiry_ns = kernel.clock.now_ns + _VAIN_S * NS_PER_S
    try:
        kernel.keys.link(keyring, key)
    finally:
        kernel.keys.put(key)


@syscall(250)
def keyctl(
    task: Task, operation: Choice[KeyctlOperation], second: Size, third: Size, fourth: Size, fifth: Size
) -> int:
    """keyctl(2). Linux: security/keys/keyctl.c, SYSCALL_DEFINE5(keyctl)."""
    handler = _OPERATIONS.get(operation)
    if handler is None:
        raise EOPNOTSUPP("no such operation, or none that is configured in")
    return handler(task, (second, third, fourth, fifth))


Arguments = tuple[int, int, int, int]


def _get_keyring_id(task: Task, arguments: Arguments) -> int:
    number, creates = _signed(arguments[0]), _signed(arguments[1])
    return look_up(task, number, SEARCH, creates=bool(creates)).key.serial


def _join_session_keyring(task: Task, arguments: Arguments) -> int:
    name = _read_text(task, arguments[0]) if arguments[0] else None
    if name is not None and name[:1] == b".":
        raise EPERM("a keyring of the kernel's own")
    if name == b"":
        raise EINVAL("no name")
    keys = keys_of(task)
    before = keys.session
    joined = join_session(task, name)
    return 0 if joined is before else joined.serial


def _update(task: Task, arguments: Arguments) -> int:
    number, payload, length, _ = arguments
    if length > PAGE_SIZE:
        raise EINVAL("a payload that is too long")
    data = task.mm.read(payload, length) if length else b""
    key = look_up(task, _signed(number), WRITE).key
    if key.links is not None:
        raise EOPNOTSUPP("a keyring has no contents")
    task.kernel.keys.set_data(key, data)
    key.expiry_ns = None
    return 0


def _revoke(task: Task, arguments: Arguments) -> int:
    number = _signed(arguments[0])
    try:
        key = look_up(task, number, WRITE).key
    except EACCES:
        key = look_up(task, number, SETATTR).key
    key.is_revoked = True
    _empty(task, key)
    return 0


def _empty(task: Task, keyring: Key) -> None:
    keys = list((keyring.links or {}).values())
    task.kernel.memory.note_changed(len(keys))
    for key in keys:
        task.kernel.keys.unlink(keyring, key)


def _chown(task: Task, arguments: Arguments) -> int:
    number, uid, gid = _signed(arguments[0]), arguments[1] & _NOBODY, arguments[2] & _NOBODY
    credentials = task.credentials
    namespace = credentials.user_namespace
    new_uid = new_gid = NO_ID
    if uid != _NOBODY:
        new_uid = namespace.make_kuid(uid)
        if new_uid == NO_ID:
            raise EINVAL("no such user")
    if gid != _NOBODY:
        new_gid = namespace.make_kgid(gid)
        if new_gid == NO_ID:
            raise EINVAL("no such group")
    if uid == gid == _NOBODY:
        return 0
    key = look_up(task, number, SETATTR, creates=True).key
    if not credentials.capable(CAP_SYS_ADMIN):
        if uid != _NOBODY and new_uid != key.uid:
            raise EACCES("another user")
        if gid != _NOBODY and new_gid != key.gid and not credentials.is_in_group(new_gid):
            raise EACCES("a group that the caller isn't in")
    if uid != _NOBODY and new_uid != key.uid:
        task.kernel.keys.change_owner(key, new_uid)
    if gid != _NOBODY:
        key.gid = new_gid
    return 0


def _set_permissions(task: Task, arguments: Arguments) -> int:
    permissions = arguments[1] & 0xFFFF_FFFF
    if permissions & ~EVERY_PERMISSION:
        raise EINVAL("unknown permissions")
    key = look_up(task, _signed(arguments[0]), SETATTR, creates=True).key
    if key.uid != task.credentials.fsuid and not task.credentials.capable(CAP_SYS_ADMIN):
        raise EACCES("another user's")
    key.permissions = permissions
    return 0


def _tell(task: Task, data: bytes, buffer: int, length: int) -> int:
    """Give `data` if there is room for all of it; how long it is."""
    if buffer and length >= len(data):
        task.mm.write(buffer, data)
    return len(data)


def _describe(task: Task, arguments: Arguments) -> int:
    number, buffer, length, _ = arguments
    key = look_up(task, _signed(number), VIEW).key
    seen = task.credentials.user_namespace
    text = b"%s;%d;%d;%08x;%s\0" % (
        *(key.type, seen.from_kuid_munged(key.uid), key.gid_for(seen)),
        *(key.permissions, key.description),
    )
    return _tell(task, text, buffer, length)


def _clear(task: Task, arguments: Arguments) -> int:
    keyring = look_up(task, _signed(arguments[0]), WRITE, creates=True).key
    if keyring.links is None:
        raise ENOTDIR
    _empty(task, keyring)
    return 0


def _link(task: Task, arguments: Arguments) -> int:
    keyring = look_up(task, _signed(arguments[1]), WRITE, creates=True).key
    key = look_up(task, _signed(arguments[0]), LINK, creates=True).key
    link_key(task.kernel, keyring, key)
    return 0


def _unlink(task: Task, arguments: Arguments) -> int:
    keyring = look_up(task, _signed(arguments[1]), WRITE).key
    key = look_up(task, _signed(arguments[0]), 0, checks_state=False).key
    if keyring.links is None:
        raise ENOTDIR
    if key.index not in keyring.links:
        raise ENOENT("nothing of this type and description is there")
    task.kernel.keys.unlink(keyring, key)
    return 0


def _search(task: Task, arguments: Arguments) -> int:
    start, kind, description, target = arguments
    index = _read_type(task, kind), _read_text(task, description)
    found = look_up(task, _signed(start), SEARCH)
    keyring = look_up(task, _signed(target), WRITE, creates=True).key if _signed(target) else None
    _known_type(index[0])
    key = search(task.kernel, task.credentials, found, Wanted(index))
    if key is None:
        raise ENOKEY
    if keyring is not None:
        check_permission(task.credentials, key, LINK)
        link_key(task.kernel, keyring, key.key)
    return key.key.serial


def _read(task: Task, arguments: Arguments) -> int:
    """Linux: security/keys/keyctl.c, keyctl_read_key."""
    number, buffer, length, _ = arguments
    try:
        found = look_up(task, _signed(number), 0, checks_state=False)
    except Errno:
        raise ENOKEY("no such key") from None
    key = found.key
    if key.error is not None:
        raise ENOKEY("looked for in vain before")
    if not (may(task.credentials, found, READ) or found.is_possessed):
        raise EACCES("neither readable nor in a keyring of the caller's")
    if key.type == LOGON:
        raise EOPNOTSUPP("only the kernel reads it")
    validate(task.kernel, key)
    if key.links is None:
        return _tell(task, key.data, buffer, length)
    if not buffer:
        length = 0
    if length & 3 and length <= PAGE_SIZE:
        raise EINVAL("no room for whole numbers")
    return _tell(task, pack_array("I", [each.serial for each in key.links.values()]), buffer, length)


def _refuse_answer(task: Task, arguments: Arguments) -> int:
    """What a program says that was started to make a key: nobody was."""
    raise EPERM("no request is served")


def _refuse_answer_in_parts(task: Task, arguments: Arguments) -> int:
    """Linux: security/keys/keyctl.c, keyctl_instantiate_key_iov."""
    vector, count = arguments[1:3]
    if vector:
        import_vector(task.mm, vector, count)
    return _refuse_answer(task, arguments)


def _instantiate(task: Task, arguments: Arguments) -> int:
    payload, length = arguments[1:3]
    if payload and length:
        check_user_range(payload, min(length, MAX_RW_COUNT))
    if length > _LONGEST_PAYLOAD:
        raise EINVAL("a payload that is too long")
    return _refuse_answer(task, arguments)


def _reject(task: Task, arguments: Arguments) -> int:
    error = arguments[2] & 0xFFFF_FFFF
    if not 0 < error < 4095 or 512 <= error <= 516:
        raise EINVAL("no errno of programs")
    return _refuse_answer(task, arguments)


def _assume_authority(task: Task, arguments: Arguments) -> int:
    number = _signed(arguments[0])
    if number < 0:
        raise EINVAL("no number of a key")
    if number:
        raise ENOKEY("no request is served")
    return 0


def _set_destination(task: Task, arguments: Arguments) -> int:
    wanted = _signed(arguments[0])
    keys = keys_of(task)
    before = keys.destination
    if wanted == RequestDestination.KEY_REQKEY_DEFL_NO_CHANGE:
        return before
    if wanted == RequestDestination.KEY_REQKEY_DEFL_GROUP_KEYRING or wanted not in range(8):
        raise EINVAL("no such keyring")
    if wanted in (-THREAD, -PROCESS):
        look_up(task, -wanted, 0, creates=True, checks_state=False)
    keys.destination = wanted
    return before


def _set_timeout(task: Task, arguments: Arguments) -> int:
    seconds = arguments[1] & 0xFFFF_FFFF
    key = look_up(task, _signed(arguments[0]), SETATTR, creates=True).key
    key.expiry_ns = task.kernel.clock.now_ns + seconds * NS_PER_S if seconds else None
    return 0


def _get_security(task: Task, arguments: Arguments) -> int:
    """No security module knows of keys."""
    number, buffer, length, _ = arguments
    try:
        look_up(task, _signed(number), VIEW)
    except EACCES:
        # Who makes a key for others may look at it, which is nobody (keyctl_get_security).
        raise ENOKEY("no key that is being made") from None
    return _tell(task, b"\0", buffer, length)


def _session_to_parent(task: Task, arguments: Arguments) -> int:
    """Linux: security/keys/keyctl.c, keyctl_session_to_parent."""
    give_session_to_parent(task, look_up(task, SESSION, LINK).key)
    return 0


def _invalidate(task: Task, arguments: Arguments) -> int:
    key = look_up(task, _signed(arguments[0]), SEARCH).key
    key.is_revoked = True
    task.kernel.keys.forget(key)
    return 0


def _get_persistent(task: Task, arguments: Arguments) -> int:
    """Linux: security/keys/persistent.c, keyctl_get_persistent."""
    credentials = task.credentials
    number = arguments[0] & _NOBODY
    uid = credentials.uid
    if number != _NOBODY:
        uid = credentials.user_namespace.make_kuid(number)
        if uid == NO_ID:
            raise EINVAL("no such user")
        if uid not in (credentials.uid, credentials.euid) and not credentials.capable_in_own(CAP_SETUID):
            raise EPERM("another user's")
    keyring = look_up(task, _signed(arguments[1]), WRITE, creates=True).key
    if keyring.links is None:
        raise ENOTDIR
    kernel = task.kernel
    key = persistent_keyring(task, uid)
    check_permission(credentials, Found(key, is_possessed=True), LINK)
    link_key(kernel, keyring, key)
    key.expiry_ns = kernel.clock.now_ns + kernel.keys.persistent_s * NS_PER_S
    return key.serial


def _restrict(task: Task, arguments: Arguments) -> int:
    """Linux: security/keys/keyctl.c, keyctl_restrict_keyring; security/keys/keyring.c, keyring_restrict."""
    number, kind, restriction, _ = arguments
    key = look_up(task, _signed(number), SETATTR).key
    if bool(kind) != bool(restriction):
        raise EINVAL("a restriction of no type, or a type without one")
    type_name = _read_type(task, kind) if kind else None
    if restriction:
        _read_text(task, restriction, PAGE_SIZE)
    if key.links is None:
        raise ENOTDIR
    if type_name is not None:
        _known_type(type_name)
        raise ENOENT("no type that restricts keyrings")
    if key.is_restricted:
        raise EEXIST
    key.is_restricted = True
    return 0


def _move(task: Task, arguments: Arguments) -> int:
    """Linux: security/keys/keyring.c, key_move."""
    number, origin, target, flags = arguments
    if flags & 0xFFFF_FFFF & ~KEYCTL_MOVE_EXCL:
        raise EINVAL("unknown flags")
    key = look_up(task, _signed(number), LINK, creates=True).key
    first = look_up(task, _signed(origin), WRITE).key
    second = look_up(task, _signed(target), WRITE, creates=True).key
    if first is second:
        return 0
    if first.links is None or second.links is None:
        raise ENOTDIR
    if key.index not in first.links:
        raise ENOENT("nothing of this type and description is there")
    if flags & KEYCTL_MOVE_EXCL and key.index in second.links:
        raise EEXIST
    link_key(task.kernel, second, key)
    task.kernel.keys.unlink(first, key)
    return 0


def _tell_capabilities(task: Task, arguments: Arguments) -> int:
    buffer, length, _, _ = arguments
    if length:
        told = _CAPABILITIES[:length]
        task.mm.write(buffer, told.ljust(min(length, PAGE_SIZE), b"\0"))
    return len(_CAPABILITIES)


_OPERATIONS = {
    int(operation): handler
    for operation, handler in (
        (KeyctlOperation.KEYCTL_GET_KEYRING_ID, _get_keyring_id),
        (KeyctlOperation.KEYCTL_JOIN_SESSION_KEYRING, _join_session_keyring),
        (KeyctlOperation.KEYCTL_UPDATE, _update),
        (KeyctlOperation.KEYCTL_REVOKE, _revoke),
        (KeyctlOperation.KEYCTL_CHOWN, _chown),
        (KeyctlOperation.KEYCTL_SETPERM, _set_permissions),
        (KeyctlOperation.KEYCTL_DESCRIBE, _describe),
        (KeyctlOperation.KEYCTL_CLEAR, _clear),
        (KeyctlOperation.KEYCTL_LINK, _link),
        (KeyctlOperation.KEYCTL_UNLINK, _unlink),
        (KeyctlOperation.KEYCTL_SEARCH, _search),
        (KeyctlOperation.KEYCTL_READ, _read),
        (KeyctlOperation.KEYCTL_INSTANTIATE, _instantiate),
        (KeyctlOperation.KEYCTL_NEGATE, _refuse_answer),
        (KeyctlOperation.KEYCTL_SET_REQKEY_KEYRING, _set_destination),
        (KeyctlOperation.KEYCTL_SET_TIMEOUT, _set_timeout),
        (KeyctlOperation.KEYCTL_ASSUME_AUTHORITY, _assume_authority),
        (KeyctlOperation.KEYCTL_GET_SECURITY, _get_security),
        (KeyctlOperation.KEYCTL_SESSION_TO_PARENT, _session_to_parent),
        (KeyctlOperation.KEYCTL_REJECT, _reject),
        (KeyctlOperation.KEYCTL_INSTANTIATE_IOV, _refuse_answer_in_parts),
        (KeyctlOperation.KEYCTL_INVALIDATE, _invalidate),
        (KeyctlOperation.KEYCTL_GET_PERSISTENT, _get_persistent),
        (KeyctlOperation.KEYCTL_RESTRICT_KEYRING, _restrict),
        (KeyctlOperation.KEYCTL_MOVE, _move),
        (KeyctlOperation.KEYCTL_CAPABILITIES, _tell_capabilities),
    )
}

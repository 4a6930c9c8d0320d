"""The keyrings of tasks, processes, sessions and users, and the keys that are found in them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, EKEYEXPIRED, EKEYREVOKED, ENOKEY, Errno
from procession.abi.keyctl import RequestDestination, SpecialKeyring
from procession.fs.user_namespace import NO_ID
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.security.key import (
    ALL,
    KEYRING,
    LINK,
    POSSESSOR_SHIFT,
    READ,
    SEARCH,
    SETATTR,
    USER_SHIFT,
    VIEW,
    Key,
)
from procession.kernel.security.key_search import (
    Found,
    Wanted,
    check_permission,
    has_expired,
    may,
    search,
    validate,
)

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task

THREAD = int(SpecialKeyring.KEY_SPEC_THREAD_KEYRING)
PROCESS = int(SpecialKeyring.KEY_SPEC_PROCESS_KEYRING)
SESSION = int(SpecialKeyring.KEY_SPEC_SESSION_KEYRING)
OF_USER = int(SpecialKeyring.KEY_SPEC_USER_KEYRING)
OF_USER_SESSION = int(SpecialKeyring.KEY_SPEC_USER_SESSION_KEYRING)
_GROUP = int(SpecialKeyring.KEY_SPEC_GROUP_KEYRING)
_LOWEST = int(SpecialKeyring.KEY_SPEC_REQUESTOR_KEYRING)
_DEFAULT = int(RequestDestination.KEY_REQKEY_DEFL_DEFAULT)

_OWN = ALL << POSSESSOR_SHIFT | VIEW << USER_SHIFT
_OF_SESSION = _OWN | READ << USER_SHIFT
_OF_NAMED_SESSION = _OF_SESSION | LINK << USER_SHIFT
_OF_EVERY_SESSION = (ALL & ~SETATTR) << POSSESSOR_SHIFT | ALL << USER_SHIFT
_PERSISTENT = (ALL & ~SETATTR) << POSSESSOR_SHIFT | (VIEW | READ) << USER_SHIFT


class TaskKeys:
    """The keyrings that a task has (in Linux, a part of struct cred); `destination` is KEY_REQKEY_DEFL_*."""

    __slots__ = ("destination", "process", "session", "thread")

    def __init__(self) -> None:
        self.thread: Key | None = None
        self.process: Key | None = None
        self.session: Key | None = None
        self.destination = _DEFAULT

    def follow_user(self, uid: int) -> None:
        """The thread has another user for files. Linux: security/keys/process_keys.c, key_fsuid_changed."""
        if self.thread is not None:
            self.thread.uid = uid

    def keyrings(self) -> list[Key]:
        """Those that there are, in the order in which they're searched."""
        return [found for found in (self.thread, self.process, self.session) if found is not None]


def keys_of(task: Task) -> TaskKeys:
    """The task's keyrings, of which there may be none."""
    if task.keys is None:
        task.keys = TaskKeys()
    return task.keys


def copy_keys(parent: Task, child: Task, *, is_thread: bool) -> None:
    """A child has its parent's session, and a thread its process; one of its own too if its maker has one.

    Linux: kernel/cred.c, copy_creds.
    """
    keys = parent.keys
    if keys is None:
        return
    copy = child.keys = TaskKeys()
    copy.destination = keys.destination
    copy.session = keys.session
    if is_thread:
        copy.process = keys.process
    for keyring in copy.keyrings():
        keyring.holders += 1
    if is_thread and keys.thread is not None:
        # Where there's no room, the thread does without.
        with suppress(Errno, OutOfFrames):
            copy.thread = make_keyring(child, b"_tid", _OWN, overruns=True)


def drop_own_keys(kernel: Kernel, task: Task) -> None:
    """A new program has no keyring of its own. Linux: kernel/cred.c, prepare_exec_creds."""
    keys = task.keys
    if keys is not None:
        for keyring in (keys.thread, keys.process):
            if keyring is not None:
                kernel.keys.put(keyring)
        keys.thread = keys.process = None


def release_keys(kernel: Kernel, task: Task) -> None:
    """A task ends. Linux: kernel/cred.c, exit_creds."""
    keys, task.keys = task.keys, None
    if keys is not None:
        for keyring in keys.keyrings():
            kernel.keys.put(keyring)


def make_keyring(
    task: Task, name: bytes, permissions: int, *, overruns: bool = False, gid: int | None = None
) -> Key:
    """A keyring of the caller's, held by whom it's made for. Raises EDQUOT, OutOfFrames.

    Linux: security/keys/keyring.c, keyring_alloc.
    """
    credentials = task.credentials
    key = Key(
        *(KEYRING, name, credentials.uid, credentials.gid if gid is None else gid),
        *(permissions, credentials.user_namespace),
    )
    task.kernel.keys.make(task.kernel, key, overruns=overruns)
    key.holders = 1
    return key


def _place_of_user(task: Task) -> tuple[UserNamespace, int]:
    namespace = task.credentials.user_namespace
    return namespace, namespace.from_kuid(task.credentials.uid)


def user_keyrings(task: Task) -> tuple[Key, Key]:
    """The keyring of the caller's user and that of its session, which are there once somebody asks.

    They're known by the number that the user has in its namespace; all who have none there have the same.
    Linux: security/keys/process_keys.c, look_up_user_keyrings.
    """
    registry, place = task.kernel.keys, _place_of_user(task)
    uid = place[1]
    found = registry.of_users.get(place)
    if found is None:
        _forget_namespaces(task.kernel)
        own = make_keyring(task, b"_uid.%d" % uid, _OF_EVERY_SESSION, overruns=True, gid=NO_ID)
        try:
            session = make_keyring(task, b"_uid_ses.%d" % uid, _OF_EVERY_SESSION, overruns=True, gid=NO_ID)
        except Exception:
            registry.put(own)
            raise
        found = registry.of_users[place] = own, session
        registry.link(session, own)
    return found


def _usable_user_keyrings(task: Task) -> tuple[Key, Key]:
    """The same, as they're found when a call means them: ENOKEY where either can't be used.

    Linux: security/keys/process_keys.c, lookup_user_key.
    """
    keyrings = user_keyrings(task)
    for keyring in keyrings:
        try:
            validate(task.kernel, keyring)
            check_permission(task.credentials, Found(keyring, is_possessed=True), SEARCH)
        except (EKEYREVOKED, EKEYEXPIRED, EACCES) as error:
            raise ENOKEY(error.reason) from None
    return keyrings


def _forget_namespaces(kernel: Kernel) -> None:
    """End the keyrings of users in user namespaces that have ended, and those that have outlived their time.

    Linux: kernel/user_namespace.c, free_user_ns.
    """
    registry = kernel.keys
    kernel.memory.note_changed(len(registry.of_users) + len(registry.persistent))
    live = kernel.vfs.namespaces.live
    for place in [each for each in registry.of_users if live.get(each[0].number) is not each[0]]:
        for keyring in registry.of_users.pop(place):
            registry.put(keyring)
    for place, key in list(registry.persistent.items()):
        if live.get(place[0].number) is not place[0] or has_expired(kernel, key):
            del registry.persistent[place]
            registry.forget(key)
            registry.put(key)


def persistent_keyring(task: Task, uid: int) -> Key:
    """The keyring of a user that outlives its sessions, for some days from now on.

    Linux: security/keys/persistent.c, key_get_persistent.
    """
    kernel = task.kernel
    registry, namespace = kernel.keys, task.credentials.user_namespace
    place = namespace, namespace.from_kuid(uid)
    key = registry.persistent.get(place)
    if key is None:
        _forget_namespaces(kernel)
        name = b"_persistent.%d" % place[1]
        key = Key(KEYRING, name, uid, NO_ID, _PERSISTENT, namespace)
        registry.make(kernel, key, is_counted=False)
        key.holders = 1
        registry.persistent[place] = key
    return key


def join_session(task: Task, name: bytes | None) -> Key:
    """Have a new session keyring, or one of that name that may be searched.

    Raises EDQUOT, OutOfFrames. Linux: security/keys/process_keys.c, join_session_keyring.
    """
    kernel, keys = task.kernel, keys_of(task)
    keyring = None if name is None else _named(task, name)
    if keyring is None and name is None:
        keyring = make_keyring(task, b"_ses", _OF_SESSION, overruns=keys.session is None)
    elif keyring is None:
        assert name is not None
        keyring = make_keyring(task, name, _OF_NAMED_SESSION)
    else:
        keyring.holders += 1
    old, keys.session = keys.session, keyring
    if old is not None:
        kernel.keys.put(old)
    return keyring


def _named(task: Task, name: bytes) -> Key | None:
    """A keyring of that name. Linux: security/keys/keyring.c, find_keyring_by_name."""
    kernel, credentials = task.kernel, task.credentials
    kernel.memory.note_changed(len(kernel.keys.keys))
    for key in kernel.keys.keys.values():
        if (
            key.index == (KEYRING, name)
            and key.namespace is credentials.user_namespace
            and not key.is_revoked
            and may(credentials, Found(key, is_possessed=False), SEARCH)
        ):
            return key
    return None


def _special(task: Task, number: int, *, creates: bool) -> Key:
    """A keyring of the caller's. Raises ENOKEY, EINVAL, EDQUOT, OutOfFrames."""
    if number in (THREAD, PROCESS):
        return _own(task, number, creates=creates)
    if number == SESSION:
        return _session(task, creates=creates)
    if number in (OF_USER, OF_USER_SESSION):
        return _usable_user_keyrings(task)[number == OF_USER_SESSION]
    if number == _GROUP or number < _LOWEST:
        raise EINVAL("no such keyring")
    raise ENOKEY("no request is served")


def _own(task: Task, number: int, *, creates: bool) -> Key:
    """The thread's or the process's keyring.

    Linux: security/keys/process_keys.c, install_thread_keyring, install_process_keyring.
    """
    keys = task.keys
    is_thread = number == THREAD
    keyring = None if keys is None else keys.thread if is_thread else keys.process
    if keyring is not None:
        return keyring
    if not creates:
        raise ENOKEY
    keyring = make_keyring(task, b"_tid" if is_thread else b"_pid", _OWN, overruns=True)
    keys = keys_of(task)
    if is_thread:
        keys.thread = keyring
    else:
        keys.process = keyring
    return keyring


def _session(task: Task, *, creates: bool) -> Key:
    """The session's keyring. Who has none uses that of the user, and a new one where one is made."""
    session = None if task.keys is None else task.keys.session
    if session is not None and not (creates and session in user_keyrings(task)):
        return session
    if session is None:
        # Even where it isn't used it has to be usable.
        session = _usable_user_keyrings(task)[1]
        if not creates:
            session.holders += 1
            keys_of(task).session = session
            return session
    return join_session(task, None)


def look_up(
    task: Task, number: int, needed: int, *, creates: bool = False, checks_state: bool = True
) -> Found:
    """The key or keyring of that number, if the caller has the permissions that are `needed`.

    With `creates` the caller's own keyrings are made. Raises ENOKEY, EINVAL, EACCES, EKEYREVOKED,
    EKEYEXPIRED, EDQUOT, OutOfFrames. Linux: security/keys/process_keys.c, lookup_user_key.
    """
    kernel, credentials = task.kernel, task.credentials
    if number < 0:
        found = Found(_special(task, number, creates=creates), is_possessed=True)
    elif not number:
        raise EINVAL("no number of a key")
    else:
        key = kernel.keys.keys.get(number)
        if key is None:
            raise ENOKEY
        found = Found(key, possesses(task, key))
    if checks_state:
        validate(kernel, found.key)
    check_permission(credentials, found, needed)
    return found


def possesses(task: Task, key: Key) -> bool:
    """Whether a key is in one of the caller's keyrings, or below. Linux: security/keys/process_keys.c,
    lookup_user_key_possessed.
    """
    wanted = Wanted(key.index, key, checks_state=False)
    for keyring in _searched(task):
        try:
            if search(task.kernel, task.credentials, Found(keyring, is_possessed=True), wanted) is not None:
                return True
        except EACCES:
            pass
    return False


def _searched(task: Task) -> list[Key]:
    keys = task.keys
    keyrings = keys.keyrings() if keys is not None else []
    if keys is None or keys.session is None:
        of_user = task.kernel.keys.of_users.get(_place_of_user(task))
        if of_user is not None:
            keyrings.append(of_user[1])
    return keyrings


def search_own(task: Task, index: tuple[bytes, bytes]) -> Found | None:
    """A key in the caller's keyrings; None if there is none. What is wrong with one keyring doesn't matter
    where another could be searched.

    Raises ENOKEY, EACCES, EKEYREVOKED, EKEYEXPIRED.

    Linux: security/keys/process_keys.c, search_cred_keyrings_rcu.
    """
    wanted = Wanted(index, skips_expired=True)
    has_searched = False
    in_vain: Errno | None = None
    problem: Errno | None = None
    for keyring in _searched(task):
        try:
            found = search(task.kernel, task.credentials, Found(keyring, is_possessed=True), wanted)
        except ENOKEY as error:
            in_vain = error
        except (EACCES, EKEYREVOKED, EKEYEXPIRED) as error:
            problem = error
        else:
            if found is not None:
                return found
            has_searched = True
    if in_vain is not None:
        raise in_vain
    if problem is not None and not has_searched:
        raise problem
    return None


def destination_of_requests(task: Task) -> Key:
    """Where request_key(2) puts what it makes. Linux: security/keys/request_key.c,
    construct_get_dest_keyring.
    """
    keys = keys_of(task)
    chosen = keys.destination
    if chosen in (_DEFAULT, -THREAD) and keys.thread is not None:
        return keys.thread
    if chosen in (_DEFAULT, -THREAD, -PROCESS) and keys.process is not None:
        return keys.process
    if chosen not in (-OF_USER, -OF_USER_SESSION) and keys.session is not None:
        return keys.session
    return user_keyrings(task)[chosen != -OF_USER]


def may_view(task: Task, credentials: Credentials, key: Key) -> bool:
    """Whether /proc/keys shows a key to the task."""
    return may(credentials, Found(key, possesses(task, key)), VIEW)

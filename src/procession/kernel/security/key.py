"""Keys and keyrings (keyrings(7)): what there is of them on the machine, and what each user may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EDQUOT, EINVAL, ENODEV
from procession.abi.word import Words
from procession.fs.user_namespace import NO_ID
from procession.hardware.kernel_memory import KEY, KEY_BYTES, KEY_LINK_BYTES

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace
    from procession.hardware.kernel_memory import KernelMemory
    from procession.kernel.kernel import Kernel

KEYRING, USER, LOGON = b"keyring", b"user", b"logon"
LONGEST_DATA = 32_767
VIEW, READ, WRITE, SEARCH, LINK, SETATTR, ALL = 1, 2, 4, 8, 16, 32, 63
"""What may be done with a key. A key's `permissions` have 8 bits for who possesses it, and for the user, the
group and others, the first highest."""
POSSESSOR_SHIFT, USER_SHIFT, GROUP_SHIFT = 24, 16, 8
EVERY_PERMISSION = ALL << POSSESSOR_SHIFT | ALL << USER_SHIFT | ALL << GROUP_SHIFT | ALL
_QUOTA_OF_LINK = 4
_SERIAL = Words("<I")
_LEAST_SERIAL = 3


class KeyUser:
    """What a user has: all keys, those that count, and the bytes of these. Linux: security/keys/internal.h,
    struct key_user.
    """

    __slots__ = ("byte_count", "counted_keys", "key_count", "uid")

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.key_count = self.counted_keys = self.byte_count = 0


class Key:
    """A key; a keyring, if `links` is a table of others by type and description, of which `nested` has the
    keyrings (Linux: include/linux/key.h, struct key).

    `error` is what who looks for it gets, None for a key that was had; `expiry_ns` is by the clock, None for
    never. `holders` counts the keyrings and tasks that have it. What `is_counted` counts for its user, and a
    keyring that `is_restricted` takes no more.
    """

    __slots__ = (
        "data",
        "description",
        "error",
        "expiry_ns",
        "gid",
        "holders",
        "is_counted",
        "is_restricted",
        "is_revoked",
        "links",
        "namespace",
        "nested",
        "permissions",
        "serial",
        "type",
        "uid",
        "user",
    )

    def __init__(
        self, kind: bytes, description: bytes, uid: int, gid: int, permissions: int, namespace: UserNamespace
    ) -> None:
        self.type = kind
        self.description = description
        self.uid = uid
        self.gid = gid
        self.permissions = permissions
        self.namespace = namespace
        self.serial = 0
        self.user: KeyUser
        self.data = b""
        self.links: dict[tuple[bytes, bytes], Key] | None = {} if kind == KEYRING else None
        self.nested: dict[tuple[bytes, bytes], Key] = {}
        self.error: int | None = None
        self.expiry_ns: int | None = None
        self.holders = 0
        self.is_counted = True
        self.is_restricted = False
        self.is_revoked = False

    @property
    def index(self) -> tuple[bytes, bytes]:
        """By which a keyring has it."""
        return self.type, self.description

    def gid_for(self, namespace: UserNamespace) -> int:
        """The group's number there; keyrings of users have none."""
        return namespace.overflow.gid if self.gid == NO_ID else namespace.from_kgid_munged(self.gid)

    @property
    def payload_bytes(self) -> int:
        """What its contents count for its user, beside its description."""
        if self.links is not None:
            return len(self.links) * _QUOTA_OF_LINK
        return len(self.data)


class KeyRegistry:
    """All keys of the machine by their serial numbers, and what is set in /proc/sys/kernel/keys.

    `of_users` are the keyrings of users, by namespace and user: that of the user, that of its first session,
    and the one that outlives sessions.
    """

    __slots__ = (
        "account",
        "keys",
        "most_bytes",
        "most_bytes_of_root",
        "most_keys",
        "most_keys_of_root",
        "of_users",
        "persistent",
        "persistent_s",
        "users",
    )

    def __init__(self, account: KernelMemory) -> None:
        self.account = account
        self.keys: dict[int, Key] = {}
        self.users: dict[int, KeyUser] = {}
        self.of_users: dict[tuple[UserNamespace, int], tuple[Key, Key]] = {}
        self.persistent: dict[tuple[UserNamespace, int], Key] = {}
        self.most_keys, self.most_bytes = 200, 20_000
        self.most_keys_of_root, self.most_bytes_of_root = 1_000_000, 25_000_000
        self.persistent_s = 259_200

    def limits_of(self, uid: int) -> tuple[int, int]:
        """How many keys and bytes a user may have."""
        if uid == 0:
            return self.most_keys_of_root, self.most_bytes_of_root
        return self.most_keys, self.most_bytes

    def make(self, kernel: Kernel, key: Key, *, is_counted: bool = True, overruns: bool = False) -> Key:
        """Give a new key its number, and its user's account. Raises EDQUOT, OutOfFrames, EINVAL.

        Linux: security/keys/key.c, key_alloc.
        """
        check_description(key.type, key.description)
        user = self.users.get(key.uid)
        if user is None:
            user = KeyUser(key.uid)
        size = len(key.description) + 1
        if is_counted:
            most_keys, most_bytes = self.limits_of(key.uid)
            if not overruns and (user.counted_keys + 1 > most_keys or user.byte_count + size > most_bytes):
                raise EDQUOT("the user has as many keys as it may")
        self.account.charge(KEY, KEY_BYTES + len(key.description))
        self.users[key.uid] = user
        key.user = user
        key.is_counted = is_counted
        user.key_count += 1
        if is_counted:
            user.counted_keys += 1
            user.byte_count += size
        while key.serial < _LEAST_SERIAL or key.serial in self.keys:
            key.serial = _SERIAL.unpack(kernel.random_bytes(4))[0] >> 1
        self.keys[key.serial] = key
        return key

    def reserve(self, key: Key, growth: int) -> None:
        """Its contents count `growth` bytes more. Raises EDQUOT. Linux: security/keys/key.c,
        key_payload_reserve.
        """
        if not key.is_counted:
            return
        if growth > 0 and key.user.byte_count + growth > self.limits_of(key.uid)[1]:
            raise EDQUOT("the user has as many bytes of keys as it may")
        key.user.byte_count += growth

    def set_data(self, key: Key, data: bytes) -> None:
        """Raises EINVAL, EDQUOT, OutOfFrames.

        Linux: security/keys/user_defined.c, user_preparse, user_update.
        """
        if not 0 < len(data) <= LONGEST_DATA:
            raise EINVAL("no data, or too much")
        growth = len(data) - len(key.data)
        if growth > 0:
            self.account.charge(KEY, growth)
        try:
            self.reserve(key, growth)
        except EDQUOT:
            if growth > 0:
                self.account.uncharge(KEY, growth)
            raise
        if growth < 0:
            self.account.uncharge(KEY, -growth)
        key.data = data
        key.error = None

    def change_owner(self, key: Key, uid: int) -> None:
        """Raises EDQUOT. Linux: security/keys/keyctl.c, keyctl_chown_key."""
        new = self.users.get(uid) or KeyUser(uid)
        size = len(key.description) + 1 + key.payload_bytes
        if key.is_counted:
            most_keys, most_bytes = self.limits_of(uid)
            if new.counted_keys + 1 > most_keys or new.byte_count + size > most_bytes:
                raise EDQUOT("the new owner has as many keys as it may")
        self._leave(key, size)
        self.users[uid] = key.user = new
        key.uid = uid
        new.key_count += 1
        if key.is_counted:
            new.counted_keys += 1
            new.byte_count += size

    def _leave(self, key: Key, size: int) -> None:
        user = key.user
        user.key_count -= 1
        if key.is_counted:
            user.counted_keys -= 1
            user.byte_count -= size
        if not user.key_count:
            del self.users[user.uid]

    def put(self, key: Key) -> None:
        """Somebody has it no more; the last one ends it. Linux: security/keys/gc.c, key_gc_unused_keys."""
        ended = [key]
        while ended:
            key = ended.pop()
            key.holders -= 1
            if key.holders > 0:
                continue
            links = key.links or {}
            self._leave(key, len(key.description) + 1 + key.payload_bytes)
            del self.keys[key.serial]
            size = KEY_BYTES + len(key.description) + len(key.data) + KEY_LINK_BYTES * len(links)
            self.account.uncharge(KEY, size)
            self.account.memory.note_changed(len(links))
            ended += links.values()

    def forget(self, key: Key) -> None:
        """Take it out of every keyring. Linux: security/keys/gc.c, key_garbage_collector."""
        key.holders += 1
        self.account.memory.note_changed(len(self.keys))
        for keyring in list(self.keys.values()):
            if keyring.links is not None and keyring.links.get(key.index) is key:
                self.unlink(keyring, key)
        self.put(key)

    def unlink(self, keyring: Key, key: Key) -> None:
        """Take a key out of a keyring that has it, or another of the same type and description.

        Linux: security/keys/keyring.c, key_unlink.
        """
        assert keyring.links is not None
        gone = keyring.links.pop(key.index)
        keyring.nested.pop(key.index, None)
        self.reserve(keyring, -_QUOTA_OF_LINK)
        self.account.uncharge(KEY, KEY_LINK_BYTES)
        self.put(gone)

    def link(self, keyring: Key, key: Key) -> None:
        """Put a key into a keyring, in the place of one of the same type and description.

        Raises EDQUOT, OutOfFrames. Linux: security/keys/keyring.c, __key_link.
        """
        assert keyring.links is not None
        old = keyring.links.get(key.index)
        if old is key:
            return
        if old is None:
            self.account.charge(KEY, KEY_LINK_BYTES)
            try:
                self.reserve(keyring, _QUOTA_OF_LINK)
            except EDQUOT:
                self.account.uncharge(KEY, KEY_LINK_BYTES)
                raise
        key.holders += 1
        keyring.links[key.index] = key
        if key.links is not None:
            keyring.nested[key.index] = key
        if old is not None:
            self.put(old)


def check_type(kind: bytes) -> None:
    """Raise ENODEV for an unknown type of keys. Linux: security/keys/key.c, key_type_lookup."""
    if kind not in (KEYRING, USER, LOGON):
        raise ENODEV("no such type of keys")


def check_description(kind: bytes, description: bytes) -> None:
    """Raise EINVAL for a description that a key of that type can't have.

    Linux: security/keys/user_defined.c, logon_vet_description.
    """
    if not description or (kind == LOGON and description.find(b":") < 1):
        raise EINVAL("no description, or none for that type")

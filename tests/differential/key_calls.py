"""Random calls on keys and keyrings, in a user namespace whose keyrings nobody else has.

Linux forgets a key some time after the last one who has it. So what may be gone isn't spoken of, and whether
a key isn't found or may not be used is the same.
"""

from __future__ import annotations

import struct

from tests.differential.maker import BAD_ADDRESS, Maker
from tests.differential.process_calls import THREAD as THREADS
from tests.differential.process_calls import identify
from tests.differential.script import STACK_BYTES, STACKS_BASE, Argument, At, Naming, Result

CLONE_NEWUSER, CLONE_FILES = 0x10000000, 0x400
THREAD, PROCESS, SESSION, USER, USER_SESSION, GROUP, REQUESTED, REQUESTOR = range(-1, -9, -1)
SPECIAL = (THREAD, PROCESS, SESSION, USER)
ODD = (0, GROUP, REQUESTED, REQUESTOR, USER_SESSION, -9, -100, 1, 5, 0x7FFFFFFF)
(
    GET_KEYRING_ID,
    JOIN_SESSION,
    UPDATE,
    REVOKE,
    CHOWN,
    SETPERM,
    DESCRIBE,
    CLEAR,
    LINK,
    UNLINK,
    SEARCH,
    READ,
) = range(12)
INSTANTIATE, NEGATE, SET_REQKEY, SET_TIMEOUT, ASSUME, GET_SECURITY, SESSION_TO_PARENT, REJECT = range(12, 20)
PERSISTENT, RESTRICT, MOVE, CAPABILITIES = 22, 29, 30, 31
TYPES = ("user", "user", "user", "keyring", "keyring", "logon", "nosuch", "", ".x", "big_key")
NAMES = ("a", "a", "b", "b", "c:d", "e:f", "", ".a", "x" * 4095, "x" * 4096)
RIGHTS = (0x3F3F0000, 0x3F000000, 0, 0x3F3F3F3F, 0x3F010000, 0x01010101, 0x1B1B1B1B, 0x10100000)
TEXT_BYTES = 4200
MOST_ACTORS = 4


def begin(make: Maker) -> None:
    """Keyrings of its own, and some keys."""
    make.call("unshare", CLONE_NEWUSER)
    for name, text in (("setgroups", b"deny"), ("uid_map", b"0 0 1"), ("gid_map", b"0 0 1")):
        opened = make.call("open", At(0), 1, data=make.text(f"/proc/self/{name}"))
        make.call("write", Result(opened), At(0), len(text), data=text)
        make.call("close", Result(opened))
    make.call("keyctl", JOIN_SESSION, 0, result="serial")
    for _ in range(2):
        add(make)


def key(make: Maker) -> Argument:
    """A key or a keyring."""
    if make.descriptors and make.odds(70):
        return make.descriptors[-1 - make.random.randrange(min(5, len(make.descriptors)))]
    return make.random.choice(SPECIAL) if make.odds(85) else make.random.choice(ODD)


def keyring(make: Maker) -> Argument:
    """A keyring, most often one that every task has."""
    return make.random.choice(SPECIAL) if make.odds(70) else key(make)


def is_keyring(made: Argument) -> bool:
    """Whether it isn't known to be another key."""
    return not isinstance(made, Result) or not made.operation.data.startswith((b"user", b"logon"))


def strings(make: Maker) -> bytes:
    """A type and a description."""
    kind = make.random.choice(TYPES)
    name = make.random.choice(NAMES) if make.odds(15) else make.random.choice(NAMES[:6])
    return make.text(kind).ljust(32, b"\0") + make.text(name)


def add(make: Maker) -> None:
    """add_key. What has one description is always in one keyring: none is put in another's place."""
    names = strings(make)
    ring: Argument = SESSION if names[32:33] in {b"a", b"c"} else USER
    if make.odds(30):
        ring = make.one(THREAD, PROCESS)
        names = names[:32] + make.text(f"own{ring}:{make.actor}")
    data = names.ljust(TEXT_BYTES, b"\0") + bytes(range(1, 101))
    length = make.one(0, 1, 5, 5, 100) if make.odds(93) else make.one(32768, 1 << 20, (1 << 20) - 1, -1)
    if data.startswith(b"keyring"):
        # Once for each name: another one would take its place.
        is_new = all(operation.data[:TEXT_BYTES] != data[:TEXT_BYTES] for operation in make.operations)
        length = 0 if make.odds(90) and is_new else 5
    where: Argument = At(TEXT_BYTES) if length and make.odds(97) else make.one(0, 0, 0, BAD_ADDRESS)
    if length > 100:
        where = make.one(0, BAD_ADDRESS)
    if make.odds(6):
        ring, length, where = make.random.choice(ODD), 5, At(TEXT_BYTES)
    make.opened(make.call("add_key", At(0), At(32), where, length, ring, data=data, result="serial"))


def request(make: Maker) -> None:
    """request_key, of what is there, or which nobody makes."""
    call: Argument = 0
    make.call(
        "request_key", At(0), At(32), call, make.one(0, 0, *SPECIAL, 5), data=strings(make), result="serial"
    )


def show_description(data: bytes, result: int, naming: Naming) -> str:
    """What describes a key."""
    return data[: max(0, min(result, 200))].rstrip(b"\0").decode("latin-1")[:80] if result > 0 else ""


def show_payload(data: bytes, result: int, naming: Naming) -> str:
    """What is in a key; a keyring has numbers in it."""
    if result <= 0:
        return ""
    numbers = [struct.unpack_from("<i", data, at)[0] for at in range(0, min(result, len(data)) - 3, 4)]
    if numbers and all(number in naming.serials for number in numbers):
        return " ".join(sorted(naming.serial(number) for number in numbers))
    # A keyring's numbers, which differ, if there are some that nobody has seen.
    return data[:result].hex() if data[:1] in {b"\0", b"\1"} else "?"


def forgotten(make: Maker) -> Argument:
    """A key of which no more is spoken: nobody may have it any longer."""
    chosen = key(make)
    if chosen in make.descriptors:
        make.descriptors.remove(chosen)
    return chosen


def control(make: Maker) -> None:
    """keyctl(2)."""
    kind = make.random.randrange(34)
    if kind < 3:
        ring = make.random.choice((*SPECIAL, *SPECIAL, key(make)))
        make.call("keyctl", GET_KEYRING_ID, ring, make.one(0, 1, 1), result="serial")
    elif kind < 6:
        length = make.one(0, 1, 5, 5, 32768)
        make.call(
            "keyctl",
            UPDATE,
            key(make),
            At(0),
            length,
            data=bytes(range(1, 6)).ljust(32768, b"\7"),
            result="key",
        )
    elif kind == 6:
        # Not KEYCTL_INVALIDATE: when such a key is gone is a matter of time. A keyring loses what is in it.
        chosen = key(make)
        if not is_keyring(chosen):
            make.call("keyctl", REVOKE, chosen, result="key")
    elif kind == 7:
        make.call("keyctl", CHOWN, key(make), make.one(-1, 0, 1000), make.one(-1, 0, 1000), result="key")
    elif kind < 10:
        rights = make.one(*RIGHTS) if make.odds(95) else make.one(-1, 0x40000000, 0x80)
        make.call("keyctl", SETPERM, key(make), rights, result="key")
    elif kind < 13:
        length = make.one(200, 200, 0, 5)
        make.call(
            "keyctl", DESCRIBE, key(make), At(0), length, data=bytes(200), show=show_description, result="key"
        )
    elif kind < 17:
        make.call("keyctl", LINK, key(make), keyring(make), result="key")
    elif kind < 19:
        make.call("keyctl", UNLINK, forgotten(make), keyring(make), result="unlinked")
    elif kind < 22:
        make.call(
            *("keyctl", SEARCH, keyring(make), At(0), At(32), make.one(0, 0, 0, PROCESS, THREAD)),
            data=strings(make), result="serial",
        )  # fmt: skip
    elif kind < 25:
        length = make.one(200, 200, 200, 0, 3, 4)
        make.call("keyctl", READ, key(make), At(0), length, data=bytes(200), show=show_payload, result="key")
    elif kind == 25:
        make.call("keyctl", SET_REQKEY, make.one(-1, 0, 1, 2, 3, 4, 5, 6, 7, 8), result="key")
    elif kind == 26:
        make.call("keyctl", SET_TIMEOUT, key(make), make.one(0, 100000, 100000), result="key")
    elif kind == 27:
        make.call("keyctl", GET_SECURITY, key(make), At(0), make.one(0, 100), data=bytes(100), result="key")
    elif kind < 30:
        flags = make.one(0, 0, 1, 2)
        make.call("keyctl", MOVE, forgotten(make), keyring(make), keyring(make), flags, result="key")
    elif kind == 30:
        texts = strings(make)
        first: Argument = At(0) if make.odds(50) else 0
        second: Argument = At(32) if make.odds(50) else 0
        make.call(
            "keyctl",
            RESTRICT,
            keyring(make),
            first,
            second,
            data=texts,
            result="key",
        )
    elif kind == 31:
        make.call(
            "keyctl", CAPABILITIES, At(0), make.one(0, 2, 8), data=bytes(8), show=lambda *_: "", result="key"
        )
    elif kind == 32:
        command = make.one(INSTANTIATE, NEGATE, REJECT)
        make.call(
            "keyctl", command, key(make), make.one(0, 5), make.one(0, 5, 128), make.one(0, -2), result="key"
        )
    else:
        command = make.one(ASSUME, 20, 32, 99, -1)
        make.call("keyctl", command, make.one(0, 0, 5), 0, 0, 0, result="key")


def fork(make: Maker) -> None:
    """One more, perhaps a thread of the same process."""
    if len(make.actors) >= MOST_ACTORS:
        return
    if make.odds(60):
        make.spawn("fork")
    else:
        stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
        make.spawn("clone", THREADS, stack, 0, 0, 0)


def join(make: Maker) -> None:
    """KEYCTL_JOIN_SESSION_KEYRING, of a name or of none."""
    where: Argument = At(0) if make.odds(60) else 0
    # Never one that was left before: how long that is still found is a matter of time.
    name = make.random.choice((f"s{len(make.operations)}", "", ".x"))
    make.call("keyctl", JOIN_SESSION, where, data=make.text(name), result="serial")
    # Of what was in the old one no more is spoken, as nobody may have it.
    make.descriptors.clear()


def leave(make: Maker) -> None:
    """KEYCTL_SESSION_TO_PARENT."""
    make.call("keyctl", SESSION_TO_PARENT, result="key")
    make.descriptors.clear()


def clear(make: Maker) -> None:
    """KEYCTL_CLEAR, after which no more is spoken of any key that there was."""
    make.call("keyctl", CLEAR, keyring(make), result="key")
    make.descriptors.clear()


def control_oddly(make: Maker) -> None:
    """keyctl(2) with addresses, lengths and keys that aren't."""
    kind = make.random.randrange(9)
    where: Argument = make.one(0, BAD_ADDRESS)
    if kind == 0:
        make.call("keyctl", UPDATE, key(make), where, make.one(0, 1, 5, 32767, -1), result="key")
    elif kind == 1:
        command = make.one(DESCRIBE, READ, GET_SECURITY)
        make.call("keyctl", command, key(make), where, make.one(0, 3, 200, -1), result="key")
    elif kind == 2:
        first: Argument = At(0) if make.odds(50) else where
        make.call("keyctl", SEARCH, keyring(make), first, where, 0, data=strings(make), result="serial")
    elif kind == 3:
        make.call("keyctl", JOIN_SESSION, BAD_ADDRESS, result="serial")
    elif kind == 4:
        make.call("keyctl", CAPABILITIES, where, make.one(0, 2, 8, -1), result="key")
    elif kind == 5:
        ring = make.one(*ODD, *SPECIAL)
        make.call("keyctl", GET_KEYRING_ID, ring, make.one(0, 1, 1), result="serial")
    elif kind == 6:
        chosen = key(make)
        make.call("keyctl", LINK, chosen, chosen, result="key")
    elif kind == 7:
        make.call(
            "keyctl", MOVE, forgotten(make), keyring(make), keyring(make), make.one(3, 4, -1), result="key"
        )
    else:
        make.call("keyctl", SET_TIMEOUT, key(make), make.one(1 << 31, 0xFFFFFFFF, 1 << 32), result="key")


def persist(make: Maker) -> None:
    """KEYCTL_GET_PERSISTENT, of oneself and of others."""
    who = make.one(-1, -1, 0, 1000, 12345, 1 << 32)
    make.opened(
        make.call("keyctl", PERSISTENT, who, make.random.choice((*SPECIAL, key(make))), result="serial")
    )


def enter_user_namespace(make: Maker) -> None:
    """Another namespace, whose users have keyrings of their own; keys that one has stay one's own."""
    make.call("unshare", CLONE_NEWUSER)
    if make.odds(60):
        opened = make.call("open", At(0), 1, data=b"/proc/thread-self/uid_map\0")
        text = make.random.choice((b"0 0 1", b"5 0 1", b"0 1000 1"))
        make.call("write", Result(opened), At(0), len(text), data=text)
        make.call("close", Result(opened))
    # Whose keyrings these are is looked at anew.
    make.call("keyctl", GET_KEYRING_ID, make.one(USER, USER_SESSION), 1, result="serial")


FAMILIES = (
    *(add,) * 5,
    *(request,) * 2,
    *(control,) * 14,
    *(fork, identify, leave, join),
    *(clear, control_oddly, control_oddly, persist, enter_user_namespace),
)

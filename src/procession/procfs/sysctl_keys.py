"""kernel.keys: how many keys users may have (keyrings(7))."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.procfs.parse_integer import INT_MAX, parse_integer
from procession.procfs.system_directory import SystemFile

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


def _show(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(kernel.keys, name)


def _store(name: str, least: int, kernel: Kernel, data: bytes) -> None:
    """Linux: security/keys/sysctl.c, key_sysctls."""
    value = parse_integer(data)
    if not least <= value <= INT_MAX:
        raise EINVAL("out of range")
    setattr(kernel.keys, name, value)


def _number(name: str, least: int = 1) -> SystemFile:
    return SystemFile(0o644, partial(_show, name), partial(_store, name, least))


KEY_SYSCTLS = {
    b"maxbytes": _number("most_bytes"),
    b"maxkeys": _number("most_keys"),
    b"persistent_keyring_expiry": _number("persistent_s", 0),
    b"root_maxbytes": _number("most_bytes_of_root"),
    b"root_maxkeys": _number("most_keys_of_root"),
}

"""vm.overcommit_memory, overcommit_ratio, overcommit_kbytes, and what is kept back: how much is promised."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.hardware.overcommit import Overcommit
from procession.procfs.parse_integer import INT_MAX, parse_integer
from procession.procfs.system_directory import SystemFile

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_ULONG_MAX = (1 << 64) - 1


def _show(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(kernel.memory.commit_rule, name)


def _store(name: str, most: int, kernel: Kernel, data: bytes) -> None:
    """Raises EINVAL. The ratio and the number of bytes rule each other out.

    Linux: mm/util.c, overcommit_policy_handler, overcommit_ratio_handler, overcommit_kbytes_handler.
    """
    value = parse_integer(data)
    if not 0 <= value <= most:
        raise EINVAL(f"not from 0 to {most}")
    rule = kernel.memory.commit_rule
    if name == "ratio":
        rule.kbytes = 0
    elif name == "kbytes":
        rule.ratio = 0
    setattr(rule, name, value)


def _number(name: str, most: int) -> SystemFile:
    return SystemFile(0o644, partial(_show, name), partial(_store, name, most))


OVERCOMMIT_SYSCTLS = {
    b"admin_reserve_kbytes": _number("administrators_kbytes", _ULONG_MAX),
    b"overcommit_kbytes": _number("kbytes", _ULONG_MAX),
    b"overcommit_memory": _number("mode", int(Overcommit.NEVER)),
    b"overcommit_ratio": _number("ratio", INT_MAX),
    b"user_reserve_kbytes": _number("reserve_kbytes", _ULONG_MAX),
}

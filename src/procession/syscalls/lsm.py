"""lsm_list_modules and its kin: the security modules, of which none here gives processes attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EINVAL, EOPNOTSUPP
from procession.abi.lsm import LsmAttribute, LsmCtx, LsmFlag, LsmId
from procession.abi.structure import U32
from procession.abi.word import pack_array
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Flags, InOut, UInt, UnsignedChoice

if TYPE_CHECKING:
    from procession.kernel.task import Task

_ACTIVE = (int(LsmId.LSM_ID_CAPABILITY), int(LsmId.LSM_ID_LANDLOCK), int(LsmId.LSM_ID_YAMA))
"""In the order in which they are asked."""
_ID_SIZE = 8
_PAGE_SIZE = 4096
_SINGLE = int(LsmFlag.LSM_FLAG_SINGLE)


@syscall(461)
def lsm_list_modules(task: Task, ids: Address, size: InOut[U32], flags: UInt) -> int:
    """lsm_list_modules(2). Linux: security/lsm_syscalls.c, SYSCALL_DEFINE3(lsm_list_modules)."""
    if flags:
        raise EINVAL("there are no flags")
    room = size.get()
    needed = len(_ACTIVE) * _ID_SIZE
    size.put(needed)
    if room < needed:
        raise E2BIG
    task.mm.write(ids, pack_array("Q", _ACTIVE))
    return len(_ACTIVE)


@syscall(459)
def lsm_get_self_attr(
    task: Task,
    attribute: UnsignedChoice[LsmAttribute],
    contexts: Address,
    size: InOut[U32],
    flags: Flags[LsmFlag],
) -> int:
    """lsm_get_self_attr(2). Linux: security/security.c, security_getselfattr."""
    if attribute == LsmAttribute.LSM_ATTR_UNDEF or not size:
        raise EINVAL("no attribute, or no size")
    size.get()
    if flags:
        if flags != _SINGLE or not contexts:
            raise EINVAL("unknown flags, or nothing to say whose")
        if not LsmCtx.unpack(task.mm.read(contexts, LsmCtx.SIZE)).id:
            raise EINVAL("no module")
    size.put(0)
    raise EOPNOTSUPP("no module has such attributes")


@syscall(460)
def lsm_set_self_attr(
    task: Task, attribute: UnsignedChoice[LsmAttribute], context: Address, size: UInt, flags: UInt
) -> int:
    """lsm_set_self_attr(2). Linux: security/security.c, security_setselfattr."""
    del attribute
    if flags:
        raise EINVAL("there are no flags")
    if size < LsmCtx.SIZE:
        raise EINVAL("no room for the header")
    if size > _PAGE_SIZE:
        raise E2BIG
    header = LsmCtx.unpack(task.mm.read(context, size)[: LsmCtx.SIZE])
    if size < header.len or header.len < LsmCtx.SIZE + header.ctx_len:
        raise EINVAL("lengths that contradict each other")
    raise EOPNOTSUPP("no module takes such attributes")

"""landlock_create_ruleset, landlock_add_rule and landlock_restrict_self."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EBADF, EBADFD, EFAULT, EINVAL, ENOMSG, EPERM
from procession.abi.landlock import (
    LANDLOCK_CREATE_RULESET_ERRATA,
    LANDLOCK_CREATE_RULESET_VERSION,
    LandlockAccessNet,
    LandlockNetPortAttr,
    LandlockPathBeneathAttr,
    LandlockRestrictSelfFlag,
    LandlockRulesetAttr,
    LandlockRuleType,
    LandlockScope,
)
from procession.fs.file import O_PATH
from procession.fs.landlock import EVERY_RIGHT, FILE_RIGHTS
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.kernel.security.landlock import RulesetFile, restrict
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice, Fd, Flags, Size, UInt
from procession.syscalls.sized_structure import read_sized

if TYPE_CHECKING:
    from procession.kernel.task import Task

_ABI = 7
"""The version of the interface: rules for files and for ports of TCP, scopes, and flags for a log."""
_ERRATA = 7
"""What was mended in that: which sockets are TCP's, that a process signals its own threads, and that what was
moved out of a bind mount is still beneath that one's root."""
_NO_LOG_OF_DOMAINS_WITHIN = int(LandlockRestrictSelfFlag.LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF)
_EVERY_FLAG = sum(map(int, LandlockRestrictSelfFlag))
_SIZE_1 = 8
_SIZE = LandlockRulesetAttr.SIZE
_EVERY_SCOPE = sum(map(int, LandlockScope))
_EVERY_PORT_RIGHT = sum(map(int, LandlockAccessNet))
_LARGEST_PORT = 0xFFFF


@syscall(444)
def landlock_create_ruleset(task: Task, attributes: Address, size: Size, flags: UInt) -> int:
    """landlock_create_ruleset(2). Linux: security/landlock/syscalls.c, SYSCALL_DEFINE3."""
    if flags:
        if not attributes and not size:
            if flags == LANDLOCK_CREATE_RULESET_VERSION:
                return _ABI
            if flags == LANDLOCK_CREATE_RULESET_ERRATA:
                return _ERRATA
        raise EINVAL("unknown flags")
    if not attributes:
        raise EFAULT("no attributes")
    if size < _SIZE_1:
        raise EINVAL("no size of the attributes")
    if size > PAGE_SIZE:
        raise E2BIG("attributes of more than a page")
    wanted = LandlockRulesetAttr.unpack(read_sized(task.mm, attributes, size, _SIZE))
    if wanted.handled_access_fs & ~EVERY_RIGHT or wanted.handled_access_net & ~_EVERY_PORT_RIGHT:
        raise EINVAL("unknown rights")
    if wanted.scoped & ~_EVERY_SCOPE:
        raise EINVAL("unknown scopes")
    if not (wanted.handled_access_fs or wanted.handled_access_net or wanted.scoped):
        raise ENOMSG("no rights are handled")
    file = RulesetFile(task, wanted.handled_access_fs, wanted.handled_access_net, wanted.scoped)
    return task.files.install(file, close_on_exec=True, limit=task.group.limits.soft[RLIMIT_NOFILE])


def _ruleset(task: Task, fd: int) -> RulesetFile:
    """Raises EBADF, EBADFD. Linux: security/landlock/syscalls.c, get_ruleset_from_fd."""
    file = task.files.files.get(fd)
    if file is None or file.flags & O_PATH:
        raise EBADF(f"no open file {fd}")
    if not isinstance(file, RulesetFile):
        raise EBADFD(f"descriptor {fd} is no ruleset")
    return file


@syscall(445)
def landlock_add_rule(task: Task, fd: Fd, kind: Choice[LandlockRuleType], rule: Address, flags: UInt) -> int:
    """landlock_add_rule(2). Linux: security/landlock/syscalls.c, add_rule_path_beneath, add_rule_net_port."""
    if flags:
        raise EINVAL("unknown flags")
    ruleset = _ruleset(task, fd)
    if kind == LandlockRuleType.LANDLOCK_RULE_PATH_BENEATH:
        _add_file_rule(task, ruleset, rule)
    elif kind == LandlockRuleType.LANDLOCK_RULE_NET_PORT:
        port = LandlockNetPortAttr.unpack(task.mm.read(rule, LandlockNetPortAttr.SIZE))
        _check_rights(port.allowed_access, ruleset.ports)
        if port.port > _LARGEST_PORT:
            raise EINVAL(f"no port {port.port}")
        ruleset.add_port_rule(port.port, port.allowed_access)
    else:
        raise EINVAL(f"no kind of rules {kind}")
    return 0


def _check_rights(allowed: int, handled: int) -> None:
    if not allowed:
        raise ENOMSG("nothing is allowed")
    if allowed & ~handled:
        raise EINVAL("rights that the ruleset doesn't handle")


def _add_file_rule(task: Task, ruleset: RulesetFile, address: int) -> None:
    rule = LandlockPathBeneathAttr.unpack(task.mm.read(address, LandlockPathBeneathAttr.SIZE))
    _check_rights(rule.allowed_access, ruleset.rights)
    file = task.files.files.get(rule.parent_fd)
    if file is None:
        raise EBADF(f"no descriptor {rule.parent_fd}")
    if file.path.mount.is_internal:
        raise EBADFD(f"descriptor {rule.parent_fd} isn't in the tree of files")
    if not file.inode.is_directory and rule.allowed_access & ~FILE_RIGHTS:
        raise EINVAL("rights that only a directory has")
    ruleset.add_file_rule(file.inode, rule.allowed_access)


@syscall(446)
def landlock_restrict_self(task: Task, fd: Fd, flags: Flags[LandlockRestrictSelfFlag]) -> int:
    """landlock_restrict_self(2): there is no log, as without CONFIG_AUDIT, for what the flags say of it.

    Linux: security/landlock/syscalls.c, SYSCALL_DEFINE2.
    """
    credentials = task.credentials
    if not credentials.no_new_privs and not credentials.capable_in_own(CAP_SYS_ADMIN):
        raise EPERM("a domain takes no_new_privs or CAP_SYS_ADMIN")
    if flags & ~_EVERY_FLAG:
        raise EINVAL("unknown flags")
    if fd == -1 and flags == _NO_LOG_OF_DOMAINS_WITHIN:
        return 0
    restrict(task, _ruleset(task, fd))
    return 0

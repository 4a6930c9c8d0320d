"""Capabilities and securebits, as numbers that a check can use at once."""

from __future__ import annotations

from typing import Final

from procession.abi.capability import CAP_LAST_CAP, Capability

# As plain ints, which a check can shift by at once.
CAP_KILL: Final = int(Capability.CAP_KILL)
CAP_SETGID: Final = int(Capability.CAP_SETGID)
CAP_SETUID: Final = int(Capability.CAP_SETUID)
CAP_SETPCAP: Final = int(Capability.CAP_SETPCAP)
CAP_SYS_PACCT: Final = int(Capability.CAP_SYS_PACCT)
CAP_SYS_PTRACE: Final = int(Capability.CAP_SYS_PTRACE)
CAP_SETFCAP: Final = int(Capability.CAP_SETFCAP)
CAP_IPC_LOCK: Final = int(Capability.CAP_IPC_LOCK)
CAP_IPC_OWNER: Final = int(Capability.CAP_IPC_OWNER)
CAP_SYS_BOOT: Final = int(Capability.CAP_SYS_BOOT)
CAP_SYS_CHROOT: Final = int(Capability.CAP_SYS_CHROOT)
CAP_SYS_ADMIN: Final = int(Capability.CAP_SYS_ADMIN)
CAP_SYS_NICE: Final = int(Capability.CAP_SYS_NICE)
CAP_SYS_RAWIO: Final = int(Capability.CAP_SYS_RAWIO)
CAP_SYS_RESOURCE: Final = int(Capability.CAP_SYS_RESOURCE)
CAP_SYS_TIME: Final = int(Capability.CAP_SYS_TIME)
CAP_SYSLOG: Final = int(Capability.CAP_SYSLOG)
CAP_WAKE_ALARM: Final = int(Capability.CAP_WAKE_ALARM)
CAP_CHECKPOINT_RESTORE: Final = int(Capability.CAP_CHECKPOINT_RESTORE)
CAP_NET_ADMIN: Final = int(Capability.CAP_NET_ADMIN)
CAP_PERFMON: Final = int(Capability.CAP_PERFMON)
CAP_BPF: Final = int(Capability.CAP_BPF)
CAP_FULL_SET: Final = (1 << CAP_LAST_CAP + 1) - 1

CAP_FS_SET: Final = sum(
    1 << capability
    for capability in (
        Capability.CAP_CHOWN,
        Capability.CAP_DAC_OVERRIDE,
        Capability.CAP_DAC_READ_SEARCH,
        Capability.CAP_FOWNER,
        Capability.CAP_FSETID,
        Capability.CAP_LINUX_IMMUTABLE,
        Capability.CAP_MKNOD,
        Capability.CAP_MAC_OVERRIDE,
    )
)
"""What setfsuid(2) away from 0 drops."""

# The numbers of the securebits; the one after each locks it.
SECURE_NOROOT: Final = 0
SECURE_NO_SETUID_FIXUP: Final = 2
SECURE_KEEP_CAPS: Final = 4
SECURE_NO_CAP_AMBIENT_RAISE: Final = 6
SECURE_EXEC_RESTRICT_FILE: Final = 8
SECURE_EXEC_DENY_INTERACTIVE: Final = 10
SECURE_ALL_UNPRIVILEGED: Final = 1 << SECURE_EXEC_RESTRICT_FILE | 1 << SECURE_EXEC_DENY_INTERACTIVE
"""What interpreters look at, and anybody may set: the kernel does nothing with them."""
SECURE_ALL_BITS: Final = 0x55 | SECURE_ALL_UNPRIVILEGED
SECURE_ALL_LOCKS: Final = SECURE_ALL_BITS << 1

"""Capabilities and securebits, as numbers that a check can use at once."""

from __future__ import annotations

from procession.abi.capability import CAP_LAST_CAP, Capability

# As plain ints, which a check can shift by at once.
CAP_KILL = int(Capability.CAP_KILL)
CAP_SETGID = int(Capability.CAP_SETGID)
CAP_SETUID = int(Capability.CAP_SETUID)
CAP_SETPCAP = int(Capability.CAP_SETPCAP)
CAP_SYS_PACCT = int(Capability.CAP_SYS_PACCT)
CAP_SYS_PTRACE = int(Capability.CAP_SYS_PTRACE)
CAP_SETFCAP = int(Capability.CAP_SETFCAP)
CAP_IPC_LOCK = int(Capability.CAP_IPC_LOCK)
CAP_IPC_OWNER = int(Capability.CAP_IPC_OWNER)
CAP_SYS_BOOT = int(Capability.CAP_SYS_BOOT)
CAP_SYS_CHROOT = int(Capability.CAP_SYS_CHROOT)
CAP_SYS_ADMIN = int(Capability.CAP_SYS_ADMIN)
CAP_SYS_NICE = int(Capability.CAP_SYS_NICE)
CAP_SYS_RAWIO = int(Capability.CAP_SYS_RAWIO)
CAP_SYS_RESOURCE = int(Capability.CAP_SYS_RESOURCE)
CAP_SYS_TIME = int(Capability.CAP_SYS_TIME)
CAP_SYSLOG = int(Capability.CAP_SYSLOG)
CAP_WAKE_ALARM = int(Capability.CAP_WAKE_ALARM)
CAP_CHECKPOINT_RESTORE = int(Capability.CAP_CHECKPOINT_RESTORE)
CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
CAP_PERFMON = int(Capability.CAP_PERFMON)
CAP_BPF = int(Capability.CAP_BPF)
CAP_FULL_SET = (1 << CAP_LAST_CAP + 1) - 1

CAP_FS_SET = sum(
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
SECURE_NOROOT = 0
SECURE_NO_SETUID_FIXUP = 2
SECURE_KEEP_CAPS = 4
SECURE_NO_CAP_AMBIENT_RAISE = 6
SECURE_EXEC_RESTRICT_FILE = 8
SECURE_EXEC_DENY_INTERACTIVE = 10
SECURE_ALL_UNPRIVILEGED = 1 << SECURE_EXEC_RESTRICT_FILE | 1 << SECURE_EXEC_DENY_INTERACTIVE
"""What interpreters look at, and anybody may set: the kernel does nothing with them."""
SECURE_ALL_BITS = 0x55 | SECURE_ALL_UNPRIVILEGED
SECURE_ALL_LOCKS = SECURE_ALL_BITS << 1

"""Compares every number, size and offset in `procession.abi` with what C finds in Linux's headers."""

from __future__ import annotations

import importlib
import pkgutil
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import procession.abi
from procession.abi import errno, syscall_numbers
from procession.abi.enumeration import Enumeration
from procession.abi.structure import Structure

# The release whose names the modules have: older headers lack some.
HEADERS_NEEDED = (6, 12)

# Where each module's names are declared. Some of the kernel's headers can't be included together with the C
# library's: of several sets, the first that has a name is asked, and structures are looked for in the first.
HEADERS: dict[str, tuple[str, ...]] = {
    "aio": ("linux/aio_abi.h",),
    "acct": ("linux/acct.h",),
    "process_event": ("linux/cn_proc.h linux/connector.h",),
    "arch_prctl": ("asm/prctl.h",),
    "auxv": ("linux/auxvec.h",),
    "bpf": ("linux/filter.h",),
    "bridge": ("linux/if_bridge.h",),
    "bpf_attributes": ("linux/bpf.h",),
    "ebpf": ("linux/bpf.h",),
    "capability": ("linux/capability.h linux/securebits.h",),
    "cachestat": ("linux/mman.h",),
    "clone_flags": ("linux/sched.h",),
    "conntrack": (
        "linux/netlink.h linux/netfilter/nfnetlink_conntrack.h linux/netfilter/nf_conntrack_tcp.h "
        "linux/netfilter/nfnetlink.h",
    ),
    "core_file": ("sys/procfs.h",),
    "device_numbers": ("linux/major.h",),
    "elf": ("linux/elf.h",),
    "eventfd": ("linux/eventfd.h",),
    "fadvise": ("linux/fadvise.h",),
    "file_mode": ("linux/stat.h linux/fs.h dirent.h unistd.h",),
    "flow_label": ("linux/in6.h",),
    "arp": ("linux/if_arp.h",),
    "route_entry": ("linux/route.h linux/ipv6_route.h",),
    "futex": ("linux/futex.h",),
    "ethtool": ("linux/ethtool.h",),
    "genetlink": ("linux/genetlink.h",),
    "inotify": ("linux/inotify.h",),
    "interface": ("sys/socket.h linux/if.h",),
    "internet": ("netinet/in.h linux/in.h linux/in6.h linux/tcp.h linux/udp.h", "netinet/tcp.h"),
    "ioctls": (
        "linux/serial.h linux/un.h asm/ioctls.h asm/termbits.h linux/sockios.h linux/fs.h linux/fiemap.h "
        "linux/random.h linux/inotify.h linux/timerfd.h linux/eventpoll.h",
    ),
    "ioprio": ("linux/ioprio.h",),
    "ipc": ("limits.h linux/ipc.h linux/shm.h linux/sem.h linux/msg.h", "sys/shm.h"),
    "kcmp": ("linux/kcmp.h",),
    "keyctl": ("linux/keyctl.h",),
    "landlock": ("linux/landlock.h",),
    "nsfs": ("linux/nsfs.h",),
    "limits": ("linux/limits.h linux/binfmts.h",),
    "lsm": ("linux/lsm.h",),
    "membarrier": ("linux/membarrier.h",),
    "mempolicy": ("linux/mempolicy.h",),
    "mmap_flags": ("linux/mman.h linux/memfd.h",),
    "mount_flags": ("linux/fcntl.h linux/mount.h", "sys/mount.h"),
    "mqueue": ("linux/mqueue.h",),
    "netlink": (
        "linux/netlink.h linux/rtnetlink.h linux/netconf.h linux/if_link.h "
        "linux/if_addr.h linux/if.h linux/veth.h "
        "linux/neighbour.h linux/nexthop.h linux/fib_rules.h linux/net_namespace.h linux/gen_stats.h "
        "linux/if_addrlabel.h",
    ),
    "nftables": (
        "linux/netlink.h linux/netfilter.h linux/netfilter/nfnetlink.h linux/netfilter/nf_tables.h "
        "linux/netfilter/nf_tables_compat.h linux/netfilter/nf_conntrack_common.h linux/netfilter/nf_nat.h",
    ),
    "open_flags": ("linux/fcntl.h linux/openat2.h linux/close_range.h linux/fs.h linux/falloc.h",),
    "packet": ("linux/if_packet.h",),
    "page_flags": ("linux/kernel-page-flags.h",),
    "page_scan": ("linux/fs.h",),
    "personality": ("linux/personality.h",),
    "pidfd": ("linux/pidfd.h",),
    "poll": ("asm/poll.h linux/eventpoll.h",),
    "prctl": ("linux/prctl.h",),
    "procmap": ("linux/fs.h",),
    "ptrace": ("asm/ptrace-abi.h linux/ptrace.h sys/user.h",),
    "random": ("linux/random.h",),
    "quota": ("linux/quota.h linux/dqblk_xfs.h",),
    "reboot": ("linux/reboot.h",),
    "resource": ("linux/time.h linux/resource.h",),
    "rseq": ("linux/rseq.h",),
    "sched": ("linux/sched.h linux/sched/types.h", "sched.h"),
    "seccomp": ("linux/ioctl.h linux/types.h linux/seccomp.h linux/audit.h",),
    "sigaction": ("asm/signal.h",),
    "siginfo": ("asm/siginfo.h",),
    "signal_frame": ("asm/signal.h asm/siginfo.h asm/sigcontext.h asm/ucontext.h",),
    "signalfd": ("linux/signalfd.h",),
    "signals": ("asm/signal.h linux/signal.h asm/siginfo.h",),
    "sock_diag": (
        "linux/sock_diag.h linux/inet_diag.h linux/unix_diag.h linux/netlink_diag.h linux/packet_diag.h",
    ),
    "socket": (
        "sys/socket.h linux/un.h linux/netlink.h linux/net_tstamp.h netinet/in.h netinet/tcp.h netinet/udp.h",
        "asm/socket.h netinet/tcp.h linux/net_tstamp.h",
    ),
    "splice": ("fcntl.h",),
    "stat": ("asm/stat.h linux/stat.h",),
    "statfs": ("asm/statfs.h linux/magic.h sys/statvfs.h",),
    "sysinfo": ("linux/sysinfo.h",),
    "tcp_statistic": ("linux/tcp.h",),
    "taskstats": ("linux/taskstats.h",),
    "termios": ("asm/termios.h asm/termbits.h",),
    "time": ("linux/time.h linux/times.h asm/siginfo.h linux/timex.h",),
    "timerfd": ("linux/timerfd.h",),
    "tun": ("sys/ioctl.h linux/filter.h linux/if_tun.h linux/if_link.h",),
    "uio": ("linux/uio.h linux/fs.h",),
    "userfaultfd": ("linux/fcntl.h linux/ioctl.h linux/userfaultfd.h",),
    "utsname": ("linux/utsname.h",),
    "virtio_net": ("linux/virtio_net.h",),
    "wait_options": ("linux/wait.h asm/siginfo.h",),
    "xattr": ("linux/xattr.h linux/limits.h",),
}
WITHOUT_HEADERS = {
    "blake2": "RFC 7693",
    "duration": "include/vdso/time64.h of the kernel's source",
    "enumeration": "what numbers are made of",
    "errno": "has a test of its own",
    "named_tuple": "what tuples with names are made of",
    "numbers": "what small numbers are given out by",
    "structure": "what structures are made of",
    "syscall_numbers": "has a test of its own",
    "syslog": "include/linux/syslog.h of the kernel's source",
    "word": "what fields are packed with",
}

# Numbers that no header for programs names, and where they come from.
UNNAMED = {
    "DefaultAction": "words of signal(7)",
    "SIGRTMAX": "_NSIG, which arch/x86/include/uapi/asm/signal.h uses but doesn't define",
    "ST_VALID": "include/linux/statfs.h of the kernel's source",
    "ST_NOSYMFOLLOW": "include/linux/statfs.h of the kernel's source",
    **dict.fromkeys(
        (
            *("FS_IOC_RESVSP", "FS_IOC_RESVSP64", "FS_IOC_UNRESVSP", "FS_IOC_UNRESVSP64"),
            "FS_IOC_ZERO_RANGE",
        ),
        "include/linux/falloc.h of the kernel's source",
    ),
    **dict.fromkeys(
        (
            *(
                "STATMOUNT_FS_SUBTYPE",
                "STATMOUNT_SB_SOURCE",
                "STATMOUNT_OPT_ARRAY",
                "STATMOUNT_OPT_SEC_ARRAY",
            ),
            *("STATMOUNT_SUPPORTED_MASK", "STATMOUNT_MNT_UIDMAP", "STATMOUNT_MNT_GIDMAP"),
        ),
        "came after the headers that are needed, Linux 6.13 to 6.15",
    ),
    **dict.fromkeys(
        (
            *("TCP_RTO_MAX_MS", "TCP_RTO_MIN_US", "TCP_DELACK_MAX_US", "SO_PASSRIGHTS", "SO_INQ"),
            "SO_RCVPRIORITY",
            *("FALLOC_FL_WRITE_ZEROES", "RWF_DONTCACHE", "RWF_NOSIGNAL"),
            *("PIDFD_SELF_THREAD", "PIDFD_SELF_THREAD_GROUP", "AT_HANDLE_CONNECTABLE"),
            "AT_EXECVE_CHECK",
            *(
                "PIDFD_INFO_PID",
                "PIDFD_INFO_CREDS",
                "PIDFD_INFO_CGROUPID",
                "PIDFD_INFO_EXIT",
                "PIDFD_INFO_COREDUMP",
            ),
            *("PIDFD_COREDUMP_SKIP", "PIDFD_COREDUMP_USER", "PIDFD_COREDUMP_ROOT", "PIDFD_INFO_SIZE_VER0"),
            *("PIDFD_GET_INFO", "MADV_GUARD_INSTALL", "MADV_GUARD_REMOVE", "PAGE_IS_GUARD"),
            *("PR_THP_DISABLE_EXCEPT_ADVISED", "NS_GET_ID", "FD_PIDFS_ROOT", "FD_NSFS_ROOT"),
            *("PR_TIMER_CREATE_RESTORE_IDS", "PR_TIMER_CREATE_RESTORE_IDS_OFF"),
            *("PR_TIMER_CREATE_RESTORE_IDS_ON", "PR_TIMER_CREATE_RESTORE_IDS_GET"),
        ),
        "came after the headers that are needed, Linux 6.13 to 6.18",
    ),
    "STATMOUNT_SUPPORTED": "fs/namespace.c of the kernel's source",
    "CORE_DUMPED": "a part of wait4's status, see tests/abi/test_wait_options.py",
    "STOPPED": "a part of wait4's status",
    "CONTINUED": "a part of wait4's status",
}
# Enumerators, which the preprocessor can't see.
WITHOUT_MACRO = re.compile(
    "CTRL_|TASKSTATS_[CT]|TCP_NLA_|TCP_(NO|RECV|SEND)_QUEUE|BPF_|SOF_TIMESTAMPING_|INET_DIAG_|UNIX_DIAG_|PACKET_DIAG_|MEMBARRIER_|IOCB_CMD_|MPOL_[DPBILW]|FSCONFIG_|KCMP_|LANDLOCK_RULE_|PER_|UNAME26|ADDR_|FDPIC|MMAP_PAGE|READ_IMPLIES|SHORT_INODE|WHOLE_|STICKY"
    "|NFT_|NFTA_|NFNL_BATCH|NF_INET|NFPROTO_|IP_CT_|IPS_|PROCMAP_QUERY_"
    "|IFLA_|NLMSGERR_|VETH_INFO|IF_OPER|NDA_|NHA_|FRA_|FR_ACT_|TCA_|IFAL_|NETNSA_|NETCONFA_|IFA_[ABL-PR]|IFA_TARGET|IFA_CACHE|IFA_FLAGS|RTA_|RTN_|RT_SCOPE|RT_TABLE|RTM_[A-E]|RTM_[GNS]|IOPRIO_CLASS_[NRBI]|IOPRIO_WHO|RSEQ_|TCP_(ESTABLISHED|SYN_[SR]|FIN_WAIT|TIME_W|CLOS|LAST|LISTEN)"
    "|PROC_CN_|PROC_EVENT_|TPACKET_V|CTA_|TCP_CONNTRACK_|IPCTNL_|ETH_SS_"
)

# What C calls a structure where it isn't `struct` and our name in small letters and underscores.
C_TYPES = {
    "FileAttr": "struct later_file_attr",
    "PidfdInfo": "struct later_pidfd_info",
    "SpaceReservation": "struct space_resv",
    "XattrArgs": "struct later_xattr_args",
    "BlockDescription": "struct tpacket_block_desc",
    **dict.fromkeys(
        ("BpfProgLoad", "BpfProgAttach", "BpfGetId", "BpfGetInfo", "BpfProgQuery"), "union bpf_attr"
    ),
    "CapUserData": "struct __user_cap_data_struct",
    "CapUserHeader": "struct __user_cap_header_struct",
    "Elf64Ehdr": "Elf64_Ehdr",
    "Elf64Nhdr": "Elf64_Nhdr",
    "Elf64Phdr": "Elf64_Phdr",
    "FOwnerEx": "struct f_owner_ex",
    "Fpstate": "struct _fpstate_64",
    "FpxSwBytes": "struct _fpx_sw_bytes",
    "LinuxDirent64": "struct dirent64",
    "PtraceSyscallInfoEntry": "struct ptrace_syscall_info",
    "PtraceSyscallInfoExit": "struct ptrace_syscall_info",
    "PtraceSyscallInfoSeccomp": "struct ptrace_syscall_info",
    "SignalStack": "stack_t",
    "StatmountFields": "struct later_statmount",
    "Utsname": "struct new_utsname",
    "XstateHeader": "struct _header",
    **dict.fromkeys(
        [
            f"Siginfo{kind}"
            for kind in ("Header", "Raw", "Kill", "Timer", "Rt", "Child", "Fault", "Poll", "Sys")
        ],
        "siginfo_t",
    ),
}
# Fields that C has within a union or under a name that Python can't have in a class.
C_FIELDS = {
    "Ifaddrlblmsg.ifal_reserved": "__ifal_reserved",
    **{
        f"BlockDescription.{name}": f"hdr.bh1.{name}"
        for name in (*("block_status", "num_pkts", "offset_to_first_pkt", "blk_len", "seq_num"),)
    },
    "BlockDescription.first_sec": "hdr.bh1.ts_first_pkt.ts_sec",
    "BlockDescription.first_nsec": "hdr.bh1.ts_first_pkt.ts_nsec",
    "BlockDescription.last_sec": "hdr.bh1.ts_last_pkt.ts_sec",
    "BlockDescription.last_nsec": "hdr.bh1.ts_last_pkt.ts_nsec",
    **{f"BpfGetInfo.{name}": f"info.{name}" for name in ("bpf_fd", "info_len", "info")},
    **{
        f"BpfProgQuery.{name}": f"query.{name}"
        for name in (
            *("target_fd", "attach_type", "query_flags", "attach_flags", "prog_ids", "prog_cnt"),
            *("prog_attach_flags", "link_ids", "link_attach_flags", "revision"),
        )
    },
    "CnMsg.idx": "id.idx",
    "CnMsg.val": "id.val",
    "FutexWaitv.reserved": "__reserved",
    "In6FlowlabelReq.flr_pad": "__flr_pad",
    # The compiler leaves it, since what follows is aligned.
    "Taskstats.ac_gap": "ac_pad[3]",
    "PtraceSyscallInfoEntry.args": "entry.args",
    "PtraceSyscallInfoEntry.nr": "entry.nr",
    "PtraceSyscallInfoExit.is_error": "exit.is_error",
    "PtraceSyscallInfoExit.rval": "exit.rval",
    "PtraceSyscallInfoSeccomp.args": "seccomp.args",
    "PtraceSyscallInfoSeccomp.nr": "seccomp.nr",
    "PtraceSyscallInfoSeccomp.ret_data": "seccomp.ret_data",
    "RobustListHead.list": "list.next",
    "Semid64Ds.unused1": "__unused1",
    "Semid64Ds.unused2": "__unused2",
    "Sigevent.sigev_value": "sigev_value.sival_ptr",
    "SiginfoRaw.fields": "_sifields",
    "SiginfoRt.si_value": "si_ptr",
    "SiginfoTimer.si_value": "si_ptr",
    "VfsNsCapData.inheritable_high": "data[1].inheritable",
    "VfsNsCapData.inheritable_low": "data[0].inheritable",
    "VfsNsCapData.permitted_high": "data[1].permitted",
    "VfsNsCapData.permitted_low": "data[0].permitted",
}
# Declared by no header for programs, so declared here as the kernel does.
C_DECLARATIONS = {
    # As of Linux 6.13 and 6.17.
    "xattr": "struct later_xattr_args { unsigned long value; unsigned size, flags; };",
    # As of Linux 6.17.
    "pidfd": "struct later_pidfd_info { unsigned long mask, cgroupid; unsigned pid, tgid, ppid, ruid, rgid, "
    "euid, egid, suid, sgid, fsuid, fsgid; int exit_code; unsigned coredump_mask, coredump_signal; };",
    "ioctls": "struct later_file_attr { unsigned long fa_xflags; "
    "unsigned fa_extsize, fa_nextents, fa_projid, fa_cowextsize; };"
    "struct space_resv { short l_type, l_whence; long l_start, l_len; "
    "int l_sysid; unsigned l_pid; int l_pad[4]; };",
    "signal_frame": "struct rt_sigframe { char *pretcode; struct ucontext uc; siginfo_t info; };",
    "sched": "struct sched_param { int sched_priority; };",
    # As of Linux 6.15: in older headers the later fields are spare.
    "mount_flags": "struct later_statmount { __u32 size, mnt_opts; __u64 mask; "
    "__u32 sb_dev_major, sb_dev_minor; __u64 sb_magic; __u32 sb_flags, fs_type; "
    "__u64 mnt_id, mnt_parent_id; __u32 mnt_id_old, mnt_parent_id_old; "
    "__u64 mnt_attr, mnt_propagation, mnt_peer_group, mnt_master, propagate_from; "
    "__u32 mnt_root, mnt_point; __u64 mnt_ns_id; __u32 fs_subtype, sb_source, opt_num, opt_array, "
    "opt_sec_num, opt_sec_array; __u64 supported_mask; "
    "__u32 mnt_uidmap_num, mnt_uidmap, mnt_gidmap_num, mnt_gidmap; __u64 spare[43]; };",
}
UNCOMPARED = {
    **dict.fromkeys(
        (
            *(f"netlink.IFLA_{name}" for name in ("NETNS_IMMUTABLE", "HEADROOM", "TAILROOM")),
            *("netlink.IFLA_MAX_PACING_OFFLOAD_HORIZON", "netlink.RTA_FLOWLABEL"),
            *(f"netlink.NETCONFA_{name}" for name in ("FORCE_FORWARDING",)),
            *("futex.FUTEX2_MPOL", "futex.FUTEX_NO_NODE", "prctl.PR_SYS_DISPATCH_INCLUSIVE_ON"),
            "socket.SOF_TIMESTAMPING_TX_COMPLETION",
            *(
                f"landlock.LANDLOCK_RESTRICT_SELF_LOG_{name}"
                for name in ("SAME_EXEC_OFF", "NEW_EXEC_ON", "SUBDOMAINS_OFF")
            ),
        ),
        "the headers of Debian 13 are of Linux 6.12, which hasn't got it",
    ),
    "ptrace.PTRACE_SET_SYSCALL_INFO": "the headers of Debian 13 are of Linux 6.12, which hasn't got it",
    **dict.fromkeys(
        (
            *(f"Bpf{name}.SIZE" for name in ("ProgAttach", "GetId", "GetInfo", "ProgQuery")),
            *(f"Bpf{name}.ALIGNMENT" for name in ("GetId",)),
        ),
        "C's is that of the largest of the union",
    ),
    **dict.fromkeys(
        (
            *("BpfInsn.registers", "BpfInsn.registers in bytes", "BpfInsn.registers's sign"),
            *("TcpInfo.tcpi_scales", "TcpInfo.tcpi_scales in bytes", "TcpInfo.tcpi_scales's sign"),
            *("TcpInfo.tcpi_rates", "TcpInfo.tcpi_rates in bytes", "TcpInfo.tcpi_rates's sign"),
            *(f"BpfProgInfo.gpl_compatible{what}" for what in ("", " in bytes", "'s sign")),
        ),
        "a bit field in C, which has no address",
    ),
    **dict.fromkeys(
        (
            *(f"BpfProgAttach.{name}'s sign" for name in ("target_fd", "attach_bpf_fd", "replace_bpf_fd")),
            *(
                "BpfProgAttach.relative_fd's sign",
                "BpfGetInfo.bpf_fd's sign",
                "BpfProgQuery.target_fd's sign",
            ),
        ),
        "an int to whoever looks it up",
    ),
    "LinuxDirent64.ALIGNMENT": "ours ends where the name begins, in the middle of a word",
    "LinuxDirent64.SIZE": "C's ends with an array for the name",
    "Msghdr.msg_flags's sign": "the kernel's struct user_msghdr has the other one than the C library's",
    "Msghdr.msg_namelen's sign": "the kernel's struct user_msghdr has the other one than the C library's",
    "PtraceSyscallInfo.SIZE": "C's has the size of the largest of the union",
    "PtraceSyscallInfoEntry.SIZE": "C's has the size of the largest of the union",
    "PtraceSyscallInfoExit.SIZE": "C's has the size of the largest of the union",
    "SiginfoHeader.SIZE": "C's has all of the union",
    "SiginfoRaw.fields in bytes": "C's union is smaller than the room for it",
}


class Expectation(NamedTuple):
    """Something that C must see as we do: what it is, for the message, and the number that we have."""

    what: str
    number: int


def modules() -> Iterator[tuple[str, ModuleType]]:
    for module in pkgutil.iter_modules(procession.abi.__path__):
        yield module.name, importlib.import_module(f"procession.abi.{module.name}")


def numbers_of(module: ModuleType) -> Iterator[tuple[str, int]]:
    """All members of enumerations and all integers in capital letters that the module defines."""
    for name, value in vars(module).items():
        if isinstance(value, Enumeration) and value.__module__ == module.__name__ and name not in UNNAMED:
            for alias, member in value.__members__.items():
                if alias not in UNNAMED:
                    yield (f"__{alias}" if member.name == f"__{alias}" else alias), int(member)
        elif type(value) is int and name.isupper() and name not in UNNAMED:
            yield name, value


def structures_of(module: ModuleType) -> Iterator[type[Structure]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Structure) and value.__module__ == module.__name__:
            yield value


def c_type(structure: type[Structure]) -> str:
    name = structure.__name__
    return C_TYPES.get(name) or "struct " + re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Probe:
    """Writes C functions that print numbers, and keeps what each must be."""

    def __init__(self) -> None:
        self.expected: list[Expectation] = []
        self.sources: list[str] = []

    def add_source(self, name: str, headers: str, declarations: str = "") -> None:
        """Start a function of its own file, as headers of different modules may clash."""
        includes = "".join(f"#include <{header}>\n" for header in headers.split())
        self.sources.append(
            f"#define _GNU_SOURCE\n{includes}#include <stddef.h>\nint printf(const char *, ...);\n"
            f"{declarations}\nvoid probe_{name}(void) {{\n"
        )

    def ask(self, what: str, expression: str, number: int, macro: str = "") -> None:
        if what in UNCOMPARED:
            return
        line = f'printf("{len(self.expected)} %llu\\n", (unsigned long long)({expression}));\n'
        self.sources[-1] += f"#ifdef {macro}\n{line}#endif\n" if macro else line
        self.expected.append(Expectation(what, number))

    def run(self, compiler: list[str], directory: Path) -> dict[str, int]:
        """What C first answers to each question, modulo 2**64."""
        names = re.findall(r"^void (probe_\w+)\(", "\n".join(self.sources), re.MULTILINE)
        calls = "".join(f"void {name}(void);\n" for name in names) + "int main(void) {\n"
        main = calls + "".join(f"{name}();\n" for name in names) + "return 0;\n}\n"
        files = []
        for index, source in enumerate([main, *(source + "}\n" for source in self.sources)]):
            files.append(directory / f"probe_{index}.c")
            files[-1].write_text(source)
        program = directory / "probe"
        built = subprocess.run(
            [*compiler, "-w", "-o", str(program), *map(str, files)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stderr
        answers: dict[str, int] = {}
        for line in subprocess.check_output([str(program)], text=True).splitlines():
            index, answer = map(int, line.split())
            answers.setdefault(self.expected[index].what, answer)
        return answers


def differences(probe: Probe, answers: dict[str, int]) -> list[str]:
    return [
        f"{what} is {number} here and {answers.get(what, 'nothing')} in C"
        for what, number in probe.expected
        if answers.get(what) != number % 2**64
    ]


def macros(compiler: list[str], header: str) -> dict[str, str]:
    """The macros without arguments that a header defines."""
    command = [*compiler, "-E", "-dM", "-x", "c", "-"]
    output = subprocess.run(
        command, input=f"#include <{header}>\n", capture_output=True, text=True, check=True
    ).stdout
    return dict(re.findall(r"^#define (\w+) (.*)$", output, re.MULTILINE))


@pytest.fixture
def linux_compiler(c_compiler: list[str]) -> list[str]:
    """A compiler with headers that are new enough, whose programs run here."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("programs for Linux x86-64 don't run here")
    version = int(macros(c_compiler, "linux/version.h")["LINUX_VERSION_CODE"])
    release = (version >> 16, version >> 8 & 0xFF)
    if release < HEADERS_NEEDED:
        pytest.skip(f"the compiler's headers are of Linux {release[0]}.{release[1]}")
    return c_compiler


def test_every_module_is_compared() -> None:
    assert {name for name, _ in modules()} == HEADERS.keys() | WITHOUT_HEADERS.keys()


def test_numbers_are_those_of_the_headers(linux_compiler: list[str], tmp_path: Path) -> None:
    probe = Probe()
    for name, module in modules():
        for index, headers in enumerate(HEADERS.get(name, ())):
            probe.add_source(f"{name}_{index}", headers)
            for constant, number in numbers_of(module):
                macro = "" if WITHOUT_MACRO.match(constant) else constant
                probe.ask(f"{name}.{constant}", constant, number, macro)
    answers = probe.run(linux_compiler, tmp_path)
    assert len(probe.expected) > 1400
    wrong = differences(probe, answers)
    assert not wrong, "\n".join(wrong)


def test_structures_lie_as_the_compiler_lays_them(linux_compiler: list[str], tmp_path: Path) -> None:
    probe = Probe()
    for name, module in modules():
        structures = list(structures_of(module))
        if not structures or name in WITHOUT_HEADERS:
            continue
        probe.add_source(name, HEADERS[name][0], C_DECLARATIONS.get(name, ""))
        for structure in structures:
            ours, theirs = structure.__name__, c_type(structure)
            probe.ask(f"{ours}.SIZE", f"sizeof({theirs})", structure.SIZE)
            probe.ask(f"{ours}.ALIGNMENT", f"__alignof__({theirs})", structure.ALIGNMENT)
            if ours == "LinuxDirent64":
                probe.ask(f"{ours}'s end", f"offsetof({theirs}, d_name)", structure.SIZE)
            for field, kind in structure._layout:
                member = C_FIELDS.get(f"{ours}.{field}", field)
                value = f"(({theirs} *)0)->{member}"
                probe.ask(f"{ours}.{field}", f"offsetof({theirs}, {member})", structure.OFFSETS[field])
                probe.ask(f"{ours}.{field} in bytes", f"sizeof({value})", kind.size)
                if kind.form in set("bhiqBHIQ"):
                    probe.ask(f"{ours}.{field}'s sign", f"(__typeof__({value}))-1 < 0", kind.form.islower())
    answers = probe.run(linux_compiler, tmp_path)
    assert len(probe.expected) > 1000
    wrong = differences(probe, answers)
    assert not wrong, "\n".join(wrong)


def test_every_error_number_has_its_exception(linux_compiler: list[str]) -> None:
    names = {
        name: text
        for name, text in macros(linux_compiler, "errno.h").items()
        if re.match("E[A-Z0-9]+$", name)
    }
    aliases = {name for name, text in names.items() if not text.isdigit()}
    assert {
        kind.__name__ for number, kind in errno.BY_NUMBER.items() if number < 512
    } == names.keys() - aliases
    for name, text in names.items():
        kind = getattr(errno, name)
        assert kind is getattr(errno, text) if name in aliases else kind.number == int(text)


def test_system_call_numbers_are_those_of_the_header(linux_compiler: list[str]) -> None:
    theirs = {
        name.removeprefix("__NR_"): int(text)
        for name, text in macros(linux_compiler, "asm/unistd_64.h").items()
        if name.startswith("__NR_")
    }
    ours = syscall_numbers.NUMBERS
    # The headers may be older or newer than the table: one may have more, but only at its end.
    last = min(max(ours.values()), max(theirs.values()))
    assert last > 460
    assert {name: number for name, number in ours.items() if number <= last} == {
        name: number for name, number in theirs.items() if number <= last
    }

"""The fields of a task beside those of Windows NT that correspond, and where the two designs part."""

from __future__ import annotations

NT_NAMES: dict[tuple[str, str], str] = {
    ("identity", "comm"): "EPROCESS.ImageFileName",
    ("identity", "pid"): "ETHREAD.Cid.UniqueThread",
    ("identity", "tgid"): "EPROCESS.UniqueProcessId",
    ("identity", "threads"): "EPROCESS.ThreadListHead",
    ("identity", "parent"): "EPROCESS.InheritedFromUniqueProcessId: a number only; NT keeps no tree",
    ("identity", "children"): "no counterpart: a parent waits for a handle, not for its children",
    ("identity", "process group"): "no counterpart: the nearest is a job object, EPROCESS.Job",
    ("identity", "session"): "EPROCESS.Session: of a logon, not of a terminal",
    ("identity", "exit_signal"): "no counterpart: the process object itself becomes signalled",
    ("identity", "start_time"): "ETHREAD.CreateTime",
    ("state", "state"): "KTHREAD.State; NT has no zombie: the object stays while handles to it are open",
    ("state", "waits for"): "KTHREAD.WaitBlockList, WaitReason",
    ("state", "exit_code"): "ETHREAD.ExitStatus",
    ("scheduling", "policy"): "KTHREAD.Priority: priorities 16 to 31 are real-time",
    ("scheduling", "nice"): "KTHREAD.BasePriority, EPROCESS.PriorityClass",
    ("scheduling", "rt_priority"): "KTHREAD.Priority",
    ("scheduling", "on_cpu"): "KTHREAD.NextProcessor",
    (
        "scheduling",
        "vruntime",
    ): "no counterpart: the highest priority runs, where Linux keeps a share",
    ("scheduling", "utime"): "KTHREAD.UserTime",
    ("scheduling", "stime"): "KTHREAD.KernelTime",
    ("scheduling", "nvcsw"): "KTHREAD.ContextSwitches, of both kinds",
    ("memory", "users"): "EPROCESS.ActiveThreads: an address space is always exactly one process's",
    ("memory", "total_vm"): "EPROCESS.VirtualSize",
    ("memory", "rss"): "EPROCESS.Vm.WorkingSetSize",
    ("memory", "hiwater_rss"): "EPROCESS.Vm.PeakWorkingSetSize",
    ("memory", "page tables"): "KPROCESS.DirectoryTableBase",
    ("memory", "brk"): "no counterpart: heaps are user space's, from NtAllocateVirtualMemory",
    ("files", "table users"): "EPROCESS.ObjectTable, always one process's",
    ("files", "cwd"): "PEB.ProcessParameters.CurrentDirectory: user space's",
    ("files", "root"): "EPROCESS.DeviceMap, for drive letters",
    ("files", "umask"): "no counterpart: a new object's rights come from the token's default DACL",
    ("signals", "pending"): "KTHREAD.ApcState: APCs are the nearest to signals",
    ("signals", "shared pending"): "no counterpart: an APC is one thread's",
    ("signals", "blocked"): "KTHREAD.KernelApcDisable; user APCs come in alertable waits alone",
    ("signals", "handled"): "no counterpart in the kernel: structured exception handling",
    ("credentials", "uid"): "EPROCESS.Token, its user SID",
    ("credentials", "gid"): "EPROCESS.Token, its primary group SID",
    ("credentials", "groups"): "EPROCESS.Token, its group SIDs",
    ("credentials", "cap_effective"): "EPROCESS.Token.Privileges.Enabled",
    ("credentials", "cap_permitted"): "EPROCESS.Token.Privileges.Present",
    (
        "credentials",
        "no_new_privs",
    ): "no counterpart: nothing is set-user-id; a restricted token is nearest",
    ("credentials", "seccomp"): "EPROCESS mitigation flags (DisallowWin32kSystemCalls)",
    ("namespaces", "pid"): "EPROCESS.ServerSiloGlobals of a server silo",
    ("namespaces", "mnt"): "the silo's object namespace root",
    ("ptrace", "tracer"): "EPROCESS.DebugPort: a debug object, not a process; one for a whole process",
    ("ptrace", "options"): "DEBUG_OBJECT.Flags: only whether the debugger's end kills",
    ("ptrace", "stopped"): "a DEBUG_EVENT in DEBUG_OBJECT.EventList",
    ("ptrace", "tracees"): "no list: who has a handle to the debug object",
    ("accounting", "min_flt"): "EPROCESS.Vm.PageFaultCount, of both kinds",
    ("accounting", "rchar, wchar"): "EPROCESS.ReadTransferCount, WriteTransferCount",
    ("accounting", "syscr, syscw"): "EPROCESS.ReadOperationCount, WriteOperationCount",
}
"""By section and name of a field of `inspection.report`."""
AREA_NAME = "EPROCESS.VadRoot, an MMVAD"
"""What each area is in NT; a private page there has no counterpart of copy-on-write after fork."""
DESCRIPTOR_NAME = "a HANDLE_TABLE_ENTRY, to a FILE_OBJECT"


def nt_name(section: str, name: str) -> str:
    """The counterpart of a field, "" if nothing is said of it."""
    if section == "memory" and (section, name) not in NT_NAMES:
        return AREA_NAME
    if section == "files" and name.startswith("fd "):
        return DESCRIPTOR_NAME
    return NT_NAMES.get((section, name), "")

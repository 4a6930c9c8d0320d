"""Tests of what /proc says about processes: formats as Linux has them, and who may see what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest

from procession.abi.errno import EACCES, EINVAL, ENOENT, EPERM, ERANGE, ESRCH
from procession.fs import namei, opening
from procession.fs.directory import make_directory
from procession.fs.file import O_CREAT, O_WRONLY
from procession.fs.pipe import create_pipe
from procession.kernel.clone import CLONE_SIGHAND, CLONE_THREAD, CLONE_VM
from procession.kernel.exit import do_exit, release_task
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from procession.mm.vma import PROT_EXEC, PROT_READ, PROT_WRITE, MappedFile, VirtualMemoryArea
from tests.procfs.conftest import Proc

THREAD = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD
HOST_STATUS = Path("/proc/self/status")


def fields(line: bytes) -> list[str]:
    """The fields of stat after the name."""
    return line[line.rindex(b")") + 2 :].decode().split()


def test_self_and_thread_self_are_the_task_that_looks(proc: Proc) -> None:
    assert proc.link("self") == b"%d" % proc.task.tid
    assert proc.link("thread-self") == b"%d/task/%d" % (proc.task.tid, proc.task.tid)
    proc.kernel.current = proc.init
    assert proc.link("self") == b"1"


def test_processes_are_listed_by_number_and_threads_are_not(proc: Proc) -> None:
    thread = proc.child(proc.task, THREAD)
    child = proc.child(proc.task)
    numbers = [name for name in proc.names("") if name.isdigit()]
    assert numbers == [b"1", b"%d" % proc.task.tid, b"%d" % child.tid]
    assert proc.names("self/task") == [b"%d" % proc.task.tid, b"%d" % thread.tid]
    # A thread's id isn't listed, and yet it names a directory.
    assert proc.read(f"{thread.tid}/status").splitlines()[3] == b"Tgid:\t%d" % proc.task.tid


@pytest.mark.parametrize("name", ["0", "01", "99", "x", "4294967297", "self/nothing", "self/task/1"])
def test_what_is_no_process_is_not_there(proc: Proc, name: str) -> None:
    with pytest.raises(ENOENT):
        proc.inode(name)


def test_entries_have_the_inode_numbers_and_types_of_what_they_name(proc: Proc) -> None:
    for folder in ("", "self", "self/task", "thread-self", "self/fd", "sys", "sys/kernel"):
        for entry in proc.entries(folder):
            inode = proc.inode(f"{folder}/{entry.name.decode()}", follow=False)
            assert (entry.number, entry.type) == (inode.number, inode.mode >> 12), entry


def test_every_file_can_be_read(proc: Proc) -> None:
    for folder in ("", "self", f"self/task/{proc.task.tid}"):
        for entry in proc.entries(folder):
            # Memory isn't read from 0 on, its map takes long, the log waits for more, and one is for
            # writing only.
            if entry.type == 8 and entry.name not in (b"mem", b"pagemap", b"kmsg", b"clear_refs"):
                proc.read(f"{folder}/{entry.name.decode()}")


def test_stat_has_the_fields_of_linux(proc: Proc) -> None:
    child = proc.child(proc.task)
    child.command_name = b"a (b)\n"
    child.nice = 5
    child.times.user_ns, child.times.system_ns = 70_000_000, 30_000_000
    line = proc.read(f"{child.tid}/stat")
    assert line.startswith(b"%d (a (b)\n) R %d " % (child.tid, proc.task.tid))
    values = fields(line)
    # With the id and the name these are the 52 of proc_pid_stat(5).
    assert len(values) == 50
    assert values[2:4] == [str(proc.task.tid)] * 2  # process group, session
    assert values[4:6] == ["0", "-1"]  # no terminal
    assert values[11:13] == ["7", "3"]  # clock ticks
    assert values[15:18] == ["25", "5", "1"]  # priority, nice, threads
    assert values[35] == "17"  # SIGCHLD at its end


def test_stat_of_a_process_sums_its_threads(proc: Proc) -> None:
    thread = proc.child(proc.task, THREAD)
    thread.times.user_ns = 1_000_000_000
    assert fields(proc.read("self/stat"))[11] == "100"
    assert fields(proc.read(f"self/task/{proc.task.tid}/stat"))[11] == "0"
    assert fields(proc.read("self/stat"))[17] == "2"
    assert fields(proc.read(f"self/task/{thread.tid}/stat"))[35] == "-1"


@pytest.mark.skipif(not HOST_STATUS.exists(), reason="the host has no /proc")
def test_status_has_the_lines_of_the_hosts_in_the_same_order(proc: Proc) -> None:
    ours = re.findall(rb"^(\w+):\t", proc.read("self/status"), re.MULTILINE)
    hosts = re.findall(rb"^(\w+):\t", HOST_STATUS.read_bytes(), re.MULTILINE)
    assert [name for name in ours if name in hosts] == [name for name in hosts if name in ours]
    assert len(set(ours) & set(hosts)) > 45


def test_status_has_the_formats_of_linux(proc: Proc) -> None:
    proc.task.credentials = proc.task.credentials.replace(groups=(4, 27))
    proc.task.blocked = 1 << 16
    status = proc.read("self/status")
    for line in (
        b"Name:\tinit",
        b"Umask:\t0022",
        b"State:\tR (running)",
        b"Uid:\t0\t0\t0\t0",
        b"Groups:\t4 27 ",
        b"VmSize:\t       4 kB",
        b"SigBlk:\t0000000000010000",
        b"CapEff:\t000001ffffffffff",
        b"voluntary_ctxt_switches:\t0",
    ):
        assert line + b"\n" in status


def test_a_zombie_has_no_memory_and_no_files(proc: Proc) -> None:
    child = proc.child(proc.task)
    do_exit(proc.kernel, make_running(child), 3 << 8)
    assert child.state is TaskState.ZOMBIE
    prefix = str(child.tid)
    assert proc.read(prefix + "/stat").split()[2] == b"Z"
    assert fields(proc.read(prefix + "/stat"))[-1] == str(3 << 8)
    status = proc.read(prefix + "/status")
    assert b"State:\tZ (zombie)\n" in status
    assert b"VmSize" not in status
    assert b"Umask" not in status
    assert b"FDSize:\t0\n" in status
    for name in ("cmdline", "maps", "smaps"):
        assert proc.read(f"{prefix}/{name}") == b""
    for name in ("auxv", "environ", "mem", "smaps_rollup"):
        with pytest.raises(ESRCH):
            proc.read(f"{prefix}/{name}")
    with pytest.raises(EINVAL):
        proc.read(prefix + "/mounts")
    assert proc.read(prefix + "/statm") == b"0 0 0 0 0 0 0\n"
    assert proc.names(prefix + "/fd") == []
    for link in ("exe", "cwd", "root"):
        with pytest.raises(ENOENT):
            proc.link(f"{prefix}/{link}")


def make_running(task: Task) -> Task:
    """Bring a new task to where it may end."""
    task.state = TaskState.RUNNING
    return task


def test_a_file_of_a_process_that_is_gone_cannot_be_read(proc: Proc) -> None:
    child = proc.child(proc.task)
    file = proc.open(f"{child.tid}/stat")
    directory = proc.inode(str(child.tid))
    do_exit(proc.kernel, make_running(child), 0)
    release_task(proc.kernel, child)
    with pytest.raises(ESRCH):
        file.read(100)
    with pytest.raises(ESRCH):
        directory.lookup(b"stat")
    assert b"%d" % child.tid not in proc.names("")


def test_a_directory_stays_the_same_while_the_process_lives(proc: Proc) -> None:
    first = namei.lookup(proc.task.fs, proc.task.credentials, b"/proc/self")
    second = namei.lookup(proc.task.fs, proc.task.credentials, b"/proc/self")
    assert first.dentry is second.dentry
    assert not first.dentry.is_deleted


def test_command_line_and_environment(proc: Proc) -> None:
    mm = proc.task.mm
    stack = 0x7FFF_0000_0000
    mm.map(VirtualMemoryArea(stack, stack + 4096, PROT_READ | PROT_WRITE, name=b"[stack]"))
    mm.write(stack, b"ls\0-l\0A=1\0B=2\0")
    mm.arguments_start, mm.arguments_end = stack, stack + 6
    mm.environment_start, mm.environment_end = stack + 6, stack + 14
    assert proc.read("self/cmdline") == b"ls\0-l\0"
    assert proc.read("self/environ") == b"A=1\0B=2\0"
    # A title may run on into the environment.
    mm.write(stack, b"title of mine\0")
    assert proc.read("self/cmdline") == b"title of mine"


def test_maps_has_the_columns_of_linux(proc: Proc) -> None:
    mm = proc.task.mm
    path = namei.lookup(proc.task.fs, proc.task.credentials, b"/file")
    file = opening.open_path(path, proc.task.credentials, 0)
    mm.map(
        VirtualMemoryArea(
            0x7F00_0000_0000,
            0x7F00_0000_1000,
            PROT_READ | PROT_EXEC,
            file=cast("MappedFile", file),
            pages=file.mappable(),
            page_offset=2,
        )
    )
    mm.map(VirtualMemoryArea(0x7F00_0000_1000, 0x7F00_0000_3000, PROT_READ | PROT_WRITE))
    inode = file.inode
    device = inode.superblock.device
    start = b"7f0000000000-7f0000001000 r-xp 00002000 %02x:%02x %d " % (
        device >> 8,
        device & 255,
        inode.number,
    )
    assert proc.read("self/maps").splitlines() == [
        b"00400000-00401000 r-xp 00000000 00:00 0                                  [init]",
        start.ljust(72) + b" /file",
        b"7f0000001000-7f0000003000 rw-p 00000000 00:00 0 ",
        b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
    ]


@pytest.mark.skipif(not HOST_STATUS.exists(), reason="the host has no /proc")
def test_smaps_has_the_lines_of_the_hosts(proc: Proc) -> None:
    def names(text: bytes) -> list[bytes]:
        return re.findall(rb"^(\w+):", text.split(b"VmFlags")[0], re.MULTILINE)

    def widths(text: bytes) -> set[int]:
        return {len(line) for line in text.split(b"VmFlags")[0].splitlines() if line.endswith(b" kB")}

    ours, hosts = proc.read("self/smaps"), Path("/proc/self/smaps").read_bytes()
    assert [name for name in names(hosts) if name in names(ours)] == names(ours)
    assert widths(ours) == widths(hosts)
    ours, hosts = proc.read("self/smaps_rollup"), Path("/proc/self/smaps_rollup").read_bytes()
    assert [name for name in names(hosts) if name in names(ours)] == names(ours)


def test_pages_are_counted_by_kind_and_by_sharers(proc: Proc) -> None:
    parent, mm = proc.task, proc.task.mm
    mm.map(VirtualMemoryArea(0x10000, 0x14000, PROT_READ | PROT_WRITE))
    mm.write(0x10000, b"x" * 8192)
    assert b"\nRssAnon:\t      12 kB\n" in proc.read("self/status")
    assert b"\nPrivate_Dirty:         8 kB\n" in proc.read("self/smaps")
    proc.child(parent)
    rollup = proc.read("self/smaps_rollup")
    assert b"\nShared_Dirty:         12 kB\n" in rollup
    # Init has one of the pages too.
    assert b"\nPss:                   5 kB\n" in rollup
    mm.write(0x10000, b"y")
    rollup = proc.read("self/smaps_rollup")
    assert b"\nPrivate_Dirty:         4 kB\n" in rollup


def test_reading_proc_brings_no_pages_in(proc: Proc) -> None:
    mm = proc.task.mm
    mm.map(VirtualMemoryArea(0x10000, 0x20000, PROT_READ | PROT_WRITE))
    mm.arguments_start, mm.arguments_end = 0x10000, 0x20000
    before = mm.resident_pages
    assert len(proc.read("self/cmdline")) == 0x10000
    memory = proc.open("self/mem")
    assert memory.read_at(0x10000, 10) == bytes(10)
    assert mm.resident_pages == before


def test_mem_reads_and_writes_at_addresses(proc: Proc) -> None:
    proc.task.mm.map(VirtualMemoryArea(0x10000, 0x11000, PROT_READ | PROT_WRITE))
    memory = proc.open("self/mem", 2)
    assert memory.seek(0x10FFE, 0) == 0x10FFE
    assert memory.write(b"abcd") == 2
    assert memory.read_at(0x10FFC, 100) == b"\0\0ab"
    assert proc.task.mm.read(0x10FFE, 2) == b"ab"


def test_descriptors(proc: Proc) -> None:
    task = proc.task
    reader, writer = create_pipe(proc.kernel.vfs, 0, task.credentials)
    task.files.install(reader, limit=10)
    task.files.install(writer, limit=10, close_on_exec=True)
    assert proc.names("self/fd") == [b"0", b"1"]
    assert proc.link("self/fd/0") == b"pipe:[%d]" % reader.inode.number
    assert [proc.inode(f"self/fd/{fd}", follow=False).mode & 0o777 for fd in (0, 1)] == [0o500, 0o300]
    # The link leads to the pipe itself, which no name does.
    assert proc.inode("self/fd/1") is reader.inode
    assert proc.inode("self/fd").shown_size == 2
    assert re.fullmatch(
        rb"pos:\t0\nflags:\t02000001\nmnt_id:\t\d+\nino:\t%d\n" % reader.inode.number,
        proc.read("self/fdinfo/1"),
    )
    for name in ("self/fd/2", "self/fd/00", "self/fd/x", "self/fdinfo/2"):
        with pytest.raises(ENOENT):
            proc.inode(name, follow=False)


def test_links_lead_to_the_place_whatever_its_name(proc: Proc) -> None:
    assert proc.link("self/root") == b"/"
    assert proc.link("self/cwd") == b"/"
    proc.task.fs.set_cwd(namei.lookup(proc.task.fs, proc.task.credentials, b"/bin"))
    assert proc.link("self/cwd") == b"/bin"
    assert proc.inode("self/cwd/../file").size == 5
    with pytest.raises(ENOENT):
        proc.link("self/exe")


def test_comm_can_be_written_by_the_process_itself(proc: Proc) -> None:
    assert proc.write("self/comm", b"a long name of a thread\n") == 24
    assert proc.read("self/comm") == b"a long name of \n"
    with pytest.raises(EINVAL):
        proc.write("1/comm", b"x")


def test_oom_score_adj_is_lowered_by_the_privileged_alone(proc: Proc) -> None:
    proc.write("self/oom_score_adj", b"500\n")
    assert proc.read("self/oom_score_adj") == b"500\n"
    proc.write("self/oom_score_adj", b"-1000")
    assert proc.read("self/oom_score") == b"0\n"
    for wrong in (b"1001", b"x", b"", b"1_0"):
        with pytest.raises(EINVAL):
            proc.write("self/oom_score_adj", wrong)
    with pytest.raises(ERANGE):
        proc.write("self/oom_score_adj", b"9" * 5000)
    proc.write("self/oom_score_adj", b"0")
    proc.task.credentials = proc.task.credentials.for_user(1000, 1000)
    proc.write("self/oom_score_adj", b"300")
    proc.write("self/oom_score_adj", b"0")
    with pytest.raises(EACCES):
        proc.write("self/oom_score_adj", b"-1")


def test_others_see_little_of_a_process(proc: Proc) -> None:
    proc.task.credentials = proc.task.credentials.for_user(1000, 1000)
    assert fields(proc.read("1/stat"))[23:26] == ["1", "1", "0"]
    assert proc.read("1/wchan") == b"0"
    for name in ("1/environ", "1/maps", "1/auxv", "1/syscall", "1/fd/0", "1/fdinfo/0"):
        assert proc.error(name) == "EACCES"
    for name in ("1/exe", "1/cwd", "1/root"):
        with pytest.raises(EACCES):
            proc.link(name)
    assert proc.error("self/environ") == ""
    assert proc.inode("self").uid == 1000
    assert proc.inode("self/status").uid == 1000
    # Who became another user isn't inspected by that one.
    proc.task.mm.dumpable = 0
    assert proc.inode("self").uid == 1000
    assert proc.inode("self/status").uid == 0


def test_nothing_can_be_created_or_removed(proc: Proc) -> None:
    for name in ("", "self", "sys", "sys/kernel", "self/fd"):
        directory, subject = proc.inode(name), proc.task.credentials
        place = b"/proc/" + name.encode() + b"/new"
        with pytest.raises(ENOENT):
            opening.open(proc.task.fs, subject, place, None, O_CREAT | O_WRONLY, 0o644)
        with pytest.raises(ENOENT):
            make_directory(proc.task.fs, subject, place)
        with pytest.raises(EPERM):
            directory.unlink(b"stat")
        if name:
            with pytest.raises(EPERM):
                directory.set_attributes(mode=0o777)


def test_files_of_the_machine_are_given_modes(proc: Proc) -> None:
    for name in ("", "stat", "fs", "sysvipc", "sysvipc/shm", "pressure/cpu"):
        proc.inode(name).set_attributes(mode=0o700)
        assert proc.inode(name).mode & 0o777 == 0o700
    with pytest.raises(EPERM):
        proc.inode("sys/kernel/ostype").set_attributes(uid=0)


def test_limits_has_the_columns_of_linux(proc: Proc) -> None:
    lines = proc.read("self/limits").splitlines()
    assert lines[0] == b"Limit                     Soft Limit           Hard Limit           Units     "
    assert lines[4] == b"Max stack size            8388608              unlimited            bytes     "
    assert lines[14] == b"Max nice priority         0                    0                              "
    host = Path("/proc/self/limits")
    if host.exists():
        assert [line[:25] for line in lines] == [line[:25] for line in host.read_bytes().splitlines()]


def test_children_are_listed_for_each_thread(proc: Proc) -> None:
    first, second = proc.child(proc.task), proc.child(proc.task)
    assert proc.read("thread-self/children") == b"%d %d " % (first.tid, second.tid)
    assert proc.read(f"{first.tid}/task/{first.tid}/children") == b""


def test_mounts(proc: Proc) -> None:
    assert proc.read("mounts") == proc.read("self/mounts")
    lines = proc.read("self/mountinfo").splitlines()
    assert re.fullmatch(rb"\d+ \d+ \d+:\d+ / / rw\S* - overlay overlay rw\S*", lines[0])
    assert any(re.fullmatch(rb"\d+ \d+ \d+:\d+ / /proc rw\S* - proc proc rw", line) for line in lines)
    assert b"device proc mounted on /proc with fstype proc\n" in proc.read("self/mountstats")
    # A task sees the mounts below its root alone, by their names from there.
    proc.task.fs.set_root(namei.lookup(proc.task.fs, proc.task.credentials, b"/proc"))
    context = proc.init.fs
    seen = namei.lookup(context, proc.task.credentials, b"/proc/%d/mounts" % proc.task.tid)
    inode = seen.dentry.inode
    file = inode.open(seen, 0, proc.task.credentials)
    assert file.read(4096) == b"proc / proc rw,nosuid,nodev,noexec,relatime 0 0\n"
    file.release_if_unheld()


def test_real_time_policies_show_their_priority(proc: Proc) -> None:
    proc.task.policy, proc.task.realtime_priority = 1, 30
    values = fields(proc.read("self/stat"))
    assert values[15:17] == ["-31", "0"]
    assert values[37:39] == ["30", "1"]
    assert b"\nprio                                         :                   69\n" in proc.read(
        "self/sched"
    )


def test_timer_slack_can_be_set(proc: Proc) -> None:
    proc.write("self/timerslack_ns", b"1000")
    assert proc.read("self/timerslack_ns") == b"1000\n"
    proc.write("self/timerslack_ns", b"0")
    assert proc.read("self/timerslack_ns") == b"50000\n"
    proc.task.credentials = proc.task.credentials.for_user(1000, 1000)
    with pytest.raises(EPERM):
        proc.write("1/timerslack_ns", b"1")

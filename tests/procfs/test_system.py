"""Tests of what /proc and /sys say about the machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procession.abi.errno import EACCES, EINVAL, EIO, ENFILE, ENOENT, ENOSPC, EPERM
from procession.fs import namei, opening
from procession.fs.dentry import Path as Place
from procession.fs.epoll import EpollFile
from procession.fs.eventfd import EventFile
from procession.fs.file import O_RDWR
from procession.fs.pipe import pipe_file_system
from procession.hardware.kernel_memory import IPC
from procession.kernel.rlimit import RLIMIT_NOFILE, change_limit
from procession.kernel.sched.core import Scheduler
from procession.machine import Machine
from tests.procfs.conftest import Proc

HOST = Path("/proc")


def test_the_files_of_the_root_have_the_hosts_modes(proc: Proc) -> None:
    for name in proc.names(""):
        host = HOST / name.decode()
        if not name.isdigit() and host.exists() and not host.is_symlink():
            assert proc.inode(name.decode()).mode == host.stat().st_mode, name


def test_how_much_is_promised_is_set(proc: Proc) -> None:
    total = meminfo_rows(proc.read("meminfo"))[b"MemTotal"]
    assert [proc.read("sys/vm/overcommit_" + name) for name in ("memory", "ratio", "kbytes")] == [
        *(b"0\n", b"50\n", b"0\n")
    ]
    proc.write("sys/vm/overcommit_kbytes", b"4000\n")
    assert proc.read("sys/vm/overcommit_ratio") == b"0\n"
    assert meminfo_rows(proc.read("meminfo"))[b"CommitLimit"] == 4000
    proc.write("sys/vm/overcommit_ratio", b"25")
    assert proc.read("sys/vm/overcommit_kbytes") == b"0\n"
    assert meminfo_rows(proc.read("meminfo"))[b"CommitLimit"] == total // 4
    proc.write("sys/vm/overcommit_memory", b"2")
    assert proc.kernel.memory.commit_rule.mode == 2
    for name, value in (("memory", b"3"), ("memory", b"-1"), ("ratio", b"-1"), ("kbytes", b"x")):
        with pytest.raises(EINVAL):
            proc.write("sys/vm/overcommit_" + name, value)


def test_how_many_descriptors_and_pipes_there_may_be_is_set(proc: Proc) -> None:
    proc.write("sys/fs/nr_open", b"2048")
    group = proc.task.group
    with pytest.raises(EPERM):
        change_limit(proc.task, group, RLIMIT_NOFILE, (1024, 2049))
    change_limit(proc.task, group, RLIMIT_NOFILE, (1024, 2048))
    for wrong in (b"63", b"2147483648", b"x"):
        with pytest.raises(EINVAL):
            proc.write("sys/fs/nr_open", wrong)
    proc.write("sys/fs/pipe-user-pages-hard", b"32")
    proc.write("sys/fs/pipe-user-pages-soft", b"16")
    accounts = pipe_file_system(proc.kernel.vfs).accounts
    assert accounts.exceeds_hard(1000, 33)
    assert not accounts.exceeds_hard(1000, 32)
    assert accounts.exceeds_soft(1000, 17)
    assert proc.read("sys/kernel/arch") == b"x86_64\n"


def test_how_the_scheduler_divides_time_is_set(proc: Proc) -> None:
    rules = proc.kernel.scheduler.rules
    for text, shown in ((b"50", b"50\n"), (b"1", b"1\n"), (b"0", b"100\n"), (b"-5", b"100\n")):
        proc.write("sys/kernel/sched_rr_timeslice_ms", text)
        assert proc.read("sys/kernel/sched_rr_timeslice_ms") == shown
        assert rules.round_robin_ns % 4_000_000 == 0 < rules.round_robin_ns
    proc.write("sys/kernel/sched_rt_runtime_us", b"-1")
    assert proc.read("sys/kernel/sched_rt_runtime_us") == b"-1\n"
    assert not rules.limits_realtime
    proc.write("sys/kernel/sched_rt_period_us", b"500000")
    proc.write("sys/kernel/sched_rt_runtime_us", b"100000")
    assert (rules.realtime_runtime_ns, rules.realtime_period_ns) == (100_000_000, 500_000_000)
    proc.write("sys/kernel/sched_deadline_period_min_us", b"200")
    for name, wrong in (
        *(("rt_runtime_us", b"500001"), ("rt_runtime_us", b"-2"), ("rt_period_us", b"99999")),
        *(("rt_period_us", b"0"), ("deadline_period_min_us", b"-1"), ("deadline_period_max_us", b"199")),
    ):
        with pytest.raises(EINVAL):
            proc.write("sys/kernel/sched_" + name, wrong)
    assert proc.read("sys/kernel/sched_autogroup_enabled") == b"0\n"
    proc.write("sys/kernel/sched_autogroup_enabled", b"1")
    assert rules.groups_sessions
    with pytest.raises(EINVAL):
        proc.write("sys/kernel/sched_autogroup_enabled", b"2")


def test_uptime_and_stat_follow_the_virtual_clock(proc: Proc) -> None:
    clock = proc.kernel.clock
    clock.jump_to(clock.now_ns + 12_345_678_900)
    assert proc.read("uptime").startswith(b"20.34 20.34\n")
    lines = proc.read("stat").splitlines()
    assert lines[0] == b"cpu  0 0 0 2034 0 0 0 0 0 0"
    assert b"btime 1893455992" in lines
    assert b"processes 1" in lines


def test_loadavg_counts_tasks(proc: Proc) -> None:
    assert re.fullmatch(rb"0\.00 0\.00 0\.00 \d/2 %d\n" % proc.task.tid, proc.read("loadavg"))


def test_meminfo_counts_frames(proc: Proc) -> None:
    text = proc.read("meminfo")
    rows = dict(re.findall(rb"^([\w()]+): +(\d+) kB$", text, re.MULTILINE))
    assert rows[b"MemTotal"] == b"16384"
    assert int(rows[b"MemFree"]) == proc.kernel.memory.free_frames * 4
    assert {len(line) for line in text.splitlines() if b"Vmalloc" not in line} == {27}
    if HOST.exists():
        hosts = re.findall(rb"^([\w()]+):", (HOST / "meminfo").read_bytes(), re.MULTILINE)
        ours = [name for name in re.findall(rb"^([\w()]+):", text, re.MULTILINE) if name in hosts]
        assert ours == [name for name in hosts if name in ours]


def meminfo_rows(text: bytes) -> dict[bytes, int]:
    """The rows' numbers, in kB."""
    return {name: int(value) for name, value in re.findall(rb"^([\w()]+): +(\d+) kB$", text, re.MULTILINE)}


def test_meminfo_shows_what_the_kernel_s_objects_take(proc: Proc) -> None:
    account = proc.kernel.memory.account
    before = meminfo_rows(proc.read("meminfo"))
    account.charge(IPC, 1000 << 12)
    during = meminfo_rows(proc.read("meminfo"))
    # Some frames may have been held to spare.
    assert 3800 <= before[b"MemFree"] - during[b"MemFree"] <= 4000
    for row in (b"Slab", b"SUnreclaim"):
        assert during[row] - before[row] == 4000
    assert during[b"KernelStack"] == before[b"KernelStack"]
    account.uncharge(IPC, 1000 << 12)
    assert meminfo_rows(proc.read("meminfo"))[b"Slab"] == before[b"Slab"]


def test_meminfo_shows_what_processes_take() -> None:
    show = "read -d '' -r text </proc/meminfo; echo \"$text\"; echo end;"
    script = f"{show} for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; {show} kill -9 $(jobs -p); wait; {show}"
    machine = Machine()
    result = machine.run(["/bin/bash", "-c", script])
    before, during, after = (meminfo_rows(text) for text in result.stdout.split(b"end\n")[:3])
    machine.close()
    assert during[b"KernelStack"] - before[b"KernelStack"] == 8 * 16
    # At least four tables each: one of each level.
    assert during[b"PageTables"] - before[b"PageTables"] >= 8 * 4 * 4
    assert during[b"Slab"] - before[b"Slab"] >= 8 * 10
    taken = sum(during[row] - before[row] for row in (b"KernelStack", b"PageTables", b"Slab"))
    assert before[b"MemFree"] - during[b"MemFree"] >= taken - 2 * 256
    assert after[b"KernelStack"] == before[b"KernelStack"]
    assert after[b"PageTables"] - before[b"PageTables"] < 4 * 4


@pytest.mark.heavy
def test_meminfo_counts_a_page_once_whoever_maps_it() -> None:
    show = "read -d '' -r text </proc/meminfo; echo \"$text\"; echo end;"
    # A string of 8 MiB, which eight subshells share with the shell.
    fill = "printf -v text %08388608d 0; big=$text;"
    script = f"{fill} {show} for i in 1 2 3 4 5 6 7 8; do read </dev/zero & done; {show} kill -9 $(jobs -p)"
    machine = Machine()
    result = machine.run(["/bin/bash", "-c", script])
    before, during = (meminfo_rows(text) for text in result.stdout.split(b"end\n")[:2])
    machine.close()
    assert before[b"AnonPages"] >= 16 << 10
    assert during[b"AnonPages"] - before[b"AnonPages"] < 8 << 10
    assert during[b"Cached"] >= before[b"Cached"] - 1024


def test_version_names_the_machine(proc: Proc) -> None:
    identity = proc.kernel.init_namespaces.uts
    assert proc.read("version").startswith(b"Linux version " + identity.release)
    assert proc.read("sys/kernel/osrelease") == identity.release + b"\n"
    assert proc.read("sys/kernel/ostype") == b"Linux\n"


def test_parameters_can_be_read_and_set(proc: Proc) -> None:
    proc.write("sys/kernel/pid_max", b"400\n")
    assert proc.read("sys/kernel/pid_max") == b"400\n"
    assert proc.kernel.init_pid_namespace.pid_max == 400
    proc.write("sys/kernel/hostname", b"other\nline")
    assert proc.kernel.init_namespaces.uts.host_name == b"other"
    proc.write("sys/fs/pipe-max-size", b"5000")
    assert proc.read("sys/fs/pipe-max-size") == b"8192\n"
    for wrong in (b"300", b"4194305", b"many", b"-1"):
        with pytest.raises(EINVAL):
            proc.write("sys/kernel/pid_max", wrong)


def test_how_many_areas_there_may_be_is_the_machines(proc: Proc) -> None:
    assert proc.read("sys/vm/max_map_count") == b"65530\n"
    proc.write("sys/vm/max_map_count", b"100000\n")
    assert proc.read("sys/vm/max_map_count") == b"100000\n"
    assert proc.kernel.memory.maximum_areas == 100_000
    for wrong in (b"-1", b"2147483648", b"many"):
        with pytest.raises(EINVAL):
            proc.write("sys/vm/max_map_count", wrong)
    proc.task.credentials = proc.task.credentials.for_user(1000, 1000)
    with pytest.raises(EACCES):
        proc.write("sys/vm/max_map_count", b"65530")


def test_new_programs_may_be_laid_out_as_they_once_were(proc: Proc) -> None:
    assert proc.read("sys/vm/legacy_va_layout") == b"0\n"
    proc.write("sys/vm/legacy_va_layout", b"1\n")
    assert proc.read("sys/vm/legacy_va_layout") == b"1\n"
    with pytest.raises(EINVAL):
        proc.write("sys/vm/legacy_va_layout", b"-1")


def test_a_parameter_without_write_permission_refuses_even_root(proc: Proc) -> None:
    with pytest.raises(EACCES):
        proc.write("sys/kernel/ostype", b"x")
    proc.task.credentials = proc.task.credentials.for_user(1000, 1000)
    with pytest.raises(EACCES):
        proc.write("sys/kernel/hostname", b"x")


def test_how_many_files_there_may_be_is_set(proc: Proc) -> None:
    accounts = proc.kernel.vfs.accounts
    proc.kernel.current = proc.task
    proc.write("sys/fs/file-max", b"%d" % accounts.file_count)
    assert proc.read("sys/fs/file-nr").split() == [
        b"%d" % (accounts.file_count + 1),
        b"0",
        b"%d" % accounts.file_max,
    ]
    # Who administers the machine has more.
    accounts.check_files()
    proc.task.credentials = proc.task.credentials.for_user(1000, 1000)
    with pytest.raises(ENFILE):
        accounts.check_files()
    with pytest.raises(ENFILE):
        proc.open("uptime")
    assert proc.kernel.vfs.accounts.file_count == accounts.file_max
    accounts.file_max += 1
    proc.open("uptime").release_if_unheld()


def test_how_much_epoll_watches_is_set(proc: Proc) -> None:
    proc.write("sys/fs/epoll/max_user_watches", b"1")
    assert proc.read("sys/fs/epoll/max_user_watches") == b"1\n"
    instance = EpollFile(proc.kernel.vfs, proc.task.credentials)
    watched = EventFile(proc.kernel.vfs, 0, 0, proc.task.credentials, is_semaphore=False)
    instance.add(watched, 0, 1, 0)
    with pytest.raises(ENOSPC):
        instance.add(watched, 1, 1, 0)


def test_a_system_file_takes_no_writing(proc: Proc) -> None:
    with pytest.raises(EIO):
        proc.write("uptime", b"1")


def test_ids_are_random_but_the_boots_stays(proc: Proc) -> None:
    pattern = rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n"
    first, second = proc.read("sys/kernel/random/uuid"), proc.read("sys/kernel/random/uuid")
    assert first != second
    assert re.fullmatch(pattern, first)
    boot = proc.read("sys/kernel/random/boot_id")
    assert re.fullmatch(pattern, boot)
    assert boot == proc.read("sys/kernel/random/boot_id")


def test_a_file_is_made_anew_when_it_is_read_from_the_start(proc: Proc) -> None:
    file = proc.open("uptime")
    first = file.read(4)
    proc.kernel.clock.jump_to(99 * 10**9)
    assert file.read(100) == b" 8.00\n"
    file.seek(0, 0)
    assert first == b"8.00"
    assert file.read(5) == b"99.00"
    with pytest.raises(EINVAL):
        file.seek(0, 2)


@pytest.mark.parametrize(
    ("directory", "first"),
    [("", b"always madvise [never]"), ("hugepages-64kB/", b"[always] inherit madvise never")],
)
def test_huge_pages_are_set_in_sysfs(proc: Proc, directory: str, first: bytes) -> None:
    name = b"/sys/kernel/mm/transparent_hugepage/" + directory.encode() + b"enabled"
    place = namei.lookup(proc.task.fs, proc.task.credentials, name)
    file = opening.open_path(place, proc.task.credentials, O_RDWR)
    assert file.read(99) == first + b"\n"
    for word in (b"madvise\n", b"never", b"always\n"):
        assert file.write(word) == len(word)
        file.seek(0, 0)
        assert b"[" + word.strip() + b"]" in file.read(99)
        file.seek(0, 0)
    for word in (b"", b"alway", b"always ", b"[never]", b"inherit" if not directory else b"defer"):
        with pytest.raises(EINVAL):
            file.write_at(0, word)


def test_sysfs_says_which_processors_there_are(proc: Proc) -> None:
    def find(name: bytes) -> Place:
        return namei.lookup(proc.task.fs, proc.task.credentials, b"/sys/" + name)

    for name in (b"online", b"possible", b"present"):
        path = find(b"devices/system/cpu/" + name)
        assert opening.open_path(path, proc.task.credentials, 0).read(100) == b"0\n"
    assert opening.open_path(find(b"kernel/mm/transparent_hugepage/enabled"), proc.task.credentials, 0).read(
        99
    )
    with pytest.raises(ENOENT):
        find(b"fs/ext4")
    first, second = find(b"devices"), find(b"devices")
    assert first.dentry is second.dentry


def test_several_processors_are_counted_everywhere(proc: Proc) -> None:
    proc.kernel.scheduler = Scheduler(proc.kernel, 3)
    proc.kernel.clock.jump_to(10 * 10**9)
    assert proc.read("uptime") == b"10.00 30.00\n"
    names = [line.split()[0] for line in proc.read("stat").splitlines()[:5]]
    proc.kernel.scheduler.processors[1].user_ns = 3 * 10**9
    assert proc.read("stat").splitlines()[:3] == [
        b"cpu  300 0 0 2700 0 0 0 0 0 0",
        b"cpu0 0 0 0 1000 0 0 0 0 0 0",
        b"cpu1 300 0 0 700 0 0 0 0 0 0",
    ]
    assert names == [b"cpu", b"cpu0", b"cpu1", b"cpu2", b"intr"]
    assert proc.read("cpuinfo").count(b"processor\t: ") == 3
    assert proc.read("interrupts") == (
        b"           CPU0       CPU1       CPU2       \n"
        b"LOC:          0          0          0   Local timer interrupts\n"
    )
    assert b"\nCpus_allowed:\t7\nCpus_allowed_list:\t0-2\n" in proc.read("self/status")
    proc.task.entity.allowed = 5
    assert b"\nCpus_allowed:\t5\nCpus_allowed_list:\t0,2\n" in proc.read("self/status")
    path = namei.lookup(proc.task.fs, proc.task.credentials, b"/sys/devices/system/cpu")
    assert [entry.name for entry in path.dentry.inode.list_entries()][:3] == [b"cpu0", b"cpu1", b"cpu2"]
    online = namei.lookup(proc.task.fs, proc.task.credentials, b"online", path)
    assert opening.open_path(online, proc.task.credentials, 0).read(10) == b"0-2\n"


def test_where_parameters_are_written_is_set(proc: Proc) -> None:
    def write_behind(name: str, first: bytes, then: bytes) -> bytes:
        file = proc.open(name, O_RDWR)
        file.write(first)
        assert file.write(then) == len(then)
        file.release_if_unheld()
        return proc.read(name)

    assert write_behind("sys/kernel/hostname", b"one", b"two") == b"onetwo\n"
    assert write_behind("sys/vm/max_map_count", b"4000", b"5000") == b"4000\n"
    proc.write("sys/kernel/sysctl_writes_strict", b"0")
    assert write_behind("sys/kernel/hostname", b"one", b"two") == b"two\n"
    assert write_behind("sys/vm/max_map_count", b"4000", b"5000") == b"5000\n"
    warnings = [record.text for record in proc.kernel.vfs.log.records if b"position" in record.text]
    assert warnings == [
        proc.task.command_name + b" wrote to hostname when file position was not 0!\nThis will not be"
        b" supported in the future. To silence this\nwarning, set kernel.sysctl_writes_strict = -1"
    ]


def test_what_the_log_takes_is_set(proc: Proc) -> None:
    log = proc.kernel.vfs.log
    proc.write("sys/kernel/printk_ratelimit_burst", b"2")
    told = [log.lets_tell(b"teller") for _ in range(4)]
    assert told == [True, True, False, False]
    proc.kernel.clock.jump_to(proc.kernel.clock.now_ns + 5_000_000_001)
    assert log.lets_tell(b"teller")
    assert log.records[-1].text == b"teller: 2 callbacks suppressed"
    proc.write("sys/kernel/printk_ratelimit", b"0")
    assert all(log.lets_tell(b"teller") for _ in range(50))
    proc.write("sys/kernel/printk_ratelimit", b"5")
    proc.write("sys/kernel/printk_ratelimit_burst", b"0")
    assert not log.lets_tell(b"teller")
    proc.write("sys/kernel/printk_devkmsg", b"off\n")
    assert proc.read("sys/kernel/printk_devkmsg") == b"off\n"


def test_who_may_choose_a_congestion_control(proc: Proc) -> None:
    proc.write("sys/net/ipv4/tcp_allowed_congestion_control", b"reno\n")
    assert proc.read("sys/net/ipv4/tcp_allowed_congestion_control") == b"reno\n"
    with pytest.raises(ENOENT):
        proc.write("sys/net/ipv4/tcp_allowed_congestion_control", b"reno nonesuch\n")
    # What new connections have anybody may have.
    proc.write("sys/net/ipv4/tcp_congestion_control", b"cubic\n")
    assert proc.read("sys/net/ipv4/tcp_allowed_congestion_control") == b"reno cubic\n"

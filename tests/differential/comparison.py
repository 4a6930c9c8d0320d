"""Runs scripts of system calls on the host's Linux and in Procession, and makes those that differ small."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tests.differential.script import Operation, pack_all, read_outcomes
from tests.guest.compile_c import Linkage, compile_program

EXECUTOR = Path(__file__).with_name("executor.c")
DIRECTORY = "/dev/shm/differential"
NATIVE_TIMEOUT_S = 900
TIME_LIMIT_S = 600
"""Of virtual time, which thousands of scripts take."""
LEAST_LINUX = (6, 17)
"""What Procession is compared with. Older ones answer differently here and there."""
RECORDED_PROTECTION = {
    "protected_fifos": 0,
    "protected_hardlinks": 1,
    "protected_regular": 0,
    "protected_symlinks": 0,
}
"""The sysctls with which the outcomes were recorded."""
# Only the scripts' processes, no network but a loopback, whatever a script leaves out, and no signals
# ignored, as nohup(1) does.
_UNSHARE = ("env", "--default-signal", "unshare", "--mount", "--uts", "--ipc", "--net", "--")
_UNSHARE_PIDS = "unshare --pid --fork --mount-proc --"
# A root of the scripts' own, of which only the programs are the host's, and read-only: whatever a script
# opens, changes or mounts, the host's tree is out of reach.
_ENTER_ROOT = f"""
set -e
mkdir "$0"
mount -t tmpfs -o mode=755 tmpfs "$1"
cp -p "$2" "$3" "$1"
cd "$1"
mkdir dev dev/pts dev/shm group old proc usr
ln -s usr/bin usr/lib usr/lib64 usr/sbin .
mount --bind /usr usr
mount -o remount,bind,ro usr
mount --bind "$0" group
mount -t proc proc proc
for device in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
    mknod -m 666 "dev/${{device% *}}" c 1 "${{device#* }}"
done
mknod -m 666 dev/tty c 5 0
mknod -m 666 dev/ptmx c 5 2
mount -t devpts -o newinstance,nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts dev/pts
pivot_root . old
umount -l old
exec {_UNSHARE_PIDS} sh -c "$5" /group "/${{2##*/}}" "/${{3##*/}}" "$4"
"""
# A control group for everybody, where scripts find it.
_ENTER_GROUP = """
mkdir -p "$0" /dev/shm/groups && echo 0 > "$0/cgroup.procs" && mount --bind "$0" /dev/shm/groups && exec "$@"
"""
# As many processes as inside, so that the scripts' have the same numbers.
_BEGIN = f"mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /dev/shm && {_ENTER_GROUP}"

_NUMBER = re.compile(r"\b(0x)?[0-9a-f]*[1-9][0-9a-f]*\b")
_ANSWER_WORDS = 3

Script: TypeAlias = Sequence[Operation]


class Difference(NamedTuple):
    """A script, and what came of it on Linux and in Procession."""

    script: Script
    native: list[str]
    inside: list[str]

    def __str__(self) -> str:
        place = first_difference(self.native, self.inside)
        lines = [self.call_of(line) for line in self.native[:place]]
        for who, outcome in (("Linux     ", self.native), ("Procession", self.inside)):
            lines.append(f"{who} {self.call_of(outcome[place]) if place < len(outcome) else 'ends'}")
        return "\n".join(lines)

    def kind(self) -> tuple[str, str, str]:
        """What differs first, to tell findings apart: the call, and either side's kind of answer."""
        place = first_difference(self.native, self.inside)
        lines = [outcome[place] if place < len(outcome) else "" for outcome in (self.native, self.inside)]
        call = self.call_of(max(lines, key=len)).partition("(")[0]
        native, inside = ([_NUMBER.sub("#", word) for word in line.split()[1:]] for line in lines)
        if native[1:2] == inside[1:2]:
            # The same answer: what was left in memory tells.
            pairs = list(zip_longest(native, inside, fillvalue=""))
            native, inside = ([pair[side] for pair in pairs if pair[0] != pair[1]] for side in (0, 1))
        else:
            native, inside = native[1:_ANSWER_WORDS], inside[1:_ANSWER_WORDS]
        return call.partition("] ")[2], " ".join(native), " ".join(inside)

    def call_of(self, line: str) -> str:
        """A line of an outcome with the call that it speaks of."""
        number = re.match(r"\d+", line)
        return line if number is None else f"{self.script[int(number[0])]!s:.150} -> {line}"


def why_not_natively() -> str:
    """Why scripts can't be compared with the host's Linux, empty if they can."""
    release = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    if release < LEAST_LINUX:
        return f"the host's Linux is older than {LEAST_LINUX[0]}.{LEAST_LINUX[1]}"
    if os.geteuid() != 0:
        return "it takes root"
    if (
        subprocess.run(
            [*_UNSHARE, *_UNSHARE_PIDS.split(), "true"], stderr=subprocess.DEVNULL, check=False
        ).returncode
        != 0
    ):
        return "the host makes no namespaces"
    if control_groups() is None:
        return "the host has no cgroup2"
    return ""


def control_groups() -> Path | None:
    """Where the host has cgroup2 mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def run_natively(scripts: Sequence[Script]) -> list[list[str]]:
    """Run scripts on the host, in namespaces, a root and a control group of their own."""
    groups = control_groups()
    assert groups is not None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "scripts"
        path.write_bytes(pack_all(scripts))
        root = Path(scratch) / "root"
        root.mkdir()
        executor = compile_program(EXECUTOR, Linkage.DYNAMIC)
        group = groups / f"procession-{Path(scratch).name}"
        try:
            result = subprocess.run(
                [*_UNSHARE, "sh", "-c", _ENTER_ROOT, group, root, executor, path, DIRECTORY, _BEGIN],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=NATIVE_TIMEOUT_S,
                check=False,
            )
        finally:
            _remove_group(group)
    return read_outcomes(scripts, result.stdout)


def _remove_group(group: Path) -> None:
    for place, _, _ in os.walk(group, topdown=False):
        os.rmdir(place)


def host_delegates() -> bool:
    """Whether the host's control groups are delegated with namespaces of them."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return any("nsdelegate" in line.split()[3] for line in lines if line.split()[2] == "cgroup2")


def host_protection() -> dict[str, int]:
    """What the host says in /proc/sys/fs of links and files in directories that all may write to."""
    return {name: int((Path("/proc/sys/fs") / name).read_text()) for name in RECORDED_PROTECTION}


def run_inside(
    scripts: Sequence[Script], protection: dict[str, int], *, delegates: bool = False
) -> list[list[str]]:
    """Run scripts in a machine, with these sysctls, and control groups that are so delegated."""
    from procession import Machine

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "scripts"
        path.write_bytes(pack_all(scripts))
        executor = compile_program(EXECUTOR, Linkage.DYNAMIC)
        machine = Machine(seed=1)
        for name, level in protection.items():
            setattr(machine.kernel.vfs, name, level)
        # As another mount option would have it.
        machine.kernel.cgroups.is_namespace_delegated = delegates
        command = [os.fspath(executor), os.fspath(path), DIRECTORY]
        result = machine.run(
            ["sh", "-c", _ENTER_GROUP, "/sys/fs/cgroup/scripts", *command], time_limit_s=TIME_LIMIT_S
        )
    return read_outcomes(scripts, result.stdout)


def first_difference(native: list[str], inside: list[str]) -> int:
    """The place of the first line that differs, -1 if none does."""
    for place, (one, other) in enumerate(zip(native, inside, strict=False)):
        if one != other:
            return place
    return -1 if len(native) == len(inside) else min(len(native), len(inside))


def compare(
    scripts: Sequence[Script], native: Sequence[list[str]], inside: Sequence[list[str]]
) -> list[Difference]:
    """The scripts whose outcomes differ. Those that weren't come to have none."""
    found = []
    for number, script in enumerate(scripts):
        one = native[number] if number < len(native) else []
        other = inside[number] if number < len(inside) else []
        if first_difference(one, other) >= 0:
            found.append(Difference(script, one, other))
    return found


def differing(scripts: Sequence[Script]) -> list[Difference]:
    """Run scripts on both sides, and return those whose outcomes differ. Raises ValueError if neither side
    came to all of them.
    """
    native = run_natively(scripts)
    inside = run_inside(scripts, host_protection(), delegates=host_delegates())
    if max(len(native), len(inside)) < len(scripts):
        raise ValueError(f"{len(native)} and {len(inside)} of {len(scripts)} scripts were run")
    return compare(scripts, native, inside)


def without(script: Script, start: int, end: int) -> Script:
    """A script without the operations between two places, but for those that it is made in safety by."""
    return [
        operation for place, operation in enumerate(script) if operation.is_kept or not start <= place < end
    ]


def shrink(found: Difference, rounds: int = 20) -> Difference:
    """Leave out of a script what isn't needed for the outcomes to differ."""
    size = max(1, len(found.script) // 2)
    for _ in range(rounds):
        script = found.script
        starts = range(0, len(script), size) if size < len(script) else range(0)
        fails = differing([without(script, start, start + size) for start in starts])
        if fails:
            found = min(fails, key=lambda fail: len(fail.script))
        elif size == 1:
            break
        size = max(1, size // 2)
    return found

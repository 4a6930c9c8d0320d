"""Runs programs of a Debian tree on the host's own kernel, where it lets us: in namespaces, over the tree.

What belongs to the host's other processes, as names, queues and the network, isn't theirs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.programs.program_script import DIRECTORY, ENVIRONMENT, Outcome

TIMEOUT_S = 60

LOOPBACK_UP = """
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
request = struct.pack("16sH14x", b"lo", IFF_UP)
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), SIOCSIFFLAGS, request)
"""

# Makes a root of the tree with all changes in memory, and /proc and /dev in it, then runs the rest of the
# arguments there. The shell stays process 1, so that the program isn't: that one ignores signals. They have a
# guest's priority, whichever these tests were given.
SETUP = """
renice -n 0 -p $$ > /dev/null 2>&1
set -e
tree=$1 place=$2 session=$3 owner=$4 python=$5
shift 5
# The loopback of a network of its own is down at first.
"$python" -c "$LOOPBACK_UP"
mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$place/upper,workdir=$place/work" "$place/root"
cd "$place/root"
mount -t proc proc proc
for device in null zero full random urandom tty; do
    : > "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o "newinstance,ptmxmode=0666,mode=620$owner" devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
umask 022
# In a chroot there are no user namespaces.
mkdir dev/host
pivot_root . dev/host
cd /
umount -l /dev/host
rmdir /dev/host
set +e
setsid "$session" /usr/bin/env -i --chdir="$@"
exit $?
"""


def shows_another_priority() -> bool:
    """Whether programs have this process' lower priority, as only root can give them a higher one."""
    return os.nice(0) != 0 and os.geteuid() != 0


class NativeLinux:
    """The host's Linux. `place` is an empty directory; `tree` stays as it is.

    Where namespaces need root it asks for a user namespace, in which it is root.
    """

    def __init__(self, tree: Path, place: Path) -> None:
        self.tree = tree
        self.place = place

    def why_not(self) -> str:
        """Say why programs can't be run on this host, "" if they can."""
        if sys.platform != "linux":
            return "the host isn't Linux"
        missing = [name for name in ("unshare", "mount", "pivot_root") if shutil.which(name) is None]
        if missing:
            return f"the host has no {missing[0]}"
        outcome = self.run(["/usr/bin/true"])
        return "" if outcome.status == 0 else outcome.stderr.decode("utf-8", "replace").strip()

    def command(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str] = ENVIRONMENT,
        *,
        has_terminal: bool = False,
    ) -> list[str]:
        """Return the command of the host that runs a program of the tree.

        With `has_terminal` the terminal on stdin becomes its controlling terminal.
        """
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]
        terminals_owner = ",gid=5"
        if os.geteuid() != 0:
            namespaces += ["--user", "--map-root-user"]
            terminals_owner = ""
        settings = ["-wc" if has_terminal else "-w", terminals_owner, sys.executable]
        variables = [f"{name}={value}" for name, value in environment.items()]
        places = [str(self.tree), str(self.place)]
        setup = ["sh", "-c", SETUP, "setup", *places, *settings, DIRECTORY, *variables, *argv]
        # Signals that this process ignores, run by nohup(1) perhaps, a guest doesn't.
        loopback = f"LOOPBACK_UP={LOOPBACK_UP}"
        return ["env", "--default-signal", loopback, "unshare", *namespaces, "--", *setup]

    def run(self, argv: Sequence[str], stdin: bytes = b"") -> Outcome:
        """Run a program of the tree to its end."""
        result = subprocess.run(
            self.command(argv),
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        status = result.returncode if result.returncode >= 0 else 128 - result.returncode
        return Outcome(status, result.stdout, result.stderr)

"""Checks that proc keeps no task that is gone, whatever was looked up of it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from procession.kernel.task import Task
from procession.machine import Machine
from tests.of_a_kind import first_of

MOUNTING = """
import ctypes, os
libc = ctypes.CDLL(None)
for i in range(60):
    assert libc.mount(b"none", b"/tmp/proc", b"proc", 0, None) == 0
    open("/tmp/proc/self/stat").close()
    if os.fork() == 0:
        open("/tmp/proc/self/stat").close()
        os._exit(0)
    os.wait()
    assert libc.umount2(b"/tmp/proc", 0) == 0
"""
LOOKS = {
    "self": "for i in {1..60}; do (read -r line < /proc/self/stat); done",
    "children": "for i in {1..60}; do sleep 0.01 & read -r line < /proc/$!/task/$!/stat; wait; done",
    "listings": "for i in {1..20}; do sleep 0.01 & ls /proc/$!/task /proc > /dev/null; wait; done",
    "threads": "python3 -S -c 'import _thread, time\n"
    'def look(): open("/proc/thread-self/stat").read()\n'
    "for i in range(60): _thread.start_new_thread(look, ()); time.sleep(0.01)'",
    "another proc": f"mkdir /tmp/proc; python3 -c '{MOUNTING}'",
}


@pytest.mark.parametrize("look", first_of(2, LOOKS))
def test_nobody_is_kept(guest_root: Path, look: str) -> None:
    machine = Machine(rootfs=guest_root, memory=64 << 20)
    result = machine.run(["/bin/bash", "-c", LOOKS[look]], time_limit_s=60)
    assert (result.status, result.stderr) == (0, b"")
    machine.run_until(lambda machine: len(machine.kernel.tasks) == 1)
    machine.command = None
    gc.collect()
    tasks = [
        found for found in gc.get_objects() if isinstance(found, Task) and found.kernel is machine.kernel
    ]
    # Some are in what the kernel saw last, such as who was killed for its memory.
    assert len(tasks) <= 3
    machine.close()


def test_a_directory_that_is_in_use_outlives_its_process(guest_root: Path) -> None:
    script = "sleep 0.01 & cd /proc/$!; wait; read -r line < stat || echo gone; pwd -P || echo nowhere"
    machine = Machine(rootfs=guest_root, memory=64 << 20)
    result = machine.run(["/bin/bash", "-c", script])
    assert b"gone" in result.stdout
    assert b"nowhere" in result.stdout
    machine.close()

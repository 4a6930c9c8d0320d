"""What the kernel's log says of programs that signals end."""

from __future__ import annotations

from pathlib import Path

from procession import Machine

SCRIPT = """
echo 1 > /proc/sys/kernel/print-fatal-signals
sh -c 'kill -SEGV $$'
dd if=/dev/kmsg iflag=nonblock bs=8192 2>/dev/null
echo off > /proc/sys/kernel/printk_devkmsg
echo hello 2>&- > /dev/kmsg || echo refused
"""


def test_they_are_told_with_their_registers(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root)
    lines = machine.run(["sh", "-c", SCRIPT]).stdout.decode().splitlines()
    machine.close()
    start = next(at for at, line in enumerate(lines) if "potentially unexpected fatal signal 11." in line)
    texts = [line.partition(";")[2] for line in lines[start : start + 11]]
    assert texts[0] == "dash: sh: potentially unexpected fatal signal 11."
    assert texts[1].startswith("CPU: 0 UID: 0 PID: ")
    assert " Comm: sh Not tainted " in texts[1]
    assert [text.partition(":")[0] for text in texts[2:]] == [
        *("RIP", "Code", "RSP", "RAX", "RDX", "RBP", "R10", "R13", "FS")
    ]
    assert texts[2].startswith("RIP: 0033:0x")
    # In front of where it stands is the call that killed it.
    assert " 0f 05 <" in texts[3]
    assert "ORIG_RAX: 000000000000003e" in texts[4]
    assert lines[-1] == "refused"

"""Programs that the kernel itself starts, for what is better done in user mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EIO, Errno
from procession.fs import namei
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.exit import do_exit
from procession.kernel.init import make_process
from procession.kernel.program.exec import do_execve
from procession.kernel.rlimit import RLIMIT_CORE
from procession.kernel.task_state import TaskState, set_state

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task


def start_program(
    kernel: Kernel, credentials: Credentials, arguments: list[bytes], stdin: File, core_limit: int
) -> Task:
    """Start the program at the path `arguments[0]` in the machine's root directory, with no environment.

    Its standard input is `stdin`, the only open file; `core_limit` is its RLIMIT_CORE. It has no parent:
    nobody will reap it. Raises the errno that execve(2) gives, EAGAIN for lack of an id, OutOfFrames.
    Linux: kernel/umh.c, call_usermodehelper_exec with UMH_WAIT_EXEC.
    """
    task = make_process(kernel, credentials)
    limits = task.group.limits
    limits.soft[RLIMIT_CORE] = limits.hard[RLIMIT_CORE] = core_limit
    task.files.install(stdin, limit=1)
    # It executes the program itself, as if it ran just now.
    set_state(task, TaskState.RUNNABLE)
    set_state(task, TaskState.RUNNING)
    try:
        place = namei.lookup(task.fs, credentials, arguments[0])
        do_execve(kernel, task, place, arguments[0], arguments, [])
    except (Errno, OutOfFrames):
        do_exit(kernel, task, 0)
        raise
    if task.state is not TaskState.RUNNING:
        raise EIO("the program couldn't be loaded")
    kernel.scheduler.start(task)
    return task

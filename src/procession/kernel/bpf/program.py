"""Loaded eBPF programs: their ids, what they are charged, and their descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.ebpf import BPF_TAG_SIZE
from procession.abi.errno import EBADF, EINVAL
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_RDWR, File
from procession.hardware.kernel_memory import BPF, BPF_BYTES, EBPF_INSTRUCTION_BYTES
from procession.kernel.rlimit import RLIMIT_NOFILE

if TYPE_CHECKING:
    from procession.hardware.kernel_memory import KernelMemory
    from procession.kernel.bpf.form import Program
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_HIGHEST_ID = 0x7FFFFFFF


class ProgramTable:
    """The programs of a machine by their ids, which go round (in Linux, prog_idr)."""

    __slots__ = ("by_id", "next_id")

    def __init__(self) -> None:
        self.by_id: dict[int, BpfProgram] = {}
        self.next_id = 1

    def allocate_id(self) -> int:
        """An id that no program has. Linux: kernel/bpf/syscall.c, bpf_prog_alloc_id."""
        while self.next_id in self.by_id:
            self.next_id = self.next_id % _HIGHEST_ID + 1
        number = self.next_id
        self.next_id = number % _HIGHEST_ID + 1
        return number

    def id_from(self, number: int) -> int | None:
        """The lowest id from `number` on."""
        return min((each for each in self.by_id if each >= number), default=None)


class BpfProgram:
    """A program that has passed the verifier (Linux: include/linux/bpf.h, struct bpf_prog).

    `code` are its instructions as it was given. `holders` counts descriptors and control groups: it goes with
    the last. It was loaded at `load_time_ns` of the machine's time since it booted, by the user `uid`;
    `verified_count` is what the verifier said.
    """

    __slots__ = (
        "code",
        "holders",
        "id",
        "instructions",
        "is_gpl_compatible",
        "load_time_ns",
        "name",
        "table",
        "type",
        "uid",
        "verified_count",
    )

    def __init__(
        self,
        kernel: Kernel,
        program_type: int,
        code: bytes,
        instructions: Program,
        name: bytes,
        *,
        uid: int,
        verified_count: int,
        is_gpl_compatible: bool,
    ) -> None:
        self.table = kernel.bpf_programs
        self.type = program_type
        self.code = code
        self.instructions = instructions
        self.name = name
        self.uid = uid
        self.verified_count = verified_count
        self.is_gpl_compatible = is_gpl_compatible
        self.load_time_ns = kernel.clock.now_ns
        self.holders = 0
        self.id = self.table.allocate_id()
        self.table.by_id[self.id] = self

    @property
    def tag(self) -> bytes:
        """Equal for equal programs. Linux: kernel/bpf/core.c, bpf_prog_calc_tag."""
        import hashlib

        return hashlib.sha256(self.code).digest()[:BPF_TAG_SIZE]

    def acquire(self) -> None:
        """One holder more."""
        self.holders += 1

    def put(self, account: KernelMemory) -> None:
        """One holder less. Linux: kernel/bpf/syscall.c, __bpf_prog_put."""
        self.holders -= 1
        if self.holders == 0:
            del self.table.by_id[self.id]
            account.uncharge(BPF, program_bytes(len(self.instructions)))


def program_bytes(count: int) -> int:
    """What a program of `count` instructions takes."""
    return BPF_BYTES + count * EBPF_INSTRUCTION_BYTES


class BpfProgramFile(File):
    """A descriptor of a program. Linux: kernel/bpf/syscall.c, bpf_prog_fops."""

    __slots__ = ("program",)

    # Both are there, and answer EINVAL: so that it can be opened for both.
    has_read: ClassVar[bool] = True
    has_write: ClassVar[bool] = True
    can_poll: ClassVar[bool] = False

    def __init__(self, opener: Task, program: BpfProgram) -> None:
        super().__init__(anonymous_path(opener.kernel.vfs, "bpf-prog"), O_RDWR, opener.credentials)
        self.program = program
        program.acquire()

    def read(self, length: int) -> bytes:
        """Linux: kernel/bpf/syscall.c, bpf_dummy_read."""
        raise EINVAL

    def write(self, data: bytes) -> int:
        """Linux: kernel/bpf/syscall.c, bpf_dummy_write."""
        raise EINVAL

    def release(self) -> None:
        self.program.put(self.inode.superblock.vfs.accounts.account)

    def show_details(self) -> bytes:
        """Linux: kernel/bpf/syscall.c, bpf_prog_show_fdinfo."""
        program = self.program
        return (
            b"prog_type:\t%d\nprog_jited:\t0\nprog_tag:\t%s\nmemlock:\t%d\nprog_id:\t%d\nrun_time_ns:\t0\n"
            b"run_cnt:\t0\nrecursion_misses:\t0\nverified_insns:\t%d\n"
            % (
                program.type,
                program.tag.hex().encode(),
                len(program.code) + 4095 & ~4095,
                program.id,
                program.verified_count,
            )
        )


def open_program(task: Task, program: BpfProgram) -> int:
    """A new descriptor of `task` for a program. Linux: kernel/bpf/syscall.c, bpf_prog_new_fd."""
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    return task.files.install(BpfProgramFile(task, program), close_on_exec=True, limit=limit)


def program_of(task: Task, fd: int, program_type: int | None = None) -> BpfProgram:
    """The program behind a descriptor of `task`. Raises EBADF, EINVAL.

    Linux: kernel/bpf/syscall.c, __bpf_prog_get.
    """
    file = task.files.files.get(fd)
    if file is None:
        raise EBADF(f"no descriptor {fd}")
    if not isinstance(file, BpfProgramFile):
        raise EINVAL(f"descriptor {fd} is no program")
    if program_type is not None and file.program.type != program_type:
        raise EINVAL("a program of another kind")
    return file.program

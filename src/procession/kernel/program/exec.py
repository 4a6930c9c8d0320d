"""execve: from a path and strings to a running program."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import (
    E2BIG,
    EACCES,
    EAGAIN,
    EFAULT,
    EINVAL,
    ELOOP,
    ENOENT,
    ENOEXEC,
    Errno,
)
from procession.abi.personality import PersonalityFlag
from procession.abi.signals import Signal
from procession.abi.word import pack_array
from procession.fs import namei
from procession.fs.inode import S_ISGID, S_ISUID
from procession.fs.mounts.id_map import seen_owner
from procession.fs.mounts.mount import MS_NOSUID
from procession.fs.user_namespace import NO_ID
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SIZE, OutOfFrames
from procession.hardware.processor_level import LEVELS
from procession.hardware.registers import RIP, RSP, Registers, set_register
from procession.kernel.exit import release_memory
from procession.kernel.observer import EXEC
from procession.kernel.process_flags import PF_NPROC_EXCEEDED, PF_RANDOMIZE
from procession.kernel.program.auxiliary_vector import auxiliary_vector
from procession.kernel.program.binary_parameters import BinaryParameters
from procession.kernel.program.de_thread import LonelyExec, de_thread
from procession.kernel.program.elf import (
    ElfProgram,
    LoadedImage,
    interpreter_of,
    load_image,
    read_interpreter,
)
from procession.kernel.program.layout import note_layout, pick_mmap_layout, stack_end
from procession.kernel.program.personality import personality_after
from procession.kernel.program.vdso import map_vdso
from procession.kernel.rlimit import RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK
from procession.kernel.security.capability import CAP_SYS_PTRACE
from procession.kernel.security.commoncap import check_mapping_address
from procession.kernel.security.credentials import commit_credentials
from procession.kernel.security.file_capability import capabilities_of
from procession.kernel.security.process_keys import drop_own_keys
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.info import SI_KERNEL, SigInfo
from procession.kernel.task import Task
from procession.kernel.time.costs import EXEC_NS
from procession.kernel.timers.posix import delete_all, flush_timer_signals
from procession.kernel.user_dispatch import clear_user_dispatch
from procession.mm.address_space import MERGES_ANY, UNDUMPABLE, MemoryDescriptor, flags_for_child
from procession.mm.ksm import mark_all
from procession.mm.stack import grow_stack
from procession.mm.vma import GROWS_DOWN, PROT_EXEC, PROT_READ, PROT_WRITE, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.fs.binary_format import BinaryFormat
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import ExecCredentials

STACK_EXPAND = 131_072
"""How much of the stack is mapped at first below the strings (Linux: fs/exec.c, setup_arg_pages)."""
MAX_ARG_STRLEN = 131_072
_ELF_OF_32_BITS = b"\x7fELF\x01"
_ARG_MINIMUM, ARG_MAXIMUM = 131_072, 6 << 20
_HEAD_BYTES = 256
_MAXIMUM_INTERPRETERS = 5
_SIGSEGV = int(Signal.SIGSEGV)
_COMM_LENGTH = 15
_AT_FLAGS_PRESERVE_ARGV0 = 1
_ADDR_NO_RANDOMIZE = int(PersonalityFlag.ADDR_NO_RANDOMIZE)
_MMAP_PAGE_ZERO = int(PersonalityFlag.MMAP_PAGE_ZERO)


class Program:
    """The file that an address space runs (/proc/PID/exe): nobody may write to it meanwhile (ETXTBSY)."""

    __slots__ = ("file", "reference_count")

    def __init__(self, file: File) -> None:
        file.inode.deny_write_access()
        file.acquire()
        self.file = file
        self.reference_count = 0

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.file.path

    def acquire(self) -> None:
        """One more address space runs it."""
        self.reference_count += 1

    def put(self) -> None:
        """An address space is gone."""
        self.reference_count -= 1
        if self.reference_count <= 0:
            self.file.inode.allow_write_access()
            self.file.put()


class PreparedExec(LonelyExec):
    """A program that can be run, with its interpreter: what is left to do is to replace the old one.

    `gained` is what the caller becomes. `mm` is the new address space, with nothing but a stack and, from
    `strings_start` on, the strings. The making raises what ProgramHeaders.read and read_interpreter do,
    EPERM and EINVAL for the file's capabilities, and OutOfFrames.
    """

    __slots__ = (
        "gained",
        "interpreter",
        "interpreter_file",
        "mm",
        "parameters",
        "program",
        "strings_start",
    )

    def __init__(self, task: Task, parameters: BinaryParameters, program: ElfProgram) -> None:
        LonelyExec.__init__(self, task.group)
        self.parameters = parameters
        self.program = program
        self.interpreter: ElfProgram | None = None
        self.interpreter_file: File | None = None
        name = interpreter_of(program, parameters.file)
        if name is not None:
            # An empty name leads to the directory that the task is in. Linux: fs/exec.c, open_exec.
            file = parameters.open(task, _find_interpreter(task, name or b"."))
            headers = task.kernel.program_headers
            self.interpreter = read_interpreter(headers, file, file.read_at(0, _HEAD_BYTES))
            self.interpreter_file = file
            parameters.note_reading(task, file)
        parameters.note_reading(task, parameters.file)
        self.gained = _exec_credentials(task, parameters.privileged_program or parameters.file)
        self.mm = MemoryDescriptor(task.kernel.memory, task.group.limits)
        self.mm.owner = parameters.owner
        self.mm.processor_level = task.kernel.cpu.capabilities.level
        protection = PROT_READ | PROT_WRITE | (PROT_EXEC if program.has_executable_stack else 0)
        try:
            self.strings_start = _map_stack(self.mm, parameters, protection)
        except OutOfFrames:
            self.mm.put()
            raise

    def abandon(self) -> None:
        """The thread was killed while it waited for the others to end."""
        self.mm.put()
        self.parameters.close()
        self.let_attach()


def do_execve(
    kernel: Kernel, task: Task, path: Path, name: bytes, arguments: list[bytes], environment: list[bytes]
) -> None:
    """Replace the program of the running `task` by the file at `path`; `name` is what it was called by.

    Raises the errno that execve(2) gives.
    """
    parameters = open_program(task, path, name)
    parameters.arguments, parameters.environment = arguments, environment
    execute(kernel, task, parameters)


def open_program(task: Task, path: Path, name: bytes) -> BinaryParameters:
    """Begin to execute the file at `path`. Raises EACCES, ETXTBSY. Linux: fs/exec.c, alloc_bprm."""
    parameters = BinaryParameters(name, [], [])
    try:
        parameters.file = parameters.open(task, path)
    except BaseException:
        parameters.close()
        raise
    return parameters


def execute(kernel: Kernel, task: Task, parameters: BinaryParameters, *, is_check: bool = False) -> None:
    """Replace the program of the running `task` by one that is open and has its arguments, or only look
    whether it might be.

    After the point of no return the process has SIGSEGV pending as well as an errno, which ends it.
    Linux: fs/exec.c, do_execveat_common, bprm_execve.
    """
    parameters.arguments = parameters.arguments or [b""]
    try:
        _check_argument_size(task, parameters)
        if is_check:
            parameters.close()
            return
        prepared = PreparedExec(task, parameters, _search_handler(task, parameters))
    except BaseException:
        parameters.close()
        raise
    begin_new_exec(kernel, task, prepared)


def check_process_limit(task: Task) -> None:
    """Raise EAGAIN if a change of the user went over RLIMIT_NPROC, and that is still so: before all else.

    Linux: fs/exec.c, do_execveat_common.
    """
    if not task.flags & PF_NPROC_EXCEEDED:
        return
    if not task.credentials.has_room(RLIMIT_NPROC, 0, task.group.limits.soft[RLIMIT_NPROC]):
        raise EAGAIN("RLIMIT_NPROC")
    task.flags &= ~PF_NPROC_EXCEEDED


def _check_argument_size(task: Task, parameters: BinaryParameters) -> None:
    """Raise E2BIG. Linux: fs/exec.c, bprm_stack_limits; execve(2), limits on size of arguments."""
    strings = [parameters.name, *parameters.environment, *parameters.arguments]
    limit = min(task.group.limits.soft[RLIMIT_STACK] // 4, ARG_MAXIMUM)
    limit = max(limit, _ARG_MINIMUM)
    pointers = 8 * (len(parameters.arguments) + len(parameters.environment))
    if pointers >= limit:
        raise E2BIG("too many arguments")
    total = pointers
    for string in strings:
        if len(string) + 1 > MAX_ARG_STRLEN:
            raise E2BIG("an argument of more than 128 KiB")
        total += len(string) + 1
    if total > limit:
        raise E2BIG(f"{total} bytes of arguments, {limit} at most")
    # They're copied to a stack that has a page and grows, from 8 bytes below its end.
    # Linux: fs/exec.c, get_arg_page.
    stack = max(task.group.limits.soft[RLIMIT_STACK] & ~PAGE_MASK, PAGE_SIZE)
    if total - pointers + 8 > stack:
        raise E2BIG(f"{total - pointers} bytes of arguments, for a stack of {stack}")


def _search_handler(task: Task, parameters: BinaryParameters) -> ElfProgram:
    """Follow `#!` lines to an ELF program. Raises ENOEXEC, ELOOP, ENOENT and others.

    Linux: fs/exec.c, exec_binprm; fs/binfmt_script.c, load_script.
    """
    formats = task.credentials.user_namespace.seen_binary_formats()
    for _ in range(_MAXIMUM_INTERPRETERS + 1):
        head = parameters.file.read_at(0, _HEAD_BYTES)
        found = formats.find(parameters.interpreter_name, head) if formats is not None else None
        opened = parameters.opened_program
        if found is not None:
            _take_registered_interpreter(task, parameters, found)
        elif head.startswith(b"#!"):
            _take_script_interpreter(task, parameters, head)
        else:
            program = task.kernel.program_headers.read(parameters.file, head)
            if program is None or not program.is_loadable:
                if head.startswith(_ELF_OF_32_BITS):
                    raise ENOEXEC("a program of 32 bits, as without CONFIG_IA32_EMULATION")
                raise ENOEXEC("neither ELF for x86-64 nor a script")
            return program
        if opened is not None:
            raise ENOEXEC("the interpreter that is to have the program opened has an interpreter itself")
        _check_argument_size(task, parameters)
    raise ELOOP("too many interpreters of interpreters")


def _take_registered_interpreter(task: Task, parameters: BinaryParameters, chosen: BinaryFormat) -> None:
    """Go on with the interpreter that was registered for the program.

    Linux: fs/binfmt_misc.c, load_misc_binary.
    """
    program = parameters.file
    if parameters.is_path_inaccessible:
        raise ENOENT("a program behind a descriptor that exec closes")
    if b"P" in chosen.flags:
        parameters.vector_flags |= _AT_FLAGS_PRESERVE_ARGV0
        parameters.arguments[0:0] = [chosen.interpreter, parameters.interpreter_name]
    else:
        parameters.arguments[0:1] = [chosen.interpreter, parameters.interpreter_name]
    if b"O" in chosen.flags:
        parameters.opened_program = program
        parameters.note_reading(task, program)
    parameters.interpreter_name = chosen.interpreter
    if chosen.interpreter_file is not None:
        parameters.file = parameters.open_again(task, chosen.interpreter_file)
    else:
        parameters.file = parameters.open(task, namei.lookup(task.fs, task.credentials, chosen.interpreter))
    if b"C" in chosen.flags:
        parameters.privileged_program = program


def open_interpreter(task: Task, name: bytes) -> File:
    """Open what `name` is for `task`, to be run later as the interpreter of other programs.

    Nobody may write to it meanwhile. Raises what BinaryParameters.open does. Linux: fs/exec.c, open_exec.
    """
    parameters = BinaryParameters(name, [], [])
    file = parameters.open(task, namei.lookup(task.fs, task.credentials, name))
    file.inode.deny_write_access()
    return file


def _find_interpreter(task: Task, name: bytes) -> Path:
    """The place of a program's interpreter. Raises what `namei.lookup` does, ENOENT with a reason."""
    try:
        return namei.lookup(task.fs, task.credentials, name)
    except ENOENT:
        raise ENOENT(f"its interpreter {name.decode(errors='replace')} isn't there") from None


def _take_script_interpreter(task: Task, parameters: BinaryParameters, head: bytes) -> None:
    """Go on with the interpreter that a script's first line names. Linux: fs/binfmt_script.c, load_script."""
    interpreter, argument = _parse_script_line(head)
    if parameters.is_path_inaccessible:
        raise ENOENT("a script behind a descriptor that exec closes")
    parameters.arguments[0:1] = [
        interpreter,
        *([argument] if argument is not None else []),
        parameters.interpreter_name,
    ]
    parameters.interpreter_name = interpreter
    parameters.file = parameters.open(task, _find_interpreter(task, interpreter))


def _parse_script_line(head: bytes) -> tuple[bytes, bytes | None]:
    """The interpreter and its optional argument. Raises ENOEXEC, EACCES.

    Linux: fs/binfmt_script.c, load_script.
    """
    # The last byte of the buffer is for a NUL, unless it's the newline.
    line, newline, _ = head[2:].partition(b"\n")
    line = line[: _HEAD_BYTES - 3]
    stripped = line.lstrip(b" \t")
    if not newline and len(head) == _HEAD_BYTES and not any(byte in stripped for byte in b"\0\t "):
        # The interpreter's path may have been cut off.
        raise ENOEXEC("the interpreter's path is too long")
    if stripped[:1] == b"\0" or not (stripped or newline or len(head) == _HEAD_BYTES):
        # The empty name is the current directory's.
        raise EACCES("a script whose interpreter is a directory")
    line = stripped.partition(b"\0")[0].rstrip(b" \t")
    if not line:
        raise ENOEXEC("a script without an interpreter")
    for position, byte in enumerate(line):
        if byte in b" \t":
            return line[:position], line[position:].lstrip(b" \t")
    return line, None


def begin_new_exec(kernel: Kernel, task: Task, prepared: PreparedExec) -> None:
    """Build the new address space and switch to it; run again when a thread of the group has ended.

    Raises Sleep while other threads live. Linux: fs/exec.c, begin_new_exec; load_elf_binary.
    """
    de_thread(task, prepared)
    kernel.clock.spend(EXEC_NS)
    try:
        _replace_program(kernel, task, prepared)
    finally:
        prepared.parameters.close()
        prepared.let_attach()


def _replace_program(kernel: Kernel, task: Task, prepared: PreparedExec) -> None:
    """The old program is gone before the new one is laid out: if that fails, SIGSEGV ends the process.

    It leaves no core, having no binary format yet. Raises the errno that the call returns. Linux: fs/exec.c,
    begin_new_exec; bprm_execve, at its label out.
    """
    mm, gained = prepared.mm, prepared.gained
    failure: Errno | OutOfFrames | None = None
    executable = Program(prepared.parameters.file)
    executable.acquire()
    mm.executable = executable
    try:
        registers = _build(kernel, task, prepared, gained)
    except (Errno, OutOfFrames) as error:
        failure = error
    _switch_program(kernel, task, mm, prepared.parameters, gained)
    kernel.address_space = None
    if failure is not None:
        mm.dumpable = UNDUMPABLE
        force_signal(kernel, task, SigInfo(_SIGSEGV, SI_KERNEL), is_immutable=True)
        raise failure
    if task.personality & _MMAP_PAGE_ZERO:
        _map_page_zero(task)
    task.registers = registers
    if prepared.interpreter is not None:
        # How large a static program is says little: it has all of its libraries, and may use little of them.
        kernel.cpu.begin_program(mm.tables.root, prepared.program.code_bytes)
    if kernel.process_connector is not None:
        kernel.process_connector.tell_of_exec(task)
    if kernel.observer is not None:
        kernel.observer.task_event(task, EXEC)
    if kernel.live is task:
        kernel.switch_to(task)
        kernel.cpu.load(registers)


def _exec_credentials(task: Task, file: File) -> ExecCredentials:
    """What the caller becomes by executing `file`. Raises EPERM, EINVAL. Linux: fs/exec.c, bprm_fill_uid."""
    inode, mount = file.inode, file.path.mount
    set_uid = set_gid = capabilities = None
    namespace = task.credentials.user_namespace
    # A file system is trusted where its owner's namespace is around the task's. Linux: fs/namespace.c,
    # mnt_may_suid.
    if not mount.flags & MS_NOSUID and namespace.is_in(inode.superblock.owner):
        uid, gid = seen_owner(mount, inode)
        is_known = NO_ID not in (uid, gid, namespace.from_kuid(uid), namespace.from_kgid(gid))
        if inode.mode & S_ISUID and is_known:
            set_uid = uid
        if inode.mode & (S_ISGID | 0o010) == S_ISGID | 0o010 and is_known:
            set_gid = gid
        capabilities = capabilities_of(inode, namespace, mount.id_map)
    tracer = task.ptrace
    # Linux: kernel/capability.c, ptracer_capable.
    is_capable = tracer is None or tracer.credentials.has_ns_capability(namespace, CAP_SYS_PTRACE)
    return task.credentials.for_exec(
        set_uid=set_uid,
        set_gid=set_gid,
        file=capabilities,
        is_unsafe=task.fs.reference_count > len(task.group.threads) or not is_capable,
    )


def _build(kernel: Kernel, task: Task, prepared: PreparedExec, gained: ExecCredentials) -> Registers:
    """Fill the new address space; the registers that the program starts with."""
    mm, parameters, program = prepared.mm, prepared.parameters, prepared.program
    interpreter, interpreter_file = prepared.interpreter, prepared.interpreter_file
    mm.check_limits(0, False)
    pick_mmap_layout(task, mm, gained)
    image = load_image(mm, program, parameters.file, is_interpreter=False)
    entry, base = image.entry, 0
    if interpreter is not None and interpreter_file is not None:
        loader = load_image(mm, interpreter, interpreter_file, is_interpreter=True)
        entry, base = loader.entry, loader.bias
    if entry >= pte.USER_END:
        raise EINVAL("an entry point past user space")
    note_layout(mm, program, image)
    vdso = map_vdso(kernel, mm)
    program_fd: int | None = None
    if parameters.opened_program is not None:
        program_fd = task.files.lowest_free_after_exec(task.group.limits.soft[RLIMIT_NOFILE])
    stack_pointer = _fill_stack(
        kernel, mm, parameters, program, image, base, vdso, prepared.strings_start, gained, program_fd
    )
    registers = Registers()
    set_register(registers.general, RSP, stack_pointer)
    set_register(registers.general, RIP, entry)
    return registers


def _map_page_zero(task: Task) -> None:
    """Who reads by a null pointer finds zeros, as on System V, if the program may have a page there.

    Linux: fs/binfmt_elf.c, load_elf_binary.
    """
    with suppress(Errno, OutOfFrames):
        check_mapping_address(task, 0)
        task.mm.check_limits(PAGE_SIZE, False)
        task.mm.map(VirtualMemoryArea(0, PAGE_SIZE, PROT_READ | PROT_EXEC))


def _map_stack(mm: MemoryDescriptor, parameters: BinaryParameters, protection: int) -> int:
    """Map the stack, with what it may have besides, and put the strings at its top; where they start.

    Linux: fs/exec.c, setup_arg_pages.
    """
    strings = b"".join(
        string + b"\0" for string in (*parameters.arguments, *parameters.environment, parameters.name)
    )
    end = stack_end(mm)
    start = end - 8 - len(strings)
    bottom = start & ~PAGE_MASK
    limit = mm.limits.soft[RLIMIT_STACK] & ~PAGE_MASK
    if end - bottom + STACK_EXPAND > limit:
        bottom = min(bottom, end - limit)
    else:
        bottom -= STACK_EXPAND
    # Its size is held against the limits when there is no way back any more, as Linux does it.
    mm.insert(VirtualMemoryArea(bottom, end, protection, flags=GROWS_DOWN, name=b"[stack]"))
    mm.write(start, strings)
    mm.stack_start = start
    return start


def _fill_stack(
    kernel: Kernel,
    mm: MemoryDescriptor,
    parameters: BinaryParameters,
    program: ElfProgram,
    image: LoadedImage,
    base: int,
    vdso: int,
    strings_start: int,
    gained: ExecCredentials,
    program_fd: int | None,
) -> int:
    """Put argc, argv, envp and the auxiliary vector below the strings; the stack pointer.

    Linux: fs/binfmt_elf.c, create_elf_tables.
    """
    address = strings_start
    pointers: list[int] = []
    mm.arguments_start = address
    for string in parameters.arguments:
        pointers.append(address)
        address += len(string) + 1
    mm.arguments_end = mm.environment_start = address
    pointers.append(0)
    for string in parameters.environment:
        pointers.append(address)
        address += len(string) + 1
    mm.environment_end = address
    pointers.append(0)
    name_address = address
    platform = b"x86_64\0"
    platform_address = (strings_start & ~0xF) - len(platform)
    random_address = platform_address - 16
    vector = auxiliary_vector(
        headers=image.headers_address,
        header_count=len(program.segments),
        base=base,
        vdso=vdso,
        entry=image.entry,
        credentials=gained.credentials,
        is_secure=gained.is_secure,
        random=random_address,
        name=name_address,
        platform=platform_address,
        level=LEVELS[mm.processor_level],
        flags=parameters.vector_flags,
        program_fd=program_fd,
    )
    mm.auxiliary_vector = vector
    table = pack_array("Q", (len(parameters.arguments), *pointers)) + vector
    stack_pointer = ((random_address & ~0xF) - len(table)) & ~0xF
    if mm.areas.find(stack_pointer) is None and grow_stack(mm, stack_pointer) is None:
        raise EFAULT("the stack may not have what the program is given")
    mm.write(random_address, kernel.random_bytes(16) + platform)
    mm.write(stack_pointer, table)
    mm.stack_start = stack_pointer
    return stack_pointer


def _switch_program(
    kernel: Kernel, task: Task, mm: MemoryDescriptor, parameters: BinaryParameters, gained: ExecCredentials
) -> None:
    """What becomes of the task when its program is replaced; execve(2) lists it. Nothing here can fail."""
    group, old = task.group, task.credentials
    if group.handlers.reference_count > 1:
        group.handlers.reference_count -= 1
        group.handlers = group.handlers.copy()
    group.handlers.reset_for_exec()
    if task.files.reference_count > 1:
        shared = task.files
        task.files = shared.copy()
        shared.put()
    task.files.close_on_exec_files()
    if parameters.opened_program is not None:
        task.files.install(parameters.opened_program, limit=group.limits.soft[RLIMIT_NOFILE])
    delete_all(group)
    flush_timer_signals(task)
    if task.namespaces.time is not task.namespaces.time_for_children:
        # A new program may have new clocks. Linux: kernel/nsproxy.c, exec_task_namespaces.
        namespaces, task.namespaces = task.namespaces, task.namespaces.copy()
        task.namespaces.enter_time_for_children()
        namespaces.put()
    release_memory(kernel, task)
    mm.inherited_flags = flags_for_child(task.mm.inherited_flags)
    if mm.inherited_flags & MERGES_ANY:
        mark_all(mm)
    mm.dump_filter = task.mm.dump_filter
    task.mm = mm
    if not parameters.is_readable or old.euid != old.uid or old.egid != old.gid:
        mm.dumpable = kernel.core.suid_dumpable
    if gained.is_secure:
        task.parent_death_signal = 0
    task.personality = personality_after(task, gained)
    commit_credentials(task, gained.credentials)
    task.rseq = None
    task.debug_registers = None
    if task.keys is not None:
        drop_own_keys(kernel, task)
    if task.user_dispatch is not None:
        clear_user_dispatch(kernel, task)
    task.alternate_stack = (0, 0, task.alternate_stack[2])
    task.has_executed = True
    is_random = not task.personality & _ADDR_NO_RANDOMIZE
    task.flags = task.flags | PF_RANDOMIZE if is_random else task.flags & ~PF_RANDOMIZE
    task.self_exec_id += 1
    task.exit_signal = 17 if task.exit_signal >= 0 else task.exit_signal
    task.command_name = parameters.name.rpartition(b"/")[2][:_COMM_LENGTH]

"""ptrace(2)."""

from __future__ import annotations

from typing import Protocol

from procession.abi.errno import EFAULT, EINVAL, EIO, ESRCH
from procession.abi.ptrace import (
    PtracePeeksiginfoArgs,
    PtraceRequest,
    PtraceRseqConfiguration,
    PtraceSudConfig,
    PtraceSyscallInfo,
    SeccompMetadata,
    UserRegsStruct,
)
from procession.abi.word import pack_u64
from procession.hardware.extended_state import FXSAVE_BYTES
from procession.kernel.pid import find_task
from procession.kernel.ptrace.call_info import call_info, set_call_info
from procession.kernel.ptrace.filters import check_right, filter_of, flags_of
from procession.kernel.ptrace.link import attach, check_options, detach, trace_me
from procession.kernel.ptrace.registers import (
    NT_PRFPREG,
    NT_PRSTATUS,
    register_set,
    set_register_set,
    set_user_word,
    size_of_set,
    user_word,
)
from procession.kernel.ptrace.request import check_tracee, interrupt, listen, resume
from procession.kernel.ptrace.signals import (
    INFO_BYTES,
    mask_of,
    pending_infos,
    set_mask,
    set_stop_info,
    stop_info,
)
from procession.kernel.ptrace.tracing import MODES
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SI_USER, SigInfo
from procession.kernel.signal.set import SIGKILL
from procession.kernel.task import Task
from procession.kernel.time.costs import SIGNAL_INFO_NS
from procession.kernel.user_dispatch import set_user_dispatch
from procession.mm.remote_access import read_forced, write_forced
from procession.syscalls.arch import arch_prctl_of
from procession.syscalls.declaration import syscall
from procession.syscalls.kill import read_info
from procession.syscalls.parameters import Address, Int, LongChoice

_WORD_BYTES = 8
_SET_BYTES = 8
_CALL_INFO_BYTES = 88
_TRACEME = int(PtraceRequest.PTRACE_TRACEME)
_ATTACH, _SEIZE = int(PtraceRequest.PTRACE_ATTACH), int(PtraceRequest.PTRACE_SEIZE)


@syscall(101)
def ptrace(task: Task, request: LongChoice[PtraceRequest], pid: Int, address: Address, data: Address) -> int:
    """ptrace(2). Linux: kernel/ptrace.c, SYSCALL_DEFINE4(ptrace)."""
    if request == _TRACEME:
        trace_me(task)
        return 0
    frame = task.frame
    if frame is not None and isinstance(frame.progress, Task):
        # Found before it waited for the end of an exec, by which the id may have become another's.
        tracee = frame.progress
    else:
        found = find_task(task.pid_namespace, pid)
        if found is None:
            raise ESRCH(f"no task {pid}")
        tracee = found
    if request in (_ATTACH, _SEIZE):
        attach(task.kernel, task, tracee, address, data, is_seized=request == _SEIZE)
        return 0
    check_tracee(task, tracee, request)
    if request in MODES:
        resume(task.kernel, tracee, request, data)
        return 0
    handler = _REQUESTS.get(request)
    if handler is None:
        raise EIO(f"no request {request}")
    return handler(task, tracee, address, data) or 0


class Request(Protocol):
    """What is done for one request."""

    def __call__(self, task: Task, tracee: Task, address: int, data: int, /) -> int | None:
        """The result of the call, None for 0."""


def _peek(task: Task, tracee: Task, address: int, data: int) -> None:
    # The call stores the word; that ptrace(3) returns it is the C library's doing.
    word = read_forced(tracee.mm, address, _WORD_BYTES)
    if len(word) < _WORD_BYTES:
        raise EIO(f"nothing to read at {address:#x}")
    task.mm.write(data, word)


def _poke(task: Task, tracee: Task, address: int, data: int) -> None:
    if write_forced(tracee.mm, address, pack_u64(data)) < _WORD_BYTES:
        raise EIO(f"nothing to write to at {address:#x}")


def _peek_user(task: Task, tracee: Task, address: int, data: int) -> None:
    task.mm.write(data, pack_u64(user_word(tracee, address)))


def _poke_user(task: Task, tracee: Task, address: int, data: int) -> None:
    set_user_word(task.kernel, tracee, address, data)


def _kill(task: Task, tracee: Task, address: int, data: int) -> None:
    info = SigInfo(SIGKILL, SI_USER, sender=task.group.pid, uid=task.credentials.uid)
    send_signal(task.kernel, tracee, info)


def _detach(task: Task, tracee: Task, address: int, data: int) -> None:
    detach(task.kernel, task, tracee, data & 0xFFFF_FFFF)


def _interrupt(task: Task, tracee: Task, address: int, data: int) -> None:
    interrupt(tracee)


def _listen(task: Task, tracee: Task, address: int, data: int) -> None:
    listen(tracee)


def _get_registers(task: Task, tracee: Task, address: int, data: int) -> None:
    task.mm.write(data, register_set(task.kernel, tracee, NT_PRSTATUS, UserRegsStruct.SIZE))


def _set_registers(task: Task, tracee: Task, address: int, data: int) -> None:
    set_register_set(task.kernel, tracee, NT_PRSTATUS, task.mm.read(data, UserRegsStruct.SIZE))


def _get_floating(task: Task, tracee: Task, address: int, data: int) -> None:
    task.mm.write(data, register_set(task.kernel, tracee, NT_PRFPREG, FXSAVE_BYTES))


def _set_floating(task: Task, tracee: Task, address: int, data: int) -> None:
    set_register_set(task.kernel, tracee, NT_PRFPREG, task.mm.read(data, FXSAVE_BYTES))


def _read_vector(task: Task, address: int) -> tuple[int, int]:
    raw = task.mm.read(address, 16)
    return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")


def _get_register_set(task: Task, tracee: Task, address: int, data: int) -> None:
    """`address` is the kind, `data` points to a struct iovec that learns how many bytes there were."""
    base, length = _read_vector(task, data)
    contents = register_set(task.kernel, tracee, address & 0xFFFFFFFF, length)
    task.mm.write(base, contents)
    task.mm.write(data + 8, pack_u64(len(contents)))


def _set_register_set(task: Task, tracee: Task, address: int, data: int) -> None:
    base, length = _read_vector(task, data)
    kind = address & 0xFFFFFFFF
    size = size_of_set(kind, length)
    set_register_set(task.kernel, tracee, kind, task.mm.read(base, size))
    task.mm.write(data + 8, pack_u64(size))


def _set_options(task: Task, tracee: Task, address: int, data: int) -> None:
    check_options(task, data)
    assert tracee.ptrace is not None
    tracee.ptrace.options = data


def _get_event_message(task: Task, tracee: Task, address: int, data: int) -> None:
    assert tracee.trace_stop is not None
    task.mm.write(data, pack_u64(tracee.trace_stop.message))


def _get_info(task: Task, tracee: Task, address: int, data: int) -> None:
    task.mm.write(data, stop_info(task, tracee))


def _set_info(task: Task, tracee: Task, address: int, data: int) -> None:
    signo = int.from_bytes(task.mm.read(data, 4), "little")
    set_stop_info(tracee, read_info(task, signo, data))


def _peek_infos(task: Task, tracee: Task, address: int, data: int) -> int:
    raw = task.mm.read(address, PtracePeeksiginfoArgs.SIZE)
    arguments = PtracePeeksiginfoArgs.unpack(raw)
    infos = pending_infos(tracee, arguments.off, arguments.flags, arguments.nr)
    task.kernel.clock.spend(len(infos) * SIGNAL_INFO_NS)
    for index, info in enumerate(infos):
        try:
            task.mm.write(data + index * INFO_BYTES, info)
        except EFAULT:
            if not index:
                raise
            return index
    return len(infos)


def _get_mask(task: Task, tracee: Task, address: int, data: int) -> None:
    if address != _SET_BYTES:
        raise EINVAL("a set of signals has 8 bytes")
    task.mm.write(data, pack_u64(mask_of(tracee)))


def _set_mask(task: Task, tracee: Task, address: int, data: int) -> None:
    if address != _SET_BYTES:
        raise EINVAL("a set of signals has 8 bytes")
    set_mask(tracee, int.from_bytes(task.mm.read(data, _SET_BYTES), "little"))


def _get_call_info(task: Task, tracee: Task, address: int, data: int) -> int:
    info = call_info(task.kernel, tracee)
    task.mm.write(data, info[: min(address, len(info))])
    return len(info)


def _set_call_info(task: Task, tracee: Task, address: int, data: int) -> None:
    if address < _CALL_INFO_BYTES:
        raise EINVAL("not the whole structure")
    contents = task.mm.read(data, _CALL_INFO_BYTES)
    if any(contents[1:4]) or len(contents) < PtraceSyscallInfo.SIZE:
        raise EINVAL("what is reserved isn't zero")
    set_call_info(task.kernel, tracee, contents)


def _get_filter(task: Task, tracee: Task, address: int, data: int) -> int:
    found = filter_of(task, tracee, address)
    if data:
        task.mm.write(data, found.original)
    return len(found.program)


def _get_filter_metadata(task: Task, tracee: Task, address: int, data: int) -> int:
    """`address` is how many bytes of the structure the caller knows. Linux: kernel/seccomp.c,
    seccomp_get_metadata."""
    check_right(task)
    size = min(address, SeccompMetadata.SIZE)
    if size < _WORD_BYTES:
        raise EINVAL("no room for the number of the filter")
    index = int.from_bytes(task.mm.read(data, _WORD_BYTES), "little")
    contents = SeccompMetadata(index, flags_of(filter_of(task, tracee, index))).pack()
    task.mm.write(data, contents[:size])
    return size


def _get_rseq_configuration(task: Task, tracee: Task, address: int, data: int) -> int:
    """`address` is how many bytes of the structure the caller knows. Linux: kernel/ptrace.c,
    ptrace_get_rseq_configuration."""
    area = tracee.rseq
    configuration = PtraceRseqConfiguration()
    if area is not None:
        configuration = PtraceRseqConfiguration(area.address, area.length, area.signature)
    task.mm.write(data, configuration.pack()[: min(address, PtraceRseqConfiguration.SIZE)])
    return PtraceRseqConfiguration.SIZE


def _arch_prctl(task: Task, tracee: Task, address: int, data: int) -> int:
    return arch_prctl_of(task, tracee, data, address)


def _get_user_dispatch(task: Task, tracee: Task, address: int, data: int) -> None:
    """Linux: kernel/entry/syscall_user_dispatch.c, syscall_user_dispatch_get_config."""
    if address != PtraceSudConfig.SIZE:
        raise EINVAL("another struct ptrace_sud_config")
    found = tracee.user_dispatch
    config = (
        PtraceSudConfig() if found is None else PtraceSudConfig(1, found.selector, found.first, found.length)
    )
    task.mm.write(data, config.pack())


def _set_user_dispatch(task: Task, tracee: Task, address: int, data: int) -> None:
    """Linux: kernel/entry/syscall_user_dispatch.c, syscall_user_dispatch_set_config."""
    if address != PtraceSudConfig.SIZE:
        raise EINVAL("another struct ptrace_sud_config")
    config = PtraceSudConfig.unpack(task.mm.read(data, PtraceSudConfig.SIZE))
    set_user_dispatch(task.kernel, tracee, config.mode, config.offset, config.len, config.selector)


_REQUESTS: dict[int, Request] = {
    int(request): handler
    for request, handler in (
        (PtraceRequest.PTRACE_PEEKTEXT, _peek),
        (PtraceRequest.PTRACE_PEEKDATA, _peek),
        (PtraceRequest.PTRACE_PEEKUSR, _peek_user),
        (PtraceRequest.PTRACE_POKETEXT, _poke),
        (PtraceRequest.PTRACE_POKEDATA, _poke),
        (PtraceRequest.PTRACE_POKEUSR, _poke_user),
        (PtraceRequest.PTRACE_KILL, _kill),
        (PtraceRequest.PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, _get_user_dispatch),
        (PtraceRequest.PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, _set_user_dispatch),
        (PtraceRequest.PTRACE_GETREGS, _get_registers),
        (PtraceRequest.PTRACE_SETREGS, _set_registers),
        (PtraceRequest.PTRACE_GETFPREGS, _get_floating),
        (PtraceRequest.PTRACE_SETFPREGS, _set_floating),
        (PtraceRequest.PTRACE_DETACH, _detach),
        (PtraceRequest.PTRACE_OLDSETOPTIONS, _set_options),
        (PtraceRequest.PTRACE_SETOPTIONS, _set_options),
        (PtraceRequest.PTRACE_GETEVENTMSG, _get_event_message),
        (PtraceRequest.PTRACE_GETSIGINFO, _get_info),
        (PtraceRequest.PTRACE_SETSIGINFO, _set_info),
        (PtraceRequest.PTRACE_GETREGSET, _get_register_set),
        (PtraceRequest.PTRACE_SETREGSET, _set_register_set),
        (PtraceRequest.PTRACE_INTERRUPT, _interrupt),
        (PtraceRequest.PTRACE_LISTEN, _listen),
        (PtraceRequest.PTRACE_PEEKSIGINFO, _peek_infos),
        (PtraceRequest.PTRACE_GETSIGMASK, _get_mask),
        (PtraceRequest.PTRACE_SETSIGMASK, _set_mask),
        (PtraceRequest.PTRACE_GET_SYSCALL_INFO, _get_call_info),
        (PtraceRequest.PTRACE_SET_SYSCALL_INFO, _set_call_info),
        (PtraceRequest.PTRACE_SECCOMP_GET_FILTER, _get_filter),
        (PtraceRequest.PTRACE_SECCOMP_GET_METADATA, _get_filter_metadata),
        (PtraceRequest.PTRACE_ARCH_PRCTL, _arch_prctl),
        (PtraceRequest.PTRACE_GET_RSEQ_CONFIGURATION, _get_rseq_configuration),
    )
}

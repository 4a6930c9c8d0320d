"""bpf(2), as far as programs go that decide which devices a control group may use.

Programs that look at packets can be loaded, which is how runc finds out that programs can be attached at all;
they can't be attached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.bpf import BPF_MAXINSNS
from procession.abi.bpf_attributes import (
    BpfCgroupDevCtx,
    BpfGetId,
    BpfGetInfo,
    BpfInsn,
    BpfProgAttach,
    BpfProgInfo,
    BpfProgLoad,
    BpfProgQuery,
)
from procession.abi.ebpf import (
    BPF_F_QUERY_EFFECTIVE,
    BPF_OBJ_NAME_LEN,
    BpfAttachFlag,
    BpfAttachType,
    BpfCommand,
    BpfLoadFlag,
    BpfProgType,
)
from procession.abi.errno import E2BIG, EBADF, EBADFD, EINVAL, ENOENT, ENOSPC, EPERM, Errno
from procession.abi.word import pack_u32
from procession.hardware.kernel_memory import BPF
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.bpf.form import decode
from procession.kernel.bpf.program import BpfProgram, open_program, program_bytes, program_of
from procession.kernel.bpf.verifier import verify
from procession.kernel.cgroup.device import MULTI, REPLACE, attach, detach, effective_programs
from procession.kernel.cgroup.directory import GroupDirectory
from procession.kernel.security.capability import CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN
from procession.kernel.time.costs import EBPF_VERIFIED_NS
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice, UInt
from procession.syscalls.sized_structure import read_sized

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.task import Task

_ATTRIBUTE_BYTES = BpfProgLoad.SIZE
"""The largest member of union bpf_attr."""
_LOAD_FLAGS = sum(map(int, BpfLoadFlag))
_ATTACH_FLAGS = sum(map(int, BpfAttachFlag))
_DEVICE = int(BpfProgType.BPF_PROG_TYPE_CGROUP_DEVICE)
_PACKET = int(BpfProgType.BPF_PROG_TYPE_CGROUP_SKB)
_EGRESS = int(BpfAttachType.BPF_CGROUP_INET_EGRESS)
_DEVICE_ATTACHMENT = int(BpfAttachType.BPF_CGROUP_DEVICE)
_LICENSE_BYTES = 128
_GPL_LICENSES = (
    *(b"GPL", b"GPL v2", b"GPL and additional rights"),
    *(b"Dual BSD/GPL", b"Dual MIT/GPL", b"Dual MPL/GPL"),
)
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")
_LOG_LEVELS = 15
_LARGEST_LOG = 0xFFFFFFFF >> 2
_HIGHEST_ID = 0x7FFFFFFF
_NAMES_OF_RECORDS = (
    *(("nr_func_info", "func_info_rec_size", 8), ("nr_line_info", "line_info_rec_size", 16)),
    ("nr_jited_line_info", "jited_line_info_rec_size", 8),
)


@syscall(321)
def bpf(task: Task, command: Choice[BpfCommand], attributes: Address, size: UInt) -> int:
    """bpf(2): there are no maps, no types and no links. Linux: kernel/bpf/syscall.c, __sys_bpf."""
    if size > PAGE_SIZE:
        raise E2BIG("attributes of more than a page")
    data = read_sized(task.mm, attributes, size, _ATTRIBUTE_BYTES)
    act = _COMMANDS.get(command)
    if act is None:
        raise EINVAL("no such command")
    return act(task, data, attributes, size)


def _has(task: Task, capability: int) -> bool:
    """Whether the task has one of the capabilities that CAP_SYS_ADMIN was split into, or that."""
    credentials = task.credentials
    return credentials.capable(capability) or credentials.capable(CAP_SYS_ADMIN)


def _check_rest(data: bytes, known: int) -> None:
    """Raise EINVAL if what isn't of the command's is set (in Linux, CHECK_ATTR)."""
    if any(data[known:]):
        raise EINVAL("attributes of other commands are set")


# Loading


def _load(task: Task, data: bytes, address: int, size: int) -> int:
    """Linux: kernel/bpf/syscall.c, bpf_prog_load."""
    wanted = BpfProgLoad.unpack(data)
    if wanted.prog_flags & ~_LOAD_FLAGS:
        raise EINVAL("unknown flags")
    # kernel.unprivileged_bpf_disabled is 2, as Debian has it.
    if not _has(task, CAP_BPF):
        raise EPERM("a program takes CAP_BPF")
    if not 0 < wanted.insn_cnt <= BPF_MAXINSNS:
        raise E2BIG(f"a program of {wanted.insn_cnt} instructions")
    if wanted.prog_type not in (_DEVICE, _PACKET):
        raise EINVAL("no such kind of programs")
    if wanted.prog_type == _DEVICE and not _has(task, CAP_NET_ADMIN):
        raise EPERM("a program for devices takes CAP_NET_ADMIN")
    if wanted.attach_prog_fd:
        program_of(task, wanted.attach_prog_fd)
    if wanted.attach_prog_fd or wanted.attach_btf_id or wanted.prog_ifindex:
        raise EINVAL("the program belongs to no other and to no interface")
    if wanted.prog_type == _PACKET and wanted.expected_attach_type > _EGRESS:
        raise EINVAL("packets are looked at nowhere else")
    account = task.kernel.memory.account
    charge = program_bytes(wanted.insn_cnt)
    account.charge(BPF, charge)
    try:
        program = _make(task, wanted, address, size)
    except BaseException:
        account.uncharge(BPF, charge)
        raise
    program.acquire()
    try:
        return open_program(task, program)
    finally:
        program.put(account)


def _make(task: Task, wanted: BpfProgLoad, address: int, size: int) -> BpfProgram:
    memory = task.mm
    code = memory.read(wanted.insns, wanted.insn_cnt * BpfInsn.SIZE)
    license_text = memory.read_cstring(wanted.license, _LICENSE_BYTES - 1)
    if license_text is None:
        license_text = memory.read(wanted.license, _LICENSE_BYTES - 1)
    name, terminator, _ = _name_field(memory.read(address, size)).partition(b"\0")
    if not terminator or not _NAME_BYTES.issuperset(name):
        raise EINVAL("no name of a program")
    has_buffer, has_size = bool(wanted.log_buf), bool(wanted.log_size)
    if (
        has_buffer != has_size
        or (has_buffer and not wanted.log_level)
        or wanted.log_level & ~_LOG_LEVELS
        or wanted.log_size > _LARGEST_LOG
    ):
        raise EINVAL("no log for the verifier")
    try:
        if wanted.core_relo_cnt:
            raise EINVAL("there are no types to relocate by")
        if wanted.func_info_cnt or wanted.line_info_cnt:
            raise EBADF("there are no types to describe functions by")
        instructions = decode(code)
        # Of a packet nothing can be read.
        context_bytes = BpfCgroupDevCtx.SIZE if wanted.prog_type == _DEVICE else 0
        highest = 3 if wanted.prog_type == _PACKET and wanted.expected_attach_type == _EGRESS else 1
        is_trusted = _has(task, CAP_PERFMON)
        task.kernel.clock.spend(wanted.insn_cnt * EBPF_VERIFIED_NS)
        count = verify(instructions, context_bytes, highest, is_trusted=is_trusted)
    except Errno as error:
        _log(task, wanted, error.reason, 0)
        raise
    _log(task, wanted, "", count)
    return BpfProgram(
        task.kernel,
        wanted.prog_type,
        code,
        instructions,
        name,
        uid=task.credentials.uid,
        verified_count=count,
        is_gpl_compatible=license_text in _GPL_LICENSES,
    )


def _name_field(data: bytes) -> bytes:
    """The name in the bytes of the attributes, with all that follows its NUL; of none if they end before."""
    start = BpfProgLoad.OFFSETS["prog_name"]
    return data[start : start + BPF_OBJ_NAME_LEN].ljust(BPF_OBJ_NAME_LEN, b"\0")


def _log(task: Task, wanted: BpfProgLoad, message: str, count: int) -> None:
    """Tell who asked for it why the program was refused, or how much was looked at. Raises EFAULT, ENOSPC.

    Linux: kernel/bpf/log.c, bpf_vlog_finalize.
    """
    if not wanted.log_buf:
        return
    text = message and f"{message}\n"
    text += f"processed {count} insns (limit 1000000) max_states_per_insn 0 total_states 0 "
    text += "peak_states 0 mark_read 0\n"
    # Of a long log the end is kept.
    kept = text.encode()[-(wanted.log_size - 1) :] if wanted.log_size > 1 else b""
    task.mm.write(wanted.log_buf, kept + b"\0")
    if len(text) >= wanted.log_size:
        raise ENOSPC("the log is longer")


# Attaching


def _group(task: Task, fd: int) -> Cgroup:
    """The group whose directory `fd` is. Raises EBADF, ENOENT.

    Linux: kernel/cgroup/cgroup.c, cgroup_v1v2_get_from_fd.
    """
    file = task.files.files.get(fd)
    directory = None if file is None else file.inode
    if not isinstance(directory, GroupDirectory):
        raise EBADF(f"descriptor {fd} is no directory of a control group")
    if directory.group.is_dead:
        raise ENOENT("the group has been removed")
    return directory.group


def _check_place(kind: int) -> None:
    if kind != _DEVICE_ATTACHMENT:
        raise EINVAL("nothing is attached there")


def _attach(task: Task, data: bytes, address: int, size: int) -> int:
    """Linux: kernel/bpf/cgroup.c, cgroup_bpf_prog_attach."""
    wanted = BpfProgAttach.unpack(data[: BpfProgAttach.SIZE])
    _check_rest(data, BpfProgAttach.SIZE)
    _check_place(wanted.attach_type)
    if wanted.attach_flags & ~_ATTACH_FLAGS or wanted.relative_fd or wanted.expected_revision:
        raise EINVAL("unknown flags")
    program = program_of(task, wanted.attach_bpf_fd, _DEVICE)
    group = _group(task, wanted.target_fd)
    replaced = None
    if wanted.attach_flags & MULTI and wanted.attach_flags & REPLACE:
        replaced = program_of(task, wanted.replace_bpf_fd, _DEVICE)
    attach(task.kernel, group, program, wanted.attach_flags, replaced)
    return 0


def _detach(task: Task, data: bytes, address: int, size: int) -> int:
    """Linux: kernel/bpf/cgroup.c, cgroup_bpf_prog_detach."""
    wanted = BpfProgAttach.unpack(data[: BpfProgAttach.SIZE])
    _check_rest(data, BpfProgAttach.SIZE)
    _check_place(wanted.attach_type)
    if wanted.attach_flags or wanted.relative_fd or wanted.expected_revision:
        raise EINVAL("unknown flags")
    group = _group(task, wanted.target_fd)
    program: BpfProgram | None
    try:
        program = program_of(task, wanted.attach_bpf_fd, _DEVICE)
    except (EBADF, EINVAL):
        program = None
    detach(task.kernel, group, program)
    return 0


def _query(task: Task, data: bytes, address: int, size: int) -> int:
    """Linux: kernel/bpf/cgroup.c, __cgroup_bpf_query."""
    if not _has(task, CAP_NET_ADMIN):
        raise EPERM("asking takes CAP_NET_ADMIN")
    wanted = BpfProgQuery.unpack(data[: BpfProgQuery.SIZE])
    _check_rest(data, BpfProgQuery.SIZE)
    if wanted.query_flags & ~BPF_F_QUERY_EFFECTIVE:
        raise EINVAL("unknown flags")
    _check_place(wanted.attach_type)
    group = _group(task, wanted.target_fd)
    is_effective = bool(wanted.query_flags)
    if is_effective and wanted.prog_attach_flags:
        raise EINVAL("flags of what works are of no one group")
    attached = group.devices
    own = [] if attached is None else attached.programs
    flags = 0 if attached is None or is_effective else attached.flags
    programs = effective_programs(group) if is_effective else own
    memory = task.mm
    memory.write(address + BpfProgQuery.OFFSETS["attach_flags"], pack_u32(flags))
    memory.write(address + BpfProgQuery.OFFSETS["prog_cnt"], pack_u32(len(programs)))
    if not wanted.prog_cnt or not wanted.prog_ids or not programs:
        return 0
    shown = programs[: wanted.prog_cnt]
    memory.write(wanted.prog_ids, b"".join(pack_u32(each.id) for each in shown))
    if wanted.prog_attach_flags:
        memory.write(wanted.prog_attach_flags, pack_u32(flags) * len(shown))
    if len(shown) < len(programs):
        raise ENOSPC(f"there are {len(programs)} programs")
    return 0


# Finding


def _next_id(task: Task, data: bytes, address: int, size: int) -> int:
    """Linux: kernel/bpf/syscall.c, bpf_obj_get_next_id."""
    wanted = BpfGetId.unpack(data[: BpfGetId.SIZE])
    _check_rest(data, BpfGetId.OFFSETS["open_flags"])
    if wanted.start_id >= _HIGHEST_ID:
        raise EINVAL("no id")
    if not task.credentials.capable(CAP_SYS_ADMIN):
        raise EPERM("ids are the administrator's")
    found = task.kernel.bpf_programs.id_from(wanted.start_id + 1)
    if found is None:
        raise ENOENT("no program has a higher id")
    task.mm.write(address + BpfGetId.OFFSETS["next_id"], pack_u32(found))
    return 0


def _open_by_id(task: Task, data: bytes, address: int, size: int) -> int:
    """Linux: kernel/bpf/syscall.c, bpf_prog_get_fd_by_id."""
    wanted = BpfGetId.unpack(data[: BpfGetId.SIZE])
    _check_rest(data, BpfGetId.OFFSETS["next_id"])
    if not task.credentials.capable(CAP_SYS_ADMIN):
        raise EPERM("ids are the administrator's")
    program = task.kernel.bpf_programs.by_id.get(wanted.start_id)
    if program is None:
        raise ENOENT(f"no program has id {wanted.start_id}")
    return open_program(task, program)


def _tell(task: Task, data: bytes, address: int, size: int) -> int:
    """Linux: kernel/bpf/syscall.c, bpf_prog_get_info_by_fd."""
    wanted = BpfGetInfo.unpack(data[: BpfGetInfo.SIZE])
    _check_rest(data, BpfGetInfo.SIZE)
    try:
        program = program_of(task, wanted.bpf_fd)
    except EBADF:
        raise EBADFD("no such descriptor") from None
    length = wanted.info_len
    if length > PAGE_SIZE:
        raise E2BIG("more than a page")
    memory = task.mm
    # Linux's structure ends in padding, which counts as known.
    known = memory.read(wanted.info, length)
    if any(known[BpfProgInfo.SIZE :]):
        raise E2BIG("fields of a later version are set")
    length = min(length, BpfProgInfo.SIZE)
    asked = BpfProgInfo.unpack(known[:length].ljust(BpfProgInfo.SIZE, b"\0"))
    for count, record_size, expected in _NAMES_OF_RECORDS:
        given = getattr(asked, record_size)
        if (getattr(asked, count) or given) and given != expected:
            raise EINVAL("records of another size")
    is_trusted = _has(task, CAP_BPF)
    if is_trusted and asked.xlated_prog_len:
        memory.write(asked.xlated_prog_insns, program.code[: asked.xlated_prog_len])
    told = BpfProgInfo(
        type=program.type,
        id=program.id,
        tag=program.tag,
        xlated_prog_len=len(program.code) if is_trusted else 0,
        jited_prog_insns=asked.jited_prog_insns,
        xlated_prog_insns=asked.xlated_prog_insns,
        load_time=program.load_time_ns,
        created_by_uid=task.credentials.user_namespace.from_kuid_munged(program.uid),
        map_ids=asked.map_ids,
        name=program.name,
        gpl_compatible=program.is_gpl_compatible,
        func_info_rec_size=8,
        line_info_rec_size=16,
        jited_line_info_rec_size=8,
        verified_insns=program.verified_count,
    )
    memory.write(wanted.info, told.pack()[:length])
    memory.write(address + BpfGetInfo.OFFSETS["info_len"], pack_u32(length))
    return 0


_COMMANDS: dict[int, Callable[[Task, bytes, int, int], int]] = {
    int(BpfCommand.BPF_PROG_LOAD): _load,
    int(BpfCommand.BPF_PROG_ATTACH): _attach,
    int(BpfCommand.BPF_PROG_DETACH): _detach,
    int(BpfCommand.BPF_PROG_QUERY): _query,
    int(BpfCommand.BPF_PROG_GET_NEXT_ID): _next_id,
    int(BpfCommand.BPF_PROG_GET_FD_BY_ID): _open_by_id,
    int(BpfCommand.BPF_OBJ_GET_INFO_BY_FD): _tell,
}

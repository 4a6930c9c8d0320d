"""System calls of memory on several nodes: policies, and where pages are. This machine has one node."""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING

from procession.abi.errno import (
    EFAULT,
    EINVAL,
    EIO,
    ENODEV,
    ENOENT,
    EOPNOTSUPP,
    EPERM,
    ESRCH,
)
from procession.abi.mempolicy import GetPolicyFlag, MemoryPolicyMode, MovePagesFlag
from procession.abi.word import pack_u32, pack_u64
from procession.fs.wait_queue import Sleep
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from procession.kernel.pid import find_task
from procession.kernel.security.capability import CAP_SYS_NICE
from procession.kernel.security.ptrace_access import has_memory, may_access
from procession.kernel.time.costs import LOCATED_PAGE_NS
from procession.mm.policy import (
    MAX_NODES,
    ONLINE_NODES,
    make_policy,
    mode_and_flags_of,
    mode_of,
    nodes_of,
    split_mode,
)
from procession.mm.remote_access import is_secret
from procession.mm.vma import ALL_BUT_POLICY, POLICY_SHIFT, PROT_READ
from procession.syscalls.declaration import syscall
from procession.syscalls.memory import align
from procession.syscalls.parameters import Address, Flags, Int, LongFlags, Size

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

_UNSIGNED_64 = (1 << 64) - 1
_WORD_BITS = 64
_PAGE_BITS = PAGE_SIZE * 8
_PAGES_AT_A_TIME = 4096
_NODE_WORDS_BYTES = 8
"""How many bytes of a mask there is anything to tell of."""

_F_NODE = int(GetPolicyFlag.MPOL_F_NODE)
_F_ADDR = int(GetPolicyFlag.MPOL_F_ADDR)
_F_MEMS_ALLOWED = int(GetPolicyFlag.MPOL_F_MEMS_ALLOWED)
_MOVE_ALL = int(MovePagesFlag.MPOL_MF_MOVE_ALL)
_MOVE_FLAGS = int(MovePagesFlag.MPOL_MF_MOVE) | _MOVE_ALL
_STRICT = int(MovePagesFlag.MPOL_MF_STRICT)
_BIND_FLAGS = _STRICT | _MOVE_FLAGS
_INTERLEAVES = (MemoryPolicyMode.MPOL_INTERLEAVE, MemoryPolicyMode.MPOL_WEIGHTED_INTERLEAVE)
_HAVE_HOME = (MemoryPolicyMode.MPOL_BIND, MemoryPolicyMode.MPOL_PREFERRED_MANY)


def read_nodes(task: Task, address: int, count: int) -> int:
    """A mask of nodes, of which `count` - 1 bits are the caller's. Raises EINVAL, EFAULT.

    That count has been one too many ever since. Linux: mm/mempolicy.c, get_nodes.
    """
    count = (count - 1) & _UNSIGNED_64
    if not count or not address:
        return 0
    if count > _PAGE_BITS:
        raise EINVAL("a mask longer than a page")
    if count > MAX_NODES:
        # Of what is too much the last words are looked at first, and whole.
        end = address + (count + _WORD_BITS - 1) // _WORD_BITS * 8
        first = address + MAX_NODES // 8
        border = max(first, end & ~PAGE_MASK)
        if any(task.mm.read(border, end - border)) or any(task.mm.read(first, border - first)):
            raise EINVAL("nodes that no machine has")
        count = MAX_NODES
    size = (count + _WORD_BITS - 1) // _WORD_BITS * 8
    return int.from_bytes(task.mm.read(address, size), "little") & ((1 << count) - 1)


def _put_nodes(task: Task, address: int, count: int, nodes: int) -> None:
    """Linux: mm/mempolicy.c, copy_nodes_to_user."""
    size = ((count - 1) & _UNSIGNED_64) + _WORD_BITS - 1 & ~(_WORD_BITS - 1) & _UNSIGNED_64
    size //= 8
    if size > PAGE_SIZE:
        raise EINVAL("a mask longer than a page")
    if size > _NODE_WORDS_BYTES:
        task.mm.write(address + _NODE_WORDS_BYTES, bytes(size - _NODE_WORDS_BYTES))
    task.mm.write(address, pack_u64(nodes)[:size])


@syscall(238)
def set_mempolicy(task: Task, mode: Int, nodes: Address, count: Size) -> int:
    """set_mempolicy(2). Linux: mm/mempolicy.c, do_set_mempolicy."""
    kind, flags = split_mode(mode)
    task.memory_policy = make_policy(kind, flags, read_nodes(task, nodes, count))
    return 0


@syscall(239)
def get_mempolicy(
    task: Task, mode: Address, nodes: Address, count: Size, address: Address, flags: LongFlags[GetPolicyFlag]
) -> int:
    """get_mempolicy(2). Linux: mm/mempolicy.c, kernel_get_mempolicy."""
    if nodes and count < 1:
        raise EINVAL("a mask too short for the nodes that there are")
    told_mode, told_nodes = _find_policy(task, address, flags)
    if mode:
        task.mm.write(mode, pack_u32(told_mode))
    if nodes:
        _put_nodes(task, nodes, count, told_nodes)
    return 0


def _find_policy(task: Task, address: int, flags: int) -> tuple[int, int]:
    """What is told as the mode, and the mask. Raises EINVAL, EFAULT.

    Linux: mm/mempolicy.c, do_get_mempolicy.
    """
    if flags & ~(_F_NODE | _F_ADDR | _F_MEMS_ALLOWED):
        raise EINVAL("unknown flags")
    if flags & _F_MEMS_ALLOWED:
        if flags & (_F_NODE | _F_ADDR):
            raise EINVAL("either what is allowed or what is")
        return 0, ONLINE_NODES
    policy, area = task.memory_policy, None
    if flags & _F_ADDR:
        area = task.mm.find(address)
        if area is None:
            raise EFAULT("nothing is mapped there")
        policy = area.policy_at(address)
    elif address:
        raise EINVAL("an address without MPOL_F_ADDR")
    told = mode_and_flags_of(policy)
    if flags & _F_NODE:
        if area is not None:
            # The page is looked up for reading, which memory for writing or executing alone refuses, though
            # the processor reads it; but for what is there and accessible only the processor is asked.
            # Linux: mm/gup.c, check_vma_flags, gup_fast.
            is_there = task.mm.tables.entry(address >> PAGE_SHIFT) & pte.PRESENT and area.protection
            if not is_there:
                if not area.protection & PROT_READ or is_secret(area):
                    raise EFAULT("not readable")
                task.mm.read(address, 1)
        elif mode_of(policy) not in _INTERLEAVES:
            raise EINVAL("no interleaving, so there is no next node")
        told = 0
    return told, nodes_of(policy)


@syscall(237)
def mbind(
    task: Task,
    address: Address,
    length: Size,
    mode: Int,
    nodes: Address,
    count: Size,
    flags: Flags[MovePagesFlag],
) -> int:
    """mbind(2). There is one node, so no page is moved. Linux: mm/mempolicy.c, do_mbind."""
    kind, mode_flags = split_mode(mode)
    mask = read_nodes(task, nodes, count)
    if flags & ~_BIND_FLAGS:
        raise EINVAL("unknown flags")
    if flags & _MOVE_ALL and not task.credentials.capable(CAP_SYS_NICE):
        raise EPERM("moving what others use takes CAP_SYS_NICE")
    end = _range_end(address, length)
    if end == address:
        return 0
    policy = make_policy(kind, mode_flags, mask)
    mm = task.mm
    # Relative nodes end up here, but pages are compared with the numbers that were given; and with none where
    # the policy names none. Linux: mm/mempolicy.c, queue_folio_required.
    is_strict = flags & (_STRICT | _MOVE_FLAGS) == _STRICT and bool(policy) and not mask & ONLINE_NODES
    _check_range(mm, address, end, has_policy=bool(policy), is_strict=is_strict)

    def stays(area: VirtualMemoryArea) -> bool:
        return area.flags >> POLICY_SHIFT == policy

    shared_ranges = [
        (area.shared_memory, area.page_index(max(area.start, address)), area.page_index(min(area.end, end)))
        for area in mm.areas_in(address, end)
        if not stays(area)
    ]
    for area in mm.isolate_changing(address, end, stays, ~ALL_BUT_POLICY):
        area.flags = area.flags & ALL_BUT_POLICY | policy << POLICY_SHIFT
    for shared, first, past in shared_ranges:
        if shared is not None:
            shared.set_policy(first, past, policy)
    mm.merge_around(address, end)
    return 0


def _check_range(mm: MemoryDescriptor, start: int, end: int, *, has_policy: bool, is_strict: bool) -> None:
    """Raise EFAULT at the first hole, EIO if it `is_strict` and a page that's on another node comes before.

    Only who takes all policies away may have holes in the range.
    Linux: mm/mempolicy.c, queue_pages_test_walk.
    """
    areas = list(mm.areas_in(start, end))
    if not areas or (has_policy and areas[0].start > start):
        raise EFAULT("the range isn't mapped")
    for area, following in zip(areas, [*areas[1:], None], strict=True):
        if has_policy and area.end < end and (following is None or area.end < following.start):
            raise EFAULT("part of the range isn't mapped")
        if is_strict and _has_placed_page(mm, max(area.start, start), min(area.end, end)):
            raise EIO("there are pages on other nodes than those named")


def _has_placed_page(mm: MemoryDescriptor, start: int, end: int) -> bool:
    """Whether a page is there that is on a node. That of zeros counts nowhere."""
    for area in mm.areas_in(start, end):
        first, past = max(area.start, start) >> PAGE_SHIFT, min(area.end, end) >> PAGE_SHIFT
        pages = mm.tables.present_pages(first, past)
        mm.memory.note_changed(len(pages))
        if any(mm.tables.entry(page) & pte.ADDRESS_MASK for page in pages):
            return True
    return False


def _range_end(address: int, length: int) -> int:
    """Where the pages end that start at `address`. Raises EINVAL."""
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    end = address + (align(length) & _UNSIGNED_64)
    if end > _UNSIGNED_64:
        raise EINVAL("past the end of the address space")
    return end


@syscall(450)
def set_mempolicy_home_node(task: Task, address: Address, length: Size, node: Size, flags: Size) -> int:
    """set_mempolicy_home_node(2): the only node is everyone's home already.

    Linux: mm/mempolicy.c, SYSCALL_DEFINE4(set_mempolicy_home_node).
    """
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    if flags or node:
        raise EINVAL("there are no flags, and no other node")
    end = _range_end(address, length)
    if end == address:
        return 0
    policies = [area.flags >> POLICY_SHIFT for area in task.mm.areas_in(address, end)]
    if not any(policies):
        raise ENOENT("no policy there that could have a home")
    if any(policy and mode_of(policy) not in _HAVE_HOME for policy in policies):
        raise EOPNOTSUPP("a policy that has no home")
    return 0


@syscall(256)
def migrate_pages(task: Task, pid: Int, count: Size, old_nodes: Address, new_nodes: Address) -> int:
    """migrate_pages(2): from the only node to the only one. Linux: mm/mempolicy.c, kernel_migrate_pages."""
    read_nodes(task, old_nodes, count)
    new = read_nodes(task, new_nodes, count)
    _memory_to_move(task, pid)
    if new & ~ONLINE_NODES and not task.credentials.capable(CAP_SYS_NICE):
        raise EPERM("a node that the process may not use")
    if not new & ONLINE_NODES:
        raise EINVAL("no node that the caller may use")
    return 0


def _memory_to_move(task: Task, pid: int) -> MemoryDescriptor:
    """The memory of the process `pid`, 0 for the caller's. Raises ESRCH, EPERM, EINVAL.

    Linux: mm/migrate.c, find_mm_struct.
    """
    if not pid:
        return task.mm
    target = find_task(task.pid_namespace, pid)
    if target is None:
        raise ESRCH(f"no task {pid}")
    if not may_access(task, target, by_fs_ids=False):
        raise EPERM(f"task {target.tid} isn't the caller's to access")
    if not has_memory(target):
        raise EINVAL("a process without memory")
    return target.mm


@syscall(279)
def move_pages(
    task: Task,
    pid: Int,
    count: Size,
    pages: Address,
    nodes: Address,
    status: Address,
    flags: Flags[MovePagesFlag],
) -> int:
    """move_pages(2). Others run in between: how many pages it's asked about has no bound, as the numbers'
    memory can be mapped over and over. Linux: mm/migrate.c, kernel_move_pages.
    """
    if flags & ~_MOVE_FLAGS:
        raise EINVAL("unknown flags")
    if flags & _MOVE_ALL and not task.credentials.capable(CAP_SYS_NICE):
        raise EPERM("moving what others use takes CAP_SYS_NICE")
    frame = task.frame
    start = 0
    if frame is None:
        mm = _memory_to_move(task, pid)
    else:
        mm, start = frame.progress
    end = min(count, start + _PAGES_AT_A_TIME)
    clock = task.kernel.clock
    for index in range(start, end):
        clock.spend(LOCATED_PAGE_NS)
        address = int.from_bytes(task.mm.read(pages + 8 * index, 8), "little")
        if nodes:
            _check_node(task, nodes + 4 * index)
        task.mm.write(status + 4 * index, pack_u32(_node_of_page(mm, address)))
    if end < count:
        raise Sleep(deadline_ns=clock.now_ns, progress=(mm, end), is_interruptible=False)
    return 0


def _check_node(task: Task, address: int) -> None:
    """Raise ENODEV or EACCES for a node to move to that isn't this machine's."""
    node: int = unpack("<i", task.mm.read(address, 4))[0]
    if not 0 <= node < MAX_NODES or not ONLINE_NODES >> node & 1:
        raise ENODEV("no such node")


def _node_of_page(mm: MemoryDescriptor, address: int) -> int:
    """The node of a page, or what is told instead as a negative errno. Linux: mm/migrate.c, do_pages_stat."""
    area = mm.find(address)
    if area is None:
        return -EFAULT.number
    entry = mm.tables.entry(address >> PAGE_SHIFT)
    if not entry:
        return -ENOENT.number
    # What was only read is a page that's nobody's.
    return 0 if entry & pte.ADDRESS_MASK else -EFAULT.number

"""sysfs, what tools ask of it: which processors, devices and network interfaces there are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, EIO, ENOENT
from procession.abi.limits import PATH_MAX
from procession.abi.named_tuple import NamedTuple
from procession.abi.statfs import Magic
from procession.abi.word import Words
from procession.fs.bit_list import list_of_bits
from procession.fs.file_system_type import FileSystemType
from procession.fs.inode import S_IFDIR, S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.fs.superblock import LARGEST_OF_OLD, Superblock
from procession.hardware.huge_pages import HugePages
from procession.kernel.namespaces.uts import RELEASE
from procession.procfs.inode import ATTRIBUTE_SIZE, KernfsDirectory, open_attribute
from procession.procfs.sysfs_devices import BY_NUMBER, CLASSES, VIRTUAL, Link
from procession.procfs.sysfs_network import NetworkDirectory

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.mounts.context import MountContext
    from procession.fs.permission import Subject
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.kernel import Kernel
    from procession.net.network import Network

SYSFS_MAGIC = int(Magic.SYSFS_MAGIC)

_OF_INTERFACES = ((b"class", b"net"), (b"devices", b"virtual", b"net"))
Tree = Mapping[bytes, "bytes | Link | HugePageSetting | Tree"]


class HugePageSetting(NamedTuple):
    """An attribute with a word of `words`, the present one in brackets; the kernel has its number."""

    words: tuple[HugePages, ...]
    is_of_folios: bool


def _as_list(mask: int) -> bytes:
    """A set of processors as sysfs lists them."""
    return list_of_bits(mask) + b"\n"


def _as_mask(mask: int, processor_count: int) -> bytes:
    """A set of processors in hexadecimal, 32 to a word. Linux: lib/vsprintf.c, bitmap_string."""
    digits = min(-(-processor_count // 4), 8)
    words = [mask >> shift & 0xFFFF_FFFF for shift in range(0, processor_count, 32)]
    text = [b"%0*x" % (digits, words.pop())]
    text += (b"%08x" % word for word in reversed(words))
    return b",".join(text) + b"\n"


def _topology(number: int, processor_count: int) -> Tree:
    """Every processor is a core of its own, all in one package. Linux: drivers/base/topology.c."""
    every, this = (1 << processor_count) - 1, 1 << number
    all_of_them = _as_mask(every, processor_count), _as_list(every)
    own = _as_mask(this, processor_count), _as_list(this)
    tree: dict[bytes, bytes] = {
        b"core_id": b"%d\n" % number,
        b"die_id": b"0\n",
        b"physical_package_id": b"0\n",
    }
    for name, (mask, listed) in (
        (b"core_cpus", own),
        (b"core_siblings", all_of_them),
        (b"die_cpus", all_of_them),
        (b"package_cpus", all_of_them),
        (b"thread_siblings", own),
    ):
        tree[name], tree[name + b"_list"] = mask, listed
    return tree


_CACHES = ((1, b"Data", 32, 8), (1, b"Instruction", 32, 8), (2, b"Unified", 4096, 16))
"""The levels, kinds, sizes in KiB and ways that CPUID leaf 4 tells of the emulated processor's caches."""
_LINE_BYTES = 64


def _caches(number: int, processor_count: int) -> Tree:
    """Linux: drivers/base/cacheinfo.c."""
    return {
        b"index%d" % index: {
            b"coherency_line_size": b"%d\n" % _LINE_BYTES,
            b"id": b"%d\n" % number,
            b"level": b"%d\n" % level,
            b"number_of_sets": b"%d\n" % ((size << 10) // _LINE_BYTES // ways),
            b"physical_line_partition": b"1\n",
            b"shared_cpu_list": _as_list(1 << number),
            b"shared_cpu_map": _as_mask(1 << number, processor_count),
            b"size": b"%dK\n" % size,
            b"type": kind + b"\n",
            b"ways_of_associativity": b"%d\n" % ways,
        }
        for index, (level, kind, size, ways) in enumerate(_CACHES)
    }


_KSM = {
    **dict.fromkeys(
        (
            *(b"full_scans", b"general_profit", b"ksm_zero_pages", b"pages_scanned", b"pages_shared"),
            *(b"pages_sharing", b"pages_skipped", b"pages_unshared", b"pages_volatile", b"run"),
            *(b"stable_node_chains", b"stable_node_dups", b"use_zero_pages"),
        ),
        b"0\n",
    ),
    b"advisor_max_cpu": b"70\n",
    b"advisor_max_pages_to_scan": b"30000\n",
    b"advisor_min_pages_to_scan": b"500\n",
    b"advisor_mode": b"[none] scan-time\n",
    b"advisor_target_scan_time": b"200\n",
    b"max_page_sharing": b"256\n",
    b"merge_across_nodes": b"1\n",
    b"pages_to_scan": b"100\n",
    b"sleep_millisecs": b"20\n",
    b"smart_scan": b"1\n",
    b"stable_node_chains_prune_millisecs": b"2000\n",
}
"""Equal pages are never merged: the scanner stands still (`mm.ksm`). Linux: mm/ksm.c, ksm_attrs."""
_HUGE_PAGES: Tree = {
    b"defrag": b"always defer defer+madvise [madvise] never\n",
    b"enabled": HugePageSetting((HugePages.ALWAYS, HugePages.MADVISE, HugePages.NEVER), is_of_folios=False),
    b"hpage_pmd_size": b"2097152\n",
    # What is touched in a row comes 64 KiB at once (mm/fault_ahead.py).
    b"hugepages-64kB": {
        b"enabled": HugePageSetting(
            (HugePages.ALWAYS, HugePages.INHERIT, HugePages.MADVISE, HugePages.NEVER), is_of_folios=True
        ),
        b"shmem_enabled": b"always inherit within_size advise [never]\n",
    },
    # Nobody collects small pages to large ones. Linux: mm/khugepaged.c, khugepaged_attr.
    b"khugepaged": {
        b"alloc_sleep_millisecs": b"60000\n",
        b"defrag": b"1\n",
        b"full_scans": b"0\n",
        b"max_ptes_none": b"511\n",
        b"max_ptes_shared": b"256\n",
        b"max_ptes_swap": b"64\n",
        b"pages_collapsed": b"0\n",
        b"pages_to_scan": b"4096\n",
        b"scan_sleep_millisecs": b"10000\n",
    },
    b"shmem_enabled": b"always within_size advise [never] deny force\n",
    b"shrink_underused": b"1\n",
    b"use_zero_page": b"1\n",
}


_CONTROL_GROUPS: Tree = {
    b"delegate": b"cgroup.procs\ncgroup.threads\ncgroup.subtree_control\nmemory.oom.group\nmemory.reclaim\n",
    b"features": b"nsdelegate\nfavordynmods\nmemory_localevents\nmemory_recursiveprot\n"
    b"memory_hugetlb_accounting\npids_localevents\n",
}
"""Which files of a group are its user's to write whom it's delegated to, and what the mount may be told.

Linux: kernel/cgroup/cgroup.c, cgroup_sysfs_attrs.
"""
_NOTES = b"notes"
_NOTE = Words("<III")
_BUILD_ID, _BUILD_SALT = 3, 0x100


def _kernel_notes() -> bytes:
    """The notes of the kernel's own ELF file: by which a debugger knows which build it is, and what is said
    at building to tell that from others. Linux: kernel/ksysfs.c, notes_read; include/linux/build-salt.h.
    """
    # As long as a linker's, and another one for another release.
    build_id = (RELEASE * 20)[:20]
    notes = ((b"GNU\0", _BUILD_ID, build_id), (b"Linux\0", _BUILD_SALT, RELEASE + b"\0"))
    return b"".join(
        _NOTE.pack(len(name), len(contents), kind)
        + name.ljust(-(-len(name) // 4) * 4, b"\0")
        + contents.ljust(-(-len(contents) // 4) * 4, b"\0")
        for name, kind, contents in notes
    )


@cache
def tree_for(processor_count: int) -> Tree:
    """What is in the sysfs of a machine: attributes with their contents, and directories."""
    every = _as_list((1 << processor_count) - 1)
    mask = _as_mask((1 << processor_count) - 1, processor_count)
    processors: dict[bytes, bytes | Tree] = {
        b"cpu%d" % number: {
            b"cache": _caches(number, processor_count),
            b"topology": _topology(number, processor_count),
        }
        for number in range(processor_count)
    }
    return {
        b"block": {},
        b"bus": {},
        # The other kinds are those that tools expect to list.
        b"class": {b"block": {}, b"hwmon": {}, b"net": {}, b"power_supply": {}, b"thermal": {}, **CLASSES},
        b"dev": {b"block": {}, b"char": BY_NUMBER},
        b"devices": {
            b"virtual": {b"net": {}, **VIRTUAL},
            b"system": {
                b"cpu": {
                    **processors,
                    b"isolated": b"\n",
                    b"kernel_max": b"%d\n" % (processor_count - 1),
                    b"offline": b"\n",
                    b"online": every,
                    b"possible": every,
                    b"present": every,
                },
                b"node": {
                    b"has_cpu": b"0\n",
                    b"has_memory": b"0\n",
                    b"has_normal_memory": b"0\n",
                    b"node0": {b"cpulist": every, b"cpumap": mask, b"distance": b"10\n"},
                    b"online": b"0\n",
                    b"possible": b"0\n",
                },
            },
        },
        b"firmware": {},
        b"fs": {b"cgroup": {}},
        b"kernel": {
            b"address_bits": b"64\n",
            b"cgroup": _CONTROL_GROUPS,
            b"cpu_byteorder": b"little\n",
            b"fscaps": b"1\n",
            b"mm": {b"ksm": _KSM, b"transparent_hugepage": _HUGE_PAGES},
            _NOTES: _kernel_notes(),
            b"oops_count": b"0\n",
            b"warn_count": b"0\n",
        },
        b"module": {},
        b"power": {},
    }


class SysFileSystem(Superblock):
    """sysfs (sysfs(5))."""

    __slots__ = ("kernel", "network")

    forbids_execution: ClassVar[bool] = True

    has_uuid: ClassVar[bool] = True
    has_xattrs: ClassVar[bool] = True
    keeps_user_xattrs: ClassVar[bool] = False
    largest_file: ClassVar[int] = LARGEST_OF_OLD
    longest_name: ClassVar[int] = PATH_MAX

    def __init__(self, kernel: Kernel, network: Network) -> None:
        super().__init__(kernel.vfs, "sysfs", SYSFS_MAGIC)
        self.kernel = kernel
        self.network = network
        self.root = SysDirectory(self, ())
        self.root.mode = S_IFDIR | 0o555

    def shut_down(self) -> None:
        self.network.sysfs = None


def sysfs_of(kernel: Kernel, network: Network) -> SysFileSystem:
    """The sysfs that tasks in `network` mount, made at first use."""
    system = network.sysfs
    if system is None:
        system = network.sysfs = SysFileSystem(kernel, network)
    assert isinstance(system, SysFileSystem)
    return system


class SysfsType(FileSystemType):
    """The same file system for all of a network namespace. Linux: fs/sysfs/mount.c, sysfs_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"sysfs"
    is_always_visible: ClassVar[bool] = False

    def begin(self, context: MountContext) -> None:
        """Linux: fs/sysfs/mount.c, sysfs_init_fs_context."""
        context.show_namespace(context.task.namespaces.network)

    def owner_of_tree(self, context: MountContext) -> UserNamespace:
        """The machine's, as its context is global. Linux: fs/super.c, sget_fc."""
        owner: UserNamespace = context.kernel.vfs.init_user_namespace
        return owner

    def get_tree(self, context: MountContext) -> SysFileSystem:
        """Linux: fs/sysfs/mount.c, sysfs_get_tree."""
        return sysfs_of(context.kernel, context.namespace)


class SysDirectory(KernfsDirectory):
    """A directory of sysfs; `path` is its place in the tree. Nothing can be made or removed in it."""

    __slots__ = ("path", "sysfs")

    def __init__(self, superblock: SysFileSystem, path: tuple[bytes, ...]) -> None:
        super().__init__(superblock)
        self.sysfs = superblock
        self.path = path

    @property
    def tree(self) -> Tree:
        """What is in it."""
        tree = tree_for(len(self.sysfs.kernel.scheduler.processors))
        for name in self.path:
            below = tree[name]
            assert isinstance(below, Mapping)
            tree = below
        return tree

    def lookup(self, name: bytes) -> Inode:
        found = self.tree.get(name)
        if found is None:
            raise ENOENT
        superblock = self.sysfs
        place = (*self.path, name)
        if place in _OF_INTERFACES:
            return NetworkDirectory(superblock, superblock.network, is_class=place == _OF_INTERFACES[0])
        if isinstance(found, Link):
            return SysLink(superblock, found.target)
        if isinstance(found, HugePageSetting):
            return HugePageAttribute(superblock, found)
        if isinstance(found, bytes):
            attribute = SysAttribute(superblock, found)
            if name == _NOTES:
                attribute.size = len(found)
            return attribute
        return SysDirectory(superblock, place)

    def list_entries(self) -> list[DirectoryEntry]:
        # Numbers are given when a name is looked up; a listing needs any that isn't 0.
        return [
            DirectoryEntry(name, position + 1, _file_type(found) >> 12)
            for position, (name, found) in enumerate(self.tree.items())
        ]


def _file_type(found: bytes | Link | HugePageSetting | Tree) -> int:
    if isinstance(found, bytes | HugePageSetting):
        return S_IFREG
    return S_IFLNK if isinstance(found, Link) else S_IFDIR


class SysLink(Inode):
    """A symbolic link of sysfs, from a device to its class or the other way round."""

    __slots__ = ("target",)

    def __init__(self, superblock: SysFileSystem, target: bytes) -> None:
        super().__init__(superblock, S_IFLNK | 0o777)
        self.target = target

    def readlink(self) -> bytes:
        return self.target


class SysAttribute(Inode):
    """A file of sysfs with fixed contents."""

    __slots__ = ("contents",)

    def __init__(self, superblock: SysFileSystem, contents: bytes) -> None:
        super().__init__(superblock, S_IFREG | 0o444)
        self.contents = contents
        self.size = ATTRIBUTE_SIZE

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return open_attribute(path, flags, subject, self)

    def truncate(self, size: int) -> None:
        """Allowed and without effect (in Linux, kernfs_iop_setattr)."""

    def show(self, subject: Subject) -> bytes:
        """The contents."""
        return self.contents

    def store(self, data: bytes, subject: Subject) -> None:
        """No attribute can be changed."""
        raise EIO


class HugePageAttribute(Inode):
    """transparent_hugepage/enabled, or that of a size.

    Linux: mm/huge_memory.c, enabled_show, enabled_store, anon_enabled_store.
    """

    __slots__ = ("setting", "sysfs")

    def __init__(self, superblock: SysFileSystem, setting: HugePageSetting) -> None:
        super().__init__(superblock, S_IFREG | 0o644)
        self.sysfs = superblock
        self.setting = setting
        self.size = ATTRIBUTE_SIZE

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return open_attribute(path, flags, subject, self)

    def truncate(self, size: int) -> None:
        """Allowed and without effect (in Linux, kernfs_iop_setattr)."""

    def show(self, subject: Subject) -> bytes:
        """All words, in their order."""
        memory = self.sysfs.kernel.memory
        present = memory.folios if self.setting.is_of_folios else memory.huge_pages
        words = ((b"[%s]" if word == present else b"%s") % _word_of(word) for word in self.setting.words)
        return b" ".join(words) + b"\n"

    def store(self, data: bytes, subject: Subject) -> None:
        """Raises EINVAL for what is none of the words."""
        text = data.split(b"\0", 1)[0].removesuffix(b"\n")
        memory = self.sysfs.kernel.memory
        for word in self.setting.words:
            if text == _word_of(word):
                if self.setting.is_of_folios:
                    memory.folios = int(word)
                else:
                    memory.huge_pages = int(word)
                return
        raise EINVAL("none of the words")


def _word_of(setting: HugePages) -> bytes:
    return setting.name.lower().encode()

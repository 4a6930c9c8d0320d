"""What a machine holds when every program has ended and been reaped: its page caches, init, and its files."""

from __future__ import annotations

import gc

from procession.hardware.kernel_memory import KIND_NAMES
from procession.machine import Machine
from procession.mm.page_cache import PageCache
from tests.kernel.process_ids import groups_by_id, sessions_by_id, tasks_by_id
from tests.properties.page_walk import census, tables_of


class LeakCheck:
    """Notes what a machine holds before programs run in it; `problems` says what is left of them.

    Page caches are found among all objects of this process: a file that only its name keeps has one too.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.before = self._holdings()

    def _holdings(self) -> dict[str, object]:
        kernel = self.machine.kernel
        init = self.machine.init
        return {
            "tasks": [1, *(tid for tid in tasks_by_id(kernel) if tid != 1)],
            "process groups": list(groups_by_id(kernel)) or [1],
            "sessions": list(sessions_by_id(kernel)) or [1],
            "address spaces": len(kernel.memory.address_spaces),
            "open files": kernel.vfs.accounts.file_count,
            "locks": kernel.vfs.accounts.lock_count,
            "namespaces": list(kernel.vfs.namespaces.live),
            "counted for users": dict(kernel.vfs.init_user_namespace.counts),
            "timers": kernel.timers.armed_count,
            "charged for objects": {
                name: size
                for name, size in zip(KIND_NAMES, kernel.memory.account.kinds, strict=True)
                # Files stay, and the first pipe or socket makes its file system.
                if size and name not in {"inode", "text", "mount"}
            },
            "users of the root mount": init.fs.root.mount.user_count,
            "init's children": list(init.children),
            "init's memory": len(list(tables_of(kernel.memory, init.mm.tables.root)))
            + init.mm.resident_pages,
        }

    def _own_frames(self) -> int:
        """The frames that init itself uses: tables and pages."""
        init = self.machine.init.mm
        return len(list(tables_of(self.machine.memory, init.tables.root))) + init.resident_pages

    def caches(self) -> list[PageCache]:
        """The page caches of this machine."""
        memory = self.machine.memory
        return [
            thing for thing in gc.get_objects() if isinstance(thing, PageCache) and thing.memory is memory
        ]

    def problems(self) -> list[str]:
        """What is held beyond what was held before and what page caches hold, in words."""
        memory, caches = self.machine.memory, self.caches()
        after = self._holdings()
        problems = [
            f"{what}: {value} before, {after[what]} after"
            for what, value in self.before.items()
            if value != after[what]
        ]
        problems += census(memory, caches)
        cached = sum(len(cache.frames) + len(cache.orphans) for cache in caches)
        own = self._own_frames()
        if memory.used_frames != cached + own:
            problems.append(f"{memory.used_frames} frames are used, {cached} by page caches, {own} by init")
        if any(cache.area_count for cache in caches):
            problems.append("a page cache counts areas that map it")
        return problems

"""Allocations that fail on purpose, one at a time, to see that nothing is lost or left half made."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from procession.hardware.kernel_memory import KernelMemory
from procession.hardware.physical_memory import OutOfFrames, PhysicalMemory


class FaultInjector:
    """Lets one allocation fail after it was armed (Linux: lib/fault-inject.c, /proc/PID/fail-nth).

    `count` says how many allocations there were since, `failed` the kind of the one that was refused, "" if
    none has been yet. Kinds are "frame" (a page frame), "object" (what one of the kernel takes), "pid" (a
    process id) and "file" (an open file).
    """

    __slots__ = ("count", "fail_at", "failed", "kind")

    def __init__(self, fail_at: int = 0, kind: str = "") -> None:
        self.arm(fail_at, kind)

    def arm(self, fail_at: int, kind: str = "") -> None:
        """Let the allocation number `fail_at` from now fail, 1 being the next; 0 lets all succeed.

        Only allocations of `kind` count, "" means all.
        """
        self.fail_at = fail_at
        self.kind = kind
        self.count = 0
        self.failed = ""

    def refuses(self, kind: str) -> bool:
        """Count an allocation of `kind`; whether it shall fail."""
        if self.kind and kind != self.kind:
            return False
        self.count += 1
        if self.count != self.fail_at:
            return False
        self.failed = kind
        return True


class FailingAccount(KernelMemory):
    """Room for the kernel's objects, which an injector may refuse."""

    __slots__ = ("injector",)

    OUTSIDE_STATE: ClassVar[tuple[str, ...]] = ("injector",)

    def __init__(self, memory: PhysicalMemory, injector: FaultInjector) -> None:
        super().__init__(memory)
        self.injector = injector

    def charge(self, kind: int, size: int) -> None:
        """As always, or OutOfFrames."""
        if self.injector.refuses("object"):
            raise OutOfFrames
        super().charge(kind, size)

    def can_charge(self, size: int) -> bool:
        """As always, or False."""
        return not self.injector.refuses("object") and super().can_charge(size)


class FailingMemory(PhysicalMemory):
    """Page frames, and room for objects, that an injector may refuse."""

    __slots__ = ("injector",)

    OUTSIDE_STATE: ClassVar[tuple[str, ...]] = ("injector",)

    def __init__(self, size_bytes: int, injector: FaultInjector) -> None:
        super().__init__(size_bytes)
        self.injector = injector
        self.account = FailingAccount(self, injector)

    def refuse(self) -> NoReturn:
        """As always, but nobody is killed for what was refused on purpose."""
        if self.injector.failed:
            raise OutOfFrames
        super().refuse()

    def allocate(self) -> int:
        """As always, or OutOfFrames."""
        if self.injector.refuses("frame"):
            raise OutOfFrames
        return super().allocate()

    def allocate_copy(self, source: int) -> int:
        """As always, or OutOfFrames."""
        if self.injector.refuses("frame"):
            raise OutOfFrames
        return super().allocate_copy(source)

    def allocate_with(self, contents: bytes) -> int:
        """As always, or OutOfFrames."""
        if self.injector.refuses("frame"):
            raise OutOfFrames
        return super().allocate_with(contents)

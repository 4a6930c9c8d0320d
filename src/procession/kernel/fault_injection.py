"""Process ids and open files that are refused on purpose, as frames are by hardware/fault_injection.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, ENFILE
from procession.fs.accounts import FileAccounts
from procession.fs.namespace import PID_NUMBER
from procession.kernel.namespaces.pid import PidNamespace

if TYPE_CHECKING:
    from procession.hardware.fault_injection import FaultInjector
    from procession.hardware.kernel_memory import KernelMemory
    from procession.kernel.kernel import Kernel


class FailingPids(PidNamespace):
    """The machine's first pid namespace, whose ids an injector may refuse."""

    __slots__ = ("injector",)

    def __init__(self, kernel: Kernel, injector: FaultInjector) -> None:
        super().__init__(kernel.vfs.namespaces, kernel.vfs.init_user_namespace, None, PID_NUMBER)
        self.injector = injector

    def next_number(self) -> int:
        """As always, or EAGAIN."""
        if self.injector.refuses("pid"):
            raise EAGAIN("refused on purpose")
        return super().next_number()


class FailingAccounts(FileAccounts):
    """Open files that an injector may refuse."""

    __slots__ = ("injector",)

    def __init__(self, account: KernelMemory, injector: FaultInjector) -> None:
        super().__init__(account)
        self.injector = injector

    def add_file(self) -> None:
        """As always, or ENFILE."""
        if self.injector.refuses("file"):
            raise ENFILE("refused on purpose")
        super().add_file()


def inject_failures(kernel: Kernel, injector: FaultInjector) -> None:
    """Put `injector` between a kernel that has no tasks or open files yet and what gives it ids and files."""
    kernel.init_pid_namespace = FailingPids(kernel, injector)
    kernel.vfs.accounts = FailingAccounts(kernel.memory.account, injector)

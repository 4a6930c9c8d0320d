"""Rulesets of Landlock, and how a task restricts itself by one (landlock(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import E2BIG, EINVAL
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_RDWR, File
from procession.fs.landlock import MOST_LAYERS, Layer
from procession.hardware.kernel_memory import LANDLOCK, LANDLOCK_RULE_BYTES
from procession.kernel.security.credentials import commit_credentials

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.kernel.task import Task


class RulesetFile(File):
    """A ruleset: `rights` over files and `ports` are what it handles, `scopes` what it keeps inside.

    Linux: security/landlock/syscalls.c, ruleset_fops.
    """

    __slots__ = ("file_rules", "port_rules", "ports", "rights", "scopes")

    has_read: ClassVar[bool] = True
    has_write: ClassVar[bool] = True
    takes_read_flags: ClassVar[bool] = False
    takes_write_flags: ClassVar[bool] = False
    can_poll: ClassVar[bool] = False

    def __init__(self, opener: Task, rights: int, ports: int, scopes: int) -> None:
        super().__init__(anonymous_path(opener.kernel.vfs, "[landlock-ruleset]"), O_RDWR, opener.credentials)
        self.rights = rights
        self.ports = ports
        self.scopes = scopes
        self.file_rules: dict[Inode, int] = {}
        self.port_rules: dict[int, int] = {}

    def check_can_write(self) -> None:
        """Whatever the buffer is. Linux: security/landlock/syscalls.c, fop_dummy_write."""
        super().check_can_write()
        raise EINVAL("a ruleset isn't written")

    def _charge(self) -> None:
        """One more rule takes memory. Raises OutOfFrames."""
        self.inode.superblock.vfs.accounts.account.charge(LANDLOCK, LANDLOCK_RULE_BYTES)

    def add_file_rule(self, inode: Inode, rights: int) -> None:
        """Grant `rights` beneath `inode`. Linux: security/landlock/fs.c, landlock_append_fs_rule."""
        if inode not in self.file_rules:
            self._charge()
        self.file_rules[inode] = self.file_rules.get(inode, 0) | rights

    def add_port_rule(self, port: int, rights: int) -> None:
        """Grant `rights` over a port. Linux: security/landlock/net.c, landlock_append_net_rule."""
        if port not in self.port_rules:
            self._charge()
        self.port_rules[port] = self.port_rules.get(port, 0) | rights

    def release(self) -> None:
        count = len(self.file_rules) + len(self.port_rules)
        self.inode.superblock.vfs.accounts.account.uncharge(LANDLOCK, count * LANDLOCK_RULE_BYTES)


def restrict(task: Task, ruleset: RulesetFile) -> None:
    """Add a layer to the domain of the running thread, of what the ruleset says now. Raises E2BIG.

    Linux: security/landlock/ruleset.c, landlock_merge_ruleset.
    """
    old = task.credentials
    if len(old.landlock) >= MOST_LAYERS:
        raise E2BIG(f"{MOST_LAYERS} layers are all that there may be")
    layer = Layer(
        ruleset.rights,
        ruleset.ports,
        ruleset.scopes,
        ruleset.file_rules.copy(),
        ruleset.port_rules.copy(),
    )
    commit_credentials(task, old.replace(landlock=(*old.landlock, layer)))

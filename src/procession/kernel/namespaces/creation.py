"""New namespaces for a task: what clone(2) and unshare(2) make of those that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.fs.mounts.namespace import copy_mount_namespace
from procession.fs.namespace import CLONE_NEWNS
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.fs_context import FsContext
    from procession.kernel.namespaces.proxy import NsProxy
    from procession.kernel.security.credentials import Credentials


def create_namespaces(old: NsProxy, flags: int, context: FsContext, credentials: Credentials) -> NsProxy:
    """Those of `old`, with new ones of the kinds that `flags` name (CLONE_NEW*), which the caller holds.

    They belong to the user namespace of `credentials`, and count against their effective user. `context` is
    the task's own root and current directory, which move into a new mount namespace. Raises ENOSPC, EPERM,
    OutOfFrames, and then nothing has changed. Linux: kernel/nsproxy.c, create_new_namespaces.
    """
    new = old.copy()
    if flags & CLONE_NEWNS:
        try:
            mounts = copy_mount_namespace(
                old.mounts, context, credentials.user_namespace, charged_uid=credentials.euid
            )
        except (Errno, OutOfFrames):
            new.put()
            raise
        new.mounts.put()
        new.mounts = mounts
    return new

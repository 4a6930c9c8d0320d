"""Handles of an overlay's files, which only tell them apart: nothing is opened by them (AT_HANDLE_FID).

Linux: fs/overlayfs/export.c, ovl_export_fid_operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.handle import ExportOperations
from procession.fs.overlayfs.inode import LayeredInode
from procession.fs.overlayfs.notes import describe_origin

if TYPE_CHECKING:
    from procession.fs.inode import Inode

_OVL_FILEID_V1 = 0xF8
_PADDING = bytes(3)
_PATH_UPPER = 1 << 2
"""The file is of the upper layer, and no copy (Linux: fs/overlayfs/overlayfs.h, OVL_FH_FLAG_PATH_UPPER)."""


class OverlayFids(ExportOperations):
    """A handle is that of the layer's file, of the one below if there is one: a copy keeps it."""

    __slots__ = ()

    kind = _OVL_FILEID_V1

    def encode(self, inode: Inode) -> bytes:
        """Linux: fs/overlayfs/export.c, ovl_dentry_to_fid, ovl_check_encode_origin."""
        assert isinstance(inode, LayeredInode)
        upper, lowers = inode.upper, inode.lowers
        is_root = inode.place is None
        if upper is None or (lowers and not is_root):
            return _PADDING + describe_origin(lowers[0].inode)
        origin = inode.overlay.notes.read(upper.inode, b"origin")
        if origin and not is_root:
            return _PADDING + origin
        return _PADDING + describe_origin(upper.inode, _PATH_UPPER)

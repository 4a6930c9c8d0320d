"""What an overlay is mounted with, once what was asked for has been settled.

Linux: fs/overlayfs/params.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EINVAL, EPERM
from procession.fs.overlayfs.file_system_type import CHOICES

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.mounts.context import MountContext
    from procession.fs.permission import Subject

_UNBUILT = (b"index", b"nfs_export", b"metacopy")
_CAP_DAC_READ_SEARCH = int(Capability.CAP_DAC_READ_SEARCH)
_CAP_SYS_ADMIN = int(Capability.CAP_SYS_ADMIN)


class OverlayOptions:
    """Linux: fs/overlayfs/ovl_entry.h, struct ovl_config.

    `redirect` is `on`, `follow` or `nofollow`: whether renamed directories note where they were, and whether
    such notes count; `chosen` are the other choices. It `has_several` file systems among its layers,
    and `has_handles` if files of all can be opened by some.
    """

    __slots__ = ("chosen", "has_handles", "has_several", "is_trusted", "redirect", "uses_user_names")

    def __init__(self, context: MountContext, *, has_upper: bool) -> None:
        """Raises EINVAL and EPERM for what can't be together. Linux: fs/overlayfs/params.c,
        ovl_fs_params_verify."""
        values = context.values
        told: dict[bytes, bytes] = {key: values[key.decode()] for key in CHOICES if key.decode() in values}
        chosen = {b"index": b"off", b"nfs_export": b"off", b"metacopy": b"off", b"verity": b"off"}
        chosen |= {b"uuid": b"auto", b"xino": b"auto", b"fsync": b"auto"} | told
        if "volatile" in values:
            chosen[b"fsync"] = b"volatile"
        redirect = told.get(b"redirect_dir", b"follow").replace(b"off", b"follow")
        if not has_upper:
            chosen[b"index"] = b"off"
            if chosen[b"fsync"] == b"volatile":
                chosen[b"fsync"] = b"auto"
            if chosen[b"uuid"] == b"on":
                chosen[b"uuid"] = b"null"
            if redirect == b"follow":
                redirect = b"on"
        if chosen[b"verity"] != b"off" and chosen[b"metacopy"] == b"off":
            if b"metacopy" in told:
                raise EINVAL("conflicting options: metacopy=off,verity")
            chosen[b"metacopy"] = b"on"
        if chosen[b"metacopy"] == b"on" and redirect != b"on":
            if b"redirect_dir" not in told:
                redirect = b"on"
            elif b"metacopy" in told or chosen[b"verity"] != b"off":
                raise EINVAL("conflicting options: metacopy=on and redirect_dir")
        if chosen[b"nfs_export"] == b"on" and chosen[b"index"] == b"off":
            if not has_upper and redirect != b"nofollow":
                chosen[b"nfs_export"] = b"off"
            elif b"index" in told:
                raise EINVAL("conflicting options: nfs_export=on,index=off")
            else:
                chosen[b"index"] = b"on"
        self.uses_user_names = "userxattr" in values
        self.is_trusted = context.subject.has_capability(_CAP_SYS_ADMIN)
        is_noting = b"redirect_dir" in told and redirect != b"nofollow"
        is_noting = is_noting or b"on" in (told.get(b"metacopy"), chosen[b"metacopy"])
        if self.uses_user_names:
            if is_noting:
                raise EINVAL("conflicting options: userxattr, and what takes other attributes")
            redirect = b"nofollow"
        elif not self.is_trusted and is_noting:
            raise EPERM("what takes trusted attributes needs CAP_SYS_ADMIN or userxattr")
        self.redirect = redirect
        self.chosen = chosen
        self.has_several = self.has_handles = False

    @property
    def follows_redirects(self) -> bool:
        """Whether notes of where directories were count (in Linux, ovl_redirect_follow)."""
        return self.redirect != b"nofollow"

    @property
    def makes_redirects(self) -> bool:
        """Whether renamed directories note where they were (in Linux, ovl_redirect_dir)."""
        return self.redirect == b"on"

    @property
    def allows_offline_changes(self) -> bool:
        """Whether the layers below may be others the next time (in Linux, ovl_allow_offline_changes)."""
        return self.redirect != b"on" and self.chosen[b"xino"] != b"on"

    def settle_handles(self, subject: Subject, layers: list[Path]) -> None:
        """Who can't open the layers' files by handles has no index. Linux: fs/overlayfs/util.c,
        ovl_can_decode_fh."""
        exports = [layer.mount.superblock.exports for layer in layers]
        self.has_handles = None not in exports and subject.has_capability(_CAP_DAC_READ_SEARCH)
        if not self.has_handles:
            self.chosen[b"index"] = self.chosen[b"nfs_export"] = b"off"

    def do_without_notes(self) -> None:
        """Nothing can be noted in the upper layer. Linux: fs/overlayfs/super.c, ovl_make_workdir."""
        self.redirect = b"nofollow"
        self.chosen[b"index"] = self.chosen[b"nfs_export"] = b"off"
        if self.chosen[b"uuid"] != b"off":
            self.chosen[b"uuid"] = b"null"

    def settle_layers(self, context: MountContext, *, has_upper: bool, is_one_file_system: bool) -> None:
        """Raises EINVAL for what isn't built, and is left. Linux: fs/overlayfs/super.c, ovl_fill_super."""
        chosen = self.chosen
        if chosen[b"uuid"] == b"off" and not (has_upper and is_one_file_system):
            chosen[b"uuid"] = b"null"
        # Else numbers of files are those of the layers.
        self.has_several = not is_one_file_system
        if chosen[b"xino"] == b"on" and not is_one_file_system:
            raise context.refuse("xino=on isn't configured in")
        for key in _UNBUILT:
            if chosen[key] == b"on":
                raise context.refuse(f"{key.decode()}=on isn't configured in")

    def show(self) -> list[bytes]:
        """What isn't as it is without saying. Linux: fs/overlayfs/params.c, ovl_show_options."""
        chosen = self.chosen
        shown = [b"redirect_dir=" + self.redirect] if self.redirect != b"follow" else []
        if chosen[b"uuid"] != b"auto":
            shown.append(b"uuid=" + chosen[b"uuid"])
        if chosen[b"xino"] != b"auto" and self.has_several:
            shown.append(b"xino=" + chosen[b"xino"])
        if chosen[b"fsync"] != b"auto":
            shown.append(b"fsync=" + chosen[b"fsync"])
        if self.uses_user_names:
            shown.append(b"userxattr")
        return shown

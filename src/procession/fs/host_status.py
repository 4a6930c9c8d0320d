"""What is known of a host's file before anything of it is read."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple


class HostStatus(NamedTuple):
    """What a guest sees of a host file's metadata. Times other than `mtime_ns` change without the guest."""

    mode: int
    uid: int
    gid: int
    rdev: int
    size: int
    link_count: int
    mtime_ns: int
    is_pseudo: bool
    """Whether it belongs to one of the host kernel's own file systems, such as /proc."""

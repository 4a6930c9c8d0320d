"""Who is at the other end of a local socket, as it was when the connection was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.net.host import Caller, Process


class PeerIdentity:
    """A process and its effective ids (in Linux, sk_peer_pid and sk_peer_cred; SO_PEERCRED of unix(7)).

    `process` has the id, and is what the kernel makes a pidfd from.
    """

    __slots__ = ("gid", "groups", "process", "uid")

    def __init__(self, caller: Caller) -> None:
        credentials = caller.credentials
        self.process = caller.group
        self.uid = credentials.euid
        self.gid = credentials.egid
        self.groups = credentials.groups


class SenderCredentials:
    """Who sent a message: the real ids, or those that the sender claimed (SCM_CREDENTIALS of unix(7))."""

    __slots__ = ("gid", "process", "uid")

    def __init__(self, process: Process, uid: int, gid: int) -> None:
        self.uid = uid
        self.gid = gid
        self.process = process

    def is_same(self, other: SenderCredentials | None) -> bool:
        """Whether both speak of one sender."""
        return other is not None and (
            self.uid == other.uid and self.gid == other.gid and self.process is other.process
        )


def credentials_of(caller: Caller) -> SenderCredentials:
    """Those that a message gets from the kernel."""
    credentials = caller.credentials
    return SenderCredentials(caller.group, credentials.uid, credentials.gid)

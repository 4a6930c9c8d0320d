"""Messages: as they wait in a socket's queue, and as a receiver gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.errno import EINVAL

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.net.peer_identity import SenderCredentials


class Charged(Protocol):
    """Whose buffer a message takes room in."""

    def uncharge(self, size: int) -> None:
        """`size` bytes of room are free again."""


class PassedFiles:
    """Open files that go with a message (SCM_RIGHTS), each held by a reference (Linux: include/net/scm.h,
    struct scm_fp_list).

    `owner_uid` is whose they count as while they are on their way.
    """

    __slots__ = ("files", "owner_uid")

    def __init__(self, files: tuple[File, ...], owner_uid: int) -> None:
        self.files = files
        self.owner_uid = owner_uid

    def copy(self) -> PassedFiles:
        """The same files, held once more."""
        for file in self.files:
            file.acquire()
        return PassedFiles(self.files, self.owner_uid)

    def release(self) -> None:
        """Give the references back."""
        files, self.files = self.files, ()
        for file in files:
            file.put()


class Message:
    """What was sent at once and waits to be received (Linux: include/linux/skbuff.h, struct sk_buff).

    `offset` is how much of a stream's message has been received; `charge` the room that it takes in the
    buffer of `charged`, the sender; `time_ns` when it was sent, since the epoch, 0 unless the receiver wants
    to know; `is_peeked` says of an empty one that it has been looked at.
    """

    __slots__ = ("charge", "charged", "credentials", "data", "files", "is_peeked", "offset", "time_ns")

    def __init__(
        self,
        data: bytes,
        charge: int,
        charged: Charged,
        credentials: SenderCredentials | None = None,
        files: PassedFiles | None = None,
    ) -> None:
        self.data = data
        self.offset = 0
        self.charge = charge
        self.charged = charged
        self.credentials = credentials
        self.files = files
        self.is_peeked = False
        self.time_ns = 0


def is_passed_over(size: int, skipped: int, *, is_peeked: bool) -> bool:
    """Whether SO_PEEK_OFF, which has `skipped` bytes to go yet, has come past a message of this size: an
    empty one counts the first time.

    Linux: net/core/datagram.c, __skb_try_recv_from_queue.
    """
    return skipped >= size and (skipped > 0 or is_peeked)


class Control:
    """What goes with a message beside its bytes (ancillary data, cmsg(3)).

    `credentials` were claimed by the sender and checked. `items` are (level, type, data) of other protocols,
    whose sockets look at them late: `is_cut_short` says that one with an impossible length was next. `fds`
    are the sender's descriptors that led to `files`.
    """

    __slots__ = ("credentials", "fds", "files", "is_cut_short", "items")

    def __init__(self) -> None:
        self.files: PassedFiles | None = None
        self.fds: list[int] = []
        self.credentials: SenderCredentials | None = None
        self.items: list[tuple[int, int, bytes]] = []
        self.is_cut_short = False

    def checked_items(self) -> list[tuple[int, int, bytes]]:
        """The items. Raises EINVAL."""
        if self.is_cut_short:
            raise EINVAL("the length of a control message")
        return self.items

    def release(self) -> None:
        """Give back what wasn't sent."""
        files, self.files = self.files, None
        if files is not None:
            files.release()


class Received:
    """What one call receives.

    `length` is that of the whole message, even if `data` holds less; `flags` are MSG_* that the call
    reports. `address` is the sender's, as a sockaddr. Who doesn't take `files` calls `release`.
    `credentials` are there if the receiver wants to know, and `items` are (level, type, data) of other
    control messages. `is_end` says that there was no message: nobody sent it, and nothing goes with it.
    """

    __slots__ = ("address", "credentials", "data", "files", "flags", "is_end", "items", "length")

    def __init__(self, data: bytes, length: int, flags: int = 0, address: bytes | None = None) -> None:
        self.data = data
        self.length = length
        self.flags = flags
        self.address = address
        self.credentials: SenderCredentials | None = None
        self.files: PassedFiles | None = None
        self.items: list[tuple[int, int, bytes]] | None = None
        self.is_end = False

    def release(self) -> None:
        """Nobody takes the files."""
        files, self.files = self.files, None
        if files is not None:
            files.release()

"""What ioctl(2) tells of the queues of sockets that keep messages apart: SIOCINQ and SIOCOUTQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.ioctls import SocketIoctl
from procession.abi.word import pack_u32

if TYPE_CHECKING:
    from procession.fs.file import UserMemory

_SIOCINQ = int(SocketIoctl.SIOCINQ)
QUEUE_REQUESTS = (_SIOCINQ, int(SocketIoctl.SIOCOUTQ))


def tell_queue(
    first_bytes: int, request: int, argument: int, memory: UserMemory, *, held_bytes: int = 0
) -> int:
    """Answer a request for the length of the first message that waits, or (SIOCOUTQ) for the memory of what
    is on its way: nothing but what is kept back, as what is sent has arrived. Raises EFAULT.
    """
    memory.write(argument, pack_u32(first_bytes if request == _SIOCINQ else held_bytes))
    return 0

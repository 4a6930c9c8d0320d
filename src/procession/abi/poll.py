"""poll(2) and epoll(7): events, and the structures that carry them."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I16, I32, U32, U64, Structure


class PollEvent(IntFlag):
    """poll(2)'s events."""

    POLLIN = 1
    POLLPRI = 2
    POLLOUT = 4
    POLLERR = 8
    POLLHUP = 0x10
    POLLNVAL = 0x20
    POLLRDNORM = 0x40
    POLLRDBAND = 0x80
    POLLWRNORM = 0x100
    POLLWRBAND = 0x200
    POLLMSG = 0x400
    POLLREMOVE = 0x1000
    POLLRDHUP = 0x2000


class EpollEvents(IntFlag):
    """epoll(7)'s events: the numbers of poll(2), and four flags of its own."""

    EPOLLIN = 1
    EPOLLPRI = 2
    EPOLLOUT = 4
    EPOLLERR = 8
    EPOLLHUP = 0x10
    EPOLLNVAL = 0x20
    EPOLLRDNORM = 0x40
    EPOLLRDBAND = 0x80
    EPOLLWRNORM = 0x100
    EPOLLWRBAND = 0x200
    EPOLLMSG = 0x400
    EPOLLRDHUP = 0x2000
    EPOLLEXCLUSIVE = 0x10000000
    EPOLLWAKEUP = 0x20000000
    EPOLLONESHOT = 0x40000000
    EPOLLET = 0x80000000


class EpollOperation(IntEnum):
    """epoll_ctl(2)."""

    EPOLL_CTL_ADD = 1
    EPOLL_CTL_DEL = 2
    EPOLL_CTL_MOD = 3


class EpollFlag(IntFlag):
    """epoll_create1(2)."""

    EPOLL_CLOEXEC = 0o2000000


class Pollfd(Structure):
    """struct pollfd."""

    fd: I32 = 0
    events: I16 = 0
    revents: I16 = 0


class EpollEvent(Structure, is_packed=True):
    """struct epoll_event: packed on x86-64, 12 bytes."""

    events: U32 = 0
    data: U64 = 0

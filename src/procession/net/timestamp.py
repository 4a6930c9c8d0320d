"""When a message came, or was sent: SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING (socket(7))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT, EOPNOTSUPP
from procession.abi.ioctls import SocketIoctl
from procession.abi.socket import ControlMessageType, SocketLevel, SocketOption, Timestamping
from procession.abi.word import Words

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.socket import Socket

_NANOSECOND_REQUESTS = (int(SocketIoctl.SIOCGSTAMPNS_OLD), int(SocketIoctl.SIOCGSTAMPNS_NEW))
STAMP_REQUESTS = (
    int(SocketIoctl.SIOCGSTAMP_OLD),
    int(SocketIoctl.SIOCGSTAMP_NEW),
    *_NANOSECOND_REQUESTS,
)
_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
_PASSED_OVER = (int(ControlMessageType.SCM_RIGHTS), int(ControlMessageType.SCM_CREDENTIALS))
SO_TIMESTAMP = int(SocketOption.SO_TIMESTAMP_OLD)
SO_TIMESTAMPNS = int(SocketOption.SO_TIMESTAMPNS_OLD)
_SO_TIMESTAMP_NEW = int(SocketOption.SO_TIMESTAMP_NEW)
_SO_TIMESTAMPNS_NEW = int(SocketOption.SO_TIMESTAMPNS_NEW)
TIMESTAMPS = (SO_TIMESTAMPNS, _SO_TIMESTAMPNS_NEW, SO_TIMESTAMP, _SO_TIMESTAMP_NEW)
"""Of these only one is on; the control message has the option's number."""
_NANOSECONDS = TIMESTAMPS[:2]
SO_TIMESTAMPING = int(SocketOption.SO_TIMESTAMPING_OLD)
TIMESTAMPING = (SO_TIMESTAMPING, int(SocketOption.SO_TIMESTAMPING_NEW))
_OLD_AND_NEW = ((SO_TIMESTAMPNS, _SO_TIMESTAMPNS_NEW), (SO_TIMESTAMP, _SO_TIMESTAMP_NEW))
_NEW = (_SO_TIMESTAMPNS_NEW, _SO_TIMESTAMP_NEW)
_TOLD_WITH_MESSAGES = (
    *TIMESTAMPS,
    *(int(SocketOption.SO_RXQ_OVFL), int(SocketOption.SO_RCVMARK), int(SocketOption.SO_RCVPRIORITY)),
)
_ABOUT_MESSAGES = frozenset((*_TOLD_WITH_MESSAGES, *TIMESTAMPING))
_TIME = Words("<qq")
_THREE_TIMES = Words("<6q")
"""struct scm_timestamping: the system's time, and two that only hardware has."""
_KNOWN = sum(map(int, Timestamping))
_REPORTED = int(Timestamping.SOF_TIMESTAMPING_SOFTWARE)
_RECEIVED = int(Timestamping.SOF_TIMESTAMPING_RX_SOFTWARE)
_FILTERED = int(Timestamping.SOF_TIMESTAMPING_OPT_RX_FILTER)
"""Nothing is told of what came that only another option wanted to know."""
_SENT, _SCHEDULED = (
    int(Timestamping.SOF_TIMESTAMPING_TX_SOFTWARE),
    int(Timestamping.SOF_TIMESTAMPING_TX_SCHED),
)
_ACKNOWLEDGED = int(Timestamping.SOF_TIMESTAMPING_TX_ACK)
_COMPLETED = int(Timestamping.SOF_TIMESTAMPING_TX_COMPLETION)
"""Bluetooth alone tells of it."""
_RECORDED = _SENT | _SCHEDULED | _ACKNOWLEDGED | _COMPLETED | int(Timestamping.SOF_TIMESTAMPING_TX_HARDWARE)
"""What control messages may say."""
_STAGES = ((_SCHEDULED, 1), (_SENT, 0))
"""What a packet passes on its way, as it does, with SCM_TSTAMP_*: the interface's queue, and its driver."""
ACKNOWLEDGED_STAGE = 2
"""SCM_TSTAMP_ACK: the other end has the last byte."""
NUMBERED = int(Timestamping.SOF_TIMESTAMPING_OPT_ID)
TIME_ONLY = int(Timestamping.SOF_TIMESTAMPING_OPT_TSONLY)
TOLD_OFFENDER = int(Timestamping.SOF_TIMESTAMPING_OPT_CMSG)
NUMBERED_FROM_LAST = int(Timestamping.SOF_TIMESTAMPING_OPT_ID_TCP)
STATISTICS = int(Timestamping.SOF_TIMESTAMPING_OPT_STATS)
_TOLD_STATISTICS = int(ControlMessageType.SCM_TIMESTAMPING_OPT_STATS)
_BOUND_TO_CLOCK = int(Timestamping.SOF_TIMESTAMPING_BIND_PHC)


def set_timestamping(socket: Socket, name: int, flags: int) -> None:
    """SO_TIMESTAMPING. Raises EINVAL, EOPNOTSUPP. Linux: net/core/sock.c, sock_set_timestamping."""
    if flags & ~_KNOWN:
        raise EINVAL("unknown flags")
    if flags & NUMBERED_FROM_LAST and not flags & NUMBERED:
        raise EINVAL("what isn't numbered has no first number")
    before = timestamping_flags(socket.options)
    if flags & NUMBERED and not before & NUMBERED:
        socket.start_numbering(flags)
    if flags & STATISTICS and not flags & TIME_ONLY:
        raise EINVAL("statistics go only with the time alone")
    if flags & _BOUND_TO_CLOCK:
        raise EOPNOTSUPP("no interface has a clock")
    for option in TIMESTAMPING:
        socket.options.pop(option, None)
    socket.options[name] = flags
    for old, new in _OLD_AND_NEW:
        _take_form(socket.options, old, new, is_new=name == TIMESTAMPING[1])


def switch_timestamp(options: dict[int, int], name: int, number: int) -> None:
    """SO_TIMESTAMP or SO_TIMESTAMPNS: one at a time. Linux: net/core/sock.c, sock_set_timestamp."""
    for option in TIMESTAMPS:
        options.pop(option, None)
    if number:
        options[name] = 1
        _take_form(options, *TIMESTAMPING, is_new=name in _NEW)


def _take_form(options: dict[int, int], old: int, new: int, *, is_new: bool) -> None:
    """All times are told in the form of the option that was set last (in Linux, SOCK_TSTAMP_NEW)."""
    chosen, other = (new, old) if is_new else (old, new)
    number = options.pop(other, None)
    if number is not None:
        options[chosen] = number


def told_timestamp(options: Mapping[int, int], name: int) -> int:
    """What getsockopt(2) tells of one of these options. Linux: net/core/sock.c, sk_getsockopt."""
    if name == SO_TIMESTAMPING:
        return timestamping_flags(options)
    if name == _SO_TIMESTAMP_NEW:
        # Nanoseconds are a time too there.
        return options.get(name, 0) or options.get(_SO_TIMESTAMPNS_NEW, 0)
    return options.get(name, 0)


def timestamping_flags(options: Mapping[int, int]) -> int:
    """The flags of SO_TIMESTAMPING, old or new."""
    return options.get(TIMESTAMPING[0], 0) or options.get(TIMESTAMPING[1], 0)


def is_told_time(options: Mapping[int, int]) -> bool:
    """Whether SO_TIMESTAMP or one of its kin is on."""
    return any(options.get(name) for name in TIMESTAMPS)


def wants_time(options: Mapping[int, int]) -> bool:
    """Whether a socket with these options of SOL_SOCKET wants to know when a message came."""
    return any(name in options for name in TIMESTAMPS) or bool(timestamping_flags(options) & _RECEIVED)


def checked_stamping(body: bytes) -> int:
    """What a control message of SO_TIMESTAMPING wants for its message alone. Raises EINVAL.

    Linux: net/core/sock.c, __sock_cmsg_send.
    """
    flags = int.from_bytes(body, "little")
    if len(body) != 4 or flags & ~_RECORDED:
        raise EINVAL("a message is stamped where it is sent alone")
    return flags


def check_socket_item(kind: int) -> None:
    """Raise EINVAL for a control message of SOL_SOCKET that no protocol of the internet knows.

    What goes with local sockets alone is passed over. Linux: net/core/sock.c, __sock_cmsg_send.
    """
    if kind not in _PASSED_OVER:
        raise EINVAL(f"no control message {kind}")


def _sending_flags(options: Mapping[int, int], chosen: int | None) -> int:
    flags = timestamping_flags(options)
    return flags if chosen is None else flags & ~_RECORDED | chosen


def stamped_stages(options: Mapping[int, int], chosen: int | None = None) -> tuple[int, ...]:
    """When a socket with these options wants to know that a packet was on its way, as SCM_TSTAMP_*.

    `chosen` is what its control message says instead.
    """
    flags = _sending_flags(options, chosen)
    if not flags & (_SENT | _SCHEDULED):
        return ()
    return tuple(stage for flag, stage in _STAGES if flags & flag)


def stream_stages(options: Mapping[int, int], chosen: int | None = None) -> tuple[int, ...]:
    """The same for bytes of a stream, of which it's known when they are acknowledged."""
    flags = _sending_flags(options, chosen)
    if not flags:
        return ()
    stages = tuple(stage for flag, stage in _STAGES if flags & flag)
    return (*stages, ACKNOWLEDGED_STAGE) if flags & _ACKNOWLEDGED else stages


def sending_items(
    options: Mapping[int, int], time_ns: int, statistics: bytes
) -> list[tuple[int, int, bytes]]:
    """What is told of the time when a packet was sent, asked for by a flag of its own, and of the connection.

    Linux: net/socket.c, __sock_recv_timestamp.
    """
    items = _plain_items(options, time_ns)
    if timestamping_flags(options) & _REPORTED:
        items.append(timestamping_item(options, time_ns))
        if statistics:
            items.append((_SOL_SOCKET, _TOLD_STATISTICS, statistics))
    return items


def _plain_items(options: Mapping[int, int], time_ns: int) -> list[tuple[int, int, bytes]]:
    """What SO_TIMESTAMP or one of its kin wants to know."""
    for name in TIMESTAMPS:
        if options.get(name):
            seconds, part_ns = divmod(time_ns, 10**9)
            part = part_ns if name in _NANOSECONDS else part_ns // 1000
            return [(_SOL_SOCKET, name, _TIME.pack(seconds, part))]
    return []


def timestamp_items(options: Mapping[int, int], time_ns: int) -> list[tuple[int, int, bytes]]:
    """What a socket with these options of SOL_SOCKET is told, as (level, type, data).

    `time_ns` is since the epoch, 0 if it isn't known. Linux: net/socket.c, __sock_recv_timestamp.
    """
    if not time_ns or not options:
        return []
    items = _plain_items(options, time_ns)
    flags = timestamping_flags(options)
    if flags & _REPORTED and (flags & _RECEIVED or (items and not flags & _FILTERED)):
        items.append(timestamping_item(options, time_ns))
    return items


def timestamping_item(options: Mapping[int, int], time_ns: int) -> tuple[int, int, bytes]:
    """SCM_TIMESTAMPING: the system's time alone is known."""
    name = TIMESTAMPING[0] if options.get(TIMESTAMPING[0]) else TIMESTAMPING[1]
    return _SOL_SOCKET, name, _THREE_TIMES.pack(*divmod(time_ns, 10**9), 0, 0, 0, 0)


def keeps_stamp(options: Mapping[int, int]) -> bool:
    """Whether SIOCGSTAMP may tell when a message came that is received now: not if messages tell of something
    themselves. Linux: include/net/sock.h, sock_recv_cmsgs.
    """
    if _ABOUT_MESSAGES.isdisjoint(options):
        return True
    return (
        not any(options.get(name) for name in _TOLD_WITH_MESSAGES)
        and not timestamping_flags(options) & _REPORTED
    )


def tell_stamp(stamp_ns: int, request: int, argument: int, memory: UserMemory) -> int:
    """SIOCGSTAMP and its kin: when the last message came. Raises ENOENT, EFAULT.

    Linux: net/core/sock.c, sock_gettstamp.
    """
    if not stamp_ns:
        raise ENOENT("nothing was received")
    seconds, part_ns = divmod(stamp_ns, 10**9)
    part = part_ns if request in _NANOSECOND_REQUESTS else part_ns // 1000
    memory.write(argument, _TIME.pack(seconds, part))
    return 0

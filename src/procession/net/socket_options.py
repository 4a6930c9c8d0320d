"""The options that all sockets have: SOL_SOCKET of socket(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import (
    EACCES,
    EDOM,
    EINVAL,
    ENODATA,
    ENODEV,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
)
from procession.abi.socket import (
    AddressFamily,
    IpProtocol,
    Linger,
    SocketLevel,
    SocketOption,
    SocketType,
    Ucred,
)
from procession.abi.time import Clock
from procession.abi.word import Words, pack_array, pack_u32, pack_u64
from procession.net.socket import (
    ANY_PEER,
    LISTENING,
    MINIMUM_RECEIVE_BUFFER,
    MINIMUM_SEND_BUFFER,
    Socket,
)
from procession.net.socket_filter import detach_filter
from procession.net.timestamp import (
    TIMESTAMPING,
    TIMESTAMPS,
    set_timestamping,
    switch_timestamp,
    told_timestamp,
)
from procession.net.unix.socket import UnixSocket

if TYPE_CHECKING:
    from procession.net.unix.socket import UnixSocket

_INTERNET = (int(AddressFamily.AF_INET), int(AddressFamily.AF_INET6))
_TCP = int(IpProtocol.IPPROTO_TCP)
_UDP = int(IpProtocol.IPPROTO_UDP)
_DATAGRAM = int(SocketType.SOCK_DGRAM)
_STREAM = int(SocketType.SOCK_STREAM)
_NETLINK = int(AddressFamily.AF_NETLINK)
SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
CAP_NET_RAW = int(Capability.CAP_NET_RAW)

_INT = Words("<i")
_TIMEVAL = Words("<qq")
_LARGEST_INT = 0x7FFFFFFF
_LARGEST_PRIORITY_OF_ALL = 6
_NAME_LENGTH = 16
NO_RATE = 0xFFFFFFFF_FFFFFFFF

_SO_DEBUG = int(SocketOption.SO_DEBUG)
_SO_REUSEPORT = int(SocketOption.SO_REUSEPORT)
_SO_TYPE = int(SocketOption.SO_TYPE)
_SO_ERROR = int(SocketOption.SO_ERROR)
_SO_SNDBUF = int(SocketOption.SO_SNDBUF)
_SO_RCVBUF = int(SocketOption.SO_RCVBUF)
_SO_PRIORITY = int(SocketOption.SO_PRIORITY)
_SO_LINGER = int(SocketOption.SO_LINGER)
_SO_PASSCRED = int(SocketOption.SO_PASSCRED)
_SO_PEERCRED = int(SocketOption.SO_PEERCRED)
_SO_RCVLOWAT = int(SocketOption.SO_RCVLOWAT)
_SO_SNDLOWAT = int(SocketOption.SO_SNDLOWAT)
_SO_BINDTODEVICE = int(SocketOption.SO_BINDTODEVICE)
_SO_PEERNAME = int(SocketOption.SO_PEERNAME)
_SO_ACCEPTCONN = int(SocketOption.SO_ACCEPTCONN)
_SO_SNDBUFFORCE = int(SocketOption.SO_SNDBUFFORCE)
_SO_RCVBUFFORCE = int(SocketOption.SO_RCVBUFFORCE)
_SO_MARK = int(SocketOption.SO_MARK)
_SO_PROTOCOL = int(SocketOption.SO_PROTOCOL)
_SO_DOMAIN = int(SocketOption.SO_DOMAIN)
_SO_PEEK_OFF = int(SocketOption.SO_PEEK_OFF)
_SO_MEMINFO = int(SocketOption.SO_MEMINFO)
_SO_COOKIE = int(SocketOption.SO_COOKIE)
_SO_PEERGROUPS = int(SocketOption.SO_PEERGROUPS)
_SO_BINDTOIFINDEX = int(SocketOption.SO_BINDTOIFINDEX)
_SO_NETNS_COOKIE = int(SocketOption.SO_NETNS_COOKIE)
_SO_BUF_LOCK = int(SocketOption.SO_BUF_LOCK)
_SO_PASSPIDFD = int(SocketOption.SO_PASSPIDFD)
_SO_PASSSEC = int(SocketOption.SO_PASSSEC)
_SO_PASSRIGHTS = int(SocketOption.SO_PASSRIGHTS)
_SO_INQ = int(SocketOption.SO_INQ)
_SO_DETACH_FILTER = int(SocketOption.SO_DETACH_FILTER)
_SO_LOCK_FILTER = int(SocketOption.SO_LOCK_FILTER)
_SO_BPF_EXTENSIONS = int(SocketOption.SO_BPF_EXTENSIONS)
_SO_BSDCOMPAT = int(SocketOption.SO_BSDCOMPAT)
_SO_INCOMING_CPU = int(SocketOption.SO_INCOMING_CPU)
_SO_INCOMING_NAPI_ID = int(SocketOption.SO_INCOMING_NAPI_ID)
_SO_BUSY_POLL = int(SocketOption.SO_BUSY_POLL)
_SO_RESERVE_MEM = int(SocketOption.SO_RESERVE_MEM)
_SO_TXREHASH = int(SocketOption.SO_TXREHASH)
_SO_TXTIME = int(SocketOption.SO_TXTIME)
_SO_PREFER_BUSY_POLL = int(SocketOption.SO_PREFER_BUSY_POLL)
_SO_ZEROCOPY = int(SocketOption.SO_ZEROCOPY)
_SO_BUSY_POLL_BUDGET = int(SocketOption.SO_BUSY_POLL_BUDGET)
_ANCILLARY_WORDS = 64
"""SKF_AD_MAX, which SO_BPF_EXTENSIONS tells."""
_TRANSMIT_FLAGS = 3
_CLOCK_REALTIME = int(Clock.CLOCK_REALTIME)
_CLOCK_MONOTONIC = int(Clock.CLOCK_MONOTONIC)
_CLOCK_TAI = int(Clock.CLOCK_TAI)
_NOT_LINGERING = -1
"""SO_LINGER at first; less than that, it is off, and what is missing is the time that was set before."""
_SO_MAX_PACING_RATE = int(SocketOption.SO_MAX_PACING_RATE)
_RECEIVE_TIMEOUTS = (int(SocketOption.SO_RCVTIMEO_OLD), int(SocketOption.SO_RCVTIMEO_NEW))
_SEND_TIMEOUTS = (int(SocketOption.SO_SNDTIMEO_OLD), int(SocketOption.SO_SNDTIMEO_NEW))

# Options that are on or off.
_SWITCHES = frozenset(
    int(option)
    for option in (
        SocketOption.SO_DEBUG,
        SocketOption.SO_REUSEADDR,
        SocketOption.SO_REUSEPORT,
        SocketOption.SO_DONTROUTE,
        SocketOption.SO_BROADCAST,
        SocketOption.SO_KEEPALIVE,
        SocketOption.SO_OOBINLINE,
        SocketOption.SO_NO_CHECK,
        SocketOption.SO_TIMESTAMP_OLD,
        SocketOption.SO_TIMESTAMP_NEW,
        SocketOption.SO_TIMESTAMPNS_OLD,
        SocketOption.SO_TIMESTAMPNS_NEW,
        SocketOption.SO_RXQ_OVFL,
        SocketOption.SO_WIFI_STATUS,
        SocketOption.SO_NOFCS,
        SocketOption.SO_LOCK_FILTER,
        SocketOption.SO_SELECT_ERR_QUEUE,
        SocketOption.SO_RCVMARK,
        SocketOption.SO_RCVPRIORITY,
        SocketOption.SO_PREFER_BUSY_POLL,
    )
)
# Options that are numbers, with their values at first.
_NUMBERS = {
    int(SocketOption.SO_BUSY_POLL): 0,
    int(SocketOption.SO_MARK): 0,
    int(SocketOption.SO_PRIORITY): 0,
    int(SocketOption.SO_TXREHASH): 1,
}
_IGNORED = (_SO_BSDCOMPAT, int(SocketOption.SO_CNX_ADVICE))
_READ_ONLY = frozenset(
    (_SO_TYPE, _SO_ERROR, _SO_ACCEPTCONN, _SO_PROTOCOL, _SO_DOMAIN, _SO_PEERCRED, _SO_SNDLOWAT)
)
_BUFFER_LOCKS = 3
_SEND_LOCK, _RECEIVE_LOCK = 1, 2


def read_int(value: bytes) -> int:
    """The int that setsockopt(2) was given. Raises EINVAL if it's shorter."""
    if len(value) < _INT.size:
        raise EINVAL("an int is needed")
    number: int = _INT.unpack_from(value)[0]
    return number


def pack_int(value: int) -> bytes:
    """An int as getsockopt(2) gives it."""
    return pack_u32(value)


def set_socket_option(socket: Socket, name: int, value: bytes) -> None:
    """setsockopt(2) at SOL_SOCKET.

    Raises EINVAL, ENOPROTOOPT, EPERM, EDOM ... Linux: net/core/sock.c, sk_setsockopt.
    """
    if name == _SO_BINDTODEVICE:
        _bind_to_device(socket, value)
        return
    number = read_int(value)
    if name in _SWITCHES:
        _set_switch(socket, name, number)
    elif name in _READ_ONLY:
        raise ENOPROTOOPT("can't be set")
    elif name in (_SO_SNDBUF, _SO_SNDBUFFORCE, _SO_RCVBUF, _SO_RCVBUFFORCE):
        _set_buffer_size(socket, name, number)
    elif name in _RECEIVE_TIMEOUTS:
        socket.receive_timeout_ns = _timeout_ns(value)
    elif name in _SEND_TIMEOUTS:
        socket.send_timeout_ns = _timeout_ns(value)
    elif name == _SO_RCVLOWAT:
        if number < 0:
            number = _LARGEST_INT
        most = socket.most_low_water
        if most < _LARGEST_INT and socket.options.get(_SO_BUF_LOCK, 0) & _RECEIVE_LOCK:
            # Linux: net/ipv4/tcp.c, tcp_set_rcvlowat.
            most = socket.receive_room >> 1
        socket.receive_low_water = min(number or 1, most)
        socket.read_queue.wake_all()
    elif name == _SO_LINGER:
        _set_linger(socket, value)
    elif name in (_SO_PASSCRED, _SO_PASSSEC) and socket.family == _NETLINK:
        socket.options[name] = int(number != 0)
    elif name in (_SO_PASSCRED, _SO_PASSSEC, _SO_PASSPIDFD):
        _local(socket, EOPNOTSUPP).set_plain_option(name, int(number != 0))
    elif name == _SO_PASSRIGHTS:
        _local(socket, EOPNOTSUPP).options[name] = int(number != 0)
    elif name == _SO_INQ:
        _set_left_telling(socket, value, number)
    elif name == _SO_PEEK_OFF:
        _check_peek_offset(socket)
        socket.peek_offset = number
    elif name == _SO_BINDTOIFINDEX:
        _bind_to_index(socket, number)
    elif name == _SO_BUF_LOCK:
        if number & ~_BUFFER_LOCKS:
            raise EINVAL
        socket.options[name] = number
    elif name == _SO_MAX_PACING_RATE:
        if len(value) >= 8:
            socket.options[name] = int.from_bytes(value[:8], "little")
        else:
            socket.options[name] = NO_RATE if number == -1 else number & 0xFFFFFFFF
    elif name == _SO_TXTIME:
        _set_transmit_time(socket, value)
    elif name in _IGNORED:
        return
    elif name == _SO_RESERVE_MEM:
        if number < 0:
            raise EINVAL("a negative number")
        raise EOPNOTSUPP("sockets' memory isn't reserved")
    elif name == _SO_INCOMING_CPU:
        socket.incoming_processor = number
    elif name in TIMESTAMPING:
        set_timestamping(socket, name, number)
    elif name == _SO_ZEROCOPY:
        _set_zero_copy(socket, number)
    elif name == _SO_BUSY_POLL_BUDGET:
        if number > socket.options.get(name, 0):
            _check_polling(socket)
        if not 0 <= number <= 0xFFFF:
            raise EINVAL("no number of packets")
        socket.options[name] = number
    elif name == _SO_DETACH_FILTER:
        detach_filter(socket)
    elif name in _NUMBERS:
        _check_number(socket, name, number)
        if name == _SO_TXREHASH and number < 0:
            number = 1
        socket.options[name] = number
    else:
        raise ENOPROTOOPT(f"no option {name}")


def _set_switch(socket: Socket, name: int, number: int) -> None:
    """An option that is on or off. Raises EACCES, EOPNOTSUPP, EPERM."""
    if name == _SO_DEBUG and number and not socket.caller.credentials.capable(CAP_NET_ADMIN):
        raise EACCES("CAP_NET_ADMIN is needed")
    if name == _SO_PREFER_BUSY_POLL and number:
        _check_polling(socket)
    if name == _SO_REUSEPORT and number and socket.family not in _INTERNET:
        raise EOPNOTSUPP("no ports here")
    if name == _SO_LOCK_FILTER and not number and socket.options.get(name):
        raise EPERM("the filter is locked")
    if name in TIMESTAMPS:
        switch_timestamp(socket.options, name, number)
    else:
        socket.options[name] = int(number != 0)


def _set_buffer_size(socket: Socket, name: int, number: int) -> None:
    """How much may wait: Linux doubles what is asked for, as its own structures count too. Raises EPERM.

    Linux: net/core/sock.c, __sock_set_rcvbuf.
    """
    if name in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
        if not socket.caller.credentials.capable(CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN over the machine is needed")
        number = max(number, 0)
    else:
        system = socket.network.system
        most = system.most_send_room if name == _SO_SNDBUF else system.most_receive_room
        number = min(number & 0xFFFFFFFF, most)
    doubled = min(number, _LARGEST_INT // 2) * 2
    if name in (_SO_SNDBUF, _SO_SNDBUFFORCE):
        _lock_buffer(socket, _SEND_LOCK)
        socket.send_room = max(doubled, MINIMUM_SEND_BUFFER)
        socket.write_queue.wake_all()
    else:
        _lock_buffer(socket, _RECEIVE_LOCK)
        socket.receive_room = max(doubled, MINIMUM_RECEIVE_BUFFER)


def _set_linger(socket: Socket, value: bytes) -> None:
    """Raises EINVAL."""
    if len(value) < Linger.SIZE:
        raise EINVAL("a struct linger is needed")
    linger = Linger.unpack_from(value)
    if linger.l_onoff:
        socket.options[_SO_LINGER] = max(linger.l_linger, 0)
    elif socket.options.get(_SO_LINGER, -1) >= 0:
        # Off, the time is kept.
        socket.options[_SO_LINGER] = _NOT_LINGERING - socket.options[_SO_LINGER]


def _check_polling(socket: Socket) -> None:
    """Who may let the machine poll a device more. Raises EPERM. Linux: net/core/sock.c, sk_setsockopt."""
    if not socket.caller.credentials.capable(CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")


def check_mark(socket: Socket, name: int, number: int) -> None:
    """Raise EPERM unless the caller may give packets that mark or priority.

    Linux: net/core/sock.c, __sock_cmsg_send.
    """
    is_restricted = name == _SO_MARK or (name == _SO_PRIORITY and not 0 <= number <= _LARGEST_PRIORITY_OF_ALL)
    credentials, owner = socket.caller.credentials, socket.network.owner
    if is_restricted and not (
        credentials.ns_capable(owner, CAP_NET_RAW) or credentials.ns_capable(owner, CAP_NET_ADMIN)
    ):
        raise EPERM("CAP_NET_ADMIN is needed")


def _check_number(socket: Socket, name: int, number: int) -> None:
    """Who may set an option to what."""
    check_mark(socket, name, number)
    if name == _SO_BUSY_POLL and number < 0:
        raise EINVAL("a negative time")
    if name == _SO_TXREHASH:
        if not _is_tcp(socket):
            raise EOPNOTSUPP("no flows here")
        if not -1 <= number <= 1:
            raise EINVAL("neither on nor off")


def _is_tcp(socket: Socket) -> bool:
    """Linux: include/net/sock.h, sk_is_tcp."""
    return socket.family in _INTERNET and socket.kind == _STREAM and socket.protocol == _TCP


def _check_peek_offset(socket: Socket) -> None:
    if not socket.can_peek_at_offset:
        raise EOPNOTSUPP("no SO_PEEK_OFF here")


def _lock_buffer(socket: Socket, lock: int) -> None:
    """The size of a buffer has been chosen: it no longer follows the traffic."""
    socket.options[_SO_BUF_LOCK] = socket.options.get(_SO_BUF_LOCK, 0) | lock


def _timeout_ns(value: bytes) -> int | None:
    """SO_RCVTIMEO's struct timeval. Raises EINVAL, EDOM. Linux: net/core/sock.c, sock_set_timeout."""
    if len(value) < _TIMEVAL.size:
        raise EINVAL("a struct timeval is needed")
    seconds, microseconds = _TIMEVAL.unpack_from(value)
    if not 0 <= microseconds < 1_000_000:
        raise EDOM
    if seconds < 0:
        return 0
    return (seconds * 1_000_000 + microseconds) * 1000 or None


def _local(socket: Socket, error: type[Exception]) -> UnixSocket:
    """`socket` as a local one. Raises `error` for others."""
    if not isinstance(socket, UnixSocket):
        raise error
    return socket


def _bind_to_device(socket: Socket, value: bytes) -> None:
    """Linux: net/core/sock.c, sock_setbindtodevice."""
    name = value[: _NAME_LENGTH - 1].split(b"\0", 1)[0]
    interface = socket.network.interface_named(name) if name else None
    if name and interface is None:
        raise ENODEV
    _bind_to_index(socket, interface.index if interface is not None else 0)


def _bind_to_index(socket: Socket, index: int) -> None:
    """Raises EPERM, EINVAL. Linux: net/core/sock.c, sock_bindtoindex_locked."""
    credentials, owner = socket.caller.credentials, socket.network.owner
    if socket.options.get(_SO_BINDTOIFINDEX) and not credentials.ns_capable(owner, CAP_NET_RAW):
        raise EPERM("CAP_NET_RAW is needed")
    if index < 0:
        raise EINVAL("a negative index")
    socket.options[_SO_BINDTOIFINDEX] = index


def _set_left_telling(socket: Socket, value: bytes, number: int) -> None:
    """SO_INQ, of local streams. Raises EINVAL, EOPNOTSUPP. Linux: net/unix/af_unix.c, unix_setsockopt."""
    if socket.kind != _STREAM or not isinstance(socket, UnixSocket):
        raise ENOPROTOOPT("no local stream")
    if len(value) != _INT.size or not 0 <= number <= 1:
        raise EINVAL("neither on nor off")
    socket.options[_SO_INQ] = number


def _set_zero_copy(socket: Socket, number: int) -> None:
    """SO_ZEROCOPY. Raises EOPNOTSUPP, EINVAL. Linux: net/core/sock.c, sk_setsockopt."""
    is_udp = socket.kind == _DATAGRAM and socket.protocol == _UDP
    if socket.family not in _INTERNET or not (is_udp or _is_tcp(socket)):
        raise EOPNOTSUPP("bytes are always copied here")
    if not 0 <= number <= 1:
        raise EINVAL("neither on nor off")
    socket.options[_SO_ZEROCOPY] = number


def _set_transmit_time(socket: Socket, value: bytes) -> None:
    """SO_TXTIME: when packets are to go, which only some disciplines of queueing look at. Raises EINVAL."""
    if len(value) != 8:
        raise EINVAL("a struct sock_txtime is needed")
    clock, flags = read_int(value), read_int(value[4:])
    if flags & ~_TRANSMIT_FLAGS or clock not in (_CLOCK_REALTIME, _CLOCK_MONOTONIC, _CLOCK_TAI):
        raise EINVAL("no such clock")
    credentials = socket.caller.credentials
    if clock != _CLOCK_MONOTONIC and not credentials.ns_capable(socket.network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    socket.options[_SO_TXTIME] = flags << 32 | clock


def get_socket_option(socket: Socket, name: int, length: int) -> bytes:
    """getsockopt(2) at SOL_SOCKET; `length` is how much the caller has room for.

    Raises ENOPROTOOPT, ENOTCONN, ERANGE, ENODATA. Linux: net/core/sock.c, sk_getsockopt.
    """
    options = socket.options
    if name in (_SO_PASSCRED, _SO_PASSSEC, _SO_PASSPIDFD):
        if name == _SO_PASSPIDFD or socket.family != _NETLINK:
            _local(socket, EOPNOTSUPP)
        return pack_int(options.get(name, 0))
    if name == _SO_PASSRIGHTS:
        return pack_int(int(_local(socket, EOPNOTSUPP).takes_files))
    if name in TIMESTAMPS:
        return pack_int(told_timestamp(options, name))
    if name in _SWITCHES:
        return pack_int(options.get(name, 0))
    if name in _NUMBERS and (name != _SO_TXREHASH or _is_tcp(socket)):
        return pack_int(options.get(name, _NUMBERS[name]))
    if name == _SO_TXTIME:
        return pack_u64(options.get(name, 0))
    if name in TIMESTAMPING:
        # In Linux, a struct so_timestamping.
        return pack_u64(told_timestamp(options, name))
    if name == _SO_TXREHASH:
        raise EOPNOTSUPP("no flows here")
    if name == _SO_MAX_PACING_RATE:
        # In Linux, an unsigned long, as much of it as there is room for.
        rate = options.get(name, NO_RATE)
        return pack_u64(rate) if length >= 8 else pack_int(min(rate, 0xFFFFFFFF))
    plain = _plain_value(socket, name)
    if plain is not None:
        return pack_int(plain)
    if name in _RECEIVE_TIMEOUTS:
        return _timeval(socket.receive_timeout_ns)
    if name in _SEND_TIMEOUTS:
        return _timeval(socket.send_timeout_ns)
    if name == _SO_LINGER:
        seconds = options.get(name, _NOT_LINGERING)
        return Linger(int(seconds >= 0), seconds if seconds >= 0 else _NOT_LINGERING - seconds).pack()
    if name == _SO_COOKIE:
        if length < 8:
            raise EINVAL
        return pack_u64(socket.cookie)
    if name == _SO_NETNS_COOKIE:
        if length != 8:
            raise EINVAL
        return pack_u64(socket.network.cookie)
    if name == _SO_PEERNAME:
        try:
            address = socket.getname(ANY_PEER)
        except EOPNOTSUPP:
            raise ENOTCONN from None
        if len(address) < length:
            raise EINVAL
        return address
    if name == _SO_BINDTODEVICE:
        index = options.get(_SO_BINDTOIFINDEX)
        if not index:
            return b""
        if length < _NAME_LENGTH:
            raise EINVAL
        interface = socket.network.interfaces.get(index)
        if interface is None:
            raise ENODEV
        return interface.name + b"\0"
    if name == _SO_MEMINFO:
        waiting, dropped = socket.arrivals
        numbers = (waiting, socket.receive_room, socket.used_room, socket.send_room, 0, 0, 0, 0, dropped)
        return pack_array("I", numbers)
    if name in (_SO_PEERCRED, _SO_PEERGROUPS):
        return _peer_option(socket, name, length)
    raise ENOPROTOOPT(f"no option {name}")


def _plain_value(socket: Socket, name: int) -> int | None:
    """The value of an option that is an int; None for others."""
    if name == _SO_TYPE:
        return socket.kind
    if name == _SO_ERROR:
        error, socket.error = socket.error, 0
        return error
    if name == _SO_INCOMING_CPU:
        return socket.incoming_processor
    if name == _SO_SNDBUF:
        return socket.send_room
    if name == _SO_RCVBUF:
        return socket.receive_room
    if name == _SO_ACCEPTCONN:
        return int(socket.state == LISTENING)
    if name == _SO_PROTOCOL:
        return socket.told_protocol
    if name == _SO_DOMAIN:
        return socket.family
    if name == _SO_RCVLOWAT:
        return socket.receive_low_water
    if name == _SO_SNDLOWAT:
        return 1
    if name == _SO_PEEK_OFF:
        _check_peek_offset(socket)
        return socket.peek_offset
    if name == _SO_BINDTOIFINDEX:
        return socket.options.get(name, 0)
    if name == _SO_BUF_LOCK:
        return socket.options.get(name, 0)
    if name == _SO_BPF_EXTENSIONS:
        return _ANCILLARY_WORDS
    if name == _SO_ZEROCOPY:
        return socket.options.get(name, 0)
    if name in (_SO_BSDCOMPAT, _SO_INCOMING_NAPI_ID, _SO_RESERVE_MEM):
        return 0
    return None


def _timeval(timeout_ns: int | None) -> bytes:
    return _TIMEVAL.pack(*divmod((timeout_ns or 0) // 1000, 1_000_000))


def _peer_option(socket: Socket, name: int, length: int) -> bytes:
    """SO_PEERCRED and SO_PEERGROUPS of unix(7), socket(7)."""
    identity = socket.peer_identity if isinstance(socket, UnixSocket) else None
    reader = socket.caller.credentials.user_namespace
    if name == _SO_PEERCRED:
        if identity is None:
            return Ucred(0, 0xFFFFFFFF, 0xFFFFFFFF).pack()
        number = identity.process.pid.number_in(socket.caller.pid_namespace)
        uid, gid = reader.from_kuid_munged(identity.uid), reader.from_kgid_munged(identity.gid)
        return Ucred(number, uid, gid).pack()
    if identity is None:
        raise ENODATA
    groups = pack_array("I", tuple(map(reader.from_kgid_munged, identity.groups)))
    if length < len(groups):
        # The caller is told how much it is, though.
        raise ShortBuffer(len(groups))
    return groups


class ShortBuffer(ERANGE):
    """ERANGE; `needed` is how many bytes the value has."""

    __slots__ = ("needed",)

    def __init__(self, needed: int) -> None:
        super().__init__("more than there is room for")
        self.needed = needed

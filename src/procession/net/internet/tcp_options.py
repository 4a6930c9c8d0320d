"""The options of SOL_TCP (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS, NS_PER_US, TICK_NS
from procession.abi.errno import EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP, EPERM
from procession.abi.internet import TcpOption
from procession.abi.socket import SocketLevel
from procession.net.internet.option_rule import CAP_NET_ADMIN, SWITCH, Rule, keep
from procession.net.internet.tcp_acknowledgement import choose_answering, is_answering
from procession.net.internet.tcp_fastopen import CLIENT, draw_key, split_keys
from procession.net.internet.tcp_info import tell_info
from procession.net.internet.tcp_negotiation import NOT_YET
from procession.net.internet.tcp_phase import CONNECTING, DISCONNECTING, UNCONNECTED
from procession.net.internet.tcp_repair import (
    REPAIR_OPTIONS,
    get_repair_option,
    is_under_repair,
    repaired_segment_bytes,
    set_repair_option,
)
from procession.net.internet.tcp_segment import (
    UNCONNECTED_SEGMENT_BYTES,
    longest_segment,
    told_segment_bytes,
)
from procession.net.socket import CLOSED, LISTENING, MINIMUM_RECEIVE_BUFFER, SYN_SENT
from procession.net.socket_options import pack_int, read_int
from procession.net.sysctls import CONGESTION_CONTROLS, CUBIC

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

SOL_TCP = int(SocketLevel.SOL_TCP)
_CONGESTION = int(TcpOption.TCP_CONGESTION)
_CORK = int(TcpOption.TCP_CORK)
_DEFER_ACCEPT = int(TcpOption.TCP_DEFER_ACCEPT)
_INFO = int(TcpOption.TCP_INFO)
_LINGER2 = int(TcpOption.TCP_LINGER2)
_MAXSEG = int(TcpOption.TCP_MAXSEG)
_QUICKACK = int(TcpOption.TCP_QUICKACK)
_NODELAY = int(TcpOption.TCP_NODELAY)
_FASTOPEN = int(TcpOption.TCP_FASTOPEN)
_FASTOPEN_KEY = int(TcpOption.TCP_FASTOPEN_KEY)
_FASTOPEN_NO_COOKIE = int(TcpOption.TCP_FASTOPEN_NO_COOKIE)
_FASTOPEN_CONNECT = int(TcpOption.TCP_FASTOPEN_CONNECT)
_IS_MPTCP = int(TcpOption.TCP_IS_MPTCP)
_ULP = int(TcpOption.TCP_ULP)
_THIN_DUPACK = int(TcpOption.TCP_THIN_DUPACK)
_WINDOW_CLAMP = int(TcpOption.TCP_WINDOW_CLAMP)
_CC_INFO = int(TcpOption.TCP_CC_INFO)
_REPAIR_OPTIONS = int(TcpOption.TCP_REPAIR_OPTIONS)
_SAVED_SYN = int(TcpOption.TCP_SAVED_SYN)
_NUMBERLESS = (_CONGESTION, _ULP)
"""Options whose value is a name."""

CORK, NO_DELAY = (SOL_TCP, _CORK), (SOL_TCP, _NODELAY)
LINGER_2 = (SOL_TCP, _LINGER2)
DEFER_ACCEPT = (SOL_TCP, _DEFER_ACCEPT)
INQUEUE = (SOL_TCP, int(TcpOption.TCP_INQ))
NOT_SENT_LOW_WATER = (SOL_TCP, int(TcpOption.TCP_NOTSENT_LOWAT))

_OFFERED_WINDOW = 0xFFFF << 10
_NAME_BYTES = 16
_LONGEST_FIN_TIMEOUT_S = 120
"""The most that TCP_LINGER2 says."""
_FIRST_RETRY_S, _LONGEST_RETRY_S, _MOST_RETRIES = 1, 120, 255

_RULES: dict[int, Rule] = {
    int(option): rule
    for option, rule in (
        (TcpOption.TCP_NODELAY, SWITCH),
        (TcpOption.TCP_CORK, SWITCH),
        (TcpOption.TCP_KEEPIDLE, Rule(7200, 1, 32_767, sysctl="keepalive_s")),
        (TcpOption.TCP_KEEPINTVL, Rule(75, 1, 32_767, sysctl="keepalive_interval_s")),
        (TcpOption.TCP_KEEPCNT, Rule(9, 1, 127, sysctl="keepalive_probes")),
        (TcpOption.TCP_SYNCNT, Rule(6, 1, 127, sysctl="syn_retries")),
        (TcpOption.TCP_LINGER2, Rule(60, sysctl="final_wait_s")),
        (TcpOption.TCP_DEFER_ACCEPT, Rule(0)),
        (TcpOption.TCP_WINDOW_CLAMP, Rule(0)),
        (TcpOption.TCP_THIN_LINEAR_TIMEOUTS, Rule(0, 0, 1)),
        (TcpOption.TCP_THIN_DUPACK, Rule(0, 0, 1)),
        (TcpOption.TCP_USER_TIMEOUT, Rule(0, 0)),
        (TcpOption.TCP_FASTOPEN, Rule(0, 0)),
        (TcpOption.TCP_FASTOPEN_NO_COOKIE, Rule(0, 0, 1)),
        (TcpOption.TCP_NOTSENT_LOWAT, Rule(0)),
        (TcpOption.TCP_SAVE_SYN, Rule(0, 0, 2)),
        (TcpOption.TCP_INQ, Rule(0, 0, 1)),
        (TcpOption.TCP_TX_DELAY, Rule(0, 0, (1 << 28) - 1)),
    )
}


_TICK_US, _TICK_MS = TICK_NS // NS_PER_US, TICK_NS // NS_PER_MS
_RTO_MAX, _RTO_MIN = int(TcpOption.TCP_RTO_MAX_MS), int(TcpOption.TCP_RTO_MIN_US)
_TIMES = {
    _RTO_MAX: (120_000, 1_000, 120_000, _TICK_MS),
    _RTO_MIN: (200_000, _TICK_US + 1, 200_000, _TICK_US),
    int(TcpOption.TCP_DELACK_MAX_US): (200_000, _TICK_US + 1, 200_000, _TICK_US),
}
"""How long is waited for an acknowledgement, or with one: at first, at least and at most, and the length of a
tick, of which only whole ones are counted. Where nothing is lost, no such time ever passes."""


def take_defaults(socket: TcpSocket) -> None:
    """A new socket's options are what the network says now. Linux: net/ipv4/tcp.c, tcp_init_sock."""
    sysctls, options = socket.network.sysctls, socket.protocol_options
    if sysctls.congestion_control != CUBIC:
        options[SOL_TCP, _CONGESTION] = sysctls.congestion_control
    if sysctls.longest_retry_ms != _TIMES[_RTO_MAX][0]:
        options[SOL_TCP, _RTO_MAX] = -(-sysctls.longest_retry_ms // _TICK_MS) * _TICK_MS
    if sysctls.shortest_retry_us != _TIMES[_RTO_MIN][0]:
        options[SOL_TCP, _RTO_MIN] = -(-sysctls.shortest_retry_us // _TICK_US) * _TICK_US


def set_tcp_option(socket: TcpSocket, name: int, value: bytes) -> None:
    """setsockopt(2) at SOL_TCP. Linux: net/ipv4/tcp.c, do_tcp_setsockopt."""
    if name in _NUMBERLESS:
        _set_name(socket, name, value)
        return
    if name == _FASTOPEN_KEY:
        socket.fast_open_keys = split_keys(value)
        return
    number = read_int(value)
    rule = _RULES.get(name)
    options = socket.protocol_options
    if name == _LINGER2:
        options.pop(LINGER_2, None)
        if number:
            options[LINGER_2] = -1 if number < 0 else min(number, _LONGEST_FIN_TIMEOUT_S)
    elif name == _DEFER_ACCEPT:
        options[SOL_TCP, name] = retries_within(number)
    elif name == _WINDOW_CLAMP:
        _clamp_window(socket, number)
    elif name == _FASTOPEN:
        if number < 0 or socket.state not in (CLOSED, LISTENING):
            raise EINVAL("the socket has a connection")
        draw_key(socket.network)
        options[SOL_TCP, name] = min(number, socket.network.sysctls.most_backlog)
    elif name == _FASTOPEN_NO_COOKIE and number in (0, 1) and socket.state not in (CLOSED, LISTENING):
        raise EINVAL("the socket has a connection")
    elif name == _FASTOPEN_CONNECT:
        if number not in (0, 1):
            raise EINVAL("neither on nor off")
        if not socket.network.sysctls.fast_open & CLIENT:
            raise EOPNOTSUPP("net.ipv4.tcp_fastopen has no client")
        if socket.state != CLOSED:
            raise EINVAL("the socket has a connection")
        options[SOL_TCP, name] = number
    elif name == _QUICKACK:
        choose_answering(socket, is_quick=number != 0)
    elif name == _MAXSEG:
        if number and not 88 <= number <= 32_767:
            raise EINVAL("no length of a segment")
        options[SOL_TCP, name] = number
    elif name in _TIMES:
        _, least, most, tick = _TIMES[name]
        if not least <= number <= most:
            raise EINVAL("too short a time, or too long a one")
        options[SOL_TCP, name] = -(-number // tick) * tick
    elif name in REPAIR_OPTIONS:
        set_repair_option(socket, name, value)
    elif rule is None:
        raise ENOPROTOOPT(f"no option {name} of SOL_TCP")
    else:
        keep(socket, SOL_TCP, name, rule, number)
        if name in (_CORK, _NODELAY):
            socket.push_held()
        elif name == _THIN_DUPACK:
            # In Linux, it has done nothing since 2017.
            del options[SOL_TCP, name]


def _set_name(socket: TcpSocket, name: int, value: bytes) -> None:
    if not value:
        raise EINVAL("a name is needed")
    if name == _ULP:
        raise ENOENT("no such protocol")
    wanted = value[: _NAME_BYTES - 1].split(b"\0", 1)[0]
    if wanted not in CONGESTION_CONTROLS:
        raise ENOENT("no such congestion control")
    is_restricted = wanted in socket.network.system.restricted_congestion_controls
    if is_restricted and not socket.caller.credentials.ns_capable(socket.network.owner, CAP_NET_ADMIN):
        raise EPERM("not among net.ipv4.tcp_allowed_congestion_control")
    socket.protocol_options[SOL_TCP, name] = CONGESTION_CONTROLS.index(wanted)


def _clamp_window(socket: TcpSocket, number: int) -> None:
    """TCP_WINDOW_CLAMP: how much the other end may send ahead at most. Linux: net/ipv4/tcp.c,
    tcp_set_window_clamp."""
    if not number:
        if socket.state != CLOSED:
            raise EINVAL("the socket has a connection")
    else:
        number = max(number, MINIMUM_RECEIVE_BUFFER // 2)
    socket.window_clamp = number


def retries_within(seconds: int) -> int:
    """How often a SYN's answer is sent within so many seconds (Linux: net/ipv4/tcp.c, secs_to_retrans)."""
    if seconds <= 0:
        return 0
    count, timeout = 1, _FIRST_RETRY_S
    period = timeout
    while seconds > period and count < _MOST_RETRIES:
        count += 1
        timeout = min(timeout << 1, _LONGEST_RETRY_S)
        period += timeout
    return count


def seconds_of(retries: int) -> int:
    """How long so many answers take (Linux: net/ipv4/tcp.c, retrans_to_secs)."""
    if not retries:
        return 0
    timeout = _FIRST_RETRY_S
    period = timeout
    for _ in range(retries - 1):
        timeout = min(timeout << 1, _LONGEST_RETRY_S)
        period += timeout
    return period


def get_tcp_option(socket: TcpSocket, name: int, length: int) -> bytes:
    """getsockopt(2) at SOL_TCP. Linux: net/ipv4/tcp.c, do_tcp_getsockopt."""
    if length < 0:
        raise EINVAL("a negative length")
    options = socket.protocol_options
    if name == _DEFER_ACCEPT:
        return pack_int(seconds_of(options.get(DEFER_ACCEPT, 0)))
    if name == _WINDOW_CLAMP:
        return pack_int(socket.window_clamp or _own_clamp(socket))
    if name == _QUICKACK:
        return pack_int(not is_answering(socket))
    rule = _RULES.get(name)
    if rule is not None:
        return pack_int(options.get((SOL_TCP, name), rule.at_first(socket)))
    if name in _TIMES:
        return pack_int(options.get((SOL_TCP, name), _TIMES[name][0]))
    if name == _INFO:
        return tell_info(socket)
    if name == _CONGESTION:
        number = options.get((SOL_TCP, name), CUBIC)
        return CONGESTION_CONTROLS[number].ljust(_NAME_BYTES, b"\0")
    if name == _MAXSEG:
        if is_under_repair(socket):
            return pack_int(repaired_segment_bytes(socket, longest_segment(socket)))
        if socket.state not in (CLOSED, LISTENING, SYN_SENT):
            return pack_int(told_segment_bytes(socket))
        chosen = options.get((SOL_TCP, name), 0) if socket.state != SYN_SENT else 0
        return pack_int(chosen or socket.tried_segment_bytes or UNCONNECTED_SEGMENT_BYTES)
    if name in REPAIR_OPTIONS and name != _REPAIR_OPTIONS:
        return get_repair_option(socket, name, length)
    if name == _FASTOPEN_KEY:
        return b"".join(socket.fast_open_keys)
    if name == _FASTOPEN_CONNECT:
        return pack_int(options.get((SOL_TCP, name), 0))
    if name == _IS_MPTCP:
        return pack_int(0)
    if name in (_ULP, _CC_INFO, _SAVED_SYN):
        return b""
    raise ENOPROTOOPT(f"no option {name} of SOL_TCP")


def _own_clamp(socket: TcpSocket) -> int:
    """The most that the other end may send ahead where no program has said it: what a SYN can offer at first,
    then half of the buffer. Linux: net/ipv4/tcp_output.c, tcp_select_initial_window; net/ipv4/tcp_input.c,
    tcp_init_buffer_space.
    """
    if socket.phase in (UNCONNECTED, DISCONNECTING):
        return 0
    return (
        _OFFERED_WINDOW
        if socket.phase == CONNECTING and socket.agreed == NOT_YET
        else socket.receive_room >> 1
    )

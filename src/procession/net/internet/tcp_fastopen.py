"""TCP Fast Open (RFC 7413): what is sent with a SYN, and the cookies by which it's taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.internet import TcpOption
from procession.abi.socket import SocketLevel

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.internet.tcp import TcpSocket
    from procession.net.network import Network

CLIENT, SERVER, CLIENT_WITHOUT_COOKIE = 1, 2, 4
SERVER_WITHOUT_COOKIE, SERVER_WITHOUT_OPTION = 0x200, 0x400
"""The bits of net.ipv4.tcp_fastopen."""
KEY_BYTES = 16
MOST_KEYS = 2
"""A key by which cookies are made, and one whose cookies are still taken."""
_MOST_COOKIES = 1024
KEPT_DATA = 64
LONGEST_DATA = 32_768
"""What a SYN takes along, at most: one piece of a page fragment; and before it how much of that is known when
the SYN is sent again."""
_SOL_TCP = int(SocketLevel.SOL_TCP)
FAST_OPEN_QUEUE = (_SOL_TCP, int(TcpOption.TCP_FASTOPEN))
_NO_COOKIE = (_SOL_TCP, int(TcpOption.TCP_FASTOPEN_NO_COOKIE))
_CONNECT = (_SOL_TCP, int(TcpOption.TCP_FASTOPEN_CONNECT))


class FastOpen:
    """What a socket's SYN says beside that it's one (Linux: include/net/tcp.h, tcp_fastopen_request).

    `cookie` is what proves that this address has connected before, b"" where none is needed, None if one is
    asked for. Here a cookie is the key that it was made with: it's kept by the two addresses, which are all
    that Linux makes it of besides. `data` is what goes along, or its beginning, until it's there,
    `is_deferred` that connect(2) was called and the SYN waits for something to go along
    (TCP_FASTOPEN_CONNECT), `is_accepted` that it was taken.
    """

    __slots__ = ("cookie", "data", "is_accepted", "is_deferred")

    def __init__(self, cookie: bytes | None, data: bytes) -> None:
        self.cookie = cookie
        self.data = data
        self.is_deferred = False
        self.is_accepted = False


def draw_key(network: Network) -> None:
    """Let the network have a key of its own, if it has none. Linux: net/ipv4/tcp_fastopen.c,
    tcp_fastopen_init_key_once.
    """
    if not network.sysctls.fast_open_keys:
        network.sysctls.fast_open_keys = (network.host.random_bytes(KEY_BYTES),)


def split_keys(value: bytes) -> tuple[bytes, ...]:
    """One key, or two, of TCP_FASTOPEN_KEY. Raises EINVAL."""
    if len(value) not in (KEY_BYTES, MOST_KEYS * KEY_BYTES):
        raise EINVAL("no key, and not two")
    return tuple(value[start : start + KEY_BYTES] for start in range(0, len(value), KEY_BYTES))


def _known_cookie(socket: TcpSocket, flow: Flow) -> bytes | None:
    """Linux: net/ipv4/tcp_fastopen.c, tcp_fastopen_cookie_check."""
    mode = socket.network.sysctls.fast_open
    if mode & CLIENT_WITHOUT_COOKIE or socket.protocol_options.get(_NO_COOKIE):
        return b""
    return socket.network.tcp.cookies.get((flow.source, flow.target))


def defer_syn(socket: TcpSocket, flow: Flow) -> bool:
    """What TCP_FASTOPEN_CONNECT makes of connect(2): whether the SYN waits until something is sent.

    Linux: net/ipv4/tcp_fastopen.c, tcp_fastopen_defer_connect.
    """
    if socket.fast_open is None and socket.protocol_options.get(_CONNECT):
        socket.fast_open = FastOpen(_known_cookie(socket, flow), b"")
        socket.fast_open.is_deferred = socket.fast_open.cookie is not None
        return socket.fast_open.is_deferred
    return False


def choose_cookie(socket: TcpSocket, flow: Flow) -> None:
    """A SYN of MSG_FASTOPEN is about to go: with the cookie, if one is known."""
    opening = socket.fast_open
    if opening is not None and opening.cookie is None:
        opening.cookie = _known_cookie(socket, flow)


def data_in_syn(socket: TcpSocket) -> bytes:
    """What the SYN brings to who listens."""
    opening = socket.fast_open
    return opening.data if opening is not None and opening.cookie is not None else b""


def take_opening(socket: TcpSocket, connection: TcpSocket, listener: TcpSocket) -> None:
    """The SYN of `socket` has come to `listener`, whose end of the connection is `connection`.

    Linux: net/ipv4/tcp_fastopen.c, tcp_try_fastopen; net/ipv4/tcp_input.c, tcp_rcv_fastopen_synack.
    """
    opening, flow = socket.fast_open, socket.flow
    assert opening is not None
    assert flow is not None
    network = listener.network
    mode = network.sysctls.fast_open
    if opening.cookie is None:
        network.count("TcpExtTCPFastOpenCookieReqd")
    has_queue = listener.protocol_options.get(FAST_OPEN_QUEUE, 0) or mode & SERVER_WITHOUT_OPTION
    if not mode & SERVER or not has_queue:
        return
    draw_key(network)
    keys = listener.fast_open_keys or network.sysctls.fast_open_keys
    given: bytes | None = None
    is_taken = bool(mode & SERVER_WITHOUT_COOKIE or listener.protocol_options.get(_NO_COOKIE))
    if not is_taken:
        is_taken = bool(opening.cookie) and opening.cookie in keys
        if opening.cookie != keys[0]:
            given = keys[0]
            if is_taken:
                network.count("TcpExtTCPFastOpenPassiveAltKey")
        if not is_taken and opening.cookie is not None:
            network.count("TcpExtTCPFastOpenPassiveFail")
    if is_taken:
        network.count("TcpExtTCPFastOpenPassive")
    if given is not None:
        cookies = socket.network.tcp.cookies
        cookies[flow.source, flow.target] = given
        if len(cookies) > _MOST_COOKIES:
            del cookies[next(iter(cookies))]
    data, opening.data = opening.data, b""
    if data and opening.cookie is not None:
        opening.is_accepted = is_taken
        socket.network.count("TcpExtTCPFastOpenActive" if is_taken else "TcpExtTCPFastOpenActiveFail")
        if is_taken:
            connection.fast_open = opening

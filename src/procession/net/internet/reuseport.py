"""Sockets that share a port (SO_REUSEPORT): which of them gets what arrives, by a program's choice or a hash.

Linux: net/core/sock_reuseport.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT
from procession.net.bpf import check_program
from procession.net.internet.socket import InternetSocket
from procession.net.socket import LISTENING, NO_PROCESSOR
from procession.net.socket_filter import check_unlocked, run_program, set_reuse_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.abi.bpf import SockFilter
    from procession.net.socket import Socket
    from procession.net.socket_filter import FilteredPacket


def _group(socket: InternetSocket) -> list[InternetSocket]:
    """Those that share the port and address of `socket`, itself among them, in the order in which they came.

    Linux: net/ipv4/inet_hashtables.c, inet_reuseport_add_sock; net/ipv4/udp.c, udp_reuseport_add_sock.
    """
    if not _takes_part(socket):
        return [socket]
    device = socket.bound_index
    return [
        holder
        for holder in socket.ports.at(socket.local_port)
        if isinstance(holder, InternetSocket)
        and _takes_part(holder)
        and holder.reuses_port
        and (holder.family, holder.is_ipv6_only, holder.local_address, holder.owner_uid)
        == (socket.family, socket.is_ipv6_only, socket.local_address, socket.owner_uid)
        and holder.bound_index == device
    ]


def _takes_part(socket: InternetSocket) -> bool:
    """Whether anything can arrive for it: TCP takes part while it listens."""
    return socket.has_port and (not socket.is_stream or socket.state == LISTENING)


def join_group(socket: InternetSocket) -> None:
    """`socket`, which has SO_REUSEPORT, takes part from now on: the others' program is its own.

    Linux: net/core/sock_reuseport.c, reuseport_add_sock.
    """
    for member in _group(socket):
        if member is not socket:
            set_reuse_program(socket, member.reuse_program)
            return


def attach_reuse_program(socket: Socket, instructions: list[SockFilter]) -> None:
    """SO_ATTACH_REUSEPORT_CBPF. Raises EINVAL, EPERM, ENOMEM. Linux: net/core/filter.c,
    sk_reuseport_attach_filter; net/core/sock_reuseport.c, reuseport_attach_prog.
    """
    check_unlocked(socket)
    socket.network.host.clock.spend_checking(len(instructions))
    check_program(instructions)
    if not isinstance(socket, InternetSocket) or not socket.reuses_port:
        raise EINVAL("the port isn't shared")
    program = tuple((each.code, each.jt, each.jf, each.k) for each in instructions)
    for member in _group(socket):
        set_reuse_program(member, program)


def detach_reuse_program(socket: Socket) -> None:
    """SO_DETACH_REUSEPORT_BPF. Raises EINVAL, ENOENT. Linux: net/core/sock_reuseport.c,
    reuseport_detach_prog.
    """
    if not isinstance(socket, InternetSocket) or not socket.reuses_port:
        raise EINVAL("the port isn't shared")
    if socket.reuse_program is None:
        raise ENOENT("no program")
    for member in _group(socket):
        set_reuse_program(member, None)


def newest_place(members: Sequence[InternetSocket]) -> int:
    """Which of those that fit equally well, without sharing the port, gets a packet: the newest, or that of
    those whose SO_INCOMING_CPU it is. Linux: net/ipv4/udp.c, compute_score.
    """
    processor = members[0].network.host.processor
    for place in range(len(members) - 1, -1, -1):
        if members[place].incoming_processor == processor:
            return place
    return len(members) - 1


def choose_place(members: Sequence[InternetSocket], hash_value: int, packet: FilteredPacket) -> int:
    """Which of those that share a port gets `packet`.

    Linux: net/core/sock_reuseport.c, reuseport_select_sock, reuseport_select_sock_by_hash.
    """
    last, count = members[-1], len(members)
    program = last.reuse_program
    if program is not None:
        chosen = run_program(last, program, packet)
        if chosen < count:
            return chosen
    start = hash_value % count
    if any(member.incoming_processor != NO_PROCESSOR for member in members):
        processor = last.network.host.processor
        for step in range(count):
            place = (start + step) % count
            if members[place].incoming_processor == processor:
                return place
    return start

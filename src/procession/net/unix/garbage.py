"""Files in flight, in messages between local sockets, and the sockets that only such messages still hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.kernel_memory import PASSED_FILE_BYTES, SOCKET_BUFFER
from procession.net.socket_file import SocketFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.fs.file import File
    from procession.net.message import Message, PassedFiles
    from procession.net.socket_file import SocketFileSystem
    from procession.net.unix.socket import UnixSocket

_LOOKS = 8
"""How often each of them is looked at then."""
_LOOKED_AT_FOR_ONE = 64
"""How many sockets in flight are looked at for each that is closed."""


def local_socket(file: File) -> UnixSocket | None:
    """The local socket that `file` is, None for others. Linux: net/unix/garbage.c, unix_get_socket."""
    if isinstance(file, SocketFile):
        from procession.net.unix.socket import UnixSocket

        if isinstance(file.socket, UnixSocket):
            return file.socket
    return None


def add_flight(system: SocketFileSystem, passed: PassedFiles) -> None:
    """`passed` are now in a message. Linux: net/unix/garbage.c, unix_add_edges."""
    in_flight, by_user = system.in_flight, system.files_in_flight
    for file in passed.files:
        socket = local_socket(file)
        if socket is not None:
            in_flight[socket] = in_flight.get(socket, 0) + 1
    count = len(passed.files)
    by_user[passed.owner_uid] = by_user.get(passed.owner_uid, 0) + count
    # There was room for the message itself; that its files may be too many shows at the next.
    system.account.charge_for(None, SOCKET_BUFFER, count * PASSED_FILE_BYTES, always=True)


def end_flight(system: SocketFileSystem, passed: PassedFiles) -> None:
    """`passed` have been received, or their message is dropped.

    Linux: net/unix/garbage.c, unix_del_edges.
    """
    in_flight, by_user = system.in_flight, system.files_in_flight
    for file in passed.files:
        socket = local_socket(file)
        if socket is not None:
            count = in_flight[socket] - 1
            if count:
                in_flight[socket] = count
            else:
                del in_flight[socket]
    system.account.uncharge_for(None, SOCKET_BUFFER, len(passed.files) * PASSED_FILE_BYTES)
    left = by_user[passed.owner_uid] - len(passed.files)
    if left:
        by_user[passed.owner_uid] = left
    else:
        del by_user[passed.owner_uid]


def messages_of(socket: UnixSocket) -> Iterator[Message]:
    """What waits to be received by `socket`, or by connections that it hasn't accepted."""
    yield from socket.messages
    for connection in socket.connections:
        yield from connection.messages


def sockets_in(socket: UnixSocket) -> Iterator[UnixSocket]:
    """The local sockets that the messages to `socket` hold, one for each time."""
    for message in messages_of(socket):
        for file in message.files.files if message.files is not None else ():
            held = local_socket(file)
            if held is not None:
                yield held


def discard(system: SocketFileSystem, passed: PassedFiles) -> None:
    """Nobody will receive `passed`: they're given back.

    A socket among them may be held by nobody else, and so the files in its own messages, and so on, however
    often: one goes after the other. Linux: fs/file_table.c, fput.
    """
    end_flight(system, passed)
    waiting = system.discarded
    waiting.append(passed)
    if len(waiting) > 1:
        return
    while waiting:
        waiting[0].release()
        waiting.popleft()


def note_closed(system: SocketFileSystem) -> None:
    """A local socket is gone: what it led to may not be reached any more.

    Linux: net/unix/af_unix.c, unix_release_sock.
    To look at all sockets in flight pays only when about as many have been closed: with few that's at once.
    """
    system.closed_count += 1
    if not system.discarded and system.closed_count * _LOOKED_AT_FOR_ONE >= len(system.in_flight):
        system.closed_count = 0
        collect(system)


def collect(system: SocketFileSystem) -> None:
    """Close the sockets that nobody can reach: each is held only by messages to one another.

    Linux: net/unix/garbage.c, unix_gc.
    """
    if system.is_collecting:
        return
    # A file that is held only by messages may be garbage.
    suspects = {
        socket: count
        for socket, count in system.in_flight.items()
        if socket.file is not None and socket.file.reference_count == count
    }
    if not suspects:
        return
    system.vfs.clock.spend_offering(_LOOKS * len(suspects))
    # Take away what the suspects' own messages hold: who is held once more than that can be reached.
    for suspect in list(suspects):
        for held in sockets_in(suspect):
            if held in suspects:
                suspects[held] -= 1
    reached = [socket for socket, count in suspects.items() if count]
    for socket in reached:
        del suspects[socket]
    for socket in reached:
        for held in sockets_in(socket):
            if suspects.pop(held, None) is not None:
                reached.append(held)
    garbage: list[PassedFiles] = []
    for socket in suspects:
        for message in messages_of(socket):
            if message.files is not None:
                end_flight(system, message.files)
                garbage.append(message.files)
                message.files = None
    system.is_collecting = True
    for passed in garbage:
        passed.release()
    system.is_collecting = False

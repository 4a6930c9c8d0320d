"""Sending and receiving: sendto, recvfrom, sendmsg, recvmsg, sendmmsg, recvmmsg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from procession.abi.errno import EAGAIN, EFAULT, EINVAL, EMSGSIZE, ENOBUFS, EPIPE, Errno
from procession.abi.socket import MessageFlag, Mmsghdr, Msghdr
from procession.abi.structure import I32
from procession.abi.time import Timespec
from procession.abi.uio import UIO_MAXIOV
from procession.abi.word import pack_u32, pack_u64
from procession.fs.file import STREAM_CHUNK
from procession.fs.giving_way import give_way
from procession.fs.wait_queue import Sleep
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.time.costs import MESSAGE_NS
from procession.net.message import Received
from procession.net.socket import (
    MSG_CMSG_CLOEXEC,
    MSG_CMSG_COMPAT,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_FASTOPEN,
    MSG_NOSIGNAL,
    MSG_NOT_LAST,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    MSG_ZEROCOPY,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.landlock_port import CONNECT_TCP, check_address
from procession.syscalls.parameters import (
    ARRAY,
    Fd,
    Flags,
    In,
    InBuffer,
    InOut,
    Int,
    Out,
    OutBuffer,
    OutSocketAddress,
    Size,
    SocketAddress,
    UInt,
)
from procession.syscalls.poll import timespec_ns
from procession.syscalls.read_write import MUCH, send_sigpipe
from procession.syscalls.socket import blocking_flags, read_address, socket_file, write_address
from procession.syscalls.socket_control import read_control, write_control
from procession.syscalls.user_vector import UserVector, import_vector, single_buffer

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.net.message import Control
    from procession.net.socket import Socket
    from procession.net.socket_file import SocketFile

_LONGEST_ADDRESS = 128
_MSG_WAITFORONE = int(MessageFlag.MSG_WAITFORONE)
_HEADER_STEP = Mmsghdr.SIZE
_LENGTH_OFFSET = Mmsghdr.OFFSETS["msg_len"]
_NAME_LENGTH_OFFSET = Msghdr.OFFSETS["msg_namelen"]
_CONTROL_LENGTH_OFFSET = Msghdr.OFFSETS["msg_controllen"]
_FLAGS_OFFSET = Msghdr.OFFSETS["msg_flags"]


def _refuse_compat(flags: int) -> None:
    """A caller of 64 bits has no business with the layout of 32 bits.

    Linux: net/socket.c, __sys_sendmsg, __sys_recvmsg.
    """
    if flags & MSG_CMSG_COMPAT:
        raise EINVAL("MSG_CMSG_COMPAT")


# Sending


@syscall(44)
def sendto(
    task: Task,
    fd: Fd,
    data: InBuffer,
    length: Size,
    flags: Flags[MessageFlag],
    address: SocketAddress,
    address_length: Int,
) -> int:
    """sendto(2). Linux: net/socket.c, __sys_sendto."""
    source = single_buffer(task.mm, data, length)
    file = socket_file(task, fd)
    target = read_address(task, address, address_length) if address else None
    return _send(task, file, source, flags, target, None)


def _send(
    task: Task,
    file: SocketFile,
    source: UserVector,
    flags: int,
    address: bytes | None,
    control: Control | None,
) -> int:
    """Send one message, or as much of a stream as goes; how many bytes. Raises Sleep, EPIPE ..."""
    socket = file.socket
    sent_flags = flags | blocking_flags(file)
    total = source.total
    if flags & MSG_FASTOPEN and task.credentials.landlock and address is not None and task.frame is None:
        # Linux: security/landlock/net.c, hook_socket_connect; as first released as 6.12 of connect(2) alone.
        check_address(task, socket, address, CONNECT_TCP)
    try:
        if socket.is_stream:
            return _send_stream(task, socket, source, sent_flags, address, control)
        socket.check_length(total, address)
        if total > STREAM_CHUNK and not task.kernel.memory.account.can_charge(2 * total):
            raise ENOBUFS("no memory for so long a message")
        try:
            data = source.read(0, total) if total else b""
            if len(data) < total:
                raise EFAULT
        except EFAULT:
            socket.check_message(total, sent_flags, address)
            raise
        done = socket.send(data, sent_flags, address, control)
        if flags & MSG_ZEROCOPY and done:
            socket.tell_copied()
        if done > MUCH:
            task.kernel.clock.spend_copying(done)
        return done
    except EPIPE:
        if not flags & MSG_NOSIGNAL:
            send_sigpipe(task)
        raise


def _send_stream(
    task: Task, socket: Socket, source: UserVector, flags: int, address: bytes | None, control: Control | None
) -> int:
    """Send all of `source`, piece by piece; what has been sent when it sleeps is in the frame."""
    total = source.total
    frame = task.frame
    done = frame.progress if frame is not None and frame.progress is not None else 0
    if done:
        flags &= ~MSG_FASTOPEN
    if flags & MSG_DONTWAIT and total > socket.send_room:
        total = socket.room_of_call(total)
    while True:
        try:
            wanted = min(total - done, socket.stream_chunk)
            try:
                data = source.read(done, wanted) if wanted else b""
                if len(data) < wanted:
                    data = data[: socket.whole_write(len(data))]
                    if not data:
                        raise EFAULT
            except EFAULT:
                socket.check_message(total, flags, address)
                raise
            is_last = done + wanted == total
            count = socket.send(
                data, flags & ~MSG_NOT_LAST if is_last else flags | MSG_NOT_LAST, address, control
            )
        except Sleep as sleep:
            if done:
                sleep.progress = sleep.interrupted = done
            raise
        except (Errno, OutOfFrames):
            if done:
                return done
            raise
        if flags & MSG_ZEROCOPY and count and not done:
            socket.tell_copied()
        done += count
        # What opens the connection has gone.
        flags &= ~MSG_FASTOPEN
        if count > MUCH:
            task.kernel.clock.spend_copying(count)
        if done >= total or not count:
            return done
        if (len(data) < wanted and count == len(data)) or socket.has_failed:
            return done


@syscall(46)
def sendmsg(task: Task, fd: Fd, message: In[Msghdr], flags: Flags[MessageFlag]) -> int:
    """sendmsg(2). Linux: net/socket.c, __sys_sendmsg."""
    _refuse_compat(flags)
    file = socket_file(task, fd)
    return _send_header(task, file, message.get(), flags)


def _send_header(task: Task, file: SocketFile, header: Msghdr, flags: int) -> int:
    """Linux: net/socket.c, ___sys_sendmsg."""
    length = _checked_name_length(header)
    address = task.mm.read(header.msg_name, length) if length else None
    source = _import_vector(task, header)
    socket = file.socket
    if not header.msg_controllen:
        return _send(task, file, source, flags, address, None)
    control = read_control(task, socket, header.msg_control, header.msg_controllen)
    try:
        if control is not None and task.frame is not None and task.frame.progress is not None:
            # The files have gone with the first bytes.
            control.release()
        return _send(task, file, source, flags, address, control)
    except Sleep as sleep:
        if control is not None:
            sleep.fds = control.fds
        raise
    finally:
        if control is not None:
            control.release()


def _checked_name_length(header: Msghdr) -> int:
    """How long the address of a struct msghdr is. Raises EINVAL. Linux: net/socket.c, __copy_msghdr."""
    if not header.msg_name:
        return 0
    if header.msg_namelen < 0:
        raise EINVAL("a negative length")
    return min(header.msg_namelen, _LONGEST_ADDRESS)


def _import_vector(task: Task, header: Msghdr) -> UserVector:
    if header.msg_iovlen > UIO_MAXIOV:
        raise EMSGSIZE(f"more than {UIO_MAXIOV} buffers")
    return import_vector(task.mm, header.msg_iov, header.msg_iovlen)


@syscall(307)
def sendmmsg(
    task: Task, fd: Fd, messages: InOut[Annotated[Mmsghdr, ARRAY]], count: UInt, flags: Flags[MessageFlag]
) -> int:
    """sendmmsg(2). Linux: net/socket.c, __sys_sendmmsg."""
    _refuse_compat(flags)
    file = socket_file(task, fd)
    frame = task.frame
    start, partial = 0, None
    if frame is not None and frame.progress is not None:
        start, partial = frame.progress
        frame.progress = partial
    done = start
    clock = task.kernel.clock
    began_ns = clock.kernel_work_ns
    for position in range(start, min(count, UIO_MAXIOV)):
        give_way(task.kernel.clock, began_ns, (done, None))
        address = messages.address + position * _HEADER_STEP
        try:
            header = Msghdr.unpack(task.mm.read(address, Msghdr.SIZE))
            length = _send_header(task, file, header, flags)
            task.mm.write(address + _LENGTH_OFFSET, pack_u32(length))
        except Sleep as sleep:
            # How many messages have been sent, and how much of the next one.
            if done:
                sleep.interrupted = done
            sleep.progress = (done, sleep.progress)
            raise
        except (Errno, OutOfFrames):
            if done:
                break
            raise
        done += 1
        clock.spend(MESSAGE_NS)
        if frame is not None:
            frame.progress = None
    return done


# Receiving


@syscall(45)
def recvfrom(
    task: Task,
    fd: Fd,
    data: OutBuffer,
    length: Size,
    flags: Flags[MessageFlag],
    address: OutSocketAddress,
    address_length: InOut[I32],
) -> int:
    """recvfrom(2). Linux: net/socket.c, __sys_recvfrom."""
    target = single_buffer(task.mm, data, length)
    file = socket_file(task, fd)
    if file.socket.is_stream:
        received = _receive_stream(task, file, target, flags)
    else:
        received = _receive_message(task, file, target, flags)
    if received.files is not None:
        received.release()
    if address:
        write_address(received.address or b"", task, address, address_length)
    return received.length


def _receive_message(task: Task, file: SocketFile, target: UserVector, flags: int) -> Received:
    """Receive one message into `target`. `length` is then what the call returns. Raises EFAULT ..."""
    received = file.socket.receive(target.total, flags | blocking_flags(file))
    data = received.data
    size = len(data)
    if size:
        if target.write(0, data) < size:
            received.release()
            raise EFAULT
        if size > MUCH:
            task.kernel.clock.spend_copying(size)
    if not flags & MSG_TRUNC:
        received.length = size
    return received


def _receive_stream(
    task: Task, file: SocketFile, target: UserVector, flags: int, header: HeaderWriter | None = None
) -> Received:
    """Receive as many bytes as MSG_WAITALL or SO_RCVLOWAT want. `length` is then what the call returns.

    What has been received when it sleeps is in the frame, and has been handed over with its control data.
    """
    socket = file.socket
    flags |= blocking_flags(file)
    total = target.total
    wanted = total if flags & MSG_WAITALL else min(socket.receive_low_water, total)
    frame = task.frame
    done = frame.progress if frame is not None and frame.progress is not None else 0
    is_discarded = bool(flags & MSG_TRUNC and socket.discards_truncated)
    room = total if is_discarded or target.is_within_page else target.writable_length()
    first: Received | None = None
    while True:
        try:
            length = total - done
            if room < total:
                target.write(done, socket.copied_ahead(room - done))
                length = socket.whole_length(length, room - done)
            is_other = bool(done) and socket.is_at_other_sender
            received = Received(b"", 0) if is_other else socket.receive(length, flags)
        except Sleep as sleep:
            if done:
                sleep.progress = sleep.interrupted = done
                if header is not None and first is not None:
                    header.put(first)
            raise
        except (Errno, OutOfFrames):
            if not done:
                raise
            received = Received(b"", 0)
        data = received.data
        size = len(data)
        is_whole = True
        if size and not is_discarded:
            count = target.write(done, data)
            if count < size:
                is_whole = False
                if not flags & MSG_PEEK:
                    socket.put_back(data[count:])
                size = count
                if not done + count:
                    received.release()
                    raise EFAULT
            if size > MUCH:
                task.kernel.clock.spend_copying(size)
        done += size
        if first is None:
            first = received
        elif received.files is not None:
            first.files = received.files
        is_over = not size or not is_whole or socket.is_at_mark
        if done >= wanted or is_over or received.files is not None or flags & MSG_PEEK:
            first.length = done
            return first


class HeaderWriter:
    """Where recvmsg(2) tells of what it received: the fields of a struct msghdr."""

    __slots__ = ("address", "flags", "header", "socket", "task")

    def __init__(self, task: Task, socket: Socket, address: int, header: Msghdr, flags: int) -> None:
        self.task = task
        self.socket = socket
        self.address = address
        self.header = header
        self.flags = flags

    def put(self, received: Received) -> None:
        """Hand over the address, the control messages and the flags. Raises EFAULT."""
        task, header, address = self.task, self.header, self.address
        used = 0
        if received.files is not None or received.items or header.msg_controllen or self.socket.options:
            used = write_control(
                task, self.socket, received, header.msg_control, header.msg_controllen, self.flags
            )
        if header.msg_name:
            name = received.address or b""
            room = header.msg_namelen
            task.mm.write(address + _NAME_LENGTH_OFFSET, pack_u32(len(name)))
            if name and room:
                task.mm.write(header.msg_name, name[:room])
        reported = received.flags | self.flags & MSG_CMSG_CLOEXEC
        task.mm.write(address + _FLAGS_OFFSET, pack_u32(reported))
        task.mm.write(address + _CONTROL_LENGTH_OFFSET, pack_u64(used))


@syscall(47)
def recvmsg(task: Task, fd: Fd, message: Out[Msghdr], flags: Flags[MessageFlag]) -> int:
    """recvmsg(2). Linux: net/socket.c, __sys_recvmsg."""
    _refuse_compat(flags)
    file = socket_file(task, fd)
    return _receive_header(task, file, message.address, flags)


def _receive_header(task: Task, file: SocketFile, address: int, flags: int) -> int:
    """Linux: net/socket.c, ___sys_recvmsg."""
    header = Msghdr.unpack(task.mm.read(address, Msghdr.SIZE))
    _checked_name_length(header)
    target = _import_vector(task, header)
    socket = file.socket
    writer = HeaderWriter(task, socket, address, header, flags)
    if not socket.is_stream:
        received = _receive_message(task, file, target, flags)
        writer.put(received)
        return received.length
    frame = task.frame
    is_first = frame is None or frame.progress is None
    received = _receive_stream(task, file, target, flags, writer)
    if is_first:
        writer.put(received)
    else:
        received.release()
    return received.length


@syscall(299)
def recvmmsg(
    task: Task,
    fd: Fd,
    messages: InOut[Annotated[Mmsghdr, ARRAY]],
    count: UInt,
    flags: Flags[MessageFlag],
    timeout: InOut[Timespec],
) -> int:
    """recvmmsg(2). The timeout is looked at after each message only. Linux: net/socket.c, do_recvmmsg."""
    _refuse_compat(flags)
    clock = task.kernel.clock
    frame = task.frame
    message_flags = flags & ~_MSG_WAITFORONE
    done, partial, deadline_ns = 0, None, None
    if frame is not None and frame.progress is not None:
        done, partial, deadline_ns = frame.progress
        frame.progress = partial
    elif timeout:
        timeout_ns = timespec_ns(timeout)
        assert timeout_ns is not None
        deadline_ns = clock.now_ns + timeout_ns
    file = socket_file(task, fd)
    if frame is None and not flags & MSG_ERRQUEUE:
        # In Linux, an error left by the messages that went before. Who reads reports of errors leaves it.
        file.socket.raise_error()
    if done and flags & _MSG_WAITFORONE:
        message_flags |= MSG_DONTWAIT
    began_ns = clock.kernel_work_ns
    for position in range(done, count):
        give_way(task.kernel.clock, began_ns, (done, None, deadline_ns))
        address = messages.address + position * _HEADER_STEP
        try:
            length = _receive_header(task, file, address, message_flags)
            task.mm.write(address + _LENGTH_OFFSET, pack_u32(length))
        except Sleep as sleep:
            if done:
                sleep.interrupted = done
            sleep.progress = (done, sleep.progress, deadline_ns)
            raise
        except (Errno, OutOfFrames) as error:
            if not done:
                raise
            if not isinstance(error, EAGAIN):
                failed = error.errno_number if isinstance(error, OutOfFrames) else error.number
                file.socket.error = failed
            break
        done += 1
        # Each is as much work as a call that receives one, and the timeout may pass by it.
        clock.spend(MESSAGE_NS)
        if frame is not None:
            frame.progress = None
        if flags & _MSG_WAITFORONE:
            message_flags |= MSG_DONTWAIT
        if deadline_ns is not None and clock.now_ns >= deadline_ns:
            break
    if timeout and deadline_ns is not None and done:
        left_ns = max(deadline_ns - clock.now_ns, 0)
        timeout.put(Timespec(*divmod(left_ns, 10**9)))
    return done

"""What calls on sockets pass, as strace writes it: addresses, options, messages."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum
from procession.abi.internet import IpOption, Ipv6Option, TcpOption, UdpOption
from procession.abi.netlink import NetlinkOption
from procession.abi.socket import (
    AddressFamily,
    Cmsghdr,
    ControlMessageType,
    MessageFlag,
    Msghdr,
    SockaddrIn,
    SockaddrIn6,
    SockaddrNl,
    SocketLevel,
    SocketOption,
    Ucred,
)
from procession.abi.word import Words
from procession.mm.address_space import MemoryDescriptor
from procession.mm.peek import peek
from procession.trace.memory import vector_text
from procession.trace.values import address_text, choice_text, flags_text, list_text, quoted

LONGEST_ADDRESS = 128
LONGEST_VALUE = 64
LONGEST_CONTROL = 1024
_INT = Words("<i")
_CMSGHDR = Words("<Qii")
_OPTIONS: dict[int, type[IntEnum]] = {
    SocketLevel.SOL_SOCKET: SocketOption,
    SocketLevel.SOL_IP: IpOption,
    SocketLevel.SOL_IPV6: Ipv6Option,
    SocketLevel.SOL_NETLINK: NetlinkOption,
    SocketLevel.SOL_TCP: TcpOption,
    SocketLevel.SOL_UDP: UdpOption,
}


def socket_address_text(mm: MemoryDescriptor, address: int, length: int) -> str:
    """A sockaddr of `length` bytes; the pointer itself if it can't be read."""
    if not address:
        return "NULL"
    wanted = min(max(length, 0), LONGEST_ADDRESS)
    data = peek(mm, address, wanted)
    if len(data) < wanted or wanted < 2:
        return address_text(address)
    family = int.from_bytes(data[:2], "little")
    fields = [f"sa_family={choice_text(AddressFamily, family)}"]
    if family == AddressFamily.AF_UNIX:
        fields += _local_fields(data[2:])
    elif family == AddressFamily.AF_INET and wanted >= SockaddrIn.SIZE:
        host = ".".join(str(byte) for byte in data[4:8])
        fields += [f"sin_port=htons({int.from_bytes(data[2:4], 'big')})", f'sin_addr=inet_addr("{host}")']
    elif family == AddressFamily.AF_INET6 and wanted >= SockaddrIn6.SIZE:
        fields += _ipv6_fields(SockaddrIn6.unpack_from(data))
    elif family == AddressFamily.AF_NETLINK and wanted >= SockaddrNl.SIZE:
        netlink = SockaddrNl.unpack_from(data)
        fields += [f"nl_pid={netlink.nl_pid}", f"nl_groups={netlink.nl_groups:08x}"]
    elif wanted > 2:
        fields.append(f"sa_data={quoted(data[2:])}")
    return f"{{{', '.join(fields)}}}"


def _local_fields(name: bytes) -> list[str]:
    if not name:
        return []
    if name[0] == 0:
        return [f"sun_path=@{quoted(name[1:], LONGEST_ADDRESS)}"]
    return [f"sun_path={quoted(name.split(bytes(1), 1)[0], LONGEST_ADDRESS)}"]


def _ipv6_fields(address: SockaddrIn6) -> list[str]:
    from ipaddress import IPv6Address

    host = IPv6Address(address.sin6_addr)
    return [
        f"sin6_port=htons({int.from_bytes(address.sin6_port, 'big')})",
        f"sin6_flowinfo=htonl({address.sin6_flowinfo})",
        f'inet_pton(AF_INET6, "{host}", &sin6_addr)',
        f"sin6_scope_id={address.sin6_scope_id}",
    ]


def option_text(level: int, name: int) -> str:
    """The name of an option of setsockopt(2) at `level`."""
    options = _OPTIONS.get(level)
    return choice_text(options, name) if options is not None else f"{name:#x}"


def option_value_text(mm: MemoryDescriptor, address: int, length: int) -> str:
    """The value of an option: an int as `[1]`, what has another length as bytes."""
    if not address:
        return "NULL"
    wanted = min(max(length, 0), LONGEST_VALUE)
    data = peek(mm, address, wanted)
    if len(data) < wanted:
        return address_text(address)
    if wanted == _INT.size:
        return f"[{_INT.unpack(data)[0]}]"
    return quoted(data)


def message_text(mm: MemoryDescriptor, address: int, received: int | None) -> str:
    """A struct msghdr and what it leads to; `received` is how many bytes came, None if it's to be sent."""
    data = peek(mm, address, Msghdr.SIZE)
    if len(data) < Msghdr.SIZE:
        return address_text(address)
    header = Msghdr.unpack(data)
    fields = [
        f"msg_name={socket_address_text(mm, header.msg_name, header.msg_namelen)}",
        f"msg_namelen={header.msg_namelen}",
        f"msg_iov={vector_text(mm, header.msg_iov, header.msg_iovlen, received)}",
        f"msg_iovlen={header.msg_iovlen}",
    ]
    if header.msg_control and header.msg_controllen:
        fields.append(f"msg_control={control_text(mm, header.msg_control, header.msg_controllen)}")
    fields.append(f"msg_controllen={header.msg_controllen}")
    fields.append(f"msg_flags={flags_text(MessageFlag, header.msg_flags)}")
    return f"{{{', '.join(fields)}}}"


def message_length_text(mm: MemoryDescriptor, address: int) -> str:
    """A struct msghdr into which nothing has come."""
    data = peek(mm, address, Msghdr.SIZE)
    if len(data) < Msghdr.SIZE:
        return address_text(address)
    return f"{{msg_namelen={Msghdr.unpack(data).msg_namelen}}}"


def control_text(mm: MemoryDescriptor, address: int, length: int) -> str:
    """Control messages (cmsg(3)): descriptors and credentials in words, others by their lengths."""
    data = peek(mm, address, min(length, LONGEST_CONTROL))
    items: list[str] = []
    offset = 0
    while offset + Cmsghdr.SIZE <= len(data):
        size, level, kind = _CMSGHDR.unpack_from(data, offset)
        body = data[offset + Cmsghdr.SIZE : offset + size]
        is_general = level == SocketLevel.SOL_SOCKET
        fields = [
            f"cmsg_len={size}",
            f"cmsg_level={choice_text(SocketLevel, level)}",
            f"cmsg_type={choice_text(ControlMessageType, kind) if is_general else option_text(level, kind)}",
        ]
        if is_general and kind == ControlMessageType.SCM_RIGHTS:
            fds = (str(_INT.unpack_from(body, at)[0]) for at in range(0, len(body) - 3, 4))
            fields.append(f"cmsg_data={list_text(fds)}")
        elif is_general and kind == ControlMessageType.SCM_CREDENTIALS and len(body) >= Ucred.SIZE:
            claim = Ucred.unpack_from(body)
            fields.append(f"cmsg_data={{pid={claim.pid}, uid={claim.uid}, gid={claim.gid}}}")
        items.append(f"{{{', '.join(fields)}}}")
        if size < Cmsghdr.SIZE:
            break
        offset += size + 7 & ~7
    return list_text(items)

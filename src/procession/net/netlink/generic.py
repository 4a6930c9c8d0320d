"""NETLINK_GENERIC: families of requests that are found by their names; and nlctrl, which finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENOENT, EOPNOTSUPP, EPERM
from procession.abi.genetlink import (
    ControlAttribute,
    ControlCommand,
    Genlmsghdr,
    GroupAttribute,
    OperationAttribute,
    OperationFlag,
)
from procession.abi.word import pack_u16
from procession.net.netlink.attributes import attribute, attributes_in, number, text_in
from procession.net.netlink.socket import NetlinkSocket
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Answer, Request

CONTROL_ID = 0x10
"""GENL_ID_CTRL."""
FIRST_FAMILY_ID = 0x13
"""GENL_START_ALLOC: ids that families get in their order."""
_GETFAMILY, _NEWFAMILY = int(ControlCommand.CTRL_CMD_GETFAMILY), int(ControlCommand.CTRL_CMD_NEWFAMILY)
_CAN_DO, _CAN_DUMP = int(OperationFlag.GENL_CMD_CAP_DO), int(OperationFlag.GENL_CMD_CAP_DUMP)
_ADMIN = int(OperationFlag.GENL_ADMIN_PERM)
_HAS_POLICY = int(OperationFlag.GENL_CMD_CAP_HASPOL)


class GenericFamily:
    """A family (Linux: include/net/genetlink.h, struct genl_family).

    `operations` are its commands, each with its OperationFlags; `groups` those who listen may join, by their
    numbers.
    """

    __slots__ = ()

    name: ClassVar[bytes]
    version: ClassVar[int]
    operations: ClassVar[dict[int, int]]
    groups: ClassVar[dict[int, bytes]] = {}

    def answer(self, request: Request, command: int, found: dict[int, bytes]) -> list[tuple[int, bytes]]:
        """The commands and attributes that answer `command` with its attributes."""
        raise NotImplementedError

    def socket_closed(self, port_id: int) -> None:
        """The socket with this address is gone."""


class ControlFamily(GenericFamily):
    """nlctrl (Linux: net/netlink/genetlink.c, genl_ctrl).

    Who joins `notify` is told of new families and of those that go: there are none after the machine's start.
    """

    __slots__ = ("families",)

    name = b"nlctrl"
    version = 2
    operations: ClassVar[dict[int, int]] = {_GETFAMILY: _CAN_DO | _CAN_DUMP | _HAS_POLICY}
    groups: ClassVar[dict[int, bytes]] = {CONTROL_ID: b"notify"}

    def __init__(self, families: dict[int, GenericFamily]) -> None:
        self.families = families

    def answer(self, request: Request, command: int, found: dict[int, bytes]) -> list[tuple[int, bytes]]:
        """Linux: net/netlink/genetlink.c, ctrl_getfamily."""
        if request.is_dump:
            return [(_NEWFAMILY, description(each, self.families[each])) for each in sorted(self.families)]
        wanted = found.get(int(ControlAttribute.CTRL_ATTR_FAMILY_ID))
        name = text_in(found, int(ControlAttribute.CTRL_ATTR_FAMILY_NAME))
        if wanted is not None and len(wanted) >= 2:
            family_id = int.from_bytes(wanted[:2], "little")
        elif name is not None:
            family_id = next((each for each, family in self.families.items() if family.name == name), 0)
        else:
            raise EINVAL("neither the id nor the name of a family")
        family = self.families.get(family_id)
        if family is None:
            raise ENOENT("no such family")
        return [(_NEWFAMILY, description(family_id, family))]


def description(family_id: int, family: GenericFamily) -> bytes:
    """What nlctrl says of a family. Linux: net/netlink/genetlink.c, ctrl_fill_info."""
    operations = b"".join(
        attribute(
            index,
            attribute(int(OperationAttribute.CTRL_ATTR_OP_ID), number(command))
            + attribute(int(OperationAttribute.CTRL_ATTR_OP_FLAGS), number(flags)),
        )
        for index, (command, flags) in enumerate(family.operations.items(), 1)
    )
    told = [
        attribute(int(ControlAttribute.CTRL_ATTR_FAMILY_NAME), family.name + b"\0"),
        attribute(int(ControlAttribute.CTRL_ATTR_FAMILY_ID), pack_u16(family_id)),
        attribute(int(ControlAttribute.CTRL_ATTR_VERSION), number(family.version)),
        attribute(int(ControlAttribute.CTRL_ATTR_HDRSIZE), number(0)),
        # Each operation has a policy of its own, whose largest attribute isn't told here.
        attribute(int(ControlAttribute.CTRL_ATTR_MAXATTR), number(0)),
        attribute(int(ControlAttribute.CTRL_ATTR_OPS), operations),
    ]
    if family.groups:
        groups = b"".join(
            attribute(
                index,
                attribute(int(GroupAttribute.CTRL_ATTR_MCAST_GRP_ID), number(group))
                + attribute(int(GroupAttribute.CTRL_ATTR_MCAST_GRP_NAME), name + b"\0"),
            )
            for index, (group, name) in enumerate(family.groups.items(), 1)
        )
        told.append(attribute(int(ControlAttribute.CTRL_ATTR_MCAST_GROUPS), groups))
    return b"".join(told)


class GenericSocket(NetlinkSocket):
    """A socket of NETLINK_GENERIC."""

    __slots__ = ()

    def answer_to(self, request: Request) -> Answer:
        """Linux: net/netlink/genetlink.c, genl_family_rcv_msg."""
        families = self.network.host.generic_families(self.network)
        family = families.get(request.kind)
        if family is None:
            raise ENOENT(f"no family {request.kind}")
        if len(request.body) < Genlmsghdr.SIZE:
            raise EINVAL("a struct genlmsghdr is needed")
        header = Genlmsghdr.unpack_from(request.body)
        flags = family.operations.get(header.cmd)
        if flags is None or not flags & (_CAN_DUMP if request.is_dump else _CAN_DO):
            raise EOPNOTSUPP(f"no command {header.cmd}")
        if flags & _ADMIN and not request.credentials.capable(CAP_NET_ADMIN):
            raise EPERM("CAP_NET_ADMIN is needed")
        found = attributes_in(request.body, Genlmsghdr.SIZE)
        return [
            (request.kind, Genlmsghdr(command, family.version).pack() + contents)
            for command, contents in family.answer(request, header.cmd, found)
        ]

    def lists_all(self, request: Request) -> bool:
        return request.is_dump

    def ends_apart(self, request: Request, answers: Answer) -> bool:
        return False

    def release(self) -> None:
        if self.port_id:
            for family in self.network.host.generic_families(self.network).values():
                family.socket_closed(self.port_id)
        super().release()

"""Options of the Internet protocols that are numbers: what they are at first, and what they may be set to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EADDRNOTAVAIL, EINVAL, EPERM
from procession.abi.named_tuple import NamedTuple

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket

CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
CAP_NET_RAW = int(Capability.CAP_NET_RAW)
LARGEST_INT = 0x7FFFFFFF


class Rule(NamedTuple):
    """An option that is an int: its value at first, and what it may be set to.

    `is_switch` says that anything but 0 is 1, `needs_value` that IPv4 refuses a value of no bytes. Where the
    network says what it is at first, `sysctl` is the name of that among NetworkSysctls.
    """

    default: int
    least: int = -LARGEST_INT - 1
    most: int = LARGEST_INT
    is_switch: bool = False
    needs_value: bool = False
    sysctl: str = ""

    def at_first(self, socket: InternetSocket) -> int:
        """What it is until it's set."""
        found = getattr(socket.network.sysctls, self.sysctl) if self.sysctl else self.default
        assert isinstance(found, int)
        return found

    def checked(self, number: int) -> int:
        """What is kept of `number`. Raises EINVAL."""
        if self.is_switch:
            return int(number != 0)
        if not self.least <= number <= self.most:
            raise EINVAL(f"not within {self.least} and {self.most}")
        return number


SWITCH = Rule(0, is_switch=True)


def keep(socket: InternetSocket, level: int, name: int, rule: Rule, number: int) -> None:
    """Set an option to `number`; -1 is the default where it's allowed. Raises EINVAL."""
    number = rule.checked(number)
    if number == -1 and rule.least == -1:
        socket.protocol_options.pop((level, name), None)
    else:
        socket.protocol_options[level, name] = number


def read_interface(socket: InternetSocket, value: bytes) -> int:
    """The index that IP_UNICAST_IF or IPV6_UNICAST_IF is told, in the network's order of bytes, 0 for none.

    Raises EADDRNOTAVAIL, EINVAL.
    """
    if len(value) != 4:
        raise EINVAL("an int is needed")
    index = int.from_bytes(value, "big")
    if index:
        if index not in socket.network.interfaces:
            raise EADDRNOTAVAIL("no such interface")
        if socket.bound_index:
            raise EINVAL("the socket is bound to an interface")
    return index


def require_net_admin(socket: InternetSocket) -> None:
    """Raise EPERM unless the caller has CAP_NET_ADMIN or CAP_NET_RAW over the network."""
    credentials = socket.caller.credentials
    owner = socket.network.owner
    if not (credentials.ns_capable(owner, CAP_NET_ADMIN) or credentials.ns_capable(owner, CAP_NET_RAW)):
        raise EPERM("CAP_NET_ADMIN is needed")

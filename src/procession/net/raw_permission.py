"""Who may make sockets that see and send packets as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EPERM

if TYPE_CHECKING:
    from procession.net.network import Network

_CAP_NET_RAW = int(Capability.CAP_NET_RAW)


def check_raw(network: Network) -> None:
    """Raise EPERM unless the caller may in `network`."""
    caller = network.host.current
    assert caller is not None
    if not caller.credentials.ns_capable(network.owner, _CAP_NET_RAW):
        raise EPERM("CAP_NET_RAW is needed")

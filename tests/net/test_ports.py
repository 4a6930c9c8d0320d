"""A search for a free port finds what one that looks at every port finds."""

from __future__ import annotations

import random

import pytest

from procession.abi.errno import EADDRINUSE, EADDRNOTAVAIL
from procession.net.internet.port_table import PortTable
from procession.net.sysctls import NetworkSysctls

FIRST, LAST = 40_000, 40_020


class Socket:
    """Holds a port, as far as a table asks."""

    family = 2
    local_address = bytes(4)
    state = 0
    is_ipv6_only = reuses_address = reuses_port = False
    owner_uid = 0

    def __init__(self, port: int) -> None:
        self.local_port = port


def new_table() -> PortTable:
    sysctls = NetworkSysctls()
    sysctls.first_ephemeral, sysctls.last_ephemeral = FIRST, LAST
    return PortTable(sysctls, is_stream=False)


def search(table: PortTable, *, for_connection: bool) -> int | None:
    """The port that comes next, looked for in all of the range, None if there is none."""
    half = (table.sysctls.last_ephemeral + 1 - table.sysctls.first_ephemeral) // 2
    for parity in (0, 1) if for_connection else (1, 0):
        for step in range(half):
            port = table.sysctls.first_ephemeral + 2 * ((table.next_offset + step) % half) + parity
            if port not in table.holders:
                return port
    return None


@pytest.mark.parametrize("seed", range(20))
def test_a_port_is_found_wherever_one_is(seed: int) -> None:
    choice = random.Random(seed)
    table = new_table()
    held: list[Socket] = []
    for _ in range(400):
        if held and choice.random() < 0.4:
            table.remove(held.pop(choice.randrange(len(held))))
            continue
        if choice.random() < 0.02:
            table.sysctls.last_ephemeral = choice.choice((LAST, LAST - 6))
        for_connection = choice.random() < 0.5
        wanted = search(table, for_connection=for_connection)
        if wanted is None:
            with pytest.raises(EADDRNOTAVAIL if for_connection else EADDRINUSE):
                table.free_port(for_connection=for_connection)
            continue
        assert table.free_port(for_connection=for_connection) == wanted
        held.append(Socket(wanted))
        table.add(held[-1])


def test_a_full_range_is_looked_through_once() -> None:
    table = new_table()
    for _ in range(20):
        table.add(Socket(table.free_port(for_connection=False)))
    for _ in range(2):
        with pytest.raises(EADDRINUSE):
            table.free_port(for_connection=False)
    assert table.seen_ports == 0
    table.remove(next(iter(table.holders[FIRST + 4])))
    assert table.free_port(for_connection=False) == FIRST + 4

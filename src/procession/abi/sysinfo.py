"""sysinfo(2)."""

from __future__ import annotations

from typing import Annotated

from procession.abi.structure import I64, U16, U32, U64, Structure

# The loads' fixed point: 1.0 is 1 << SI_LOAD_SHIFT.
SI_LOAD_SHIFT = 16


class Sysinfo(Structure):
    """struct sysinfo; sizes count mem_unit bytes, uptime seconds."""

    uptime: I64 = 0
    loads: Annotated[tuple[int, ...], U64, 3] = (0, 0, 0)
    totalram: U64 = 0
    freeram: U64 = 0
    sharedram: U64 = 0
    bufferram: U64 = 0
    totalswap: U64 = 0
    freeswap: U64 = 0
    procs: U16 = 0
    totalhigh: U64 = 0
    freehigh: U64 = 0
    mem_unit: U32 = 0

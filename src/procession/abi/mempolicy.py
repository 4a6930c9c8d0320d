"""Policies of memory on several nodes: mbind(2), set_mempolicy(2), move_pages(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag


class MemoryPolicyMode(IntEnum):
    """The mode of set_mempolicy(2) and mbind(2), without its flags."""

    MPOL_DEFAULT = 0
    MPOL_PREFERRED = 1
    MPOL_BIND = 2
    MPOL_INTERLEAVE = 3
    MPOL_LOCAL = 4
    MPOL_PREFERRED_MANY = 5
    MPOL_WEIGHTED_INTERLEAVE = 6


class MemoryPolicyFlag(IntFlag):
    """What may be added to a mode."""

    MPOL_F_NUMA_BALANCING = 1 << 13
    MPOL_F_RELATIVE_NODES = 1 << 14
    MPOL_F_STATIC_NODES = 1 << 15


class GetPolicyFlag(IntFlag):
    """flags of get_mempolicy(2)."""

    MPOL_F_NODE = 1
    MPOL_F_ADDR = 2
    MPOL_F_MEMS_ALLOWED = 4


class MovePagesFlag(IntFlag):
    """flags of mbind(2) and move_pages(2)."""

    MPOL_MF_STRICT = 1
    MPOL_MF_MOVE = 2
    MPOL_MF_MOVE_ALL = 4

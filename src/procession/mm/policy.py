"""Memory policies on a machine whose memory is one node: what was asked for is kept, and told again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter

from procession.abi.errno import EINVAL
from procession.abi.mempolicy import MemoryPolicyFlag, MemoryPolicyMode

MAX_NODES = 1024
"""How many nodes a mask may name, as distributions have it (Linux: include/linux/numa.h, MAX_NUMNODES)."""
ONLINE_NODES = 1

_MODE_BITS, _FLAG_BITS = 3, 3
_FLAG_SHIFT = 13
_STATIC = int(MemoryPolicyFlag.MPOL_F_STATIC_NODES)
_RELATIVE = int(MemoryPolicyFlag.MPOL_F_RELATIVE_NODES)
_BALANCING = int(MemoryPolicyFlag.MPOL_F_NUMA_BALANCING)
_KEEPS_NODES = _STATIC | _RELATIVE

_DEFAULT = int(MemoryPolicyMode.MPOL_DEFAULT)
_PREFERRED = int(MemoryPolicyMode.MPOL_PREFERRED)
_BIND = int(MemoryPolicyMode.MPOL_BIND)
_LOCAL = int(MemoryPolicyMode.MPOL_LOCAL)
_BALANCED = (_BIND, int(MemoryPolicyMode.MPOL_PREFERRED_MANY))
_MODES = len(MemoryPolicyMode)
POLICY_NAMES = (
    *(b"default", b"prefer", b"bind", b"interleave", b"local", b"prefer (many)", b"weighted interleave"),
)
"""By the numbers of the modes. Linux: mm/mempolicy.c, policy_modes."""
MOST_PAGES = 1 << 52
"""More than any file has."""


def split_mode(mode: int) -> tuple[int, int]:
    """The mode and the flags in a program's mode argument. Raises EINVAL.

    Linux: mm/mempolicy.c, sanitize_mpol_flags.
    """
    flags = mode & (_STATIC | _RELATIVE | _BALANCING)
    mode &= ~flags
    if not 0 <= mode < _MODES:
        raise EINVAL("no such policy")
    if flags & _KEEPS_NODES == _KEEPS_NODES:
        raise EINVAL("nodes that are both static and relative")
    if flags & _BALANCING and mode not in _BALANCED:
        raise EINVAL("only MPOL_BIND and MPOL_PREFERRED_MANY balance")
    return mode, flags


def make_policy(mode: int, flags: int, nodes: int) -> int:
    """A policy as an int, which area flags and tasks hold; 0 for none. `nodes` is a mask. Raises EINVAL.

    Linux: mm/mempolicy.c, mpol_new, mpol_set_nodemask.
    """
    if mode == _DEFAULT:
        if nodes:
            raise EINVAL("the default policy names no nodes")
        return 0
    if mode == _PREFERRED and not nodes:
        if flags & _KEEPS_NODES:
            raise EINVAL("no nodes that could be static or relative")
        mode = _LOCAL
    elif mode == _LOCAL:
        if nodes or flags & _KEEPS_NODES:
            raise EINVAL("MPOL_LOCAL names no nodes")
    elif not nodes:
        raise EINVAL("no nodes")
    if mode != _LOCAL and not flags & _RELATIVE and not nodes & ONLINE_NODES:
        # Relative ones are counted round and round over those that there are.
        raise EINVAL("none of the nodes has memory")
    kept = nodes if flags else nodes & ONLINE_NODES
    return mode | flags >> _FLAG_SHIFT << _MODE_BITS | kept << (_MODE_BITS + _FLAG_BITS)


def mode_of(policy: int) -> int:
    """The mode of a policy, without its flags."""
    return policy & (1 << _MODE_BITS) - 1


def mode_and_flags_of(policy: int) -> int:
    """What get_mempolicy(2) tells as the mode."""
    return mode_of(policy) | (policy >> _MODE_BITS & (1 << _FLAG_BITS) - 1) << _FLAG_SHIFT


def nodes_of(policy: int) -> int:
    """The mask of nodes that get_mempolicy(2) tells."""
    return policy >> (_MODE_BITS + _FLAG_BITS)


def policy_text(policy: int) -> bytes:
    """As /proc/PID/numa_maps shows it. Linux: mm/mempolicy.c, mpol_to_str."""
    text = POLICY_NAMES[mode_of(policy)]
    flags = mode_and_flags_of(policy)
    if flags & _STATIC:
        text += b"=static"
    elif flags & _RELATIVE:
        text += b"=relative"
    return text + b":0" if nodes_of(policy) else text


class SharedPolicies:
    """The policies of pages that several programs may map: the pages', whoever asks, for the file's life.

    `runs` are the first page, the one behind the last, and the policy of each, in order.
    Linux: include/linux/mempolicy.h, struct shared_policy.
    """

    __slots__ = ("runs",)

    def __init__(self) -> None:
        self.runs: list[tuple[int, int, int]] = []

    def at(self, page: int) -> int:
        """The policy of a page, 0 for none. Linux: mm/mempolicy.c, mpol_shared_policy_lookup."""
        index = bisect_right(self.runs, page, key=itemgetter(0)) - 1
        if index < 0:
            return 0
        _first, past, policy = self.runs[index]
        return policy if page < past else 0

    def replacement(self, first: int, past: int, policy: int) -> tuple[int, int, list[tuple[int, int, int]]]:
        """What changes if pages `first` to before `past` have `policy`: runs from an index to before another,
        and what is in their place.

        Linux: mm/mempolicy.c, shared_policy_replace.
        """
        low = bisect_right(self.runs, first, key=itemgetter(1))
        high = bisect_left(self.runs, past, lo=low, key=itemgetter(0))
        new = [(first, past, policy)] if policy else []
        if low < high:
            start, _, other = self.runs[low]
            if start < first:
                new.insert(0, (start, first, other))
            _, end, other = self.runs[high - 1]
            if end > past:
                new.append((past, end, other))
        return low, high, new

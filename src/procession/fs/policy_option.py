"""`mpol=`, the policy of a tmpfs's memory (tmpfs(5))."""

from __future__ import annotations

from procession.abi.errno import EINVAL, ERANGE
from procession.abi.mempolicy import MemoryPolicyFlag, MemoryPolicyMode
from procession.fs.bit_list import parse_bit_list
from procession.mm.policy import MAX_NODES, ONLINE_NODES, POLICY_NAMES, make_policy

_FLAGS = {
    b"": 0,
    b"static": int(MemoryPolicyFlag.MPOL_F_STATIC_NODES),
    b"relative": int(MemoryPolicyFlag.MPOL_F_RELATIVE_NODES),
}
_DEFAULT = int(MemoryPolicyMode.MPOL_DEFAULT)
_PREFERRED = int(MemoryPolicyMode.MPOL_PREFERRED)
_LOCAL = int(MemoryPolicyMode.MPOL_LOCAL)
_INTERLEAVES = (int(MemoryPolicyMode.MPOL_INTERLEAVE), int(MemoryPolicyMode.MPOL_WEIGHTED_INTERLEAVE))


def parse_policy(text: bytes) -> int:
    """The policy that a text such as `bind=static:0` names, 0 for the default. Raises EINVAL.

    Linux: mm/mempolicy.c, mpol_parse_str.
    """
    head, colon, list_text = text.partition(b":")
    name, equals, flag_text = head.partition(b"=")
    if name not in POLICY_NAMES or flag_text not in _FLAGS or (equals and not flag_text):
        raise EINVAL("no such policy")
    mode = POLICY_NAMES.index(name)
    nodes = 0
    if colon:
        try:
            nodes = parse_bit_list(list_text, MAX_NODES)
        except ERANGE:
            raise EINVAL("nodes that no machine has") from None
        if nodes & ~ONLINE_NODES:
            raise EINVAL("nodes without memory")
        if mode in (_DEFAULT, _LOCAL) or (mode == _PREFERRED and not list_text.isdigit()):
            raise EINVAL("it names no nodes, or one")
    elif mode in _INTERLEAVES:
        nodes = ONLINE_NODES
    if mode == _DEFAULT:
        return 0
    return make_policy(mode, _FLAGS[flag_text], nodes)

"""The little programs by which ss(8) lets the kernel choose among Internet sockets.

Linux: net/ipv4/inet_diag.c, inet_diag_bc_run, inet_diag_bc_audit.
"""

from __future__ import annotations

from procession.abi.errno import EINVAL
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.named_tuple import NamedTuple
from procession.abi.sock_diag import InetDiagOperation
from procession.abi.socket import AddressFamily
from procession.abi.word import Words
from procession.net.internet.address import AF_INET, AF_INET6

_OPERATION = Words("<BBH")
_CONDITION = Words("<BBxxi")
_STEP = _OPERATION.size
_MORE = {
    int(InetDiagOperation.INET_DIAG_BC_S_COND): 8,
    int(InetDiagOperation.INET_DIAG_BC_D_COND): 8,
    int(InetDiagOperation.INET_DIAG_BC_DEV_COND): 4,
    int(InetDiagOperation.INET_DIAG_BC_MARK_COND): 8,
    int(InetDiagOperation.INET_DIAG_BC_S_GE): 4,
    int(InetDiagOperation.INET_DIAG_BC_S_LE): 4,
    int(InetDiagOperation.INET_DIAG_BC_D_GE): 4,
    int(InetDiagOperation.INET_DIAG_BC_D_LE): 4,
    int(InetDiagOperation.INET_DIAG_BC_S_EQ): 4,
    int(InetDiagOperation.INET_DIAG_BC_D_EQ): 4,
}
"""How many bytes of operands follow."""
_NOP, _JUMP = int(InetDiagOperation.INET_DIAG_BC_NOP), int(InetDiagOperation.INET_DIAG_BC_JMP)
_AUTO = int(InetDiagOperation.INET_DIAG_BC_AUTO)
_SOURCE, _TARGET = (
    int(InetDiagOperation.INET_DIAG_BC_S_COND),
    int(InetDiagOperation.INET_DIAG_BC_D_COND),
)
_DEVICE = int(InetDiagOperation.INET_DIAG_BC_DEV_COND)
_MARK = int(InetDiagOperation.INET_DIAG_BC_MARK_COND)
_PORTS = {
    int(InetDiagOperation.INET_DIAG_BC_S_GE): (True, 1),
    int(InetDiagOperation.INET_DIAG_BC_S_LE): (True, -1),
    int(InetDiagOperation.INET_DIAG_BC_S_EQ): (True, 0),
    int(InetDiagOperation.INET_DIAG_BC_D_GE): (False, 1),
    int(InetDiagOperation.INET_DIAG_BC_D_LE): (False, -1),
    int(InetDiagOperation.INET_DIAG_BC_D_EQ): (False, 0),
}
"""Whether the source's port is compared, and whether it may be more, less or neither."""
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_AF_UNSPEC = int(AddressFamily.AF_UNSPEC)


class Ends(NamedTuple):
    """What is compared of a socket."""

    family: int
    source: bytes
    source_port: int
    target: bytes
    target_port: int
    interface: int
    mark: int
    has_chosen_port: bool


def check_program(program: bytes) -> None:
    """Raise EINVAL unless the program ends: all jumps lead forward, to instructions."""
    starts = {len(program)}
    position = 0
    jumps: list[int] = []
    while position < len(program):
        if len(program) - position < _STEP:
            raise EINVAL("half an instruction")
        starts.add(position)
        code, yes, no = _OPERATION.unpack_from(program, position)
        size = _size_of(program, position, code)
        if yes < size or yes % 4 or position + yes > len(program):
            raise EINVAL("a jump that leads nowhere")
        if code != _NOP:
            if no < _STEP or no % 4 or position + no > len(program) + 4:
                raise EINVAL("a jump that leads nowhere")
            if position + no < len(program):
                jumps.append(position + no)
        position += yes
    if any(target not in starts for target in jumps):
        raise EINVAL("a jump between instructions")


def _size_of(program: bytes, position: int, code: int) -> int:
    """How long an instruction is with its operands. Raises EINVAL."""
    if code not in (_NOP, _JUMP, _AUTO) and code not in _MORE:
        raise EINVAL(f"no instruction {code}")
    size = _STEP + _MORE.get(code, 0)
    if position + size > len(program):
        raise EINVAL("half an instruction")
    if code in (_SOURCE, _TARGET):
        family, prefix, _ = _CONDITION.unpack_from(program, position + _STEP)
        longest = 0 if family == _AF_UNSPEC else ADDRESS_BYTES.get(family, -1)
        if longest < 0 or prefix > 8 * longest or position + size + longest > len(program):
            raise EINVAL("no such address")
        size += longest
    return size


def lets_through(program: bytes, ends: Ends) -> bool:
    """Whether the program, which has been checked, wants a socket with these ends."""
    position = 0
    while position < len(program):
        code, yes, no = _OPERATION.unpack_from(program, position)
        position += yes if _holds(program, position, code, ends) else no
    return position == len(program)


def _holds(program: bytes, position: int, code: int, ends: Ends) -> bool:
    operand = position + _STEP
    if code == _JUMP:
        return False
    if code == _AUTO:
        return not ends.has_chosen_port
    compared = _PORTS.get(code)
    if compared is not None:
        is_source, direction = compared
        port = ends.source_port if is_source else ends.target_port
        wanted = int.from_bytes(program[operand + 2 : operand + 4], "little")
        return port == wanted if not direction else (port - wanted) * direction >= 0
    if code in (_SOURCE, _TARGET):
        if code == _SOURCE:
            return _matches(program, operand, ends.family, ends.source, ends.source_port)
        return _matches(program, operand, ends.family, ends.target, ends.target_port)
    if code == _DEVICE:
        return ends.interface == int.from_bytes(program[operand : operand + 4], "little")
    if code == _MARK:
        mark = int.from_bytes(program[operand : operand + 4], "little")
        mask = int.from_bytes(program[operand + 4 : operand + 8], "little")
        return ends.mark & mask == mark
    return True


def _matches(program: bytes, operand: int, family: int, address: bytes, port: int) -> bool:
    """Whether an address is in the prefix of a struct inet_diag_hostcond, and the port is its."""
    wanted_family: int
    prefix: int
    wanted_family, prefix, wanted_port = _CONDITION.unpack_from(program, operand)
    if wanted_port not in (-1, port):
        return False
    wanted = program[operand + _CONDITION.size : operand + _CONDITION.size + 16]
    if wanted_family not in (_AF_UNSPEC, family):
        if not (family == AF_INET6 and wanted_family == AF_INET and address[:12] == _MAPPED_PREFIX):
            return False
        address = address[12:]
    if prefix <= 0:
        return True
    size = len(address)
    shift = 8 * size - prefix
    return bool(int.from_bytes(address, "big") >> shift == int.from_bytes(wanted[:size], "big") >> shift)

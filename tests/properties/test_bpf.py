"""Programs of eBPF, generated: what the verifier takes runs to its end, and Linux's verifier takes it too."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.bpf_attributes import BpfCgroupDevCtx, BpfInsn, BpfProgLoad
from procession.abi.errno import EACCES, EINVAL
from procession.kernel.bpf.form import _CODES, LOAD_DOUBLE_WORD, decode
from procession.kernel.bpf.interpreter import run
from procession.kernel.bpf.verifier import verify

EXIT = BpfInsn(0x95).pack()
SETUP = b"".join(
    (BpfInsn(0xB7, register, 0, immediate).pack()) for register, immediate in ((0, 1), (2, -7), (3, 100))
)
CODES = sorted(_CODES - {LOAD_DOUBLE_WORD, 0x85})
SYS_BPF = 321
REGISTERS = st.sampled_from((0, 0, 1, 2, 2, 3, 4, 10, 11))
NUMBERS = st.one_of(
    st.sampled_from((0, 0, 0, 1, 8, 16, 32, -1, 1 << 30)), st.integers(-(1 << 31), (1 << 31) - 1)
)
OFFSETS = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4, 8, 16, 32, -8, -4, -16, -512, -1))


@st.composite
def instructions(draw: st.DrawFn) -> bytes:
    """One instruction, most often of a form that can be right."""
    if draw(st.integers(0, 15)) == 0:
        low, high = draw(NUMBERS), draw(NUMBERS)
        return BpfInsn(LOAD_DOUBLE_WORD, draw(REGISTERS), 0, low).pack() + BpfInsn(0, 0, 0, high).pack()
    code = draw(st.sampled_from(CODES))
    kind = code & 7
    destination, source, offset, immediate = draw(REGISTERS), draw(REGISTERS), 0, draw(NUMBERS)
    if kind in (1, 2, 3, 5, 6) or draw(st.integers(0, 9)) == 0:
        offset = draw(OFFSETS)
    if draw(st.integers(0, 9)):
        # Leave what is reserved.
        uses_source = kind in (1, 3) or (kind > 3 and code & 8)
        if uses_source:
            immediate = 0
        else:
            source = 0
        if kind in (5, 6):
            offset = abs(offset) & 3
    return BpfInsn(code, source << 4 | destination, offset, immediate).pack()


programs = st.lists(instructions(), max_size=12).map(lambda each: SETUP + b"".join(each) + EXIT)
contexts = st.builds(
    BpfCgroupDevCtx,
    access_type=st.integers(0, 0xFFFFFFFF),
    major=st.integers(0, 0xFFF),
    minor=st.integers(0, 0xFFFFF),
)


def is_taken(code: bytes, *, is_trusted: bool) -> bool:
    try:
        verify(decode(code), BpfCgroupDevCtx.SIZE, 1, is_trusted=is_trusted)
    except (EINVAL, EACCES):
        return False
    return True


def is_taken_by_linux(code: bytes) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    program = ctypes.create_string_buffer(code, len(code))
    license_text = ctypes.create_string_buffer(b"GPL")
    attributes = BpfProgLoad(
        prog_type=15,
        insn_cnt=len(code) // BpfInsn.SIZE,
        insns=ctypes.addressof(program),
        license=ctypes.addressof(license_text),
    ).pack()
    fd = libc.syscall(SYS_BPF, 5, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes))
    if fd >= 0:
        os.close(fd)
    return bool(fd >= 0)


@given(programs, contexts)
def test_what_is_taken_ends(code: bytes, context: BpfCgroupDevCtx) -> None:
    for is_trusted in (False, True):
        if is_taken(code, is_trusted=is_trusted):
            answer, count = run(decode(code), context.pack())
            assert answer in (0, 1)
            assert 0 < count <= len(code) // len(EXIT)


@given(st.binary(min_size=1, max_size=10).map(lambda text: text * 8))
def test_any_bytes_are_taken_or_refused(code: bytes) -> None:
    is_taken(code, is_trusted=True)


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64") or os.geteuid() != 0,
    reason="only root of Linux can load programs",
)
@given(programs)
def test_linux_takes_what_is_taken(code: bytes) -> None:
    if is_taken(code, is_trusted=True):
        assert is_taken_by_linux(code)

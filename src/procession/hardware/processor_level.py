"""The processors that a program can find: x86-64-v2, which every engine has, and x86-64-v3.

A program looks once what there is, and holds to it: so the level is the program's, from exec on, whichever
engine runs it. What CPUID, the auxiliary vector, /proc/cpuinfo, signal frames and tracers tell goes by it.
"""

from __future__ import annotations

from typing import Final

from procession.hardware.extended_state import AVX, FXSAVE_BYTES, SSE, X87, XSAVE_BYTES

V2, V3 = 2, 3


class ProcessorLevel:
    """What one level means. `components` and `state_bytes` are of the XSAVE area; 0 and FXSAVE's without.

    `flags` names what CPUID says there is, `maximum_leaf` is the last that it answers, `capabilities` is
    AT_HWCAP, the first leaf's edx, and `minimum_signal_stack` AT_MINSIGSTKSZ.
    """

    __slots__ = (
        "capabilities",
        "components",
        "flags",
        "maximum_leaf",
        "minimum_signal_stack",
        "model",
        "model_name",
        "state_bytes",
    )

    def __init__(
        self,
        *,
        model: int,
        model_name: bytes,
        flags: bytes,
        components: int,
        state_bytes: int,
        maximum_leaf: int,
        capabilities: int,
        minimum_signal_stack: int,
    ) -> None:
        self.model = model
        self.model_name = model_name
        self.flags = flags
        self.components = components
        self.state_bytes = state_bytes
        self.capabilities = capabilities
        self.maximum_leaf = maximum_leaf
        self.minimum_signal_stack = minimum_signal_stack


LEVELS: Final = {
    V2: ProcessorLevel(
        model=26,
        model_name=b"Intel Core i7 9xx (Nehalem Class Core i7)",
        flags=(
            b"fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr "
            b"sse sse2 syscall nx lm rep_good nopl cpuid pni ssse3 cx16 sse4_1 sse4_2 popcnt "
            b"hypervisor lahf_lm"
        ),
        components=0,
        state_bytes=FXSAVE_BYTES,
        maximum_leaf=0xB,
        capabilities=0x078B_FBFD,
        minimum_signal_stack=2048,
    ),
    V3: ProcessorLevel(
        model=60,
        model_name=b"Procession x86-64-v3",
        flags=(
            b"fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr "
            b"sse sse2 syscall nx rdtscp lm rep_good nopl cpuid pni pclmulqdq ssse3 fma cx16 sse4_1 "
            b"sse4_2 movbe popcnt aes xsave avx f16c lahf_lm abm bmi1 avx2 bmi2 erms"
        ),
        components=X87 | SSE | AVX,
        state_bytes=XSAVE_BYTES,
        maximum_leaf=0xD,
        capabilities=0x078B_FBFF,
        minimum_signal_stack=1776,
    ),
}
"""By number, what Linux tells of them."""

"""What rt_sigaction(2) and sigaltstack(2) exchange with the kernel."""

from __future__ import annotations

from procession.abi.structure import I32, U64, Pointer, Structure


class Sigaction(Structure):
    """The kernel's struct sigaction, whose order isn't the C library's; sa_mask has a bit for each signal."""

    sa_handler: Pointer = 0
    sa_flags: U64 = 0
    sa_restorer: Pointer = 0
    sa_mask: U64 = 0


class SignalStack(Structure):
    """stack_t."""

    ss_sp: Pointer = 0
    ss_flags: I32 = 0
    ss_size: U64 = 0

"""What `fisttp` gives on the Unicorn engine for numbers that are too large: the indefinite integer.

The library gives the largest integer for those above, and for what is no number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.engines.unicorn_machine_code import Assembly, d32, q

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_state import StateLayout

TRUNCATE_TO_32_BITS, TRUNCATE_TO_64_BITS = "helper_fisttl_ST0_x86_64", "helper_fisttll_ST0_x86_64"


def truncating_code(function: int, layout: StateLayout, bits: int) -> bytes:
    """Code to call instead of one of these, which is at `function` and returns an integer of `bits` bits."""
    mark = d32(layout.x87_mark)
    code = Assembly()
    code.add("57 4883ec10 0fb687", mark)  # push rdi; sub rsp, 16; movzx eax, byte [rdi + the x87 mark]
    code.add("890424 80a7", mark, b"\xfe")  # mov [rsp], eax; and byte [rdi + mark], not INVALID
    code.add("48b8", q(function), b"\xff\xd0")  # mov rax, the function; call rax
    code.add("488b7c2410 f687", mark, b"\x01")  # mov rdi, [rsp + 16]; test byte [rdi + mark], INVALID
    code.jump("84", "valid")  # jz valid
    code.add("48b8", q(1 << bits - 1))  # mov rax, the indefinite integer
    code.label("valid")
    code.add("8b0c24 088f", mark)  # mov ecx, [rsp]; or byte [rdi + mark], cl
    code.add("4883c418 c3")  # add rsp, 24; ret
    return code.finish()

"""A bound on how many instructions Unicorn translates as one block.

The library counts up to 512 instructions into a block, and for some of them (those of the x87, crc32,
pcmpestri) takes one or two of its 512 temporaries that it never gives back before the block ends. It doesn't
look whether there are any left: a few hundred such instructions in a row, and it writes past its table. So
the library's call of its own translator is led through code that asks for less. A block that can't take long
also lets the meter see what the program does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_locks import INSTRUCTIONS_PER_BLOCK, looking_code

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary
    from procession.hardware.engines.unicorn_state import StateLayout

TRANSLATOR = "gen_intermediate_code_x86_64"
"""Called as (processor object, block, the most instructions)."""

_WORD, _INFO = Words("<I"), Words("<Q")


def bound_blocks(library: UnicornLibrary, image: LibraryImage) -> None:
    """See to it that no block has more than INSTRUCTIONS_PER_BLOCK instructions. Raises UnicornError."""
    translator = library.address_of(TRANSLATOR)
    limit = _WORD.pack(INSTRUCTIONS_PER_BLOCK)
    code = (
        bytes.fromhex("81fa") + limit,  # cmp edx, the limit
        bytes.fromhex("7e05ba") + limit,  # jle +5; mov edx, the limit
        bytes.fromhex("48b8") + _INFO.pack(translator),  # mov rax, the translator
        bytes.fromhex("ffe0"),  # jmp rax
    )
    image.lead(translator, b"".join(code))


def refuse_locks(library: UnicornLibrary, image: LibraryImage, layout: StateLayout) -> None:
    """From now on look through what is translated too, as what a processor's objects are like is known."""
    environment = layout.address - layout.holder
    translator = library.address_of(TRANSLATOR)
    image.lead_again(
        translator,
        looking_code(translator, environment, layout.cr3, layout.memory),
    )

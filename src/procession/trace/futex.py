"""The arguments of futex(2): each command has others of the six."""

from __future__ import annotations

from typing import Any

from procession.abi.futex import FUTEX_BITSET_MATCH_ANY, FutexCommand, FutexFlag

_COMMAND = ~int(FutexFlag.FUTEX_PRIVATE_FLAG | FutexFlag.FUTEX_CLOCK_REALTIME)
_COUNT2, _VALUE3 = 3, 5
_SHOWN: dict[int, tuple[int, ...]] = {
    FutexCommand.FUTEX_WAIT: (0, 1, 2, 3),
    FutexCommand.FUTEX_WAKE: (0, 1, 2),
    FutexCommand.FUTEX_REQUEUE: (0, 1, 2, 3, 4),
    FutexCommand.FUTEX_CMP_REQUEUE: (0, 1, 2, 3, 4, 5),
    FutexCommand.FUTEX_WAKE_OP: (0, 1, 2, 3, 4, 5),
    FutexCommand.FUTEX_LOCK_PI: (0, 1, 3),
    FutexCommand.FUTEX_UNLOCK_PI: (0, 1),
    FutexCommand.FUTEX_TRYLOCK_PI: (0, 1),
    FutexCommand.FUTEX_WAIT_BITSET: (0, 1, 2, 3, 5),
    FutexCommand.FUTEX_WAKE_BITSET: (0, 1, 2, 5),
    FutexCommand.FUTEX_WAIT_REQUEUE_PI: (0, 1, 2, 3, 4),
    FutexCommand.FUTEX_CMP_REQUEUE_PI: (0, 1, 2, 3, 4, 5),
    FutexCommand.FUTEX_LOCK_PI2: (0, 1, 3),
}
_WITH_TWO_COUNTS = (
    FutexCommand.FUTEX_REQUEUE,
    FutexCommand.FUTEX_CMP_REQUEUE,
    FutexCommand.FUTEX_WAKE_OP,
    FutexCommand.FUTEX_CMP_REQUEUE_PI,
)
_BITSETS = (FutexCommand.FUTEX_WAIT_BITSET, FutexCommand.FUTEX_WAKE_BITSET)


def futex_texts(texts: list[str | None], arguments: tuple[Any, ...]) -> list[str | None]:
    """The `texts` of futex(2)'s `arguments`, "" for those that the command doesn't have."""
    command = arguments[1] & _COMMAND
    shown = _SHOWN.get(command)
    if shown is None:
        return texts
    kept = [text if position in shown else "" for position, text in enumerate(texts)]
    if command in _WITH_TWO_COUNTS:
        kept[_COUNT2] = str(arguments[_COUNT2].address & 0xFFFF_FFFF)
    elif command in _BITSETS:
        bitset = arguments[_VALUE3]
        kept[_VALUE3] = "FUTEX_BITSET_MATCH_ANY" if bitset == FUTEX_BITSET_MATCH_ANY else f"{bitset:#x}"
    return kept

"""What the last of many operations costs beside the first ones."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time

CONSTANT = 8
"""How many times as long is no growth yet: more objects than the host's caches hold make it four. What grows
with their number takes a hundred times as long."""


def growth(operate: Callable[[int], object], count: int, sample: int = 100) -> float:
    """How many times as long each of the last `sample` of `count` operations takes as the first ones.

    The quickest tenth of each is compared: the processor is others' too.
    """

    def cost_s(numbers: range) -> float:
        times: list[float] = []
        for number in numbers:
            start = thread_time()
            operate(number)
            times.append(thread_time() - start)
        return sum(sorted(times)[: len(times) // 10])

    first = cost_s(range(sample))
    for number in range(sample, count - sample):
        operate(number)
    return cost_s(range(count - sample, count)) / first

"""A list whose earlier states are kept cheaply: they share with it what hasn't changed since."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress, count
from operator import is_not
from typing import Generic, TypeVar

Item = TypeVar("Item")

_BITS = 6
LEAF_SIZE = 1 << _BITS
_MASK = LEAF_SIZE - 1


class KeptList(Generic[Item]):
    """A state of a SharedList: nobody changes these leaves any more."""

    __slots__ = ("count", "leaves")

    def __init__(self, leaves: list[list[Item]], count: int) -> None:
        self.leaves = leaves
        self.count = count


class SharedList(Generic[Item]):
    """A list in leaves of 64 items. To keep it costs the number of leaves, a change after that one leaf."""

    __slots__ = ("count", "leaves", "owned")

    def __init__(self) -> None:
        self.leaves: list[list[Item]] = []
        self.owned: set[int] = set()
        self.count = 0

    def __getitem__(self, index: int) -> Item:
        return self.leaves[index >> _BITS][index & _MASK]

    def __setitem__(self, index: int, item: Item) -> None:
        leaf = index >> _BITS
        if leaf not in self.owned:
            self.leaves[leaf] = self.leaves[leaf].copy()
            self.owned.add(leaf)
        self.leaves[leaf][index & _MASK] = item

    def append(self, item: Item) -> None:
        """One more item."""
        leaf = self.count >> _BITS
        if leaf == len(self.leaves):
            self.leaves.append([])
            self.owned.add(leaf)
        elif leaf not in self.owned:
            self.leaves[leaf] = self.leaves[leaf].copy()
            self.owned.add(leaf)
        self.leaves[leaf].append(item)
        self.count += 1

    def extend(self, items: list[Item]) -> None:
        """More items."""
        start = -self.count & _MASK
        for item in items[:start]:
            self.append(item)
        first = len(self.leaves)
        self.leaves += [items[at : at + LEAF_SIZE] for at in range(start, len(items), LEAF_SIZE)]
        self.owned.update(range(first, len(self.leaves)))
        self.count += max(len(items) - start, 0)

    def truncate(self, count: int) -> None:
        """Forget all items but the first `count`."""
        if count >= self.count:
            return
        leaf = count >> _BITS
        del self.leaves[leaf + bool(count & _MASK) :]
        if count & _MASK:
            self.leaves[leaf] = self.leaves[leaf][: count & _MASK]
            self.owned.add(leaf)
        self.count = count
        self.owned = {known for known in self.owned if known < len(self.leaves)}

    def keep(self) -> KeptList[Item]:
        """The list as it is now."""
        self.owned.clear()
        return KeptList(self.leaves.copy(), self.count)

    def differing(self, kept: KeptList[Item]) -> Iterator[tuple[int, Item, Item]]:
        """Where it differs from what it was: index, item now and item then, as far as both reach."""
        for leaf, (now, then) in enumerate(zip(self.leaves, kept.leaves, strict=False)):
            if now is not then:
                differing = map(is_not, now, then)
                yield from compress(zip(count(leaf << _BITS), now, then), differing)

    def put_back(self, kept: KeptList[Item]) -> None:
        """Be what it was, but for the items that it has got since: they stay."""
        whole = kept.count >> _BITS
        self.leaves[:whole] = kept.leaves[:whole]
        self.count = max(self.count, whole << _BITS)
        self.owned = {leaf for leaf in self.owned if leaf >= whole}
        rest = kept.count & _MASK
        if rest:
            then = kept.leaves[whole][:rest]
            now = self.leaves[whole] if whole < len(self.leaves) else []
            if len(now) < rest or any(map(is_not, now, then)):
                self.leaves[whole : whole + 1] = [then + now[rest:]]
                self.owned.add(whole)
            self.count = max(self.count, kept.count)

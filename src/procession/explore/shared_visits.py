"""What the workers of one machine tell each other of a divided search: which states they have searched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from procession.explore.visited import PastRace, Visit

_ASKING = "asking"
_SUFFIX = ".visits"
_READ_BYTES = 1 << 16
_numbers = count()
"""A file for each, should there be several in one process."""


class SharedVisits:
    """The states that this worker has searched with one bound, told to the others in `directory`, and theirs.

    Each worker appends to a file of its own, and reads those of the others: a line for each state. A state
    may be told before what was found there is entered in the ledger. Should the worker die in between, its
    piece is done again by workers that know of nothing (see `Processes`); what others have left out as it was
    seen there is seen then. That is enough, as a state rests on later ones alone, never on one before it.
    """

    def __init__(self, directory: str, bound: int | None) -> None:
        self.directory = Path(directory)
        self.own_name = f"{bound}-{os.getpid()}-{next(_numbers)}{_SUFFIX}"
        self.prefix = f"{bound}-"
        self.own = os.open(
            self.directory / self.own_name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self.untold: list[str] = []
        self.others: dict[str, int] = {}
        self.rests: dict[str, bytes] = {}

    def tell(self, signature: int, visit: Visit) -> None:
        """Have the others know, soon, that all was tried that there is in a state."""
        self.untold.append(json.dumps([signature, visit.runner, visit.cost, visit.races]))

    def exchange(self) -> Iterator[tuple[int, Visit]]:
        """Let the others know now, and learn what they have told since."""
        if self.untold:
            data = "".join(f"{line}\n" for line in self.untold).encode()
            self.untold.clear()
            while data:
                data = data[os.write(self.own, data) :]
        for name, number in self.others.items():
            while data := os.read(number, _READ_BYTES):
                *lines, self.rests[name] = (self.rests[name] + data).split(b"\n")
                yield from map(_visit, lines)

    def look_for_others(self) -> None:
        """Find those who have begun since."""
        for name in os.listdir(self.directory):
            is_others = name.startswith(self.prefix) and name.endswith(_SUFFIX) and name != self.own_name
            if is_others and name not in self.others:
                self.others[name] = os.open(self.directory / name, os.O_RDONLY | os.O_CLOEXEC)
                self.rests[name] = b""

    def close(self) -> None:
        """Tell and learn no more."""
        for number in (self.own, *self.others.values()):
            os.close(number)
        self.others.clear()


def ask_for_work(directory: str, is_asked: bool) -> None:
    """Say in `directory` whether there are workers with nothing to do."""
    path = Path(directory) / _ASKING
    if is_asked:
        path.touch()
    else:
        path.unlink(missing_ok=True)


def is_work_asked_for(directory: str) -> bool:
    """Whether there are workers with nothing to do."""
    return os.path.exists(os.path.join(directory, _ASKING))


def _visit(line: bytes) -> tuple[int, Visit]:
    signature, runner, cost, races = json.loads(line)
    return signature, Visit(runner, cost, tuple(PastRace(*race) for race in races))

"""Those who do the pieces of a divided search: this process, others on this machine, or a Dask cluster."""

from __future__ import annotations

import signal
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol

from procession.explore.division import WorkerKeeper, do_pieces

if TYPE_CHECKING:
    from procession.explore.division import Piece, Result, Task

_PIECES_PER_WORKER = 2
_WAIT_S = 0.2
_MOST_DEATHS = 20


class WorkersDie(Exception):
    """Workers end again and again before they have done anything."""


class Crew(Protocol):
    """Who does pieces of work."""

    @property
    def room(self) -> int:
        """How many more handfuls of pieces may be handed out now."""

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """Have `pieces` done, of which the last ones may come back undone."""

    def collect(self) -> list[tuple[Piece, Result | None]]:
        """What has been done since, after a short wait; None for what has to be done again."""

    def close(self) -> None:
        """No more will be handed out."""


class Alone:
    """This process does them all."""

    def __init__(self) -> None:
        self.given: list[tuple[Task, list[Piece]]] = []
        self.keeper = WorkerKeeper()

    @property
    def room(self) -> int:
        """See `Crew`."""
        return 1 - len(self.given)

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """See `Crew`."""
        self.given.append((task, pieces))

    def collect(self) -> list[tuple[Piece, Result | None]]:
        """See `Crew`."""
        given, self.given = self.given, []
        return [
            pair
            for task, pieces in given
            for pair in zip(pieces, self.keeper.do_pieces(task, pieces), strict=True)
        ]

    def close(self) -> None:
        """See `Crew`."""
        self.keeper.close()


class Processes:
    """So many processes of this machine. Should one be killed, its pieces are done again by others."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = self._new_pool()
        self.pieces: dict[Future[list[Result | None]], list[Piece]] = {}
        self.deaths = 0

    def _new_pool(self) -> ProcessPoolExecutor:
        # Not forked: the machine of this process, with all that the engine holds, is nothing for them.
        context = get_context("forkserver")
        return ProcessPoolExecutor(self.count, mp_context=context, initializer=_ignore_interrupts)

    @property
    def room(self) -> int:
        """See `Crew`."""
        return self.count * _PIECES_PER_WORKER - len(self.pieces)

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """See `Crew`."""
        try:
            future = self.pool.submit(do_pieces, task, pieces)
        except BrokenProcessPool:
            self._replace()
            future = self.pool.submit(do_pieces, task, pieces)
        self.pieces[future] = pieces

    def collect(self) -> list[tuple[Piece, Result | None]]:
        """See `Crew`. Raises WorkersDie."""
        done, _ = wait(self.pieces, timeout=_WAIT_S, return_when=FIRST_COMPLETED)
        found: list[tuple[Piece, Result | None]] = []
        is_broken = False
        for future in done:
            pieces = self.pieces.pop(future)
            try:
                found += zip(pieces, future.result(), strict=True)
                self.deaths = 0
            except BrokenProcessPool:
                is_broken = True
                found += [(piece, None) for piece in pieces]
        if is_broken:
            found += [(piece, None) for pieces in self.pieces.values() for piece in pieces]
            self.pieces.clear()
            self._replace()
        return found

    def _replace(self) -> None:
        self.deaths += 1
        if self.deaths > _MOST_DEATHS:
            raise WorkersDie(f"workers were killed {self.deaths} times, with nothing done between")
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.pool = self._new_pool()

    def close(self) -> None:
        """See `Crew`."""
        self.pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C at a terminal reaches all its processes: what becomes of the search is this one's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class DaskCluster:
    """The workers of a Dask cluster, where this version of Procession and the program's files must be."""

    def __init__(self, address: str) -> None:
        import distributed

        library: Any = distributed
        self.client: Any = library.Client(address)
        self.pieces: dict[Any, list[Piece]] = {}

    @property
    def room(self) -> int:
        """See `Crew`."""
        threads = sum(self.client.ncores().values())
        return max(int(threads), 1) * _PIECES_PER_WORKER - len(self.pieces)

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """See `Crew`."""
        self.pieces[self.client.submit(do_pieces, task, pieces, pure=False)] = pieces

    def collect(self) -> list[tuple[Piece, Result | None]]:
        """See `Crew`."""
        import distributed

        library: Any = distributed
        try:
            done = library.wait(list(self.pieces), timeout=_WAIT_S, return_when="FIRST_COMPLETED").done
        except library.TimeoutError:
            return []
        found: list[tuple[Piece, Result | None]] = []
        for future in done:
            pieces = self.pieces.pop(future)
            try:
                found += zip(pieces, future.result(), strict=True)
            except library.KilledWorker:
                found += [(piece, None) for piece in pieces]
        return found

    def close(self) -> None:
        """See `Crew`."""
        self.client.close()

"""Those who do the pieces of a divided search: this process, others on this machine, or a Dask cluster."""

from __future__ import annotations

import signal
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import current_process, get_context
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from procession.explore.division import WorkerKeeper, do_pieces, prepare
from procession.explore.shared_visits import ask_for_work

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from procession.explore.division import Piece, Result, Task

_PIECES_PER_WORKER = 2
_WAIT_S = 0.2
_MOST_DEATHS = 20


_NO_GUARD = (
    "workers end before they have begun: they import the program that started them, whose main part has to "
    'be under `if __name__ == "__main__":`'
)


class WorkersDie(Exception):
    """Workers end again and again before they have done anything, or can't begin."""


class Crew(Protocol):
    """Who does pieces of work."""

    @property
    def room(self) -> int:
        """How many more handfuls of pieces may be handed out now."""

    def prepare(self, task: Task) -> None:
        """Pieces of tasks with the `world` of this one will be handed out."""

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """Have `pieces` done, of which the last ones may come back undone."""

    def ask_for_work(self, is_asked: bool) -> None:
        """Say whether those who are at work shall give back soon what they haven't searched."""

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

    def prepare(self, task: Task) -> None:
        """See `Crew`."""

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """See `Crew`."""
        self.given.append((task, pieces))

    def ask_for_work(self, is_asked: bool) -> None:
        """See `Crew`."""

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
    """So many processes of this machine, which know which states the others have searched.

    Should one be killed, all are replaced, what they know of states is forgotten, and their pieces are done
    again. Workers import the caller's main module; SystemExit in one that does, and so would have workers of
    its own.
    """

    def __init__(self, count: int) -> None:
        if getattr(current_process(), "_inheriting", False):
            raise SystemExit(_NO_GUARD)
        self.count = count
        self.directory = self._new_directory()
        self.is_work_asked_for = False
        self.beginnings: list[Future[None]] = []
        self.workers: list[BaseProcess] = []
        self.pool = self._new_pool()
        self.pieces: dict[Future[list[Result | None]], list[Piece]] = {}
        self.deaths = 0

    def _new_directory(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="procession-explore-", ignore_cleanup_errors=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        # Not forked: the machine of this process, with all that the engine holds, is nothing for them.
        context = get_context("forkserver")
        context.set_forkserver_preload([do_pieces.__module__])
        pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_ignore_interrupts)
        # They start now, and not one after the other when there is work.
        self.beginnings = [pool.submit(_begin) for _ in range(self.count)]
        self.workers = list(pool._processes.values())
        return pool

    @property
    def room(self) -> int:
        """See `Crew`."""
        return self.count * _PIECES_PER_WORKER - len(self.pieces)

    def prepare(self, task: Task) -> None:
        """See `Crew`."""
        # It's one for each as long as that takes; who has done it does it in no time.
        with suppress(BrokenProcessPool):
            for _ in range(self.count):
                self.pool.submit(prepare, task)

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """See `Crew`."""
        future = self._submit(task, pieces)
        while future is None:
            self._replace()
            future = self._submit(task, pieces)
        self.pieces[future] = pieces

    def _submit(self, task: Task, pieces: list[Piece]) -> Future[list[Result | None]] | None:
        """Have `pieces` done; None if a worker has died meanwhile."""
        try:
            return self.pool.submit(do_pieces, task._replace(directory=self.directory.name), pieces)
        except BrokenProcessPool:
            return None

    def ask_for_work(self, is_asked: bool) -> None:
        """See `Crew`."""
        if is_asked != self.is_work_asked_for:
            self.is_work_asked_for = is_asked
            ask_for_work(self.directory.name, is_asked)

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
        if not any(map(_is_done, self.beginnings)) and any((each.exitcode or 0) > 0 for each in self.workers):
            # Nobody has killed them: it would be the same again.
            raise WorkersDie(_NO_GUARD)
        if self.deaths > _MOST_DEATHS:
            raise WorkersDie(f"workers were killed {self.deaths} times, with nothing done between")
        self.pool.shutdown(wait=True, cancel_futures=True)
        # What the dead have told is in no result.
        self.directory.cleanup()
        self.directory = self._new_directory()
        self.is_work_asked_for = False
        self.pool = self._new_pool()

    def close(self) -> None:
        """See `Crew`."""
        self.ask_for_work(True)
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.directory.cleanup()


def _is_done(future: Future[None]) -> bool:
    """Whether that was done, and hasn't failed."""
    return future.done() and not future.cancelled() and future.exception() is None


def _begin() -> None:
    """A worker has started."""


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

    def prepare(self, task: Task) -> None:
        """See `Crew`."""

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        """See `Crew`."""
        self.pieces[self.client.submit(do_pieces, task, pieces, pure=False)] = pieces

    def ask_for_work(self, is_asked: bool) -> None:
        """See `Crew`."""

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

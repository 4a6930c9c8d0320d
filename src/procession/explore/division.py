"""A search divided: subtrees of it as pieces of work, each of which can be done in any process."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.explore.finding import Finding, Steps
from procession.explore.footprint import footprint_of
from procession.explore.oracle import (
    LOOK_AT_STACKS,
    ORACLES,
    Expectation,
    Oracle,
    looks_at_descriptors,
    problems,
)
from procession.explore.search import OpenNode, Reduction, Search, Sleeping
from procession.explore.shared_visits import SharedVisits, is_work_asked_for
from procession.explore.visited import Visited
from procession.explore.world import World

if TYPE_CHECKING:
    from procession.explore.program import Program

PIECE_S = 0.5
"""How long a piece of work takes, about: what it hasn't searched by then becomes pieces of its own."""
_SHORTEST, _LONGEST = 0.05, 4
"""Where workers know of each other, a piece takes as many times as long if nobody waits for work, and may be
over as soon as that if somebody does: each that is cut leaves states half searched, which isn't told."""


class Task(NamedTuple):
    """What is the same for all pieces of a search; plain values, to be sent to another process.

    In `directory`, if there is one, workers tell each other which states they have searched. `search` is
    another for each search: what was seen in one says nothing of what the next has to see.
    """

    program: Program
    oracles: tuple[Oracle | str, ...]
    expected: Expectation
    bound: int | None
    reduction: Reduction
    finds_all: bool
    orders_output: bool
    piece_s: float = PIECE_S
    directory: str = ""
    search: str = ""

    @property
    def world(self) -> bytes:
        """Equal for tasks that one machine does."""
        return pickle.dumps((self.program, self.oracles, self.orders_output))


class Piece(NamedTuple):
    """All runs that begin with `steps`; `sleeping` needn't be tried in front of the last of them."""

    steps: Steps = ()
    sleeping: Sleeping = ()


class Wish(NamedTuple):
    """One of `branches` is to be tried at the choice to which the first `length` steps of a piece lead."""

    length: int
    branches: tuple[tuple[int, tuple[int, ...]], ...]


class Result(NamedTuple):
    """What doing a piece has given: what it has seen, what is open below it, and what is to be tried above
    it.

    `wishes` are pairs: how many steps of the piece's own lead to a choice, and the option that is to be tried
    there. `has_unwatched_memory` says that tasks share some in a run that the worker has made.
    """

    schedules: int
    signatures: tuple[int, ...]
    redundant: int
    steps: int
    left: int
    cut_off: int
    findings: tuple[Finding, ...]
    open_nodes: tuple[OpenNode, ...]
    wishes: tuple[Wish, ...]
    has_unwatched_memory: bool


class Worker:
    """Does pieces of tasks that have the same `world`, with one machine.

    States that were searched to their end in one piece aren't searched in a later one: what was found there
    is in the results by then, or both are lost.
    """

    def __init__(self, task: Task) -> None:
        self.oracles = [ORACLES[name] if isinstance(name, str) else name for name in task.oracles]
        names = {oracle.name for oracle in self.oracles}
        self.world = World(
            task.program,
            orders_output=task.orders_output,
            looks_at_stacks=not names.isdisjoint(LOOK_AT_STACKS),
            looks_at_descriptors=looks_at_descriptors(self.oracles),
        )
        self.world.warm_up()
        self.known: tuple[object, ...] = ()
        self.sharer: SharedVisits | None = None
        self.visited = Visited()

    def do_all(self, task: Task, pieces: Sequence[Piece]) -> list[Result | None]:
        """Do one piece after the other, as long as there is time; None for those that there wasn't for."""
        began_s = time.process_time()
        results: list[Result | None] = []
        for piece in pieces:
            has_time = not results or not _is_over(task, time.process_time() - began_s)
            results.append(self.do(task, piece) if has_time else None)
        return results

    def do(self, task: Task, piece: Piece) -> Result:
        """Search what begins with the steps of `piece`, for a while."""
        world = self.world
        findings: list[Finding] = []
        began_s = time.process_time()
        self._begin(task)

        def visit(ended: World) -> bool:
            found = problems(self.oracles, ended, task.expected)
            if found is not None:
                findings.append(found)
                if not task.finds_all:
                    return False
            return not _is_over(task, time.process_time() - began_s)

        search = Search(
            world,
            visit,
            bound=task.bound,
            reduction=task.reduction,
            prefix=piece.steps,
            sleeping={tid: footprint_of(text) for tid, text in piece.sleeping},
            visited=self.visited,
        )
        search.run()
        self.visited.exchange()
        open_nodes = () if search.is_exhausted else tuple(search.open_branches())
        wishes: list[Wish] = []
        for index, tids, inner in search.wishes:
            node = search.nodes[index]
            if all(search.is_beyond(node, tid, inner) for tid in tids):
                search.left += 1
            else:
                wishes.append(Wish(index, tuple((node.offer.tids.index(tid), inner) for tid in tids)))
        return Result(
            search.schedules,
            tuple(search.signatures),
            search.redundant,
            search.steps,
            search.left,
            search.cut_off,
            tuple(findings),
            open_nodes,
            tuple(wishes),
            world.has_unwatched_memory,
        )

    def _begin(self, task: Task) -> None:
        """Know what is known of states in this search with this bound."""
        known = task.search, task.bound, task.directory
        if self.known != known:
            self._stop_sharing()
            self.known = known
            if task.directory and task.bound is not None:
                self.sharer = SharedVisits(task.directory, task.bound)
            self.visited = Visited(self.sharer)
        if self.sharer is not None:
            self.sharer.look_for_others()

    def _stop_sharing(self) -> None:
        if self.sharer is not None:
            self.sharer.close()
            self.sharer = None

    def close(self) -> None:
        """Give back what the machine holds of the host."""
        self._stop_sharing()
        self.world.close()


def _is_over(task: Task, taken_s: float) -> bool:
    """Whether a piece that has taken the processor so long is to end between two runs."""
    if not task.directory:
        return taken_s > task.piece_s
    return taken_s > _LONGEST * task.piece_s or (
        taken_s > _SHORTEST * task.piece_s and is_work_asked_for(task.directory)
    )


class WorkerKeeper:
    """Does pieces, and keeps the machine for the next ones."""

    __slots__ = ("key", "worker")

    def __init__(self) -> None:
        self.key = b""
        self.worker: Worker | None = None

    def do_pieces(self, task: Task, pieces: Sequence[Piece]) -> list[Result | None]:
        """Do `pieces` as long as there is time; None for those that there wasn't for."""
        return self.worker_for(task).do_all(task, pieces)

    def worker_for(self, task: Task) -> Worker:
        """Who does pieces of `task`."""
        key = task.world
        if self.worker is None or key != self.key:
            self.close()
            self.key, self.worker = key, Worker(task)
        return self.worker

    def close(self) -> None:
        """Close the machine that is kept."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None


_keeper = WorkerKeeper()
"""That of a process that does nothing else: from one call to the next there is nothing but its modules."""
_one_at_a_time = threading.Lock()
"""A worker of a Dask cluster may have several threads."""


def do_pieces(task: Task, pieces: Sequence[Piece]) -> list[Result | None]:
    """Do pieces in this process, which is there for that alone."""
    with _one_at_a_time:
        return _keeper.do_pieces(task, pieces)


def prepare(task: Task) -> None:
    """Make the machine for pieces of `task` before there are any."""
    with _one_at_a_time:
        _keeper.worker_for(task)

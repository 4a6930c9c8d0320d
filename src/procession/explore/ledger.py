"""The book of a divided search: which pieces are open and what was seen, in a file to go on from."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from importlib.metadata import version
from typing import TYPE_CHECKING

from procession.explore.division import Piece
from procession.explore.finding import Finding, Steps
from procession.explore.search import Coverage
from procession.recording.recorder import files_read

if TYPE_CHECKING:
    from procession.explore.division import Result, Task
    from procession.machine import Machine

IN_MEMORY = ":memory:"
_VERSION = 4
_UNWATCHED_MEMORY = "unwatched memory"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pieces (
    bound TEXT NOT NULL, path TEXT NOT NULL, sleeping TEXT NOT NULL DEFAULT '[]',
    is_done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bound, path)
);
CREATE TABLE IF NOT EXISTS tried (
    bound TEXT NOT NULL, node TEXT NOT NULL, branch TEXT NOT NULL, PRIMARY KEY (bound, node, branch)
);
CREATE TABLE IF NOT EXISTS signatures (bound TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (bound, value));
CREATE TABLE IF NOT EXISTS counts (
    bound TEXT PRIMARY KEY, schedules INTEGER, redundant INTEGER, steps INTEGER, lefts INTEGER,
    cut_offs INTEGER, is_done INTEGER
);
CREATE TABLE IF NOT EXISTS findings (finding TEXT PRIMARY KEY);
"""


class OtherSearch(Exception):
    """The file is of the search of another program, of another Procession, or with other options."""


def identity_of(task: Task, machine: Machine) -> str:
    """All that makes the runs of a search, and what is found in them, what they are.

    `machine` has run the program once: which of the host's files are used is known by then.
    """
    program, expected = task.program, task.expected
    image = machine.image
    return json.dumps(
        [
            _VERSION,
            version("procession"),
            [os.fsdecode(argument) for argument in machine.arguments],
            machine.environment,
            machine.start_directory,
            {name: str(value) for name, value in sorted(program.settings.items())},
            program.stdin.hex(),
            program.is_pid1,
            program.kinds,
            [oracle if isinstance(oracle, str) else oracle.name for oracle in task.oracles],
            [expected.status, None if expected.stdout is None else expected.stdout.hex()],
            task.reduction.value,
            {path: file.digest for path, file in files_read(machine)}
            if image is None
            else image.tree.digest.decode(),
        ]
    )


class Ledger:
    """What is known of the divided search `what`, in the SQLite file `path`, or only in memory.

    A piece is open until its result is entered, in one transaction: whoever did it may be killed at any time,
    and nothing is lost. Raises OtherSearch, sqlite3.Error.
    """

    def __init__(self, what: str, path: str = IN_MEMORY) -> None:
        self.connection = connection = sqlite3.connect(path)
        connection.executescript(_SCHEMA)
        known = connection.execute("SELECT value FROM about WHERE name = 'search'").fetchone()
        if known is None:
            with connection:
                connection.execute("INSERT INTO about VALUES ('search', ?)", (what,))
        elif known[0] != what:
            raise OtherSearch(
                "it's of the search of another program, of files that have changed since, "
                "by another Procession, or with other options"
            )

    def begin(self, bound: int | None) -> bool:
        """Open the search with `bound`, or go on with it; False if it was exhausted before."""
        name = _bound_name(bound)
        with self.connection as connection:
            row = connection.execute("SELECT is_done FROM counts WHERE bound = ?", (name,)).fetchone()
            if row is None:
                connection.execute("INSERT INTO counts VALUES (?, 0, 0, 0, 0, 0, 0)", (name,))
                connection.execute("INSERT INTO pieces (bound, path) VALUES (?, ?)", (name, _text(())))
                return True
        return not row[0]

    def open_pieces(self, bound: int | None) -> list[Piece]:
        """The pieces that are still to be done."""
        rows = self.connection.execute(
            "SELECT path, sleeping FROM pieces WHERE bound = ? AND NOT is_done", (_bound_name(bound),)
        ).fetchall()
        return [
            Piece(_steps(path), tuple((tid, text) for tid, text in json.loads(sleeping)))
            for path, sleeping in rows
        ]

    def enter(self, bound: int | None, piece: Piece, result: Result) -> list[Piece]:
        """`piece` is done; the pieces that are to be done for it, and weren't known."""
        name = _bound_name(bound)
        fresh: list[Piece] = []
        steps = piece.steps
        with self.connection as connection:

            def is_new(node: Steps, branch: tuple[int, tuple[int, ...]]) -> bool:
                cursor = connection.execute(
                    "INSERT OR IGNORE INTO tried VALUES (?, ?, ?)", (name, _digest(node), json.dumps(branch))
                )
                return cursor.rowcount > 0

            def is_known(node: Steps, branch: tuple[int, tuple[int, ...]]) -> bool:
                cursor = connection.execute(
                    "SELECT 1 FROM tried WHERE bound = ? AND node = ? AND branch = ?",
                    (name, _digest(node), json.dumps(branch)),
                )
                return cursor.fetchone() is not None

            connection.execute(
                "UPDATE pieces SET is_done = 1 WHERE bound = ? AND path = ?", (name, _text(steps))
            )
            for position, (option, inner) in enumerate(steps):
                is_new(steps[:position], (option, inner))
            for node in result.open_nodes:
                for option in node.done:
                    is_new(node.path, (option, ()))
            for node in result.open_nodes:
                fresh += [
                    Piece((*node.path, branch), node.sleeping)
                    for branch in node.branches
                    if is_new(node.path, branch)
                ]
            for wish in result.wishes:
                node_path = steps[: wish.length]
                if not any(is_known(node_path, branch) for branch in wish.branches):
                    is_new(node_path, wish.branches[0])
                    fresh.append(Piece((*node_path, wish.branches[0])))
            connection.executemany(
                "INSERT OR IGNORE INTO pieces (bound, path, sleeping) VALUES (?, ?, ?)",
                [(name, _text(new.steps), json.dumps(new.sleeping)) for new in fresh],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO signatures VALUES (?, ?)",
                [(name, str(signature)) for signature in result.signatures],
            )
            connection.execute(
                "UPDATE counts SET schedules = schedules + ?, redundant = redundant + ?, steps = steps + ?, "
                "lefts = lefts + ?, cut_offs = cut_offs + ? WHERE bound = ?",
                (result.schedules, result.redundant, result.steps, result.left, result.cut_off, name),
            )
            if result.has_unwatched_memory:
                connection.execute("INSERT OR IGNORE INTO about VALUES (?, '')", (_UNWATCHED_MEMORY,))
            connection.executemany(
                "INSERT OR IGNORE INTO findings VALUES (?)",
                [(_finding_text(each),) for each in result.findings],
            )
        return fresh

    def finish(self, bound: int | None) -> None:
        """All pieces with `bound` are done."""
        with self.connection as connection:
            connection.execute("UPDATE counts SET is_done = 1 WHERE bound = ?", (_bound_name(bound),))

    def coverage(self, bound: int | None) -> Coverage:
        """What was seen with `bound`."""
        name = _bound_name(bound)
        row = self.connection.execute(
            "SELECT schedules, redundant, steps, lefts, cut_offs, is_done FROM counts WHERE bound = ?",
            (name,),
        ).fetchone()
        schedules, redundant, steps, left, cut_off, is_done = row or (0, 0, 0, 0, 0, 0)
        (distinct,) = self.connection.execute(
            "SELECT count(*) FROM signatures WHERE bound = ?", (name,)
        ).fetchone()
        return Coverage(bound, schedules, distinct, redundant, steps, left, cut_off, bool(is_done))

    @property
    def findings(self) -> list[Finding]:
        """All that was found."""
        return [_finding(text) for (text,) in self.connection.execute("SELECT finding FROM findings")]

    @property
    def has_unwatched_memory(self) -> bool:
        """Whether tasks share memory in some run, and where they access it wasn't branched over."""
        row = self.connection.execute("SELECT 1 FROM about WHERE name = ?", (_UNWATCHED_MEMORY,)).fetchone()
        return row is not None

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def _bound_name(bound: int | None) -> str:
    return "none" if bound is None else str(bound)


def _text(steps: Steps) -> str:
    return json.dumps(steps)


def _steps(text: str) -> Steps:
    return tuple((option, tuple(inner)) for option, inner in json.loads(text))


def _digest(steps: Steps) -> str:
    return hashlib.blake2b(_text(steps).encode(), digest_size=16).hexdigest()


def _finding_text(finding: Finding) -> str:
    return json.dumps(
        [
            finding.oracle,
            finding.problem,
            finding.steps,
            finding.deviations,
            finding.status,
            finding.stdout.hex(),
            finding.stderr.hex(),
        ]
    )


def _finding(text: str) -> Finding:
    oracle, problem, steps, deviations, status, stdout, stderr = json.loads(text)
    return Finding(
        oracle,
        problem,
        _steps(json.dumps(steps)),
        deviations,
        status,
        bytes.fromhex(stdout),
        bytes.fromhex(stderr),
    )

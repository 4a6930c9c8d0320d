"""What a run was told of the host's files: written down while it runs, told again in a replay."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from procession.abi.errno import BY_NUMBER, EIO, Errno
from procession.fs.host_source import HostDirectory
from procession.fs.host_status import HostStatus

Answer = TypeVar("Answer")
Question = tuple[str, ...]
"""What was asked, as text: a method of HostSource and the paths that it was given."""
Answers = dict[Question, list[tuple[int, Any]]]
"""The answers to each question, each with the number of questions before it, from which on it holds."""
_ENTRY_BYTES, _ITEM_BYTES = 256, 32
"""What an answer takes beside its text, and what an item in it does."""


class UnknownQuestion(Exception):
    """A replay asks for what the recorded run didn't ask."""


class _Told:
    """What was answered to a question, other than the time before: that is `last`, None at the first time.

    `asked` is how many questions there had been before, `before` what was told before this, whatever the
    question, `depth` how much that is, and `size` how many bytes are kept by now.
    """

    __slots__ = ("answer", "asked", "before", "depth", "last", "question", "size")

    def __init__(
        self, before: _Told | None, question: Question, asked: int, answer: Any, last: _Told | None, size: int
    ) -> None:
        self.before = before
        self.question = question
        self.asked = asked
        self.answer = answer
        self.last = last
        self.size = size
        self.depth: int = 1 if before is None else before.depth + 1


class RecordingSource:
    """Passes on what a directory of the host says, and keeps the answers by their questions.

    An answer is kept if it isn't the one that was given to the same question before: so what is kept doesn't
    grow with how often a program asks. Past `kept_bytes` no more is, and `is_complete` is unset. What is told
    forms a chain, so that to keep it, and to put it back, costs what has been told between.
    """

    def __init__(self, root: bytes, kept_bytes: int = 64 << 20) -> None:
        self.directory = HostDirectory(root)
        self.kept_bytes = kept_bytes
        self.asked = 0
        self.is_complete = True
        self.told: _Told | None = None
        self.latest: dict[Question, _Told] = {}

    @property
    def opened(self) -> Iterable[bytes]:
        """See `HostSource`."""
        return self.directory.opened

    @property
    def answers(self) -> Answers:
        """All that was told."""
        found: Answers = {}
        for told in reversed(_chain(self.told)):
            found.setdefault(told.question, []).append((told.asked, told.answer))
        return found

    def keep(self) -> tuple[int, bool, _Told | None]:
        """See `Rewindable`."""
        return self.asked, self.is_complete, self.told

    def put_back(self, kept: object) -> None:
        """See `Rewindable`; what was answered since is forgotten."""
        assert isinstance(kept, tuple)
        self.asked, self.is_complete, then = kept
        now, again = self.told, []
        while now is not then:
            # Up from the deeper one, to where both come from.
            if then is None or (now is not None and now.depth > then.depth):
                assert now is not None
                if now.last is None:
                    del self.latest[now.question]
                else:
                    self.latest[now.question] = now.last
                now = now.before
            else:
                again.append(then)
                then = then.before
        for told in reversed(again):
            self.latest[told.question] = told
        self.told = kept[2]

    def _ask(self, question: Question, ask: Callable[[], Answer]) -> Answer:
        try:
            answer = ask()
        except Errno as error:
            self._note(question, {"error": error.number})
            raise
        self._note(question, _plain(answer))
        return answer

    def _note(self, question: Question, answer: Any) -> None:
        asked, last = self.asked, self.latest.get(question)
        self.asked = asked + 1
        if not self.is_complete or (last is not None and last.answer == answer):
            return
        size = 0 if self.told is None else self.told.size
        size += _ENTRY_BYTES + sum(map(len, question)) + _size_of(answer)
        if size > self.kept_bytes:
            self.is_complete = False
            return
        self.told = self.latest[question] = _Told(self.told, question, asked, answer, last, size)

    def status(self, path: bytes) -> HostStatus:
        """See `HostSource`."""
        return self._ask(("status", _text(path)), lambda: self.directory.status(path))

    def exists(self, path: bytes) -> bool:
        """See `HostSource`."""
        return self._ask(("exists", _text(path)), lambda: self.directory.exists(path))

    def is_same_file(self, path: bytes, other: bytes) -> bool:
        """See `HostSource`."""
        question = ("is_same_file", _text(path), _text(other))
        return self._ask(question, lambda: self.directory.is_same_file(path, other))

    def forget(self) -> None:
        """See `HostSource`."""
        self.directory.forget()

    def names(self, path: bytes) -> list[bytes]:
        """See `HostSource`."""
        return self._ask(("names", _text(path)), lambda: self.directory.names(path))

    def link_target(self, path: bytes) -> bytes:
        """See `HostSource`."""
        return self._ask(("link_target", _text(path)), lambda: self.directory.link_target(path))

    def check(self, path: bytes) -> None:
        """See `HostSource`."""
        self._ask(("check", _text(path)), lambda: self.directory.check(path))

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """See `HostSource`. The contents aren't kept: the files' digests are."""
        return self.directory.read(path, offset, length)

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """See `HostSource`."""
        return self._ask(("xattrs", _text(path)), lambda: self.directory.xattrs(path))

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """See `HostSource`."""
        return self._ask(("linked_path", _text(path)), lambda: self.directory.linked_path(path, others))


class RecordedSource:
    """Gives the answers that were recorded; contents are read from the host, or out of `contents`.

    `asked` is how many questions there were: an answer holds from the question on at which it was given.
    Raises UnknownQuestion for what wasn't asked then: the run isn't the recorded one.
    """

    def __init__(
        self,
        root: bytes,
        answers: Mapping[Question, list[tuple[int, Any]]],
        contents: Mapping[str, bytes] | None,
    ) -> None:
        self.directory = HostDirectory(root)
        self.answers = answers
        self.contents = contents
        self.asked = 0

    @property
    def opened(self) -> Iterable[bytes]:
        """See `HostSource`."""
        return self.directory.opened

    def keep(self) -> int:
        """See `Rewindable`."""
        return self.asked

    def put_back(self, kept: object) -> None:
        """See `Rewindable`."""
        assert isinstance(kept, int)
        self.asked = kept

    def _answer(self, *question: str) -> Any:
        answers = self.answers.get(question)
        if not answers:
            raise UnknownQuestion(f"the recorded run didn't ask the host's files for {' '.join(question)}")
        asked = self.asked
        self.asked = asked + 1
        answer = answers[max(bisect_right(answers, asked, key=_asked_of) - 1, 0)][1]
        if isinstance(answer, dict) and isinstance(answer.get("error"), int):
            raise _errno(answer["error"])
        return answer

    def status(self, path: bytes) -> HostStatus:
        """See `HostSource`."""
        fields = self._answer("status", _text(path))
        if (
            not isinstance(fields, list)
            or len(fields) != len(HostStatus._fields)
            or not all(isinstance(field, int) for field in fields)
        ):
            raise EIO("the recording has no such status")
        mode, uid, gid, rdev, size, link_count, mtime_ns = map(int, fields[:-1])
        return HostStatus(mode, uid, gid, rdev, size, link_count, mtime_ns, bool(fields[-1]))

    def exists(self, path: bytes) -> bool:
        """See `HostSource`."""
        return bool(self._answer("exists", _text(path)))

    def is_same_file(self, path: bytes, other: bytes) -> bool:
        """See `HostSource`."""
        return bool(self._answer("is_same_file", _text(path), _text(other)))

    def forget(self) -> None:
        """See `HostSource`."""

    def names(self, path: bytes) -> list[bytes]:
        """See `HostSource`."""
        names = self._answer("names", _text(path))
        if not isinstance(names, list):
            raise EIO("the recording has no such names")
        return [_bytes(name) for name in names]

    def link_target(self, path: bytes) -> bytes:
        """See `HostSource`."""
        return _bytes(self._answer("link_target", _text(path)))

    def check(self, path: bytes) -> None:
        """See `HostSource`."""
        self._answer("check", _text(path))

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """See `HostSource`."""
        if self.contents is None:
            return self.directory.read(path, offset, length)
        contents = self.contents.get(_text(path))
        if contents is None:
            raise EIO("the bundle doesn't have this file")
        return contents[offset : offset + length]

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """See `HostSource`."""
        known = self._answer("xattrs", _text(path))
        if not isinstance(known, dict):
            raise EIO("the recording has no such attributes")
        return {_bytes(name): _bytes(value) for name, value in known.items()}

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """See `HostSource`."""
        del others  # what they were, the recorded run knew
        answer = self._answer("linked_path", _text(path))
        return None if answer is None else _bytes(answer)


def _chain(told: _Told | None) -> list[_Told]:
    """What was told up to `told`, the last first."""
    found: list[_Told] = []
    while told is not None:
        found.append(told)
        told = told.before
    return found


def _size_of(answer: Any) -> int:
    """How many bytes an answer takes, about."""
    if isinstance(answer, str):
        return len(answer)
    if isinstance(answer, (list, dict)):
        return sum(_ITEM_BYTES + _size_of(item) for item in answer)
    return 0


def _asked_of(answer: tuple[int, Any]) -> int:
    return answer[0]


def _errno(number: int) -> Errno:
    return BY_NUMBER.get(number, EIO)("as it was recorded")


def _plain(answer: Any) -> Any:
    if isinstance(answer, bytes):
        return _text(answer)
    if isinstance(answer, dict):
        return {_text(name): _text(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_text(name) for name in answer]
    return list(answer) if isinstance(answer, HostStatus) else answer


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise EIO("the recording has no such name")
    return text.encode("utf-8", "surrogateescape")

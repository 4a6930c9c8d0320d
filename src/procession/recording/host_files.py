"""What a run was told of the host's files: written down while it runs, told again in a replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from procession.abi.errno import BY_NUMBER, EIO, Errno
from procession.fs.host_source import HostDirectory, HostStatus

Answer = TypeVar("Answer")
Question = tuple[str, ...]
"""What was asked, as text: a method of HostSource and the paths that it was given."""


class UnknownQuestion(Exception):
    """A replay asks for what the recorded run didn't ask."""


class RecordingSource:
    """Passes on what a directory of the host says, and keeps every answer by its question, in order."""

    def __init__(self, root: bytes) -> None:
        self.directory = HostDirectory(root)
        self.answers: dict[Question, list[Any]] = {}

    @property
    def opened(self) -> Iterable[bytes]:
        """See `HostSource`."""
        return self.directory.opened

    def keep(self) -> dict[Question, int]:
        """See `Rewindable`."""
        return {question: len(answers) for question, answers in self.answers.items()}

    def put_back(self, kept: object) -> None:
        """See `Rewindable`; what was answered since is forgotten."""
        assert isinstance(kept, dict)
        self.answers = {question: self.answers[question][:count] for question, count in kept.items()}

    def _ask(self, question: Question, ask: Callable[[], Answer]) -> Answer:
        answers = self.answers.setdefault(question, [])
        try:
            answer = ask()
        except Errno as error:
            answers.append({"error": error.number})
            raise
        answers.append(_plain(answer))
        return answer

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

    Raises UnknownQuestion for what wasn't asked then: the run isn't the recorded one.
    """

    def __init__(
        self, root: bytes, answers: Mapping[Question, list[Any]], contents: Mapping[str, bytes] | None
    ) -> None:
        self.directory = HostDirectory(root)
        self.answers = answers
        self.contents = contents
        self.positions: dict[Question, int] = {}

    @property
    def opened(self) -> Iterable[bytes]:
        """See `HostSource`."""
        return self.directory.opened

    def keep(self) -> dict[Question, int]:
        """See `Rewindable`."""
        return self.positions.copy()

    def put_back(self, kept: object) -> None:
        """See `Rewindable`."""
        assert isinstance(kept, dict)
        self.positions = kept.copy()

    def _answer(self, *question: str) -> Any:
        answers = self.answers.get(question)
        if not answers:
            raise UnknownQuestion(f"the recorded run didn't ask the host's files for {' '.join(question)}")
        position = self.positions.get(question, 0)
        # What was always answered alike is written down once.
        answer = answers[min(position, len(answers) - 1)]
        self.positions[question] = position + 1
        if isinstance(answer, dict) and isinstance(answer.get("error"), int):
            raise _errno(answer["error"])
        return answer

    def status(self, path: bytes) -> HostStatus:
        """See `HostSource`."""
        fields = self._answer("status", _text(path))
        if not isinstance(fields, list) or len(fields) != len(HostStatus._fields):
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
        return [_bytes(name) for name in self._answer("names", _text(path))]

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
        return {_bytes(name): _bytes(value) for name, value in self._answer("xattrs", _text(path)).items()}

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """See `HostSource`."""
        del others  # what they were, the recorded run knew
        answer = self._answer("linked_path", _text(path))
        return None if answer is None else _bytes(answer)


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

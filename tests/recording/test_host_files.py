"""What a run is told of the host's files is kept, in little memory, and told again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession.abi.errno import EIO, ENOENT, Errno
from procession.recording.host_files import RecordedSource, RecordingSource


def told(ask: Callable[[Any], Any], source: Any) -> Any:
    try:
        return ask(source)
    except Errno as error:
        return type(error)


def questions(root: Path) -> list[Callable[[Any], Any]]:
    """What is asked of a source, with changes of the host's files between."""

    def change(write: Callable[[], object]) -> Callable[[Any], None]:
        def do(source: Any) -> None:
            if isinstance(source, RecordingSource):
                write()

        return do

    return [
        lambda source: source.status(b"file").size,
        lambda source: source.exists(b"none"),
        lambda source: source.names(b""),
        change(lambda: (root / "file").write_bytes(b"longer")),
        lambda source: source.status(b"file").size,
        lambda source: source.link_target(b"none"),
        lambda source: source.status(b"file").size,
        change((root / "file").unlink),
        lambda source: source.status(b"file").size,
        change(lambda: (root / "file").write_bytes(b"x")),
        lambda source: source.names(b""),
        lambda source: source.status(b"file").size,
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"1")
    return tmp_path


def test_what_was_told_is_told_again_when_it_was(root: Path) -> None:
    source = RecordingSource(os.fsencode(root))
    asked = questions(root)
    expected = [told(ask, source) for ask in asked]
    assert expected[8] is ENOENT
    again = RecordedSource(b"/nowhere", source.answers, {})
    kept = []
    for ask, answer in zip(asked, expected, strict=True):
        kept.append(again.keep())
        assert told(ask, again) == answer
    for place in (9, 2, 6, 11, 0):
        again.put_back(kept[place])
        assert told(asked[place], again) == expected[place]


@pytest.mark.parametrize("answer", [5, None, "x", [5], [[], 0, 0, 0, 0, 0, 0, 0], {"a": 5}, [None] * 8])
def test_forged_answers_are_errors_of_the_host(answer: object) -> None:
    asked: dict[str, Callable[[RecordedSource], object]] = {
        "status": lambda source: source.status(b"file"),
        "names": lambda source: source.names(b"file"),
        "xattrs": lambda source: source.xattrs(b"file"),
        "link_target": lambda source: source.link_target(b"file"),
        "linked_path": lambda source: source.linked_path(b"file", {}),
    }
    for name, ask in asked.items():
        source = RecordedSource(b"/nowhere", {(name, "file"): [(0, answer)]}, {})
        if (name, answer) not in (("link_target", "x"), ("linked_path", "x"), ("linked_path", None)):
            with pytest.raises(EIO):
                ask(source)


def test_what_is_kept_grows_with_what_is_told_and_not_with_the_asking(root: Path) -> None:
    source = RecordingSource(os.fsencode(root), kept_bytes=2000)
    for _ in range(1000):
        source.status(b"file")
        source.exists(b"none")
    assert [len(answers) for answers in source.answers.values()] == [1, 1]
    kept = source.keep()
    complete = [source.is_complete]
    for number in range(100):
        source.exists(b"%d" % number)
    complete.append(source.is_complete)
    assert len(source.answers) < 10
    source.put_back(kept)
    complete.append(source.is_complete)
    assert complete == [True, False, True]
    assert len(source.answers) == 2


def test_a_source_can_be_put_back_and_forward_again(root: Path) -> None:
    source = RecordingSource(os.fsencode(root))
    kept, expected = [], []
    for number in range(6):
        source.exists(b"%d" % (number % 4))
        (root / "file").write_bytes(b"x" * (number // 2))
        source.status(b"file")
        kept.append(source.keep())
        expected.append(source.answers)
    for place in (2, 4, 0, 5, 1, 3, 3):
        source.put_back(kept[place])
        assert source.answers == expected[place]
        assert {question: told.answer for question, told in source.latest.items()} == {
            question: answers[-1][1] for question, answers in expected[place].items()
        }
    # From there another way.
    source.put_back(kept[1])
    source.exists(b"another")
    other = source.keep()
    source.put_back(kept[5])
    source.put_back(other)
    assert ("exists", "another") in source.answers
    assert ("exists", "3") not in source.answers

"""The guide's chapters show what their commands print, and their pictures are those of these very runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.documentation import BLOCK, COMMAND, Workplace, times_apart

TOLERANCE, ROUNDING_NS = 0.01, 200
"""A Debian program that was compiled anew takes a few instructions more or less; nothing else may change."""
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
CITED = re.compile(r" {2,}[\w/-]+\.[ch], \w+", re.MULTILINE)
"""A counterpart in Linux, beside a function of a graph."""
PAGES = sorted(GUIDE.glob("*.md"))
HEAVY = ("02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "nested")
"""How the names begin of pages whose commands the default check doesn't run."""


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages' programs are, one page after another."""
    return tmp_path_factory.mktemp("tree")


@pytest.fixture
def workplace(guest_root: Path, tmp_path: Path, tree: Path) -> Workplace:
    return Workplace(tree, guest_root, tmp_path)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.heavy] * page.name.startswith(HEAVY))
        for page in PAGES
    ],
)
def test_a_page_shows_what_happens(page: Path, workplace: Workplace) -> None:
    shown, shown_ns = times_apart(page.read_text())
    rendered, rendered_ns = times_apart(workplace.rendered(page.read_text()))
    assert rendered == shown
    assert rendered_ns == pytest.approx(shown_ns, rel=TOLERANCE, abs=ROUNDING_NS)


@pytest.mark.parametrize("page", sorted(GUIDE.glob("[01]*.md")), ids=lambda page: page.stem)
def test_a_chapter_has_all_that_a_chapter_has(page: Path) -> None:
    """A question, a function graph, a picture of a run, places in both sources, edge cases, an exercise."""
    text = page.read_text()
    assert re.match(r"# \d+\. .+\n\n\*\*[^*]+\?\*\*", text), "a question first"
    assert re.search(r"^\$ procession (trace|replay) --graph .*\n(> .*\n)*(?!\$ |```).", text, re.MULTILINE)
    assert CITED.search(text), "places in Linux"
    pictures = [block["text"] for block in BLOCK.finditer(text) if block["picture"] is not None]
    assert any(picture.strip() for picture in pictures)
    places = re.findall(r"`(src/procession/[\w/.]+)`", text)
    assert places
    assert all((GUIDE.parents[1] / place).exists() for place in places)
    rest, _, exercise = text.partition("\n## Exercise\n")
    _, _, edge = rest.partition(" cases at the edge\n")
    cases = re.split(r"^\*\*", edge, flags=re.MULTILINE)[1:]
    assert len(cases) >= 3
    assert all("```console" in case for case in cases), "a proof of each"
    assert "<summary>Solution</summary>" in exercise
    assert "```console" in exercise


def test_times_are_told_apart_from_the_rest_of_a_page() -> None:
    text, times_ns = times_apart(
        "  326.1 us   1074.8 us  RUNNING\nvruntime   12 ns\npid 3 s0 5.2.1 s\nat 0.5 s."
    )
    assert text == " # #  RUNNING\nvruntime #\npid 3 s0 5.2.1 s\nat #."
    assert times_ns == [326100, 1074800, 12, 5e8]


def test_the_pages_show_something() -> None:
    for page in PAGES:
        blocks = list(BLOCK.finditer(page.read_text()))
        if page.stem != "README":
            assert any(
                block["language"] == "console" and COMMAND.search(block["text"]) for block in blocks
            ), page

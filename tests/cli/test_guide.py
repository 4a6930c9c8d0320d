"""The guide's chapters show what their commands print, and their pictures are those of these very runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.documentation import BLOCK, COMMAND, Workplace

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages' programs are, one page after another."""
    return tmp_path_factory.mktemp("tree")


@pytest.fixture
def workplace(guest_root: Path, tmp_path: Path, tree: Path, bytecode: Path) -> Workplace:
    return Workplace(tree, guest_root, tmp_path, bytecode)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_happens(page: Path, workplace: Workplace) -> None:
    text = page.read_text()
    assert workplace.rendered(text) == text


def test_the_pages_show_something() -> None:
    for page in PAGES:
        blocks = list(BLOCK.finditer(page.read_text()))
        if page.stem != "README":
            assert any(
                block["language"] == "console" and COMMAND.search(block["text"]) for block in blocks
            ), page

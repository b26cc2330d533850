"""What the documentation shows is what happens: the fenced examples of every page, run from top to bottom."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(?:python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# As for the docstrings, in pyproject.toml.
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples_of(page: Path) -> str:
    """Return the session that a page shows, with what stands around it turned into blank lines.

    Line numbers stay those of the page, so that a failure points at the line to mend.
    """
    text = page.read_text(encoding="utf-8")
    session, end = "", 0
    for block in FENCED.finditer(text):
        session += "\n" * text.count("\n", end, block.start(1)) + block[1]
        end = block.end(1)
    return session


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in page.parts and ">>>" in examples_of(page)
]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_examples_of_a_page_give_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # pages may write files
    session = doctest.DocTestParser().get_doctest(examples_of(page), {}, page.name, str(page), 0)
    report: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=OPTIONS).run(session, out=report.append)
    assert not failed, "".join(report)
    assert tried


def test_there_are_pages_with_examples() -> None:
    assert "docs/tutorial/first-steps.md" in {page.relative_to(ROOT).as_posix() for page in PAGES}

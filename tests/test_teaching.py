"""Every chapter has its teaching notes, in cells that the pages drop: one for the chapter, one for each exercise."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted(path for path in ROOT.glob("book/*/*.ipynb") if ".ipynb_checkpoints" not in path.parts)
TAGS = ["instructor", "remove-cell"]
EXERCISE = re.compile(r"^ *:{3,}\{exercise(?:-start)?\}.*\n *:label: *(\S+)", re.MULTILINE)
SOLVED = re.compile(r"^ *:{3,}\{(?:solution|solution-end)\}", re.MULTILINE)
MINUTES = re.compile(r"Minutes: [1-9]\d*\n\n\S")


def faults(notebook: NotebookNode) -> Iterator[str]:
    """What is wrong with the notes of a chapter."""
    wanted = {1: ("the chapter", re.compile(r"\*\*Teaching this chapter\.\*\* \S"))}
    pending: list[str] = []
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            pending += EXERCISE.findall(cell.source)
            if SOLVED.search(cell.source):
                if len(pending) != 1:
                    yield f"cell {i}: a solution ends here, of {len(pending)} exercises: {pending}"
                wanted[i + 1], pending = (pending[0] if pending else "no exercise", MINUTES), []
    if pending:
        yield f"no end of the solution of {pending}"
    for i, (what, beginning) in wanted.items():
        cell = notebook.cells[i] if i < len(notebook.cells) else None
        if cell is None or "instructor" not in cell.metadata.get("tags", []):
            yield f"cell {i}: no note for {what}"
        elif not beginning.match(cell.source):
            yield f"cell {i}: the note for {what} begins {cell.source[:40]!r}"
    for i, cell in enumerate(notebook.cells):
        if set(TAGS) & set(cell.metadata.get("tags", [])):
            if i not in wanted:
                yield f"cell {i}: a note out of place"
            if cell.cell_type != "markdown" or cell.metadata.tags != TAGS:
                yield f"cell {i}: a note is a Markdown cell with the tags {TAGS}"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(chapter):
    assert list(faults(nbformat.read(chapter, as_version=4))) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_page_shows_no_note(chapter):
    page = (ROOT / "_build/html" / chapter.relative_to(ROOT)).with_suffix(".html")
    if not page.exists():
        pytest.skip("the book is not built (make book)")
    assert not re.search(r"Teaching this chapter|Minutes: ?\d", page.read_text())


def note(source: str) -> NotebookNode:
    return new_markdown_cell(source, metadata={"tags": list(TAGS)})


def sample() -> NotebookNode:
    """A chapter with two exercises, the second with a solution in several cells."""
    return new_notebook(
        cells=[
            new_markdown_cell("# Title"),
            note("**Teaching this chapter.** One session."),
            new_markdown_cell(
                "## Exercises\n\n:::{exercise} ✍ ★ A\n:label: ex-a\n\nA.\n:::\n\n:::{solution} ex-a\n\nA.\n:::"
            ),
            note("Minutes: 5\n\nA hint."),
            new_markdown_cell(
                ":::{exercise} ⌨ ★ B\n:label: ex-b\n\nB.\n:::\n\n:::{solution-start} ex-b\n:class: dropdown\n:::"
            ),
            new_code_cell("b = 1"),
            new_markdown_cell(":::{solution-end}\n:::"),
            note("Minutes: 12\n\nAnother hint."),
        ]
    )


def test_a_chapter_with_its_notes_has_no_fault():
    assert list(faults(sample())) == []


@pytest.mark.parametrize("missing", [1, 3, 7])
def test_a_missing_note_is_seen(missing):
    notebook = sample()
    del notebook.cells[missing]
    assert any("no note" in fault for fault in faults(notebook))


@pytest.mark.parametrize(
    ("cell", "changes", "expected"),
    [
        (1, {"source": "**Teaching.** One session."}, "begins"),
        (3, {"source": "Minutes: ten\n\nA hint."}, "begins"),
        (3, {"source": "Minutes: 0\n\nA hint."}, "begins"),
        (3, {"source": "Minutes: 7.5\n\nA hint."}, "begins"),
        (3, {"source": "Minutes: 5\nA hint."}, "begins"),
        (3, {"source": "Minutes: 5"}, "begins"),
        (7, {"metadata": nbformat.from_dict({"tags": ["instructor"]})}, "with the tags"),
        (7, {"cell_type": "code"}, "Markdown cell"),
        (5, {"metadata": nbformat.from_dict({"tags": list(TAGS)})}, "out of place"),
        (6, {"source": "The end."}, "no end of the solution of ['ex-b']"),
        (4, {"source": "No exercise."}, "of 0 exercises"),
    ],
)
def test_a_planted_fault_is_seen(cell, changes, expected):
    notebook = sample()
    notebook.cells[cell].update(changes)
    assert any(expected in fault for fault in faults(notebook))


def test_two_exercises_in_one_cell_need_two_notes():
    notebook = sample()
    notebook.cells[2].source += notebook.cells[2].source.replace("ex-a", "ex-c").replace("## Exercises", "")
    assert any("['ex-a', 'ex-c']" in fault for fault in faults(notebook))

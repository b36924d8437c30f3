"""Write the chapters for a course: for students without solutions, for instructors with minutes and notes.

    python tools/notebooks.py

Reads what `tools/colab.py` reads, writes ``_build/course/student`` and ``_build/course/instructor``. Minutes and notes
are cells of the chapters that are tagged ``instructor``, which the book's pages leave out: one near the top that begins
with TEACHING, and one after the solution of each exercise that begins with its minutes. A missing one is an error.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import ClassVar

from built_book import Book
from colab import Chapter, ColabError, Exercise, convert, quote, write
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

TEACHING = "**Teaching this chapter.**"
NOTE = re.compile(r"Minutes: (?P<minutes>[1-9]\d*)\n\n(?P<text>\S.*)", re.DOTALL)
WORDS = "*If the exercise asks for more than a program, your words:*"
HIDDEN, SHOWN = "\1", "\2"  # stand before and after a solution that has code cells


class Student(Chapter):
    """A chapter without its solutions."""

    purpose: ClassVar[str] = "for students: its exercises have cells for your answers in place of solutions"

    def solution(self, title: str, lines: list[str]) -> list[str]:
        return [HIDDEN] if self.in_solution else []

    def end_of_solution(self) -> list[str]:
        return [SHOWN]

    def answer(self, exercise: Exercise) -> list[NotebookNode]:
        if exercise.programmed:
            program = new_code_cell(f"{exercise.stub}  # your answer")
            return [program, new_code_cell(exercise.check), new_markdown_cell(WORDS)]
        return [new_markdown_cell("*Your answer:*")]

    def cells(self, text: str) -> list[NotebookNode]:
        return super().cells(re.sub(f"{HIDDEN}.*?{SHOWN}", "", text, flags=re.DOTALL))


@dataclass
class Instructor(Chapter):
    """A chapter with its solutions in the open, and with what its cells for teachers say."""

    minutes: dict[str, int] = field(default_factory=dict)  # of the exercises, by their labels
    taught: bool = False  # whether there is a note on the chapter
    faults: list[str] = field(default_factory=list)  # of the notes

    purpose: ClassVar[str] = "for instructors: with solutions, minutes and notes on teaching"
    folded: ClassVar[bool] = False

    def solution(self, title: str, lines: list[str]) -> list[str]:
        return [f"**{title}.**", "", *lines]

    def end_of_solution(self) -> list[str]:
        return []

    def answer(self, exercise: Exercise) -> list[NotebookNode]:
        return []

    def for_teachers(self, cell: NotebookNode) -> list[str]:
        if cell.source.startswith(TEACHING):
            self.taught = True
            return quote(self.blocks(cell.source.split("\n")))
        note = NOTE.fullmatch(cell.source)
        label = self.exercises[-1].label if self.exercises else ""
        if not note:
            fault = f"begins neither with {TEACHING!r} nor with 'Minutes: 10' (a number from 1) and a blank line"
        elif not label:
            fault = "stands before the first exercise"
        elif label in self.minutes:
            fault = f"is the second on {label}"
        else:
            self.minutes[label] = int(note["minutes"])
            text = self.blocks(note["text"].split("\n"))
            return quote([f"**For the instructor: {note['minutes']} minutes**", "", *text])
        self.faults.append(f"{self.page}.ipynb: the note {cell.source[:40]!r} {fault}")
        return []

    def convert(self, notebook: NotebookNode) -> NotebookNode:
        made = super().convert(notebook)
        if not self.taught:
            self.faults.append(f"{self.page}.ipynb: no note that begins with {TEACHING!r}")
        for exercise in self.exercises:
            if exercise.label not in self.minutes:
                self.faults.append(f"{self.page}.ipynb: no minutes and no note for {exercise.label}")
        made.cells.insert(2, new_markdown_cell(self.timetable(), id="timetable"))
        return made

    def timetable(self) -> str:
        """The exercises with their minutes."""
        rows = [f"| {e.number} ({e.title}) | {self.minutes.get(e.label, 0)} |" for e in self.exercises]
        total = f"| **All exercises** | **{sum(self.minutes.values())}** |"
        return "\n".join(["| Exercise | Minutes |", "|---|--:|", *rows, total])


def main(book: Book) -> int:
    """Write both versions of all chapters; return the exit status."""
    faults = []
    for page in book.chapters():
        name = page.removeprefix("book/")
        try:
            write(convert(book, page, Student)[1], book.root / f"_build/course/student/{name}.ipynb")
            chapter, notebook = convert(book, page, Instructor)
            write(notebook, book.root / f"_build/course/instructor/{name}.ipynb")
            faults += chapter.faults
        except ColabError as error:
            faults.append(str(error))
    for fault in faults:
        print(f"course: {fault}", file=sys.stderr)
    print(f"course: {len(book.chapters())} notebooks each in _build/course/student and _build/course/instructor")
    return bool(faults)


if __name__ == "__main__":
    sys.exit("use tools/notebooks.py, which writes all notebooks")

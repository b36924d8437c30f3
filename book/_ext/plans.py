"""Course plans whose minutes come from the chapters, and the list of the chapters with their slides.

The cells for teachers in a chapter give the minutes of each exercise; its box "You need" names the chapters it builds
on. A plan that contradicts them is a warning, and so, as the book is built, an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import spine
import yaml
from docutils import nodes
from sphinx.application import Sphinx

EXERCISE = re.compile(r"^ *:{3,}\{exercise(?:-start)?\}.*\n *:label: *(\S+)", re.MULTILINE)
MINUTES = re.compile(r"Minutes: ([1-9]\d*)\n")
NEEDS = re.compile(r"^You need (.*?)(?:;|\.\s)", re.MULTILINE | re.DOTALL)  # its first sentence, up to a semicolon
DOC = re.compile(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`")


@dataclass
class Chapter:
    """What a plan must know of a chapter."""

    minutes: dict[str, int | None] = field(default_factory=dict)  # of its exercises; None: no cell says
    needs: list[str] = field(default_factory=list)  # pages


@dataclass
class Week:
    """One week of a plan."""

    chapters: list[str]  # pages
    in_class: str  # Markdown
    homework: list[str]  # labels of exercises


def read(path: Path, page: str) -> Chapter:
    """The exercises of one notebook with their minutes, and the chapters it needs.

    Args:
        path: of the notebook.
        page: its name in the book, to which the links in it are relative.
    """
    chapter, labels = Chapter(), []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            labels += EXERCISE.findall(cell.source)
            if "instructor" not in cell.metadata.get("tags", []):
                for sentence in NEEDS.findall(cell.source + "\n"):
                    chapter.needs += [spine.absolute(target, page) for target in DOC.findall(sentence)]
            elif labels and (match := MINUTES.match(cell.source)):
                chapter.minutes[labels[-1]] = int(match[1])
    chapter.minutes = {label: chapter.minutes.get(label) for label in labels}
    return chapter


def faults(weeks: list[Week], chapters: dict[str, Chapter]) -> Iterator[str]:
    """What is wrong with a plan, in words."""
    owner = {label: page for page, chapter in chapters.items() for label in chapter.minutes}
    taught: list[str] = []
    given: list[str] = []
    for number, week in enumerate(weeks, 1):
        for page in week.chapters:
            if page not in chapters:
                yield f"week {number}: there is no chapter {page}"
                continue
            for need in chapters[page].needs:
                if need in chapters and need not in taught:
                    yield f"week {number}: {page} needs {need}, which does not come before it"
            taught.append(page)
        for label in week.homework:
            if label not in owner:
                yield f"week {number}: there is no exercise {label}"
            elif chapters[owner[label]].minutes[label] is None:
                yield f"week {number}: nothing says how many minutes {label} takes"
            elif owner[label] not in taught:
                yield f"week {number}: {label} is of {owner[label]}, which does not come before it"
            if label in given:
                yield f"week {number}: {label} has been homework before"
            given.append(label)


def chapters(root: Path) -> dict[str, Chapter]:
    """All chapters, by page, in the order of the table of contents."""
    return {page: read(root / f"{page}.ipynb", page) for page in spine.chapters(root)}


def list_table(rows: list[list[str]]) -> list[str]:
    """Markdown of a table whose first row is its head."""
    lines = [":::::{list-table}", ":header-rows: 1", ""]
    for row in rows:
        lines += [f"{'* - ' if i == 0 else '  - '}{entry}" for i, entry in enumerate(row)]
    return [*lines, ":::::", ""]


class CoursePlan(spine.ChaptersDirective):
    """``{course-plan}``: a table of weeks; the body is a YAML list of the fields of ``Week``."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Check the plan and print it with the minutes of the homework."""
        try:
            weeks = [Week(**entry) for entry in yaml.safe_load("\n".join(self.content))]
        except (yaml.YAMLError, TypeError) as error:
            raise self.error(f"a plan is a YAML list of weeks with chapters, in_class and homework: {error}") from None
        known = chapters(self.root)
        self.depend(*known)
        for fault in faults(weeks, known):
            self.warn(fault)
        minutes = {label: m or 0 for chapter in known.values() for label, m in chapter.minutes.items()}
        rows = [["Week", "In class", "Homework (minutes)"]]
        for number, week in enumerate(weeks, 1):
            where = ", ".join(f"{{doc}}`/{page}`" for page in week.chapters)
            tasks = ", ".join(f"{{ref}}`{label}` ({minutes.get(label, 0)})" for label in week.homework)
            together = sum(minutes.get(label, 0) for label in week.homework)
            rows.append([str(number), f"{where}: {week.in_class}", f"{tasks}; together **{together}**"])
        total = sum(minutes.get(label, 0) for week in weeks for label in week.homework)
        words = f"In all {sum(len(week.homework) for week in weeks)} exercises and {total} minutes of homework, "
        words += f"on average {round(total / len(weeks))} minutes a week."
        return self.parsed([*list_table(rows), words])


class CourseChapters(spine.ChaptersDirective):
    """``{course-chapters}``: every chapter with the number and the minutes of its exercises, and its slides."""

    def run(self) -> list[nodes.Node]:
        """Print the list."""
        known = chapters(self.root)
        self.depend(*known)
        rows = [["Chapter", "Exercises (minutes)", "Slides"]]
        for page, chapter in known.items():
            name = page.removeprefix("book/")
            link = f'<a href="../slides/{name}.html">slides<span class="visually-hidden"> of {name}</span></a>'
            total = sum(m or 0 for m in chapter.minutes.values())
            rows.append([f"{{doc}}`/{page}`", f"{len(chapter.minutes)} ({total})", link])
        return self.parsed(list_table(rows))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("course-plan", CoursePlan)
    app.add_directive("course-chapters", CourseChapters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

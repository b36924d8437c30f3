"""Write versions of the chapters for Colab, which does not know the book's directives: plain Markdown, working links.

    python tools/notebooks.py

Reads the chapters and the built book (numbers, titles and addresses come from there), writes ``_build/colab``. Any
directive or role that this file does not know is an error: nothing of the book's markup may be left for the reader.
"""

from __future__ import annotations

import html
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from posixpath import normpath
from textwrap import indent
from typing import ClassVar, TypeVar

import nbformat
from built_book import Book, Place, UnknownTargetError
from markdown_it import MarkdownIt
from myst_nb.core.variables import format_plain_text
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

INSTALL = """\
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("radbook") is None:
    %pip install -q git+{repository}@v{version}
"""
METADATA = {
    "colab": {"provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
ADMONITIONS = ("attention", "caution", "danger", "error", "hint", "important", "note", "tip", "warning")
GLUED = "application/papermill.record/text/plain"
ANSWER = "\0"  # stands where the cells for the reader's answer go
FOR_TEACHERS = "instructor"  # the tag of cells that are for teachers only

FENCE = re.compile(r"(?P<indent> *)(?P<fence>:{3,}|~{3,}|`{3,}(?!.*`))(?P<info>.*)$")
DIRECTIVE = re.compile(r"\{(?P<name>[\w:-]+)\} *(?P<argument>.*)$")
OPTION = re.compile(r":(?P<key>[\w-]+): *(?P<value>.*)$")
DISPLAY = re.compile(r"(?P<indent> *)\$\$(?P<tex>.*?)\$\$ *(?:\((?P<label>[^()\s]+)\))? *$", re.DOTALL)
UNSEEN = re.compile(r"\([\w-]+\)= *$|%|\+\+\+")  # a label, a comment, a break
INLINE = re.compile(
    r"""(?P<escaped>\\.)
    | (?:\{(?P<role>[A-Za-z][\w:+.-]*)\})? (?P<ticks>`+) (?P<code>.+?) (?<!`)(?P=ticks)(?!`)
    | (?P<math>\$\$.+?\$\$ | \$[^$]+\$)
    | \[\^(?P<note>[^\]]+)\](?P<colon>:?)
    | (?P<picture>!?) \[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\] \((?P<target>(?:[^()\s]|\([^()\s]*\))*)\)
    """,
    re.VERBOSE | re.DOTALL,
)
LEFTOVER = re.compile(
    r"\{[.#%{\w][^}\n]*\}|^[ >]*:{2,}.*|^\+\+\+.*|^\([\w-]+\)=|^[ >]*:[ \w-]+:.*|^: .*|\[\^", re.MULTILINE
)


class ColabError(Exception):
    """Markup with no counterpart in plain Markdown, or a broken reference; the message names file and construct."""


def quote(lines: list[str]) -> list[str]:
    """The lines as a block quote, each formula on one line (Jupyter would take the marks of the quote for TeX)."""
    text = re.sub(r"^ *\$\$\n.*?\n *\$\$$", one_line, "\n".join(lines), flags=re.DOTALL | re.MULTILINE)
    return [f"> {line}".rstrip() for line in text.split("\n")]


def one_line(formula: re.Match[str]) -> str:
    """A display formula on one line, as far from the margin as its first line was."""
    margin = re.match(" *", formula[0])
    return (margin[0] if margin else "") + " ".join(formula[0].split())


def fold(summary: str, lines: list[str]) -> list[str]:
    """A folded part. Markdown inside it needs the blank lines; its summary is HTML."""
    parts = re.split(r"(\$[^$]+\$)", summary)
    title = "".join(html.escape(p) if p.startswith("$") else MarkdownIt().renderInline(p) for p in parts)
    return ["<details>", f"<summary><b>{title}</b></summary>", "", *lines, "", "</details>"]


@dataclass
class Exercise:
    """One exercise of a chapter."""

    label: str
    number: str
    title: str  # with its marks, as ⌨ and ★
    source: str  # the text in the book's markup
    lines: list[str]  # the whole exercise in plain Markdown
    code: list[str] = field(default_factory=list)  # the code cells of its solution

    @property
    def programmed(self) -> bool:
        """Whether the answer is a program."""
        return "⌨" in self.title

    @property
    def check(self) -> str:
        """The call that checks the answer, as the text states it."""
        return self.stated(r"`(check\.\w+\(\w+\))`", "a call of its checker")

    @property
    def function(self) -> str:
        """The name of the function to be written."""
        return self.check.partition("(")[2].rstrip(")")

    @property
    def stub(self) -> str:
        """The function to be written, without its body."""
        signature = self.stated(rf"`({self.function}\(.*?\))`", "its function with the arguments")
        return f"def {signature}:\n    ..."

    def stated(self, pattern: str, what: str) -> str:
        """What the text states in code marks; it must be there."""
        match = re.search(pattern, self.source)
        if not match:
            raise ColabError(f"the text of {self.label!r} does not state {what}")
        return match[1]


@dataclass
class Chapter:
    """One chapter on its way to Colab."""

    book: Book
    page: str
    glued: dict[str, str]
    notes: list[str] = field(default_factory=list)  # names of footnotes, in the order of their numbers
    exercises: list[Exercise] = field(default_factory=list)  # those met so far
    in_solution: bool = False  # between solution-start and solution-end

    purpose: ClassVar[str] = "for Colab"
    folded: ClassVar[bool] = True  # the solutions, as one Markdown cell each

    # Blocks

    def blocks(self, lines: list[str]) -> list[str]:
        """Convert the lines of a Markdown cell or of a directive's body."""
        done: list[str] = []
        i = 0
        while i < len(lines):
            line = lines[i]
            if fence := FENCE.match(line):
                end = self.closing(lines, i, fence["fence"])
                if DIRECTIVE.match(fence["info"]) or fence["fence"][0] == ":":
                    margin = len(fence["indent"])
                    inner = [x[margin:] if not x[:margin].strip() else x for x in lines[i + 1 : end]]
                    new = self.directive(fence["info"], inner)
                    done += [x and fence["indent"] + x if x != ANSWER else x for x in ["", *new, ""]]
                else:
                    done += lines[i : end + 1]
            elif line.lstrip().startswith("$$"):
                if done and done[-1].strip():
                    raise ColabError(f"no blank line before the formula {line!r}: the book would show its TeX")
                end = i if line.count("$$") > 1 else next((j for j in range(i + 1, len(lines)) if "$$" in lines[j]), i)
                done += self.formula("\n".join(lines[i : end + 1]))
            elif line.startswith("\\begin{"):
                raise ColabError(f"{line!r} outside of $$")
            elif UNSEEN.match(line):
                end = i
            elif not line.strip():
                done.append("")
                end = i
            else:
                end = i
                while end + 1 < len(lines) and lines[end + 1].strip() and not self.starts_block(lines[end + 1]):
                    end += 1
                done += self.inline("\n".join(lines[i : end + 1])).split("\n")
            i = end + 1
        return re.sub(r"\n{3,}", "\n\n", "\n".join(done)).strip("\n").split("\n")

    @staticmethod
    def starts_block(line: str) -> bool:
        """Whether the line ends the paragraph before it."""
        return bool(FENCE.match(line) or line.lstrip().startswith("$$") or UNSEEN.match(line))

    @staticmethod
    def closing(lines: list[str], start: int, fence: str) -> int:
        """The position of the line that closes the fence opened at ``start``."""
        mark = re.compile(rf" *{fence[0]}{{{len(fence)},}} *$")
        for i in range(start + 1, len(lines)):
            if mark.match(lines[i]):
                return i
        raise ColabError(f"{lines[start].strip()!r} is not closed")

    def formula(self, source: str) -> list[str]:
        """Convert a display formula, with its label to a number."""
        match = DISPLAY.match(source)
        if not match:
            raise ColabError(f"formula not understood: {source!r}")
        tex = re.sub(r"(?<!\\)%.*", "", match["tex"]).strip("\n")
        if r"\\" in tex and not re.match(r"\s*\\begin\{(aligned|gathered|split|array)", tex):
            tex = f"\\begin{{aligned}}\n{tex}\n\\end{{aligned}}"  # as Sphinx does
        if match["label"]:
            number = self.book.number(self.book.locate("eq", match["label"]))
            tex += f"\n\\tag{{{number.strip('()')}}}"
        return indent(f"$$\n{tex.strip()}\n$$", match["indent"]).split("\n")

    def directive(self, info: str, lines: list[str]) -> list[str]:
        """Convert one directive."""
        match = DIRECTIVE.match(info)
        if not match:
            raise ColabError(f"stray colons, ':::{info}' (fences around other fences need more colons)")
        name, argument = match["name"], match["argument"].strip()
        options: dict[str, str] = {}
        while lines and (option := OPTION.match(lines[0])):
            options[option["key"]] = option["value"]
            lines = lines[1:]
        if name in ADMONITIONS and argument:
            argument, lines = "", [argument, *lines]
        body = self.blocks(lines)
        title = self.inline(argument)
        if name == "admonition" or name in ADMONITIONS or name == "seealso":
            title = title or {"seealso": "See also"}.get(name, name.capitalize())
            folded = "dropdown" in options.get("class", "").split()
            return fold(title, body) if folded else quote([f"**{title}**", "", *body])
        if name == "prf:proof":
            return fold("Proof", body)
        if name == "dropdown":
            only_proof = body[:2] == fold("Proof", [])[:2] and body.count("<details>") == 1
            return fold(title, body[3:-2] if only_proof else body)
        if name == "table":
            return [f"**{self.number('ref', options.get('name', ''), info)}.** {title}", "", *body]
        if name == "exercise" or name.startswith("prf:"):
            label = options.get("label", "")
            number = self.number("ref" if name == "exercise" else "prf:ref", label, info)
            head = f"**{number}{f' ({title})' if title else ''}.**"
            new = quote([head, "", *body])
            if name == "exercise":
                self.exercises.append(Exercise(label, number, title, "\n".join(lines), new))
                return [*new, "", ANSWER]
            return new
        if name in ("solution", "solution-start"):
            number = self.number("ref", argument, info)
            title = f"Solution to [{number}]({self.book.url(self.book.locate('ref', argument))})"
            self.in_solution = name == "solution-start"
            if self.in_solution and [exercise.label for exercise in self.exercises[-1:]] != [argument]:
                raise ColabError(f"the solution to {argument!r} does not follow its exercise")
            return self.solution(title, body)
        if name == "solution-end" and self.in_solution:
            self.in_solution = False
            return self.end_of_solution()
        raise ColabError(f"unknown or misplaced directive {{{name}}}")

    def number(self, role: str, label: str, info: str) -> str:
        """The number of something that must have one."""
        number = self.book.number(self.book.locate(role, label)) if label else ""
        if not number:
            raise ColabError(f"{info!r} has no label or no number")
        return number

    # What differs between the versions of a chapter

    def solution(self, title: str, lines: list[str]) -> list[str]:
        """A solution, or the beginning of one that has code cells."""
        return fold(title, lines)[: -2 if self.in_solution else None]

    def end_of_solution(self) -> list[str]:
        """What closes a solution that has code cells."""
        return ["</details>"]

    def answer(self, exercise: Exercise) -> list[NotebookNode]:
        """The cells for the reader's answer to an exercise."""
        return [new_code_cell("# your answer")] if exercise.programmed else []

    def for_teachers(self, cell: NotebookNode) -> list[str]:
        """What is shown of a cell for teachers."""
        return []

    # Text within a paragraph

    def inline(self, text: str) -> str:
        """Convert roles, links and footnotes; leave code and formulas alone."""
        return INLINE.sub(self.span, text)

    def span(self, match: re.Match[str]) -> str:
        """Convert what INLINE found."""
        if match["role"]:
            return self.role(match["role"], " ".join(match["code"].split()))
        if match["math"]:
            return " ".join(match["math"].split())
        if match["note"]:
            if match["note"] not in self.notes:
                self.notes.append(match["note"])
            mark = f"<sup>{self.notes.index(match['note']) + 1}</sup>"
            begins = match.start() == 0 or match.string[match.start() - 1] == "\n"
            return f"\n{mark}" if begins and match["colon"] else mark + match["colon"]
        if match["target"] is not None:
            return self.link(match)
        return match[0]

    def link(self, match: re.Match[str]) -> str:
        """Convert a Markdown link."""
        target, text = match["target"], self.inline(match["text"])
        if re.match(r"https?://|mailto:", target):
            return f"{match['picture']}[{text}]({target})"
        path, _, label = target.partition("#")
        if match["picture"]:
            raise ColabError(f"picture {match[0]!r} is not on line")
        if path:
            page = normpath(PurePosixPath(self.page).parent / path)
            place = Place(re.sub(r"\.(ipynb|md|html)$", "", page), label)
            return f"[{text or self.book.heading(place)}]({self.book.url(place)})"
        place = Place(self.page, label)
        for role in ("eq", "ref"):
            with suppress(UnknownTargetError):
                place = self.book.locate(role, label)
        return f"[{text or self.name(place)}]({self.book.url(place)})"

    def name(self, place: Place) -> str:
        """What a reference without a text of its own says."""
        return self.book.number(place) or self.book.heading(place)

    def role(self, role: str, content: str) -> str:
        """Convert one role."""
        explicit = re.fullmatch(r"(?P<text>.*?) *<(?P<target>[^<>]+)>", content)
        text, target = (explicit["text"], explicit["target"]) if explicit else ("", content)
        if role == "glue:text":
            key, _, form = content.partition(":")
            if key not in self.glued:
                raise ColabError(f"no glued value {key!r}")
            return format_plain_text(self.glued[key], form or "s")
        if role in ("cite", "cite:p", "cite:t"):
            works = [self.book.citation(key.strip()) for key in content.split(",")]
            if role == "cite:t":
                return ", ".join(f"[{who} ({year})]({url})" for who, year, url in works)
            return "(" + "; ".join(f"[{who}, {year}]({url})" for who, year, url in works) + ")"
        if role == "doc":
            path = target if target.startswith("/") else f"/{PurePosixPath(self.page).parent}/{target}"
            place = Place(normpath(path).lstrip("/"))
            return f"[{text or self.book.heading(place)}]({self.book.url(place)})"
        if role.startswith("py:"):
            short = target.lstrip("~").rpartition(".")[2] if target.startswith("~") else target
            call = "()" if role in ("py:func", "py:meth") else ""
            return f"[`{text or short + call}`]({self.book.url(self.book.locate(role, target.lstrip('~')))})"
        if role in ("ref", "numref", "eq", "prf:ref", "term"):
            place = self.book.locate(role, target)
            if role == "numref" and text:
                text = text.replace("%s", self.book.number(place).split()[-1])
            return f"[{text or (target if role == 'term' else self.name(place))}]({self.book.url(place)})"
        raise ColabError(f"unknown role {{{role}}}`{content}`")

    # Cells

    def convert(self, notebook: NotebookNode) -> NotebookNode:
        """The notebook for Colab."""
        install = INSTALL.format(repository=self.book.repository, version=self.book.version).strip()
        link = f"[{self.book.heading(Place(self.page), numbered=True)}]({self.book.url(Place(self.page))})"
        top = f"This is {link} of *{self.book.title}*, {self.purpose}."
        cells = [new_code_cell(install), new_markdown_cell(top)]
        waiting: list[str] = []  # lines of the next Markdown cell
        for index, cell in enumerate(notebook.cells):
            try:
                caption = cell.metadata.get("mystnb", {}).get("figure")
                if caption:
                    figure = self.number("ref", caption.get("name", ""), "a figure")
                    caption = f"**{figure}.** {self.inline(caption['caption'])}"
                if FOR_TEACHERS in cell.metadata.get("tags", []):
                    waiting += self.for_teachers(cell)
                elif cell.cell_type == "markdown":
                    waiting += [*self.blocks(cell.source.split("\n")), ""]
                elif self.in_solution and self.folded:
                    waiting += [*listing(cell), "", *([caption, ""] if caption else [])]
                else:
                    kept = [tag for tag in cell.metadata.get("tags", []) if tag == "raises-exception"]
                    outputs = [output for output in cell.outputs if GLUED not in output.get("data", {})]
                    code = new_code_cell(cell.source, outputs=outputs, execution_count=cell.execution_count)
                    code.metadata = nbformat.from_dict({"tags": kept} if kept else {})
                    cells += [code, *([new_markdown_cell(caption)] if caption else [])]
                if self.in_solution and cell.cell_type == "code":
                    self.exercises[-1].code.append(cell.source)
                if waiting and not (self.in_solution and self.folded):
                    cells += self.cells("\n".join(waiting))
                    waiting = []
            except (ColabError, UnknownTargetError) as error:
                raise ColabError(f"{self.page}.ipynb, cell {index}: {error}") from None
        if self.in_solution:
            raise ColabError(f"{self.page}.ipynb: {{solution-start}} is not closed")
        for index, cell in enumerate(cells):
            cell.id = f"cell-{index}"
            if cell.cell_type == "markdown" and (left := leftovers(cell.source)):
                raise ColabError(f"{self.page}.ipynb: left over of the book's markup: {left}")
        return new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))

    def cells(self, text: str) -> list[NotebookNode]:
        """Markdown cells, with the cells for answers where they belong."""
        first, *rest = text.split(ANSWER)
        cells = [new_markdown_cell(first)]
        for exercise, part in zip(self.exercises[len(self.exercises) - len(rest) :], rest, strict=True):
            if answer := self.answer(exercise):
                cells += [*answer, new_markdown_cell(part)]
            else:
                cells[-1].source = f"{cells[-1].source.rstrip()}\n\n{part.lstrip()}"
        for cell in cells:
            cell.source = cell.source.strip()
        return [cell for cell in cells if cell.source]


AnyChapter = TypeVar("AnyChapter", bound=Chapter)


def leftovers(text: str) -> list[str]:
    """Markup of the book in a cell's text, code and formulas aside."""
    text = re.sub(r"^[ >]*(```+).*?^[ >]*\1 *$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(`+).+?(?<!`)\1(?!`)|\$\$.*?\$\$|(?<!\\)\$[^$]+\$|\]\([^)]*\)", "", text, flags=re.DOTALL)
    return LEFTOVER.findall(text)


def listing(cell: NotebookNode) -> list[str]:
    """A code cell of a solution with its outputs, as Markdown."""
    lines = ["```python", *cell.source.split("\n"), "```"]
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            alt = html.escape(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))
            lines += ["", f'<img alt="{alt}" src="data:image/png;base64,{"".join(data["image/png"].split())}">']
        elif GLUED not in data:
            lines += ["", "```text", *(output.get("text") or data["text/plain"]).rstrip("\n").split("\n"), "```"]
    return lines


def glued_values(notebook: NotebookNode) -> dict[str, str]:
    """The values that the notebook's cells stored for its prose, as MyST-NB finds them."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", []) if GLUED in o.get("data", {})]
    return {o.metadata.scrapbook.name: o.data[GLUED] for o in outputs}


def convert(book: Book, page: str, version: type[AnyChapter]) -> tuple[AnyChapter, NotebookNode]:
    """One version of a chapter: what was learnt on the way, and the notebook."""
    notebook = nbformat.read(book.root / f"{page}.ipynb", as_version=4)
    chapter = version(book, page, glued_values(notebook))
    return chapter, chapter.convert(notebook)


@cache
def plain(book: Book, page: str) -> tuple[Chapter, NotebookNode]:
    """The version for Colab, of which the assignments are made as well."""
    return convert(book, page, Chapter)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook; its folder is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def main(book: Book) -> int:
    """Write all chapters; return the exit status."""
    for page in book.notebooks():
        try:
            write(plain(book, page)[1], book.root / f"_build/colab/{page}.ipynb")
        except ColabError as error:
            print(f"colab: {error}", file=sys.stderr)
            return 1
    print(f"colab: {len(book.notebooks())} notebooks in _build/colab")
    return 0


if __name__ == "__main__":
    sys.exit("use tools/notebooks.py, which writes all notebooks")

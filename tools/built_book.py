"""What the built book says: where each label stands, the number and title printed there, its address on line."""

from __future__ import annotations

import gc
import pickle
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib
import yaml
from bs4 import BeautifulSoup, Tag
from docutils.nodes import make_id
from pybtex.richtext import Text

CODE = re.compile(r"<pre\b.*?</pre>", re.DOTALL)
HEADED = ("article", "section", "span")  # elements of the page that a heading names; a span is a label in a section

#: What a result says of itself in its class, in words (as in book/_ext/ledger.py).
ORIGINS = {
    "known": "known",
    "paper": "from the papers",
    "repaired": "repaired or extended",
    "new": "not in the papers",
}


class UnknownTargetError(Exception):
    """A label, page or citation that the built book does not have."""


@dataclass(frozen=True)
class Place:
    """A page of the book (its name without suffix) and an anchor on it."""

    page: str
    anchor: str = ""


@dataclass(eq=False)
class Book:
    """The HTML book built in ``root/_build``."""

    root: Path
    code: bool = True  # without it pages are read in half the time; no number and no heading is in it
    soups: dict[str, BeautifulSoup] = field(default_factory=dict, repr=False)
    anchored: dict[str, dict[str, Tag]] = field(default_factory=dict, repr=False)  # a page's elements by anchor

    def __post_init__(self) -> None:
        project = tomllib.loads((self.root / "pyproject.toml").read_text())["project"]
        self.version: str = project["version"]
        self.repository: str = project["urls"]["Repository"]
        owner, name = self.repository.removeprefix("https://github.com/").split("/")
        self.site = f"https://{owner}.github.io/{name}/"
        self.title: str = yaml.safe_load((self.root / "_config.yml").read_text())["title"]
        environment = self.root / "_build/.doctrees/environment.pickle"
        if not environment.exists():
            raise FileNotFoundError("no built book in _build: run `make book` first")
        self.env: Any = pickle.loads(environment.read_bytes())

    def notebooks(self) -> list[str]:
        """The pages of the table of contents that are notebooks."""
        return sorted(page for page in self.env.all_docs if (self.root / f"{page}.ipynb").exists())

    def chapters(self) -> list[str]:
        """The notebooks of the numbered parts."""
        return [page for page in self.notebooks() if page in self.env.toc_secnumbers]

    def url(self, place: Place) -> str:
        """The published address; the page and its anchor must have been built."""
        self.element(place)
        return f"{self.site}{place.page}.html" + (f"#{place.anchor}" if place.anchor else "")

    def soup(self, page: str) -> BeautifulSoup:
        if page not in self.soups:
            file = self.root / f"_build/html/{page}.html"
            if not file.exists():
                raise UnknownTargetError(f"no page {page!r} in the built book")
            text = file.read_text() if self.code else CODE.sub("", file.read_text())
            self.soups[page] = BeautifulSoup(text, "html.parser")
            self.anchored[page] = {str(tag["id"]): tag for tag in self.soups[page].find_all(id=True)}
        return self.soups[page]

    def element(self, place: Place) -> Tag:
        """The element of the built page that bears the anchor; the page's article when there is none."""
        soup = self.soup(place.page)
        found = self.anchored[place.page].get(place.anchor) if place.anchor else soup.find("article")
        if not isinstance(found, Tag):
            raise UnknownTargetError(f"no anchor {place.anchor!r} on the built page {place.page!r}")
        return found

    def locate(self, role: str, target: str) -> Place:
        """Where the target of a reference role stands."""
        std = self.env.domaindata["std"]
        try:
            if role == "prf:ref":
                return Place(self.env.proof_list[target]["docname"], target)
            if role == "eq":
                return Place(self.env.domaindata["math"]["objects"][target][0], make_id(f"equation-{target}"))
            if role == "term":
                return Place(*std["terms"][target.lower()])
            if role.startswith("py:"):
                found = self.env.domaindata["py"]["objects"][target]
                return Place(found.docname, found.node_id)
            return Place(*std["anonlabels"][target.lower()][:2])
        except KeyError:
            raise UnknownTargetError(f"the built book has no target {target!r} for {role!r}") from None

    def number(self, place: Place) -> str:
        """What the page prints there, such as ``Theorem 1.1``, ``Fig. 1.1`` or ``(1.1)``; empty for a mere heading."""
        element = self.element(place)
        found = element.select_one(".caption-number, .eqno") if element.name not in HEADED else None
        return next(found.stripped_strings) if found else ""

    def heading(self, place: Place, numbered: bool = False) -> str:
        """The heading of the section (or the page) at ``place``, as Markdown."""
        element = self.element(place)
        heading = (element if element.name != "span" else element.parent or element).find(re.compile("^h[1-6]$"))
        if element.name not in HEADED or not isinstance(heading, Tag):
            raise UnknownTargetError(f"nothing to call {place} by")
        text = ""
        for part in heading.children:
            kinds = part.get("class") or [] if isinstance(part, Tag) else []
            if "headerlink" in kinds or ("section-number" in kinds and not numbered):
                continue
            if isinstance(part, Tag) and part.name == "code":
                text += f"`{part.get_text()}`"
            else:
                text += re.sub(r"\\\((.*?)\\\)", r"$\1$", part.get_text())
        return text.strip()

    def citation(self, key: str) -> tuple[str, str, str]:
        """The authors, the year and the address of an entry of the bibliography."""
        for citation in self.env.domaindata["cite"]["citations"]:
            if citation.key == key:
                place = Place(citation.bibliography_key.docname, citation.citation_id)
                return authors(citation.entry), citation.entry.fields["year"], self.url(place)
        raise UnknownTargetError(f"the bibliography has no entry {key!r}")


def authors(entry: Any) -> str:
    """Family names: all of up to three authors, otherwise the first and "et al."."""
    names = [str(Text.from_latex(" ".join(p.prelast_names + p.last_names))) for p in entry.persons.get("author", [])]
    if len(names) > 3:
        return f"{names[0]} et al."
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def run(*tools: Callable[[Book], int], code: bool = True) -> None:
    """Run tools on the built book and exit with the worst status, without the garbage collector.

    It would search the trees of the pages, a third of the time, and find next to nothing.
    """
    gc.disable()
    book = Book(Path.cwd(), code)
    status = max([tool(book) for tool in tools])
    gc.freeze()  # otherwise it would search them all at the end
    sys.exit(status)

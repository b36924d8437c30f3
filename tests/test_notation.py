"""The notation table: its names exist in the code, its symbols stand where it says, and no definition is left out."""

import ast
import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))
import spine  # noqa: E402

CHAPTERS = spine.chapters(ROOT)
LINES = [line for line in (ROOT / "book/notation.md").read_text().splitlines() if line.startswith("| $")]
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$", re.DOTALL)
BOX = re.compile(
    r"^(?P<fence>:{3,})\{prf:(?P<kind>\w+)\}.*\n:label: *(?P<label>\S+)\n(?P<body>(?:.*\n)*?)(?P=fence) *$",
    re.MULTILINE,
)
SECTION = re.compile(r"^##+ (?P<heading>.*)\n(?P<body>(?:(?!##).*\n)*)", re.MULTILINE)


def row(line):
    """Symbol, meaning, name in the code, place."""
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]


def plain(tex):
    """TeX without what does not change its meaning: space, sizes of brackets, alignment."""
    tex = re.sub(r"\\\\|&", ";", tex)
    tex = re.sub(r"\\(?:[,;! ]|quad|qquad|[bB]igg?[lr]?(?![a-z])|left(?![a-z])|right(?![a-z]))", "", tex)
    tex = re.sub(r"\\[lr]vert(?![a-z])", "|", re.sub(r"\\[lr]Vert(?![a-z])", r"\\|", tex)).replace(r"\colon", ":")
    return re.sub(r"\s+", "", re.sub(r"\\math(\w+) (\w)", r"\\math\1{\2}", tex))


def symbols(cell):
    """What a cell of the first column introduces, without the values it gives."""
    formulas = re.findall(r"\$([^$]+)\$", cell.partition(" (")[0])
    parts = [part for formula in formulas for part in re.split(r",\\ ", formula)]
    return [re.split(r"=|\\colon|>", part)[0] for part in parts]


@cache
def formulas(text):
    return [plain(match[1] or match[2]) for match in FORMULA.finditer(text)]


def occurs(symbol, text):
    """Whether a symbol stands in a formula of the text: the letter itself, not a part of a word or another index."""
    tex = plain(symbol)
    before = r"(?<![A-Za-z\\])" if tex[0].isalpha() else ""
    after = "" if not tex[-1].isalpha() or re.search(r"_\w$", tex) else r"(?![A-Za-z_'])"
    return any(re.search(before + re.escape(tex) + after, formula) for formula in formulas(text))


@cache
def text_of(page):
    return spine.markdown(ROOT, page)


@cache
def boxes():
    """Every labelled definition, result and example: its chapter and what it says."""
    return {m["label"]: (page, m["kind"], m["body"]) for page in CHAPTERS for m in BOX.finditer(text_of(page))}


def places(cell):
    """The chapter and the text of every place that a cell of the last column names."""
    introduced = cell.partition(";")[0]
    found = [boxes()[label][::2] for label in re.findall(r"\{prf:ref\}`([\w-]+)`", introduced)]
    for page, heading in re.findall(r"\{ref\}`([\w/]+):([^`]+)`", introduced):
        bodies = {m["heading"]: m["body"] for m in SECTION.finditer(text_of(page))}
        found.append((page, bodies[heading]))
    return found


def faults(line):
    """What is wrong with the place that a row names."""
    cells = row(line)
    found = places(cells[3])
    if len({page for page, _ in found}) != 1:
        return [f"{cells[0]}: introduced in {len(found)} places of several chapters, or in none"]
    ahead = {f"book/{page}" for page in re.findall(r"\{doc\}`([\w/]+)`", cells[3])}
    several_meanings = "(" in re.sub(r"\$[^$]*\$", "", cells[0])
    wrong = [f"{s} is not at the place named" for s in symbols(cells[0]) if not any(occurs(s, t) for _, t in found)]
    for page in CHAPTERS[: CHAPTERS.index(found[0][0])] if not several_meanings else ():
        wrong += [
            f"{s} stands in {page} already" for s in symbols(cells[0]) if occurs(s, text_of(page)) > (page in ahead)
        ]
    return wrong


@pytest.mark.parametrize("line", LINES, ids=lambda line: row(line)[0])
def test_a_symbol_stands_where_the_table_says_and_not_before(line):
    assert len(row(line)) == 4
    assert faults(line) == []


@pytest.mark.parametrize(
    ("symbol", "place", "word"),
    [
        (r"$\beth$", "{prf:ref}`def-radial-network`", "not at the place"),
        ("$h$", "{prf:ref}`def-radial-network`", "stands in book/radial/rescaling already"),
        ("$h$", "{prf:ref}`def-rescaling`, {prf:ref}`def-radial-network`", "several chapters"),
        ("$h$", "{doc}`radial/rescaling`", "none"),
    ],
)
def test_a_wrong_place_is_seen(symbol, place, word):
    assert word in " ".join(faults(f"| {symbol} | meaning | | {place} |"))


def test_every_definition_of_the_book_has_a_row():
    named = set(re.findall(r"\{prf:ref\}`(def-[\w-]+)`", "".join(row(line)[3] for line in LINES)))
    assert {label for label, (_, kind, _) in boxes().items() if kind == "definition"} - named == set()


def test_rows_stand_in_the_order_of_the_chapters():
    order = [CHAPTERS.index(places(row(line)[3])[0][0]) for line in LINES]
    assert order == sorted(order)


@cache
def names():
    """Names of arguments, attributes and variables in the package."""
    found = set()
    for path in ROOT.glob("radbook/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found |= {getattr(node, field) for field in ("arg", "attr", "id", "name") if hasattr(node, field)}
    return found


@pytest.mark.parametrize("line", LINES, ids=lambda line: row(line)[0])
def test_the_names_in_the_code_exist(line):
    code = row(line)[2]
    for kind, target in re.findall(r"\{py:(\w+)\}`~?([\w.]+)`", code):
        head, _, name = target.rpartition(".")
        owner, method = (head.rpartition(".")[0], head.rpartition(".")[2]) if kind == "meth" else (head, "")
        thing = getattr(import_module(owner), method) if method else import_module(owner)
        assert hasattr(thing, name), target
    for literal in re.findall(r"`([^`]+)`", re.sub(r"\{[\w:]+\}`[^`]*`", "", code)):
        words = re.findall(r"[A-Za-z_]\w+", literal)
        assert set(words) <= names() | {"len"}, literal

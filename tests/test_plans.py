"""The plans for instructors: minutes come from the chapters, and a plan that cannot work is seen."""

import io
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))
import plans  # noqa: E402

BOX = (
    "# B\n\n:::{admonition} What\nYou need {doc}`a` and {doc}`D <../c/d>`; for a section {doc}`e`. Also {doc}`f`.\n:::"
)
EXERCISE = ":::{exercise} ✍ ★ Title\n:label: ex-%s\n\nText.\n:::\n\n:::{solution} ex-%s\n\nText.\n:::"
CHAPTERS = {
    "book/p/a": plans.Chapter({"ex-a": 10, "ex-b": 20}, []),
    "book/p/b": plans.Chapter({"ex-c": 30, "ex-silent": None}, ["book/p/a", "book/elsewhere"]),
}
GOOD = [plans.Week(["book/p/a"], "Words", ["ex-a"]), plans.Week(["book/p/b"], "Words", ["ex-b", "ex-c"])]


def note(minutes):
    return new_markdown_cell(f"Minutes: {minutes}\n\nA hint.", metadata={"tags": ["instructor", "remove-cell"]})


def test_what_is_read(tmp_path):
    path = tmp_path / "b.ipynb"
    cells = [new_markdown_cell(source) for source in (BOX, EXERCISE % ("x", "x"), EXERCISE % ("y", "y"))]
    teaching = new_markdown_cell("**Teaching this chapter.** You need {doc}`g`.", metadata={"tags": ["instructor"]})
    nbformat.write(new_notebook(cells=[cells[0], teaching, cells[1], note(25), cells[2]]), path)
    chapter = plans.read(path, "book/p/b")
    assert chapter.minutes == {"ex-x": 25, "ex-y": None}
    assert chapter.needs == ["book/p/a", "book/c/d"]


def test_a_good_plan_has_no_fault():
    assert list(plans.faults(GOOD, CHAPTERS)) == []


@pytest.mark.parametrize(
    ("weeks", "fault"),
    [
        ([plans.Week(["book/p/b"], "", [])], "week 1: book/p/b needs book/p/a, which does not come before"),
        ([plans.Week(["book/p/b", "book/p/a"], "", [])], "week 1: book/p/b needs book/p/a"),
        ([plans.Week(["book/p/z"], "", [])], "week 1: there is no chapter book/p/z"),
        ([*GOOD, plans.Week([], "", ["ex-z"])], "week 3: there is no exercise ex-z"),
        ([*GOOD, plans.Week([], "", ["ex-silent"])], "week 3: nothing says how many minutes ex-silent takes"),
        ([plans.Week(["book/p/a"], "", ["ex-c"]), GOOD[1]], "week 1: ex-c is of book/p/b, which does not come before"),
        ([*GOOD, plans.Week([], "", ["ex-a"])], "week 3: ex-a has been homework before"),
    ],
)
def test_a_planted_fault_is_seen(weeks, fault):
    assert sum(words.startswith(fault) for words in plans.faults(weeks, CHAPTERS)) == 1


def built(folder, plan):
    """The warnings of a book of one chapter, p/a, and a page with a plan."""
    (folder / "p").mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell(EXERCISE % ("a", "a")), note(10)]), folder / "p/a.ipynb")
    (folder / "_toc.yml").write_text("parts: [{caption: P, numbered: true, chapters: [{file: p/a}]}]")
    (folder / "index.md").write_text(f"# Plan\n\n```{{course-plan}}\n{plan}\n```\n")
    (folder / "conf.py").write_text("extensions = ['myst_parser', 'plans']\nsuppress_warnings = ['myst', 'ref']\n")
    warnings = io.StringIO()
    with docutils_namespace():
        Sphinx(folder, folder, folder / "out", folder / "trees", "html", status=None, warning=warnings).build()
    return warnings.getvalue()


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        ("[{chapters: [p/z], in_class: a, homework: []}]", "WARNING: week 1: there is no chapter p/z"),
        ("[{chapters: [p/a], homework: []}]", "ERROR: a plan is a YAML list"),
        ("[{chapters", "ERROR: a plan is a YAML list"),
    ],
)
def test_the_build_tells(tmp_path, plan, fault):
    assert fault in built(tmp_path, plan)


def printed():
    """The plans of the page, as the directive reads them."""
    blocks = (ROOT / "book/course.md").read_text().split("```{course-plan}\n")[1:]
    return [[plans.Week(**week) for week in yaml.safe_load(block.split("```")[0])] for block in blocks]


def test_the_plans_have_their_lengths_and_no_fault():
    known = plans.chapters(ROOT)
    assert [len(weeks) for weeks in printed()] == [12, 6]
    assert [list(plans.faults(weeks, known)) for weeks in printed()] == [[], []]


def test_every_chapter_names_what_it_needs():
    """A box that the pattern no longer reads would make every order of chapters look right."""
    known = plans.chapters(ROOT)
    alone = [page for page, chapter in known.items() if not chapter.needs]
    assert alone == ["book/radial/rescaling", "book/frames/gaussian"]
    assert all(need in known or need == "book/prerequisites" for chapter in known.values() for need in chapter.needs)


def test_the_page_adds_up():
    page = ROOT / "_build/html/book/course.html"
    if not page.exists():
        pytest.skip("the book is not built (make book)")
    soup = BeautifulSoup(page.read_text(), "html.parser")
    known = plans.chapters(ROOT)
    minutes = {label: m for chapter in known.values() for label, m in chapter.minutes.items()}
    tables = {str(table.th.get_text()): table for table in soup.select("article table")}
    assert len(tables["Chapter"].select("tbody tr")) == len(known)
    slides = [str(a["href"]) for a in tables["Chapter"].select("a") if a.get_text().startswith("slides")]
    assert slides == [f"../slides/{name.removeprefix('book/')}.html" for name in known]
    shown = [table for table in soup.select("article table") if table.th.get_text() == "Week"]
    for table, weeks in zip(shown, printed(), strict=True):
        for row, week in zip(table.select("tbody tr"), weeks, strict=True):
            linked = [str(a["href"]).partition("#")[2] for a in row.select("a") if "#ex-" in str(a["href"])]
            assert linked == week.homework
            assert row.strong.get_text() == str(sum(minutes[label] for label in week.homework))
        total = sum(minutes[label] for week in weeks for label in week.homework)
        assert f"and {total} minutes of homework" in " ".join(soup.article.get_text().split())

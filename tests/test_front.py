"""Pages made from the chapters: what differs from the papers, which chapter needs which, the state of the outputs."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))
import dependencies  # noqa: E402
import errata  # noqa: E402
import ledger  # noqa: E402
import spine  # noqa: E402
import status  # noqa: E402

CHAPTERS = spine.chapters(ROOT)
TEXTS = {page: spine.markdown(ROOT, page) for page in CHAPTERS}


def found(page):
    return errata.differences(TEXTS[page], page, spine.glued(spine.notebook(ROOT, page)))


def built(name):
    page = ROOT / f"_build/html/book/{name}.html"
    if not page.exists():
        pytest.skip("the book is not built (make book)")
    return BeautifulSoup(page.read_text(), "html.parser").find("article")


# Where the papers differ


@pytest.mark.parametrize("page", CHAPTERS)
def test_no_chapter_that_says_where_the_papers_differ_is_missed(page):
    says_so = re.search(r"papers?\b.{0,30}\bdiffer", TEXTS[page], re.IGNORECASE)
    assert bool(found(page)) == bool(says_so)


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_with_a_repaired_result_says_how_the_papers_differ(page):
    repaired = [r.label for r in ledger.results(ROOT / f"{page}.ipynb", page) if r.origin == "repaired"]
    assert found(page) or not repaired


def test_what_is_collected():
    text = (
        "# A\n\n:::{admonition} Where the papers differ\n:class: note\n\nHere {doc}`b` and {doc}`that <../c/d>`.\n:::\n"
        "\nNot this.\n\n## Where the papers and the libraries differ\n\n{glue:text}`size` and\n\n$$\nx\n$$ (eq-x)\n\n"
        "## Summary\n\nNor this.\n"
    )
    lines = errata.differences(text, "book/a/a", {"size": "'4.1'"})
    assert "\n".join(lines) == (
        "Here {doc}`/book/a/b` and {doc}`that </book/c/d>`.\n\n\n4.1 and\n\n$$\nx\n$$"  # no second anchor eq-x
    )
    assert errata.differences("# A\n\nThe papers agree.\n", "a", {}) == []


def test_every_chapter_with_differences_is_on_the_page():
    links = {link["href"].removesuffix(".html") for link in built("errata").select("p > strong > a[href]")}
    assert links == {page.removeprefix("book/") for page in CHAPTERS if found(page)}


# Which chapter needs which


def chapter(needs="", proof="", label=""):
    return (
        f"# Title\n\n:::{{admonition}} What you get\n\nYou need {needs}.\n:::\n\n"
        f":::{{prf:theorem}} T\n:label: {label}\n\nA.\n:::\n\n"
        f"::::{{dropdown}} Proof\n:::{{prf:proof}}\n\n{proof}\n:::\n::::\n"
    )


SMALL = {
    "p/a": chapter(label="thm-a", proof="See {prf:ref}`thm-c`."),  # looks ahead
    "p/b": chapter(label="thm-b", needs="{doc}`a`"),
    "q/c": chapter(label="thm-c", needs="{prf:ref}`thm-b`", proof="By {prf:ref}`that <thm-a>`."),
    "q/d": chapter(label="thm-d", needs="courage"),
}


def test_edges_are_read_from_proofs_and_boxes():
    used, named = dependencies.graphs(SMALL)
    assert set(used.edges) == {("p/a", "q/c")}
    assert set(named.edges) == {("p/a", "p/b"), ("p/b", "q/c")}
    assert dependencies.unannounced(SMALL) == []


def test_a_proof_that_uses_what_no_box_leads_to_is_seen():
    assert dependencies.unannounced(SMALL | {"q/d": chapter(proof="{prf:ref}`thm-b`")}) == [("p/b", "q/d")]


def test_the_boxes_of_the_book_lead_to_all_that_its_proofs_use():
    assert dependencies.unannounced(TEXTS) == []
    assert all("You need" in text for text in TEXTS.values())


def test_every_arrow_points_down_and_bends_in_every_row_between():
    graph, _ = dependencies.steps(TEXTS)
    table = dependencies.rows(graph)
    row = {item: k for k, items in enumerate(table) for item in items}
    assert sorted(item for item in row if isinstance(item, str)) == sorted(CHAPTERS)
    for start, end in graph.edges:
        bends = [b.row for b in row if isinstance(b, dependencies.Bend) and (b.start, b.end) == (start, end)]
        assert sorted(bends) == list(range(row[start] + 1, row[end]))


def test_picture_and_list_say_the_same():
    drawing = dependencies.drawing(SMALL, dict.fromkeys(SMALL, 1), {page: f"{page}.html" for page in SMALL})
    svg = BeautifulSoup(drawing, "html.parser")
    arrows = [path["class"] for path in svg.select("svg > path")]
    lines = "\n".join(dependencies.sentences(SMALL, {"P": ["p/a", "p/b"], "Q": ["q/c", "q/d"]}))
    assert [link["href"] for link in svg.select("a")] == [f"{page}.html" for page in SMALL]
    assert arrows == [["named"], ["proofs"], ["named"]]  # a to c follows from the others, but not for the proofs
    assert lines.count("after") == 2
    assert lines.count("a beginning") == 2
    assert "- {doc}`/q/c`: after {doc}`/p/a`, {doc}`/p/b` (named in its box)" in lines


def test_the_graph_of_the_book_links_every_chapter():
    article = built("using")
    links = [link["href"] for link in article.select(".dependencies svg a[href]")]
    assert links == [f"{page.removeprefix('book/')}.html" for page in CHAPTERS]
    assert {f"{page.removeprefix('book/')}.html" for page in CHAPTERS} <= {
        a["href"] for a in article.select("li a[href]")
    }


# The state of the outputs

STORED = json.loads((ROOT / status.STATUS).read_text())


def test_every_notebook_has_a_record_of_the_code_it_has_now():
    notebooks = {page: spine.notebook(ROOT, page) for page in spine.notebooks(ROOT)}
    assert list(status.faults(notebooks, STORED)) == []


def test_edited_code_missing_records_and_records_of_nothing_are_seen():
    notebook = new_notebook(cells=[new_code_cell("print(1)")])
    record = {"code": status.code_hash(notebook)}
    edited = new_notebook(cells=[new_code_cell("print(2)")])
    assert list(status.faults({"a": notebook}, {"chapters": {"a": record}})) == []
    (fault,) = status.faults({"a": edited}, {"chapters": {"a": record}})
    assert "not the code that was run" in fault
    (fault,) = status.faults({"a": notebook}, {"chapters": {}})
    assert "no run" in fault
    (fault,) = status.faults({}, {"chapters": {"a": record}})
    assert "no such notebook" in fault


def test_prose_and_outputs_do_not_change_the_hash():
    page = ROOT / f"{CHAPTERS[0]}.ipynb"
    notebook = nbformat.read(page, as_version=4)
    before = status.code_hash(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source += " More."
        else:
            cell.outputs = []
    assert status.code_hash(notebook) == before


def test_the_page_shows_every_record():
    rows = built("status").select("table")[0].select("tbody tr")
    shown = {row.find("a")["href"].removesuffix(".html"): [td.get_text() for td in row.find_all("td")] for row in rows}
    assert shown.keys() == {page.removeprefix("book/") for page in STORED["chapters"]}
    for page, record in STORED["chapters"].items():
        cells = shown[page.removeprefix("book/")]
        assert [cells[2], cells[3]] == [str(record["seconds"]), record["date"]]

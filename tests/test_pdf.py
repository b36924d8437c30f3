"""The PDF: two chapters are printed and looked at; what cannot be printed well is an error that says so."""

import json
import re
from pathlib import Path

import pdf
import pypdfium2
import pytest
from bs4 import BeautifulSoup
from built_book import Book
from pages import ROOT
from pypdf import PdfReader

PAGES = ["book/radial/rescaling", "book/permutation/theory"]
MARGIN = 25 * 72 / 25.4  # as in tools/pdf.css
PAGE = """
<!DOCTYPE html><html><head><style>{style}</style><script>window.MathJax = {config}</script>
<script defer src="{mathjax}"></script></head><body>{body}</body></html>
"""


def require() -> str:
    """The browser; without it, or without what it prints, the test is left out by name."""
    if not (ROOT / "_build/.doctrees/environment.pickle").exists():
        pytest.skip("the PDF (the book is not built: make book)")
    if not pdf.chromium():
        pytest.skip("the PDF (no chromium)")
    if not (ROOT / "tests/web/node_modules").exists():
        pytest.skip("the PDF (no node modules: make web)")
    return pdf.chromium()


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> Path:
    """Two chapters as a PDF."""
    require()
    folder = tmp_path_factory.mktemp("pdf")
    return pdf.make(Book(ROOT), ["book/using", *PAGES], folder)  # the first has a drawing, as wide as the page


@pytest.fixture(scope="module")
def reader(printed) -> PdfReader:
    return PdfReader(printed)


@pytest.fixture(scope="module")
def texts(printed) -> list[str]:
    """The text of each page, with single spaces."""
    return [" ".join(page.get_textpage().get_text_range().split()) for page in pypdfium2.PdfDocument(printed)]


@pytest.fixture(scope="module")
def articles() -> list[BeautifulSoup]:
    return [BeautifulSoup((ROOT / f"_build/html/{page}.html").read_text(), "html.parser").article for page in PAGES]


def words(tag) -> str:
    """The text of an element up to its first formula."""
    for formula in tag.select(".headerlink"):
        formula.decompose()
    return " ".join(tag.get_text().partition("\\(")[0].split())


def test_title_and_author(reader, texts):
    book = Book(ROOT)
    assert reader.metadata.title == book.title
    assert reader.metadata.author
    assert texts[0].startswith(book.title)
    assert f"Version {book.version}" in texts[0]
    assert reader.root_object["/Lang"] == "en"
    assert "/StructTreeRoot" in reader.root_object


def test_every_result_and_exercise_is_there_with_its_name(articles, texts):
    whole = " ".join(texts)
    titles = [words(title) for article in articles for title in article.select(".admonition-title")]
    numbered = [title for title in titles if re.match(r"[A-Z]\w+ \d+\.\d+", title)]
    assert len(numbered) > 20
    assert [title for title in numbered if title not in whole] == []


def test_code_is_there_unless_it_only_draws(articles, texts):
    whole = "".join(texts).replace(" ", "")
    kept, left_out = 0, 0
    for article in articles:
        for cell in article.select("div.cell:has(.cell_input)"):
            code = cell.select_one(".cell_input").get_text()
            line = "".join(max(code.split("\n"), key=len).split())
            if cell.select("details") and cell.select("figure") and "# check:" not in code:
                left_out += 1
                assert line not in whole
            else:
                kept += 1
                assert line in whole
    assert kept > 10
    assert left_out > 2


def test_exercises_and_solutions_say_where_the_other_stands(articles, reader, texts):
    numbers = pdf.destinations(reader)
    solutions = numbers["solutions"]
    for page, article in zip(PAGES, articles, strict=True):
        exercises = article.select("div.exercise")
        assert len(exercises) == len(article.select("div.solution"))
        for exercise in exercises:
            number = words(exercise.select_one(".caption-number"))
            here = numbers[pdf.slug(page, exercise["id"])]
            (there,) = [i for i, text in enumerate(texts, 1) if f"Solution to {number} " in text]
            assert here < solutions <= there
            assert re.search(
                rf"{re.escape(number)} .*?Solution on page {there}\b", " ".join(texts[here - 1 : here + 1])
            )
            assert re.search(rf"Solution to {re.escape(number)} .*?, page {here}\b", texts[there - 1])


def flat(outline) -> list[str]:
    """The bookmarks, in their order."""
    return [title for item in outline for title in (flat(item) if isinstance(item, list) else [item.title])]


def test_bookmarks_are_the_headings(articles, reader):
    headings = [words(heading) for article in articles for heading in article.select("h1, h2, h3")]
    bookmarks = flat(reader.outline)
    chapters = [words(article.h1) for article in articles]
    assert [title for title in bookmarks if title in headings] == headings + chapters  # again, among the solutions
    assert bookmarks[0] == "Contents"
    assert bookmarks[-3:] == ["Solutions", *chapters]


def test_formulas_have_a_text(articles, printed):
    formulas = sum(len(article.select(".math")) for article in articles)
    pictures = sum(len(article.select("img")) for article in articles)
    assert printed.read_bytes().count(b"/Alt ") >= formulas + pictures


def links(reader: PdfReader):
    for page in reader.pages:
        for note in page.get("/Annots") or []:
            if note.get_object().get("/Subtype") == "/Link":
                yield note.get_object()


def test_links_lead_somewhere(reader):
    numbers = pdf.destinations(reader)
    inside = [str(link["/Dest"]).removeprefix("/") for link in links(reader) if "/Dest" in link]
    outside = [link["/A"]["/URI"] for link in links(reader) if "/Dest" not in link]
    assert len(inside) > 100
    assert [name for name in inside if name not in numbers] == []
    assert [address for address in outside if not address.startswith("https://")] == []
    assert any(address.startswith(Book(ROOT).site) for address in outside)  # a chapter that was not printed


def test_the_contents_say_the_right_pages(articles, reader, texts):
    numbers = pdf.destinations(reader)
    contents = texts[2]
    for page, article in zip(PAGES, articles, strict=True):
        for heading in article.select("h2"):
            section = heading.find_parent("section")
            assert re.search(rf"{re.escape(words(heading))} {numbers[pdf.slug(page, section['id'])]}\b", contents)


def test_fonts_are_embedded(reader):
    found = {}
    for page in reader.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            font = font.get_object()
            below = [child.get_object() for child in font.get("/DescendantFonts", [font])]
            found[font.get("/BaseFont", "Type3")] = all(
                child["/Subtype"] == "/Type3" or any(f"/FontFile{n}" in child["/FontDescriptor"] for n in ("", 2, 3))
                for child in below
            )
    assert any("STIX" in name for name in found)
    assert any("Mono" in name for name in found)
    assert [name for name, embedded in found.items() if not embedded] == []


def beyond(path: Path) -> list[str]:
    """Pages with text or pictures to the right of their column.

    What begins left of the page is a sign that MathJax stretches (a bar, say) and clips.
    """
    faults = []
    for number, page in enumerate(pypdfium2.PdfDocument(path), 1):
        bounds = [thing.get_bounds() for thing in page.get_objects()]
        edge = page.get_width() - MARGIN + 2
        faults += [f"page {number}" for left, _, right, _ in bounds if right > edge and left > 0]
    return faults


def test_nothing_stands_beyond_the_right_edge(printed):
    assert beyond(printed) == []


def show(folder: Path, body: str) -> Path:
    """A page with this body, in the place of the book's."""
    mathjax = (ROOT / "book/_static/mathjax/tex-chtml-full.js").as_uri()
    page = folder / "page.html"
    style, config = (ROOT / "tools/pdf.css").read_text(), json.dumps(pdf.MATHJAX)
    page.write_text(PAGE.format(style=style, config=config, mathjax=mathjax, body=body))
    return page


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<p style="width: 900px">wide</p>', "cut at its right edge"),
        ('<img src="missing.png">', "pictures that do not load"),
        ('<img src="https://example.org/x.png">', "asks another host"),
        ('<a href="#nowhere">x</a>', "links that lead nowhere: .*nowhere"),
        (r"<p>\(a^b^c\)</p>", "formulas with an error"),
    ],
)
def test_a_planted_fault_is_an_error(tmp_path, body, fault):
    executable = require()
    with pytest.raises(pdf.PdfError, match=fault):
        pdf.Chromium(show(tmp_path, body), tmp_path / "out.pdf", executable)


def test_a_wide_formula_is_made_smaller(tmp_path):
    executable = require()
    out = tmp_path / "out.pdf"
    terms = "+".join(f"x_{{{n}}}" for n in range(40))
    body = rf'<div class="math">\[{terms}\]</div><p>short \(x\) and long \({terms}\)</p>'
    with pdf.Chromium(show(tmp_path, body), out, executable) as browser:
        browser.print({})
    assert len(browser.scales) == 2
    assert beyond(out) == []


def test_bad_input_is_an_error(tmp_path, monkeypatch):
    require()
    book = Book(ROOT)
    with pytest.raises(pdf.PdfError, match="not in the table of contents: book/no"):
        pdf.make(book, ["book/no"], tmp_path)
    monkeypatch.setattr(pdf, "chromium", lambda: None)
    with pytest.raises(pdf.PdfError, match="no chromium"):
        pdf.make(book, PAGES, tmp_path)

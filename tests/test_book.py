"""The built pages: formulas, pictures, links, numbers and folds are right, and nothing comes from another host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pages
import pytest
from built_book import CODE
from fontTools.ttLib import TTFont
from pages import ROOT, SITE

FORMULA = r'<article><span class="math">\({}\)</span></article>'


@pytest.fixture(scope="module")
def site() -> dict[str, str]:
    """Every built page, by its path; slides have their own tests."""
    if not SITE.exists():
        pytest.skip("the book is not built (make book)")
    paths = [path.relative_to(SITE) for path in sorted(SITE.rglob("*.html"))]
    return {str(path): (SITE / path).read_text() for path in paths if path.parts[0] not in ("_static", "slides")}


CHECKERS = {
    "raw markup": (
        pages.raw_markup,
        ["<p>$$x$$</p>", "<p>a $x$ b</p>", "<p>{prf:ref}`thm-a`</p>", "<p>:::{note}</p>", r"<p>\frac12</p>"],
    ),
    "pictures": (
        pages.bad_pictures,
        [
            '<img src="a.png">',
            '<img src="a" alt="">',
            '<img src="a" alt="../_images/two words and more.png">',
            '<img src="a" alt="A plot.">',
        ],
    ),
    "loads from other hosts": (
        pages.outside_loads,
        [
            '<script src="https://a.b/c.js"></script>',
            '<link rel="stylesheet" href="//a.b/c.css">',
            '<img src="http://a.b/c.png" alt="">',
            '<img srcset="a.png 1x, https://a.b/c.png 2x">',
            '<iframe src="https://a.b"></iframe>',
            "<style>@import 'https://a.b/c.css';</style>",
            '<p style="background: url(https://a.b/c.png)"></p>',
        ],
    ),
    "repeated anchors": (pages.repeated_ids, ['<p id="a"></p><p id="a"></p>']),
    "numbers of results": (
        pages.unnumbered,
        [
            '<div class="proof theorem"><p>A</p></div>',
            '<div class="exercise"><p><span class="caption-number">Exercise </span></p></div>',
        ],
    ),
    "folds": (
        pages.unfolded,
        [
            '<div class="proof admonition">P</div>',
            '<div class="solution">S</div>',
            '<details class="sd-dropdown" open></details>',
        ],
    ),
}


@pytest.mark.parametrize("name", CHECKERS)
def test_every_page(site, name):
    check, _ = CHECKERS[name]
    assert {page: faults for page, html in site.items() if "book/" in page and (faults := check(html))} == {}


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, (_, faults) in CHECKERS.items() for fault in faults]
)
def test_a_planted_fault_is_seen(name, fault):
    check, _ = CHECKERS[name]
    assert len(check(f"<html><body><article>{fault}</article></body></html>")) == 1


def test_links_lead_somewhere(site):
    assert pages.broken_links(site, SITE) == []


def test_a_broken_link_is_seen(tmp_path):
    html = {
        "a.html": '<a href="b/c.html#d"></a><a href="b/c.html#no"></a><a href="no.html"></a>',
        "b/c.html": '<p id="d"></p>',
    }
    for name, text in html.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert pages.broken_links(html, tmp_path) == ["a.html: no anchor b/c.html#no", "a.html: no file no.html"]


def test_style_sheets_load_nothing_from_outside(site):
    faults = {str(path): faults for path in SITE.rglob("*.css") if (faults := pages.outside_styles(path.read_text()))}
    assert site
    assert faults == {}


def test_every_formula_typesets(site):
    texs = [tex for html in site.values() for tex in pages.formulas(html)]
    assert texs
    assert pages.untypesettable(texs) == []


@pytest.mark.parametrize("tex", [r"\undefined", "{x", "a^b^c", r"\begin{align}x", r"\left(x"])
def test_a_bad_formula_is_seen(tex):
    (found,) = pages.formulas(FORMULA.format(tex))
    assert len(pages.untypesettable([r"\frac{1}{2}", found, r"\mathbb{R}^n"])) == 1


def test_pages_carry_no_idle_script_or_style(site):
    loads = re.compile(r"""(?:src|href)="[^"]*?([\w.-]+\.(?:js|css|woff2?))(?:\?[^"]*)?\"""")
    idle = {"sphinx-thebe.js", "sphinx-thebe.css", "design-tabs.js", "all.min.js"}
    assert {name for html in site.values() for name in loads.findall(html)} & idle == set()
    assert all("x-thebe-config" not in html and "fa-solid-900.woff2" not in html for html in site.values())


def test_every_icon_is_in_the_fonts(site):
    (folder,) = SITE.glob("_static/vendor/fontawesome/*")
    css = (folder / "css/all.min.css").read_text()
    signs = {sign for font in folder.glob("webfonts/*") for sign in TTFont(font).getBestCmap()}
    rules = {name: int(code, 16) for name, code in re.findall(r'\.fa-([\w-]+):before\{content:"\\(\w+)"', css)}
    used = {
        icon
        for html in site.values()
        for names in re.findall(r'<(?:i|span) class="(fa[^"]*)"', html)
        for icon in names.split()
    }
    icons = {icon.removeprefix("fa-") for icon in used} - {
        "fa",
        "fas",
        "far",
        "fab",
        "solid",
        "regular",
        "brands",
        "lg",
        "theme-switch",
    }
    assert icons
    assert {icon for icon in icons if rules.get(icon) not in signs} == set()
    assert sum(path.stat().st_size for path in folder.rglob("*.*")) < 50_000


def test_search_and_copy_buttons(site):
    index = (SITE / "searchindex.js").read_text()
    chapters = [page for page in site if page.startswith("book/")]
    assert all(f'"{page.removesuffix(".html")}"' in index for page in chapters)
    assert all("copybutton.js" in site[page] and "search.html" in site[page] for page in chapters)


def test_the_reference_links_into_the_book(site):
    reference = pages.article(site["book/api.html"])
    assert reference.select('a[href*="#thm-"], a[href*="#def-"]')
    assert re.findall(r"\b(?:def|thm|prop|lem|cor|exm|ex)-[a-z]\w+", reference.get_text()) == []


def test_every_page_is_in_the_table_of_contents():
    listed = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text())
    sources = [path for suffix in ("ipynb", "md") for path in (ROOT / "book").rglob(f"[!.]*.{suffix}")]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT).with_suffix("")) for path in sources)


def browse(folder: Path, names: list[str]) -> list[str]:
    """What a visit to the pages in Chromium finds wrong."""
    found = pages.in_browser("the pages", "browse.js", folder, names)
    return [f"{fault['page']}, {fault['view']}: {fault['fault']}" for fault in found]


def test_every_page_in_a_browser(site):
    assert (
        browse(SITE, [*(name for name in site if name.startswith("book/")), "search.html", "search.html?q=rotation"])
        == []
    )


def test_planted_faults_are_seen_in_a_browser(site, tmp_path):
    fault = """
        <div class="math">\\(\\undefined\\)</div>
        <p style="width: 2000px; color: #eee; background: #fff">wide and pale \\(</p>
        <div class="solution admonition"><p class="admonition-title">S</p><section>open</section></div>
        <div class="highlight"><pre>x</pre></div>
        <img src="missing.png" alt="">
        <script>console.error("planted");</script>
        <script>throw new Error("thrown");</script>
        <script src="https://example.org/x.js"></script>
    """
    html = site["book/index.html"]
    assert "</article>" in html
    for folder in ("_static", "_images"):
        (tmp_path / folder).symlink_to(SITE / folder)
    (tmp_path / "book").mkdir()
    bad = html.replace("</article>", fault + "</article>").replace("copybutton.js", "missing.js")
    (tmp_path / "book/bad.html").write_text(bad)
    found = "\n".join(browse(tmp_path, ["book/bad.html"]))
    for word in [
        "formula with an error",
        "px wide",
        "color-contrast",
        "raw TeX: wide",
        "not folded",
        "copy button",
        "missing file: /book/missing.png",
        "picture does not load",
        "console: planted",
        "script error: thrown",
        "asks another host: https://example.org",
    ]:
        assert word in found


# How the pages are built


SETTINGS = """
import os
import sys
from collections import Counter
from pathlib import Path

from sphinx.environment import BuildEnvironment

sys.path.insert(0, {folder!r})
extensions, numfig, loads = {extensions}, True, Counter()


def setup(app):
    load = BuildEnvironment.get_doctree
    BuildEnvironment.get_doctree = lambda env, name: loads.update([name]) or load(env, name)
    app.connect("html-page-context", note_process)
    app.connect("build-finished", lambda app, error: Path("loads").write_text(str(loads["a"])))


def note_process(app, page, *rest):
    Path("pid-" + page).write_text(str(os.getpid()))
"""
DRAWN = ".. _fig:\n\n.. figure:: a.png\n   :alt: A picture.\n\n   A picture\n"
FAULTS = {
    "while it is resolved": (":numref:`nothing`", "nothing"),
    "while it is written": ("::\n\n   x\n\n.. code-block:: python\n\n   a = $?", "Lexing literal_block"),
}


def small_book(folder: Path, extensions: list[str], last: str) -> subprocess.CompletedProcess[str]:
    """Build pages that refer to the figure of page a; the last one has words of its own."""
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")
    names = [f"p{k}" for k in range(6)]
    texts = dict.fromkeys(names, "See :numref:`fig` and :numref:`here, %s <fig>`.") | {"a": DRAWN, "z": last}
    for name, text in texts.items():
        (folder / f"{name}.rst").write_text(f"{name}\n=====\n\n{text}\n")
    (folder / "index.rst").write_text("Book\n====\n\n.. toctree::\n   :numbered:\n\n   " + "\n   ".join(texts))
    (folder / "conf.py").write_text(SETTINGS.format(folder=str(ROOT / "book/_ext"), extensions=extensions))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going", ".", "out"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"})


def test_a_quick_build_makes_the_same_pages(tmp_path):
    for name, extensions in {"slow": [], "quick": ["quick"]}.items():
        run = small_book(tmp_path / name, extensions, "The end.")
        assert run.returncode == 0, run.stderr
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    for path in slow.glob("out/*.html"):
        assert path.read_text() == (quick / path.relative_to(slow)).read_text()
    assert "Fig. 7.1" in (quick / "out/p0.html").read_text()
    loads = [int((book / "loads").read_text()) for book in (slow, quick)]
    processes = [len({path.read_text() for path in book.glob("pid-*")}) for book in (slow, quick)]
    assert (loads, processes) == ([13, 2], [1, 2])  # 12 references, and the numbers of the figures


@pytest.mark.parametrize("when", FAULTS)
def test_a_quick_build_stops_at_a_warning_of_a_page(when, tmp_path):
    words, warning = FAULTS[when]
    run = small_book(tmp_path / "book", ["quick"], words)
    assert run.returncode and warning in run.stderr


def test_no_number_and_no_heading_is_in_code(site):
    for page, html in site.items():
        assert not re.search(r'<h[1-6]| id="|caption-number|eqno', "".join(CODE.findall(html))), page

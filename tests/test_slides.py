"""The decks of slides: they have everything of their chapter once, fit their slides and need nothing but the disk."""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath

import pages
import pytest
from bs4 import BeautifulSoup, Tag
from pages import ROOT, SITE
from slides import Slide, pack

DECKS = SITE / "slides"


@pytest.fixture(scope="module")
def decks() -> dict[str, str]:
    """The HTML of every deck, by the path below _build/html."""
    found = {str(path.relative_to(SITE)): path.read_text() for path in sorted(DECKS.glob("*/*.html"))}
    if not found:
        pytest.skip("the slides are not made (make slides)")
    return found


@pytest.fixture(scope="module")
def pairs(decks) -> dict[str, tuple[BeautifulSoup, Tag]]:
    """Every deck and the article of its chapter, by the path of the deck."""
    return {
        deck: (pages.parse(html), pages.article((SITE / deck.replace("slides/", "book/", 1)).read_text()))
        for deck, html in decks.items()
    }


def test_every_chapter_has_a_deck(decks):
    notebooks = (ROOT / "book").glob("*/[!.]*.ipynb")
    assert sorted(decks) == sorted(
        f"slides/{path.relative_to(ROOT / 'book').with_suffix('.html')}" for path in notebooks
    )
    index = pages.parse((DECKS / "index.html").read_text())
    assert sorted(f"slides/{link['href']}" for link in index.select("li a")) == sorted(decks)


def squeezed(tag: Tag) -> str:
    return re.sub(r"\s|Proof\. ", "", tag.get_text())


def test_every_result_figure_exercise_and_proof_is_on_one_slide(pairs):
    for deck, (slides, article) in pairs.items():
        ids = [str(slide["id"]) for slide in slides.select("section.slide")]
        boxes = article.select("div.proof[id], figure[id], div.exercise[id], section[id]")
        assert [ids.count(str(box["id"])) for box in boxes] == [1] * len(boxes), deck
        assert len(slides.select('[data-kind="proof"]')) == len(article.select("details.sd-dropdown"))
        assert len(slides.select('[data-kind="solution"]')) == len(article.select("div.solution"))


def test_no_sentence_is_lost_or_said_twice(pairs):
    """Every paragraph and formula of the chapter stands on a slide or in the notes."""
    for deck, (slides, article) in pairs.items():
        for extra in article.select("a.headerlink, .player, summary, p.admonition-title"):
            extra.decompose()
        said, written = squeezed(slides), squeezed(article)
        blocks = {text for block in article.select("p, div.math") if len(text := squeezed(block)) > 40}
        assert blocks
        assert [text for text in blocks if said.count(text) != written.count(text)] == [], deck


def test_links_lead_somewhere(decks, pairs):
    anchors = {
        path.relative_to(SITE).as_posix(): set(re.findall(r' id="([^"]+)"', path.read_text()))
        for path in SITE.rglob("*.html")
    }
    for deck, (slides, _) in pairs.items():
        targets = {str(tag.get("href") or tag["src"]) for tag in slides.select("[href], [src]")}
        for target in sorted(target for target in targets if not re.match("[a-z]+:", target)):
            path, _, anchor = target.partition("#")
            page = normpath(PurePosixPath(deck).parent / path) if path else deck
            assert (SITE / page).is_file(), f"{deck}: {target}"
            assert not anchor or anchor.removeprefix("/") in anchors[page], f"{deck}: {target}"


def test_decks_load_nothing_from_outside_and_name_their_pictures(decks, pairs):
    assert all('<html lang="en">' in html for html in decks.values())
    for deck, (slides, _) in pairs.items():
        loads = [str(tag.get("src") or tag["href"]) for tag in slides.select("[src], link")]
        assert [load for load in loads if not load.startswith(("../../", "data:"))] == [], deck
        assert [image for image in slides.select("img") if len(str(image.get("alt", "")).split()) < 4] == [], deck


def test_chapters_do_not_load_what_decks_need():
    assert all("_static/reveal" not in path.read_text() for path in (SITE / "book").rglob("*.html"))


def test_a_long_paragraph_is_cut_between_sentences():
    text = 'One by B. Two (<em>et al.</em>, cf. Three) ends. <span><i class="math">x</i>.</span> Four goes on.'
    (paragraph,) = pages.parse(f"<p>{text}</p>").find_all("p")
    parts = [part.get_text().strip() for part in pack(paragraph, 5)]
    assert parts == ["One by B. Two (et al., cf. Three) ends.", "x.", "Four goes on."]


def present(folder: Path, jobs: list[dict]) -> list[str]:
    """What a visit to decks in Chromium finds wrong."""
    found = pages.in_browser("the slides", "slides.js", folder, jobs)
    return [f"{fault['deck']}, {fault['view']}: {fault['fault']}" for fault in found]


def job(deck: str, width: int = 1280, height: int = 720, scheme: str = "light", axe: list[str] | None = None) -> dict:
    return {"deck": deck, "width": width, "height": height, "scheme": scheme, "axe": axe or []}


def of_each_kind(html: str) -> list[str]:
    """One slide of each kind."""
    slides = pages.parse(html).select("section.slide")
    return list({str(slide["data-kind"]): str(slide["id"]) for slide in slides}.values())


def test_every_slide_fits_in_a_browser(decks):
    first, *_, last = decks
    jobs = [job(deck) for deck in decks if deck not in (first, last)]
    jobs.append(job(first, scheme="dark", axe=of_each_kind(decks[first])))
    jobs.append(job(last, axe=of_each_kind(decks[last])))
    jobs.append(job(last, 360, 740))
    assert present(SITE, jobs) == []


def test_planted_faults_are_seen_in_a_browser(decks, tmp_path):
    faults = {
        "high": '<div style="height: 800px; flex: none">tall</div>',
        "wide": '<p style="width: 2000px">wide</p>',
        "formula": '<div class="math">\\(\\undefined\\)</div>',
        "raw": "<p class='math'></p>",
        "picture": '<img src="missing.png" alt="">',
        "pale": '<p style="color: #eee; background: #fff">pale</p>',
        "link": '<a href="#/nowhere">link</a><p id="twice"></p><p id="twice"></p>',
        "script": '<script>console.error("planted");</script><script src="https://example.org/x.js"></script>',
        "small": "<style>#small { font-size: 12px !important }</style>",
    }
    slides = "".join(Slide(name, "text", name, [fault]).html() for name, fault in faults.items())
    deck = next(iter(decks.values()))
    start = deck.index('<section id="', deck.index('class="slides"'))
    (tmp_path / "_static").symlink_to(SITE / "_static")
    (tmp_path / "slides/x").mkdir(parents=True)
    (tmp_path / "slides/x/bad.html").write_text(f"{deck[:start]}{slides}</div></main></body></html>")
    found = "\n".join(present(tmp_path, [job("slides/x/bad.html", axe=["pale"])]))
    for word in [
        "slide high: div overflows",
        "slide wide: p overflows",
        "slide formula: formula error",
        "slide raw: formula not typeset",
        "slide picture: picture does not load",
        "slide pale: color-contrast",
        "slide small: small print",
        "no slide for the link nowhere",
        "the id twice stands twice",
        "console: planted",
        "missing file: missing.png",
        "asks another host: https://example.org",
    ]:
        assert word in found

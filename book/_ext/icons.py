"""Keep, of the icon fonts that the theme ships, the few icons that the pages show.

Font Awesome comes as a script of 1.5 MB and three fonts. The style sheet and the fonts draw the same icons as the
script, so the script goes; the fonts are cut down to the icons named in the pages and in the theme's own files.
"""

import re
from pathlib import Path

from fontTools import subset
from sphinx.application import Sphinx

FONTS = ("fa-solid-900", "fa-regular-400", "fa-brands-400")
LOADED = re.compile(r'<script src="[^"]*fontawesome[^"]*"></script>\n?|<link rel="preload"[^>]*fontawesome[^>]*>\n?')
RULE = re.compile(r"(?P<selectors>[^{}]+)\{(?P<body>[^{}]*)\}")


def used_rules(css: str, classes: set[str]) -> str:
    """The rules of a style sheet for the given classes, its variables and the licence at its head."""
    licence = re.match(r"/\*!.*?\*/", css, re.DOTALL)
    css = re.sub(r"/\*.*?\*/|@(?:-webkit-)?keyframes[^{]*\{(?:[^{}]*\{[^{}]*\})*\}", "", css, flags=re.DOTALL)
    css = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\}", "", css)  # only about motion
    kept = [licence[0] if licence else ""]
    for rule in RULE.finditer(css):
        selectors = [s for s in rule["selectors"].split(",") if set(re.findall(r"\.([\w-]+)", s)) & classes]
        if "root" in rule["selectors"] or selectors:
            kept.append((",".join(selectors) or rule["selectors"]) + "{" + rule["body"] + "}")
        elif "@font-face" in rule["selectors"] and "Awesome\\ " in rule["body"]:
            kept.append(re.sub(r",url\([^)]*\.ttf\) format\(\"truetype\"\)", "", rule[0]).replace("woff2", "woff"))
    return "\n".join(kept)


def keep_used_icons(app: Sphinx, exception: Exception | None) -> None:
    """Rewrite the pages, the style sheet and the fonts in the output folder."""
    out = Path(app.outdir)
    if exception or app.builder.format != "html":
        return
    (sheet,) = out.glob("_static/vendor/fontawesome/*/css/all.min.css")
    folder = sheet.parents[1]
    pages = [path for path in out.rglob("*.html") if "_static" not in path.parts]
    for page in pages:
        page.write_text(LOADED.sub("", page.read_text()))
    code = [*pages, *out.glob("_static/**/*.js"), *out.glob("_static/*.css"), *out.glob("_static/styles/*.css")]
    text = "\n".join(path.read_text() for path in code if folder not in path.parents and "mathjax" not in path.parts)
    css = used_rules(sheet.read_text(), set(re.findall(r"\bfa[srb]?(?:-[a-z0-9-]+)?\b", text)))
    signs = {int(sign, 16) for sign in re.findall(r"\\([ef][0-9a-f]{3})\b", css + text)}
    signs |= {ord(sign) for sign in re.findall("[\ue000-\uf8ff]", text)}
    sheet.write_text(css)
    for name in FONTS:
        options = subset.Options(flavor="woff", hinting=False, notdef_outline=True)
        font = subset.load_font(folder / f"webfonts/{name}.ttf", options)
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=signs)
        cutter.subset(font)
        subset.save_font(font, folder / f"webfonts/{name}.woff", options)
    for path in [*folder.glob("js/*"), *folder.glob("webfonts/*.ttf"), *folder.glob("webfonts/*.woff2")]:
        path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the hook after the pages are written."""
    app.connect("build-finished", keep_used_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

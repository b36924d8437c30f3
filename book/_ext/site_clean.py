"""Take out of the built pages what the book does not use and what its extensions repeat."""

import re

from sphinx.application import Sphinx

UNUSED = re.compile("thebe|THEBE_JS_URL|design-tabs")  # live code, and tabs


def described(file: object) -> str:
    """The name and the text of a script or style sheet."""
    return f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body', '')}"


def clean_page(app, pagename, templatename, context, doctree):
    """Clean the context of one page.

    The scripts of thebe name an outside address and declare one constant twice; sphinx-proof and sphinx-exercise give
    every box the same id; the link to an exercise starts with a space; the list of references has roles that no longer
    exist, and folded cells a label beside their text; the theme complains when it is given no colour mode. A comma
    after a formula must not begin the next line, and a wide table must scroll by keys.
    """
    context["default_mode"] = "auto"
    for files in ("script_files", "css_files"):
        context[files] = [file for file in context.get(files, []) if not UNUSED.search(described(file))]
    if "body" in context:
        body = re.sub(r' id="(?:(?:proof|exercise|solution)-content|proof)"', "", context["body"])
        body = re.sub(r' role="(?:list|doc-biblioentry)"| aria-label="Toggle hidden content"', "", body)
        body = re.sub(r"Solution to(<a [^>]*>) ", r"Solution to \1", body)
        body = body.replace(
            '<div class="pst-scrollable-table-container">', '<div class="pst-scrollable-table-container" tabindex="0">'
        )
        comma = r'(<span class="math [^>]*>[^<]*</span>[,.;:)]+)'
        body = re.sub(r'<script type="text/x-thebe-config">[^<]*</script>\s*<script>kernelName[^<]*</script>', "", body)
        context["body"] = re.sub(comma, r'<span class="nowrap">\1</span>', body)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the clean-up after every other extension."""
    app.connect("html-page-context", clean_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

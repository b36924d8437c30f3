"""The state of the chapters: when their outputs were made, how long that took, and whether they are current."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import spine
from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from execute import STATUS, code_hash

Status = dict[str, Any]  # what STATUS holds


def faults(found: dict[str, NotebookNode], status: Status) -> Iterator[str]:
    """Notebooks whose run nobody recorded, or whose code has changed since; records of notebooks that are gone."""
    records = status["chapters"]
    for page, notebook in found.items():
        if page not in records:
            yield f"{page}: no run is recorded; use `python tools/execute.py {page}.ipynb`"
        elif records[page]["code"] != code_hash(notebook):
            yield f"{page}: its code is not the code that was run; use `python tools/execute.py {page}.ipynb`"
    for page in sorted(records.keys() - found.keys()):
        yield f"{page}: {STATUS} has a record of it, but there is no such notebook"


def runs(found: dict[str, NotebookNode], status: Status) -> list[str]:
    """The table of the notebooks, as Markdown."""
    rows, settings, seconds = [], [], 0
    for page, notebook in found.items():
        if record := status["chapters"].get(page):
            versions = ", ".join(f"{name} {number}" for name, number in sorted(record["versions"].items()))
            setting = f"{record['device']}; {versions}"
            settings += [setting] * (setting not in settings)
            letter = ascii_uppercase[settings.index(setting)]
            count = sum(cell.cell_type == "code" for cell in notebook.cells)
            rows.append(f"| {{doc}}`/{page}` | {count} | {record['seconds']} | {record['date']} | {letter} |")
            seconds += record["seconds"]
    tried = ", ".join(f"{device} on {date}" for device, date in status["tried"].items())
    return [
        "| page | code cells | seconds | date | where |",
        "|---|--:|--:|---|---|",
        *rows,
        "",
        f"One after the other they take {seconds} seconds. Where they ran:",
        "",
        *(f"- {letter}: {setting}" for letter, setting in zip(ascii_uppercase, settings, strict=False)),
        "",
        f"Last run on another device, with the same texts in all outputs: {tried or 'never, so never on a GPU'}.",
    ]


def experiments(stored: dict[str, Any]) -> list[str]:
    """What is stored of the long experiments, as Markdown; their names begin with the family they belong to."""
    families = Counter(name.split()[0] for name in stored["protocols"])
    trials = Counter()
    for name, protocol in stored["protocols"].items():
        trials[name.split()[0]] += len(protocol["trials"])
    return [
        f"Made with `{stored['command']}` on {stored['machine']}.",
        "",
        "| family | protocols | trials |",
        "|---|--:|--:|",
        *(f"| {family} | {count} | {trials[family]} |" for family, count in families.items()),
    ]


class Runs(spine.ChaptersDirective):
    """``{runs}``: the table of the notebooks."""

    def run(self) -> list[nodes.Node]:
        """Read the record; a page that is not current is a warning, and so, as the book is built, an error."""
        found = {page: spine.notebook(self.root, page) for page in spine.notebooks(self.root)}
        status = json.loads((self.root / STATUS).read_text())
        self.depend(*found)
        self.env.note_dependency(str(self.root / STATUS))
        for fault in faults(found, status):
            self.warn(fault)
        return self.parsed(runs(found, status))


class Experiments(spine.ChaptersDirective):
    """``{experiments}``: the table of the long experiments."""

    def run(self) -> list[nodes.Node]:
        """Read the results in the package."""
        path = self.root / "radbook/results.json"
        self.env.note_dependency(str(path))
        return self.parsed(experiments(json.loads(path.read_text())))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("runs", Runs)
    app.add_directive("experiments", Experiments)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

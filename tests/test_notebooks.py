"""Every chapter is executed, comparable on any machine, and complete: results proved and checked, exercises solved.

nbval re-executes the chapters (`make test`). It passes in silence over cells without a count or an output, so these
are the rules that leave it something to compare, and a proof that it then goes red.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import execute
import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted(path for path in ROOT.glob("book/**/*.ipynb") if ".ipynb_checkpoints" not in path.parts)
IGNORED = "nbval-ignore-output"
TAGS = {IGNORED, "raises-exception", "hide-input", "hide-output", "hide-cell", "remove-input", "remove-output"}
PREFIX = {"theorem": "thm-", "proposition": "prop-", "lemma": "lem-", "corollary": "cor-"}
NOT_PORTABLE = {
    "a device": r"\b(?:cuda|cpu|mps)\b|device=",
    "a tensor's repr": r"\btensor\(|\bParameter containing",
    "an address": r"\b0x[0-9a-f]{6,}",
    "a path": r"(?:^|[\s'\"(=])/[\w.-]+/|\b[A-Z]:\\",
    "a version": r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])",
    "a time": r"\b\d+(?:\.\d+)?(?:e-?\d+)? ?(?:ms|[µμun]s|s|sec|seconds?|minutes?)\b",
}
NUMBER = re.compile(r"(?<![\w.])\d*\.(\d+)(?:e[+-]?\d+)?(?![\w.])")


def code_cells(notebook):
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def texts(cell) -> str:
    """The text outputs that nbval compares."""
    if IGNORED in tags(cell):
        return ""
    streams = [output.text for output in cell.outputs if output.output_type == "stream"]
    data = [d for output in cell.outputs for kind, d in output.get("data", {}).items() if not kind.startswith("image/")]
    return "\n".join(streams + data)


def statements(body) -> Iterator[ast.AST]:
    """All nodes that run when the cell does, not those inside a definition."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            yield node
            yield from statements(ast.iter_child_nodes(node))


def displays(source: str) -> bool:
    """Whether the code shows something when run: it prints, glues, shows a figure or ends with a value."""
    body = ast.parse(TransformerManager().transform_cell(source)).body
    called = {ast.unparse(node.func) for node in statements(body) if isinstance(node, ast.Call)}
    last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    return bool(called & {"print", "display", "glue", "plt.show"}) or not isinstance(last, ast.Call | None)


# Each rule yields what is wrong with a notebook.


def every_cell_ran(notebook):
    for expected, (i, cell) in enumerate(code_cells(notebook), start=1):
        if cell.execution_count != expected:
            yield f"cell {i}: execution count {cell.execution_count}, expected {expected}"
        if any(output.output_type == "error" for output in cell.outputs) != ("raises-exception" in tags(cell)):
            yield f"cell {i}: an error without the tag raises-exception, or the tag without an error"
        if any(output.get("name") == "stderr" for output in cell.outputs):
            yield f"cell {i}: stderr"


def outputs_are_stored(notebook):
    for i, cell in code_cells(notebook):
        if displays(cell.source) and not cell.outputs:
            yield f"cell {i}: shows something, but has no stored output"
        if "plt.show()" in cell.source and not any("image/png" in o.get("data", {}) for o in cell.outputs):
            yield f"cell {i}: shows a figure, but stores none"
    if not any(texts(cell).strip() for _, cell in code_cells(notebook)):
        yield "nbval would compare nothing"


def outputs_are_portable(notebook):
    for i, cell in code_cells(notebook):
        if unknown := tags(cell) - TAGS:
            yield f"cell {i}: tags {unknown} (nbval-skip and the like would hide a fault)"
        text = re.sub(r"<Figure size \S+ with \d+ Axes>", "", texts(cell))
        for what, pattern in NOT_PORTABLE.items():
            if found := re.search(pattern, text, re.MULTILINE):
                yield f"cell {i}: {what} in a compared output: {found[0].strip()!r}"
        for number in NUMBER.finditer(text):
            if len(re.sub(r"e.*|\.", "", number[0]).lstrip("0")) > 3:
                yield f"cell {i}: {number[0]} has more than three digits"


def figures_are_described(notebook):
    for i, cell in code_cells(notebook):
        if not any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            continue
        book = cell.metadata.get("mystnb", {})
        alt, figure = book.get("image", {}).get("alt", ""), book.get("figure", {})
        if len(alt) < 20 or " " not in alt or re.search(r"\.(png|svg|jpe?g)$", alt):
            yield f"cell {i}: alt text {alt!r}"
        if len(figure.get("caption", "")) < 20 or not figure.get("name", "").startswith("fig-"):
            yield f"cell {i}: no caption, or no name fig-…"
        if sum("image/png" in output.get("data", {}) for output in cell.outputs) > 1:
            yield f"cell {i}: several figures share one alt text"


def results_are_proved_and_checked(notebook):
    checks = {
        label: i
        for i, cell in code_cells(notebook)
        if re.search(r"^\s*assert\b", cell.source, re.MULTILINE) and texts(cell).strip()
        for labels in re.findall(r"^ *# check: (.*)$", cell.source, re.MULTILINE)
        for label in re.findall(r"[\w-]+", labels)
    }
    pending = None
    opening = re.compile(r"^ *:{3,}\{prf:(theorem|proposition|lemma|corollary|proof)\}.*\n(?: *:label: *(\S+))?", re.M)
    for i, cell in enumerate(notebook.cells):
        for kind, label in opening.findall(cell.source if cell.cell_type == "markdown" else ""):
            if kind == "proof":
                pending = None
                continue
            if pending:
                yield f"{pending} has no proof"
            pending = label
            if not label.startswith(PREFIX[kind]):
                yield f"cell {i}: {kind} with label {label!r}"
            if checks.get(label, -1) < i:
                yield f"no cell with an assertion, an output and the comment '# check: {label}' follows"
    if pending:
        yield f"{pending} has no proof"


def exercises_are_solved(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exercises = re.findall(r"^ *:{3,}\{exercise(?:-start)?\} *(.*)\n *:label: *(\S+)", text, re.M)
    solutions = re.findall(r"^ *:{3,}\{solution(?:-start)?\} *(\S+)", text, re.M)
    for title, label in exercises:
        if not re.match(r"[✍⌨] ★{1,3} \S", title):
            yield f"{label}: title {title!r} does not begin with its marks"
    if len(exercises) != len(re.findall(r"^ *:{3,}\{exercise(?:-start)?\}", text, re.M)):
        yield "an exercise without a label in its first line"
    if sorted(label for _, label in exercises) != sorted(solutions):
        yield f"exercises {sorted(label for _, label in exercises)}, solutions {sorted(solutions)}"


RULES = [
    every_cell_ran,
    outputs_are_stored,
    outputs_are_portable,
    figures_are_described,
    results_are_proved_and_checked,
    exercises_are_solved,
]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_chapter(chapter, rule):
    problems = list(rule(nbformat.read(chapter, as_version=4)))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_stored_as_make_execute_writes_it(chapter):
    notebook = nbformat.read(chapter, as_version=4)
    assert execute.to_bytes(execute.normalise(notebook)) == chapter.read_bytes(), "run `make execute`"
    for index, stamp in execute.code_stamps(notebook).items():
        assert notebook.cells[index].metadata.get(execute.STAMP) == stamp, f"cell {index} is stale: run `make execute`"


def test_every_notebook_is_in_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert {str(path.relative_to(ROOT).with_suffix("")) for path in CHAPTERS} <= files


def book_metadata(alt):
    figure = {"caption": "One point, for the sake of a caption.", "name": "fig-a"}
    return nbformat.from_dict({"mystnb": {"image": {"alt": alt}, "figure": figure}})


def sample():
    """A small notebook that obeys every rule."""
    figure = new_output(
        "display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 1x1 with 1 Axes>"}
    )
    cells = [
        new_code_cell("print('ready')", outputs=[new_output("stream", text="ready\n")]),
        new_markdown_cell(
            ":::{prf:theorem} Name\n:label: thm-a\n\nA.\n:::\n\n"
            "::::{dropdown} Proof\n:::{prf:proof}\nB.\n:::\n::::\n\n"
            ":::{exercise} ✍ ★ Name\n:label: ex-a\n\nC.\n:::\n\n:::{solution} ex-a\n\nD.\n:::"
        ),
        new_code_cell(
            "# check: thm-a\nassert 1.5 < 2\nprint(1.41)",
            outputs=[new_output("stream", text="1.41\n")],
        ),
        new_code_cell("plt.plot([1])\nplt.show()", outputs=[figure]),
    ]
    cells[3].metadata = book_metadata("A single point in the middle of the axes.")
    for count, cell in enumerate((cells[0], cells[2], cells[3]), start=1):
        cell.execution_count = count
    return new_notebook(cells=cells)


def planted(rule, cell, **changes):
    name = "-".join(f"{k}={v!r}"[:40] for k, v in changes.items())
    return pytest.param(rule, cell, changes, id=f"{rule.__name__}-{name}")


def output(text):
    return [new_output("stream", text=text)]


@pytest.mark.parametrize(
    ("rule", "cell", "changes"),
    [
        planted(every_cell_ran, 2, execution_count=None),
        planted(every_cell_ran, 2, execution_count=7),
        planted(every_cell_ran, 2, outputs=[new_output("error", ename="E", evalue="", traceback=[])]),
        planted(every_cell_ran, 2, outputs=[new_output("stream", name="stderr", text="warning")]),
        planted(outputs_are_stored, 2, outputs=[]),
        planted(outputs_are_stored, 3, outputs=[]),
        planted(outputs_are_stored, 2, source="for k in range(3):\n    print(k)", outputs=[]),
        planted(outputs_are_stored, 2, source="1 + 1", outputs=[]),
        planted(outputs_are_stored, 2, source="glue('a', 1)", outputs=[]),
        planted(outputs_are_portable, 2, outputs=output("on cuda:0")),
        planted(outputs_are_portable, 2, outputs=output("tensor([1.])")),
        planted(outputs_are_portable, 2, outputs=output("in /home/me/data")),
        planted(outputs_are_portable, 2, outputs=output("torch 2.13.0")),
        planted(outputs_are_portable, 2, outputs=output("took 3.1 ms")),
        planted(outputs_are_portable, 2, outputs=output("0.12345")),
        planted(outputs_are_portable, 2, outputs=output("1.2345e-05")),
        planted(outputs_are_portable, 2, metadata=nbformat.from_dict({"tags": ["nbval-skip"]})),
        planted(figures_are_described, 3, metadata=book_metadata("")),
        planted(
            figures_are_described,
            3,
            metadata=nbformat.from_dict({"mystnb": {"image": {"alt": "a/long/path/to/a.png"}}}),
        ),
        planted(results_are_proved_and_checked, 1, source=":::{prf:lemma} A\n:label: lem-a\nA.\n:::"),
        planted(results_are_proved_and_checked, 2, source="assert 1.5 < 2\nprint(1.41)"),
        planted(results_are_proved_and_checked, 2, source="# check: thm-a\nprint(1.41)"),
        planted(results_are_proved_and_checked, 2, outputs=[]),
        planted(exercises_are_solved, 1, source=":::{exercise} ✍ ★ A\n:label: ex-a\nA.\n:::"),
        planted(exercises_are_solved, 1, source=":::{exercise} A\n:label: ex-a\nA.\n:::\n:::{solution} ex-a\nB.\n:::"),
    ],
)
def test_a_rule_sees_the_fault_it_is_for(rule, cell, changes):
    notebook = sample()
    assert not [problem for each in RULES for problem in each(notebook)]
    notebook.cells[cell].update(changes)
    assert list(rule(notebook))


def opening_of(chapter):
    """The cells of a chapter up to the first compared output with a printed digit."""
    notebook = nbformat.read(chapter, as_version=4)
    end = next(i for i, cell in code_cells(notebook) if texts(cell) and printed_digits(cell))
    notebook.cells = notebook.cells[: end + 1]
    return notebook


def printed_digits(cell):
    return [output for output in cell.outputs if re.search(r"\d", output.get("text", ""))]


def break_number(notebook):
    """Change the last digit that the last cell printed."""
    stream = printed_digits(notebook.cells[-1])[-1]
    stream.text = re.sub(r"\d(?=\D*$)", lambda digit: str((int(digit[0]) + 1) % 10), stream.text)
    return notebook


def test_nbval_goes_red_when_a_number_is_wrong_and_stays_green_when_none_is(tmp_path):
    def tiny():
        return new_notebook(cells=sample().cells[:3])

    notebooks = {"tiny": (tiny(), break_number(tiny()))}
    for chapter in CHAPTERS[:1]:
        notebooks[chapter.stem] = (opening_of(chapter), break_number(opening_of(chapter)))
    for name, (right, wrong) in notebooks.items():
        nbformat.write(right, tmp_path / f"{name}_right.ipynb")
        nbformat.write(wrong, tmp_path / f"{name}_wrong.ipynb")
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command += ["--nbval-sanitize-with", str(ROOT / "tests/nbval.cfg"), f"--junitxml={report}", "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    red = dict.fromkeys(("tiny_right", "tiny_wrong"), 0)
    for case in ElementTree.parse(report).iter("testcase"):
        name = re.search(r"(\w+_(?:right|wrong))", case.get("classname", ""))[1]
        red[name] = red.get(name, 0) + (case.find("failure") is not None)
    assert run.returncode == 1, run.stdout
    assert red == {name: int(name.endswith("wrong")) for name in red}, run.stdout
    assert len(red) == 2 * len(notebooks)


def test_execute_stores_the_same_bytes_and_measures_again_only_when_asked(tmp_path):
    path = tmp_path / "a.ipynb"
    volatile = new_code_cell("import time\nprint(time.time_ns())", metadata={"tags": [IGNORED]})
    cells = [new_code_cell("import sys, time\nprint(1, flush=True)\ntime.sleep(0.3)\nprint(2)"), volatile]
    nbformat.write(new_notebook(cells=cells, metadata={"title": "x"}), path)

    def measured():
        return nbformat.read(path, as_version=4).cells[1].outputs[0].text

    assert execute.execute(path)
    first = path.read_bytes()
    assert [output.text for output in nbformat.reads(first.decode(), 4).cells[0].outputs] == ["1\n2\n"]
    assert not execute.execute(path)
    assert path.read_bytes() == first

    before = measured()
    assert execute.execute(path, refresh=True)
    assert measured() != before

    before, notebook = measured(), nbformat.read(path, as_version=4)
    notebook.cells[0].source = "print(3)"
    nbformat.write(notebook, path)
    assert execute.execute(path)
    assert measured() != before


@pytest.mark.parametrize(
    ("source", "reason"),
    [("1 / 0", "division by zero"), ("import sys\nprint('a warning', file=sys.stderr)", "a warning")],
)
def test_execute_names_the_cell_at_fault_and_leaves_the_file(tmp_path, source, reason):
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print(1)"), new_code_cell(source)]), path)
    before = path.read_bytes()
    with pytest.raises(execute.NotebookError, match=rf"(?s)^cell 1 .*{reason}"):
        execute.execute(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_elsewhere_is_compared_by_its_texts_and_stores_nothing(tmp_path):
    path = tmp_path / "a.ipynb"
    volatile = new_code_cell("import time\nprint(time.time_ns())", metadata={"tags": [IGNORED]})
    nbformat.write(new_notebook(cells=[volatile, new_code_cell("print(1)\n2 + 3")]), path)
    execute.execute(path)
    before = path.read_bytes()
    execute.compare(path)
    assert path.read_bytes() == before
    for old, new in ((b'"1\\n"', b'"7\\n"'), (b'"5"', b'"6"')):
        assert before.count(old) == 1
        path.write_bytes(before.replace(old, new))
        with pytest.raises(execute.NotebookError, match=r"^cell 1 .*gave"):
            execute.compare(path)

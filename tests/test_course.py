"""The notebooks of a course: no solution for students, all of them for instructors, and grades that are right."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import torch
from assignments import definitions, layout, master, needed
from colab import Chapter, ColabError
from course import WORDS, Instructor, Student
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from otter.execute import Checker
from otter.nbmeta_config import NBMetadataConfig
from otter.test_files import GradingResults
from test_colab import OnePageBook

ROOT = Path(__file__).parents[1]
CHAPTERS = [str(path.relative_to(ROOT / "book"))[:-6] for path in sorted(ROOT.glob("book/[!._]*/[!.]*.ipynb"))]
ASSIGNMENTS = [name for name in CHAPTERS if "{exercise} ⌨" in (ROOT / f"book/{name}.ipynb").read_text()]
MARK = "# your answer"

PROGRAM = ":::{exercise} ⌨ ★★ Add\n:label: ex-add\n\nWrite `add(a, b=1)`. Check: `check.adds(add)`.\n:::"
PROOF = ":::{exercise} ✍ ★ Prove\n:label: ex-prove\n\nProve it.\n:::\n\n:::{solution} ex-prove\nIt is true.\n:::"


def teaching(text):
    return new_markdown_cell(text, metadata={"tags": ["instructor", "remove-cell"]})


def sample():
    """A chapter with an exercise to program and one to prove, each with its note."""
    return new_notebook(
        cells=[
            new_markdown_cell("# The page"),
            teaching("**Teaching this chapter.** Two sessions."),
            new_code_cell("from radbook import check\n\n\ndef one():\n    return 1"),
            new_markdown_cell(f"{PROGRAM}\n\n:::{{solution-start}} ex-add\n:class: dropdown\n:::\n\nTake the sum."),
            new_code_cell(
                "def add(a, b=1):\n    return one() * a + b\n\n\nadd(1)", outputs=[new_output("stream", text="2")]
            ),
            new_markdown_cell(":::{solution-end}\n:::"),
            teaching("Minutes: 15\n\nOften *forgotten*: {eq}`eq-a`."),
            new_markdown_cell(PROOF),
            teaching("Minutes: 5\n\nEasy."),
        ]
    )


def made(version, notebook=None):
    chapter = version(OnePageBook(), "part/page", {})
    return chapter, chapter.convert(notebook or sample())


def sources(notebook, kind="code"):
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


ADD = "> **Exercise 1.2 (⌨ ★★ Add).**\n>\n> Write `add(a, b=1)`. Check: `check.adds(add)`."
PROVE = "> **Exercise 1.2 (✍ ★ Prove).**\n>\n> Prove it."


def test_students_get_a_cell_for_each_answer_and_no_solution():
    cells = made(Student)[1].cells
    assert "for students" in cells[1].source
    assert [cell.source for cell in cells[2:]] == [
        "# The page",
        "from radbook import check\n\n\ndef one():\n    return 1",
        ADD,
        "def add(a, b=1):\n    ...  # your answer",
        "check.adds(add)",
        WORDS,
        PROVE,
        "*Your answer:*",
    ]
    assert not any(cell.get("outputs") for cell in cells)


def test_instructors_get_everything():
    chapter, notebook = made(Instructor)
    nbformat.validate(notebook)
    assert chapter.faults == []
    assert [cell.source for cell in notebook.cells[2:]] == [
        "| Exercise | Minutes |\n|---|--:|\n| Exercise 1.2 (⌨ ★★ Add) | 15 |\n| Exercise 1.2 (✍ ★ Prove) | 5 |\n"
        "| **All exercises** | **20** |",
        "# The page",
        "> **Teaching this chapter.** Two sessions.",
        "from radbook import check\n\n\ndef one():\n    return 1",
        f"{ADD}\n\n**Solution to [Exercise 1.2](u:part/page#ex-add).**\n\nTake the sum.",
        "def add(a, b=1):\n    return one() * a + b\n\n\nadd(1)",
        "> **For the instructor: 15 minutes**\n>\n> Often *forgotten*: [(1.2)](u:part/page#eq-a).",
        f"{PROVE}\n\n**Solution to [Exercise 1.2](u:part/page#ex-prove).**\n\nIt is true.",
        "> **For the instructor: 5 minutes**\n>\n> Easy.",
    ]


@pytest.mark.parametrize("version", [Chapter, Student])
def test_what_is_for_teachers_stays_with_them(version):
    text = str(made(version)[1])
    assert not re.search("Teaching|sessions|Minutes|forgotten|Easy", text)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda cells: cells.pop(1), "no note that begins with '**Teaching"),
        (lambda cells: cells.pop(6), "no minutes and no note for ex-add"),
        (lambda cells: cells.pop(8), "no minutes and no note for ex-prove"),
        (lambda cells: cells.insert(7, cells[6]), "the second on ex-add"),
        (lambda cells: cells.insert(3, cells[6]), "before the first exercise"),
        (lambda cells: cells.insert(9, teaching("Minutes: 0\n\nNone.")), "a number from 1"),
        (lambda cells: cells.insert(9, teaching("Minutes: 5")), "a blank line"),
        (lambda cells: cells.insert(9, teaching("About 5 minutes.")), "begins neither"),
    ],
)
def test_a_fault_of_the_notes_is_named(change, fault):
    notebook = sample()
    change(notebook.cells)
    assert any("part/page.ipynb" in line and fault in line for line in made(Instructor, notebook)[0].faults)


@pytest.mark.parametrize(
    ("missing", "fault"), [("`check.adds(add)`", "a call of its checker"), ("`add(a, b=1)`", "its function")]
)
def test_an_exercise_to_program_states_its_function_and_its_checker(missing, fault):
    notebook = sample()
    notebook.cells[3].source = notebook.cells[3].source.replace(missing, "it")
    with pytest.raises(ColabError, match=f"(?s)part/page.ipynb.*'ex-add'.*{fault}"):
        made(Student, notebook)


def test_master_in_the_format_of_otter():
    notebook = master(*made(Chapter), "page")
    config, *questions = sources(notebook, "raw")
    assert "page" in config
    assert questions[0] == "# BEGIN QUESTION\nname: ex-add\npoints: 2\n"
    setup, solution, test = sources(notebook)
    assert setup == "from radbook import check\n\n\ndef one():\n    return 1"
    assert "def add(a, b=1):\n    return one() * a + b\n# END SOLUTION" in solution
    assert "verdict = check.adds(add)" in test


def test_a_solution_without_its_function_is_an_error():
    notebook = sample()
    notebook.cells[4].source = "adds = 1"
    with pytest.raises(ColabError, match="ex-add defines no add"):
        master(*made(Chapter, notebook), "page")


def test_a_chapter_without_programs_has_no_assignment():
    assert master(*made(Chapter, new_notebook(cells=[new_markdown_cell(PROOF)])), "page") is None


def test_what_code_needs():
    code = ["import torch as t, math\nfrom a import b, c\nx = 1\ny = t.one\nprint(x)"]
    code += ["@b\ndef f(x):\n    math = 0\n    return g(x)\n\n\ndef g(z): return [y for c in z]"]
    available = definitions(code)
    assert list(available) == ["t", "math", "b", "c", "x", "y", "f", "g"]
    assert needed("f(1)", available) == {"f", "g", "b", "y", "t"}
    assert layout([available[name] for name in ("t", "y", "f")]) == (
        "import torch as t\ny = t.one\n\n\n@b\ndef f(x):\n    math = 0\n    return g(x)"
    )


# The real chapters, as `make book` wrote them


def read(kind, name):
    return nbformat.read(ROOT / f"_build/{kind}/{name}.ipynb", as_version=4)


def solutions(notebook):
    """The paragraphs of the solutions in a notebook for Colab, their code aside."""
    folded = r"<summary><b>Solution to (?:(?!</summary>).)*</summary>(.*?)\n</details>"
    for text in re.findall(folded, "\n".join(sources(notebook, "markdown")), flags=re.DOTALL):
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        yield [part for part in prose.split("\n\n") if len(part) > 30 and not re.match(r"<|\*\*Fig", part)]


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_solution_reaches_students(name):
    public, student = read("colab/book", name), read("course/student", name)
    text = "\n".join(sources(student, "markdown"))
    assert [part for solution in solutions(public) for part in solution if part in text] == []
    assert not re.search("<summary><b>Solution|Minutes: |For the instructor", text)
    answers = [k for k, source in enumerate(sources(student)) if source.endswith(MARK)]
    code = [s for k, s in enumerate(sources(student)) if k not in answers and k - 1 not in answers]
    assert code == [source for source in sources(public) if source != MARK]
    exercises = re.findall(r"^> \*\*Exercise [\d.]+ \((✍|⌨)", text, flags=re.MULTILINE)
    assert len(answers) == exercises.count("⌨") == sources(public).count(MARK)
    assert sources(student, "markdown").count("*Your answer:*") == exercises.count("✍")
    assert sources(student, "markdown").count(WORDS) == exercises.count("⌨")


@pytest.mark.parametrize("name", CHAPTERS)
def test_instructors_see_every_solution_and_its_minutes(name):
    public, instructor = read("colab/book", name), read("course/instructor", name)
    text = "\n".join(sources(instructor, "markdown"))
    assert "<summary><b>Solution" not in text
    assert [part for solution in solutions(public) for part in solution if part not in text] == []
    listed = re.findall(r"^```python\n(.*?)^```$", "\n".join(sources(public, "markdown")), re.DOTALL | re.MULTILINE)
    assert not {source.rstrip("\n") for source in listed} - set(sources(instructor))
    minutes = re.findall(r"^\| Exercise .* \| (\d+) \|$", text, flags=re.MULTILINE)
    assert len(minutes) == text.count("**Solution to [") == text.count("**For the instructor: ") > 0
    assert "0" not in minutes


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_an_empty_answer_is_met_with_a_hint(name):
    code = sources(read("course/student", name))
    space = {}
    exec(layout([line for line in definitions(code[1:]).values() if re.match("import|from", line)]), space)
    answers = [k for k, source in enumerate(code) if source.endswith(MARK)]
    assert answers
    for k in answers:
        exec(code[k], space)
        verdict = eval(code[k + 1], space)
        assert not verdict
        assert repr(verdict).startswith("Not yet. Hint: ")


def test_a_student_notebook_runs(tmp_path):
    notebook = read("course/student", "radial/rescaling")
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = [str(cell.outputs) for cell in notebook.cells if cell.source.startswith("check.")]
    assert said
    assert all("Not yet" in text for text in said)


# Grading


def folder_of(name):
    return ROOT / "_build/course/assignments" / name


def stars(name):
    return [int(n) for n in re.findall(r"_Points:_ (\d+)", "\n".join(assignment(name, "markdown")))]


def assignment(name, kind="code", suffix=""):
    path = folder_of(name) / f"{Path(name).name}{suffix}.ipynb"
    return sources(nbformat.read(path, as_version=4), kind)


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_points_are_stars_and_solutions_are_left_out(name):
    markdown = "\n".join(assignment(name, "markdown"))
    marks = re.findall(r"^> \*\*Exercise [\d.]+ \(⌨ (★+)", markdown, flags=re.MULTILINE)
    assert stars(name) == [len(mark) for mark in marks]
    assert f"{sum(stars(name))} points" in markdown
    setup, *cells = [source for source in assignment(name) if "grader" not in source]
    assert "from radbook import check" in setup
    assert all(re.fullmatch(r"def \w+\([^\n]*\):\n    \.\.\.", source) for source in cells)
    assert len(cells) == len(marks)


GRADE = """
import json, sys
from otter.api import grade_submission
for notebook, archive in json.load(sys.stdin):
    result = grade_submission(notebook, archive, quiet=True)
    scores = {name: question.score for name, question in result.results.items()}
    print(json.dumps({"scores": scores, "possible": result.possible, "summary": result.summary()}))
"""


def grades(*submissions):
    """What otter says of notebooks, each with the name of its assignment; otter's warnings stay in its process."""
    given = json.dumps([(str(notebook), str(folder_of(name) / "autograder.zip")) for notebook, name in submissions])
    command = [sys.executable, "-W", "ignore", "-c", GRADE]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def perfect():
    """The grades of all solutions, by chapter."""
    submissions = [(folder_of(name) / f"{Path(name).name}-solutions.ipynb", name) for name in ASSIGNMENTS]
    return dict(zip(ASSIGNMENTS, grades(*submissions), strict=True))


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_otter_gives_the_solutions_all_points(name, perfect):
    result = perfect[name]
    assert sorted(result["scores"].values()) == sorted(stars(name)), result["summary"]
    assert result["possible"] == sum(stars(name))


FULL_Q = """\
def one_layer(weight, bias):
    q, r = torch.linalg.qr(torch.column_stack([bias, weight]), mode="complete")
    return q, r[:, 1:], r[:, 0]
"""


def test_otter_grades_empty_and_wrong_submissions(tmp_path):
    name = "compression/qr"
    submission = nbformat.read(folder_of(name) / "qr-solutions.ipynb", as_version=4)
    for cell in submission.cells:
        if "def one_layer" in cell.source:
            cell.source = FULL_Q
        elif "def layer_errors" in cell.source:
            cell.source = "def layer_errors(network, compression, x):\n    return"
        elif "def count" in cell.source:
            cell.source = "def count(widths)"  # a program that Python does not understand
    nbformat.write(submission, tmp_path / "qr.ipynb")
    empty, wrong = grades((folder_of(name) / "qr.ipynb", name), (tmp_path / "qr.ipynb", name))
    assert set(empty["scores"].values()) == {0}
    assert wrong["scores"] == {"ex-qr-widths": 0, "ex-qr-layer": 0, "ex-qr-verify": 0, "ex-qr-bias-free-code": 2}
    assert "the full Q" in wrong["summary"]


def graded(name, space, folder):
    """Otter's result for answers that are there already: what its kernel does at the end, without a kernel."""
    with zipfile.ZipFile(folder_of(name) / "autograder.zip") as archive:
        archive.extractall(folder)
    tests = sorted(folder.glob("tests/*.py"))
    return GradingResults([Checker.check(str(test), NBMetadataConfig(), global_env=space) for test in tests])


def spoilt(value):
    """Something like the value, and wrong."""
    if isinstance(value, tuple | list):
        return type(value)(map(spoilt, value))
    if isinstance(value, bool) or (torch.is_tensor(value) and value.dtype == torch.bool):
        return value ^ True
    return value + 1 if isinstance(value, int | float | torch.Tensor) else None


def spoiling(function):
    return lambda *args, **kwargs: spoilt(function(*args, **kwargs))


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_each_question_is_graded_by_itself(name, tmp_path):
    space = {}
    for source in assignment(name, suffix="-solutions"):
        if "grader" not in source:
            exec(source, space)
    calls = [re.search(r"^def (\w+)", source)[1] for source in assignment(name) if source.endswith("...")]
    points = dict(zip(calls, stars(name), strict=True))
    for wrong in (calls[::2], calls[1::2]):
        result = graded(name, space | {call: spoiling(space[call]) for call in wrong}, tmp_path)
        assert result.possible == sum(points.values())
        assert result.total == sum(points[call] for call in calls if call not in wrong), result.summary()
    nothing = graded(name, dict.fromkeys(calls), tmp_path)
    assert (nothing.total, nothing.possible) == (0, sum(points.values()))

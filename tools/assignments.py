"""Write the assignments of a course, for otter-grader: one for each chapter that has exercises to program.

    python tools/notebooks.py

Each of these exercises is a question, worth as many points as it has stars. Its test is the chapter's own checker of
`radbook.check`, open to the students, so a wrong answer is met with a hint. ``_build/course/assignments/PART/CHAPTER``
gets the students' notebook, the one with the solutions, and ``autograder.zip``.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
import tempfile
from pathlib import Path
from symtable import symtable

import nbformat
import yaml
from built_book import Book, Place
from colab import METADATA, Chapter, ColabError, Exercise, plain
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from otter.assign import main as otter_assign

INTRODUCTION = """\
# Assignment: {heading}

The exercises to program of [this chapter]({url}) of *{title}*: {points} points. Write each function in the cell that
has its first line, then run the cell below it: it says whether the function is right, and gives a hint when it is not.
At the end, save the notebook and submit it. You need `radbook` and `otter-grader`.
"""
TEST = """\
def test_answer({function}):
    from radbook import check
    verdict = {check}
    assert verdict, verdict
"""
SOLUTION = '''\
# BEGIN SOLUTION NO PROMPT
{solution}
# END SOLUTION
""" # BEGIN PROMPT
{stub}
""" # END PROMPT
'''


def definitions(sources: list[str]) -> dict[str, str]:
    """What the top level of the code defines: for each name the code that makes it; imports first, functions last."""
    imports: dict[str, str] = {}
    values: dict[str, str] = {}
    functions: dict[str, str] = {}
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                first = min(part.lineno for part in (node, *node.decorator_list))
                functions[node.name] = "\n".join(source.split("\n")[first - 1 : node.end_lineno])
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                values[node.targets[0].id] = ast.unparse(node)
            elif isinstance(node, ast.Import):
                imports |= {a.asname or a.name: ast.unparse(ast.Import([a])) for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                level = node.level
                imports |= {
                    a.asname or a.name: ast.unparse(ast.ImportFrom(node.module, [a], level)) for a in node.names
                }
    return imports | values | functions


def global_names(code: str) -> set[str]:
    """The global names that the code refers to, its functions included."""
    top = symtable(code, "cell", "exec")
    names = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    tables = top.get_children()
    while tables:
        table = tables.pop()
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        tables += table.get_children()
    return names


def needed(code: str, available: dict[str, str]) -> set[str]:
    """The available names that the code uses, and those that their own code uses."""
    found: set[str] = set()
    waiting = [code]
    while waiting:
        new = global_names(waiting.pop()) & available.keys() - found
        found |= new
        waiting += [available[name] for name in new]
    return found


def layout(parts: list[str]) -> str:
    """The parts as one piece of code, with two blank lines before a function."""
    return "\n".join(f"\n\n{part}" if re.match("def |@", part) else part for part in parts).strip()


def points(exercise: Exercise) -> int:
    """What a right answer is worth."""
    return exercise.title.count("★")


def question(exercise: Exercise, solution: str) -> list[NotebookNode]:
    """The cells of an exercise in otter's format."""
    settings = yaml.safe_dump({"name": exercise.label, "points": points(exercise)})
    test = TEST.format(function=exercise.function, check=exercise.check)
    return [
        new_raw_cell(f"# BEGIN QUESTION\n{settings}"),
        new_markdown_cell("\n".join(exercise.lines)),
        new_raw_cell("# BEGIN SOLUTION"),
        new_code_cell(SOLUTION.format(solution=solution, stub=exercise.stub).strip()),
        new_raw_cell("# END SOLUTION"),
        new_raw_cell("# BEGIN TESTS"),
        new_code_cell(test.strip()),
        new_raw_cell("# END TESTS"),
        new_raw_cell("# END QUESTION"),
    ]


def master(chapter: Chapter, notebook: NotebookNode, name: str) -> NotebookNode | None:
    """The notebook that otter makes an assignment of; none when the chapter has no exercise to program."""
    book, place = chapter.book, Place(chapter.page)
    exercises = [exercise for exercise in chapter.exercises if exercise.programmed]
    if not exercises:
        return None
    settings = {
        "name": name,
        "python_version": "3.11",
        "requirements": [f"radbook @ git+{book.repository}@v{book.version}"],
        "export_cell": False,  # the notebook itself is what students submit
        "tests": {"ok_format": False},
        "show_question_points": True,
    }
    introduction = INTRODUCTION.format(
        heading=book.heading(place), url=book.url(place), title=book.title, points=sum(map(points, exercises))
    )
    taught = definitions([cell.source for cell in notebook.cells[1:] if cell.cell_type == "code"])
    questions: list[NotebookNode] = []
    used = {"check", "torch"}
    for exercise in exercises:
        answer = definitions(exercise.code)
        if exercise.function not in answer:
            raise ColabError(f"{chapter.page}.ipynb: the solution to {exercise.label} defines no {exercise.function}")
        own = needed(answer[exercise.function], answer) | {exercise.function}
        solution = layout([code for name, code in answer.items() if name in own])
        used |= needed(solution, taught)
        questions += question(exercise, solution)
    cells = [
        new_raw_cell(f"# ASSIGNMENT CONFIG\n{yaml.safe_dump(settings)}"),
        new_markdown_cell(introduction),
        new_code_cell(layout([code for name, code in taught.items() if name in used])),
        *questions,
    ]
    return new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))


def assign(notebook: NotebookNode, folder: Path) -> None:
    """Let otter make the assignment; keep what is of use."""
    name = folder.name
    with tempfile.TemporaryDirectory() as temporary:
        source, made = Path(temporary, f"{name}.ipynb"), Path(temporary, "made")
        nbformat.write(notebook, source)
        otter_assign(str(source), str(made), no_pdfs=True, no_run_tests=True)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / f"student/{name}.ipynb", folder)
        shutil.copy(made / f"autograder/{name}.ipynb", folder / f"{name}-solutions.ipynb")
        shutil.copy(next(made.glob("autograder/*.zip")), folder / "autograder.zip")


def main(book: Book) -> int:
    """Write all assignments; return the exit status."""
    written = 0
    for page in book.chapters():
        folder = book.root / "_build/course/assignments" / page.removeprefix("book/")
        try:
            notebook = master(*plain(book, page), folder.name)
        except ColabError as error:
            print(f"assignments: {error}", file=sys.stderr)
            return 1
        if notebook:
            assign(notebook, folder)
            written += 1
    print(f"assignments: {written} in _build/course/assignments")
    return 0


if __name__ == "__main__":
    sys.exit("use tools/notebooks.py, which writes all notebooks")

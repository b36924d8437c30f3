"""The ledger lists every result, says where it is from, and stops the build where something is missing."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))
import ledger  # noqa: E402

STATEMENT = """\
Some words.

:::{prf:theorem} A name
:label: thm-a
:class: new

It holds that

$$
1=1.
$$ (eq-one)
:::

"""
PROOF = "::::{dropdown} Proof\n:::{prf:proof}\nTrivial.\n:::\n::::\n"
CHECK = new_code_cell(
    "# check: thm-a\nassert 1 == 1\nprint('equal')", outputs=[new_output("stream", name="stdout", text="equal\n")]
)


def found(tmp_path, *cells):
    path = tmp_path / "chapter.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return ledger.results(path, "chapter")


def test_what_is_read(tmp_path):
    (result,) = found(tmp_path, new_markdown_cell(STATEMENT), new_markdown_cell(PROOF), CHECK)
    assert (result.kind, result.label, result.title, result.origin) == ("theorem", "thm-a", "A name", "new")
    assert result.statement == "It holds that\n\n$$\n1=1.\n$$"  # no second anchor eq-one
    assert result.proved and result.check == "equal"
    assert not list(ledger.faults([result]))


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ([new_markdown_cell(STATEMENT), CHECK], "no proof"),
        ([new_markdown_cell(STATEMENT + PROOF)], "no check"),
        ([new_markdown_cell(STATEMENT + PROOF), new_code_cell("# check: thm-b")], "no check"),
        ([CHECK, new_markdown_cell(STATEMENT + PROOF)], "no check"),
        ([new_markdown_cell(STATEMENT.replace(":class: new\n", "") + PROOF), CHECK], "where it is from"),
        ([new_markdown_cell(STATEMENT.replace(":label: thm-a\n", "") + PROOF), CHECK], "no label"),
    ],
)
def test_what_is_missing_is_named(tmp_path, cells, fault):
    assert any(fault in words for words in ledger.faults(found(tmp_path, *cells)))


def test_a_conjecture_needs_a_check_but_no_proof(tmp_path):
    statement = STATEMENT.replace("theorem", "conjecture").replace("thm-a", "conj-a")
    (result,) = found(tmp_path, new_markdown_cell(statement))
    assert [words.rpartition(" has ")[2] for words in ledger.faults([result])] == ["no check"]


def test_tests_are_found_by_function_and_by_name():
    files = ledger.tests(ROOT)
    assert "test_compression.py" in files["thm-qr-compression"]  # it uses qr_compress, which names the theorem


def test_every_result_of_the_book_is_on_the_page():
    page = ROOT / "_build/html/book/ledger.html"
    if not page.exists():
        pytest.skip("the book is not built (make book)")
    html = page.read_text()
    for path in ROOT.glob("book/*/*.ipynb"):
        for result in ledger.results(path, path.stem):
            assert f"#{result.label}" in html

"""The checkers of the self-test: right answers pass, each typical mistake gets its hint; so do the printed answers."""

import re
from pathlib import Path

import nbformat
import pytest
import torch

from radbook import check

NOTEBOOK = Path(__file__).parents[1] / "book/prerequisites.ipynb"


def rows(x):
    return torch.nn.functional.normalize(x, dim=1, eps=1e-300)


def in_place(x):
    x /= x.norm(dim=1, keepdim=True).clamp(min=1e-300)
    return x


def by_qr(a, x):
    q, _ = torch.linalg.qr(a)
    return q @ (q.mT @ x)


def descent(direction=-1, extra=0, fresh=True, once=False):
    def answer(loss, w, rate, steps):
        w = w.clone().requires_grad_()
        for k in range(steps + extra):
            if not (once and k):
                if fresh:
                    w.grad = None
                loss(w).backward()
            with torch.no_grad():
                w += direction * rate * w.grad
        return w

    return answer


def descent_in_place(loss, w, rate, steps):
    w.requires_grad_()
    for _ in range(steps):
        (g,) = torch.autograd.grad(loss(w), w)
        with torch.no_grad():
            w -= rate * g
    return w.detach()


def functional(loss, w, rate, steps):
    for _ in range(steps):
        w = w - rate * torch.func.grad(loss)(w)
    return w


RIGHT = [
    (check.unit_rows, rows),
    (check.unit_rows, lambda x: x / x.norm(dim=1, keepdim=True).clamp(min=1e-300)),
    (check.column_projection, by_qr),
    (check.column_projection, lambda a, x: a @ torch.linalg.pinv(a) @ x),
    (check.plain_descent, descent()),
    (check.plain_descent, functional),
]
WRONG = [
    (check.unit_rows, lambda x: x, "as they were"),
    (check.unit_rows, lambda x: x / x.norm(dim=1, keepdim=True), "where a row is 0"),
    (check.unit_rows, lambda x: x / x.norm(), "whole matrix"),
    (check.unit_rows, lambda x: x / x.norm(dim=0), "columns"),
    (check.unit_rows, lambda x: rows(x) / x.norm(dim=1, keepdim=True).clamp(min=1e-300), "square of the norm"),
    (check.unit_rows, lambda x: x / x.norm(dim=1), "keepdim"),
    (check.unit_rows, lambda x: x / (x.norm(dim=1, keepdim=True) + 1e-6), "epsilon"),
    (check.unit_rows, lambda x: 2 * rows(x), "wrong for a matrix"),
    (check.unit_rows, lambda x: x.norm(dim=1), "shape"),
    (check.unit_rows, lambda x: rows(x.float()), "dtype"),
    (check.unit_rows, in_place, "changes its argument"),
    (check.column_projection, lambda a, x: a @ (a.mT @ x), "orthonormal"),
    (check.column_projection, lambda a, x: x - by_qr(a, x), "leaves over"),
    (check.column_projection, lambda a, x: x, "project it"),
    (check.column_projection, lambda a, x: torch.linalg.lstsq(a, x[:, None]).solution[:, 0], "coefficients"),
    (check.column_projection, lambda a, x: a.mT @ x, "shape"),
    (check.column_projection, lambda a, x: 2 * by_qr(a, x), "orthogonal to all columns"),
    (check.column_projection, lambda a, x: by_qr(a.float(), x.float()), "dtype"),
    (check.column_projection, lambda a, x: a @ x, "raised"),
    (check.plain_descent, descent(fresh=False), "add up"),
    (check.plain_descent, descent(direction=1), "climbs"),
    (check.plain_descent, descent(extra=-1), "too few"),
    (check.plain_descent, descent(extra=1), "too many"),
    (check.plain_descent, descent(once=True), "anew"),
    (check.plain_descent, lambda loss, w, rate, steps: w, "not moved"),
    (check.plain_descent, descent(direction=-2), "each step is"),
    (check.plain_descent, descent_in_place, "changes its argument"),
    (check.plain_descent, lambda loss, w, rate, steps: loss(w), "shape"),
    (check.plain_descent, lambda loss, w, rate, steps: 1 / 0, "ZeroDivisionError"),
]


@pytest.mark.parametrize(("checker", "answer"), RIGHT)
def test_right_answers_pass(checker, answer):
    result = checker(answer)
    assert result, result
    assert repr(result).startswith("Right")


@pytest.mark.parametrize(("checker", "answer", "word"), WRONG)
def test_each_mistake_gets_its_hint(checker, answer, word):
    result = checker(answer)
    assert not result
    assert re.search(word, result.message), result.message


@pytest.mark.parametrize("name", ["unit_rows", "column_projection", "plain_descent"])
def test_the_printed_answer_passes_and_the_blank_one_gets_a_hint(name):
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (blank,) = [cell for cell in cells if cell.cell_type == "code" and f"check.{name}(" in cell.source]
    assert "Hint" in blank.outputs[0].text
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    (answer,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if f"def {name}(" in code]
    scope = {"torch": torch}
    exec(answer, scope)
    assert getattr(check, name)(scope[name])

"""Answers to the programs of the self-test on the page "Prerequisites and a self-test"."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from radbook.check.verdict import Verdict, verdict

Loss = Callable[[Tensor], Tensor]


def unit_rows(answer: Callable[[Tensor], Tensor]) -> Verdict:
    """Check a function that gives every row of a matrix the length 1.

    Args:
        answer: ``answer(x)`` returns x, shape (N, n), with each row divided by its norm; rows that are 0 stay 0.

    Returns:
        The verdict. Hints know NaN at rows that are 0, a norm of the whole batch, of columns, or along the wrong
        dimension, squared norms, an epsilon in the norm, and changed arguments.
    """

    def hint() -> str | None:
        for shape in ((4, 4), (6, 3)):
            x = torch.randn(shape, generator=_seeded(), dtype=torch.float64)
            x[1] = 0
            given = x.clone()
            got = answer(given)
            norms = x.norm(dim=1, keepdim=True)
            expected = torch.where(norms > 0, x / torch.where(norms > 0, norms, 1.0), 0.0)
            if not torch.equal(given, x):
                return "your function changes its argument: return a new tensor"
            if got.shape != x.shape:
                return f"the result must have the shape {shape} of x, got {tuple(got.shape)}"
            if got.dtype != x.dtype:
                return f"keep the dtype, {x.dtype}"
            if torch.allclose(got, expected, rtol=0, atol=1e-12):
                continue
            rest = norms.squeeze() > 0
            if torch.allclose(got[rest], expected[rest], rtol=0, atol=1e-12):
                return "right, but not where a row is 0: there you divide by 0. Treat such rows apart, by torch.where"
            for wrong, text in (
                (x, "the rows come back as they were"),
                (x / x.norm(), "that divides by the norm of the whole matrix: norm(dim=1) gives one for each row"),
                (x / x.norm(dim=0), "that is the norm of the columns: the rows need norm(dim=1)"),
                (x / norms**2, "that divides by the square of the norm"),
            ):
                if torch.allclose(got[rest], wrong[rest]):
                    return text
            if shape[0] == shape[1] and torch.allclose(got[:, rest], (x / norms.squeeze())[:, rest]):
                return "for a square matrix x / x.norm(dim=1) divides column j by the norm of row j: use keepdim=True"
            if torch.allclose(got[rest], expected[rest], rtol=0, atol=1e-3):
                return "nearly right: an epsilon in the norm, or single precision?"
            return f"wrong for a matrix of shape {shape}: divide each row by its own norm"
        return None

    return verdict(hint, "every row by its own norm, and a row that is 0 stays 0.")


def column_projection(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check an orthogonal projection to the span of the columns of a matrix.

    Args:
        answer: ``answer(a, x)`` returns the projection of x, shape (n,), to the image of a, shape (n, k), which has
            rank k.

    Returns:
        The verdict. Hints know columns taken for orthonormal, coefficients in place of the projection, the part that
        is left over, and x itself.
    """

    def hint() -> str | None:
        for n, k in ((5, 2), (4, 1), (3, 3)):
            a = torch.randn(n, k, generator=_seeded(), dtype=torch.float64)
            x = torch.randn(n, generator=_seeded(1), dtype=torch.float64)
            coefficients = torch.linalg.lstsq(a, x[:, None]).solution[:, 0]
            expected = a @ coefficients
            got = answer(a.clone(), x.clone())
            if got.shape == (k,) and torch.allclose(got, coefficients):
                return "those are the coefficients: multiply them by a to get a vector of the span"
            if got.shape != (n,):
                return f"for a of shape {(n, k)} the projection has shape {(n,)}, got {tuple(got.shape)}"
            if got.dtype != x.dtype:
                return f"keep the dtype, {x.dtype}"
            if torch.allclose(got, expected, rtol=0, atol=1e-9):
                continue
            for wrong, text in (
                (a @ (a.mT @ x), "a a^T is the projection only if the columns of a are orthonormal: take those of Q"),
                (x - expected, "that is what the projection leaves over: subtract it from x"),
                (x, "x need not be in the span of the columns: project it"),
            ):
                if torch.allclose(got, wrong):
                    return text
            return f"wrong for a of shape {(n, k)}: the difference from x must be orthogonal to all columns of a"
        return None

    return verdict(hint, "the nearest vector of the span, whatever its basis.")


def plain_descent(answer: Callable[[Loss, Tensor, float, int], Tensor]) -> Verdict:
    """Check gradient descent with autograd.

    Args:
        answer: ``answer(loss, w, rate, steps)`` returns w after so many steps w - rate * gradient; ``loss(w)`` is a
            tensor with one number.

    Returns:
        The verdict. Hints know gradients that add up, ascent, one step too few or too many, a gradient that is taken
        only once, and a changed argument.
    """

    def hint() -> str | None:
        rate, steps = 0.1, 4
        scales = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

        def loss(w: Tensor) -> Tensor:
            return (scales * (w - 1) ** 4).sum()

        start = torch.tensor([0.5, 1.2, 0.4], dtype=torch.float64)
        given = start.clone()
        got = answer(loss, given, rate, steps)
        if not torch.equal(given.detach(), start):
            return "your function changes its argument w: begin with w.clone()"
        if got.shape != start.shape:
            return f"the result must have the shape {tuple(start.shape)} of w, got {tuple(got.shape)}"
        got = got.detach()

        def gradient(w: Tensor) -> Tensor:
            return 4 * scales * (w - 1) ** 3

        def steps_of(number: int, direction: float = -1.0, keep: float = 0.0) -> Tensor:
            w, total = start, torch.zeros_like(start)
            for _ in range(number):
                total = keep * total + gradient(w)
                w = w + direction * rate * total
            return w

        if torch.allclose(got, steps_of(steps), rtol=1e-9):
            return None
        for wrong, text in (
            (steps_of(steps, keep=1.0), "the gradients add up: set w.grad to None (or to zero) before each backward()"),
            (steps_of(steps, direction=1.0), "that climbs: subtract the gradient"),
            (start, "w has not moved"),
            (steps_of(steps - 1), "that is one step too few"),
            (steps_of(steps + 1), "that is one step too many"),
            (start - rate * steps * gradient(start), "the gradient must be taken anew at each step"),
        ):
            if torch.allclose(got, wrong, rtol=1e-9):
                return text
        return "each step is w <- w - rate * gradient of the loss at w"

    return verdict(hint, "a new gradient at each step, and nothing left over from the last.")


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

"""Answers to the exercises of the chapter "Lookahead permutation"."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from radbook.check.verdict import Verdict, verdict
from radbook.laperm import in_rank_order


def synchronised(answer: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Check a synchronisation (Exercise ex-laperm-synchronise).

    Args:
        answer: ``answer(initial, current)``, tensors of one shape, returns the entries of ``initial`` in the rank order
            of those of ``current``.

    Returns:
        The verdict. Hints know order taken for ranks, descending order, the values of ``current``, an unsorted
        ``initial``, columns or rows sorted one by one, ties, and changed arguments.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        cases = [torch.randn(2, 7, generator=generator, dtype=torch.float64) for _ in range(3)]
        cases += [torch.randn(2, 3, 4, generator=generator), torch.zeros(2, 5), torch.ones(2, 1)]
        cases[-2][1] = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
        cases[-2][0] = torch.arange(5.0).flip(0)
        for initial, current in cases:
            given = initial.clone(), current.clone()
            got = answer(*given)
            if not torch.equal(given[0], initial) or not torch.equal(given[1], current):
                return "leave the arguments as they are: return a new tensor"
            if got.shape != initial.shape or got.dtype != initial.dtype:
                return f"return shape {tuple(initial.shape)} and {initial.dtype}, as given"
            v, w, u = initial.flatten(), current.flatten(), got.flatten()
            values, order = v.sort().values, w.argsort(stable=True)
            if _in_order(u, w) and torch.equal(u.sort().values, values):
                continue
            if not torch.equal(u.sort().values, values):
                if torch.equal(u.sort().values, w.sort().values):
                    return "these are the values of current: the initial values come back, in its order"
                return "each initial value must be there once"
            if torch.equal(u, values[order]):
                return "argsort gives places, not ranks: the k-th smallest value belongs AT place order[k]"
            if _in_order(u, -w):
                return "the order is reversed: the largest value belongs where current is largest"
            if torch.equal(u, torch.empty_like(v).scatter_(0, order, v)):
                return "sort the initial values first"
            if initial.ndim == 2:
                return "a tensor is one vector: values may move between rows; flatten it first"
            return f"for current = {[round(float(t), 2) for t in w]} the order of your entries is not that of current"
        return None

    return verdict(hint, "one sort, one scatter.")


def first_move(answer: Callable[[Tensor, Tensor], float]) -> Verdict:
    """Check how far one may go before a synchronisation changes anything (Exercise ex-laperm-first-move).

    Args:
        answer: ``answer(u, direction)``, vectors of different entries, returns the supremum of the t >= 0 for which
            the synchronisation of u + t direction gives u back; ``math.inf`` if there is no end.

    Returns:
        The verdict. Hints know pairs that move apart, neighbours in place instead of neighbours in rank, the smallest
        gap over the largest difference, and one-sided moves.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        u = torch.tensor([0.0, 3.0, 1.0, 7.0], dtype=torch.float64)
        cases = [(u, torch.tensor(d, dtype=torch.float64)) for d in ([0, 0, 1, 0], [1, 1, 1, 1], [-3, 0, -1, 5])]
        cases += [(u, torch.tensor([0.5, 0.0, 0.0, -1.0], dtype=torch.float64)), (u[:1], u[:1] + 1)]
        cases += [tuple(torch.randn(2, 9, generator=generator, dtype=torch.float64)) for _ in range(5)]
        for u, direction in cases:
            t, right = float(answer(u.clone(), direction.clone())), _first_move(u, direction)
            if t == right or math.isclose(t, right, rel_tol=1e-9):
                continue
            if t < 0:
                return "t is at least 0: only pairs that approach each other count"
            by_rank = u.argsort()
            gaps, closing = u.diff(), -direction.diff()
            if math.isinf(right):
                return "if no pair approaches, nothing ever moves: return math.inf"
            if closing.any() and math.isclose(t, _smallest((gaps / closing)[(gaps / closing) > 0]), rel_tol=1e-9):
                return "neighbours in place are not neighbours in rank: sort u, and the direction with it"
            difference = float(direction.max() - direction.min())
            if math.isclose(t, float(u[by_rank].diff().min()) / difference, rel_tol=1e-9):
                return "that is a safe t, not the largest: each pair has its own gap and its own speed"
            if t > right:
                return f"at t = {t:.3g} two entries have already changed order; {right:.3g} is the end"
            return f"up to t = {right:.3g} the order stays, you stop at {t:.3g}"
        return None

    return verdict(hint, "the first crossing is between neighbours in rank.")


def permuted_descent(answer: Callable[[Callable[[Tensor], Tensor], Tensor, float, int, int], Tensor]) -> Verdict:
    """Check lookahead permutation with gradient descent inside (Exercise ex-laperm-descent).

    Args:
        answer: ``answer(gradient, start, rate, period, rounds)`` makes ``rounds`` times ``period`` steps of gradient
            descent and a synchronisation, from the vector ``start``; ``gradient(w)`` is the gradient at w. It returns
            the last vector.

    Returns:
        The verdict. Hints know a missing synchronisation, one after every step, one only at the end, ascent, and a
        gradient that is not taken anew.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        for period, rounds in ((1, 4), (3, 5), (4, 0), (7, 2)):
            matrix = torch.randn(6, 6, generator=generator, dtype=torch.float64)
            start, goal = torch.randn(2, 6, generator=generator, dtype=torch.float64)

            def gradient(w: Tensor, matrix: Tensor = matrix, goal: Tensor = goal) -> Tensor:
                return matrix.T @ (matrix @ (w - goal)) / 4

            given = start.clone()
            got = answer(gradient, given, 0.2, period, rounds)
            if not torch.equal(given, start):
                return "leave start as it is: its values are needed at every synchronisation"
            right = _laperm(gradient, start, 0.2, [period] * rounds)
            if got.shape == start.shape and torch.equal(got, right):
                continue
            if got.shape != start.shape or not torch.equal(got.sort().values, start.sort().values):
                return "the result must hold exactly the entries of start: the last thing is a synchronisation"
            total = period * rounds
            if torch.equal(got, _laperm(gradient, start, 0.2, [total])):
                return "synchronise after every period steps, not only at the end"
            if torch.equal(got, _laperm(gradient, start, 0.2, [1] * total)):
                return f"synchronise after every {period} steps, not after each"
            if torch.equal(got, _laperm(gradient, start, -0.2, [period] * rounds)):
                return "a step of descent goes against the gradient"
            return "follow the definition: period steps from the last rearrangement, each with a new gradient"
        return None

    return verdict(hint, "descent inside, rearrangements outside.")


def _in_order(u: Tensor, w: Tensor) -> bool:
    """Whether w_i < w_j implies u_i <= u_j."""
    return not ((w[:, None] < w) & (u[:, None] > u)).any()


def _first_move(u: Tensor, direction: Tensor) -> float:
    gap, closing = u - u[:, None], direction[:, None] - direction
    return _smallest((gap / closing)[(gap > 0) & (closing > 0)])


def _smallest(values: Tensor) -> float:
    return float(values.min()) if len(values) else math.inf


def _laperm(gradient: Callable[[Tensor], Tensor], start: Tensor, rate: float, periods: list[int]) -> Tensor:
    values, w = start.sort().values, start
    for period in periods:
        for _ in range(period):
            w = w - rate * gradient(w)
        w = in_rank_order(values, w)
    return w

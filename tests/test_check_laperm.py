"""The checkers of the chapter "Lookahead permutation": right answers pass, typical wrong ones get their hint."""

import math

import pytest
import torch

from radbook import check


def synchronised(initial, current):
    new = torch.empty_like(initial).flatten()
    new[current.flatten().argsort(stable=True)] = initial.flatten().sort().values
    return new.view(initial.shape)


def by_ranks(initial, current):
    return initial.flatten().sort().values[current.flatten().argsort().argsort()].view(initial.shape)


def in_place(initial, current):
    return initial.copy_(synchronised(initial, current))


@pytest.mark.parametrize("answer", [synchronised, by_ranks])
def test_right_synchronisations(answer):
    assert check.synchronised(answer)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda v, w: v.flatten().sort().values[w.flatten().argsort()].view(v.shape), "not ranks"),
        (lambda v, w: synchronised(v, -w), "reversed"),
        (lambda v, w: w.clone(), "values of current"),
        (lambda v, w: 0 * v, "each initial value"),
        (
            lambda v, w: torch.empty_like(v).flatten().scatter_(0, w.flatten().argsort(), v.flatten()),
            "sort the initial",
        ),
        (lambda v, w: torch.empty_like(v).scatter_(-1, w.argsort(-1), v.sort(-1).values), "flatten it"),
        (lambda v, w: synchronised(v, w).flatten().flatten() if v.ndim == 1 else synchronised(v, w).T, "shape"),
        (lambda v, w: synchronised(v, w).half(), "shape"),
        (in_place, "leave the arguments"),
        (lambda v, w: v, "the order of your entries"),
        (lambda v, w: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_wrong_synchronisations(answer, word):
    result = check.synchronised(answer)
    assert not result and word in result.message


def first_move(u, direction):
    order = u.argsort()
    gaps, closing = u[order].diff(), -direction[order].diff()
    times = gaps[closing > 0] / closing[closing > 0]
    return float(times.min()) if len(times) else math.inf


def of_places(u, direction):
    times = u.diff() / -direction.diff()
    times = times[times > 0]
    return float(times.min()) if len(times) else math.inf


def safe(u, direction):
    difference = float(direction.max() - direction.min())
    return float(u.sort().values.diff().min()) / difference if difference else math.inf


def any_pair(u, direction):
    order = u.argsort()
    return float((u[order].diff() / -direction[order].diff()).min())


def test_right_first_moves():
    assert check.first_move(first_move)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (of_places, "neighbours in place"),
        (safe, "a safe t"),
        (any_pair, "approach"),
        (lambda u, d: 1e9 if len(u) > 1 and math.isinf(first_move(u, d)) else first_move(u, d), "math.inf"),
        (lambda u, d: 1.5 * first_move(u, d), "already changed order"),
        (lambda u, d: 0.3 * first_move(u, d), "you stop at"),
        (lambda u, d: d[7], "IndexError"),
    ],
)
def test_wrong_first_moves(answer, word):
    result = check.first_move(answer)
    assert not result and word in result.message


def descent(gradient, start, rate, period, rounds, *, sign=-1, every=None, last=True):
    w = start
    for step in range(period * rounds):
        w = w + sign * rate * gradient(w)
        if (step + 1) % (every or period) == 0:
            w = synchronised(start, w)
    return synchronised(start, w) if last else w


def no_synchronisation(gradient, start, rate, period, rounds):
    return descent(gradient, start, rate, period, rounds, every=10**9, last=False)


def old_gradient(gradient, start, rate, period, rounds):
    w = start
    for _ in range(rounds):
        w = synchronised(start, w - period * rate * gradient(w))
    return w


def changed(gradient, start, rate, period, rounds):
    return start.copy_(descent(gradient, start.clone(), rate, period, rounds))


def test_right_descent():
    assert check.permuted_descent(descent)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (no_synchronisation, "exactly the entries"),
        (lambda *a: descent(*a, every=10**9), "not only at the end"),
        (lambda *a: descent(*a, every=1), "not after each"),
        (lambda *a: descent(*a, sign=1), "against the gradient"),
        (old_gradient, "new gradient"),
        (changed, "leave start"),
        (lambda *a: None, "AttributeError"),
    ],
)
def test_wrong_descent(answer, word):
    result = check.permuted_descent(answer)
    assert not result and word in result.message

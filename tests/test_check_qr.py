"""The checkers of the chapter on QR compression: right answers pass, each typical mistake gets its hint."""

import re
from itertools import pairwise

import pytest
import torch

from radbook import check, parameter_count, reduced_widths


def counts(widths):
    return reduced_widths(widths), parameter_count(widths), parameter_count(reduced_widths(widths))


def recursion(step):
    """A wrong recursion for the hidden widths, with the right counts."""

    def answer(n):
        reduced = [n[0]]
        for i in range(1, len(n) - 1):
            reduced.append(step(n, reduced, i))
        return ([*reduced, n[-1]], *counts(n)[1:])

    return answer


def weights_only(n):
    return reduced_widths(n), *(sum(a * b for a, b in pairwise(w)) for w in (n, reduced_widths(n)))


WIDTHS = [
    (recursion(lambda n, r, i: min(n[i], n[i - 1] + 1)), "the reduced width of the layer before"),
    (recursion(lambda n, r, i: min(n[i], r[-1])), "each bias may add one dimension"),
    (recursion(lambda n, r, i: n[0] + i), "take the minimum with n_i"),
    (recursion(lambda n, r, i: 2), "(1, 8, 16, 8, 1) reduces to (1, 2, 3, 4, 1), not to (1, 2, 2, 2, 1)"),
    (lambda n: (reduced_widths((*n, 1))[:-1], *counts(n)[1:]), "input and output keep their widths"),
    (lambda n: (reduced_widths(n)[1:-1], *counts(n)[1:]), "have 5 entries, yours"),
    (lambda n: counts(n)[:2], "return three things"),
    (weights_only, "the biases are parameters too"),
    (lambda n: (counts(n)[0], *counts(n)[:0:-1]), "first the count of the full network"),
    (lambda n: (reduced_widths(n), 1, 1), "have (305, 34) parameters"),
    (lambda n: counts(n)[3], "IndexError"),
]


def layer(weight, bias):
    v, r = torch.linalg.qr(torch.column_stack([bias, weight]))
    return v, r[:, 1:], r[:, 0]


def by_svd(weight, bias):
    u, s, vh = torch.linalg.svd(torch.column_stack([bias, weight]), full_matrices=False)
    r = s[:, None] * vh
    return u, r[:, 1:], r[:, 0]


def full_q(weight, bias):
    q, r = torch.linalg.qr(torch.column_stack([bias, weight]), mode="complete")
    return q, r[:, 1:], r[:, 0]


def no_bias(weight, bias):
    v, r = torch.linalg.qr(weight)
    return v, r, v.mT @ bias


def bias_last(weight, bias):
    v, r = torch.linalg.qr(torch.column_stack([weight, bias]))
    return v, r[:, 1:], r[:, 0]


def lost_signs(weight, bias):
    v, w, b = layer(weight, bias)
    s = torch.sign(torch.column_stack([b, w]).diagonal())
    return v * s, s[:, None] * w, s * b


def cholesky(weight, bias):
    a = torch.column_stack([bias, weight])
    if a.shape[0] < a.shape[1]:
        return layer(weight, bias)
    r = torch.linalg.cholesky_ex(a.mT @ a, upper=True).L
    return a @ torch.linalg.inv_ex(r).inverse, r[:, 1:], r[:, 0]


def changed(answer, change):
    return lambda weight, bias: change(*answer(weight, bias))


def overwriting(weight, bias):
    right = layer(weight.clone(), bias.clone())
    weight.zero_()
    bias.zero_()
    return right


def zeroing(weight, bias):
    weight.zero_()
    bias.zero_()
    return layer(weight, bias)


LAYERS = [
    (zeroing, "V [b_red W_red] is not [b W]"),
    (full_q, "the full Q"),
    (no_bias, "with the bias as a column"),
    (bias_last, "the bias stands last"),
    (lost_signs, "for b = 0 a column of V is zero"),
    (cholesky, "NaN or infinite entries|not orthonormal"),
    (changed(layer, lambda v, w, b: (v.mT, w, b)), "V must have shape (7, 4)"),
    (changed(layer, lambda v, w, b: (v, w.mT, b)), "must have shapes (4, 3) and (4,)"),
    (changed(layer, lambda v, w, b: (v, w, b[:, None])), "must have shapes (4, 3) and (4,)"),
    (changed(layer, lambda v, w, b: (v.double(), w.double(), b.double())), "keep the dtype"),
    (changed(layer, lambda v, w, b: (2 * v, w / 2, b / 2)), "not orthonormal"),
    (changed(layer, lambda v, w, b: (v, w, -b)), "V [b_red W_red] is not [b W]"),
    (changed(layer, lambda v, w, b: (v * torch.nan, w, b)), "NaN or infinite entries"),
    (changed(layer, lambda v, w, b: (v, w)), "ValueError"),
]


def differences(network, compression, x):
    full, reduced = network.partial_maps(x)[1:-1], compression.network.partial_maps(x)[1:-1]
    embedded = [u if v is None else u @ v.mT for v, u in zip(compression.isometries, reduced, strict=True)]
    return [f - g for f, g in zip(full, embedded, strict=True)]


def errors(network, compression, x):
    return [float(d.abs().max()) for d in differences(network, compression, x)]


def shifting(network, compression, x):
    x += 1
    return [torch.tensor([error], dtype=torch.float64) for error in errors(network, compression, x - 1)]


def projected(network, compression, x):
    full, reduced = network.partial_maps(x)[1:-1], compression.network.partial_maps(x)[1:-1]
    parts = [f if v is None else f @ v for v, f in zip(compression.isometries, full, strict=True)]
    return [float((p - u).abs().max()) for p, u in zip(parts, reduced, strict=True)]


ERRORS = [
    (lambda n, c, x: [0.0] * 3, "a planted fault"),
    (lambda n, c, x: [d.max() for d in differences(n, c, x)], "absolute values before the maximum"),
    (lambda n, c, x: [d.abs().mean() for d in differences(n, c, x)], "the largest entry, not the mean"),
    (projected, "projecting F_i by V^T hides"),
    (lambda n, c, x: [0.0, *errors(n, c, x)], "the 3 hidden layers, got 4"),
    (lambda n, c, x: [float(v.sum()) for v in c.isometries], "AttributeError"),
]


def without_biases(weights, *, factor=torch.linalg.qr, last_absorbs=True):
    *hidden, last = weights
    v, reduced = torch.eye(weights[0].shape[1], dtype=last.dtype), []
    for w in hidden:
        v, r = factor(w @ v)
        reduced.append(r)
    return [*reduced, last @ v if last_absorbs else last]


def by_the_theorem(weights):
    """The theorem applied with zero biases: one superfluous dimension a layer."""
    *hidden, last = weights
    v, reduced = torch.eye(weights[0].shape[1], dtype=last.dtype), []
    for w in hidden:
        v, r = torch.linalg.qr(torch.column_stack([torch.zeros_like(w[:, 0]), w @ v]))
        reduced.append(r[:, 1:])
    return [*reduced, last @ v]


def scaled(a):
    v, r = torch.linalg.qr(a)
    return 2 * v, r / 2


def signed(a):
    v, r = torch.linalg.qr(a)
    s = torch.sign(r.diagonal())
    return v * s, s[:, None] * r


BIAS_FREE = [
    (by_the_theorem, "leave room for a bias"),
    (lambda weights: weights, "must reduce to (3, 3, 3, 2)"),
    (lambda weights: without_biases(weights, last_absorbs=False), "do not chain"),
    (lambda weights: without_biases(weights, factor=scaled), "the function changed"),
    (lambda weights: without_biases(weights, factor=signed), "a column of V is zero: is sign(0) = 0"),
    (lambda weights: [w * torch.nan for w in without_biases(weights)], "NaN or infinite"),
    (lambda weights: without_biases(weights)[:-1], "must come back"),
    (lambda weights: without_biases(weights[1:]), "must come back"),
    (lambda weights: without_biases(None), "TypeError"),
]


@pytest.mark.parametrize(
    ("checker", "answer"),
    [
        (check.qr_widths, counts),
        (check.qr_widths, lambda n: (list(counts(n)[0]), *counts(n)[1:])),
        (check.qr_layer, layer),
        (check.qr_layer, by_svd),
        (check.qr_layer, overwriting),
        (check.qr_layer_errors, errors),
        (check.qr_layer_errors, shifting),
        (check.qr_layer_errors, lambda n, c, x: torch.tensor(errors(n, c, x), dtype=torch.float64)),
        (check.qr_without_biases, without_biases),
        (check.qr_without_biases, lambda w: tuple(without_biases(w))),
    ],
)
def test_right_answers_pass(checker, answer):
    verdict = checker(answer)
    assert verdict, verdict.message
    assert repr(verdict).startswith("Right: ")


@pytest.mark.parametrize(
    ("checker", "answer", "word"),
    [
        (checker, *case)
        for checker, cases in (
            (check.qr_widths, WIDTHS),
            (check.qr_layer, LAYERS),
            (check.qr_layer_errors, ERRORS),
            (check.qr_without_biases, BIAS_FREE),
        )
        for case in cases
    ],
)
def test_mistakes_get_their_hint(checker, answer, word):
    verdict = checker(answer)
    assert not verdict
    assert any(part in verdict.message for part in re.split(r"\|", word)), verdict.message
    assert repr(verdict).startswith("Not yet. Hint: ")

"""The checkers of the chapter on Gaussian inputs: right answers pass, each typical mistake gets its hint."""

import math

import pytest
import torch

from radbook import check
from radbook.gaussian import arc_cosine, arc_cosine_slope, radial_mean, relu_covariance, relu_gram

LEAKY = [
    (lambda rho, s: (1 + s**2) * arc_cosine(rho) + 2 * s * arc_cosine(-rho), "have a minus"),
    (lambda rho, s: (1 + s**2) * arc_cosine(rho) - s * arc_cosine(-rho), "two cross terms"),
    (lambda rho, s: (1 + s**2) * arc_cosine(rho), "cross terms are missing"),
    (lambda rho, s: (1 - s) ** 2 * arc_cosine(rho), "need kappa(-rho)"),
    (lambda rho, s: (1 + s) * arc_cosine(rho) - 2 * s * arc_cosine(-rho), "factor s^2"),
    (lambda rho, s: arc_cosine(rho) - 2 * s * arc_cosine(-rho), "product of the two leaky parts"),
    (lambda rho, s: arc_cosine(rho), "identity for s = 1"),
    (lambda rho, s: arc_cosine(rho).sum(), "shape of rho"),
    (lambda rho, s: None, "AttributeError"),
]


def part(mean, square, d):
    return square / (2 * d * (radial_mean(d) * mean) ** 2)


def cone(mean, d):
    return (radial_mean(d) * mean) ** 2 * d


NODES = [
    (lambda m, q, d, t: max(1, math.ceil((part(m, q, d) - 1) / t)), "for its square"),
    (lambda m, q, d, t: max(1, math.ceil(part(m, q, d) / t**2)), "is forgotten"),
    (lambda m, q, d, t: max(1, math.floor((part(m, q, d) - 1) / t**2)), "round up"),
    (lambda m, q, d, t: max(1, math.ceil((2 * part(m, q, d) - 1) / t**2)), "half of the second moment"),
    (lambda m, q, d, t: max(1, math.ceil((d * part(m, q, d) - 1) / t**2)), "norm of c|x| is c^2 d"),
    (lambda m, q, d, t: max(1, math.ceil((part(m, q, d) - 1) * cone(m, d) / t**2)), "relative to the cone"),
    (lambda m, q, d, t: math.floor((part(m, q, d) - 1) / t**2), "at least one node"),
    (lambda m, q, d, t: (part(m, q, d) - 1) / t**2, "whole number"),
    (lambda m, q, d, t: 7, "the answer is"),
    (lambda m, q, d, t: 1 / 0, "ZeroDivisionError"),
]


def slope(a, w, v, *, along=1.0, across=1.0, lengths=True, outputs=True, clamp=True, flip=False, scale=0, whole=False):
    r, q = w.norm(dim=1, keepdim=True), v / v.norm()
    rho = w @ q / r[:, 0]
    rho = (rho.clamp(-1, 1) if clamp else rho * (1 + 1e-15))[:, None]
    kappa = arc_cosine_slope(rho.clamp(-1, 1))
    first = arc_cosine(rho) if whole else (1 - rho**2).sqrt() / (2 * math.pi)
    terms = along * first * q + across * (0.5 - kappa if flip else kappa) * w / r
    return v.norm() ** scale * ((a[:, None] if outputs else 1) * (r if lengths else 1) * terms).sum(0)


def undivided(a, w, v):
    r = w.norm(dim=1, keepdim=True)
    return slope(a, w, v, across=0) + slope(a * r[:, 0], w, v, along=0)


SLOPES = [
    (lambda a, w, v: slope(a, w, v, along=0), "length of v changes"),
    (lambda a, w, v: slope(a, w, v, across=0), "angle changes"),
    (lambda a, w, v: slope(a, w, v, lengths=False), "lengths |w_i|"),
    (lambda a, w, v: slope(a, w, v, outputs=False), "output weights a_i"),
    (lambda a, w, v: slope(a, w, v, scale=1), "|v| times the gradient"),
    (lambda a, w, v: slope(a, w, v, scale=-1), "does not depend on |v|"),
    (lambda a, w, v: slope(a, w, v, flip=True), "not arccos rho"),
    (lambda a, w, v: slope(a, w, v, whole=True), "not kappa"),
    (lambda a, w, v: slope(a, w, v, clamp=False), "clamp it"),
    (undivided, "divide w_i"),
    (lambda a, w, v: 0 * v, "wrong for a random v"),
    (lambda a, w, v: slope(a, w, v)[:, None], "shape (3,)"),
    (lambda a, w, v: w @ a, "RuntimeError"),
]


def weights(a, w, v):
    return torch.linalg.pinv(relu_gram(v), hermitian=True) @ (relu_covariance(v, w) @ a)


def units(a, w, v):
    return weights(a, w / w.norm(dim=1, keepdim=True), v / v.norm(dim=1, keepdim=True))


def sampled(a, w, v):
    x = torch.randn(2000, v.shape[1], generator=torch.Generator().manual_seed(0), dtype=v.dtype)
    return torch.linalg.pinv((x @ v.T).relu()) @ ((x @ w.T).relu() @ a)


WEIGHTS = [
    (units, "lengths count"),
    (lambda a, w, v: weights(torch.ones_like(a), w, v), "right side K(v, w) a"),
    (lambda a, w, v: torch.linalg.pinv(v @ v.T) @ (v @ w.T @ a), "nodes are not vectors"),
    (lambda a, w, v: weights(a, w, v).clamp(min=0), "any sign"),
    (lambda a, w, v: relu_covariance(v, w) @ a, "not the solution yet"),
    (lambda a, w, v: relu_covariance(v, w) @ a / relu_gram(v).diagonal(), "each node alone"),
    (lambda a, w, v: weights(a, w, v) / 2, "not half"),
    (sampled, "did you sample"),
    (lambda a, w, v: torch.linalg.inv(relu_gram(v)) @ (relu_covariance(v, w) @ a), "singular"),
    (lambda a, w, v: torch.linalg.inv(relu_gram(v) + 1e-18) @ (relu_covariance(v, w) @ a), "singular"),
    (lambda a, w, v: torch.full_like(v[:, 0], torch.nan), "singular"),
    (lambda a, w, v: -50 * weights(a, w, v), "the least is"),
    (lambda a, w, v: weights(a, w, v)[None], "one weight for each"),
    (lambda a, w, v: {}["b"], "KeyError"),
]


def test_right_answers_pass():
    assert check.leaky_kernel(lambda rho, s: (1 + s**2) * arc_cosine(rho) - 2 * s * arc_cosine(-rho))
    assert check.nodes_needed(lambda m, q, d, t: max(1, math.ceil((part(m, q, d) - 1) / t**2)))
    assert check.overlap_slope(slope)
    assert check.output_weights(weights)
    assert check.output_weights(
        lambda a, w, v: torch.linalg.lstsq(relu_gram(v), relu_covariance(v, w) @ a, driver="gelsd")[0]
    )


def test_the_slope_is_that_of_autograd():
    generator = torch.Generator().manual_seed(3)
    a, w, v = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((4,), (4, 3), (3,)))
    (expected,) = torch.autograd.grad(relu_covariance(v.requires_grad_()[None], w)[0] @ a, v)
    torch.testing.assert_close(slope(a, w, v.detach()), expected)


@pytest.mark.parametrize(
    ("checker", "wrong", "word"),
    [
        pytest.param(checker, wrong, word, id=f"{checker}-{word}")
        for checker, answers in {
            "leaky_kernel": LEAKY,
            "nodes_needed": NODES,
            "overlap_slope": SLOPES,
            "output_weights": WEIGHTS,
        }.items()
        for wrong, word in answers
    ],
)
def test_each_mistake_gets_its_hint(checker, wrong, word):
    result = getattr(check, checker)(wrong)
    assert not result
    assert word in result.message

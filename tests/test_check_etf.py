"""The checkers of the chapter on equiangular tight frames: right answers pass, each typical mistake gets its hint."""

import math

import pytest
import torch

from radbook import check, simplex
from radbook.gaussian import arc_cosine, arc_cosine_slope, radial_mean, relu_gram


def corners(m, d, *, centred=True, unit=True, shape=True):
    """The corners of a simplex: the centred standard basis, in a basis of its span."""
    if d < m - 1:
        raise ValueError("no room")
    v = torch.zeros(m, d, dtype=torch.float64)
    if m == 1:
        v[0, 0] = 1
        return v
    full = torch.eye(m, dtype=torch.float64) - (1 / m if centred else 0)
    if not shape:
        return full / full.norm(dim=1, keepdim=True)
    v[:, : m - 1] = full @ torch.linalg.svd(torch.eye(m, dtype=torch.float64) - 1 / m).Vh[: m - 1].T
    return v / v.norm(dim=1, keepdim=True) if unit else v


def polygon(m, d):
    if d < m - 1:
        raise ValueError("no room")
    angles = 2 * math.pi * torch.arange(m, dtype=torch.float64) / m
    return torch.stack([angles.cos(), angles.sin(), *[0 * angles] * (d - 2)], dim=1) if d > 1 else corners(m, d)


def orthonormal(m, d):
    return torch.eye(m, d, dtype=torch.float64) if d >= m else corners(m, d)


def off_centre(m, d):
    v = torch.randn(m, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return v / v.norm(dim=1, keepdim=True)


def sphenoid(m, d):
    """Four vectors with sum 0 whose angles differ."""
    if (m, d) != (4, 3):
        return corners(m, d)
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    return signs * torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)


def below(m, d):
    return corners(m, max(d, m - 1))[:, :d]


SIMPLEX = [
    (lambda m, d: corners(m, d).T, "vectors are the rows"),
    (lambda m, d: corners(m, d, shape=False), "change the basis"),
    (lambda m, d: corners(m, d).sum(0), "return the shape"),
    (lambda m, d: corners(m, d) / (1 if m > 1 else math.nan), "does not exist for m = 1"),
    (lambda m, d: corners(m, d, unit=False), "length 1"),
    (orthonormal, "inner products 0"),
    (polygon, "regular polygon"),
    (off_centre, "centre them"),
    (sphenoid, "must all be -1/3"),
    (below, "raise a ValueError"),
    (lambda m, d: None, "AttributeError"),
]


def excess(b, v, c, *, change=(None, None)):
    """The four terms; ``change`` replaces one of them."""
    m, d = v.shape
    rho0 = v.new_tensor(-1 / (m - 1))
    k0, slope = arc_cosine(rho0), arc_cosine_slope(rho0)
    a = 0.5 + (m - 1) * k0
    gap = relu_gram(v) - k0 - slope * (v @ v.mT - rho0)
    values = {
        "a": a,
        "best": c * d * radial_mean(d) / a,
        "top": 0.5 - k0 - slope * (1 - rho0),
        "slope": slope,
        "gap": gap.clone().fill_diagonal_(0),
        "whole": gap,
        "y": b @ v,
        "total": b.sum(),
        "m": m,
    }
    values |= {"b": b, "v": v, "c": c}
    terms = [
        "a / m * (total - m * best) ** 2",
        "top * (b - total / m).square().sum()",
        "slope * y.square().sum()",
        "b @ gap @ b",
    ]
    place, text = change
    if place is not None:
        terms[place] = text
    return torch.stack([eval(term, {}, values) for term in terms])


EXCESS = [
    (0, "a / m * (total - best) ** 2", "compares T with M"),
    (0, "a / m * (total - m * best / c) ** 2", "proportional to c"),
    (0, "a * (total - m * best) ** 2", "A_M / M"),
    (1, "top * (b - total).square().sum()", "not T"),
    (1, "(b - total / m).square().sum()", "factor B_M"),
    (1, "top * (b - best).square().sum()", "not tau"),
    (2, "y.square().sum()", "needs the slope"),
    (2, "slope * v.sum(0).square().sum()", "weights are missing"),
    (2, "slope * y.norm()", "must be squared"),
    (3, "b @ whole @ b", "take the diagonal out"),
    (3, "b @ gap @ b / 2", "each pair twice"),
    (3, "b.abs() @ gap @ b.abs()", "no absolute values"),
    (3, "gap.sum()", "b_j b_k are missing"),
    (3, "b.sum()", "term 4 is wrong"),
]


def frame(adjacency, w, *, sign=-1, checks=("semidefinite", "balanced", "tight"), cut=True, rounding=1e-9):
    gram = (-sign * w * (1 - 2 * adjacency)).fill_diagonal_(1)
    values, axes = torch.linalg.eigh(gram)
    if "semidefinite" in checks and values[0] < -rounding:
        raise ValueError("no such vectors")
    if "balanced" in checks and gram.sum(1).abs().max() > rounding:
        raise ValueError("not balanced")
    kept = values > (1e-9 if cut else -1)
    if "tight" in checks and values[kept].max() - values[kept].min() > 1e-9:
        raise ValueError("not tight")
    return axes[:, kept] * values[kept].clamp(min=0).sqrt()


def plain(adjacency, w, **options):
    return frame(adjacency, w, checks=(), **options)


GRAPH = [
    (lambda a, w: frame(a, w, sign=1), "not w"),
    (lambda a, w: plain(a, w, sign=1), "not w"),
    (lambda a, w: plain(a, w, cut=False), "leave out the eigenvalues 0"),
    (lambda a, w: frame(a, w, checks=("balanced", "tight")), "negative eigenvalue"),
    (lambda a, w: frame(a, w, checks=("semidefinite", "tight")), "sum is not 0"),
    (lambda a, w: frame(a, w, checks=("semidefinite", "balanced")), "not tight"),
    (lambda a, w: frame(a, w, rounding=-1), "no error is due"),
    (lambda a, w: frame(a, w).T, "as the rows"),
    (lambda a, w: torch.eye(len(a), dtype=torch.float64), "not the one asked for"),
    (lambda a, w: None, "AttributeError"),
]


def test_right_answers_pass():
    assert check.simplex_frame(corners)
    assert check.simplex_frame(simplex)
    assert check.simplex_frame(lambda m, d: simplex(m, d, dtype=torch.float32))
    assert check.frame_excess(excess)
    assert check.graph_frame(frame)


@pytest.mark.parametrize(("answer", "hint"), SIMPLEX, ids=[hint for _, hint in SIMPLEX])
def test_a_wrong_simplex_gets_its_hint(answer, hint):
    result = check.simplex_frame(answer)
    assert not result
    assert hint in result.message


@pytest.mark.parametrize(("place", "text", "hint"), EXCESS, ids=[hint for *_, hint in EXCESS])
def test_a_wrong_term_gets_its_hint(place, text, hint):
    result = check.frame_excess(lambda b, v, c: excess(b, v, c, change=(place, text)))
    assert not result
    assert hint in result.message


def test_a_sum_in_place_of_four_terms_gets_its_hint():
    assert "shape (4,)" in check.frame_excess(lambda b, v, c: excess(b, v, c).sum()).message
    assert "ZeroDivisionError" in check.frame_excess(lambda b, v, c: 1 / 0).message


@pytest.mark.parametrize(("answer", "hint"), GRAPH, ids=[f"{i}-{hint}" for i, (_, hint) in enumerate(GRAPH)])
def test_a_wrong_frame_gets_its_hint(answer, hint):
    result = check.graph_frame(answer)
    assert not result
    assert hint in result.message

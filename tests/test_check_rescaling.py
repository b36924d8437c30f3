"""The checkers of the chapter on rescaling activations: right answers pass, each typical mistake gets its hint."""

import re

import pytest
import torch
from torch.func import jacrev, jvp, vmap

from radbook import check, jacobian, rescale
from radbook.rescaling import scaling_factor


def profile_of(f, n, r):
    return f(r[:, None] * torch.eye(n, dtype=r.dtype)[0])[:, 0]


def along_the_diagonal(f, n, r):
    u = torch.ones(n, dtype=r.dtype) / n**0.5
    return f(r[:, None] * u) @ u


def norms(v):
    return v.norm(dim=-1, keepdim=True)


def safe(v, h, slope, small=lambda r: r == 0):
    r = norms(v)
    zero = small(r)
    positive = torch.where(zero, 1.0, r)
    return torch.where(zero, slope, h(positive) / positive) * v


def by_rows(v, h, slope):
    rows = [slope * x if x.norm() == 0 else h(x.norm()) / x.norm() * x for x in v.reshape(-1, v.shape[-1])]
    return torch.stack(rows).reshape(v.shape)


def zero_vectors_replaced(v, h, slope, zero=lambda v: (v == 0).all(dim=-1, keepdim=True)):
    r = torch.where(zero(v), 1.0, v).norm(dim=-1, keepdim=True)
    return torch.where(zero(v), slope, h(r) / r) * v


def any_zero_entry(v, h, slope):
    return zero_vectors_replaced(v, h, slope, lambda v: (v == 0).any(dim=-1, keepdim=True))


def detached_norm(v, h, slope):
    return safe(v, lambda r: h(r.detach()), slope)


def detached_factor(v, h, slope):
    r = norms(v)
    positive = torch.where(r == 0, 1.0, r)
    return torch.where(r == 0, slope, h(positive) / positive).detach() * v


def profile_at_zero(v, h, slope):
    r = norms(v)
    return torch.where(r == 0, slope, h(r) / torch.where(r == 0, 1.0, r)) * v


def constant_zero(v, h, slope):
    r = norms(v)
    return torch.where(r == 0, 0.0, scaling_factor(r, h, slope) * v)


def doubled_at_zero(v, h, slope):
    return safe(v, h, 2 * slope - 1)


def three_entries(v, h, slope):
    return scaling_factor(norms(v[..., :3]), h, slope) * v


def batch_epsilon(v, h, slope):
    r = norms(v)
    return h(r) / (r + 1e-6 if r.min() < 1e-6 else r) * v


def thresholded(v, h, slope):
    return safe(v, h, 0.0, lambda r: r < 1e-7)


def whole_batch(v, h, slope):
    return h(v.norm()) / v.norm() * v


def patched(v, h, slope):
    r = norms(v)
    return torch.where(r == 0, 0.0, h(r) / r) * v


def flat_at_zero(v, h, slope):
    return safe(v, h, 0.0)


def product(v, g, h, dh):
    r = v.norm(dim=1, keepdim=True)
    positive = torch.where(r == 0, 1.0, r)
    u = v / positive
    across = torch.where(r == 0, dh(r), h(positive) / positive)
    return across * g + (dh(r) - across) * (u * g).sum(1, keepdim=True) * u


def by_forward_mode(v, g, h, dh):
    zero = torch.zeros((), dtype=v.dtype)
    return jvp(lambda x: rescale(x, h, float(dh(zero))), (v,), (g,))[1]


def by_matrix(v, g, h, dh):
    zero = torch.zeros((), dtype=v.dtype)
    return (jacobian(v, h, float(dh(zero))) @ g[..., None])[..., 0]


def by_automatic_matrix(v, g, h, dh):
    zero = torch.zeros((), dtype=v.dtype)
    return (vmap(jacrev(lambda x: rescale(x, h, float(dh(zero)))))(v) @ g[..., None])[..., 0]


def by_columns(v, g, h, dh):
    columns = torch.eye(v.shape[1], dtype=v.dtype)
    return sum(g[:, j, None] * product(v, columns[j].expand_as(v), h, dh) for j in range(v.shape[1]))


def exchanged(v, g, h, dh):
    return product(v, g, lambda r: r * dh(r), lambda r: torch.where(r == 0, dh(r), h(r) / r))


def unguarded(v, g, h, dh):
    r = v.norm(dim=1, keepdim=True)
    u = v / r
    return h(r) / r * g + (dh(r) - h(r) / r) * (u * g).sum(1, keepdim=True) * u


def zero_at_zero(v, g, h, dh):
    return torch.where(v.norm(dim=1, keepdim=True) == 0, 0.0, product(v, g, h, dh))


RIGHT = [
    (check.recovered_profile, profile_of),
    (check.recovered_profile, along_the_diagonal),
    (check.zero_safe_rescale, safe),
    (check.zero_safe_rescale, rescale),
    (check.zero_safe_rescale, by_rows),
    (check.jacobian_product, product),
    (check.jacobian_product, by_forward_mode),
]
WRONG = [
    (check.recovered_profile, lambda f, n, r: f(r[:, None] * torch.eye(n, dtype=r.dtype)[0]).norm(dim=1), "sign"),
    (check.recovered_profile, lambda f, n, r: profile_of(f, n, -r), "signs"),
    (check.recovered_profile, lambda f, n, r: profile_of(f, n, r).abs() * profile_of(f, n, r)[1].sign(), "signs"),
    (check.recovered_profile, lambda f, n, r: r * profile_of(f, n, r), r"r h\(r\): .* unit vector"),
    (check.recovered_profile, lambda f, n, r: profile_of(f, n, r) / r, "scaling factor"),
    (check.recovered_profile, lambda f, n, r: profile_of(f, n, r) / r * r, "at r = 0 only"),
    (check.recovered_profile, lambda f, n, r: profile_of(f, n, r).float(), "dtype of r"),
    (check.recovered_profile, lambda f, n, r: profile_of(f, n, r)[:, None], r"shape \(31,\); got \(31, 1\)"),
    (check.recovered_profile, lambda f, n, r: 1.0, "got float"),
    (check.recovered_profile, lambda f, n, r: f(r[:, None] * torch.ones(n, dtype=r.dtype))[:, 0], "n = 2: .* one ray"),
    (check.zero_safe_rescale, lambda v, h, slope: safe(v, h, slope).double(), "dtype"),
    (check.zero_safe_rescale, lambda v, h, slope: safe(v, h, slope).flatten(), "shape"),
    (check.zero_safe_rescale, whole_batch, "last dimension"),
    (check.zero_safe_rescale, lambda v, h, slope: safe(v, h, slope).abs(), "last dimension"),
    (check.zero_safe_rescale, lambda v, h, slope: h(norms(v)) / (norms(v) + 1e-6) * v, "epsilon added to the norm"),
    (check.zero_safe_rescale, lambda v, h, slope: h(norms(v)) / (norms(v) + 1e-13) * v, "1e-100"),
    (check.zero_safe_rescale, lambda v, h, slope: h(norms(v)) / (norms(v) + 1e-30) * v, "1e-100"),
    (check.zero_safe_rescale, thresholded, "1e-100"),
    (check.zero_safe_rescale, lambda v, h, slope: safe(v, h, slope, lambda r: r < 1e-10), "1e-100"),
    (check.zero_safe_rescale, lambda v, h, slope: rescale(v.where(v.abs() > 1e-10, 0.0), h, slope), "1e-100"),
    (check.zero_safe_rescale, lambda v, h, slope: h(norms(v)) / norms(v) * v, "0/0"),
    (check.zero_safe_rescale, lambda v, h, slope: safe(v, h, slope) + (v == 0), "exactly 0"),
    (check.zero_safe_rescale, batch_epsilon, "not with its batch"),
    (check.zero_safe_rescale, patched, "both branches"),
    (check.zero_safe_rescale, flat_at_zero, r"h'\(0\) = -2"),
    (check.zero_safe_rescale, constant_zero, "constant 0 has derivative 0"),
    (check.zero_safe_rescale, doubled_at_zero, r"h'\(0\) = \S+$"),
    (check.zero_safe_rescale, zero_vectors_replaced, "underflow"),
    (check.zero_safe_rescale, profile_at_zero, "not positive"),
    (check.zero_safe_rescale, three_entries, "n = 5"),
    (check.zero_safe_rescale, any_zero_entry, "some zero entries"),
    (check.zero_safe_rescale, detached_norm, "detached"),
    (check.zero_safe_rescale, detached_factor, "detached"),
    (check.jacobian_product, exchanged, "exchanged"),
    (
        check.jacobian_product,
        lambda v, g, h, dh: product(v, g, h, lambda r: torch.where(r == 0, dh(r), h(r) / r)),
        "radial part",
    ),
    (check.jacobian_product, unguarded, "NaN"),
    (check.jacobian_product, zero_at_zero, "at v = 0 only"),
    (check.jacobian_product, by_matrix, "n x n"),
    (check.jacobian_product, by_automatic_matrix, "n x n"),
    (check.jacobian_product, by_columns, "column by column"),
    (check.jacobian_product, lambda v, g, h, dh: product(v, g, h, dh).sum(1), "one vector for each row"),
    (check.jacobian_product, lambda v, g, h, dh: g, "away from zero"),
]


@pytest.mark.parametrize(("checker", "answer"), RIGHT)
def test_right_answers_pass(checker, answer):
    verdict = checker(answer)
    assert verdict, verdict
    assert repr(verdict).startswith("Right: ")


@pytest.mark.parametrize(("checker", "answer", "hint"), WRONG)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    verdict = checker(answer)
    assert not verdict
    assert re.search(hint, repr(verdict)), verdict


@pytest.mark.parametrize("checker", [check.recovered_profile, check.zero_safe_rescale, check.jacobian_product])
def test_an_answer_that_raises_is_a_verdict(checker):
    def broken(*arguments):
        raise RuntimeError("ouch")

    assert "RuntimeError: ouch" in repr(checker(broken))

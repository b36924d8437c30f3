"""The checkers of the chapter on norm nonlinearities: right answers pass, each typical mistake gets its hint."""

import pytest
import torch

from radbook import check, rescale


def rescaled(v, sizes, h):
    return torch.cat([rescale(block, h) for block in v.split(sizes, dim=-1)], dim=-1)


def plainly(v, sizes, h):
    return torch.cat(
        [h(b.norm(dim=-1, keepdim=True)) / b.norm(dim=-1, keepdim=True) * b for b in v.split(sizes, -1)], -1
    )


def at_zero(v, sizes, h):
    blocks = v.split(sizes, dim=-1)
    return torch.cat([torch.where(b.norm(dim=-1, keepdim=True) > 0, rescale(b, h), 1.0) for b in blocks], dim=-1)


RESCALING = [
    (lambda v, sizes, h: rescale(v, h), "each block has its own norm"),
    (lambda v, sizes, h: torch.cat([h(b.norm(dim=-1, keepdim=True)) * b for b in v.split(sizes, -1)], -1), "not h(r)"),
    (lambda v, sizes, h: torch.relu(v), "becomes h(r) v_j / r"),
    (lambda v, sizes, h: rescaled(v, sizes, h).flatten()[:6], "must give the same shape"),
    (plainly, "gives NaN"),
    (at_zero, "must stay zero"),
    (lambda v, sizes, h: None, "AttributeError"),
]


def widths(first, blocks, *, bias=1, full=False):
    reduced = []
    for sizes in blocks:
        reduced.append(tuple(min(k, first + bias) for k in sizes))
        first = sum(sizes if full else reduced[-1])
    return reduced


WIDTHS = [
    (lambda first, blocks: widths(first, blocks, bias=0), "the bias adds a dimension"),
    (lambda first, blocks: widths(first, blocks, full=True), "reduced first layer"),
    (lambda first, blocks: widths(first, [(sum(sizes),) for sizes in blocks]), "not one block"),
    (lambda first, blocks: [sizes[1:] for sizes in widths(first, blocks)], "as many blocks"),
    (lambda first, blocks: [tuple(1 for _ in sizes) for sizes in blocks], "reduce to [(3, 3), (7, 3)]"),
    (lambda first, blocks: None, "TypeError"),
]


def tilt(p, q, others, *, slope=0.5, tilted=True):
    e = p - q
    across = torch.linalg.qr(e[:, None], mode="complete").Q[:, 1:].T
    first = slope * e / (e @ e)
    if len(others) and tilted:
        some = torch.randn(len(across), generator=torch.Generator().manual_seed(5), dtype=p.dtype) @ across
        first = first + ((2 + ((others - q) @ first).abs()) / ((others - q) @ some).abs()).max() * some
    return torch.cat([first[None], across])


TILT = [
    (lambda p, q, x: tilt(p, q, x, slope=2.0), "below 1 in modulus"),
    (lambda p, q, x: tilt(p, q, x, tilted=False), "another point lies in the cylinder"),
    (lambda p, q, x: torch.cat([tilt(p, q, x)[:1], torch.eye(len(p), dtype=p.dtype)[1:]]), "must vanish on p - q"),
    (lambda p, q, x: tilt(p, q, x, slope=0.0), "must be invertible"),
    (lambda p, q, x: torch.cat([tilt(p, q, x)[:1], 0 * tilt(p, q, x)[1:]]), "must be invertible"),
    (lambda p, q, x: tilt(p, q, x)[0], "return a matrix of shape"),
    (lambda p, q, x: None, "AttributeError"),
]


def compressed(weights, *, dagger=True, full=False):
    reduced, v = [], torch.eye(weights[0].shape[1], dtype=weights[0].dtype)
    for w in weights[:-1]:
        q = torch.linalg.qr(w @ v, mode="complete" if full else "reduced").Q
        reduced.append((q.mH if dagger else q.mT) @ w @ v)
        v = q
    return [*reduced, weights[-1] @ v]


COMPLEX = [
    (lambda w: compressed(w, dagger=False), "conjugate transpose"),
    (lambda w: compressed(w, full=True), "there is no bias"),
    (lambda w: [a.real for a in compressed(w)], "must be complex"),
    (lambda w: compressed(w)[:-1], "one for each layer"),
    (lambda w: [w[0][:1], w[1][:, :1], *w[2:]], "reduces to"),
    (lambda w: None, "TypeError"),
]


@pytest.mark.parametrize(
    ("checker", "answer"),
    [
        (check.block_rescaling, rescaled),
        (check.block_widths, widths),
        (check.block_tilt, tilt),
        (check.block_complex, compressed),
    ],
)
def test_right_answers_pass(checker, answer):
    result = checker(answer)
    assert result, result


@pytest.mark.parametrize(
    ("checker", "answer", "hint"),
    [
        (checker, answer, hint)
        for checker, answers in (
            (check.block_rescaling, RESCALING),
            (check.block_widths, WIDTHS),
            (check.block_tilt, TILT),
            (check.block_complex, COMPLEX),
        )
        for answer, hint in answers
    ],
)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    result = checker(answer)
    assert not result
    assert hint in result.message

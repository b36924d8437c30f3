"""The checkers of the chapters on permutation: right answers pass, each typical mistake gets its hint."""

import pytest
import torch

from radbook import check

SIGNS = torch.tensor([1, -1, -1, 1])
CROOKED = [[1, 2, 3, -2], [-3, -4, -1, 4]]  # rises by 8, by other slopes


def encode(digits, *, rise=1, null=-1, first=1):
    n = 4 * len(digits) + 1
    p, q = torch.zeros(2, n, dtype=torch.int64)
    for block, digit in enumerate(digits):
        at = 4 * block + torch.arange(first, first + 4)
        p[at] = SIGNS * at if digit == 0 else -rise * digit * SIGNS * at
        q[at] = null * SIGNS * at if digit == 0 else rise * digit * SIGNS * at.flip(0)
    return p, q


def by_sign(p, q):
    return (-p[1::4].sign()).tolist()


def shifted(p, q):
    return ((p + q)[:-1:4] // 3).tolist()


DECODE = [
    (lambda p, q: (p + q)[1::4].tolist(), "divide by 3"),
    (lambda p, q: (-(p + q)[1::4] // 3).tolist(), "exchanged"),
    (by_sign, "nulls as something else"),
    (shifted, "begins at location 1"),
    (lambda p, q: ((p + q)[::4] // 3).tolist(), "hold 1 digits, you return 2"),
    (lambda p, q: [][0], "raised IndexError"),
]


def test_digit_decode():
    assert check.digit_decode(lambda p, q: ((p + q)[1::4] // 3).tolist())


@pytest.mark.parametrize(("answer", "word"), DECODE)
def test_digit_decode_hints(answer, word):
    verdict = check.digit_decode(answer)
    assert not verdict
    assert word in verdict.message


def lumpy(digits):
    """One block of the right rise that does not look like it should."""
    p, q = encode(digits)
    if digits == [0]:
        p[1:], q[1:] = torch.tensor([[1, 2, -1, -3], [-2, 4, -4, 3]])
    return p, q


def crooked(digits):
    p, q = encode(digits)
    if digits == [1]:
        p[1:], q[1:] = torch.tensor(CROOKED)
    return p, q


def other_null(digits):
    """The null with the other sign, as good as ours."""
    p, q = encode(digits)
    for block, digit in enumerate(digits):
        if digit == 0:
            at = 4 * block + torch.arange(1, 5)
            p[at], q[at] = -SIGNS * at, SIGNS * at
    return p, q


ENCODE = [
    (lambda d: tuple(t[1:] for t in encode(d)), "location 0 is missing"),
    (lambda d: tuple(t[2:] for t in encode(d)), "must have shape (5,)"),
    (lambda d: tuple(t.double() for t in encode(d)), "return int64"),
    (lambda d: encode(d, null=1), "each once"),
    (lambda d: encode(d, rise=-1), "exchanged"),
    (lambda d: encode([0] * len(d)), "not by 8 times"),
    (lumpy, "a null block is constant"),
    (crooked, "slopes 3, 2, 3"),
    (lambda d: encode(d)[0] / 0 * [], "raised"),
]


@pytest.mark.parametrize("answer", [encode, other_null])
def test_digit_coefficients(answer):
    assert check.digit_coefficients(answer)


@pytest.mark.parametrize(("answer", "word"), ENCODE)
def test_digit_coefficients_hints(answer, word):
    verdict = check.digit_coefficients(answer)
    assert not verdict
    assert word in verdict.message


def follow(sigma, *, share=0.5, mean=True):
    m = round((sigma[0] + sigma[1]) / 2 if mean else sigma[0])
    slopes, e = [m, m], sigma[0] + sigma[1] - 2 * m
    for s in sigma[2:]:
        slopes.append(round(s + share * e))
        e += s - slopes[-1]
    return slopes


def unequal(sigma):
    return [round(sigma[0]), round(sigma[0]) + 1, *follow(sigma)[2:]]


def slow(sigma):
    return follow(sigma, share=0.1)


TRACK = [
    (lambda s: follow(s, share=0), "feed the error back"),
    (lambda s: follow(s, share=1), "half of the error"),
    (slow, "it must stay within 1"),
    (lambda s: follow(s)[2:], "return 2 slopes for 2"),
    (lambda s: s, "integers"),
    (unequal, "must be equal"),
    (lambda s: s[0] / 0, "raised"),
]


def test_perm_tracker():
    assert check.perm_tracker(follow)


@pytest.mark.parametrize(("answer", "word"), TRACK)
def test_perm_tracker_hints(answer, word):
    verdict = check.perm_tracker(answer)
    assert not verdict
    assert word in verdict.message


def signs(sizes, target, *, low=0, high=0, flip=False):
    sums = torch.cat([sizes.new_zeros(1), 2 * sizes.cumsum(0)]) - sizes.sum()
    plus = low + (sums[low : len(sums) - high] - target).abs().argmin()
    if flip:
        return torch.where(torch.arange(len(sizes)) >= len(sizes) - plus, 1, -1)
    return torch.where(torch.arange(len(sizes)) < plus, 1, -1)


def greedy(sizes, target):
    out, left = [], target
    for size in sizes.tolist():
        out.append(1 if left > 0 else -1)
        left -= out[-1] * size
    return torch.tensor(out)


SIGNED = [
    (lambda s, t: signs(s, t, high=1), "all signs + is allowed"),
    (lambda s, t: signs(s, t, low=1), "all signs - is allowed"),
    (lambda s, t: signs(s, t, flip=True), "plus signs come first"),
    (greedy, "other patterns are not allowed"),
    (lambda s, t: signs(s, t).double(), "int64"),
    (lambda s, t: 0 * signs(s, t), "+1 or -1"),
    (lambda s, t: signs(s, max(min(t, 0.0), t - 1)), "is possible"),
    (lambda s, t: s[99], "raised IndexError"),
]


def test_perm_signs():
    assert check.perm_signs(signs)


@pytest.mark.parametrize(("answer", "word"), SIGNED)
def test_perm_signs_hints(answer, word):
    verdict = check.perm_signs(answer)
    assert not verdict
    assert word in verdict.message

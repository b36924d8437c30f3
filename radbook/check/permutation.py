"""Answers to the exercises of the chapters "Training by permuting weights" and "Kinks and dipoles"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from radbook.check.verdict import Verdict, verdict

_SIGNS = torch.tensor([1, -1, -1, 1])
_DIGITS: tuple[list[int], ...] = ([1], [0], [-1], [], [1, 0, -1, -1, 0, 1, 1], [-1, -1, 0])


def digit_decode(answer: Callable[[Tensor, Tensor], Sequence[int]]) -> Verdict:
    """Check a function that reads the digits of a staircase (Exercise ex-digit-decode).

    Args:
        answer: ``answer(p, q)``, int64 tensors of shape (n,), n = 4 B + 1, in units of the grid's step, returns the
            list of the B digits.

    Returns:
        The verdict. Hints know kinks in place of digits, exchanged rises and falls, nulls taken for falls, and blocks
        that begin at location 0.
    """

    def hint() -> str | None:
        for digits in _DIGITS:
            got = [int(i) for i in answer(*_staircase(digits))]
            if got == digits:
                continue
            if len(got) != len(digits):
                return f"{4 * len(digits) + 1} locations hold {len(digits)} digits, you return {len(got)}"
            if got == [-i for i in digits]:
                return "rises and falls are exchanged: a rise has p = -b_1 at its first location, and the kink 3"
            if got == [3 * i for i in digits]:
                return "you return kinks, in units of the step: divide by 3"
            if all(a == b for a, b in zip(got, digits, strict=True) if b):
                return "you read nulls as something else: p alone looks the same in a fall and a null, q differs"
            return f"the digits {digits} are read as {got}: the first block begins at location 1"
        return None

    return verdict(hint, "the first kink of a block tells its digit.")


def digit_coefficients(answer: Callable[[list[int]], tuple[Tensor, Tensor]]) -> Verdict:
    """Check a function that writes digits as coefficients (Exercise ex-digit-coefficients).

    Args:
        answer: ``answer(digits)``, a list of B numbers -1, 0 or 1, returns p and q, int64 tensors of shape (4 B + 1,),
            in units of the grid's step.

    Returns:
        The verdict. Hints know a forgotten location 0, another type, coefficients used twice, exchanged rises and
        falls, and nulls that are no constant.
    """

    def hint() -> str | None:
        for digits in _DIGITS:
            n = 4 * len(digits) + 1
            p, q = answer(list(digits))
            if p.shape != (n,) or q.shape != (n,):
                if p.shape == q.shape == (n - 1,):
                    return "location 0 is missing: it holds +0 and -0"
                return (
                    f"for {len(digits)} digits p and q must have shape ({n},), got {tuple(p.shape)}, {tuple(q.shape)}"
                )
            if p.dtype != torch.int64 or q.dtype != torch.int64:
                return f"return int64 tensors, got {p.dtype} and {q.dtype}"
            values = torch.arange(n)
            if not torch.equal(torch.cat([p, q]).sort().values, torch.cat([values, -values]).sort().values):
                return f"for digits {digits} the coefficients are not 0, ..., {n - 1} with both signs, each once"
            x = 2 * torch.arange(n)[:, None] + torch.tensor([-1, 1])  # twice the midpoints of the cells
            z = x[:, :, None] - 2 * values
            g = (z.clamp(min=0) * p + (-z).clamp(min=0) * q).sum(-1)
            rises = (g[4::4, 1] - g[:-1:4, 1]).tolist()  # over the blocks, in units of half a squared step
            if rises == [-16 * i for i in digits] and any(digits):
                return "rises and falls are exchanged"
            if rises != [16 * i for i in digits]:
                return f"for digits {digits} the blocks rise by {[i / 2 for i in rises]}, not by 8 times the digits"
            kinks = (p + q)[1:].view(-1, 4)
            if any(kinks[i].any() for i, digit in enumerate(digits) if digit == 0):
                return "a null block is constant, not only as high on its right as on its left: take q = -p there"
            if not torch.equal(kinks, torch.tensor(digits, dtype=torch.int64)[:, None] * torch.tensor([3, -1, 1, -3])):
                return "the blocks are as high as they should be, but do not climb by the slopes 3, 2, 3"
        return None

    return verdict(hint, "every coefficient once, and each block rises by 8 times its digit.")


def _staircase(digits: list[int]) -> tuple[Tensor, Tensor]:
    p, q = torch.zeros(2, 4 * len(digits) + 1, dtype=torch.int64)
    for block, digit in enumerate(digits):
        at = 4 * block + torch.arange(1, 5)
        p[at] = (-digit if digit else 1) * _SIGNS * at
        q[at] = digit * _SIGNS * at.flip(0) if digit else -_SIGNS * at
    return p, q


def perm_tracker(answer: Callable[[list[float]], Sequence[int]]) -> Verdict:
    """Check a function that follows slopes by integers (Exercise ex-perm-tracker).

    Args:
        answer: ``answer(sigma)``, slopes whose neighbours differ by at most 0.32, returns as many integers m with
            m_1 = m_2, neighbours that differ by at most 1, and errors e_1 = 0, e_(j+1) = e_j + sigma_j - m_j within 1.

    Returns:
        The verdict. Hints know rounding without feedback, the whole error fed back, and an unequal start.
    """

    def hint() -> str | None:
        for name, sigma in _slopes().items():
            m = list(answer(list(sigma)))
            if len(m) != len(sigma):
                return f"return {len(sigma)} slopes for {len(sigma)}, got {len(m)}"
            if any(i != int(i) for i in m):
                return "the slopes m_j must be integers"
            if m[0] != m[1]:
                return "the first two slopes must be equal: there is no kink at locations 1 and 2"
            kink = max(abs(b - a) for a, b in pairwise(m))
            errors = torch.tensor([s - i for s, i in zip(sigma, m, strict=True)], dtype=torch.float64).cumsum(0).abs()
            plain = [round(s) for s in sigma[2:]] == [int(i) for i in m[2:]]
            if kink > 1:
                return f"for {name} a kink of {kink:g} occurs: feed back half of the error, not the whole"
            if errors.max() > 1 + 1e-9:
                if plain:
                    return f"for {name} the roundings add up to {float(errors.max()):.3g}: feed the error back"
                return f"for {name} an error of {float(errors.max()):.3g} occurs: it must stay within 1"
        return None

    return verdict(hint, "kinks and errors of at most 1, however the slopes move.")


def _slopes() -> dict[str, list[float]]:
    steps = 0.64 * torch.rand(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.32
    hover = [0.5 + 0.02 * (-1) ** (j // 3) for j in range(60)]
    return {
        "two slopes": [0.3, 0.5],
        "the constant slope 0.4": [0.4] * 50,
        "the constant slope -7.75": [-7.75] * 50,
        "slopes that hover about 1/2": hover,
        "random slopes": steps.cumsum(0).tolist(),
        "slopes that rise as fast as they may": [-3 + 0.32 * j for j in range(40)],
        "slopes that turn": [0.32 * min(j, 40 - j) + 0.17 for j in range(41)],
        "slopes that shake": [0.16 * (-1) ** j + 0.5 for j in range(60)],
    }


def perm_signs(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check a function that finds the best signs of the form +...+-...- (Exercise ex-perm-signs).

    Args:
        answer: ``answer(sizes, target)``, sizes positive, shape (K,), returns the signs as int64, shape (K,).

    Returns:
        The verdict. Hints know a forgotten all-plus or all-minus, minus before plus, mixed signs, and a greedy choice.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(1)
        random = torch.rand(9, generator=generator, dtype=torch.float64)
        cases = [(random, t) for t in (-9.0, 9.0, 0.3, -1.2, 2.0, 0.0)] + [(random[:1], t) for t in (0.1, -0.1)]
        cases.append((torch.tensor([1.0, 5.0, 1.0], dtype=torch.float64), 4.0))
        for sizes, target in cases:
            signs = answer(sizes.clone(), target)
            if signs.shape != sizes.shape or signs.dtype != torch.int64:
                return f"return int64 signs of shape {tuple(sizes.shape)}, got {signs.dtype}, {tuple(signs.shape)}"
            if not (signs.abs() == 1).all():
                return "all signs must be +1 or -1"
            if (signs.diff() > 0).any():
                if (signs.diff() < 0).any():
                    return "all plus signs come before all minus signs: other patterns are not allowed"
                return "the plus signs come first, then the minus signs"
            sums = torch.cat([sizes.new_zeros(1), 2 * sizes.cumsum(0)]) - sizes.sum()
            least, off = (sums - target).abs().min(), abs(float((signs * sizes).sum()) - target)
            if off > least + 1e-12:
                best = int((sums - target).abs().argmin())
                if best in (0, len(sizes)):
                    return f"all signs {'+' if best else '-'} is allowed too: there are K + 1 patterns"
                return f"the sum misses the target by {off:.3g}, where {float(least):.3g} is possible"
        return None

    return verdict(hint, "the nearest of all K + 1 sums.")

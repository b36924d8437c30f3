"""Coefficients put in place by a proof (chapters "Training by permuting weights" and "Kinks and dipoles").

Each construction returns a :class:`~radbook.permutation.PermutationNetwork` on [0, 1] and a number that its error
cannot exceed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from radbook.permutation import PermutationNetwork, grid, pairwise

Function = Callable[[Tensor], Tensor]


class Rearrangement(NamedTuple):
    """A network made by rearranging coefficients, with its certificate."""

    network: PermutationNetwork  # float64, on the CPU
    bound: float  # |F - f| <= bound on [0, 1], up to rounding
    digits: Tensor  # what the construction chose, int64


def ternary_network(
    f: Function, n: int, *, lipschitz: float | None = None, modulus: Callable[[float], float] | None = None
) -> Rearrangement:
    """Approximate f by a rearrangement of plus and minus i/(n-1), with alpha and gamma (Theorem thm-ternary).

    Four consecutive locations form a digit -1, 0 or 1: a falling ramp, a constant, or a rising ramp.

    Args:
        f: continuous on [0, 1]; takes a float64 tensor of shape (N,) and returns one.
        n: number of locations, at least 2.
        lipschitz: a Lipschitz constant of f; the bound is then at most 4 lipschitz / (n - 1).
        modulus: instead, a modulus of continuity of f, nondecreasing.

    Returns:
        The network, its bound, and the digits, one for each block of four locations.

    Raises:
        ValueError: n < 2; not exactly one of ``lipschitz`` and ``modulus``; it is negative or not finite; f is not
            finite, or varies more than it says.

    Example:
        >>> made = ternary_network(torch.sqrt, 101, modulus=math.sqrt)
        >>> x = torch.linspace(0, 1, 1001, dtype=torch.float64)
        >>> bool((made.network(x) - x.sqrt()).abs().max() <= made.bound), made.network.is_permutation()
        (True, True)
    """
    omega, b, delta = _modulus(lipschitz, modulus), grid(n), 1 / (n - 1)
    unit = omega(4 * delta)  # the height of a ramp
    if n <= 4 or unit == 0:
        middle = float(_values(f, torch.tensor([0.5])))
        network = PermutationNetwork(b, pairwise(b), alpha=middle, gamma=0.0)
        return Rearrangement(network, omega(0.5) if unit else 0.0, torch.zeros(0, dtype=torch.int64))
    first, end = {1: (1, n), 2: (1, n - 1), 3: (2, n - 1), 0: (2, n - 2)}[n % 4]  # blocks: first, ..., end - 1
    gaps = (torch.arange(first, end + 1, 4, dtype=torch.float64) - 0.5) * delta
    y = _values(f, gaps.clamp(max=1)) / unit
    excess = y.diff().abs() - 1
    if (excess > 1e-9 + 8 * torch.finfo(y.dtype).eps * y.abs().max()).any():
        at = float(gaps[excess.argmax()])
        raise ValueError(f"f varies more than its Lipschitz constant or modulus allows, near x = {at:.3g}")
    level = (y + 0.5).floor().tolist()
    level = itertools.accumulate(level, lambda last, new: min(max(new, last - 1), last + 1))  # 2 is a rounding error
    level = torch.tensor(list(level), dtype=torch.float64)
    digits = level.diff().long()

    p, q = torch.zeros(2, n, dtype=torch.int64)
    if n % 4 in (2, 3):
        q[0], p[-1] = n - 1, 1 - n  # these two do nothing on [0, 1]
    if n % 4 == 3:
        p[0], p[1] = 1, -1  # min(x, delta)
    if n % 4 == 0:
        p[[1, n - 2, n - 1]] = torch.tensor([1, n - 2, 1 - n])  # three lines whose sum is constant
        q = -p
    at = first + 4 * torch.arange(len(digits))[:, None] + torch.arange(4)
    ramp, signs = digits[:, None], torch.tensor([1, -1, -1, 1])
    p[at] = torch.where(ramp == 0, 1, -ramp) * signs * at
    q[at] = torch.where(ramp == 0, -at, ramp * at.flip(1)) * signs
    network = _arranged(b, p, q, unit / (8 * delta**2), gaps[0], unit * level[0])
    tail = omega(1.5 * delta) + unit / 8 if n % 4 == 3 else 0.0
    return Rearrangement(network, unit / 2 + max(omega(2 * delta), tail), digits)


def dipole_network(
    f: Function,
    locations: Tensor,
    magnitudes: Tensor,
    *,
    lipschitz: float | None = None,
    modulus: Callable[[float], float] | None = None,
) -> Rearrangement:
    """Approximate f by rearranging plus and minus any magnitudes, WITHOUT a linear layer (Theorem thm-dipole).

    Two locations s < t with the coefficients +-v, +-w make a dipole: the constant +-w (t - s) on the left of s, the
    constant +-v (t - s) on the right of t, both signs free. Windows of 2K locations hold K overlapping dipoles. Every
    K whose bound may be the least is tried.

    Args:
        f: continuous on [0, 1]; takes a float64 tensor of shape (N,) and returns one.
        locations: shape (n,), n >= 2, increasing, in [0, 1].
        magnitudes: shape (n,), numbers >= 0.
        lipschitz: a Lipschitz constant of f.
        modulus: instead, a modulus of continuity of f, nondecreasing.

    Returns:
        The network (alpha = 0, gamma = 1), its bound, and the signs of the dipoles, shape (n // 2, 2): left, right.

    Raises:
        ValueError: not exactly one of ``lipschitz`` and ``modulus``; it is negative or not finite; f is not finite;
            locations or magnitudes are not as above.
    """
    omega = _modulus(lipschitz, modulus)
    b, c = locations.detach().cpu().double(), magnitudes.detach().cpu().double()
    n = len(b)
    if n < 2 or c.shape != b.shape or not (b.diff() > 0).all() or not (b[0] >= 0 and b[-1] <= 1) or (c < 0).any():
        raise ValueError("locations must increase in [0, 1], with as many magnitudes >= 0, at least 2 of each")
    order = c.argsort(descending=True)
    v, w = order[0 : n - 1 : 2], order[1:n:2]  # dipole r has the magnitudes c[v[r]] >= c[w[r]]
    best, most = None, math.inf
    for k in range(1, n // 2 + 1):
        windows = [torch.arange(i, n // 2, n // 2 // k) for i in range(n // 2 // k)]  # which dipoles, dealt like cards
        if best and omega(2 * k * float(b[-1] - b[0]) / n) >= most:
            break
        signs, bound = _fill(f, b, [(c[v[i]], c[w[i]]) for i in windows], omega)
        if bound < most:
            best, most = (torch.cat(windows), [len(i) for i in windows], signs), bound
    assert best
    dipoles, sizes, signs = best
    s, t = _ends(torch.arange(n), sizes)
    index = torch.empty(2 * n, dtype=torch.int64)
    for place, opposite, value, sign in ((s, t, v[dipoles], signs[:, 1]), (n + t, n + s, w[dipoles], signs[:, 0])):
        index[place], index[opposite] = value + n * (sign < 0), value + n * (sign > 0)
    if n % 2:
        index[n - 1], index[2 * n - 1] = order[-1], n + order[-1]  # a line of the least slope is left over
    network = PermutationNetwork(b, pairwise(c), index)
    return Rearrangement(network, most + (float(c[order[-1]]) if n % 2 else 0.0), signs)


def kink_network(kinks: Tensor, slope: int) -> PermutationNetwork:
    r"""A rearrangement of plus and minus i/(n-1) with the kinks and the first slope asked for (Lemma lem-kinks).

    With N = n - 1 and the locations b_0, ..., b_N, its slope is m/N up to b_3 and grows by k_j/N at b_j.

    Args:
        kinks: k_3, ..., k_{N-1}, each -1, 0 or 1, int64, shape (n - 4,), perhaps empty.
        slope: m, an integer with \|m\| <= N (N - 1) / 2 + 1.

    Returns:
        The network with n locations, in float64 on the CPU; alpha is such that F(0) = 0, and gamma = 1.

    Raises:
        ValueError: a kink is not -1, 0 or 1, or the slope is too large.

    Example:
        >>> made = kink_network(torch.tensor([1, 0, -1]), -2)
        >>> (made(made.locations).diff() * 36).round().int().tolist(), made.is_permutation()
        ([-2, -2, -2, -1, -1, -2], True)
    """
    top = len(kinks) + 3
    if kinks.dtype != torch.int64 or kinks.ndim != 1 or (kinks.abs() > 1).any():
        raise ValueError("kinks must be a row of -1, 0 and 1, as int64")
    if abs(slope) > top * (top - 1) // 2 + 1:
        raise ValueError(f"with {top + 1} locations the slope must be within {top * (top - 1) // 2 + 1}, got {slope}")
    side, b = -1 if kinks.sum() < 0 else 1, grid(top + 1)
    p, q = _place(side * kinks, side * slope)
    return _arranged(b, side * p, side * q, 1.0, b[0], b[0])


def smooth_network(f: Function, n: int, *, curvature: float) -> Rearrangement:
    """Approximate f with Lipschitz derivative to order n^-2, with alpha and gamma (Theorem thm-smooth).

    Location i holds +v and -w with v - w = -1, 0 or 1 steps of the grid: a kink. The kinks follow f'' by rounding with
    feedback, and which of p and q gets +v settles the slope at 0.

    Args:
        f: differentiable on [0, 1]; takes a float64 tensor of shape (N,) and returns one.
        n: number of locations, at least 4.
        curvature: a Lipschitz constant of f'.

    Returns:
        The network, its bound, and the kinks at the n - 2 inner locations. The bound is (13/4) curvature / (n-1)^2
        as soon as n >= 2 + (16/25) max |f'| / curvature.

    Raises:
        ValueError: n < 4; the curvature is negative or not finite; f is not finite, or bends more than it says.
    """
    if n < 4 or not (math.isfinite(curvature) and curvature >= 0):
        raise ValueError(f"n must be at least 4 and the curvature a finite number >= 0, got {n} and {curvature}")
    b, delta, top = grid(n), 1 / (n - 1), n - 1
    y = _values(f, b)
    if (y.diff(n=2).abs() > curvature * delta**2 * (1 + 1e-9) + 8 * torch.finfo(y.dtype).eps * y.abs().max()).any():
        raise ValueError(f"f bends more than its curvature {curvature} allows")
    curvature = max(curvature, float(y.diff(n=2).abs().max()) / delta**2)  # rounding can bend y a little more
    gamma = max(25 / 8 * curvature, float((y[3] - y[1]).abs()) / delta**2 / (top * (top - 1) + 2))
    if gamma == 0:
        network = PermutationNetwork(b, pairwise(b), alpha=float(y[0]), gamma=0.0)
        return Rearrangement(network, 0.0, torch.zeros(n - 2, dtype=torch.int64))
    slopes = (y.diff() / (gamma * delta**2)).tolist()
    start = (slopes[1] + slopes[2]) / 2
    followed, error = [round(start)], 2 * (start - round(start))  # of f - F at b[3], as F(b[1]) = f(b[1])
    for slope in slopes[3:]:
        followed.append(round(slope + error / 2))
        error += slope - followed[-1]
    kinks = torch.tensor([0, 0, *(b - a for a, b in itertools.pairwise(followed))])
    network = kink_network(kinks[2:], followed[0])
    with torch.no_grad():
        network.gamma.fill_(gamma)
        network.alpha += y[1] - network(b[1])
    return Rearrangement(network, (gamma + curvature / 8) * delta**2, kinks)


def _fill(
    f: Function, b: Tensor, windows: list[tuple[Tensor, Tensor]], omega: Callable[[float], float]
) -> tuple[Tensor, float]:
    """The signs of all dipoles, given the magnitudes of each window, and the bound they lead to."""
    sizes = [len(v) for v, _ in windows]
    s, t = (part.split(sizes) for part in _ends(b, sizes))
    right = [v * (t - s) for (v, _), s, t in zip(windows, s, t, strict=True)]
    left = [w * (t - s) for (_, w), s, t in zip(windows, s, t, strict=True)]
    ends = torch.tensor([0.0, *((t[-1] + s[0]) / 2 for t, s in zip(t, s[1:], strict=False)), 1.0], dtype=b.dtype)
    y = _values(f, ends)
    mean, half = (y[0] + y[-1]) / (2 * len(windows)), y.diff() / 2
    a_right, carried = _follow(right, mean + half)
    a_left, total = _follow(left[::-1], (mean - half).flip(0))
    a_left, total = a_left[::-1], total.flip(0)
    zero = torch.zeros(1, dtype=b.dtype)
    error = (torch.cat([total, zero]) + torch.cat([zero, carried])).abs()  # of the network, at the ends
    wobble = torch.stack(
        [((v - w).abs() * (a == c)).sum() for v, w, a, c in zip(right, left, a_right, a_left, strict=True)]
    )
    lengths = torch.tensor([omega(float(length)) for length in ends.diff()], dtype=b.dtype)
    bound = (torch.maximum(error[1:], error[:-1]) + wobble + lengths).max()
    return torch.stack([torch.cat(a_left), torch.cat(a_right)], dim=1), float(bound)


def _follow(sizes: list[Tensor], targets: Tensor) -> tuple[list[Tensor], Tensor]:
    """Signs +...+-...- per window whose signed sums follow the targets, and the running errors of the sums."""
    signs, errors, error = [], [], 0.0
    for size, target in zip(sizes, targets.tolist(), strict=True):
        sums = torch.cat([size.new_zeros(1), 2 * size.cumsum(0)]) - size.sum() + (error - target)
        first = int(sums.abs().argmin())
        error = float(sums[first])
        signs.append(torch.where(torch.arange(len(size)) < first, 1, -1))
        errors.append(error)
    return signs, torch.tensor(errors, dtype=targets.dtype)


def _ends(locations: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
    """The left and the right ends of the dipoles, window after window: location i with location i + K."""
    halves = [part.chunk(2) for part in locations[: 2 * sum(sizes)].split([2 * size for size in sizes])]
    left, right = zip(*halves, strict=True)
    return torch.cat(left), torch.cat(right)


def _place(kinks: Tensor, slope: int) -> tuple[Tensor, Tensor]:
    """Values 0, ..., n-1 with both signs, so that the kinks from b_3 on (sum >= 0) and the first slope come out."""
    n, total = len(kinks) + 4, int(kinks.sum())
    inner = torch.arange(3, n - 1)
    up, flat, down = (inner[kinks == k].tolist() for k in (1, 0, -1))
    chain, up = up[:total], up[total:]
    values = [(j, 4 + i, 3 + i) for i, j in enumerate(chain)]  # location, v, w
    pairs = [(i, u + 1, u) for i, u in zip(up, range(4 + total, n, 2), strict=False)]
    pairs += [(j, u, u + 1) for j, u in zip(down, range(4 + total, n, 2), strict=False)]
    flats = [(j, u, u) for j, u in zip(flat, range(4 + total + 2 * len(up), n), strict=True)]
    p, q, left = torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.int64), slope
    for j, v, w in sorted(values + pairs + flats, key=lambda item: -max(item[1:])):
        plus = abs(left - w) <= abs(left + v)
        p[j], q[j] = (v, -w) if plus else (-w, v)
        left -= w if plus else -v
    for ends in ((0, 3, -3 - total, 0), (3, 0, -3 - total, 0), (0, 0, -3 - total, 3)):  # p_1, q_1, p_n, q_n
        for one in (1, -1):
            for two in (2, -2):
                if ends[0] - ends[3] + one + two == left:
                    p[0], q[0], p[-1], q[-1] = torch.tensor(ends)
                    p[1], q[1], p[2], q[2] = one, -one, two, -two
                    return p, q
    raise AssertionError("the small values settle every slope that can be left over")


def _arranged(b: Tensor, p: Tensor, q: Tensor, gamma: float, at: Tensor, value: Tensor) -> PermutationNetwork:
    """The network with coefficients p, q in steps of the grid, and alpha so that F(at) = value."""
    units = torch.cat([p, q])
    index = torch.where(units < 0, len(b) - units, units)
    index[(units == 0).nonzero()[1]] = len(b)  # the second zero is -0
    network = PermutationNetwork(b, pairwise(b), index, gamma=gamma)
    with torch.no_grad():
        network.alpha += value - network(at)
    return network


def _modulus(lipschitz: float | None, modulus: Callable[[float], float] | None) -> Callable[[float], float]:
    if (lipschitz is None) == (modulus is None):
        raise ValueError("give either a Lipschitz constant or a modulus of continuity")

    def omega(t: float) -> float:
        value = float(modulus(t) if modulus else (lipschitz or 0) * t)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"the Lipschitz constant or modulus must be finite and >= 0, got {value} for t = {t:.3g}")
        return value

    omega(1.0)
    return omega


def _values(f: Function, x: Tensor) -> Tensor:
    y = f(x.double())
    if y.shape != x.shape or not y.isfinite().all():
        raise ValueError(f"f must return {len(x)} finite numbers for {len(x)} points, got shape {tuple(y.shape)}")
    return y.double()

"""Networks whose coefficients may only change places (chapter "Training by permuting weights")."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class PermutationNetwork(nn.Module):
    r"""Sums of hinges whose coefficients are a rearrangement of fixed values (Definition def-permutation-network).

    .. math:: F(x) = \alpha + \gamma \sum_{k,i} p_{ki} (\langle a_k, x\rangle - b_i)_+ +
                     q_{ki} (b_i - \langle a_k, x\rangle)_+

    Args:
        locations: b, shape (n,), n >= 1, finite, of real floating dtype, increasing.
        initial: the values that may change places, first all p, then all q: shape (2, n), or (2, D, n) with directions.
        index: the arrangement: entry j of the flattened coefficients is entry index[j] of the flattened ``initial``;
            int64, shape (2 D n,). None leaves every value in its place.
        alpha: constant, a trainable scalar.
        gamma: factor, a trainable scalar.
        directions: a, shape (D, d), for inputs in R^d. None: inputs are numbers, and <a, x> is x.

    Attributes:
        coefficients: (p, q), a trainable parameter of the shape of ``initial``.

    Raises:
        TypeError: a tensor is not of real floating dtype, or dtypes or devices differ.
        ValueError: shapes do not fit, a number is not finite, locations do not increase, or ``index`` is not a
            permutation.

    Example:
        >>> b = torch.tensor([0.0, 0.5, 1.0])
        >>> net = PermutationNetwork(b, pairwise(b), torch.tensor([0, 4, 2, 3, 1, 5]))
        >>> net.coefficients.tolist()
        [[0.0, -0.5, 1.0], [-0.0, 0.5, -1.0]]
        >>> net(torch.tensor([0.0, 0.25, 1.0])).tolist(), net.is_permutation()
        ([-0.75, -0.625, -0.25], True)
    """

    locations: Tensor
    initial: Tensor
    directions: Tensor | None

    def __init__(
        self,
        locations: Tensor,
        initial: Tensor,
        index: Tensor | None = None,
        *,
        alpha: float = 0.0,
        gamma: float = 1.0,
        directions: Tensor | None = None,
    ) -> None:
        super().__init__()
        given = {"locations": locations, "initial": initial}
        given |= {} if directions is None else {"directions": directions}
        for name, tensor in given.items():
            _check(name, tensor)
            if (tensor.dtype, tensor.device) != (locations.dtype, locations.device):
                raise TypeError(
                    f"{name} is {tensor.dtype} on {tensor.device}, but locations are {locations.dtype} on "
                    f"{locations.device}; convert one with .to()"
                )
        if locations.ndim != 1 or not len(locations) or not (locations.diff() > 0).all():
            raise ValueError(f"locations must be a row of increasing numbers, got shape {tuple(locations.shape)}")
        if directions is not None and (directions.ndim != 2 or not directions.numel()):
            raise ValueError(f"directions must have shape (D, d), got {tuple(directions.shape)}")
        shape = (2, len(locations)) if directions is None else (2, len(directions), len(locations))
        if tuple(initial.shape) != shape:
            raise ValueError(f"initial must have shape {shape}: all p, then all q; got {tuple(initial.shape)}")
        if index is None:
            index = torch.arange(initial.numel(), device=initial.device)
        if index.dtype != torch.int64 or not torch.equal(
            index.flatten().sort().values, torch.arange(initial.numel(), device=index.device)
        ):
            raise ValueError(f"index must hold each of 0, ..., {initial.numel() - 1} once, as int64")
        if not (math.isfinite(alpha) and math.isfinite(gamma)):
            raise ValueError(f"alpha and gamma must be finite, got {alpha} and {gamma}")
        self.register_buffer("locations", locations.detach().clone())
        self.register_buffer("initial", initial.detach().clone())
        self.register_buffer("directions", None if directions is None else directions.detach().clone())
        arranged = self.initial.flatten()[index.flatten().to(initial.device)].view(shape)
        self.coefficients = nn.Parameter(arranged)
        self.alpha = nn.Parameter(locations.new_tensor(alpha))
        self.gamma = nn.Parameter(locations.new_tensor(gamma))

    def forward(self, x: Tensor) -> Tensor:
        """F(x): inputs of any shape (...), or (..., d) with directions; outputs of shape (...).

        Raises:
            ValueError: the last dimension of x is not d.
        """
        if self.directions is None:
            z = x[..., None]
        elif x.shape[-1:] != self.directions.shape[1:]:
            raise ValueError(f"inputs must have shape (..., {self.directions.shape[1]}), got {tuple(x.shape)}")
        else:
            z = (x @ self.directions.T)[..., None]
        z = (z - self.locations).flatten(start_dim=x.ndim if self.directions is None else x.ndim - 1)
        p, q = self.coefficients.flatten(start_dim=1)
        return self.alpha + self.gamma * (z.clamp(min=0) @ p + (-z).clamp(min=0) @ q)

    def is_permutation(self) -> bool:
        """Whether the coefficients are a rearrangement of ``initial``, bit for bit (so 0.0 is not -0.0)."""
        bits = _BITS[self.initial.element_size()]
        now, before = (t.detach().flatten().view(bits).sort().values for t in (self.coefficients, self.initial))
        return torch.equal(now, before)

    def extra_repr(self) -> str:
        return "x".join(map(str, self.initial.shape))


def _check(name: str, tensor: Tensor) -> None:
    if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a real floating tensor, got {kind}; convert with .to(torch.float64)")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} has {int((~tensor.isfinite()).sum())} entries that are NaN or infinite")


def pairwise(magnitudes: Tensor) -> Tensor:
    """Coefficients that come in pairs: p = magnitudes, q = -magnitudes (Definition def-permutation-network).

    Args:
        magnitudes: shape (n,) or (D, n).

    Returns:
        Shape (2, n) or (2, D, n).
    """
    return torch.stack([magnitudes, -magnitudes])


def grid(n: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
    """The locations i / (n - 1), i = 0, ..., n - 1, which are also the magnitudes of the published theory.

    Args:
        n: number of locations, at least 2.
        dtype: of the locations.
        device: where they live.

    Returns:
        Shape (n,), from 0 to 1.

    Raises:
        ValueError: n < 2.
    """
    if n < 2:
        raise ValueError(f"a grid needs n >= 2 locations, got n = {n}")
    return (torch.arange(n, dtype=torch.float64) / (n - 1)).to(dtype=dtype, device=device)


#: The initialisations of Cai, Chen and Qiao (2024), section on experiments.
INITIALISATIONS = ("pairwise equidistant", "pairwise uniform", "uniform", "xavier", "he")


def initial_coefficients(
    kind: str, n: int, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Initial coefficients of a network with n locations, by the name of their law (Table tab-initialisations).

    Args:
        kind: "pairwise equidistant" (plus and minus i/(n-1)); "pairwise uniform" (plus and minus n numbers uniform in
            [0, 1]); "uniform" (2n numbers uniform in [-1, 1]); "xavier" (uniform in [-s, s], s^2 = 6 / (2n + 1), for
            2n hidden units and one output); "he" (Gaussian of variance 2 / (2n)).
        n: number of locations, at least 2.
        generator: source of the numbers, on the CPU.
        dtype: of the coefficients.

    Returns:
        Shape (2, n), on the CPU.

    Raises:
        ValueError: an unknown kind, or n < 2.
    """
    if n < 2:
        raise ValueError(f"a network needs n >= 2 locations, got n = {n}")
    uniform = torch.rand(2, n, generator=generator, dtype=torch.float64)
    match kind:
        case "pairwise equidistant":
            values = pairwise(grid(n))
        case "pairwise uniform":
            values = pairwise(uniform[0])
        case "uniform":
            values = 2 * uniform - 1
        case "xavier":
            values = (2 * uniform - 1) * math.sqrt(6 / (2 * n + 1))
        case "he":
            values = torch.randn(2, n, generator=generator, dtype=torch.float64) / math.sqrt(n)
        case _:
            raise ValueError(f"unknown initialisation {kind!r}; choose one of {INITIALISATIONS}")
    return values.to(dtype)


class Best(NamedTuple):
    """The best arrangement an exhaustive search found (:func:`best_permutation`)."""

    network: PermutationNetwork
    error: float  # max |F - f| over the sample points
    tried: int  # arrangements whose functions may differ


def best_permutation(f: Callable[[Tensor], Tensor], n: int, *, linear: bool = True, points: int = 257) -> Best:
    """The arrangement of plus and minus i/(n-1) that comes nearest to f on [0, 1], by trying all of them.

    Arrangements that agree on [0, 1] are tried once: the values of q_1 and p_n do not matter there, and the two zeros
    are equal. With the linear layer, arrangements whose least-squares error exceeds the best maximal error found so
    far are passed over; this cannot lose the best one.

    Args:
        f: takes a tensor of shape (N,) and returns one.
        n: number of locations, 2 <= n <= 5.
        linear: whether alpha and gamma are free; otherwise they are 0 and 1.
        points: number of equidistant points at which the error is measured.

    Returns:
        The network, its error at the points, and how many arrangements were looked at. Within 1e-6 of the range of f,
        with the linear layer, whose scalars are found by bisection.

    Raises:
        ValueError: n is outside 2, ..., 5 (6 locations have 479,001,600 arrangements), or f is not finite.
    """
    if not 2 <= n <= 5:
        raise ValueError(
            f"exhaustive search is for 2 <= n <= 5, got n = {n}: {n} locations have {math.factorial(2 * max(n, 0)):,} "
            "arrangements; use radbook.rearrange or radbook.laperm"
        )
    b, x = grid(n), torch.linspace(0, 1, points, dtype=torch.float64)
    y = f(x)
    if y.shape != x.shape or not y.isfinite().all():
        raise ValueError(f"f must return {points} finite numbers for {points} points")
    alive = torch.tensor([i for i in range(2 * n) if i not in (n - 1, n)])  # p_n and q_1 do nothing on [0, 1]
    hinges = torch.cat([(x[:, None] - b).clamp(min=0), (b - x[:, None]).clamp(min=0)], dim=1)[:, alive].T
    values = pairwise(b).flatten()
    rows = _arrangements(n, linear)
    if linear:
        floor = torch.cat([_least_squares(values[r.long()] @ hinges, y) for r in rows.split(2**14)])
        row, error, alpha, gamma = rows[0], math.inf, 0.0, 0.0
        for block in floor.argsort().split(1024):
            if floor[block[0]] >= error:
                break
            g = values[rows[block].long()] @ hinges
            keep = _minimax(g[:, ::8], y[::8])[0] < error  # what fails at an eighth of the points fails at all
            if keep.any():
                block, fits = block[keep], _minimax(g[keep], y)
                j = fits[0].argmin()
                if fits[0][j] < error:
                    row, (error, alpha, gamma) = rows[block[j]], (float(v[j]) for v in fits)
    else:
        errors = torch.cat([(values[r.long()] @ hinges - y).abs().amax(1) for r in rows.split(2**14)])
        row, error, alpha, gamma = rows[errors.argmin()], float(errors.min()), 0.0, 1.0
    index = torch.empty(2 * n, dtype=torch.int64)
    index[alive] = row.long()
    index[[n - 1, n]] = torch.tensor(sorted(set(range(2 * n)) - set(row.tolist())))
    return Best(PermutationNetwork(b, pairwise(b), index, alpha=alpha, gamma=gamma), error, len(rows))


def _arrangements(n: int, linear: bool) -> Tensor:
    """Ordered choices of 2n - 2 of the indices 0, ..., 2n - 1, where n stands for the second zero."""
    rows = torch.zeros(1, 0, dtype=torch.int8)
    for _ in range(2 * n - 2):
        new = torch.arange(2 * n, dtype=torch.int8).repeat(len(rows))[:, None]
        rows = rows.repeat_interleave(2 * n, dim=0)
        rows = torch.cat([rows, new], dim=1)[(rows != new).all(1)]
    twins = [(0, n)] + linear * [(n - 1, 2 * n - 1)]  # the zeros; with gamma free, also g and -g
    for first, second in twins:
        place = [torch.where((rows == i).any(1), (rows == i).int().argmax(1), 2 * n) for i in (first, second)]
        rows = rows[place[0] <= place[1]]
    return rows


def _least_squares(g: Tensor, y: Tensor) -> Tensor:
    """Least root mean square of alpha + gamma g - y, per row of g: a lower bound of the maximal error."""
    g, y = g - g.mean(1, keepdim=True), y - y.mean()
    share = (g @ y).square() / g.square().sum(1).clamp(min=1e-300)
    return ((y @ y - share).clamp(min=0) / len(y)).sqrt()


def _minimax(g: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Least maximal error of alpha + gamma g - y, per row of g, with its alpha and gamma.

    For fixed gamma the best alpha is the middle of the range of y - gamma g; the error is convex in gamma.
    """

    def spread(gamma: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (y - gamma[:, None] * g).aminmax(dim=1)
        return (high - low) / 2, (high + low) / 2

    size = g.amax(1) - g.amin(1)
    high = torch.where(size > 0, 2 * (y.max() - y.min()) / size.clamp(min=1e-300), 0)
    low = -high
    for _ in range(60):
        third = (high - low) / 3
        left = spread(low + third)[0] <= spread(high - third)[0]
        low, high = torch.where(left, low, low + third), torch.where(left, high - third, high)
    gamma = (low + high) / 2
    return *spread(gamma), gamma

"""Compression of radial networks: lossless by QR and by rank, and lossy with a certificate.

Chapters "QR compression" and "Ranks, and compression with loss".
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from radbook.network import RadialNetwork, check_finite, check_widths
from radbook.rescaling import RadialRescaling, radius


def reduced_widths(widths: Iterable[int]) -> tuple[int, ...]:
    """Reduced widths: n_0 and n_L stay, n_i^red = min(n_i, n_{i-1}^red + 1) between (Definition def-reduced-widths).

    Args:
        widths: (n_0, ..., n_L).

    Raises:
        TypeError, ValueError: as :func:`radbook.network.check_widths`.

    Example:
        >>> reduced_widths((1, 8, 16, 8, 1))
        (1, 2, 3, 4, 1)
    """
    first, *hidden, last = check_widths(widths)
    reduced = [first]
    for n in hidden:
        reduced.append(min(n, reduced[-1] + 1))
    return (*reduced, last)


@dataclass(frozen=True)
class Compression:
    """What :func:`qr_compress` and :func:`rank_compress` return.

    Attributes:
        network: the compressed network, widths n^red.
        factors: what the isometries are made from: V_i itself, the Householder reflectors of a QR decomposition
            (``torch.geqrf``), or None where the layer kept its width and V_i is the identity.
    """

    network: RadialNetwork
    factors: tuple[Tensor | tuple[Tensor, Tensor] | None, ...]

    @cached_property
    def isometries(self) -> tuple[Tensor | None, ...]:
        """(V_1, ..., V_{L-1}), V_i of shape (n_i, n_i^red), for ranks (n_i, r_i), with orthonormal columns.

        The hidden layers satisfy F_i = V_i F_i^red. None where the layer kept its width and V_i is the identity.
        """
        return tuple(torch.linalg.householder_product(*f) if isinstance(f, tuple) else f for f in self.factors)

    @property
    def rotations(self) -> list[Tensor]:
        """The full orthogonal matrices [Q_1, ..., Q_{L-1}], Q_i of shape (n_i, n_i), computed when they are read.

        The first n_i^red columns of Q_i are V_i; the others complete them to an orthonormal basis.
        """
        rotations = []
        for v, n in zip(self.isometries, self.network.widths[1:-1], strict=True):
            if v is None:
                like = self.network.linears[0].weight
                rotations.append(torch.eye(n, dtype=like.dtype, device=like.device))
            else:
                complement = torch.linalg.qr(v, mode="complete").Q[:, n:]
                rotations.append(torch.cat([v, complement], dim=1))
        return rotations


@torch.no_grad()
def qr_compress(network: RadialNetwork) -> Compression:
    """Lossless compression by iterated QR decomposition (Theorem thm-qr-compression; Ganev et al.).

    Layer by layer the extended matrix [b_i W_i V_{i-1}] is factored as V_i R_i with a thin QR decomposition, and R_i
    becomes the new extended matrix. A layer with n_i <= n_{i-1}^red + 1 keeps its width and takes V_i = I. No matrix
    larger than (n_i, n_i^red) is formed.

    Args:
        network: any radial network; it is not changed.

    Returns:
        The compressed network, with the same function up to rounding, and the isometries.

    Raises:
        ValueError: a parameter is NaN or infinite.
    """
    weights, biases, factors = [], [], []
    factor = None
    *hidden, last = network.linears
    for linear in hidden:
        bias, weight = linear.bias, _times(linear.weight, factor, network)
        columns = weight.shape[1] + 1
        if linear.out_features <= columns:
            factor = None
        else:
            reflectors, scales = torch.geqrf(torch.cat([bias[None], weight.mT]).mT)  # column by column, as LAPACK
            factor, r = (reflectors, scales), reflectors[:columns].triu()
            bias, weight = r[:, 0], r[:, 1:]
        factors.append(factor)
        weights.append(weight)
        biases.append(bias)
    weights.append(_times(last.weight, factor, network))
    biases.append(last.bias)
    return Compression(network.with_parameters(weights, biases), tuple(factors))


def _times(weight: Tensor, factor: tuple[Tensor, Tensor] | None, network: RadialNetwork) -> Tensor:
    """The product W V; V is only formed where W has more rows than V has columns, and reflecting W would cost more."""
    product, columns = weight, weight.shape[1]
    if factor is not None:
        columns = factor[0].shape[1]
        if len(weight) <= columns:
            product = torch.ormqr(*factor, weight, left=False)  # W Q, which begins with W V
        else:
            v = torch.linalg.householder_product(*factor)
            # for thin V this reads W faster than W V does, and in parts still faster
            parts = [v.mT @ part.mT for part in weight.split(512 if columns <= 16 else len(weight))]
            product = (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).mT
    if not product.sum().isfinite():  # NaN and infinity in W stay in the product, which is smaller to read
        check_finite(network)
    return product[:, :columns]


@torch.no_grad()
def rank_compress(network: RadialNetwork, *, rtol: float | None = None) -> Compression:
    """Lossless compression to the ranks r_i of [b_i W_i V_{i-1}] (Theorem thm-rank-compression).

    As :func:`qr_compress`, with V_i an orthonormal basis of the column space (from a singular value decomposition) in
    place of a QR factor. No network that sits in this one isometrically is narrower.

    Args:
        network: any radial network; it is not changed.
        rtol: singular values up to ``rtol`` times the Frobenius norm of [b_i W_i] count as zero; None takes
            max(n_i, n_{i-1} + 1) * eps, the size of the rounding errors. A layer of rank 0 keeps width 1, with zeros.

    Returns:
        The compressed network and the isometries.

    Raises:
        ValueError: a parameter is NaN or infinite, or rtol is negative or NaN.
    """
    if rtol is not None and not rtol >= 0:
        raise ValueError(f"rtol must be >= 0, got {rtol}")

    def rank(s: Tensor, a: Tensor) -> int:
        relative = max(a.shape) * torch.finfo(a.dtype).eps if rtol is None else rtol
        return int((s > relative * radius(a.flatten())).sum())

    compressed, isometries, _ = _project(network, rank)
    return Compression(compressed, isometries)


@dataclass(frozen=True)
class Truncation:
    """What :func:`truncate` returns: a smaller network, and how far it can be from the original.

    Attributes:
        network: the truncated network G.
        isometries: [V_1, ..., V_{L-1}] of shapes (n_i, k_i).
        dropped: the largest singular value left out at each hidden layer, 0 where none is.
        norms: spectral norms of the original W_1, ..., W_L.
    """

    network: RadialNetwork
    isometries: tuple[Tensor | None, ...]
    dropped: tuple[float, ...]
    norms: tuple[float, ...]

    @torch.no_grad()
    def bound(self, x: Tensor) -> Tensor:
        """Certificate at each point: |F(x) - G(x)| is at most this (Theorem thm-truncation). F is not needed.

        Args:
            x: inputs, shape (..., n_0), in the network's dtype and on its device.

        Returns:
            Bounds, shape (...,).
        """
        lengths = [radius(f)[..., 0] for f in self.network.partial_maps(x)[:-1]]
        return self._recursion(lengths)

    def uniform_bound(self, radius: float) -> float:
        """Certificate on the ball |x| <= radius (Theorem thm-truncation).

        Args:
            radius: of the ball, >= 0.

        Raises:
            ValueError: the radius is negative or not finite.
        """
        if not (math.isfinite(radius) and radius >= 0):
            raise ValueError(f"radius must be a finite number >= 0, got {radius}")
        lengths = [torch.tensor(float(radius), dtype=torch.float64)]
        for a, rho in zip(self.network.extended_matrices()[:-2], self.network.activations, strict=False):
            size = float(torch.linalg.matrix_norm(a.detach(), 2))
            lengths.append(_lipschitz(rho) * size * _extended_length(lengths[-1]))
        return float(self._recursion(lengths))

    def _recursion(self, lengths: Sequence[Tensor]) -> Tensor:
        error = torch.zeros_like(lengths[0])
        for s, norm, r, rho in zip(self.dropped, self.norms, lengths, self.network.activations, strict=False):
            error = _lipschitz(rho) * (norm * error + s * _extended_length(r))
        return self.norms[-1] * error


@torch.no_grad()
def truncate(
    network: RadialNetwork, *, widths: Sequence[int] | None = None, tolerance: float | None = None
) -> Truncation:
    """Lossy compression: leave out small singular values of [b_i W_i V_{i-1}] (Theorem thm-truncation).

    Args:
        network: a network whose activations have finite Lipschitz constants (``RadialRescaling.lipschitz``).
        widths: hidden widths (k_1, ..., k_{L-1}) to keep, k_i <= min(n_i, k_{i-1} + 1) with k_0 = n_0; or
        tolerance: keep the singular values above ``tolerance`` times the largest of the layer, one at least.

    Returns:
        The truncated network with its certificate.

    Raises:
        TypeError: neither or both of ``widths`` and ``tolerance`` are given, or a width is not an integer.
        ValueError: widths of another number or size, a tolerance outside [0, 1), a parameter that is NaN or infinite,
            or an activation without a finite Lipschitz constant.
    """
    if (widths is None) == (tolerance is None):
        raise TypeError("give either the hidden widths to keep or a tolerance")
    for rho in network.activations:
        _lipschitz(rho)
    first, *hidden, _ = network.widths
    if widths is not None:
        wanted = tuple(operator.index(k) for k in widths)
        largest = [min(n, k + 1) for n, k in zip(hidden, (first, *wanted), strict=False)]
        if len(wanted) != len(hidden) or not all(1 <= k <= n for k, n in zip(wanted, largest, strict=True)):
            raise ValueError(
                f"widths must be {len(hidden)} integers, each at least 1 and at most {largest}, got {wanted}"
            )
        keep = iter(wanted)
        compressed, isometries, dropped = _project(network, lambda s, a: next(keep))
    else:
        if tolerance is None or not 0 <= tolerance < 1:
            raise ValueError(f"tolerance must be in [0, 1), got {tolerance}")
        compressed, isometries, dropped = _project(network, lambda s, a: int((s > tolerance * s[0]).sum()))
    norms = tuple(float(torch.linalg.matrix_norm(linear.weight, 2)) for linear in network.linears)
    return Truncation(compressed, isometries, dropped, norms)


def _project(
    network: RadialNetwork, rank: Callable[[Tensor, Tensor], int]
) -> tuple[RadialNetwork, tuple[Tensor, ...], tuple[float, ...]]:
    """Replace each layer by its image under V_i^T, V_i the first ``rank`` left singular vectors; what is left out.

    ``rank`` is given the singular values of [b_i W_i V_{i-1}] and the matrix [b_i W_i]. A layer of rank 0 gets one
    unit, of which nothing goes in or out.
    """
    check_finite(network)
    weights, biases, isometries, dropped = [], [], [], []
    *hidden, last = network.linears
    v = torch.eye(network.widths[0]).to(last.weight)
    for linear, a in zip(hidden, network.extended_matrices(), strict=False):
        extended = torch.cat([linear.bias[:, None], linear.weight @ v], dim=1)
        u, s, _ = torch.linalg.svd(extended, full_matrices=False)
        k = min(len(s), rank(s, a))
        isometries.append(u[:, : max(1, k)])
        v = isometries[-1] * (k > 0)
        reduced = v.mT @ extended
        biases.append(reduced[:, 0])
        weights.append(reduced[:, 1:])
        dropped.append(float(s[k]) if k < len(s) else 0.0)
    weights.append(last.weight @ v)
    biases.append(last.bias)
    return network.with_parameters(weights, biases), tuple(isometries), tuple(dropped)


def _extended_length(r: Tensor) -> Tensor:
    """sqrt(1 + r^2), the length of (1, u) for |u| = r, without overflow."""
    return torch.hypot(torch.ones_like(r), r)


def _lipschitz(rho: RadialRescaling) -> float:
    if rho.lipschitz is None or not math.isfinite(rho.lipschitz):
        raise ValueError(
            f"{rho} has no finite Lipschitz constant; give RadialRescaling(profile, lipschitz=...) one that is proven"
        )
    return rho.lipschitz

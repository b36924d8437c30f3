"""Equiangular tight frames, and compression of two-layer networks (chapter "Equiangular tight frames")."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from radbook.gaussian import Target, arc_cosine, radial_mean


def simplex(
    nodes: int, d: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
) -> Tensor:
    """Unit vectors with all inner products -1/(M - 1): a regular simplex (Definition def-simplex-frame).

    They lie in the first M - 1 coordinates and sum to zero; up to an orthogonal map there are no others:
    Proposition prop-simplex.

    Args:
        nodes: their number M >= 1; one vector alone is (1, 0, ..., 0).
        d: dimension >= M - 1, and >= 1.
        dtype, device: of the result.

    Returns:
        Shape (M, d).

    Raises:
        ValueError: M or d is not an integer >= 1, or d < M - 1.

    Example:
        >>> simplex(3, 2, dtype=torch.float32)
        tensor([[ 0.8660,  0.5000],
                [-0.8660,  0.5000],
                [ 0.0000, -1.0000]])
    """
    _check_counts(nodes, d)
    if d < nodes - 1:
        raise ValueError(f"a simplex of M = {nodes} vectors needs dimension d >= {nodes - 1}, got d = {d}")
    v = torch.zeros(nodes, max(d, nodes), dtype=torch.float64)
    k = torch.arange(1, nodes, dtype=torch.float64)
    v[:, : nodes - 1] = (torch.ones(nodes, nodes - 1).triu() - torch.diag(k, -1)[:, : nodes - 1]) / (k * (k + 1)).sqrt()
    v[0, 0] += nodes == 1
    return torch.nn.functional.normalize(v, dim=1)[:, :d].to(dtype=dtype, device=device)


def welch_bound(nodes: int, d: int) -> float:
    """The least coherence max |<v_j, v_k>| that M unit vectors of R^d can have at all (Proposition prop-welch).

    It is sqrt((M - d) / (d (M - 1))), and 0 for M <= d. For M >= d, M >= 2, equality holds exactly for equiangular
    tight frames of R^d; for M <= d it holds exactly for orthonormal vectors, which for M < d do not span R^d.

    Args:
        nodes: M >= 1.
        d: dimension >= 1.

    Raises:
        ValueError: M or d is not an integer >= 1.

    Example:
        >>> welch_bound(4, 3) == 1 / 3
        True
    """
    _check_counts(nodes, d)
    return math.sqrt(max(0, nodes - d) / (d * max(1, nodes - 1)))


class FrameDiagnostics(NamedTuple):
    """How far unit vectors are from an equiangular tight frame (Definition def-simplex-frame).

    Attributes:
        coherence: max |<v_j, v_k>| over j != k; at least :func:`welch_bound`.
        angles: largest minus smallest <v_j, v_k> over j != k, signs kept; 0 for a simplex.
        tightness: largest minus smallest non-zero eigenvalue of the Gram matrix, over the largest; 0 exactly for a
            frame that is tight on its span.
        balance: |sum_j v_j| / M; 0 for a simplex.
        spectrum: eigenvalues of the Gram matrix, ascending, shape (..., M).
    """

    coherence: Tensor
    angles: Tensor
    tightness: Tensor
    balance: Tensor
    spectrum: Tensor


def frame_diagnostics(v: Tensor) -> FrameDiagnostics:
    """Coherence, angles, tightness, balance and Gram spectrum of unit vectors (Definition def-simplex-frame).

    Args:
        v: unit vectors, shape (..., M, d), M >= 2.

    Returns:
        Five tensors, of shape (...,), the spectrum of shape (..., M).

    Raises:
        TypeError: v is not a real floating tensor.
        ValueError: there are fewer than two vectors, or one is not a unit vector (divide by the lengths first).

    Example:
        >>> round(float(frame_diagnostics(simplex(4, 3)).coherence), 6)
        0.333333
    """
    if not (isinstance(v, Tensor) and v.is_floating_point()):
        raise TypeError(
            f"v must be a real floating tensor, got {v.dtype if isinstance(v, Tensor) else type(v).__name__}"
        )
    if v.ndim < 2 or v.shape[-2] < 2:
        raise ValueError(f"v must hold M >= 2 unit vectors, shape (..., M, d), got {tuple(v.shape)}")
    rounding = 100 * v.shape[-1] * torch.finfo(v.dtype).eps
    if not ((v.norm(dim=-1) - 1).abs() <= rounding).all():
        raise ValueError("v must hold unit vectors; divide each by its length, v / v.norm(dim=-1, keepdim=True)")
    gram = v @ v.mT
    off = gram[..., ~torch.eye(v.shape[-2], dtype=torch.bool, device=v.device)]
    spectrum = torch.linalg.eigvalsh(gram)
    zero = spectrum <= v.shape[-2] * rounding
    least = spectrum.masked_fill(zero, math.inf).amin(-1)
    return FrameDiagnostics(
        coherence=off.abs().amax(-1),
        angles=off.amax(-1) - off.amin(-1),
        tightness=1 - least / spectrum[..., -1],
        balance=v.mean(-2).norm(dim=-1),
        spectrum=spectrum,
    )


def simplex_weight(nodes: int, d: int) -> float:
    """The output weight of each unit vector of the best simplex for |x|: E|x| ReLU(x_1) / A_M (Theorem thm-etf).

    Here A_M = kappa(1) + (M - 1) kappa(-1/(M - 1)). For c|x| it is c times as large.

    Args:
        nodes: M >= 1.
        d: dimension >= M - 1, and >= 1.

    Raises:
        ValueError: M or d is not an integer >= 1, or d < M - 1.

    Example:
        >>> round(simplex_weight(2, 1), 6)  # |x| = ReLU(x) + ReLU(-x)
        1.0
    """
    _check_counts(nodes, d)
    if d < nodes - 1:
        raise ValueError(f"a simplex of M = {nodes} vectors needs dimension d >= {nodes - 1}, got d = {d}")
    rho = torch.tensor(-1 / max(1, nodes - 1), dtype=torch.float64)
    return d * radial_mean(d) / (0.5 + (nodes - 1) * float(arc_cosine(rho)))


def optimal_simplex_loss(nodes: int, d: int) -> float:
    """The least E (|x| - sum_j b_j ReLU(<v_j, x>))^2 over M <= d + 1 nodes (Corollary cor-etf-loss).

    Weights b_j of any sign are no better than b_j >= 0 (Theorem thm-signed). For c|x| it is c^2 times as large.

    Args:
        nodes: M >= 1.
        d: dimension >= M - 1, and >= 1.

    Raises:
        ValueError: M or d is not an integer >= 1, or d < M - 1.

    Example:
        >>> round(optimal_simplex_loss(3, 2), 8)
        0.0035162
    """
    return d - nodes * d * radial_mean(d) * simplex_weight(nodes, d)


class TwoLayerCompression(NamedTuple):
    """What :func:`compress_two_layer` returns, start by start, the least loss first.

    Attributes:
        b: output weights, shape (starts, M).
        v: unit vectors, shape (starts, M, d).
        losses: exact population losses, shape (starts,), ascending.
        gradients: norms of the gradient, shape (starts,); 0 certifies a stationary point.
        spectrum: eigenvalues of the Hessian, ascending, shape (starts, M (d + 1)). M of them are 0 at a stationary
            point, as lengths of v do not count, and more where the target has symmetries.
        interrupted: whether it was stopped from the keyboard.
    """

    b: Tensor
    v: Tensor
    losses: Tensor
    gradients: Tensor
    spectrum: Tensor
    interrupted: bool = False


def compress_two_layer(
    target: Target,
    nodes: int,
    *,
    starts: int = 32,
    signed: bool = False,
    steps: int = 200,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> TwoLayerCompression:
    """Minimise E |f(x) - sum_j b_j ReLU(<v_j, x>)|^2 over M nodes, from many random starts at once.

    The loss is exact (Proposition prop-population-loss), and each step is one of Newton's method with the moduli of the
    Hessian's eigenvalues, damped until the loss goes down. What it finds are stationary points, as a rule local
    minima; that the best of them is the global minimum is Theorem thm-etf (with signs, Theorem thm-signed) where it
    applies, and else only evidence. Ctrl-C ends the search and keeps what was done.

    Args:
        target: of :mod:`radbook.gaussian`: a network, a radial function, or a Gaussian limit.
        nodes: M, from 1 to the number of nodes of the target.
        starts: how many random starts >= 1.
        signed: whether output weights may be negative; if not, b = p^2 is optimised over p.
        steps: the most Newton steps.
        generator: of the starts, on the CPU; None takes a new one with seed 0.
        dtype, device: of the search; those of the target, if it is made of tensors.
        progress: show a progress bar with the least loss.

    Returns:
        Points b, v with their certificates: gradient and Hessian in the variables of the search, (b, v / |v|) if
        signed and (p, v / |v|) if not.

    Raises:
        ValueError: M is not from 1 to the number of nodes of the target, the target is 0, or starts or steps are < 1.

    Example:
        >>> from radbook.gaussian import radial_target
        >>> round(float(compress_two_layer(radial_target(1.0, 2), 3).losses[0]), 8)
        0.0035162
    """
    _check_counts(nodes, target.d)
    if nodes > target.nodes:
        raise ValueError(f"the number M of nodes must be at most the {target.nodes} nodes of the target, got {nodes}")
    if not target.square > 0:
        raise ValueError("the target is zero, or below the rounding of its dtype: there is nothing to compress")
    if starts < 1 or steps < 1:
        raise ValueError(f"starts and steps must be >= 1, got {starts} and {steps}")

    def split(z: Tensor) -> tuple[Tensor, Tensor]:
        p, v = z[:, :nodes], z[:, nodes:].unflatten(1, (nodes, target.d))
        return p if signed else p * p, v / v.norm(dim=-1, keepdim=True)

    generator = generator or torch.Generator().manual_seed(0)
    z = torch.randn(starts, nodes * (1 + target.d), generator=generator, dtype=torch.float64)
    size = z[:, :nodes].abs() * math.sqrt(2 * target.square) / nodes
    z[:, :nodes] = size.copysign(z[:, :nodes]) if signed else size.sqrt()
    z = z.to(dtype=dtype, device=device)
    rounding = 10 * z.shape[1] * torch.finfo(dtype).eps * target.square
    damping = torch.full_like(z[:, 0], target.square)
    least = torch.finfo(dtype).eps ** 0.5 * target.square
    interrupted = False
    loss, gradient, hessian = _derivatives(target, split, z)
    bar = tqdm(total=steps, disable=not progress)
    try:
        for _ in range(steps):
            (moving,) = (gradient.abs().amax(1) > rounding).nonzero(as_tuple=True)
            if not len(moving):
                break
            values, axes = torch.linalg.eigh(hessian[moving])
            components = (axes.mT @ gradient[moving][..., None]) / (values.abs() + damping[moving, None])[..., None]
            trial = z[moving] - (axes @ components)[..., 0]
            better = target.loss(*split(trial)) <= loss[moving] + rounding
            damping[moving] = (damping[moving] * torch.where(better, 0.25, 4.0)).clamp(min=least)
            trial, moved = trial[better], moving[better]
            z[moved] = torch.cat([trial[:, :nodes], split(trial)[1].flatten(1)], dim=1)
            loss[moved], gradient[moved], hessian[moved] = _derivatives(target, split, z[moved])
            bar.update()
            bar.set_postfix(loss=f"{float(loss.min()):.6g}")
    except KeyboardInterrupt:
        interrupted = True
        loss, gradient, hessian = _derivatives(target, split, z)  # those at hand may be of a step before
    finally:
        bar.close()
    order = loss.argsort()
    b, v = split(z[order])
    spectrum = torch.linalg.eigvalsh(hessian[order])
    return TwoLayerCompression(b, v, loss[order], gradient[order].norm(dim=1), spectrum, interrupted)


def _derivatives(
    target: Target, split: Callable[[Tensor], tuple[Tensor, Tensor]], z: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses (starts,), gradients (starts, n) and Hessians (starts, n, n) at z, shape (starts, n)."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        b, v = split(z)
        loss = _quadratic(target, v.detach()).loss(b, v)
        (gradient,) = torch.autograd.grad(loss.sum(), z, create_graph=True)
        rows = [torch.autograd.grad(column.sum(), z, retain_graph=True)[0] for column in gradient.unbind(1)]
    return loss.detach(), gradient.detach(), torch.stack(rows, dim=1)


def _quadratic(target: Target, v: Tensor) -> Target:
    """The target with its overlaps replaced by their Taylor polynomials of degree 2 at v.

    The derivatives at v are those of the target. But the overlap with a node depends on that node alone: d passes
    through the target give them all.
    """
    at = v.clone().requires_grad_()
    value = target.overlap(at)
    (slope,) = torch.autograd.grad(value.sum(), at, create_graph=True)
    rows = [torch.autograd.grad(column.sum(), at, retain_graph=True)[0] for column in slope.unbind(-1)]
    value, slope, curvature = value.detach(), slope.detach(), torch.stack(rows, dim=-1)

    def overlap(u: Tensor) -> Tensor:
        step = u - v
        return value + ((slope + (curvature @ step[..., None])[..., 0] / 2) * step).sum(-1)

    return replace(target, overlap=overlap)


def _check_counts(nodes: int, d: int) -> None:
    for name, number in (("the number M of nodes", nodes), ("the dimension d", d)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {number!r}")

"""The orthogonal action on parameter space (chapters "Radial neural networks" and "Orbits in parameter space")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from radbook.network import RadialNetwork, check_widths


def random_rotations(
    widths: Sequence[int],
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> list[Tensor]:
    """Independent Haar-distributed orthogonal matrices, one for each hidden layer.

    The Q factor of a Gaussian matrix is Haar distributed once R is given a positive diagonal.

    Args:
        widths: (n_0, ..., n_L).
        generator: source of the Gaussian entries, which are drawn on its device.
        dtype, device: of the result.

    Returns:
        [Q_1, ..., Q_{L-1}], Q_i in O(n_i) of shape (n_i, n_i). Determinants are +1 or -1.

    Raises:
        TypeError, ValueError: as :func:`radbook.network.check_widths`.
    """
    source = generator.device if generator is not None else device
    rotations = []
    for n in check_widths(widths)[1:-1]:
        gaussian = torch.randn(n, n, generator=generator, dtype=dtype, device=source).to(device=device)
        q, r = torch.linalg.qr(gaussian)
        rotations.append(q * torch.copysign(torch.ones_like(r[0]), r.diagonal()))
    return rotations


def act(rotations: Sequence[Tensor], network: RadialNetwork) -> RadialNetwork:
    """The action Q . (W, b) = (Q_i W_i Q_{i-1}^{-1}, Q_i b_i) with Q_0 = Q_L = identity.

    Definition def-action; Ganev et al. Theorem thm-invariance: the function does not change.

    Args:
        rotations: [Q_1, ..., Q_{L-1}], orthogonal, Q_i of shape (n_i, n_i), in the network's dtype and on its device.
        network: a network with widths (n_0, ..., n_L).

    Returns:
        A new network with the transformed parameters.

    Raises:
        ValueError: wrong number or shape of rotations, another dtype or device, or a matrix that is not orthogonal.
    """
    widths = network.widths
    if len(rotations) != len(widths) - 2:
        raise ValueError(f"widths {widths} need {len(widths) - 2} rotations, one a hidden layer, got {len(rotations)}")
    for i, (q, n) in enumerate(zip(rotations, widths[1:-1], strict=True), start=1):
        weight = network.linears[i].weight
        if q.shape != (n, n) or q.dtype != weight.dtype or q.device != weight.device:
            raise ValueError(
                f"rotation {i} must have shape {(n, n)}, dtype {weight.dtype} and device {weight.device}, "
                f"got {tuple(q.shape)}, {q.dtype}, {q.device}"
            )
        defect = float((q @ q.mT - torch.eye(n, dtype=q.dtype, device=q.device)).detach().abs().max())
        if not defect <= 10 * n * torch.finfo(q.dtype).eps:
            raise ValueError(f"rotation {i} is not orthogonal: an entry of Q Q^T - I is {defect:.2g}")
    with torch.no_grad():
        weights: list[Tensor] = [linear.weight for linear in network.linears]
        biases: list[Tensor] = [linear.bias for linear in network.linears]
        for i, q in enumerate(rotations):
            weights[i], biases[i] = q @ weights[i], q @ biases[i]
            weights[i + 1] = weights[i + 1] @ q.mT
    return network.with_parameters(weights, biases)


def stabiliser_sizes(widths: Iterable[int]) -> tuple[int, ...]:
    """Sizes m_i of the generic stabiliser O(m_1) x ... x O(m_{L-1}) (Theorem thm-stabiliser).

    Args:
        widths: (n_0, ..., n_L).

    Returns:
        m_i = max(0, n_i - n_{i-1} - n_{i+1} - 1), one for each hidden layer.

    Raises:
        TypeError, ValueError: as :func:`radbook.network.check_widths`.

    Example:
        >>> stabiliser_sizes((1, 8, 2))
        (4,)
    """
    n = check_widths(widths)
    return tuple(max(0, n[i] - n[i - 1] - n[i + 1] - 1) for i in range(1, len(n) - 1))


def generic_orbit_dimension(widths: Iterable[int]) -> int:
    """Dimension of the orbit of almost every point of Param(n) (Corollary cor-orbit-dimension).

    Args:
        widths: (n_0, ..., n_L).

    Returns:
        The sum of dim O(n_i) - dim O(m_i), with dim O(n) = n (n - 1) / 2 and m_i of :func:`stabiliser_sizes`.

    Raises:
        TypeError, ValueError: as :func:`radbook.network.check_widths`.

    Example:
        >>> generic_orbit_dimension((1, 8, 16, 8, 1))
        176
    """
    n = check_widths(widths)
    return sum((a * (a - 1) - m * (m - 1)) // 2 for a, m in zip(n[1:-1], stabiliser_sizes(n), strict=True))


@torch.no_grad()
def infinitesimal_action(skews: Sequence[Tensor], network: RadialNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """Derivative at t = 0 of exp(t X) . (W, b): (X_i W_i - W_i X_{i-1}, X_i b_i), X_0 = X_L = 0.

    Definition def-infinitesimal-action.

    Args:
        skews: [X_1, ..., X_{L-1}], X_i of shape (n_i, n_i), skew, in the network's dtype and on its device.
        network: a network with widths (n_0, ..., n_L).

    Returns:
        The tangent vector as (weights, biases), of the shapes of the network's.

    Raises:
        ValueError: wrong number or shape of matrices, another dtype or device, or a matrix that is not skew.
    """
    widths = network.widths
    if [tuple(x.shape) for x in skews] != [(n, n) for n in widths[1:-1]]:
        raise ValueError(
            f"widths {widths} need skew matrices of sizes {widths[1:-1]}, got {[tuple(x.shape) for x in skews]}"
        )
    for i, x in enumerate(skews, start=1):
        weight = network.linears[i].weight
        if x.dtype != weight.dtype or x.device != weight.device:
            raise ValueError(f"X_{i} must have {weight.dtype} and device {weight.device}, got {x.dtype}, {x.device}")
        defect, size = float((x + x.mT).abs().max()), float(x.abs().max())
        if not defect <= 10 * len(x) * torch.finfo(x.dtype).eps * size:
            raise ValueError(f"X_{i} is not skew: an entry of X + X^T is {defect:.2g}")
    weights = [torch.zeros_like(linear.weight) for linear in network.linears]
    biases = [torch.zeros_like(linear.bias) for linear in network.linears]
    for i, x in enumerate(skews):
        weights[i] += x @ network.linears[i].weight
        biases[i] += x @ network.linears[i].bias
        weights[i + 1] -= network.linears[i + 1].weight @ x
    return weights, biases


@torch.no_grad()
def orbit_tangents(network: RadialNetwork) -> Tensor:
    """Vectors that span the tangent space of the orbit through the network (Definition def-infinitesimal-action).

    Args:
        network: a network with widths (n_0, ..., n_L).

    Returns:
        A matrix of shape (parameters, sum of n_i (n_i - 1) / 2), in the network's dtype: one column for each entry
        below the diagonal of each X_i; rows in the order W_1, b_1, W_2, ... of ``network.linears``.
    """
    columns = []
    like = network.linears[0].weight
    hidden = network.widths[1:-1]
    for i, n in enumerate(hidden):
        for j, k in torch.tril_indices(n, n, -1).T.tolist():
            skews = [like.new_zeros(m, m) for m in hidden]
            skews[i][j, k], skews[i][k, j] = 1, -1
            weights, biases = infinitesimal_action(skews, network)
            columns.append(torch.cat([t.flatten() for pair in zip(weights, biases, strict=True) for t in pair]))
    if not columns:
        return like.new_zeros(sum(linear.weight.numel() + linear.bias.numel() for linear in network.linears), 0)
    return torch.stack(columns, dim=1)


@torch.no_grad()
def gradient_defect(network: RadialNetwork) -> list[Tensor]:
    """Skew parts of (dL/dA_i) A_i^T - W_{i+1}^T (dL/dW_{i+1}), which vanish (Proposition prop-gradient-identity).

    Args:
        network: a network whose parameters hold the gradients of a loss that depends on the function alone.

    Returns:
        Matrices of shapes (n_i, n_i), one for each hidden layer: zero up to rounding.

    Raises:
        ValueError: a weight or bias has no gradient.
    """
    gradients = []
    for i, linear in enumerate(network.linears, start=1):
        if linear.bias.grad is None or linear.weight.grad is None:
            raise ValueError(f"layer {i} has no gradient: call backward() on a loss first")
        gradients.append((linear.weight.grad, linear.bias.grad))
    defects = []
    for i in range(len(gradients) - 1):
        this, after = network.linears[i], network.linears[i + 1]
        weight, bias = gradients[i]
        moment = weight @ this.weight.mT + torch.outer(bias, this.bias) - after.weight.mT @ gradients[i + 1][0]
        defects.append((moment - moment.mT) / 2)
    return defects

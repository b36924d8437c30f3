"""The orthogonal action on parameter space (chapter "Radial neural networks")."""

from __future__ import annotations

from collections.abc import Sequence

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
        defect = float((q @ q.mT - torch.eye(n, dtype=q.dtype, device=q.device)).abs().max())
        if not defect <= 10 * n * torch.finfo(q.dtype).eps:
            raise ValueError(f"rotation {i} is not orthogonal: an entry of Q Q^T - I is {defect:.2g}")
    with torch.no_grad():
        weights: list[Tensor] = [linear.weight for linear in network.linears]
        biases: list[Tensor] = [linear.bias for linear in network.linears]
        for i, q in enumerate(rotations):
            weights[i], biases[i] = q @ weights[i], q @ biases[i]
            weights[i + 1] = weights[i + 1] @ q.mT
    return network.with_parameters(weights, biases)

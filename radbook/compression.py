"""Lossless compression of radial networks by iterated QR decomposition (chapter "QR compression")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from radbook.network import RadialNetwork, check_finite, check_widths


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
    """What :func:`qr_compress` returns.

    Attributes:
        network: the compressed network, widths n^red.
        isometries: [V_1, ..., V_{L-1}], V_i = Q_i Inc_i of shape (n_i, n_i^red), orthonormal columns: the hidden
            layers satisfy F_i = V_i F_i^red. None where the layer kept its width and V_i is the identity.
    """

    network: RadialNetwork
    isometries: tuple[Tensor | None, ...]

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
    check_finite(network)
    weights, biases, isometries = [], [], []
    v = None
    *hidden, last = network.linears
    for linear in hidden:
        weight = linear.weight if v is None else linear.weight @ v
        if linear.out_features <= weight.shape[1] + 1:
            v, bias = None, linear.bias
        else:
            v, r = torch.linalg.qr(torch.cat([linear.bias[:, None], weight], dim=1))
            bias, weight = r[:, 0], r[:, 1:]
        isometries.append(v)
        weights.append(weight)
        biases.append(bias)
    weights.append(last.weight if v is None else last.weight @ v)
    biases.append(last.bias)
    return Compression(network.with_parameters(weights, biases), tuple(isometries))

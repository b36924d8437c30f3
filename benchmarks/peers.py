"""Other ways to do the same: published protocols, written anew from their descriptions, and two libraries."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from radbook import RadialNetwork


def composed_squash(v: Tensor) -> Tensor:
    """Squashing as one would first write it; its gradient at zero is NaN."""
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return r**2 / (1 + r**2) * (v / r)


def factored_squash(v: Tensor) -> Tensor:
    """Squashing with the quotient h(r) / r by hand: one full-size tensor less, and no division by zero."""
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v * (r / (1 + r * r))


def composed_sigmoid(v: Tensor) -> Tensor:
    """The radial sigmoid as one would first write it."""
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return torch.sigmoid(r) * (v / r)


def factored_sigmoid(v: Tensor) -> Tensor:
    """The radial sigmoid with one full-size tensor less; NaN at zero."""
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v * (torch.sigmoid(r) / r)


def factored_in_place(v: Tensor) -> Tensor:
    """The same in place."""
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v.mul_(torch.sigmoid(r) / r)


def published_sigmoid(v: Tensor) -> Tensor:
    """The radial sigmoid by the protocol of the script of Ganev et al.: all norms move if one of them is tiny."""
    r = torch.linalg.norm(v, dim=-1)
    if r.min() < 1e-6:
        r = r + 1e-6
    return v * (torch.sigmoid(r) / r)[..., None]


def published_compression(network: RadialNetwork) -> list[np.ndarray]:
    """QR compression by the protocol of the script of Ganev et al.: complete factors in float64, positive diagonals.

    Beside the reduced matrices it makes, as the script does, the parts U_i that are orthogonal to them.
    """
    extended = [a.detach().cpu().double().numpy() for a in network.extended_matrices()]
    current, previous, reduced, rest = extended[0], network.widths[0], [], []
    for following in extended[1:]:
        q, r = np.linalg.qr(current, mode="complete")
        signs = np.eye(len(q))
        diagonal = np.sign(np.diagonal(r))
        signs[range(len(diagonal)), range(len(diagonal))] = diagonal
        q, r = q @ signs, signs @ r
        previous = min(len(q), previous + 1)
        reduced.append(r[:previous])
        q_extended = _beside_one(q)
        projected = q_extended.copy()
        projected[:, : previous + 1] = 0
        rest.append(following @ projected @ _beside_one(q.T))
        current = (following @ q_extended)[:, : previous + 1]
    return [*reduced, current]


def _beside_one(q: np.ndarray) -> np.ndarray:
    """The block matrix of 1 and q."""
    extended = np.eye(len(q) + 1)
    extended[1:, 1:] = q
    return extended


def complete_compression(network: RadialNetwork) -> list[Tensor]:
    """QR compression with complete factors in the network's dtype: every n x n matrix Q is formed."""
    q = torch.eye(network.widths[0]).to(network.linears[0].weight)
    parts = []
    for linear in network.linears[:-1]:
        a = torch.cat([linear.bias[:, None], linear.weight @ q], dim=1)
        q, r = torch.linalg.qr(a, mode="complete")
        k = min(a.shape)
        q = q[:, :k]
        parts.append(r[:k])
    return [*parts, network.linears[-1].weight @ q]


def published_synchronisation(weights: Tensor, values: Tensor) -> Tensor:
    """The rank order by the protocol of the code of Qiu and Suda: two sorts, a table of places, and a gather from it.

    Args:
        weights: shape (1, n).
        values: sorted, shape (1, n).
    """
    rank = weights.argsort().argsort()
    row = torch.zeros_like(rank)
    places = torch.stack([row, rank]).permute(1, 2, 0).contiguous()
    return values[tuple(places.unbind(-1))]


def norm_nonlinearities(n: int, device: torch.device) -> dict[str, Callable[[Tensor], Tensor]]:
    """The norm nonlinearities of e3nn and escnn, with the sigmoid, on n/3 vectors of three numbers.

    Args:
        n: a multiple of 3.
        device: where the modules go.

    Raises:
        ImportError: one of them is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        e3nn_nn, o3 = importlib.import_module("e3nn.nn"), importlib.import_module("e3nn.o3")
        escnn_nn, groups = importlib.import_module("escnn.nn"), importlib.import_module("escnn.group")
        space = importlib.import_module("escnn.gspaces").no_base_space(groups.o3_group(1))
        kind = escnn_nn.FieldType(space, [groups.o3_group(1).irrep(1, 1)] * (n // 3))
        module: nn.Module = escnn_nn.NormNonLinearity(kind, "n_sigmoid", bias=False).to(device)
        return {
            "e3nn": e3nn_nn.NormActivation(o3.Irreps(f"{n // 3}x1o"), torch.sigmoid).to(device),
            "escnn": lambda x: module(escnn_nn.GeometricTensor(x, kind)).tensor,
        }

"""Radial neural networks: affine maps and rescalings in turn (chapter "Radial neural networks")."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from radbook.rescaling import RadialRescaling

Activation = RadialRescaling | Callable[[Tensor], Tensor]


def check_widths(widths: Iterable[int]) -> tuple[int, ...]:
    """Validate widths n = (n_0, ..., n_L), L >= 1, and return them as a tuple of ints.

    Raises:
        TypeError: an entry is not an integer.
        ValueError: fewer than two entries, or an entry below 1.
    """
    widths = tuple(widths)
    try:
        widths = tuple(operator.index(n) for n in widths)
    except TypeError:
        raise TypeError(f"widths must be integers, got {widths}") from None
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths must be (n_0, ..., n_L) with L >= 1 and every n_i >= 1, got {widths}")
    return widths


def parameter_count(widths: Iterable[int]) -> int:
    """Number of weights and biases, the sum of n_i (n_{i-1} + 1) (Proposition prop-parameter-count).

    Args:
        widths: (n_0, ..., n_L).

    Raises:
        TypeError, ValueError: as :func:`check_widths`.

    Example:
        >>> parameter_count((1, 8, 16, 8, 1))
        305
    """
    widths = check_widths(widths)
    return sum(n * (m + 1) for m, n in pairwise(widths))


class RadialNetwork(nn.Module):
    """Radial neural network F = A_L rho_{L-1} A_{L-1} ... rho_1 A_1 with affine A_i (Definition def-radial-network).

    The last layer is affine: there is no activation after it.

    Args:
        widths: (n_0, ..., n_L): input, hidden and output dimensions.
        activation: one rescaling, copied for every hidden layer, or a sequence of L - 1 of them, used as they are.
            Any other callable is taken as a profile h and wrapped in :class:`RadialRescaling`.
        generator: source of the initial weights, which are uniform in +-1/sqrt(n_{i-1}) as in ``nn.Linear``; None
            uses torch's default generator.
        dtype, device: of the parameters.

    Attributes:
        linears: the L affine maps, ``nn.Linear`` with weight W_i of shape (n_i, n_{i-1}) and bias b_i of shape (n_i,).
        activations: the L - 1 rescalings.

    Raises:
        TypeError: widths are not integers, or an activation is not callable.
        ValueError: widths below 1, fewer than two of them, or the wrong number of activations.

    Shape:
        (..., n_0) to (..., n_L).

    Example:
        >>> net = RadialNetwork((1, 8, 16, 8, 1), torch.tanh)
        >>> net(torch.zeros(5, 1)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Activation | Sequence[Activation],
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        widths = check_widths(widths)
        hidden = len(widths) - 2
        if isinstance(activation, Sequence | nn.ModuleList):
            activations = [_as_rescaling(a) for a in activation]
        else:
            activations = [copy.deepcopy(_as_rescaling(activation)) for _ in range(hidden)]
        if len(activations) != hidden:
            raise ValueError(
                f"widths {widths} have {hidden} hidden layers, but {len(activations)} activations were given"
            )
        linears = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, m, n, dtype=dtype, device=device or torch.get_default_device())
            for m, n in pairwise(widths)
        )
        self.linears: Sequence[nn.Linear] = cast(Any, linears)
        rescalings = nn.ModuleList(activations).to(dtype=dtype, device=device)
        self.activations: Sequence[RadialRescaling] = cast(Any, rescalings)
        self.reset_parameters(generator)

    @classmethod
    def from_parameters(
        cls, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Activation | Sequence[Activation]
    ) -> RadialNetwork:
        """Network with the given parameters, which are copied; activations as in the constructor.

        Args:
            weights: W_i of shape (n_i, n_{i-1}), i = 1..L, one dtype and device for all.
            biases: b_i of shape (n_i,).
            activation: as in the constructor.

        Raises:
            ValueError: shapes do not chain, dtypes or devices are mixed, or an entry is NaN or infinite.
        """
        if not weights or len(weights) != len(biases):
            raise ValueError(f"need as many biases as weights, at least one: got {len(weights)} and {len(biases)}")
        first = weights[0]
        for i, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
            if w.ndim != 2 or b.shape != w.shape[:1]:
                raise ValueError(
                    f"layer {i}: need W of shape (n, m) and b of shape (n,), got {tuple(w.shape)}, {tuple(b.shape)}"
                )
            if i > 1 and w.shape[1] != weights[i - 2].shape[0]:
                raise ValueError(
                    f"layer {i} takes {w.shape[1]} inputs, but layer {i - 1} has {weights[i - 2].shape[0]} outputs"
                )
            if {w.dtype, b.dtype} != {first.dtype} or {w.device, b.device} != {first.device}:
                raise ValueError(f"layer {i} mixes dtypes or devices: {w.dtype} {w.device}, {b.dtype} {b.device}")
        widths = (first.shape[1], *(w.shape[0] for w in weights))
        network = cls(widths, activation, generator=torch.Generator(), dtype=first.dtype, device=first.device)
        with torch.no_grad():
            for linear, w, b in zip(network.linears, weights, biases, strict=True):
                linear.weight.copy_(w)
                linear.bias.copy_(b)
        check_finite(network)
        return network

    def with_parameters(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> RadialNetwork:
        """A new network with copies of this one's activations and the given parameters; see :meth:`from_parameters`."""
        return RadialNetwork.from_parameters(weights, biases, copy.deepcopy(list(self.activations)))

    @property
    def widths(self) -> tuple[int, ...]:
        """(n_0, ..., n_L)."""
        return (self.linears[0].in_features, *(linear.out_features for linear in self.linears))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights and biases anew, uniform in +-1/sqrt(n_{i-1}), from ``generator``."""
        source = generator.device if generator is not None else None
        with torch.no_grad():
            for linear in self.linears:
                bound = 1 / math.sqrt(linear.in_features)
                for p in (linear.weight, linear.bias):
                    uniform = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=source or p.device)
                    p.copy_(bound * (2 * uniform - 1))

    def partial_maps(self, x: Tensor) -> list[Tensor]:
        """The partial feedforward maps [F_0(x), ..., F_L(x)], of shapes (..., n_i) (Definition def-radial-network)."""
        self._check_input(x)
        maps = [x]
        for linear, activation in zip(self.linears, self.activations, strict=False):
            maps.append(activation(linear(maps[-1])))
        return [*maps, self.linears[-1](maps[-1])]

    def forward(self, x: Tensor) -> Tensor:
        self._check_input(x)
        for linear, activation in zip(self.linears, self.activations, strict=False):
            x = activation(linear(x))
        return self.linears[-1](x)

    def _check_input(self, x: Tensor) -> None:
        n = self.linears[0].in_features
        if x.shape[-1:] != (n,):
            raise ValueError(f"the network takes inputs of shape (..., {n}), got {tuple(x.shape)}")

    def extended_matrices(self) -> list[Tensor]:
        """The extended matrices A_i = [b_i W_i], shapes (n_i, n_{i-1} + 1)."""
        return [torch.cat([linear.bias[:, None], linear.weight], dim=1) for linear in self.linears]


def check_finite(network: RadialNetwork) -> None:
    """Check that every parameter of ``network`` is a finite number.

    Raises:
        ValueError: one is NaN or infinite; the message names the first such tensor.
    """
    for name, p in network.named_parameters():
        # the sum is one read of p and no new memory; it may overflow, but it is not finite where an entry is not
        if not p.detach().sum().isfinite() and (bad := int((~torch.isfinite(p)).sum())):
            raise ValueError(f"{name} has {bad} entries that are NaN or infinite")


def _as_rescaling(activation: Activation) -> RadialRescaling:
    return activation if isinstance(activation, RadialRescaling) else RadialRescaling(activation)

"""Lookahead permutation: training that only moves weights to other places (chapter "Lookahead permutation")."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm


def in_rank_order(values: Tensor, of: Tensor) -> Tensor:
    """The nearest rearrangement: ``values`` in the rank order of ``of``, row by row (Proposition prop-projection).

    Args:
        values: sorted along the last dimension, shape (..., n).
        of: shape (..., n), same device, without NaN. Among equal entries the earlier one has the lower rank.

    Returns:
        The rearranged values, shape (..., n).

    Example:
        >>> in_rank_order(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([7.0, -5.0, 6.0])).tolist()
        [2.0, 0.0, 1.0]
    """
    long = of.device.type == "cpu" and of.is_floating_point() and of.numel() >= 2**15 and of.numel() == of.shape[-1]
    order = _integers(of.flatten()).argsort(stable=True).view(of.shape) if long else of.argsort(dim=-1, stable=True)
    return torch.empty_like(values).scatter_(-1, order, values)


def _integers(x: Tensor) -> Tensor:
    """Integers in the order of x, NaN aside: the bits, inverted below the sign of a < 0.

    Torch sorts one long row of them by digits, several times as fast as floating-point numbers.
    """
    bits = (x + 0.0).view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])  # no -0.0
    return bits ^ (bits >> (8 * x.element_size() - 1) & torch.iinfo(bits.dtype).max)


class LookaheadPermutation:
    """An optimiser whose tensors return to rearrangements of their first values (Definition def-laperm; Qiu and Suda).

    Between two synchronisations the inner optimiser moves all parameters freely. A synchronisation replaces every
    chosen tensor by its first values in the rank order of the current ones: one argsort and one scatter per tensor.

    Args:
        optimizer: any torch optimiser over the parameters; its state is left alone by a synchronisation.
        tensors: the chosen ones, by name. Their values at this moment are the ones that are rearranged from then on.
        period: steps between synchronisations: a number >= 1, or a function that maps the number of
            synchronisations done to the next period.
        rows: rearrange within the last dimension only, every row for itself, instead of the whole tensor.

    Attributes:
        steps: steps done.
        synchronisations: synchronisations done.
        moved: of the last synchronisation, the share of places that hold another value than after the one before,
            per tensor.

    Raises:
        ValueError: no tensors, one that is empty, not finite or unknown to the optimiser, or a period < 1.

    Example:
        >>> net = nn.Linear(3, 2, bias=False)
        >>> before = net.weight.detach().flatten().sort().values
        >>> adam = torch.optim.Adam(net.parameters(), lr=0.1)
        >>> optimizer = LookaheadPermutation(adam, {"weight": net.weight}, period=5)
        >>> for _ in range(5):
        ...     optimizer.zero_grad()
        ...     (net(torch.eye(3)) - 1).square().sum().backward()
        ...     done = optimizer.step()
        >>> done, torch.equal(net.weight.detach().flatten().sort().values, before)
        (True, True)
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        tensors: dict[str, Tensor],
        *,
        period: int | Callable[[int], int] = 20,
        rows: bool = False,
    ) -> None:
        if not tensors:
            raise ValueError("there is no tensor to rearrange")
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, tensor in tensors.items():
            if id(tensor) not in trained or not tensor.numel():
                raise ValueError(f"{name} is empty, or not one of the optimiser's parameters")
        self.optimizer, self.tensors, self.rows = optimizer, dict(tensors), rows
        self._period = period if callable(period) else lambda _: period
        self.steps = self.synchronisations = 0
        self._due = self._next()
        self.moved: dict[str, float] = {}
        self._last = {name: self._flat(name, tensor) for name, tensor in self.tensors.items()}
        self._values = {name: last.sort(dim=-1, stable=True).values for name, last in self._last.items()}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad()

    def step(self, closure: Callable[[], float] | None = None) -> bool:
        """One step of the inner optimiser, then a synchronisation if it is due; return whether it was.

        Args:
            closure: handed to the inner optimiser.
        """
        self.optimizer.step(closure)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self.steps += 1
        if self.steps < self._due:
            return False
        self.synchronise()
        self._due = self.steps + self._next()
        return True

    @torch.no_grad()
    def synchronise(self) -> None:
        """Rearrange now.

        Raises:
            ValueError: a tensor has become NaN or infinite (the message names it); nothing is changed then.
        """
        current = {name: self._flat(name, tensor) for name, tensor in self.tensors.items()}
        for name, flat in current.items():
            new = in_rank_order(self._values[name], flat)
            self.moved[name] = float((new != self._last[name]).double().mean())
            self._last[name] = new
            self.tensors[name].copy_(new.view(self.tensors[name].shape))
        self.synchronisations += 1

    def state_dict(self) -> dict[str, Any]:
        """What is needed, besides the network itself, to go on exactly."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "values": dict(self._values),
            "last": dict(self._last),
            "moved": dict(self.moved),
            "counts": (self.steps, self.synchronisations, self._due),
            "rows": self.rows,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the network's own state is loaded separately.

        Args:
            state: from :meth:`state_dict`, with the same tensors.

        Raises:
            ValueError: the state belongs to other tensors or to another choice of ``rows``.
        """
        theirs, ours = (
            {name: (v.dtype, *v.shape) for name, v in values.items()} for values in (state["values"], self._values)
        )
        if theirs != ours or state["rows"] != self.rows:
            raise ValueError(f"the state is of tensors {theirs}, not of {ours}, or rows differs")
        self.optimizer.load_state_dict(state["optimizer"])
        for name, tensor in self.tensors.items():
            self._values[name] = state["values"][name].to(tensor.device, copy=True)
            self._last[name] = state["last"][name].to(tensor.device, copy=True)
        self.moved = dict(state["moved"])
        self.steps, self.synchronisations, self._due = state["counts"]

    def _next(self) -> int:
        period = self._period(self.synchronisations)
        if int(period) != period or period < 1:
            raise ValueError(f"a period must be a whole number of steps >= 1, got {period}")
        return int(period)

    def _flat(self, name: str, tensor: Tensor) -> Tensor:
        """A copy, one row for each set of values that may change places."""
        if not tensor.isfinite().all():
            raise ValueError(f"{name} has NaN or infinite entries: take a smaller rate")
        return tensor.detach().reshape(-1, tensor.shape[-1] if self.rows and tensor.ndim else tensor.numel()).clone()


def lookahead_permutation(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    names: Sequence[str] | None = None,
    period: int | Callable[[int], int] = 20,
    rows: bool = False,
) -> LookaheadPermutation:
    """Lookahead permutation for any torch module (Definition def-laperm).

    Args:
        net: the module; its values now are the ones that are rearranged from then on.
        optimizer: the inner optimiser.
        names: which parameters to rearrange, as in ``net.named_parameters()``. None: all trainable ones with two or
            more dimensions, that is, weights but not biases and scalars.
        period: as in :class:`LookaheadPermutation`.
        rows: as in :class:`LookaheadPermutation`.

    Returns:
        The optimiser; call its ``step`` in place of the inner one's.

    Raises:
        ValueError: a name that the module does not have, or nothing to rearrange.
    """
    parameters = dict(net.named_parameters())
    if names is None:
        names = [name for name, p in parameters.items() if p.requires_grad and p.ndim >= 2]
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise ValueError(f"the module has no parameter {unknown[0]!r}; it has {', '.join(parameters)}")
    return LookaheadPermutation(optimizer, {name: parameters[name] for name in names}, period=period, rows=rows)


@dataclass
class Fit:
    """A training run; it can be handed to :func:`fit` to go on.

    Attributes:
        network: the trained copy. With a period its chosen tensors are rearrangements of their first values.
        losses: before every step.
        moved: at every synchronisation that was due, the share of places that got another value, over all tensors.
        interrupted: whether it was stopped from the keyboard after a full step.
        state: what is needed to go on exactly.
    """

    network: nn.Module
    losses: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    interrupted: bool = False
    state: dict[str, Any] = field(default_factory=dict)


_KEEP = 100  # steps between the points that an interrupted run goes back to


def fit(
    start: nn.Module | Fit,
    x: Tensor,
    y: Tensor,
    *,
    steps: int,
    rate: float | Callable[[int], float] = 1e-3,
    period: int | Callable[[int], int] | None = None,
    names: Sequence[str] | None = None,
    rows: bool = False,
    factors: Mapping[str, float] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.mse_loss,
    batch: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Fit:
    """Train by Adam, freely or by lookahead permutation (Definition def-laperm).

    Ctrl-C ends the run at most 100 steps back; the result can be handed in as ``start`` and then ends as if it had not
    been interrupted.

    Args:
        start: a module, which is not changed, or an interrupted run with the same other arguments. Every parameter of
            the copy is trained; give one the factor 0 to freeze it.
        x: inputs, shape (N, ...).
        y: targets, shape (N, ...).
        steps: of the inner optimiser, in all.
        rate: of Adam, or a function of the steps done.
        period: steps between synchronisations (:class:`LookaheadPermutation`). None: all weights are free.
        names: which parameters are rearranged; see :func:`lookahead_permutation`.
        rows: see :class:`LookaheadPermutation`.
        factors: by which the rates of single parameters differ from ``rate``, by name.
        loss: maps outputs and targets to a scalar.
        batch: samples per step, drawn anew with replacement; None takes all.
        seed: of the batches.
        progress: show a progress bar with the loss.

    Returns:
        The trained network, the losses and the shares of moved weights. With a period, the last step is followed by a
        synchronisation.

    Raises:
        ValueError: steps < 0, inputs and targets that differ in number, factors of parameters that are not there, or
            a loss that is not finite.
    """
    if steps < 0 or len(x) != len(y) or not len(x):
        raise ValueError(f"need steps >= 0 and as many inputs as targets, got {steps}, {len(x)} and {len(y)}")
    run = copy.deepcopy(start) if isinstance(start, Fit) else Fit(copy.deepcopy(start).requires_grad_(True))
    net, generator = run.network, torch.Generator().manual_seed(seed)
    factors = factors or {}
    parameters = dict(net.named_parameters())
    if not factors.keys() <= parameters.keys():
        raise ValueError(f"factors names {', '.join(factors)}, but the module has {', '.join(parameters)}")
    adam = torch.optim.Adam([{"params": [p], "factor": factors.get(name, 1.0)} for name, p in parameters.items()])
    laperm = None if period is None else lookahead_permutation(net, adam, names=names, period=period, rows=rows)
    if run.state:
        net.load_state_dict(run.state["network"])
        (laperm or adam).load_state_dict(run.state["optimizer"])
        generator.set_state(run.state["generator"])

    def keep() -> None:
        run.state = copy.deepcopy(
            {
                "network": net.state_dict(),
                "optimizer": (laperm or adam).state_dict(),
                "generator": generator.get_state(),
                "counts": (len(run.losses), len(run.moved)),
            }
        )

    keep()
    run.interrupted = False
    bar = tqdm(total=steps, initial=len(run.losses), disable=not progress)
    try:
        for step in range(len(run.losses), steps):
            if step % _KEEP == 0:
                keep()
            for group in adam.param_groups:
                group["lr"] = group["factor"] * (rate(step) if callable(rate) else rate)
            if batch is None:
                inputs, targets = x, y
            else:
                chosen = torch.randint(len(x), (batch,), generator=generator).to(x.device)
                inputs, targets = x[chosen], y[chosen]
            adam.zero_grad()
            value = loss(net(inputs), targets)
            if not value.isfinite():
                raise ValueError(f"the loss is {value.item()} after {step} steps: take a smaller rate")
            value.backward()
            if (laperm or adam).step() is True and laperm:
                run.moved.append(_share(laperm))
            run.losses.append(value.item())
            bar.update()
            if step % _KEEP == 0:
                bar.set_postfix(loss=f"{run.losses[-1]:.3g}")
        if laperm:
            laperm.synchronise()
        keep()
    except KeyboardInterrupt:
        run.interrupted = True
        net.load_state_dict(run.state["network"])
        losses, moved = run.state["counts"]
        del run.losses[losses:], run.moved[moved:]
    finally:
        bar.close()
    return run


def _share(laperm: LookaheadPermutation) -> float:
    """The share of places that got another value, over all tensors."""
    sizes = {name: tensor.numel() for name, tensor in laperm.tensors.items()}
    return sum(laperm.moved[name] * size for name, size in sizes.items()) / sum(sizes.values())

"""The experiments of the chapter "Lookahead permutation": every trial is a function of its seed.

The questions are those of Cai, Chen and Qiao (2024); the settings are the book's, and so are the comparison with free
training, the digits, and everything else that says so. ``PROTOCOLS`` works as in :mod:`radbook.experiments`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from radbook.data import digits, train_test_split
from radbook.experiments import Device, Protocol, Result, accuracy, gaussian_network, pointwise
from radbook.laperm import Fit, fit
from radbook.permutation import PermutationNetwork, grid, initial_coefficients, pairwise
from radbook.rescaling import Squash

#: Functions on [0, 1]: those that the paper has on [-1, 1], at 2x - 1.
TARGETS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "sine": lambda x: -torch.sin(2 * math.pi * (2 * x - 1)),
        "legendre": lambda x: (5 * (2 * x - 1) ** 3 - 3 * (2 * x - 1)) / 2,
    }
)
WIDTHS = (10, 20, 40, 80, 160, 320, 640)


def schedule(
    steps: int, rates: tuple[float, float], periods: tuple[int, int]
) -> tuple[Callable[[int], float], Callable[[int], int]]:
    """A rate that falls geometrically and periods that grow linearly over a run.

    Args:
        steps: of the run.
        rates: the first and the last rate.
        periods: the first and the last period.

    Returns:
        The rate as a function of the steps done, and the period as a function of the synchronisations done.
    """
    growth = 1 + (periods[1] - periods[0]) / max(steps, 1)
    return (
        lambda step: rates[0] * (rates[1] / rates[0]) ** (step / max(steps, 1)),
        lambda count: max(1, round(periods[0] * growth**count)),
    )


def activity(run: Fit, period: Callable[[int], int]) -> tuple[list[int], Result]:
    """When weights changed place: the steps of the synchronisations, and the mean share in four equal phases.

    Args:
        run: of :func:`radbook.laperm.fit`.
        period: as a function of the synchronisations done.

    Returns:
        The steps, and ``moved-1``, ..., ``moved-4``: the mean over the synchronisations of each quarter of the run.
    """
    times = list(accumulate(period(i) for i in range(len(run.moved))))
    phases: list[list[float]] = [[], [], [], []]
    for time, share in zip(times, run.moved, strict=True):
        phases[min(4 * time // max(len(run.losses), 1), 3)].append(share)
    return times, {f"moved-{i + 1}": sum(phase) / max(len(phase), 1) for i, phase in enumerate(phases)}


@torch.no_grad()
def refitted(network: PermutationNetwork, x: Tensor, y: Tensor) -> PermutationNetwork:
    """A copy in double precision whose alpha and gamma are the best in least squares.

    Args:
        network: its coefficients are kept.
        x: points, shape (N, ...).
        y: values there, shape (N,).
    """
    old = {name: value.double() for name, value in network.state_dict().items() if name != "directions"}
    directions = None if network.directions is None else network.directions.double()
    new = PermutationNetwork(old["locations"], old["coefficients"], directions=directions).requires_grad_(False)
    features = torch.stack([torch.ones_like(y, dtype=torch.float64), new(x.double())], dim=1)
    alpha, gamma = torch.linalg.lstsq(features, y.double()[:, None]).solution.flatten()
    new.alpha.copy_(alpha)
    new.gamma.copy_(gamma)
    return new


def line(
    seed: int,
    *,
    target: str = "sine",
    n: int = 80,
    method: str = "laperm",
    initial: str = "pairwise equidistant",
    centred: bool = False,
    scaled: bool = False,
    steps: int = 40000,
    rates: tuple[float, float] = (3e-2, 3e-4),
    periods: tuple[int, int] = (20, 300),
    batch: int = 64,
    points: int = 256,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Train a permutation network on one of the two targets on [0, 1], by lookahead permutation or freely.

    It starts from a random arrangement, with alpha = 0 and gamma = 1, on equidistant locations.

    Args:
        seed: of the initial values, their arrangement and the batches.
        target: a name in ``TARGETS``.
        n: number of locations.
        method: ``"laperm"``, or ``"free"``: all weights are trained without synchronisations.
        initial: a name in :data:`radbook.permutation.INITIALISATIONS`.
        centred: subtract the mean from the initial values, so that their conserved sum is 0 up to rounding
            (Proposition prop-conserved).
        scaled: take the rates that Proposition prop-scaling asks for: with c the ratio of the root mean square of
            the coefficients to that of uniform ones on [-1, 1], the coefficients' rate times c, gamma's divided by c,
            and gamma = 1/c at the start.
        steps: of Adam.
        rates, periods: see :func:`schedule`.
        batch: samples per step.
        points: equidistant training points.
        device: where the network is trained, in single precision.
        progress: show a progress bar.

    Returns:
        ``error``, the largest absolute difference at 4001 points; ``refitted`` and ``rms``, the largest and the root
        mean square one after alpha and gamma are replaced by the best in least squares on the training points;
        ``gamma``, the absolute value then; ``moved-1``, ..., ``moved-4`` (:func:`activity`); the lists ``times`` and
        ``moved``.

    Raises:
        ValueError: another target or method.
    """
    if target not in TARGETS or method not in ("laperm", "free"):
        raise ValueError(f"need a target of {list(TARGETS)} and 'laperm' or 'free', got {target!r} and {method!r}")
    generator, f = torch.Generator().manual_seed(seed), TARGETS[target]
    values = initial_coefficients(initial, n, generator=generator)
    values = values - values.mean() if centred else values
    c = float(values.square().mean().sqrt()) * math.sqrt(3) if scaled else 1.0
    order = torch.randperm(2 * n, generator=generator)
    net = PermutationNetwork(grid(n), values, order, gamma=1 / c).float().to(device)
    x = grid(points)
    factors = {"coefficients": c, "gamma": 1 / c}
    options = {"seed": seed, "steps": steps, "batch": batch, "factors": factors, "progress": progress}
    result, trained = _train(net, x, f(x), method, rates, periods, options)
    return result | _errors(trained, x, f(x), grid(4001), f)


def plane(
    seed: int,
    *,
    dimension: int = 2,
    n: int = 20,
    method: str = "laperm",
    steps: int = 20000,
    rates: tuple[float, float] = (3e-2, 3e-4),
    periods: tuple[int, int] = (20, 300),
    batch: int = 128,
    points: int = 4096,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Train on exp(-2 |x|^2) on [-1, 1]^d, with n locations along each of eight fixed directions.

    Args:
        seed: of the training points, the arrangement and the batches.
        dimension: d, 2 or 3.
        n: locations along each direction, equidistant from -sqrt(d) to sqrt(d). The coefficients are plus and minus
            i/(n-1) for each direction, and are rearranged all together.
        method: ``"laperm"`` or ``"free"``, as for :func:`line`.
        steps: of Adam.
        rates, periods: see :func:`schedule`.
        batch: samples per step.
        points: uniform training points.
        device: where the network is trained, in single precision.
        progress: show a progress bar.

    Returns:
        As :func:`line`; errors are measured on a grid with about 10,000 points.

    Raises:
        ValueError: another dimension or method.
    """
    if dimension not in (2, 3) or method not in ("laperm", "free"):
        raise ValueError(f"need dimension 2 or 3 and 'laperm' or 'free', got {dimension} and {method!r}")
    generator = torch.Generator().manual_seed(seed)
    a, reach = eight_directions(dimension), math.sqrt(dimension)
    b = (2 * grid(n) - 1) * reach
    values = pairwise(grid(n).expand(8, n))
    order = torch.randperm(values.numel(), generator=generator)
    net = PermutationNetwork(b, values, order, directions=a).float().to(device)
    x = 2 * torch.rand(points, dimension, generator=generator, dtype=torch.float64) - 1
    side = {2: 101, 3: 21}[dimension]
    test = torch.cartesian_prod(*[2 * grid(side) - 1] * dimension)
    options = {"seed": seed, "steps": steps, "batch": batch, "progress": progress}
    result, trained = _train(net, x, bell(x), method, rates, periods, options)
    return result | _errors(trained, x, bell(x), test, bell)


def bell(x: Tensor) -> Tensor:
    """The target exp(-2 |x|^2).

    Args:
        x: shape (..., d).
    """
    return (-2 * x.square().sum(dim=-1)).exp()


def eight_directions(dimension: int) -> Tensor:
    """Eight unit vectors: at the angles k pi/8 in the plane, on a spiral over half of the sphere in space.

    Args:
        dimension: 2 or 3.

    Returns:
        Shape (8, dimension), float64.
    """
    k = torch.arange(8, dtype=torch.float64)
    if dimension == 2:
        return torch.stack([(k * math.pi / 8).cos(), (k * math.pi / 8).sin()], dim=1)
    height, angle = (k + 0.5) / 8, k * math.pi * (3 - math.sqrt(5))
    across = (1 - height**2).sqrt()
    return torch.stack([across * angle.cos(), across * angle.sin(), height], dim=1)


def relocated_digits(
    seed: int,
    *,
    model: str = "pointwise",
    hidden: int = 64,
    steps: int = 4000,
    rates: tuple[float, float] = (1e-2, 1e-4),
    periods: tuple[int, int] = (20, 100),
    batch: int = 64,
    rearrangements: int = 20,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Classify the small digits with a network whose weights only change places within their layer.

    The biases are zero and stay zero, so that nothing but the locations of the initial Gaussian weights is learned.

    Args:
        seed: of the split, the weights, the batches and the rearrangements.
        model: ``"pointwise"``, one hidden layer with ReLU, or ``"radial"``, one with squashing.
        hidden: width of the hidden layer.
        steps: of Adam on the cross-entropy.
        rates, periods: see :func:`schedule`.
        batch: samples per step.
        rearrangements: random ones, to compare with.
        device: where the networks are trained.
        progress: show a progress bar.

    Returns:
        ``train-*`` and ``test-*`` accuracies for ``locations`` (lookahead permutation) and ``free`` (the same
        training without synchronisations, biases frozen too); ``random-mean`` and ``random-best``, test accuracies of
        random rearrangements of the initial weights; ``moved-1``, ..., ``moved-4``; ``kept``, whether all weights
        are bit for bit those of the start.

    Raises:
        ValueError: another model.
    """
    if model not in ("pointwise", "radial"):
        raise ValueError(f"model must be 'pointwise' or 'radial', got {model!r}")
    generator = torch.Generator().manual_seed(seed)
    (x, y), test = (tuple(t.to(device) for t in part) for part in train_test_split(*digits(), generator=generator))
    radial = gaussian_network((x.shape[1], hidden, 10), Squash(), 2.0, generator=generator, device=device)
    net = pointwise(radial) if model == "pointwise" else radial
    frozen = {name: 0.0 for name, p in net.named_parameters() if p.ndim == 1}
    rate, period = schedule(steps, rates, periods)
    options: dict[str, Any] = {"steps": steps, "rate": rate, "batch": batch, "seed": seed, "factors": frozen}
    options |= {"loss": nn.functional.cross_entropy, "progress": progress}
    result: Result = {}
    for name, every in (("locations", period), ("free", None)):
        run = fit(net, x, y, period=every, **options)
        result |= {f"train-{name}": accuracy(run.network, x, y), f"test-{name}": accuracy(run.network, *test)}
        if every:
            result |= activity(run, every)[1] | {"kept": same_values(net, run.network)}
        if run.interrupted:
            return result | {"interrupted": True}
    shuffled = [accuracy(rearranged(net, generator), *test) for _ in range(rearrangements)]
    return result | {"random-mean": sum(shuffled) / len(shuffled), "random-best": max(shuffled)}


@torch.no_grad()
def rearranged(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of a module with the entries of every parameter in random places.

    Args:
        network: any module.
        generator: source of the places, on the CPU.
    """
    new = copy.deepcopy(network)
    for p in new.parameters():
        p.copy_(p.flatten()[torch.randperm(p.numel(), generator=generator).to(p.device)].view(p.shape))
    return new


def same_values(first: nn.Module, second: nn.Module) -> bool:
    """Whether every parameter of the second module holds the values of the first in some arrangement, exactly.

    Args:
        first, second: modules with the same names of parameters.
    """
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(p.flatten().sort().values, q.flatten().sort().values) for p, q in pairs)


def _train(
    net: PermutationNetwork,
    x: Tensor,
    y: Tensor,
    method: str,
    rates: tuple[float, float],
    periods: tuple[int, int],
    options: dict[str, Any],
) -> tuple[Result, PermutationNetwork]:
    rate, period = schedule(options["steps"], rates, periods)
    inputs, targets = (t.float().to(net.locations.device) for t in (x, y))
    every = period if method == "laperm" else None
    run = fit(net, inputs, targets, rate=rate, period=every, **options)
    result: Result = {"interrupted": True} if run.interrupted else {}
    if every:
        times, phases = activity(run, period)
        result |= phases | {"times": times, "moved": run.moved}
    return result, cast(PermutationNetwork, run.network)


@torch.no_grad()
def _errors(
    net: PermutationNetwork, x: Tensor, y: Tensor, test: Tensor, f: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    net = net.cpu().double()
    best = refitted(net, x, y)
    before, after = net(test) - f(test), best(test) - f(test)
    return {
        "error": float(before.abs().max()),
        "refitted": float(after.abs().max()),
        "rms": float(after.square().mean().sqrt()),
        "gamma": abs(float(best.gamma)),
    }


def _settings(n: int, method: str, steps: int) -> dict[str, Any]:
    """Of a long run. With synchronisations the last rate is a fifth of the gap between neighbouring values."""
    last = 3e-4 if method == "free" else min(3e-2, float(f"{0.2 / (n - 1):.2g}"))
    return {"steps": steps, "rates": (3e-2, last), "periods": (20, 300)}


def _line(n: int, target: str, method: str, **options: Any) -> Protocol:
    options = {"target": target, "n": n, "method": method, **options, **_settings(n, method, 40000)}
    return Protocol(line, options, {"steps": 3000}, trials=3, short_trials=1)


def _plane(n: int, dimension: int, method: str) -> Protocol:
    options = {"dimension": dimension, "n": n, "method": method, **_settings(n, method, 20000)}
    return Protocol(plane, options, {"steps": 1000}, trials=2, short_trials=1)


#: Every experiment under a name.
#:
#: :meta hide-value:
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        **{
            f"line {target} {method} {n}": _line(n, target, method)
            for target in TARGETS
            for method in ("laperm", "free")
            for n in WIDTHS
        },
        **{
            f"line sine {initial} {n}": _line(n, "sine", "laperm", initial=initial)
            for initial in ("pairwise uniform", "uniform", "xavier", "he")
            for n in (160, 640)
        },
        **{
            f"line sine {initial} scaled {n}": _line(n, "sine", "laperm", initial=initial, scaled=True)
            for initial in ("xavier", "he")
            for n in (160, 640)
        },
        **{
            f"line sine {initial} centred {n}": _line(n, "sine", "laperm", initial=initial, centred=True, scaled=True)
            for initial in ("uniform", "xavier", "he")
            for n in (160, 640)
        },
        **{
            f"plane {dimension} {method} {n}": _plane(n, dimension, method)
            for dimension in (2, 3)
            for method in ("laperm", "free")
            for n in (5, 10, 20, 40, 80)
        },
        **{
            f"digits {model}": Protocol(relocated_digits, {"model": model}, {"steps": 1000}, trials=5, short_trials=1)
            for model in ("pointwise", "radial")
        },
    }
)

"""The experiments of the chapter "Training radial networks": every trial is a function of its seed.

Ganev et al. report four experiments; :func:`lossless`, :func:`projected`, :func:`speed` and :func:`recovery` run them.
``PROTOCOLS`` holds the settings, once as published or as their scripts have them and once as the book repairs them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from radbook.compression import qr_compress
from radbook.data import ball_classes, bumps, checkerboard, digits, enlarge, mnist, noisy_copies
from radbook.descent import Descent, gradient_descent, projected_gradient_descent, transformed
from radbook.network import RadialNetwork
from radbook.rescaling import RadialRescaling, RadialSigmoid, ShiftedReLU, Squash, StepReLU

Result = dict[str, Any]
#: Scales of Gaussian weights that :func:`initialisation` is tried with.
SIGMAS = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
Device = torch.device | str

#: The activations that the experiments name.
PROFILES: Mapping[str, Callable[[], RadialRescaling]] = MappingProxyType(
    {
        "Step-ReLU": StepReLU,
        "shifted ReLU": lambda: ShiftedReLU(0.5),
        "squashing": Squash,
        "tanh": lambda: RadialRescaling(torch.tanh, slope=1.0, lipschitz=1.0),
        "radial sigmoid": lambda: RadialSigmoid(1.0),
    }
)


def lossless(
    seed: int,
    *,
    widths: Sequence[int] = (1, 6, 7, 1),
    zero_bias: bool = False,
    dtype: torch.dtype = torch.float32,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Experiment 1: how far a compressed network is from the original, at random weights (Theorem thm-qr-compression).

    Args:
        seed: of the weights.
        widths: of the network, with radial sigmoids.
        zero_bias: start with all biases 0.
        dtype: in which both networks are run; the weights are drawn in double precision.
        device: where they are run.
        progress: not used; there is no training.

    Returns:
        ``difference``, the mean absolute difference on the grid of :func:`radbook.data.bumps`, and ``epsilons``, the
        same divided by the machine epsilon.
    """
    x = bumps(1, dtype=dtype)[0].to(device)
    net = _network(widths, RadialSigmoid(), _rng(seed), dtype, device)
    with torch.no_grad():
        if zero_bias:
            for linear in net.linears:
                linear.bias.zero_()
        difference = float((net(x) - qr_compress(net).network(x)).abs().mean())
    return {"difference": difference, "epsilons": difference / torch.finfo(dtype).eps}


def projected(
    seed: int,
    *,
    widths: Sequence[int] = (1, 6, 7, 1),
    rate: float = 0.01,
    steps: int = 3000,
    dtype: torch.dtype = torch.float32,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Experiment 2: projected descent of the transformed network against descent of the reduced one.

    Theorem thm-projected-descent says that the losses agree at every step; what is left is rounding.

    Args:
        seed: of the weights.
        widths: of the network, with radial sigmoids.
        rate: learning rate of both.
        steps: of both.
        dtype: in which both are trained; the weights are drawn in double precision.
        device: where they are trained.
        progress: show a progress bar.

    Returns:
        ``difference`` of the last losses and ``largest`` of all steps, absolute values; ``loss``, the last of the
        reduced network; the two lists of losses, ``losses-projected`` and ``losses-reduced``.
    """
    x, y = (t.to(device) for t in bumps(1, dtype=dtype))
    net = _network(widths, RadialSigmoid(), _rng(seed), dtype, device)
    compression = qr_compress(net)

    def loss(net: RadialNetwork) -> Tensor:
        return ((net(x) - y) ** 2).mean()

    options: dict[str, Any] = {"rate": rate, "steps": steps, "progress": progress}
    full = projected_gradient_descent(transformed(net, compression), loss, **options)
    if full.interrupted:
        return {"interrupted": True, "losses-projected": full.losses}
    reduced = gradient_descent(compression.network, loss, **options)
    gaps = [abs(a - b) for a, b in zip(full.losses, reduced.losses, strict=False)]
    return {
        "difference": gaps[-1],
        "largest": max(gaps),
        "loss": reduced.losses[-1],
        "losses-projected": full.losses,
        "losses-reduced": reduced.losses,
    } | _mark(reduced)


def speed(
    seed: int,
    *,
    target: str = "bumps",
    points: int = 121,
    widths: Sequence[int] = (2, 16, 64, 128, 16, 2),
    rate: float = 0.01,
    stop: float = 0.01,
    limit: int = 5000,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Experiment 3: epochs and time to a given loss, for the full and the reduced network.

    A third network, ``fresh``, has the reduced widths and its own random start; nothing was compressed.

    Args:
        seed: of the weights.
        target: ``"bumps"``, the function that the paper names, or ``"sigmoid"``, the one of the authors' script.
        points: along each axis of the grid in [-3, 3]^2.
        widths: of the full network, with radial sigmoids.
        rate: learning rate of full-batch gradient descent.
        stop: the loss at which a training ends.
        limit: the most epochs.
        device: where the networks are trained.
        progress: show a progress bar.

    Returns:
        For each of ``full``, ``reduced``, ``fresh``: ``epochs-*``, ``loss-*`` (above ``stop`` when the limit was met),
        ``seconds-*`` of processor time (on a GPU, of the clock), and the list ``losses-*``.

    Raises:
        ValueError: another target.
    """
    if target not in ("bumps", "sigmoid"):
        raise ValueError(f"target must be 'bumps' or 'sigmoid', got {target!r}")
    x, y = (t.to(device) for t in bumps(2, points))
    y = torch.sigmoid(x) if target == "sigmoid" else y
    generator = _rng(seed)
    full = _network(widths, RadialSigmoid(), generator, torch.float32, device)
    reduced = qr_compress(full).network
    fresh = _network(reduced.widths, RadialSigmoid(), generator, torch.float32, device)
    clock = time.process_time if torch.device(device).type == "cpu" else time.perf_counter
    result: Result = {}
    for name, net in (("full", full), ("reduced", reduced), ("fresh", fresh)):
        start = clock()
        descent = gradient_descent(
            net, lambda net: ((net(x) - y) ** 2).mean(), rate=rate, steps=limit, stop=stop, progress=progress
        )
        result[f"seconds-{name}"] = clock() - start
        result[f"epochs-{name}"], result[f"loss-{name}"] = descent.steps, descent.losses[-1]
        result[f"losses-{name}"] = descent.losses
        if descent.interrupted:
            return result | {"interrupted": True}
    return result


def recovery(
    seed: int,
    *,
    shared: bool = False,
    scale: float = 0.5,
    side: int = 28,
    source: str = "digits",
    label: int = 3,
    copies: int = 100,
    rate: float = 0.05,
    steps: int = 150,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Experiment 4: tell which of three handwritten digits a noisy copy comes from.

    Four models start from the same weights and are trained alike, by full-batch gradient descent on the
    cross-entropy: ``radial`` of widths (d, d + 1, d + 2, 3) with Step-ReLU; ``relu``, pointwise, of the same widths;
    ``relu-last``, the same with one more ReLU after the last layer, as in the authors' script; ``affine``, one
    affine map.

    Args:
        seed: of the originals, the noise, the split and the weights.
        shared: see :func:`radbook.data.noisy_copies`.
        scale: of the noise, see :func:`radbook.data.noisy_copies`.
        side: d is side * side; images of another size are enlarged.
        source: ``"digits"`` or ``"mnist"``.
        label: of the three originals.
        copies: of each; four fifths are trained on.
        rate: learning rate.
        steps: epochs, each of one step.
        device: where the models are trained.
        progress: show a progress bar.

    Returns:
        For each model ``train-loss-*``, ``train-accuracy-*``, ``test-accuracy-*`` and the list ``losses-*``; and
        ``active-start``, ``active-end``: the share of samples at which no hidden layer of the radial network collapses
        its vector, so that the network is affine there. ``nearest`` is the test accuracy of the nearest original.

    Raises:
        ValueError: another source.
        FileNotFoundError: MNIST is asked for and not there.
    """
    generator = _rng(seed)
    images = _digit_images(source, label, side)
    chosen = images[torch.randperm(len(images), generator=generator)[:3]]
    inputs, labels = noisy_copies(chosen, copies, scale=scale, shared=shared, generator=generator)
    order = torch.randperm(len(inputs), generator=generator)
    cut = round(0.8 * len(inputs))
    x, y = inputs.float().to(device), labels.to(device)
    train, test = order[:cut].to(device), order[cut:].to(device)
    d = side * side
    radial = _network((d, d + 1, d + 2, 3), StepReLU(), generator, torch.float32, device)
    models = {
        "radial": radial,
        "relu": pointwise(radial),
        "relu-last": nn.Sequential(pointwise(radial), nn.ReLU()),
        "affine": _network((d, 3), [], generator, torch.float32, device),
    }
    nearest = torch.cdist(x[test], chosen.float().to(device)).argmin(dim=1)
    result: Result = {"active-start": _active(radial, x), "nearest": float((nearest == y[test]).double().mean())}
    for name, model in models.items():
        descent = gradient_descent(
            cast(Any, model),
            lambda net: nn.functional.cross_entropy(net(x[train]), y[train]),
            rate=rate,
            steps=steps,
            progress=progress,
        )
        result[f"train-loss-{name}"] = descent.losses[-1]
        result[f"train-accuracy-{name}"] = accuracy(descent.network, x[train], y[train])
        result[f"test-accuracy-{name}"] = accuracy(descent.network, x[test], y[test])
        result[f"losses-{name}"] = descent.losses
        if name == "radial":
            result["active-end"] = _active(descent.network, x)
        if descent.interrupted:
            return result | {"interrupted": True}
    return result


def initialisation(
    seed: int,
    *,
    profile: str = "squashing",
    sigma: float = 1.0,
    width: int = 64,
    hidden: int = 8,
    samples: int = 300,
    length: float = 2.0,
    rates: Sequence[float] = (0.1, 0.01, 0.001),
    steps: int = 100,
    momentum: float = 0.9,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Train a deep wide network from Gaussian weights of standard deviation sigma / sqrt(n_i).

    The classes are the ten digits; images are scaled to the same length; biases start at 0. See
    Proposition prop-initialisation.

    Args:
        seed: of the samples and the weights.
        profile: a name in ``PROFILES``.
        sigma: scale of the weights.
        width: of every hidden layer.
        hidden: how many hidden layers.
        samples: trained on.
        length: of every input.
        rates: learning rates; the best one counts. A rate at which the loss overflows counts as not trained.
        steps: of full-batch gradient descent on the cross-entropy.
        momentum: heavy-ball momentum.
        device: where the networks are trained.
        progress: show a progress bar.

    Returns:
        ``radius``, the mean length of the last hidden vector before training; ``loss`` and ``accuracy`` on the
        samples after it, and the ``rate``.

    Raises:
        ValueError: an unknown profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {list(PROFILES)}, got {profile!r}")
    generator = _rng(seed)
    images, labels = digits(dtype=torch.float64)
    chosen = torch.randperm(len(images), generator=generator)[:samples]
    x = images[chosen] * (length / torch.linalg.vector_norm(images[chosen], dim=1, keepdim=True))
    x, y = x.float().to(device), labels[chosen].to(device)
    net = gaussian_network(
        (x.shape[1], *[width] * hidden, 10), PROFILES[profile](), sigma, generator=generator, device=device
    )
    with torch.no_grad():
        radius = float(torch.linalg.vector_norm(net.partial_maps(x)[-2], dim=1).mean())
    result: Result = {"radius": radius, "loss": math.inf, "accuracy": 0.0, "rate": 0.0}
    for rate in rates:
        try:
            descent = gradient_descent(
                net,
                lambda net: nn.functional.cross_entropy(net(x), y),
                rate=rate,
                steps=steps,
                momentum=momentum,
                progress=progress,
            )
        except ValueError:  # the loss overflowed
            continue
        if descent.losses[-1] < result["loss"]:
            result |= {"loss": descent.losses[-1], "accuracy": accuracy(descent.network, x, y), "rate": rate}
        if descent.interrupted:
            return result | {"interrupted": True}
    return result


def geometry(
    seed: int,
    *,
    task: str = "ball",
    model: str = "squashing",
    widths: Sequence[int] = (10, 11, 2),
    samples: int = 1000,
    rates: Sequence[float] = (0.1, 0.3, 1.0, 3.0),
    steps: int = 500,
    momentum: float = 0.9,
    device: Device = "cpu",
    progress: bool = False,
) -> Result:
    """Radial against pointwise networks where class boundaries are a sphere, or a chessboard.

    Args:
        seed: of the samples and the weights.
        task: ``"ball"`` (:func:`radbook.data.ball_classes`) or ``"checkerboard"`` (:func:`radbook.data.checkerboard`).
        model: a name in ``PROFILES``, or ``"relu"`` for a pointwise network.
        widths: of the network, with two outputs.
        samples: trained on; 4000 more are tested on.
        rates: learning rates; the one of smallest training loss counts.
        steps: of full-batch gradient descent on the cross-entropy.
        momentum: heavy-ball momentum.
        device: where the networks are trained.
        progress: show a progress bar.

    Returns:
        ``loss`` and ``train`` accuracy on the samples, ``test`` accuracy, and the ``rate``.

    Raises:
        ValueError: an unknown task or model.
    """
    if task not in ("ball", "checkerboard") or model not in (*PROFILES, "relu"):
        raise ValueError(f"need a task 'ball' or 'checkerboard' and a model in PROFILES or 'relu', got {task}, {model}")
    generator = _rng(seed)
    draw = (lambda n: ball_classes(n, widths[0], generator=generator)) if task == "ball" else None
    draw = draw or (lambda n: checkerboard(n, generator=generator))
    (x, y), (test_x, test_y) = (tuple(t.to(device) for t in draw(n)) for n in (samples, 4000))
    activation = PROFILES[model]() if model in PROFILES else nn.Identity()
    radial = _network(widths, activation, generator, torch.float32, device)
    net = pointwise(radial) if model == "relu" else radial
    result: Result = {"loss": math.inf, "train": 0.0, "test": 0.0, "rate": 0.0}
    for rate in rates:
        try:
            descent = gradient_descent(
                cast(Any, net),
                lambda net: nn.functional.cross_entropy(net(x), y),
                rate=rate,
                steps=steps,
                momentum=momentum,
                progress=progress,
            )
        except ValueError:  # the loss overflowed
            continue
        if descent.losses[-1] < result["loss"]:
            accuracies = [accuracy(descent.network, a, b) for a, b in ((x, y), (test_x, test_y))]
            result |= {"loss": descent.losses[-1], "train": accuracies[0], "test": accuracies[1], "rate": rate}
        if descent.interrupted:
            return result | {"interrupted": True}
    return result


def gaussian_network(
    widths: Sequence[int],
    activation: RadialRescaling,
    sigma: float,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: Device = "cpu",
) -> RadialNetwork:
    """Network with zero biases and independent weights N(0, sigma^2 / n_i), n_i the number of rows.

    Such a layer multiplies lengths by nearly sigma, and then the profile acts (Proposition prop-initialisation).

    Args:
        widths: (n_0, ..., n_L).
        activation: of the hidden layers.
        sigma: scale of the weights.
        generator: source of the weights.
        dtype, device: of the parameters.
    """
    net = _network(widths, activation, generator, torch.float64, "cpu")
    with torch.no_grad():
        for linear in net.linears:
            gauss = torch.randn(linear.weight.shape, generator=generator, dtype=torch.float64)
            linear.weight.copy_(sigma / math.sqrt(linear.out_features) * gauss)
            linear.bias.zero_()
    return net.to(dtype=dtype, device=device)


def pointwise(network: RadialNetwork) -> nn.Sequential:
    """The pointwise ReLU network with the affine maps of a radial one; they share their parameters.

    Args:
        network: whose affine maps are taken.
    """
    layers: list[nn.Module] = []
    for linear in network.linears:
        layers += [nn.ReLU(), linear]
    return nn.Sequential(*layers[1:])


@torch.no_grad()
def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of samples whose largest output is that of their class.

    Args:
        network: maps samples to outputs of shape (N, classes).
        x: samples, shape (N, ...).
        y: classes, shape (N,).
    """
    return float((network(x).argmax(dim=1) == y).double().mean())


def repeat(
    run: Callable[[int], Result],
    seeds: Iterable[int],
    *,
    name: str = "",
    settings: Mapping[str, str] | None = None,
    store: str | Path | None = None,
    progress: bool = False,
) -> list[Result]:
    """Run trials one after another; finished ones are kept in a file and not run again.

    Ctrl-C ends the run, and what was finished is returned, with the curves of the trial that was under way last. Call
    again with the same name, settings and file to go on: the trial that was cut short starts anew, the others are read.

    Args:
        run: maps a seed to a result, of numbers, strings and lists of them.
        seeds: one trial each.
        name: under which the trials are kept; give every experiment another.
        settings: kept with the trials; those of other settings are not read.
        store: a file, one JSON object a line; it may hold several experiments. None keeps nothing.
        progress: show a bar of the trials.

    Returns:
        The results in the order of the seeds, each with its ``seed``. A trial that was cut short holds
        ``interrupted: True``; it is the last and is not stored.
    """
    path = None if store is None else Path(store)
    mark = {"name": name, "settings": dict(settings or {})}
    finished = {} if path is None else _read(path, mark)
    results: list[Result] = []
    bar = tqdm(list(seeds), desc=name, disable=not progress)
    try:
        for seed in bar:
            if seed not in finished:
                result = {"seed": seed, **run(seed)}
                if result.get("interrupted"):
                    return [*results, result]
                finished[seed] = result
                if path is not None:
                    with path.open("a") as file:
                        file.write(json.dumps(mark | result) + "\n")
            results.append(finished[seed])
    except KeyboardInterrupt:
        pass
    finally:
        bar.close()
    return results


def mean_and_spread(results: Sequence[Result], key: str) -> tuple[float, float]:
    """Mean and sample standard deviation of one number over the trials (0 for a single trial).

    Args:
        results: of :func:`repeat`.
        key: which number.
    """
    values = [result[key] for result in results if not result.get("interrupted")]
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Protocol:
    """An experiment with its settings: the full ones, and what a short run changes.

    Attributes:
        run: the experiment, called with a seed and the settings.
        options: settings of the full protocol.
        short: settings that a short run replaces.
        trials: seeds 0, 1, ... of the full protocol.
        short_trials: of a short run.
    """

    run: Callable[..., Result]
    options: Mapping[str, Any]
    short: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 10
    short_trials: int = 2

    def settings(self, full: bool) -> dict[str, Any]:
        """The settings of a full or a short run."""
        return {**self.options} if full else {**self.options, **self.short}

    def described(self, full: bool) -> dict[str, str]:
        """The settings as text."""
        return {key: str(value) for key, value in self.settings(full).items()}

    def results(
        self,
        *,
        full: bool = False,
        device: Device = "cpu",
        name: str = "",
        store: str | Path | None = None,
        progress: bool = False,
    ) -> list[Result]:
        """Run the trials with :func:`repeat`.

        Args:
            full: the full protocol in place of the short run.
            device: where networks are trained.
            name, store: as in :func:`repeat`.
            progress: show a bar of the trials and one of every training.
        """
        options = self.settings(full) | {"device": device, "progress": progress}
        seeds = range(self.trials if full else self.short_trials)
        settings = self.described(full)
        return repeat(
            lambda seed: self.run(seed, **options), seeds, name=name, settings=settings, store=store, progress=progress
        )


def _geometry(
    task: str, samples: int, steps: int, models: Sequence[tuple[str, tuple[int, ...]]]
) -> dict[str, Protocol]:
    """Protocols "task model widths" for some models on one task."""
    common = {"task": task, "samples": samples, "steps": steps}
    return {
        f"{task} {model} {'-'.join(map(str, widths))}": Protocol(
            geometry, {**common, "model": model, "widths": widths}, {"steps": 300}, trials=5, short_trials=1
        )
        for model, widths in models
    }


#: Every experiment under a name. "script": the settings of the authors' scripts; "book": repaired.
#:
#: :meta hide-value:
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "lossless script": Protocol(lossless, {}, short_trials=10),
        "lossless book": Protocol(lossless, {"dtype": torch.float64}, short_trials=10),
        "lossless zero bias": Protocol(lossless, {"zero_bias": True}, short_trials=10),
        "projected script": Protocol(projected, {"steps": 3000}, {"steps": 500}, short_trials=1),
        "projected book": Protocol(projected, {"steps": 3000, "dtype": torch.float64}, {"steps": 500}, short_trials=1),
        "speed script": Protocol(speed, {"target": "sigmoid"}, {"points": 9, "limit": 1500}, short_trials=1),
        "speed book": Protocol(
            speed, {"target": "bumps", "points": 21, "limit": 30000}, {"limit": 500}, trials=3, short_trials=1
        ),
        "recovery script": Protocol(recovery, {"shared": True}, {"side": 8}, short_trials=5),
        "recovery book": Protocol(recovery, {"shared": False}, {"side": 8}, short_trials=5),
        **{
            f"initialisation {profile} {sigma}": Protocol(
                initialisation,
                {"profile": profile, "sigma": sigma},
                {"rates": (0.1, 0.01), "steps": 50},
                trials=3,
                short_trials=1,
            )
            for profile in PROFILES
            for sigma in SIGMAS
        },
        **_geometry(
            "ball",
            1000,
            500,
            [
                ("squashing", (10, 11, 2)),
                ("radial sigmoid", (10, 11, 2)),
                ("Step-ReLU", (10, 11, 2)),
                ("relu", (10, 11, 2)),
                ("relu", (10, 64, 2)),
            ],
        ),
        **_geometry("ball", 500, 500, [("squashing", (20, 21, 2)), ("relu", (20, 21, 2)), ("relu", (20, 128, 2))]),
        **_geometry(
            "checkerboard",
            1000,
            1000,
            [
                ("squashing", (2, 16, 16, 16, 2)),
                ("radial sigmoid", (2, 16, 16, 16, 2)),
                ("radial sigmoid", (2, 16, 16, 16, 16, 16, 16, 2)),
                ("relu", (2, 16, 16, 16, 2)),
                ("relu", (2, 3, 4, 5, 2)),
            ],
        ),
    }
)


def stored_results() -> dict[str, Any]:
    """The results of all full protocols of the book, as ``tools/full_run.py`` stored them in the package.

    Returns:
        ``command``, ``machine``, and ``protocols``: for each name its ``settings`` and its ``trials``, a list of
        results without their curves.
    """
    return json.loads((resources.files("radbook") / "results.json").read_text())


def summary(protocols: Mapping[str, Protocol], results: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """What is stored of full runs: settings as text, and the numbers, without curves, to six digits; infinity is None.

    Args:
        protocols: which were run.
        results: for each name, what :meth:`Protocol.results` returned.
    """
    return {
        name: {
            "settings": protocols[name].described(full=True),
            "trials": [
                {key: _short(value) for key, value in result.items() if not isinstance(value, list)}
                for result in trials
            ],
        }
        for name, trials in results.items()
    }


def _short(value: Any) -> Any:
    """A float to six digits; None, which is null in JSON, if it is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _network(
    widths: Sequence[int], activation: Any, generator: torch.Generator, dtype: torch.dtype, device: Device
) -> RadialNetwork:
    """A network whose weights are drawn in double precision, so that they are the same in every precision."""
    net = RadialNetwork(widths, activation, generator=generator, dtype=torch.float64, device="cpu")
    return net.to(dtype=dtype, device=device)


def _digit_images(source: str, label: int, side: int) -> Tensor:
    if source not in ("digits", "mnist"):
        raise ValueError(f"source must be 'digits' or 'mnist', got {source!r}")
    images, labels = mnist(dtype=torch.float64) if source == "mnist" else digits(dtype=torch.float64)
    images = images[labels == label]
    return images if images.shape[1] == side * side else enlarge(images, side)


@torch.no_grad()
def _active(network: RadialNetwork, x: Tensor) -> float:
    """The share of samples whose vectors have length at least 1 in front of every hidden rescaling."""
    active = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for f, linear in zip(network.partial_maps(x), network.linears[:-1], strict=False):
        active &= torch.linalg.vector_norm(linear(f), dim=1) >= 1
    return float(active.double().mean())


def _mark(descent: Descent) -> Result:
    return {"interrupted": True} if descent.interrupted else {}


def _read(path: Path, mark: Mapping[str, Any]) -> dict[int, Result]:
    """The finished trials with this mark; a last line that was cut off is removed from the file."""
    if not path.exists():
        return {}
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    records = [json.loads(line) for line in whole.splitlines()]
    ours = [r for r in records if all(r.get(key) == value for key, value in mark.items())]
    return {r["seed"]: {key: value for key, value in r.items() if key not in mark} for r in ours}

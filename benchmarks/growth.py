"""How the cost grows: tasks of the tables at sizes that double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from peers import complete_compression, factored_squash
from tables import balls, gaussian, random_network, with_gradient
from timing import Task

from radbook import Squash, lookahead_permutation, qr_compress


@dataclass(frozen=True)
class Growth:
    """A plot: what grows, its sizes, and the tasks at a size."""

    name: str
    title: str
    along: str
    sizes: list[int]
    tasks: Callable[[int], list[Task]]
    rounds: int = 7


def activation(batch: int, n: int, device: torch.device) -> list[Task]:
    """Forward and backward."""
    v = gaussian(batch, n, device=device).requires_grad_()
    return [
        Task("x * 2", with_gradient(lambda x: x * 2, v), "yardstick"),
        Task("radbook", with_gradient(Squash(), v), "radbook"),
        Task("composed, factor by hand", with_gradient(factored_squash, v)),
    ]


def compression(widths: tuple[int, ...], device: torch.device, largest: int) -> list[Task]:
    """Compression, with complete factors up to a width, and the passes of 256 samples before and after."""
    network = random_network(widths, device)
    reduced = qr_compress(network).network
    x = gaussian(256, widths[0], device=device, seed=1)
    tasks = [
        Task("one read of the weights", lambda: [p.sum() for p in network.parameters()], "yardstick"),
        Task("radbook", lambda: qr_compress(network), "radbook"),
        Task("256 samples, full network", lambda: network(x), "full"),
        Task("256 samples, reduced network", lambda: reduced(x), "reduced"),
    ]
    if max(widths) <= largest:
        tasks.append(Task("complete factors", lambda: complete_compression(network)))
    return tasks


def approximation(count: int, device: torch.device) -> list[Task]:
    """10^4 points through a network over ``count`` balls."""
    found = balls(count, device)
    x = 2 * torch.rand(10**4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device) - 1
    network = found.network

    def distances() -> None:
        for centres in found.centres.split(256):
            torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist")

    return [
        Task("all distances", distances, "yardstick"),
        Task("radbook", lambda: found(x), "radbook"),
        Task("matrix by matrix", lambda: network(x)),
        Task("construction", lambda: balls(count, device).network, "part"),
    ]


def synchronisation(count: int, device: torch.device) -> list[Task]:
    """A synchronisation of lookahead permutation."""
    net = torch.nn.Linear(count, 1, bias=False, device=device)
    laperm = lookahead_permutation(net, torch.optim.Adam(net.parameters()))
    weights = net.weight.detach()
    new, order = torch.empty_like(weights), weights.argsort()
    return [
        Task("scatter alone", lambda: new.scatter_(1, order, weights), "yardstick"),
        Task("radbook", laperm.synchronise, "radbook"),
    ]


def growths(device: torch.device) -> Iterator[Growth]:
    """All plots."""

    def powers(low: int, high: int) -> list[int]:
        return [2**k for k in range(low, high + 1)]

    title = "The activation, forward and backward"
    yield Growth("width", f"{title}, 1024 vectors", "n", powers(2, 13), lambda n: activation(1024, n, device))
    yield Growth("batch", f"{title}, n = 512", "vectors", powers(4, 14), lambda b: activation(b, 512, device))
    yield Growth(
        "compressed-width",
        "Compression of widths (16, n, n, n, 16)",
        "n",
        powers(5, 12),
        lambda n: compression((16, n, n, n, 16), device, 1024),
        5,
    )
    yield Growth(
        "depth",
        "Compression, 512 units in every hidden layer, 16 inputs and outputs",
        "hidden layers",
        powers(0, 6),
        lambda depth: compression((16, *[512] * depth, 16), device, 512),
        5,
    )
    yield Growth("balls", "10^4 points in the plane", "balls", powers(6, 13), lambda n: approximation(n, device), 3)
    yield Growth("weights", "A synchronisation", "weights", powers(8, 22), lambda n: synchronisation(n, device))

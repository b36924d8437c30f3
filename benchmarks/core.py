"""Side-by-side timings of the package core; run `python benchmarks/core.py`.

Every line compares tasks that take turns in one run, and prints the ratio of their median times to the first one's,
with the quartiles. Ratios are what counts: seconds depend on the machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from radbook import RadialNetwork, Squash, lookahead_permutation, pick_device, qr_compress


def ratios(tasks: dict[str, Callable[[], object]], repeats: int = 15, warm_up: int = 3) -> None:
    """Time tasks in turn and print, for each, the median and quartiles of its time over the first one's."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(warm_up + repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - start)
    first = statistics.median(next(iter(taken.values()))[warm_up:])
    for name, times in taken.items():
        low, middle, high = statistics.quantiles(times[warm_up:], n=4)
        print(f"    {name:34}{middle / first:7.2f}   [{low / first:.2f}, {high / first:.2f}]   {1e3 * middle:9.2f} ms")


def squash_composed(v: Tensor) -> Tensor:
    """The activation as a reader would first write it; not safe at zero."""
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return r / (1 + r**2) * v


def forward_backward(f: Callable[[Tensor], Tensor], v: Tensor, cotangent: Tensor) -> Callable[[], object]:
    """The task of applying f to v and differentiating."""
    return lambda: torch.autograd.grad(f(v), v, cotangent)


def compress_with_full_factors(network: RadialNetwork) -> list[Tensor]:
    """The algorithm with complete QR decompositions: every n x n matrix is formed."""
    q = torch.eye(network.widths[0], dtype=network.linears[0].weight.dtype, device=network.linears[0].weight.device)
    parts = []
    for linear in network.linears[:-1]:
        a = torch.cat([linear.bias[:, None], linear.weight @ q], dim=1)
        q, r = torch.linalg.qr(a, mode="complete")
        k = min(a.shape)
        q = q[:, :k]
        parts.append(r[:k])
    return [*parts, network.linears[-1].weight @ q]


@torch.no_grad()
def compression(widths: tuple[int, ...], device: torch.device) -> None:
    """Compression by thin and by complete factors, and inference before and after."""
    network = RadialNetwork(widths, Squash(), generator=torch.Generator().manual_seed(0), device=device)
    reduced = qr_compress(network).network
    x = torch.randn(256, widths[0], generator=torch.Generator().manual_seed(1)).to(device)
    print(f"\n{widths} -> {reduced.widths}")
    print("  compression")
    ratios(
        {"qr_compress": lambda: qr_compress(network), "complete Q": lambda: compress_with_full_factors(network)}, 5, 1
    )
    print("  forward pass of 256 samples")
    ratios({"reduced network": lambda: reduced(x), "full network": lambda: network(x)})


def synchronisation(count: int, device: torch.device) -> None:
    """A synchronisation of lookahead permutation, its parts, and a step of the inner optimiser."""
    net = torch.nn.Linear(count, 1, bias=False, device=device)
    net.weight.grad = torch.randn(1, count, generator=torch.Generator().manual_seed(0)).to(device)
    adam = torch.optim.Adam(net.parameters())
    laperm = lookahead_permutation(net, adam)
    weights, values = net.weight.detach().flatten(), net.weight.detach().flatten().sort().values
    order, new = weights.argsort(), torch.empty_like(weights)
    print(f"\nlookahead permutation of {count} weights")
    tasks: dict[str, Callable[[], object]] = {
        "argsort + scatter": lambda: new.scatter_(0, weights.argsort(stable=True), values),
        "synchronisation": laperm.synchronise,
        "scatter alone": lambda: new.scatter_(0, order, values),
        "Adam step": adam.step,
    }
    ratios(tasks)


def main() -> None:
    """Print all tables."""
    device = pick_device()
    print(f"torch {torch.__version__}, {device.type}, {torch.get_num_threads()} threads; ratio of medians [quartiles]")
    for n in (64, 512, 4096):
        v = torch.randn(1024, n, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
        cotangent = torch.ones_like(v)
        print(f"\nactivation, forward and backward, 1024 x {n}")
        candidates = {"x * 2": lambda x: x * 2, "ReLU": torch.relu, "composed": squash_composed, "Squash": Squash()}
        ratios({name: forward_backward(f, v, cotangent) for name, f in candidates.items()})
    for widths in ((64, 512, 1024, 512, 10), (8, 1024, 1024, 1024, 8)):
        compression(widths, device)
    for count in (10**4, 10**6):
        synchronisation(count, device)


if __name__ == "__main__":
    main()

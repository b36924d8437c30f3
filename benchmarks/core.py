"""Side-by-side timings of the package core; run `python benchmarks/core.py`.

Every table compares what the package does with other ways to do it and with what the machine allows at best. Ratios
are what counts: seconds depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from timing import heading, ratios
from torch import Tensor

from radbook import (
    RadialNetwork,
    Squash,
    lookahead_permutation,
    network_target,
    pick_device,
    population_loss,
    qr_compress,
    rescale_,
)


def squash_composed(v: Tensor) -> Tensor:
    """The activation as a reader would first write it; not safe at zero."""
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return r / (1 + r**2) * v


def forward_backward(f: Callable[[Tensor], Tensor], v: Tensor, cotangent: Tensor) -> Callable[[], object]:
    """The task of applying f to v and differentiating."""
    return lambda: torch.autograd.grad(f(v), v, cotangent)


def activation(batch: int, n: int, device: torch.device) -> None:
    """The activation in training and in inference."""
    v = torch.randn(batch, n, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    cotangent = torch.ones_like(v)
    rho = Squash()
    print(f"\nactivation, forward and backward, {batch} x {n}")
    candidates = {"x * 2": lambda x: x * 2, "ReLU": torch.relu, "Squash": rho, "composed": squash_composed}
    ratios({name: forward_backward(f, v, cotangent) for name, f in candidates.items()})
    x = v.detach()
    out = x.clone()

    def in_place() -> Tensor:
        return rescale_(out, rho.profile, rho.slope)

    print(f"activation, inference, {batch} x {n}")
    ratios(
        {
            "copy to memory at hand": lambda: out.copy_(x),
            "rescale_": in_place,
            "Squash": lambda: rho(x),
            "composed": lambda: squash_composed(x),
        }
    )


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
def factors_and_products(network: RadialNetwork) -> Callable[[], object]:
    """The task of the QR decompositions and the products that compression needs, without forming any factor Q."""
    isometries = qr_compress(network).isometries
    weights = [linear.weight for linear in network.linears]
    products = [w if v is None else w @ v for w, v in zip(weights, (None, *isometries), strict=True)]
    biases = [linear.bias[:, None] for linear in network.linears]
    extended = [
        torch.cat([b, w], dim=1) for b, w, v in zip(biases, products, isometries, strict=False) if v is not None
    ]
    pairs = [(w, v) for w, v in zip(weights[1:], isometries, strict=True) if v is not None]
    return lambda: ([torch.geqrf(a) for a in extended], [w @ v for w, v in pairs])


@torch.no_grad()
def compression(widths: tuple[int, ...], device: torch.device) -> None:
    """Compression by thin and by complete factors, and inference before and after."""
    network = RadialNetwork(widths, Squash(), generator=torch.Generator().manual_seed(0), device=device)
    reduced = qr_compress(network).network
    x = torch.randn(256, widths[0], generator=torch.Generator().manual_seed(1)).to(device)
    print(f"\n{widths} -> {reduced.widths}")
    print("  compression")
    ratios(
        {
            "geqrf and products alone": factors_and_products(network),
            "qr_compress": lambda: qr_compress(network),
            "one read of the weights": lambda: [p.sum() for p in network.parameters()],
            "complete Q": lambda: compress_with_full_factors(network),
        },
        5,
        1,
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


def many_starts(d: int, nodes: int, fewer: int, starts: int, device: torch.device) -> None:
    """The exact population loss and its gradient, for many starts at once and one by one."""
    g = torch.Generator().manual_seed(0)
    shapes = ((nodes,), (nodes, d), (starts, fewer), (starts, fewer, d))
    a, w, b, v = (torch.randn(shape, generator=g, dtype=torch.float64).to(device) for shape in shapes)
    b.requires_grad_()
    v.requires_grad_()
    target = network_target(a / nodes, w)

    def one_by_one(loss: Callable[[Tensor, Tensor], Tensor], count: int) -> list[object]:
        return [torch.autograd.grad(loss(b[i], v[i]), [b, v]) for i in range(count)]

    print(f"\npopulation loss and gradient, d = {d}, N = {nodes}, M = {fewer}, {starts} starts")
    tasks: dict[str, Callable[[], object]] = {
        "Gram products alone": lambda: (v.detach() @ w.mT, v.detach() @ v.detach().mT),
        "network_target, all at once": lambda: torch.autograd.grad(target.loss(b, v).sum(), [b, v]),
        "network_target, one by one": lambda: one_by_one(target.loss, starts),
        "population_loss, for one start": lambda: one_by_one(lambda b, v: population_loss(a / nodes, w, b, v), 1),
    }
    ratios(tasks, 5, 1)


def main() -> None:
    """Print all tables."""
    device = pick_device()
    heading(device)
    for n in (64, 512, 4096):
        activation(4096, n, device)
    for widths in ((784, 1024, 2048, 4096, 10), (8, 4096, 4096, 4096, 8)):
        compression(widths, device)
    for count in (10**4, 10**6):
        synchronisation(count, device)
    many_starts(100, 2000, 50, 64, device)


if __name__ == "__main__":
    main()

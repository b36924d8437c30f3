"""The tables: each lists tasks that do the same work, what to compare them with, and their parts."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import torch
from peers import (
    complete_compression,
    composed_sigmoid,
    composed_squash,
    factored_in_place,
    factored_sigmoid,
    factored_squash,
    norm_nonlinearities,
    published_compression,
    published_sigmoid,
    published_synchronisation,
)
from timing import Task
from torch import Tensor, nn

from radbook import (
    Approximation,
    RadialNetwork,
    RadialSigmoid,
    Squash,
    approximate,
    lookahead_permutation,
    network_target,
    population_loss,
    qr_compress,
    rescale_,
)

MEDIUM, WIDE = (784, 1024, 2048, 4096, 10), (8, 4096, 4096, 4096, 8)
TRAINED = (2, 16, 64, 128, 16, 2)


def gaussian(*shape: int, device: torch.device, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Standard normal numbers, the same on every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def with_gradient(f: Callable[[Tensor], Tensor], v: Tensor) -> Callable[[], object]:
    """The task of applying f to v and differentiating."""
    cotangent = torch.ones_like(v)
    return lambda: torch.autograd.grad(f(v), v, cotangent)


def activation(n: int, device: torch.device, dtype: torch.dtype = torch.float32) -> list[Task]:
    """Forward and backward of 4096 vectors."""
    v = gaussian(4096, n, device=device, dtype=dtype).requires_grad_()
    rho = Squash()
    return [
        Task("x * 2", with_gradient(lambda x: x * 2, v), "yardstick"),
        Task("radbook", with_gradient(rho, v), "radbook"),
        Task("radbook, compiled", with_gradient(torch.compile(rho, fullgraph=True), v), "part"),
        Task("composed of torch's functions", with_gradient(composed_squash, v)),
        Task("composed, factor by hand", with_gradient(factored_squash, v)),
        Task("composed, compiled", with_gradient(torch.compile(factored_squash, fullgraph=True), v)),
        Task("ReLU", with_gradient(torch.relu, v), "yardstick"),
    ]


def blocks(n: int, device: torch.device) -> list[Task]:
    """Forward and backward of 4096 vectors, n/3 blocks of three numbers each, as equivariant networks have them."""
    v = gaussian(4096, n, device=device).requires_grad_()
    rho = RadialSigmoid()
    vectors = v.detach().view(4096, -1, 3)
    out, factor = torch.empty_like(vectors), torch.ones_like(vectors[..., :1])
    tasks = [
        Task("x * 2", with_gradient(lambda x: x * 2, v), "yardstick"),
        Task("radbook, blocks of 3", with_gradient(lambda x: rho(x.view(len(x), -1, 3)).view_as(x), v), "radbook"),
        Task("norms of the blocks alone", lambda: torch.linalg.vector_norm(vectors, dim=-1), "part"),
        Task("sums over the blocks alone", lambda: vectors.sum(-1), "part"),
        Task("a product with a number for each block", lambda: torch.mul(vectors, factor, out=out), "part"),
        Task("a product with a number for each entry", lambda: torch.mul(vectors, vectors, out=out), "part"),
        Task("radbook, one block", with_gradient(rho, v), "part"),
    ]
    return tasks + [Task(name, with_gradient(f, v)) for name, f in norm_nonlinearities(n, device).items()]


@torch.no_grad()
def inference(n: int, device: torch.device) -> list[Task]:
    """4096 vectors without gradients; in place again and again, so the norms must not tend to 0 or infinity."""
    x = gaussian(4096, n, device=device)
    out, rho = x.clone(), RadialSigmoid()
    factor = torch.ones(4096, 1, device=device)

    def quietly(f: Callable[[], object]) -> Callable[[], object]:
        return torch.no_grad()(f)

    return [
        Task("copy to memory at hand", quietly(lambda: out.copy_(x)), "yardstick"),
        Task("rescale_", quietly(lambda: rescale_(out, rho.profile, rho.slope)), "radbook"),
        Task("norms alone", quietly(lambda: torch.linalg.vector_norm(out, dim=-1)), "part"),
        Task("product in place alone", quietly(lambda: out.mul_(factor)), "part"),
        Task("the activation, to new memory", quietly(lambda: rho(x)), "part"),
        Task("copy to new memory", quietly(x.clone), "part"),
        Task("composed of torch's functions", quietly(lambda: composed_sigmoid(x))),
        Task("composed, factor by hand, in place", quietly(lambda: factored_in_place(out))),
    ]


class Layers(nn.Module):
    """A network of linear layers with something between them."""

    def __init__(self, linears: nn.ModuleList, between: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        self.linears, self.between = linears, between

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.linears
        for linear in hidden:
            x = linear(x) if self.between is None else self.between(linear(x))
        return last(x)


def training(device: torch.device, *, reduced: bool) -> list[Task]:
    """A step of gradient descent in experiment 3: 14641 points, widths (2, 16, 64, 128, 16, 2) or reduced."""
    full = RadialNetwork(TRAINED, RadialSigmoid(), generator=torch.Generator().manual_seed(0), device=device)
    network = qr_compress(full).network if reduced else full
    line = torch.linspace(-3, 3, 121, device=device)
    x = torch.cartesian_prod(line, line)
    y = torch.sigmoid(x)

    def step(module: nn.Module, *, compiled: bool = False) -> Callable[[], object]:
        def loss(x: Tensor, y: Tensor) -> Tensor:
            return nn.functional.mse_loss(module(x), y)

        value = torch.compile(loss) if compiled else loss
        parameters = list(module.parameters())

        def once() -> None:
            gradients = torch.autograd.grad(value(x, y), parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, gradients, alpha=-1e-9)

        return once

    def layers(between: Callable[[Tensor], Tensor] | None) -> Layers:
        return Layers(network.linears, between)

    return [
        Task("linear layers alone", step(layers(None)), "yardstick"),
        Task("radbook", step(network), "radbook"),
        Task("composed of torch's functions", step(layers(composed_sigmoid))),
        Task("composed, factor by hand", step(layers(factored_sigmoid))),
        Task("the activation of Ganev et al.", step(layers(published_sigmoid))),
        Task("linear layers alone, compiled", step(layers(None), compiled=True), "yardstick"),
        Task("radbook, compiled", step(network, compiled=True), "part"),
        Task("composed, compiled", step(layers(factored_sigmoid), compiled=True)),
    ]


@torch.no_grad()
def parts_of_compression(network: RadialNetwork) -> dict[str, Callable[[], object]]:
    """The QR decompositions; the factors Q that radbook forms; the products with all factors Q, formed before."""
    isometries = qr_compress(network).isometries
    weights = [linear.weight for linear in network.linears]
    products = [w if v is None else w @ v for w, v in zip(weights, (None, *isometries), strict=True)]
    biases = [linear.bias[:, None] for linear in network.linears]
    extended = [
        torch.cat([b, w], dim=1) for b, w, v in zip(biases, products, isometries, strict=False) if v is not None
    ]
    pairs = [(w, v) for w, v in zip(weights[1:], isometries, strict=True) if v is not None]
    reflectors = [torch.geqrf(a) for a in extended]
    formed = [pair for pair, (w, v) in zip(reflectors, pairs, strict=True) if len(w) > v.shape[1]]
    return {
        "geqrf": lambda: [torch.geqrf(a) for a in extended],
        "Q": lambda: [torch.linalg.householder_product(*pair) for pair in formed],
        "Q'W'": lambda: [v.mT @ w.mT for w, v in pairs],
        "WQ": lambda: [w @ v for w, v in pairs],
    }


def random_network(widths: tuple[int, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> RadialNetwork:
    """A network with random weights and no gradients."""
    start = torch.Generator().manual_seed(0)
    return RadialNetwork(widths, Squash(), generator=start, device=device, dtype=dtype).requires_grad_(False)


def compression(widths: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> list[Task]:
    """Lossless compression; the published protocol works in float64, whatever the network."""
    network = random_network(widths, device, dtype)
    parts = parts_of_compression(network)
    return [
        Task("geqrf and products alone", lambda: (parts["geqrf"](), parts["Q'W'"]()), "yardstick"),
        Task("radbook", lambda: qr_compress(network), "radbook"),
        Task("geqrf and products in the form WQ alone", lambda: (parts["geqrf"](), parts["WQ"]()), "yardstick"),
        Task("geqrf alone", parts["geqrf"], "part"),
        Task("forming factors Q alone", parts["Q"], "part"),
        Task("one read of the weights", lambda: [p.sum() for p in network.parameters()], "yardstick"),
        Task("complete factors", lambda: complete_compression(network)),
        Task("the protocol of Ganev et al.", lambda: published_compression(network)),
    ]


def use(widths: tuple[int, ...], device: torch.device) -> list[Task]:
    """The forward pass of 256 samples before and after compression."""
    network = random_network(widths, device)
    reduced = qr_compress(network).network
    x = gaussian(256, widths[0], device=device, seed=1)
    return [
        Task("reduced network", lambda: reduced(x), "radbook"),
        Task("full network", lambda: network(x)),
    ]


def balls(count: int, device: torch.device) -> Approximation:
    """A network of bounded width over about ``count`` balls in the plane."""

    def f(x: Tensor) -> Tensor:
        return torch.sin(3 * x[:, :1]) * torch.cos(2 * x[:, 1:])

    box = (torch.full((2,), -1.0, device=device), torch.full((2,), 1.0, device=device))
    eps = math.sqrt(2 / count) / 0.3  # the balls have radius 0.3 eps, and 2 / r^2 of them cover the square
    return approximate(f, box=box, eps=eps, lipschitz=3, method="compact", limit=10**6)


def approximation(count: int, points: int, device: torch.device) -> list[Task]:
    """The values of a network of bounded width at many points."""
    found = balls(count, device)
    x = 2 * torch.rand(points, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device) - 1
    network = found.network

    def distances() -> None:
        for part in x.split(4096):
            for centres in found.centres.split(256):
                torch.cdist(part, centres, compute_mode="donot_use_mm_for_euclid_dist")

    return [
        Task("all distances alone", distances, "yardstick"),
        Task(f"radbook, {found.N} balls", lambda: found(x), "radbook"),
        Task("matrix by matrix", lambda: network(x)),
    ]


def synchronisation(count: int, device: torch.device) -> list[Task]:
    """A synchronisation of lookahead permutation, and a step of the inner optimiser."""
    net = nn.Linear(count, 1, bias=False, device=device)
    net.weight.grad = gaussian(1, count, device=device)
    adam = torch.optim.Adam(net.parameters())
    laperm = lookahead_permutation(net, adam)
    weights = net.weight.detach()
    (values, order), new = weights.sort(), torch.empty_like(weights)
    return [
        Task("scatter alone", lambda: new.scatter_(1, order, values), "yardstick"),
        Task("radbook", laperm.synchronise, "radbook"),
        Task("argsort and scatter", lambda: new.scatter_(1, weights.argsort(stable=True), values)),
        Task("the protocol of Qiu and Suda", lambda: weights.copy_(published_synchronisation(weights, values))),
        Task("a step of Adam", adam.step, "part"),
    ]


def many_starts(d: int, nodes: int, fewer: int, starts: int, device: torch.device) -> list[Task]:
    """The exact population loss and its gradient, for many starts at once and one by one."""
    a, w = (gaussian(*shape, device=device, dtype=torch.float64) for shape in ((nodes,), (nodes, d)))
    b, v = (
        gaussian(*shape, device=device, dtype=torch.float64, seed=1) for shape in ((starts, fewer), (starts, fewer, d))
    )
    b.requires_grad_()
    v.requires_grad_()
    a = a / nodes
    target = network_target(a, w)

    cosines = 2 * torch.rand(starts, fewer, nodes, dtype=torch.float64, device=device) - 1
    apart = [(b[i].detach().requires_grad_(), v[i].detach().requires_grad_()) for i in range(starts)]

    def one_by_one(loss: Callable[[Tensor, Tensor], Tensor]) -> list[object]:
        return [torch.autograd.grad(loss(*start), start) for start in apart]

    return [
        Task("Gram products alone", lambda: (v.detach() @ w.mT, v.detach() @ v.detach().mT), "yardstick"),
        Task("radbook", lambda: torch.autograd.grad(target.loss(b, v).sum(), [b, v]), "radbook"),
        Task("arc cosines of as many numbers", lambda: cosines.acos(), "part"),
        Task("square roots of as many numbers", lambda: (1 - cosines * cosines).sqrt(), "part"),
        Task("the same, start by start", lambda: one_by_one(target.loss)),
        Task("a loop that knows of one start only", lambda: one_by_one(lambda b, v: population_loss(a, w, b, v))),
    ]


def imports() -> list[Task]:
    """What it takes to start Python and import; the last one is what the script of Ganev et al. imports."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def start(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    return [
        Task("torch", start("import torch"), "yardstick"),
        Task("radbook", start("import radbook"), "radbook"),
        Task("torch, torch.optim, pyplot, tqdm", start("import torch.optim, matplotlib.pyplot, tqdm")),
    ]


def tables(device: torch.device) -> Iterator[tuple[str, str, Callable[[], list[Task]], int]]:
    """All tables: name, title, tasks, and how many rounds they are given."""
    for n in (64, 512, 4096):
        yield f"activation-{n}", f"Forward and backward, 4096 vectors, n = {n}", lambda n=n: activation(n, device), 15
    if device.type == "cuda":
        for n in (512, 4096):
            title = f"Forward and backward, 4096 vectors, n = {n}, bfloat16"
            yield f"activation-{n}-bfloat16", title, lambda n=n: activation(n, device, torch.bfloat16), 15
    for n in (63, 513, 4095):
        yield f"blocks-{n}", f"Forward and backward, 4096 vectors, n = {n}", lambda n=n: blocks(n, device), 7
    for n in (64, 512, 4096):
        yield f"inference-{n}", f"Without gradients, 4096 vectors, n = {n}", lambda n=n: inference(n, device), 15
    for which in ("full", "reduced"):
        title = f"A training step of experiment 3, {which} network"
        yield f"training-{which}", title, lambda w=which: training(device, reduced=w == "reduced"), 15
    for kind, widths in (("medium", MEDIUM), ("wide", WIDE)):
        for dtype in (torch.float32, torch.float64):
            digits = str(dtype).removeprefix("torch.")
            title = f"Compression of widths {widths}, {digits}"
            yield f"compression-{kind}-{digits}", title, lambda w=widths, d=dtype: compression(w, device, d), 3
        yield f"use-{kind}", f"256 samples, widths {widths}", lambda w=widths: use(w, device), 15
    yield "approximation", "10^5 points", lambda: approximation(5000, 10**5, device), 3
    for count in (10**4, 10**6):
        yield f"synchronisation-{count}", f"{count} weights", lambda c=count: synchronisation(c, device), 15
    title = "Population loss and gradient, d = 100, N = 2000, M = 50, 64 starts"
    yield "starts", title, lambda: many_starts(100, 2000, 50, 64, device), 3
    yield "import", "A new Python", imports, 7

"""Networks whose coefficients only change places, their initialisations, and exhaustive search."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import DEVICES, DTYPES, gaussian, generator, seeds

from radbook.permutation import (
    INITIALISATIONS,
    PermutationNetwork,
    best_permutation,
    grid,
    initial_coefficients,
    pairwise,
)


def naive(net, x):
    """The definition, hinge by hinge."""
    b, (p, q) = net.locations, net.coefficients
    total = sum(p[i] * (x - b[i]).clamp(min=0) + q[i] * (b[i] - x).clamp(min=0) for i in range(len(b)))
    return net.alpha + net.gamma * total


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@given(n=st.integers(1, 30), seed=seeds)
def test_the_network_is_its_definition(n, seed, dtype, device):
    g = generator(seed)
    b = torch.randn(n, generator=g, dtype=torch.float64).sort().values.to(dtype=dtype, device=device)
    initial, index = gaussian(2, n, seed=seed, dtype=dtype, device=device), torch.randperm(2 * n, generator=g)
    if not (b.diff() > 0).all():
        return
    net = PermutationNetwork(b, initial, index, alpha=0.5, gamma=-2.0)
    x = gaussian(4, 5, seed=seed + 1, dtype=dtype, device=device)
    out = net(x)
    assert out.shape == x.shape and out.dtype == dtype and out.device.type == device
    size = 2 * (n * initial.abs().max() * (x.abs().max() + b.abs().max()) + 1)
    assert (out - naive(net, x)).abs().max() <= 10 * n * torch.finfo(dtype).eps * size
    assert net.is_permutation()


@given(seed=seeds, d=st.integers(1, 4), count=st.integers(1, 5), n=st.integers(2, 6))
def test_directions_add_ridge_functions(seed, d, count, n):
    b, a = grid(n), gaussian(count, d, seed=seed)
    initial = gaussian(2, count, n, seed=seed + 1)
    net = PermutationNetwork(b, initial, directions=a, alpha=1.0, gamma=3.0)
    x = gaussian(7, d, seed=seed + 2)
    parts = [PermutationNetwork(b, initial[:, k], gamma=3.0)(x @ a[k]) for k in range(count)]
    assert torch.allclose(net(x), 1 + sum(parts), rtol=1e-12, atol=1e-11)
    assert net(x[0]).shape == () and net(x.view(7, 1, d)).shape == (7, 1)


def test_bookkeeping_is_bit_for_bit():
    b = grid(5)
    net = PermutationNetwork(b, pairwise(b)).requires_grad_(False)
    net.coefficients.copy_(net.coefficients.flatten()[torch.randperm(10, generator=generator(0))].view(2, 5))
    assert net.is_permutation()
    net.coefficients[0, 1] = torch.nextafter(net.coefficients[0, 1], torch.tensor(9.0, dtype=torch.float64))
    assert not net.is_permutation()
    net = PermutationNetwork(b, pairwise(b)).requires_grad_(False)
    net.coefficients[1, 0] = 0.0  # it was -0.0
    assert not net.is_permutation()


def test_it_is_saved_with_its_locations():
    b = grid(4)
    net = PermutationNetwork(b, pairwise(b), torch.arange(8).flip(0), gamma=2.0)
    other = PermutationNetwork(b / 2, 0 * pairwise(b))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(b), net(b)) and other.is_permutation()


@pytest.mark.parametrize(
    ("error", "match", "change"),
    [
        (TypeError, "floating", {"locations": torch.arange(3)}),
        (TypeError, "floating", {"initial": [[1.0], [2.0]]}),
        (TypeError, "convert", {"initial": torch.ones(2, 3)}),
        (ValueError, "NaN", {"initial": torch.full((2, 3), math.nan, dtype=torch.float64)}),
        (ValueError, "increasing", {"locations": torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)}),
        (ValueError, r"\(2, 3\)", {"initial": torch.ones(3, 2, dtype=torch.float64)}),
        (ValueError, "once", {"index": torch.zeros(6, dtype=torch.int64)}),
        (ValueError, "once", {"index": torch.arange(6).double()}),
        (ValueError, "finite", {"gamma": math.inf}),
        (ValueError, r"\(D, d\)", {"directions": torch.ones(3, dtype=torch.float64)}),
    ],
)
def test_bad_input(error, match, change):
    good = {"locations": grid(3), "initial": pairwise(grid(3))}
    with pytest.raises(error, match=match):
        PermutationNetwork(**(good | change))


def test_inputs_of_another_dimension():
    net = PermutationNetwork(grid(2), torch.ones(2, 1, 2, dtype=torch.float64), directions=grid(3)[None])
    with pytest.raises(ValueError, match=r"\(\.\.\., 3\)"):
        net(torch.ones(4, 2, dtype=torch.float64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", INITIALISATIONS)
def test_initialisations_have_their_law(kind, dtype):
    n = 20_000
    values = initial_coefficients(kind, n, generator=generator(0), dtype=dtype)
    assert values.shape == (2, n) and values.dtype == dtype
    again = initial_coefficients(kind, n, generator=generator(0), dtype=dtype)
    assert torch.equal(values, again)
    variance = {"pairwise equidistant": 1 / 3, "pairwise uniform": 1 / 3, "uniform": 1 / 3}
    variance |= {"xavier": 2 / (2 * n + 1), "he": 1 / n}
    # five standard deviations of a mean of 2n squares, each of relative variance at most 2
    assert float(values.double().square().mean()) == pytest.approx(variance[kind], rel=5 * math.sqrt(2 / n))
    if kind.startswith("pairwise"):
        assert torch.equal(values[0], -values[1]) and (values[0] >= 0).all()
    if kind == "pairwise equidistant":
        assert torch.equal(values[0], grid(n, dtype=dtype))


def test_bad_initialisations():
    with pytest.raises(ValueError, match="pairwise uniform"):
        initial_coefficients("glorot", 5)
    for bad in (initial_coefficients, lambda _, n: grid(n)):
        with pytest.raises(ValueError, match="n >= 2"):
            bad("he", 1)


def every_error(f, n, *, linear):
    """The least error over ALL arrangements, one by one; with alpha and gamma by a fine search."""
    x, b = torch.linspace(0, 1, 33, dtype=torch.float64), grid(n)
    y, least = f(x), math.inf
    for index in itertools.permutations(range(2 * n)):
        net = PermutationNetwork(b, pairwise(b), torch.tensor(index)).requires_grad_(False)
        g = net(x)
        if not linear:
            least = min(least, float((g - y).abs().max()))
            continue
        for gamma in torch.linspace(-6, 6, 121, dtype=torch.float64):
            low, high = (y - gamma * g).aminmax()
            least = min(least, float(high - low) / 2)
    return least


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("f", [lambda x: (x - 0.3).abs(), lambda x: torch.sin(6 * x), lambda x: 0 * x + 2])
def test_exhaustive_search_misses_nothing(f, linear):
    n = 3
    best = best_permutation(f, n, linear=linear, points=33)
    x = torch.linspace(0, 1, 33, dtype=torch.float64)
    with torch.no_grad():
        assert float((best.network(x) - f(x)).abs().max()) == pytest.approx(best.error, abs=1e-12)
    assert best.network.is_permutation()
    if linear:  # the coarse search over gamma is never better, and nearly as good
        coarse = every_error(f, n, linear=True)
        assert best.error <= coarse + 1e-9 and coarse - best.error <= 0.05 * 0.5
    else:
        assert best.error == pytest.approx(every_error(f, n, linear=False), abs=1e-12)
        assert best.network.alpha.item() == 0 and best.network.gamma.item() == 1


@pytest.mark.parametrize("n", [1, 6, 20])
def test_exhaustive_search_refuses_what_it_cannot_do(n):
    with pytest.raises(ValueError, match="arrangements"):
        best_permutation(torch.sin, n)


def test_exhaustive_search_wants_finite_values():
    with pytest.raises(ValueError, match="finite"):
        best_permutation(lambda x: 1 / x, 3)


@settings(max_examples=10)
@given(n=st.integers(2, 4), seed=seeds)
def test_exhaustive_search_finds_what_can_be_represented(n, seed):
    b = grid(n)
    net = PermutationNetwork(b, pairwise(b), torch.randperm(2 * n, generator=generator(seed))).requires_grad_(False)
    assert best_permutation(net, n, linear=False).error <= 1e-14
    assert best_permutation(lambda x: 3 - 2 * net(x), n).error <= 1e-6

"""The orthogonal action: a group action that leaves the function alone."""

import pytest
import torch
from hypothesis import assume, given
from variants import (
    DEVICES,
    DTYPES,
    activations,
    away_from_jumps,
    gaussian,
    generator,
    random_network,
    relative_sup_error,
    seeds,
    widths,
)

from radbook import Squash, act, random_rotations
from radbook.network import RadialNetwork


def eps_per_layer(net):
    return torch.finfo(net.linears[0].weight.dtype).eps * len(net.linears)


@given(widths=widths, activation=activations, seed=seeds)
def test_the_function_is_invariant(widths, activation, seed):
    net = random_network(widths, activation, seed=seed)
    x = gaussian(30, widths[0], seed=seed)
    x = x[away_from_jumps(net, x)]
    assume(len(x) > 0)
    moved = act(random_rotations(widths, generator=generator(seed), dtype=torch.float64), net)
    assert relative_sup_error(net, moved, x) <= 100 * eps_per_layer(net)


@given(widths=widths, seed=seeds)
def test_it_is_a_group_action(widths, seed):
    net = random_network(widths, "squash", seed=seed)
    g = generator(seed)
    p, q = (random_rotations(widths, generator=g, dtype=torch.float64) for _ in range(2))
    twice = act(p, act(q, net))
    once = act([a @ b for a, b in zip(p, q, strict=True)], net)
    back = act([a.T for a in p], act(p, net))
    unit = act([torch.eye(n, dtype=torch.float64) for n in widths[1:-1]], net)
    for first, second in ((twice, once), (back, net), (unit, net)):
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-13 * max(1.0, float(b.detach().abs().max())))


def test_the_formula():
    net = random_network((2, 3, 4, 1), "squash", seed=0)
    q1, q2 = random_rotations(net.widths, generator=generator(1), dtype=torch.float64)
    moved = act([q1, q2], net)
    w, b = ([getattr(linear, name) for linear in net.linears] for name in ("weight", "bias"))
    for linear, weight, bias in zip(
        moved.linears, [q1 @ w[0], q2 @ w[1] @ q1.T, w[2] @ q2.T], [q1 @ b[0], q2 @ b[1], b[2]], strict=True
    ):
        assert torch.allclose(linear.weight, weight) and torch.allclose(linear.bias, bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
def test_rotations_are_orthogonal_and_reproducible(dtype, device):
    widths = (3, 1, 40, 7, 2)
    rotations = random_rotations(widths, generator=generator(0), dtype=dtype, device=device)
    again = random_rotations(widths, generator=generator(0), dtype=dtype, device=device)
    assert [tuple(q.shape) for q in rotations] == [(1, 1), (40, 40), (7, 7)]
    for q, other in zip(rotations, again, strict=True):
        assert q.dtype == dtype and q.device.type == device and torch.equal(q, other)
        assert (q @ q.T - torch.eye(len(q), dtype=dtype, device=device)).abs().max() <= 10 * len(q) * torch.finfo(
            dtype
        ).eps


def test_rotations_are_haar_distributed():
    """Haar measure on O(2): both determinants, entries of mean 0 and variance 1/2, and E q_11^4 = 3/8."""
    g = generator(5)
    q = torch.stack([random_rotations((1, 2, 1), generator=g, dtype=torch.float64)[0] for _ in range(4000)])
    deviations = 4 / 4000**0.5
    assert abs(float(torch.linalg.det(q).mean())) < deviations
    assert q.mean(0).abs().max() < deviations
    assert ((q**2).mean(0) - 1 / 2).abs().max() < deviations
    assert ((q**4).mean(0) - 3 / 8).abs().max() < deviations


def test_the_network_itself_is_not_changed():
    net = random_network((2, 5, 1), "tanh", seed=0)
    before = [p.clone() for p in net.parameters()]
    moved = act(random_rotations(net.widths, generator=generator(0), dtype=torch.float64), net)
    assert all(torch.equal(p, q) for p, q in zip(before, net.parameters(), strict=True))
    assert all(p.requires_grad for p in moved.parameters())


NET = RadialNetwork((2, 3, 1), Squash(), generator=generator(0))


@pytest.mark.parametrize(
    ("rotations", "message"),
    [
        ([], "need 1 rotations"),
        ([torch.eye(2)], r"shape \(3, 3\)"),
        ([torch.eye(3, dtype=torch.float64)], "float32"),
        ([torch.eye(3, device="meta")], "device cpu"),
        ([2 * torch.eye(3)], "not orthogonal"),
        ([torch.full((3, 3), torch.nan)], "not orthogonal"),
    ],
)
def test_bad_rotations_are_named(rotations, message):
    with pytest.raises(ValueError, match=message):
        act(rotations, NET)


def test_bad_widths_are_named():
    with pytest.raises(ValueError, match="n_i >= 1"):
        random_rotations((1, 0, 1))

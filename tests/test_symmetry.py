"""The orthogonal action: a group action that leaves the function alone."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
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

from radbook import Squash, act, parameter_count, random_rotations
from radbook.network import RadialNetwork
from radbook.symmetry import (
    generic_orbit_dimension,
    gradient_defect,
    infinitesimal_action,
    orbit_tangents,
    stabiliser_sizes,
)


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


@pytest.mark.filterwarnings("error")
def test_rotations_that_carry_gradients_are_taken_as_numbers():
    net = random_network((2, 3, 1), "squash", seed=0)
    (q,) = random_rotations(net.widths, generator=generator(0), dtype=torch.float64)
    moved = act([q.requires_grad_()], net)
    assert all(p.is_leaf for p in moved.parameters())


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


SMALL = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)


@given(widths=SMALL, seed=seeds)
@settings(max_examples=40)
def test_infinitesimal_action_is_the_derivative(widths, seed):
    net = random_network(widths, "squash", seed=seed)
    x = [gaussian(n, n, seed=seed + i) for i, n in enumerate(widths[1:-1])]
    x = [a - a.T for a in x]
    weights, biases = infinitesimal_action(x, net)

    def moved(t):
        q = [torch.linalg.matrix_exp(t * a) for a in x]
        return act(q, net).requires_grad_(False)

    t = 1e-5
    ahead, behind = moved(t), moved(-t)
    for p, q, w, b in zip(ahead.linears, behind.linears, weights, biases, strict=True):
        assert torch.allclose((p.weight - q.weight) / (2 * t), w, rtol=0, atol=1e-6)
        assert torch.allclose((p.bias - q.bias) / (2 * t), b, rtol=0, atol=1e-6)


@given(widths=SMALL, seed=seeds)
@settings(max_examples=60)
def test_orbit_dimension_is_the_generic_one(widths, seed):
    """The rank of the tangent vectors, at a random point, is that of the theorem."""
    net = random_network(widths, "squash", seed=seed)
    tangents = orbit_tangents(net)
    assert tangents.shape == (parameter_count(widths), sum(n * (n - 1) // 2 for n in widths[1:-1]))
    s = torch.linalg.svdvals(tangents)
    rank = int((s > 1e-10 * s.max()).sum()) if s.numel() else 0
    assert rank == generic_orbit_dimension(widths)


def test_orbit_dimensions_by_hand():
    assert stabiliser_sizes((1, 8, 2)) == (4,) and generic_orbit_dimension((1, 8, 2)) == 28 - 6
    assert stabiliser_sizes((1, 8, 16, 8, 1)) == (0, 0, 0)
    assert stabiliser_sizes((2, 12, 3, 12, 2)) == (6, 0, 6)
    assert stabiliser_sizes((3, 2)) == () and generic_orbit_dimension((3, 2)) == 0


@given(widths=SMALL, activation=activations, seed=seeds)
@settings(max_examples=40)
def test_gradient_is_orthogonal_to_the_orbit(widths, activation, seed):
    net = random_network(widths, activation, seed=seed).requires_grad_(True)
    x = gaussian(9, widths[0], seed=seed)
    (net(x) ** 3).mean().backward()
    defects = gradient_defect(net)
    assert [d.shape for d in defects] == [(n, n) for n in widths[1:-1]]
    size = max(float(p.grad.abs().max()) * float(p.detach().abs().max()) for a in net.linears for p in a.parameters())
    for d in defects:
        assert d.abs().max() <= 1e-12 * (1 + size)
    gradient = torch.cat([p.grad.flatten() for a in net.linears for p in a.parameters()])
    if len(widths) > 2:
        along = gradient @ orbit_tangents(net)
        assert along.numel() == 0 or along.abs().max() <= 1e-12 * (1 + size) * len(gradient)


def test_gradient_defect_sees_a_loss_of_the_parameters():
    """Of a loss that is not invariant, here one entry of a weight, the defect is not zero."""
    net = random_network((2, 3, 1), "squash", seed=0).requires_grad_(True)
    (net.linears[0].weight[0, 0] + 0 * sum(p.sum() for p in net.parameters())).backward()
    (defect,) = gradient_defect(net)
    expected = torch.zeros(3, 3, dtype=torch.float64)
    expected[0] = net.linears[0].weight.detach()[:, 0]
    assert torch.allclose(defect, (expected - expected.T) / 2)


@given(n=st.integers(2, 8), seed=seeds)
@settings(max_examples=20)
def test_a_turned_skew_matrix_is_skew_up_to_rounding(n, seed):
    """Q X Q^T counts as skew, as Q counts as orthogonal, and Q . (X . theta) = (Q X Q^T) . (Q . theta)."""
    net = random_network((2, n, 1), "squash", seed=seed)
    x = gaussian(n, n, seed=seed)
    (q,) = random_rotations(net.widths, generator=generator(seed), dtype=torch.float64)
    (w, w_last), (b, _) = infinitesimal_action([x - x.T], net)
    turned_weights, turned_biases = infinitesimal_action([q @ (x - x.T) @ q.T], act([q], net))
    pairs = zip((q @ w, w_last @ q.T, q @ b), (*turned_weights, turned_biases[0]), strict=True)
    assert all(torch.allclose(p, r, rtol=0, atol=1e-12 * (1 + float(p.abs().max()))) for p, r in pairs)


def test_infinitesimal_bad_input():
    net = random_network((2, 3, 1), "squash", seed=0)
    with pytest.raises(ValueError, match="float32"):
        infinitesimal_action([torch.zeros(3, 3)], net)
    with pytest.raises(ValueError, match="X_1 is not skew"):
        infinitesimal_action([torch.full((3, 3), torch.nan).double()], net)
    with pytest.raises(ValueError, match="need skew matrices"):
        infinitesimal_action([torch.zeros(2, 2)], net)
    with pytest.raises(ValueError, match="X_1 is not skew"):
        infinitesimal_action([torch.ones(3, 3).double()], net)
    with pytest.raises(ValueError, match="layer 1 has no gradient"):
        gradient_defect(net)

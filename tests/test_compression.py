"""QR compression: widths, losslessness for every network, the isometries, memory, errors."""

import copy

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from variants import (
    DEVICES,
    DTYPES,
    JUMPS_AT_ZERO,
    activations,
    away_from_jumps,
    gaussian,
    generator,
    random_network,
    relative_sup_error,
    seeds,
    widths,
)

from radbook import (
    RadialNetwork,
    RadialRescaling,
    ShiftedReLU,
    Squash,
    act,
    parameter_count,
    qr_compress,
    random_rotations,
    rank_compress,
    reduced_widths,
    truncate,
)


def test_reduced_widths_of_the_paper():
    assert reduced_widths((1, 8, 16, 8, 1)) == (1, 2, 3, 4, 1)
    assert (parameter_count((1, 8, 16, 8, 1)), parameter_count((1, 2, 3, 4, 1))) == (305, 34)
    assert reduced_widths((1, 6, 7, 1)) == (1, 2, 3, 1)
    assert reduced_widths((2, 16, 64, 128, 16, 2)) == (2, 3, 4, 5, 6, 2)


@given(widths=widths)
def test_reduced_widths_are_the_largest_that_the_rules_allow(widths):
    """Closed form: the minimum over j <= i of n_j + i - j, for the hidden layers."""
    closed = [min(widths[j] + i - j for j in range(i + 1)) for i in range(len(widths) - 1)]
    assert reduced_widths(widths) == (*closed, widths[-1])
    assert reduced_widths(reduced_widths(widths)) == reduced_widths(widths)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@given(widths=widths, activation=activations, seed=seeds, rank_deficient=st.booleans())
def test_lossless_up_to_rounding(dtype, device, widths, activation, seed, rank_deficient):
    """Relative sup error <= 50 eps depth, away from the jumps of the profile, on inputs of size up to 10."""
    net = random_network(widths, activation, seed=seed, dtype=dtype, device=device, rank_deficient=rank_deficient)
    compression = qr_compress(net)
    assert compression.network.widths == reduced_widths(widths)
    x = gaussian(40, widths[0], seed=seed, dtype=dtype, device=device)
    x[::4] *= 10
    x = x[away_from_jumps(net, x)]
    assume(len(x) > 0)
    assert relative_sup_error(net, compression.network, x) <= 50 * torch.finfo(dtype).eps * len(net.linears)


@given(widths=widths, activation=activations, seed=seeds, rank_deficient=st.booleans())
def test_hidden_layers_are_the_embedded_reduced_ones(widths, activation, seed, rank_deficient):
    """F_i = V_i F_i^red with orthonormal columns V_i; the full Q_i begin with V_i and bring A_i to R_i over zeros."""
    net = random_network(widths, activation, seed=seed, rank_deficient=rank_deficient)
    c = qr_compress(net)
    x = gaussian(10, widths[0], seed=seed)
    x = x[away_from_jumps(net, x)]
    full, reduced = net.partial_maps(x), c.network.partial_maps(x)
    for v, q, f, g in zip(c.isometries, c.rotations, full[1:], reduced[1:], strict=False):
        n, k = f.shape[1], g.shape[1]
        v = torch.eye(n, dtype=torch.float64) if v is None else v
        assert v.shape == (n, k) and q.shape == (n, n) and torch.equal(q[:, :k], v)
        assert torch.allclose(q.T @ q, torch.eye(n, dtype=torch.float64), atol=1e-13)
        assert torch.allclose(f, g @ v.T, rtol=0, atol=1e-12 * (1 + float(f.abs().sum())))
    moved = act([q.T for q in c.rotations], net).requires_grad_(False)
    for i, (corner, whole) in enumerate(zip(c.network.linears, moved.linears, strict=True)):
        n, m = corner.weight.shape
        tolerance = 1e-12 * (1 + float(whole.weight.abs().max() + whole.bias.abs().max()))
        assert torch.allclose(whole.weight[:n, :m], corner.weight, rtol=0, atol=tolerance)
        assert torch.allclose(whole.bias[:n], corner.bias, rtol=0, atol=tolerance)
        if i < len(c.rotations):
            assert (
                float(whole.weight[n:, :m].abs().sum() + whole.bias[n:].abs().sum()) <= whole.weight.numel() * tolerance
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
def test_zero_networks_and_zero_biases(dtype, device):
    net = random_network((2, 9, 9, 3), "squash", seed=0, dtype=dtype, device=device)
    x = gaussian(20, 2, seed=1, dtype=dtype, device=device)
    with torch.no_grad():
        for linear in net.linears:
            linear.bias.zero_()
    assert relative_sup_error(net, qr_compress(net).network, x) <= 150 * torch.finfo(dtype).eps
    with torch.no_grad():
        for linear in list(net.linears)[:-1]:
            linear.weight.zero_()
        net.linears[-1].bias.fill_(2.0)
    c = qr_compress(net)
    assert torch.equal(c.network(x), net(x)) and all(torch.isfinite(q).all() for q in c.rotations)


def test_widths_that_do_not_shrink_are_left_bit_for_bit():
    net = random_network((3, 4, 5, 2), "tanh", seed=0)
    c = qr_compress(net)
    assert c.isometries == (None, None)
    assert all(torch.equal(p, q) for p, q in zip(c.network.parameters(), net.parameters(), strict=True))


def test_compressing_again_changes_nothing():
    once = qr_compress(random_network((2, 30, 20, 4), "tanh", seed=0)).network
    twice = qr_compress(once).network
    assert all(torch.equal(p, q) for p, q in zip(once.parameters(), twice.parameters(), strict=True))


class LargestTensor(TorchDispatchMode):
    """Records the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


def test_only_thin_factors_unless_rotations_are_read():
    net = random_network((2, 500, 20, 3), "squash", seed=0)
    with LargestTensor() as seen:
        c = qr_compress(net)
    assert seen.numel == 500 * 20
    with LargestTensor() as seen:
        assert len(c.rotations) == 2
    assert seen.numel == 500 * 500


def test_trained_shifts_come_along_and_the_source_is_untouched():
    net = RadialNetwork((1, 6, 7, 1), ShiftedReLU(0.1, trainable=True), generator=generator(0), dtype=torch.float64)
    with torch.no_grad():
        net.activations[1].shift.fill_(0.2)
    before = copy.deepcopy(net.state_dict())
    reduced = qr_compress(net).network
    assert [round(a.shift.item(), 6) for a in reduced.activations] == [0.1, 0.2]
    with torch.no_grad():
        reduced.activations[0].shift.fill_(9.0)
        reduced.linears[-1].bias.fill_(9.0)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(p.requires_grad for p in reduced.parameters())


def test_finite_weights_may_have_a_sum_that_overflows():
    net = RadialNetwork((2, 5, 1), Squash(), dtype=torch.float32)
    with torch.no_grad():
        net.linears[0].bias.fill_(torch.finfo(torch.float32).max / 4)
    assert qr_compress(net).network.widths == (2, 3, 1)


def test_a_layer_may_stand_twice_in_a_network():
    net = RadialNetwork((2, 8, 8, 8), Squash())
    net.linears[1] = net.linears[2]
    assert qr_compress(net).network.widths == reduced_widths(net.widths)


def test_no_hidden_layer():
    net = RadialNetwork((3, 2), Squash())
    c = qr_compress(net)
    assert c.network.widths == (3, 2) and c.rotations == [] and c.isometries == ()


def test_the_jump_of_the_radial_sigmoid_is_only_at_zero():
    assert JUMPS_AT_ZERO
    net = random_network((1, 6, 7, 1), "radial-sigmoid", seed=3, dtype=torch.float32)
    x = torch.linspace(-3, 3, 121)[:, None]
    assert relative_sup_error(net, qr_compress(net).network, x) <= 50 * torch.finfo(torch.float32).eps * 3


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("widths", [(1, 6, 1), (2, 3, 2), (2, 9, 8, 5), (1, 600, 600, 1)])
@pytest.mark.parametrize("plain", [True, False])
def test_weights_that_are_no_numbers_are_named(value, widths, plain):
    """Wherever they are, also where the reflections or factors are 0 (of weights that are 0, or 1 on a diagonal)."""
    net = random_network(widths, "shifted-relu-trainable", seed=1, dtype=torch.float32)
    where = torch.Generator().manual_seed(0)
    for name, p in net.named_parameters():
        for kept in ["eye", "zero"] if plain else ["random"]:
            with torch.no_grad():
                for q in net.parameters():
                    if kept == "eye" and q.ndim == 2:
                        torch.nn.init.eye_(q)
                    elif kept == "zero":
                        q.zero_()
            for entry in torch.randperm(p.numel(), generator=where)[:20]:
                with torch.no_grad():
                    before = p.view(-1)[entry].item()
                    p.view(-1)[entry] = value
                with pytest.raises(ValueError, match=rf"{name} has 1 entries that are NaN or infinite"):
                    qr_compress(net)
                with torch.no_grad():
                    p.view(-1)[entry] = before


@pytest.mark.parametrize(
    ("widths", "error"), [((), ValueError), ((2,), ValueError), ((1, -1, 2), ValueError), ((1, 1.5, 1), TypeError)]
)
def test_bad_widths_are_named(widths, error):
    with pytest.raises(error, match="widths must be"):
        reduced_widths(widths)


LIPSCHITZ = st.sampled_from(["squash", "shifted-relu", "shifted-relu-0"])


def low_rank_network(widths, rank, seed):
    """Every extended matrix has at most the given rank."""
    net = random_network(widths, "squash", seed=seed)
    weights, biases = [], []
    for i, a in enumerate(net.extended_matrices()):
        u, s, v = torch.linalg.svd(a, full_matrices=False)
        a = u[:, :rank] @ torch.diag(s[:rank]) @ v[:rank] if i < len(widths) - 2 else a
        weights.append(a[:, 1:])
        biases.append(a[:, 0])
    return net.with_parameters(weights, biases).requires_grad_(False)


@given(widths=widths, rank=st.integers(1, 4), seed=seeds)
def test_rank_compression_is_lossless_and_as_narrow_as_the_ranks(widths, rank, seed):
    net = low_rank_network(widths, rank, seed)
    c = rank_compress(net)
    reduced = reduced_widths(widths)
    expected = [widths[0]]
    for n in widths[1:-1]:
        expected.append(min(n, expected[-1] + 1, rank))
    assert c.network.widths == (*expected, widths[-1])
    assert all(k <= n for k, n in zip(c.network.widths, reduced, strict=True))
    x = gaussian(30, widths[0], seed=seed)
    assert relative_sup_error(net, c.network, x) <= 100 * torch.finfo(torch.float64).eps * len(net.linears)
    for v, q in zip(c.isometries, c.rotations, strict=True):
        assert torch.allclose(v.T @ v, torch.eye(v.shape[1], dtype=torch.float64), atol=1e-13)
        assert torch.allclose(q @ q.T, torch.eye(len(q), dtype=torch.float64), atol=1e-12)


def test_rank_compression_of_zero_layers_keeps_width_one():
    net = random_network((2, 5, 5, 1), "squash", seed=0)
    zero = net.with_parameters([0 * a.weight for a in net.linears], [0 * a.bias for a in net.linears])
    assert rank_compress(zero).network.widths == (2, 1, 1, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_what_a_layer_of_rank_zero_would_feed_is_not_counted(dtype, device, scale):
    """Layer 2 sees nothing of layer 1, exactly or up to rounding: r_2 = 0, and r_3 = 1 is the bias of layer 3."""
    net = random_network((2, 30, 40, 50, 1), "tanh", seed=0, dtype=dtype, device=device)
    v = rank_compress(net).isometries[0]
    weights, biases = [a.weight.detach() for a in net.linears], [a.bias.detach() for a in net.linears]
    weights[1], biases[1] = scale * (weights[1] - weights[1] @ v @ v.mT), 0 * biases[1]
    blind = net.with_parameters(weights, biases)
    weights[1] = 0 * weights[1]
    for case in (blind, net.with_parameters(weights, biases)):
        compression = rank_compress(case)
        assert compression.network.widths == (2, 3, 1, 1, 1)
        assert not compression.network.partial_maps(gaussian(5, 2, seed=0, dtype=dtype, device=device))[2].any()
        x = gaussian(20, 2, seed=1, dtype=dtype, device=device)
        assert relative_sup_error(net.with_parameters(weights, biases), compression.network, x) <= 200 * (
            torch.finfo(dtype).eps
        )


@given(widths=widths, seed=seeds)
def test_ranks_find_a_network_in_disguise(widths, seed):
    """A narrow network, padded with random columns that meet zeros, and rotated: the ranks are its own.

    The tolerance leaves room for errors of V_{i-1}, which are eps over the smallest singular value kept before.
    """
    small = rank_compress(low_rank_network(widths, 2, seed), rtol=1e-5).network
    n = (widths[0], *(k + 5 for k in small.widths[1:-1]), widths[-1])
    weights, biases = [], []
    for i, linear in enumerate(small.linears):
        weights.append(gaussian(n[i + 1], n[i], seed=seed + i))
        biases.append(torch.zeros(n[i + 1], dtype=torch.float64))
        weights[i][:, : linear.in_features] = 0
        weights[i][: linear.out_features, : linear.in_features] = linear.weight.detach()
        biases[i][: linear.out_features] = linear.bias.detach()
    padded = RadialNetwork.from_parameters(weights, biases, list(small.activations))
    disguised = act(random_rotations(n, generator=generator(seed), dtype=torch.float64), padded)
    assert rank_compress(disguised, rtol=1e-9).network.widths == small.widths


@given(widths=widths, activation=LIPSCHITZ, seed=seeds, tolerance=st.floats(0, 0.99))
def test_truncation_keeps_its_certificate(widths, activation, seed, tolerance):
    net = random_network(widths, activation, seed=seed)
    t = truncate(net, tolerance=tolerance)
    x = gaussian(40, widths[0], seed=seed)
    x[::3] *= 5
    error = (net(x) - t.network(x)).norm(dim=1)
    rounding = 1e-12 * (1 + float(net(x).abs().max()))
    assert (error <= t.bound(x) + rounding).all()
    uniform = t.uniform_bound(float(x.norm(dim=1).max()))
    assert (t.bound(x) <= uniform * (1 + 1e-12)).all()


@given(seed=seeds)
def test_truncation_to_given_widths(seed):
    net = random_network((3, 8, 9, 2), "squash", seed=seed)
    assert truncate(net, widths=(2, 3)).network.widths == (3, 2, 3, 2)
    full = truncate(net, widths=(4, 5))
    assert full.dropped == (0, 0) and full.uniform_bound(10) == 0
    x = gaussian(20, 3, seed=seed)
    assert torch.allclose(full.network(x), net(x), rtol=0, atol=1e-12 * float(net(x).abs().max() + 1))


def test_the_certificate_is_met_with_equality():
    """One layer, the identity profile: what is left out comes through unchanged."""
    rho = RadialRescaling(lambda r: r, lipschitz=1.0)
    w = torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64))
    zero = torch.zeros(2, dtype=torch.float64)
    net = RadialNetwork.from_parameters([w, torch.eye(2, dtype=torch.float64)], [zero, zero], rho)
    t = truncate(net, widths=(1,))
    x = torch.tensor([[0.0, 1e6]], dtype=torch.float64)
    error = float((net(x) - t.network(x)).norm().detach())
    assert t.dropped == (1.0,) and error == pytest.approx(float(t.bound(x)), rel=1e-9)


def test_the_certificate_is_met_with_equality_although_every_layer_is_cut():
    """The example of part 4 of the theorem: s = (1, 2, 0.3), and every layer adds to the error."""
    first = torch.tensor([[2.0, -2.0], [1.0, 1.0]], dtype=torch.float64) / 2**0.5
    weights = [first[:, 1:], *(w * torch.eye(2, dtype=torch.float64) for w in (3.0, 0.5, 2.0))]
    biases = [first[:, 0], *(torch.tensor([0.0, s], dtype=torch.float64) for s in (2.0, 0.3, 0.0))]
    rho = [RadialRescaling(lambda r, c=c: c * r, lipschitz=c) for c in (1.0, 2.0, 0.7)]
    net = RadialNetwork.from_parameters(weights, biases, rho)
    t = truncate(net, widths=(1, 1, 1))
    x = torch.ones(1, 1, dtype=torch.float64)
    assert t.dropped == pytest.approx((1, 2, 0.3), rel=1e-12)
    assert float((net(x) - t.network(x)).norm().detach()) == pytest.approx(float(t.bound(x)), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "either the hidden widths"),
        ({"widths": (1,), "tolerance": 0.1}, TypeError, "either the hidden widths"),
        ({"widths": (1, 1)}, ValueError, "must be 1 integers"),
        ({"widths": (4,)}, ValueError, r"at most \[3\]"),
        ({"widths": (0,)}, ValueError, "at least 1"),
        ({"widths": (2.0,)}, TypeError, "integer"),
        ({"tolerance": 1.0}, ValueError, r"tolerance must be in \[0, 1\)"),
        ({"tolerance": -0.1}, ValueError, r"tolerance must be in \[0, 1\)"),
    ],
)
def test_truncation_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        truncate(random_network((2, 5, 1), "squash", seed=0), **options)


def test_the_certificate_is_a_number_far_out():
    """The squares of these lengths overflow; what is not cut has the bound 0, not 0 * inf."""
    net = RadialNetwork((2, 5, 5, 1), ShiftedReLU(0.5), generator=generator(0), dtype=torch.float64)
    x = torch.full((1, 2), 1e200, dtype=torch.float64)
    whole, cut = truncate(net, widths=(3, 4)), truncate(net, widths=(1, 1))
    assert not whole.bound(x).any() and whole.uniform_bound(1e200) == 0
    error = (net(x) - cut.network(x)).abs().detach()[:, 0]
    assert 0 < float(error) <= float(cut.bound(x)) <= cut.uniform_bound(2e200) < torch.inf


def test_truncation_needs_a_lipschitz_constant():
    for activation in ("step-relu", "tanh"):
        with pytest.raises(ValueError, match="no finite Lipschitz constant"):
            truncate(random_network((2, 5, 1), activation, seed=0), tolerance=0.1)
    with pytest.raises(ValueError, match="rtol must be"):
        rank_compress(random_network((2, 5, 1), "squash", seed=0), rtol=-1.0)
    with pytest.raises(ValueError, match="radius must be"):
        truncate(random_network((2, 5, 1), "squash", seed=0), tolerance=0.1).uniform_bound(-1.0)

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

from radbook import RadialNetwork, ShiftedReLU, Squash, act, parameter_count, qr_compress, reduced_widths


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


def test_no_hidden_layer():
    net = RadialNetwork((3, 2), Squash())
    c = qr_compress(net)
    assert c.network.widths == (3, 2) and c.rotations == [] and c.isometries == ()


def test_the_jump_of_the_radial_sigmoid_is_only_at_zero():
    assert JUMPS_AT_ZERO
    net = random_network((1, 6, 7, 1), "radial-sigmoid", seed=3, dtype=torch.float32)
    x = torch.linspace(-3, 3, 121)[:, None]
    assert relative_sup_error(net, qr_compress(net).network, x) <= 50 * torch.finfo(torch.float32).eps * 3


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_named(value):
    net = RadialNetwork((1, 6, 1), Squash())
    with torch.no_grad():
        net.linears[0].weight[2] = value
    with pytest.raises(ValueError, match=r"linears.0.weight has 1 entries that are NaN or infinite"):
        qr_compress(net)


@pytest.mark.parametrize(
    ("widths", "error"), [((), ValueError), ((2,), ValueError), ((1, -1, 2), ValueError), ((1, 1.5, 1), TypeError)]
)
def test_bad_widths_are_named(widths, error):
    with pytest.raises(error, match="widths must be"):
        reduced_widths(widths)

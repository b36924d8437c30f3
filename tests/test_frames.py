"""Simplices, frames, and compression from many starts: the theorems of the chapter, and the table of optimal losses."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize
from variants import DEVICES, DTYPES, gaussian, generator, seeds

from radbook.frames import (
    compress_two_layer,
    frame_diagnostics,
    optimal_simplex_loss,
    simplex,
    simplex_weight,
    welch_bound,
)
from radbook.gaussian import (
    arc_cosine,
    arc_cosine_slope,
    gaussian_target,
    network_target,
    population_loss,
    radial_target,
    relu_gram,
)

CASES = [(dtype, device) for dtype in DTYPES for device in DEVICES]
TABLE = {(3, 2): 0.00351620, (4, 3): 0.01688397, (5, 4): 0.02641466, (6, 5): 0.03323028}
EPS = torch.finfo(torch.float64).eps


def unit(*shape, seed):
    return normalize(gaussian(*shape, seed=seed), dim=-1)


def constants(m):
    """rho_0, kappa_0', A_M and B of Theorem thm-etf."""
    rho = -1 / (m - 1)
    value, slope = (float(f(torch.tensor(rho, dtype=torch.float64))) for f in (arc_cosine, arc_cosine_slope))
    return rho, slope, 0.5 + (m - 1) * value, 0.5 - value - slope * (1 - rho)


@pytest.mark.parametrize(("dtype", "device"), CASES)
@pytest.mark.parametrize("m", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("more", [0, 1, 4])
def test_a_simplex_has_equal_angles(dtype, device, m, more):
    d = max(1, m - 1) + more
    v = simplex(m, d, dtype=dtype, device=device)
    assert v.shape == (m, d) and v.dtype == dtype and v.device.type == device
    gram = torch.full((m, m), -1 / max(1, m - 1), dtype=dtype, device=device).fill_diagonal_(1)
    rounding = 10 * m * torch.finfo(dtype).eps
    torch.testing.assert_close(v @ v.mT, gram, rtol=0, atol=rounding)
    if m > 1:
        found = frame_diagnostics(v)
        assert float(found.coherence) == pytest.approx(1 / (m - 1), abs=rounding)
        assert found.angles <= rounding and found.balance <= rounding and found.tightness <= 10 * rounding
        assert found.spectrum.tolist() == pytest.approx([0] + [m / (m - 1)] * (m - 1), abs=10 * rounding)


@given(m=st.integers(2, 9), d=st.integers(1, 6), seed=seeds)
def test_no_frame_beats_the_welch_bound(m, d, seed):
    found = frame_diagnostics(unit(3, m, d, seed=seed))
    assert (found.coherence >= welch_bound(m, d) - 10 * EPS).all()
    assert ((found.tightness >= -10 * m * EPS) & (found.tightness <= 1)).all()
    assert welch_bound(d + 1, d) == pytest.approx(1 / d) and welch_bound(d, d) == 0


def test_diagnostics_tell_frames_apart():
    basis = frame_diagnostics(torch.eye(3))
    assert basis.coherence == 0 and basis.tightness == 0 and float(basis.balance) == pytest.approx(1 / math.sqrt(3))
    angle = torch.arange(5, dtype=torch.float64) * (2 * math.pi / 5)
    pentagon = frame_diagnostics(torch.stack([angle.cos(), angle.sin()], dim=1))
    assert pentagon.tightness < 1e-12 and pentagon.balance < 1e-12 and pentagon.angles > 1
    assert float(frame_diagnostics(torch.tensor([[1.0, 0], [1, 0], [0, 1]])).tightness) == pytest.approx(0.5)


@given(m=st.integers(2, 6), more=st.integers(0, 2), seed=seeds, spread=st.sampled_from([1.0, 0.1, 1e-2]))
def test_losses_grow_away_from_the_simplex(m, more, seed, spread):
    """The inequality inside Theorem thm-etf, for non-negative weights."""
    d = m - 1 + more
    u = normalize(simplex(m, d) + spread * gaussian(m, d, seed=seed), dim=1)
    best = simplex_weight(m, d)
    t = best * (1 + spread * gaussian(m, seed=seed + 1)).abs()
    rho, slope, a, b = constants(m)
    excess = float(radial_target(1.0, d).loss(t, u)) - optimal_simplex_loss(m, d)
    total, gap = float(t.sum()), (u @ u.mT - rho).fill_diagonal_(0)
    growth = a / m * (total - m * best) ** 2 + slope * float((t @ u).square().sum())
    growth += b * (float(t @ t) - total**2 / m) + float(t @ gap.square() @ t) / (4 * math.pi)
    assert excess >= growth - 100 * m * EPS * d


@given(m=st.integers(2, 30), more=st.integers(-3, 2), negative=st.integers(1, 29), seed=seeds, close=st.booleans())
def test_a_negative_weight_costs_more_than_the_simplex(m, more, negative, seed, close):
    """Theorem thm-signed: with r positive weights of total 1, at least E_M > A_M / M, in every dimension."""
    d, negative = max(1, m - 1 + more), min(negative, m - 1)
    u = unit(m, d, seed=seed)
    if close:  # opposite weights side by side, the hardest case
        near = u[negative : 2 * negative]
        u[: len(near)] = normalize(near + 0.1 * gaussian(len(near), d, seed=seed + 1), dim=1)
    t = gaussian(m, seed=seed + 2).abs()
    t[:negative] *= -0.9 * t[negative:].sum() / t[:negative].sum()
    energy = float(t @ relu_gram(u) @ t) / float(t.sum()) ** 2
    r, tail = m - negative, 1 / 4 - 3 / (4 * math.pi)
    bound = 0.5 if r == 1 else 1 / (2 * math.pi) + 1 / (4 * math.pi * (r - 1)) + tail / m
    least = 0.5 if m == 2 else 1 / (2 * math.pi) + 1 / (4 * math.pi * (m - 2)) + tail / m
    assert energy >= bound * (1 - 1e-9)
    assert bound >= least > constants(m)[2] / m


@pytest.mark.parametrize(("m", "d"), TABLE)
@pytest.mark.parametrize("signed", [False, True])
def test_the_table_of_optimal_losses(m, d, signed):
    assert round(optimal_simplex_loss(m, d), 8) == TABLE[m, d]
    found = compress_two_layer(radial_target(1.0, d), m, signed=signed, starts=12)
    assert found.losses.tolist() == sorted(found.losses.tolist())
    assert float(found.losses[0]) == pytest.approx(TABLE[m, d], abs=5e-9)
    assert (found.losses >= optimal_simplex_loss(m, d) - 1e-13).all()
    assert found.gradients.max() < 1e-9 and found.spectrum[0, 0] > -1e-9 and not found.interrupted
    assert int((found.spectrum[0] < 1e-6).sum()) == m + d * (d - 1) // 2  # lengths and rotations
    assert frame_diagnostics(found.v[0]).angles < 1e-6
    assert found.b[0].tolist() == pytest.approx([simplex_weight(m, d)] * m, abs=1e-6)


@pytest.mark.parametrize(("m", "d"), [(1, 1), (1, 3), (2, 1), (2, 4), (3, 4)])
def test_fewer_nodes_than_dimensions(m, d):
    found = compress_two_layer(radial_target(2.0, d), m, starts=8)
    assert float(found.losses[0]) == pytest.approx(4 * optimal_simplex_loss(m, d), abs=1e-10)
    closed = radial_target(2.0, d).loss(torch.full((m,), 2 * simplex_weight(m, d)).double(), simplex(m, d))
    assert float(closed) == pytest.approx(4 * optimal_simplex_loss(m, d), abs=1e-13 * d)


def test_beyond_the_simplex():
    """In the plane five nodes make a regular pentagon, but four do not have equal weights."""
    five, four = (compress_two_layer(radial_target(1.0, 2), m, starts=32) for m in (5, 4))
    assert five.b[0].tolist() == pytest.approx([float(five.b[0].mean())] * 5, abs=1e-6)
    inner = (five.v[0] @ five.v[0].mT).flatten().sort().values
    assert inner[:10].tolist() == pytest.approx([math.cos(4 * math.pi / 5)] * 10, abs=1e-5)
    assert four.losses[0] > five.losses[0] and float(four.b[0].max() / four.b[0].min()) > 1.5


def test_a_network_with_all_its_nodes_is_found_again():
    a, w = torch.tensor([1.0, 2.0]).double(), unit(2, 2, seed=0)
    found = compress_two_layer(network_target(a, w), 2, starts=8)
    assert abs(float(found.losses[0])) < 1e-13
    assert found.b[0].sort().values.tolist() == pytest.approx([1, 2], abs=1e-5)


@pytest.mark.parametrize("n", [50, 500])
def test_finite_networks_are_compressed_like_their_limit(n):
    """Theorem thm-stability: the roots of the optimal losses differ by |f_N - f| at most."""
    w = gaussian(n, 3, seed=n)
    c, target = 1 / math.sqrt(2 * math.pi), network_target(torch.full((n,), 1 / n).double(), w)
    distance = math.sqrt(radial_target(c, 3).loss(torch.full((n,), 1 / n).double(), w))
    found = compress_two_layer(target, 4, starts=6)
    assert abs(math.sqrt(found.losses[0]) - c * math.sqrt(optimal_simplex_loss(4, 3))) <= distance
    assert found.gradients[0] < 1e-9
    again = population_loss(torch.full((n,), 1 / n).double(), w, found.b[0], found.v[0])
    assert float(again) == pytest.approx(float(found.losses[0]), abs=1e-12)


def test_weights_of_the_wrong_sign_go_to_zero():
    found = compress_two_layer(radial_target(-1.0, 2), 2, starts=4)
    assert found.b.abs().max() < 1e-9 and found.losses.tolist() == pytest.approx([2] * 4)


def test_a_mean_orients_the_frame():
    """Around a small mean mu one of the four nodes points against mu, and the others make one angle with it."""
    mu = torch.tensor([0.5, 0, 0]).double()
    found = compress_two_layer(gaussian_target(mu, torch.eye(3).double()), 4, starts=3)
    cosines = found.v[0, :, 0].sort().values
    assert float(cosines[0]) == pytest.approx(-1, abs=1e-9)
    assert cosines[1:].tolist() == pytest.approx([float(cosines[1])] * 3, abs=1e-6)


@pytest.mark.parametrize(("dtype", "device"), CASES)
def test_the_search_in_every_dtype_and_device(dtype, device):
    found = compress_two_layer(radial_target(1.0, 2), 3, starts=4, steps=60, dtype=dtype, device=device)
    assert found.v.shape == (4, 3, 2) and found.b.shape == (4, 3) and found.spectrum.shape == (4, 9)
    assert found.b.dtype == dtype and found.v.device.type == device
    assert float(found.losses[0]) == pytest.approx(optimal_simplex_loss(3, 2), abs=100 * torch.finfo(dtype).eps)


@settings(max_examples=5)
@given(seed=seeds)
def test_one_generator_one_result(seed):
    first, second = (
        compress_two_layer(radial_target(1.0, 2), 2, starts=3, steps=5, generator=generator(seed)) for _ in range(2)
    )
    assert all(a.equal(b) for a, b in zip(first[:5], second[:5], strict=True))


def test_an_interrupted_search_keeps_what_it_has(capsys):
    target, calls = radial_target(1.0, 3), 0

    def overlap(v):
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt
        return target.overlap(v)

    found = compress_two_layer(replace(target, overlap=overlap), 4, starts=3, progress=True)
    assert found.interrupted and found.losses.isfinite().all() and calls > 10
    torch.testing.assert_close(target.loss(found.b, found.v), found.losses)
    assert "loss=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simplex(0, 2), "nodes must be an integer >= 1, got 0"),
        (lambda: simplex(4, 2), "d >= 3, got d = 2"),
        (lambda: simplex(2, 0), "dimension d must be"),
        (lambda: simplex_weight(4, 2), "d >= 3"),
        (lambda: optimal_simplex_loss(4, 2), "d >= 3"),
        (lambda: welch_bound(2.0, 1), "got 2.0"),
        (lambda: frame_diagnostics(2 * torch.eye(3)), "unit vectors"),
        (lambda: frame_diagnostics(torch.eye(3) * math.nan), "unit vectors"),
        (lambda: frame_diagnostics(torch.ones(1, 1)), "M >= 2"),
        (lambda: compress_two_layer(radial_target(1.0, 2), 0), "got 0"),
        (lambda: compress_two_layer(network_target(torch.ones(2), torch.eye(2)), 3), "2 nodes of the target, got 3"),
        (lambda: compress_two_layer(radial_target(0.0, 2), 2), "target is zero"),
        (lambda: compress_two_layer(radial_target(1.0, 2), 2, starts=0), "starts and steps"),
        (lambda: compress_two_layer(radial_target(1.0, 2), 2, steps=0), "starts and steps"),
        (lambda: network_target(torch.ones(2), torch.eye(2) * math.nan), "w must be finite"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_wrong_types():
    with pytest.raises(TypeError, match="got list"):
        frame_diagnostics([[1.0]])
    with pytest.raises(TypeError, match="one dtype"):
        compress_two_layer(network_target(torch.ones(2), torch.eye(2)), 1)  # the search runs in float64

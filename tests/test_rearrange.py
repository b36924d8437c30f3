"""Constructions by rearrangement: the certificates hold, and every coefficient is used once."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import generator, seeds

from radbook.permutation import grid
from radbook.rearrange import dipole_network, kink_network, smooth_network, ternary_network

sizes = st.integers(2, 120)


def zigzag(seed, *, pieces, lipschitz, offset):
    """A random continuous piecewise linear function with slopes +- lipschitz, and others between."""
    g = generator(seed)
    knots = torch.rand(pieces, generator=g, dtype=torch.float64).sort().values
    slopes = lipschitz * torch.empty(pieces + 1, dtype=torch.float64).uniform_(-1.5, 1.5, generator=g).clamp(-1, 1)

    def f(x):
        kinks = slopes.diff() * (x[:, None] - knots).clamp(min=0)
        return offset + slopes[0] * x + kinks.sum(1)

    return f


def parabolas(seed, *, pieces, curvature, slope):
    """A random function with piecewise constant second derivative, at most ``curvature`` in modulus."""
    g = generator(seed)
    knots = torch.rand(pieces, generator=g, dtype=torch.float64).sort().values
    second = curvature * torch.empty(pieces + 1, dtype=torch.float64).uniform_(-1.5, 1.5, generator=g).clamp(-1, 1)
    return lambda x: (
        slope * x + (second[0] * x**2 / 2 + (second.diff() * (x[:, None] - knots).clamp(min=0).square() / 2).sum(1))
    )


def error(made, f):
    """The largest error at many points, the kinks of the network and their neighbours included."""
    b = made.network.locations
    x = torch.cat([torch.linspace(0, 1, 3001, dtype=torch.float64), b, (b[1:] + b[:-1]) / 2, b * (1 - 1e-12)])
    with torch.no_grad():
        return float((made.network(x) - f(x)).abs().max())


def allowance(made, f):
    """Rounding: 10 n eps times the largest sum of moduli in the network, or value of f."""
    net, n = made.network, len(made.network.locations)
    with torch.no_grad():
        size = net.alpha.abs() + net.gamma.abs() * net.coefficients.abs().sum() + f(grid(50)).abs().max()
    return 10 * n * torch.finfo(torch.float64).eps * float(size)


@given(n=sizes, seed=seeds, pieces=st.integers(0, 60), lipschitz=st.sampled_from([0.01, 1.0, 30.0]))
def test_ternary_networks_keep_their_promise(n, seed, pieces, lipschitz):
    f = zigzag(seed, pieces=pieces, lipschitz=lipschitz, offset=seed % 7 - 3)
    made = ternary_network(f, n, lipschitz=lipschitz)
    assert error(made, f) <= made.bound + allowance(made, f)
    assert made.bound <= 4 * lipschitz / (n - 1) * (1 + 1e-12)
    assert made.network.is_permutation() and set(made.digits.tolist()) <= {-1, 0, 1}


@pytest.mark.parametrize("n", range(5, 40))
@pytest.mark.parametrize("shift", [0.0, 0.1, 1 / 3])
def test_ternary_networks_forgive_the_rounding_of_steep_lines(n, shift):
    """A line as steep as allowed rises by one unit per block, up to rounding, which must not make a digit 2."""
    top = n - 1
    start = {1: 0.5, 2: 0.5, 0: 1.5, 3: 1.5}[n % 4] / top

    def f(x):
        return shift + 2 / top + (x - start)  # half a unit at the first gap point, if there is no shift

    made = ternary_network(f, n, lipschitz=1.0)
    assert error(made, f) <= made.bound + allowance(made, f)
    assert set(made.digits.tolist()) <= {0, 1}


@pytest.mark.parametrize("n", range(2, 40))
def test_ternary_networks_of_a_root(n):
    """Not Lipschitz: the modulus of continuity decides."""
    made = ternary_network(torch.sqrt, n, modulus=math.sqrt)
    delta = 1 / (n - 1)
    tail = math.sqrt(1.5 * delta) + math.sqrt(4 * delta) / 8 if n % 4 == 3 and n > 4 else 0.0
    most = math.sqrt(4 * delta) / 2 + max(math.sqrt(2 * delta), tail)
    assert error(made, torch.sqrt) <= made.bound <= most * (1 + 1e-12)
    assert made.network.is_permutation()


@pytest.mark.parametrize("n", [6, 8])
def test_the_constant_four_cannot_be_improved_for_the_construction(n):
    made = ternary_network(lambda x: (x - 0.5).abs(), n, lipschitz=1.0)
    assert error(made, lambda x: (x - 0.5).abs()) == pytest.approx(4 / (n - 1), rel=1e-9)


def test_constants_cost_nothing():
    def f(x):
        return 0 * x + 3

    for made in (
        ternary_network(f, 9, lipschitz=0.0),
        ternary_network(f, 3, lipschitz=0.0),
        smooth_network(f, 9, curvature=0.0),
    ):
        assert error(made, f) == 0 == made.bound and made.network.is_permutation()


@pytest.mark.parametrize("n", [5, 50, 500])
@pytest.mark.parametrize("f", [lambda x: x.sin() ** 2 + x.cos() ** 2, lambda x: 1 + 1e-13 * x, lambda x: 1e10 + x])
def test_smooth_networks_forgive_the_rounding_of_affine_functions(f, n):
    """In floating point their second differences are not zero; a curvature of zero would leave no room for kinks."""
    made = smooth_network(f, n, curvature=0.0)
    assert error(made, f) <= made.bound + allowance(made, f)
    assert made.network.is_permutation()


@given(n=st.integers(2, 90), seed=seeds, pieces=st.integers(0, 40), lipschitz=st.sampled_from([0.1, 1.0, 5.0]))
def test_dipole_networks_keep_their_promise_anywhere(n, seed, pieces, lipschitz):
    g = generator(seed)
    b = torch.rand(n, generator=g, dtype=torch.float64).sort().values
    c = torch.rand(n, generator=g, dtype=torch.float64) if seed % 2 else b
    f = zigzag(seed, pieces=pieces, lipschitz=lipschitz, offset=seed % 5 - 2)
    if not (b.diff() > 0).all():
        return
    made = dipole_network(f, b, c, lipschitz=lipschitz)
    assert error(made, f) <= made.bound + allowance(made, f)
    assert made.network.is_permutation() and made.network.alpha.item() == 0 and made.network.gamma.item() == 1
    assert made.digits.shape == (n // 2, 2) and set(made.digits.flatten().tolist()) <= {-1, 1}


@pytest.mark.parametrize("n", [1000, 1001])
def test_dipole_networks_on_the_grid_reach_the_order_of_the_corollary(n):
    """Corollary cor-dipole-grid, whose K is larger than the best one."""

    def f(x):
        return (x - 0.5).abs()

    k = math.ceil(4 * 0.5 + 2 + 5 / 2)
    made = dipole_network(f, grid(n), grid(n), lipschitz=1.0)
    assert n >= 4 * k**2
    assert error(made, f) <= made.bound <= (2 + 9 / 4) * (k + 1) / (n - 1)


@settings(max_examples=200)
@given(
    n=st.integers(4, 120),
    seed=seeds,
    pieces=st.integers(0, 40),
    curvature=st.sampled_from([0.0, 0.1, 1.0, 50.0]),
    slope=st.sampled_from([0.0, 1.0, -1.0, 0.37, 100.0]),
)
def test_smooth_networks_keep_their_promise(n, seed, pieces, curvature, slope):
    f = parabolas(seed, pieces=pieces, curvature=curvature, slope=slope)
    made = smooth_network(f, n, curvature=curvature)
    assert error(made, f) <= made.bound + allowance(made, f)
    assert made.network.is_permutation() and set(made.digits.tolist()) <= {-1, 0, 1}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [4, 5, 6, 7, 50, 501])
def test_smooth_networks_of_a_parabola(n, sign):
    """f'' is constant and as large as it may be: all kinks that come are of one sign."""
    made = smooth_network(lambda x: sign * x**2, n, curvature=2.0)
    assert error(made, lambda x: sign * x**2) <= made.bound
    assert (sign * made.digits >= 0).all()
    if n >= 50:  # the slope at 0 does not decide any more
        assert made.bound == pytest.approx(13 / 4 * 2 / (n - 1) ** 2, rel=1e-9)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("n >= 2", lambda: ternary_network(torch.sin, 1, lipschitz=1.0)),
        ("either", lambda: ternary_network(torch.sin, 9)),
        ("either", lambda: ternary_network(torch.sin, 9, lipschitz=1.0, modulus=math.sqrt)),
        ("finite", lambda: ternary_network(torch.sin, 9, lipschitz=math.nan)),
        (">= 0", lambda: dipole_network(torch.sin, grid(4), grid(4), lipschitz=-1.0)),
        ("varies more", lambda: ternary_network(lambda x: 9 * x, 40, lipschitz=1.0)),
        ("finite numbers", lambda: ternary_network(lambda x: 1 / (x - x), 9, lipschitz=1.0)),
        ("finite numbers", lambda: ternary_network(lambda x: x.sum(), 9, lipschitz=1.0)),
        ("locations", lambda: dipole_network(torch.sin, grid(4) + 1, grid(4), lipschitz=1.0)),
        ("magnitudes", lambda: dipole_network(torch.sin, grid(4), -grid(4), lipschitz=1.0)),
        ("magnitudes", lambda: dipole_network(torch.sin, grid(4), grid(5), lipschitz=1.0)),
        ("at least 4", lambda: smooth_network(torch.sin, 3, curvature=1.0)),
        ("finite number >= 0", lambda: smooth_network(torch.sin, 9, curvature=-1.0)),
        ("bends more", lambda: smooth_network(lambda x: 9 * x**2, 40, curvature=1.0)),
    ],
)
def test_bad_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()


@settings(max_examples=100)
@given(n=st.integers(4, 80), seed=seeds, share=st.sampled_from([-1.0, -0.9, -0.3, 0.0, 0.5, 1.0]))
def test_kink_networks_have_every_kink_and_slope(n, seed, share):
    top = n - 1
    weights = torch.rand(3, generator=generator(seed), dtype=torch.float64) ** 4 + 1e-9
    draws = torch.multinomial(weights, max(n - 4, 1), replacement=True, generator=generator(seed + 1))
    kinks = draws[: n - 4] - 1
    slope = round(share * (top * (top - 1) // 2 + 1))
    made = kink_network(kinks, slope)
    slopes = (made(made.locations).diff() * top**2).round().long()
    assert slopes.tolist() == [slope] * 3 + (slope + kinks.cumsum(0)).tolist()
    assert made.is_permutation() and not made(made.locations[0]).any()


@pytest.mark.parametrize("kinks", [[2], [0.5]])
def test_kinks_are_minus_one_zero_or_one(kinks):
    with pytest.raises(ValueError, match="-1, 0 and 1"):
        kink_network(torch.tensor(kinks), 0)


@pytest.mark.parametrize("slope", [12, -12])
def test_kink_networks_refuse_slopes_out_of_reach(slope):
    with pytest.raises(ValueError, match="within 11"):
        kink_network(torch.zeros(2, dtype=torch.int64), slope)

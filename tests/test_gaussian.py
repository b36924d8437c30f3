"""The arc-cosine kernel, population losses and the limits of wide networks, against oracles that share no code."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from variants import DEVICES, DTYPES, gaussian, seeds

from radbook.gaussian import (
    arc_cosine,
    arc_cosine_slope,
    gaussian_limit,
    gaussian_target,
    network_target,
    population_loss,
    radial_mean,
    radial_target,
    relu_covariance,
    relu_gram,
)

CASES = [(dtype, device) for dtype in DTYPES for device in DEVICES]
COSINES = st.floats(-1, 1)


def eps(dtype):
    return torch.finfo(dtype).eps


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def sampled(f, g, d, seed, size=400_000):
    """The mean of f(x) g(x) over a Gaussian sample, and its standard error."""
    x = gaussian(size, d, seed=seed)
    products = f(x) * g(x)
    return float(products.mean()), float(products.std()) / size**0.5


@pytest.mark.parametrize(("dtype", "device"), CASES)
def test_the_kernel_is_the_mean_over_the_circle(dtype, device):
    """In the plane of u and v, E ReLU ReLU is twice the mean of cos+ phi cos+ (phi - theta) over the circle."""
    theta = torch.linspace(0, math.pi, 50, dtype=torch.float64)
    phi = torch.arange(20_000, dtype=torch.float64) * (2 * math.pi / 20_000)
    mean = 2 * (phi.cos().relu() * (phi - theta[:, None]).cos().relu()).mean(1)
    value = arc_cosine(theta.cos().to(dtype=dtype, device=device))
    assert value.dtype == dtype and value.device.type == device
    torch.testing.assert_close(value.cpu().double(), mean, rtol=0, atol=1e-8 + 10 * eps(dtype))  # h^2 at the kinks


@pytest.mark.parametrize(("dtype", "device"), CASES)
def test_the_kernel_and_its_slope_at_the_ends(dtype, device):
    rho = torch.tensor([-1.0, 1.0, 1 + 2 * eps(dtype)], dtype=dtype, device=device, requires_grad=True)
    value = arc_cosine(rho)
    (slope,) = torch.autograd.grad(value.sum(), rho, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), rho)
    assert value.tolist() == pytest.approx([0, 0.5, 0.5], abs=eps(dtype))
    assert slope.tolist() == pytest.approx([0, 0.5, 0.5], abs=eps(dtype))
    assert slope.equal(arc_cosine_slope(rho))
    assert curvature.isfinite().all() and (curvature > 400).all()


def test_derivatives_near_the_ends():
    rho = double(-0.999, -0.99, -0.3, 0.0, 0.7, 0.99, 0.999).requires_grad_()
    assert gradcheck(arc_cosine, (rho,)) and gradcheck(arc_cosine_slope, (rho,), atol=1e-4)
    assert gradgradcheck(arc_cosine, (rho,), atol=1e-4)
    for near in (1e-9, 1e-12):  # kappa(1 - s) = 1/2 - s/2 + O(s^(3/2))
        assert float(arc_cosine_slope(double(near - 1))) == pytest.approx(math.sqrt(2 * near) / (2 * math.pi), rel=1e-3)
    with pytest.raises(NotImplementedError, match="not three times"):
        torch.autograd.functional.hessian(lambda r: arc_cosine_slope(r).sum(), rho.detach())


@given(rho=COSINES, at=COSINES)
def test_the_kernel_lies_above_its_tangents_by_a_square(rho, at):
    value, base, slope = (float(f(double(r))) for f, r in ((arc_cosine, rho), (arc_cosine, at), (arc_cosine_slope, at)))
    assert value >= base + slope * (rho - at) + (rho - at) ** 2 / (4 * math.pi) - 1e-14


@given(rho=st.floats(-0.9, 0.9))
def test_the_power_series(rho):
    """1/2pi + rho/4 + sum c_k rho^2k with c_k > 0."""
    c = [math.comb(2 * k - 2, k - 1) / (4 ** (k - 1) * (2 * k - 1) * 2 * k) / (2 * math.pi) for k in range(1, 150)]
    series = 1 / (2 * math.pi) + rho / 4 + math.fsum(c_k * rho ** (2 * k) for k, c_k in enumerate(c, 1))
    assert float(arc_cosine(double(rho))) == pytest.approx(series, abs=1e-14)


@given(seed=seeds, m=st.integers(1, 6), n=st.integers(1, 6), d=st.integers(1, 8), scale=st.sampled_from([1e-9, 1, 1e9]))
def test_covariances_are_homogeneous_invariant_and_positive(seed, m, n, d, scale):
    u, v = gaussian(2, m, d, seed=seed), gaussian(n, d, seed=seed + 1)
    q = torch.linalg.qr(gaussian(d, d, seed=seed + 2)).Q
    a = relu_covariance(u, v)
    size = 100 * d * eps(torch.float64) * u.norm(dim=-1)[..., None] * v.norm(dim=-1)
    assert a.shape == (2, m, n) and (a >= 0).all()
    assert ((relu_covariance(u @ q, v @ q) - a).abs() <= size).all()
    assert ((relu_covariance(scale * u, v) / scale - a).abs() <= size).all()
    assert ((a.mT - relu_covariance(v, u)).abs() <= size.mT).all()
    gram = relu_gram(u)
    assert (
        (gram - relu_covariance(u, u)).abs().amax((-1, -2)) <= 100 * d * eps(gram.dtype) * gram.amax((-1, -2))
    ).all()
    assert gram.diagonal(dim1=-2, dim2=-1).allclose(u.square().sum(-1) / 2)
    assert torch.linalg.eigvalsh(gram).min() >= -100 * m * eps(gram.dtype) * gram.max()


def test_covariances_are_those_of_a_sample():
    u, v = gaussian(2, 3, seed=0), gaussian(1, 3, seed=1)
    for i in range(2):
        mean, error = sampled(lambda x, i=i: (x @ u[i]).relu(), lambda x: (x @ v[0]).relu(), 3, seed=2)
        assert float(relu_covariance(u, v)[i, 0]) == pytest.approx(mean, abs=5 * error)


@pytest.mark.parametrize(("dtype", "device"), CASES)
def test_gradients_exist_at_zero_and_at_parallel_vectors(dtype, device):
    u = torch.tensor([[0.0, 0], [1, 2], [-1, -2], [2, 4]], dtype=dtype, device=device)
    assert relu_covariance(u, u)[0].tolist() == [0] * 4
    for f in (lambda x: relu_covariance(x, u[1:]).sum(), lambda x: relu_gram(x).sum()):
        x = u.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(f(x), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.sum(), x)
        assert gradient.isfinite().all() and second.isfinite().all()
        assert gradient[0].tolist() == [0, 0]


def test_the_gradient_of_a_gram_matrix():
    v = gaussian(3, 4, seed=0).requires_grad_()
    assert gradcheck(relu_gram, (v,)) and gradgradcheck(relu_gram, (v,))


@given(seed=seeds, n=st.integers(1, 8), m=st.integers(1, 8), d=st.integers(1, 5), dtype=st.sampled_from(DTYPES))
def test_the_population_loss_is_a_squared_norm(seed, n, m, d, dtype):
    a, w, b, v = (gaussian(*s, seed=seed + i, dtype=dtype) for i, s in enumerate([(n,), (n, d), (m,), (m, d)]))
    size = float((a.abs() * w.norm(dim=1)).sum() + (b.abs() * v.norm(dim=1)).sum()) ** 2
    rounding = 10 * (m + n) * eps(dtype) * size
    loss = population_loss(a, w, b, v)
    assert loss >= -rounding and abs(population_loss(a, w, a, w)) <= 4 * rounding
    assert abs(loss - population_loss(b, v, a, w)) <= rounding
    exact = population_loss(*(t.double() for t in (a, w, b, v)))
    assert abs(float(loss) - float(exact)) <= rounding
    assert float(network_target(a, w).loss(b, v)) == pytest.approx(float(loss), abs=3 * rounding)


def test_the_population_loss_broadcasts():
    a, w, b, v = gaussian(3, seed=0), gaussian(3, 2, seed=1), gaussian(5, 4, seed=2), gaussian(5, 4, 2, seed=3)
    losses = population_loss(a, w, b, v)
    assert losses.shape == (5,)
    torch.testing.assert_close(losses[2], population_loss(a, w, b[2], v[2]))
    torch.testing.assert_close(losses, network_target(a, w).loss(b, v))


def test_the_radial_mean_in_low_dimensions():
    assert [radial_mean(d) for d in (1, 2, 3)] == pytest.approx([1 / 2, 1 / math.pi, 1 / 4])
    assert radial_mean(10**6) == pytest.approx(1 / math.sqrt(2 * math.pi * 10**6), rel=1e-6)


def test_many_even_nodes_on_the_circle_make_a_radial_function():
    """The mean over a regular polygon of N nodes tends to |x| / pi, with an error of order N^-2."""
    angle = torch.arange(1000, dtype=torch.float64) * (2 * math.pi / 1000)
    polygon = network_target(torch.full((1000,), 1e-3).double(), torch.stack([angle.cos(), angle.sin()], dim=1))
    radial = radial_target(radial_mean(2), 2)
    v, b, x = gaussian(3, 2, seed=0), gaussian(3, seed=1), gaussian(10, 2, seed=2)
    torch.testing.assert_close(polygon.value(x), radial.value(x), rtol=1e-5, atol=0)
    torch.testing.assert_close(polygon.overlap(v), radial.overlap(v), rtol=1e-5, atol=0)
    assert polygon.square == pytest.approx(radial.square, rel=1e-5)
    assert float(polygon.loss(b, v)) == pytest.approx(float(radial.loss(b, v)), rel=1e-4)


def test_the_distance_to_the_mean_field_limit():
    """E |f_N - c|x||^2 = (E a^2 |w|^2 / 2 - c^2 d) / N, the mean over 400 draws within 5 standard errors."""
    n, d = 20, 3
    limit = radial_target(1 / math.sqrt(2 * math.pi), d)  # a = 1, w ~ N(0, I)
    a = torch.full((400, n), 1 / n, dtype=torch.float64)
    errors = limit.loss(a, gaussian(400, n, d, seed=0))
    expected = (d / 2 - limit.square) / n
    assert float(errors.mean()) == pytest.approx(expected, abs=5 * float(errors.std()) / 20)


@given(mean=st.floats(-3, 3), spread=st.floats(0.6, 3))
def test_the_gaussian_limit_on_the_line(mean, spread):
    """For d = 1 the limit is E w+ times ReLU(x) plus E w- times ReLU(-x)."""
    z = mean / spread
    density, below = math.exp(-z * z / 2) / math.sqrt(2 * math.pi), math.erfc(z / math.sqrt(2)) / 2
    right, left = mean * (1 - below) + spread * density, -mean * below + spread * density
    mu, sigma = double(mean), double(spread**2)[:, None]
    target = gaussian_target(mu, sigma)
    size = right + left
    assert gaussian_limit(double(2.0, -3.0)[:, None], mu, sigma).tolist() == pytest.approx(
        [2 * right, 3 * left], abs=1e-9
    )
    assert target.overlap(double(5.0, -1.0)[:, None]).tolist() == pytest.approx(
        [2.5 * right, left / 2], abs=1e-9 * size
    )
    assert target.square == pytest.approx((right**2 + left**2) / 2, rel=1e-9)


@pytest.mark.parametrize("kind", ["isotropic", "full", "singular"])
def test_the_gaussian_limit_is_that_of_a_sample(kind):
    root = {"isotropic": torch.eye(3) / 2, "full": gaussian(3, 3, seed=1), "singular": torch.diag(double(1, 0, 2))}[
        kind
    ]
    root, mu = root.double(), double(0.7, -0.4, 0.2)
    target = gaussian_target(mu, root @ root.mT, a=-1.3, points=96)
    v, x = gaussian(2, 3, seed=2), gaussian(3, seed=3)
    w = mu + gaussian(400_000, 3, seed=4) @ root.mT
    terms = -1.3 * (w @ x).relu()
    assert float(target.value(x)) == pytest.approx(float(terms.mean()), abs=5 * float(terms.std()) / 400_000**0.5)
    for i in range(2):
        mean, error = sampled(target.value, lambda x, i=i: (x @ v[i]).relu(), 3, seed=5)
        assert float(target.overlap(v)[i]) == pytest.approx(mean, abs=5 * error)
    mean, error = sampled(target.value, target.value, 3, seed=6)
    assert target.square == pytest.approx(mean, abs=5 * error)


@given(seed=seeds, d=st.integers(1, 5), snr=st.floats(0, 5))
def test_the_quadrature_has_converged(seed, d, snr):
    mu = snr * torch.nn.functional.normalize(gaussian(d, seed=seed), dim=0)
    v, identity = gaussian(4, d, seed=seed + 1), torch.eye(d, dtype=torch.float64)
    target, finer = gaussian_target(mu, identity), gaussian_target(mu, identity, points=80)
    error = (target.overlap(v) - finer.overlap(v)).abs()
    assert (error <= 1e-11 * v.norm(dim=1) * math.sqrt(finer.square)).all()
    assert target.square == pytest.approx(finer.square, rel={1: 1e-9, 2: 1e-10}.get(d, 1e-12))
    if snr == 0:
        radial = radial_target(1 / math.sqrt(2 * math.pi), d)
        torch.testing.assert_close(target.overlap(v), radial.overlap(v), rtol=1e-11, atol=0)


@pytest.mark.parametrize(("dtype", "device"), CASES)
def test_targets_take_every_dtype_and_device(dtype, device):
    v, b = gaussian(4, 3, 2, seed=0, dtype=dtype, device=device), gaussian(4, 3, seed=1, dtype=dtype, device=device)
    v[1, 1] = 0

    def losses(dtype, device):
        mu, sigma = double(1.0, 0.0).to(device, dtype), torch.eye(2, dtype=dtype, device=device)
        nodes, weights = v.to(device, dtype).requires_grad_(), b.to(device, dtype)
        for target in (gaussian_target(mu, sigma), radial_target(0.3, 2), network_target(weights[0], nodes[0])):
            loss = target.loss(weights, nodes)
            (gradient,) = torch.autograd.grad(loss.sum(), nodes)
            assert loss.shape == (4,) and loss.dtype == dtype and loss.device == nodes.device
            assert gradient.isfinite().all() and target.value(nodes[0]).shape == (3,)
            yield loss.detach().cpu().double()

    for loss, exact in zip(losses(dtype, device), losses(torch.float64, "cpu"), strict=True):
        torch.testing.assert_close(loss, exact, rtol=0, atol=1000 * eps(dtype))


@pytest.mark.parametrize(("dtype", "device"), CASES)
def test_many_starts_at_once_are_the_starts_one_by_one(dtype, device):
    """Values and gradients, where the table of the kernel is large enough to be made in parts."""
    a, w = gaussian(1000, seed=0).to(device, dtype) / 1000, gaussian(1000, 4, seed=1).to(device, dtype)
    b = gaussian(3, 60, seed=2).to(device, dtype).requires_grad_()
    v = gaussian(3, 60, 4, seed=3).to(device, dtype).requires_grad_()
    together = network_target(a, w).loss(b, v)
    alone = torch.stack([population_loss(a, w, b[i], v[i]) for i in range(3)])
    size = (a.abs() @ w.norm(dim=1) + (b.abs() * v.norm(dim=2)).sum(1).max()).item() ** 2
    torch.testing.assert_close(together, alone, rtol=0, atol=1e4 * eps(dtype) * size)
    for got, expected in zip(*(torch.autograd.grad(x.sum(), [b, v]) for x in (together, alone)), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e4 * eps(dtype) * size)


def test_the_gradient_of_an_overlap():
    v = gaussian(2, 3, seed=0).requires_grad_()
    sigma = torch.diag(double(1, 2, 0.5))
    assert gradcheck(gaussian_target(double(0.5, 0, 1), sigma, points=24).overlap, (v,))


ONE, PAIR = torch.ones(1), torch.ones(1, 2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: arc_cosine(torch.tensor([1.1])), ValueError, "in \\[-1, 1\\]"),
        (lambda: arc_cosine(torch.tensor([math.nan])), ValueError, "NaN"),
        (lambda: arc_cosine_slope(0.5), TypeError, "got float"),
        (lambda: arc_cosine(torch.tensor([1])), TypeError, "int64"),
        (lambda: relu_covariance(torch.ones(2), PAIR), ValueError, "u must have shape"),
        (lambda: relu_covariance(PAIR, torch.ones(1, 3)), ValueError, "one dimension d"),
        (lambda: relu_covariance(PAIR, PAIR.double()), TypeError, "one dtype"),
        (lambda: network_target(ONE, PAIR).overlap(PAIR.double()), TypeError, "one dtype"),
        (lambda: network_target(ONE, PAIR).overlap(torch.ones(1, 3)), ValueError, "one dimension d"),
        (lambda: relu_gram(PAIR * math.inf), ValueError, "finite"),
        (lambda: relu_gram(torch.ones(2, 0)), ValueError, "d >= 1"),
        (lambda: population_loss(ONE, PAIR, torch.ones(2), PAIR), ValueError, "every row of v"),
        (lambda: population_loss(ONE * math.nan, PAIR, ONE, PAIR), ValueError, "a must be finite"),
        (lambda: network_target(PAIR, torch.ones(1, 2, 2)), ValueError, "one network"),
        (lambda: radial_target(1.0, 3).loss(ONE, PAIR), ValueError, "dimension d = 3"),
        (lambda: radial_target(math.inf, 3), ValueError, "finite number"),
        (lambda: radial_mean(0), ValueError, "integer >= 1"),
        (lambda: gaussian_target(torch.ones(2), torch.eye(3)), ValueError, "one dimension"),
        (lambda: gaussian_target(torch.ones(2), -torch.eye(2)), ValueError, "covariance"),
        (lambda: gaussian_target(torch.ones(2), torch.tensor([[1.0, 1], [0, 1]])), ValueError, "symmetric"),
        (lambda: gaussian_target(torch.ones(2), torch.zeros(2, 2)), ValueError, "sigma is zero"),
        (lambda: gaussian_target(torch.ones(2), torch.eye(2), points=0), ValueError, "points >= 1"),
        (lambda: gaussian_limit(torch.ones(3), torch.ones(2), torch.eye(2)), ValueError, "one dimension"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.skipif(len(DEVICES) == 1, reason="everything on a GPU (there is none)")
def test_devices_must_agree():
    with pytest.raises(ValueError, match="one device"):
        relu_covariance(torch.ones(1, 2), torch.ones(1, 2, device=DEVICES[-1]))

"""Rescaling activations: values, equivariance, derivatives, behaviour at 0, and what torch asks of a module."""

import copy
import io
import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, vmap
from variants import ACTIVATIONS, BACKENDS, DEVICES, DTYPES, JUMPS_AT_ZERO, activations, gaussian, generator, seeds

from radbook import RadialRescaling, RadialSigmoid, ShiftedReLU, Squash, StepReLU, jacobian, rescale
from radbook.rescaling import derivative, radius, rescale_

EVERY = pytest.mark.parametrize("name", ACTIVATIONS)
PROFILES = {
    "step-relu": lambda r: r if r >= 1 else 0.0,
    "squash": lambda r: r * r / (1 + r * r),
    "shifted-relu": lambda r: max(0.0, r - 0.25),
    "shifted-relu-0": lambda r: r,
    "shifted-relu-trainable": lambda r: max(0.0, r - 0.25),
    "radial-sigmoid": lambda r: 1 / (1 + math.exp(0.5 - r)),
    "radial-sigmoid-trainable": lambda r: 1 / (1 + math.exp(0.5 - r)),
    "tanh": math.tanh,
    "identity": lambda r: r,
    "softsign": lambda r: r / (1 + r),
}
#: h'(0+), the factor of the derivative at v = 0.
SLOPES = {"shifted-relu-0": 1.0, "tanh": 1.0, "identity": 1.0, "softsign": 1.0} | {
    name: math.exp(0.5) / (1 + math.exp(0.5)) ** 2 for name in JUMPS_AT_ZERO
}


def rounding(n, dtype):
    return 10 * n * torch.finfo(dtype).eps


@EVERY
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
def test_value_is_the_definition(name, dtype, device):
    v = gaussian(200, 3, seed=1, dtype=dtype, device=device)
    got = ACTIVATIONS[name]().to(device)(v)
    assert got.dtype == dtype and got.device == v.device
    for vector, value in zip(v.double().cpu(), got.double().cpu(), strict=True):
        r = math.hypot(*vector.tolist())
        if abs(r - 1) < 1e-5:
            continue
        assert torch.allclose(value, PROFILES[name](r) / r * vector, rtol=rounding(3, dtype), atol=rounding(3, dtype))


@given(name=activations, n=st.integers(1, 9), seed=seeds, scale=st.sampled_from([1e-3, 1.0, 30.0]))
def test_commutes_with_orthogonal_maps(name, n, seed, scale):
    rho = ACTIVATIONS[name]()
    v = scale * gaussian(20, n, seed=seed)
    v = v[(radius(v)[:, 0] - 1).abs() > 1e-9]
    q = torch.linalg.qr(gaussian(n, n, seed=seed + 1)).Q
    assert torch.allclose(rho(v @ q.T), rho(v) @ q.T, rtol=0, atol=rounding(n, v.dtype) * max(1.0, scale))


@given(name=activations, k=st.integers(1, 5), extra=st.integers(0, 4), seed=seeds)
def test_restricts_to_isometrically_embedded_subspaces(name, k, extra, seed):
    rho = ACTIVATIONS[name]()
    v = gaussian(20, k, seed=seed)
    j = torch.linalg.qr(gaussian(k + extra, k, seed=seed + 1)).Q
    v = v[(radius(v)[:, 0] - 1).abs() > 1e-9]
    assert torch.allclose(rho(v @ j.T), rho(v) @ j.T, rtol=0, atol=rounding(k + extra, v.dtype))


@EVERY
@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_at_zero_and_alone_in_its_batch(name, dtype):
    rho = ACTIVATIONS[name]().to(dtype)
    v = gaussian(4, 3, seed=2, dtype=dtype)
    v[1] = 0
    assert torch.equal(rho(v)[1], torch.zeros(3, dtype=dtype))
    assert torch.equal(rho(v)[[0, 2, 3]], rho(v[[0, 2, 3]]))
    derivative = jacrev(rho)(v[1]).detach()
    assert torch.allclose(
        derivative, SLOPES.get(name, 0.0) * torch.eye(3, dtype=dtype), rtol=rounding(1, dtype), atol=0
    )
    v.requires_grad_()
    alone = v.detach()[[0]].requires_grad_()
    assert torch.equal(
        torch.autograd.grad(rho(v)[0].sum(), v)[0][0], torch.autograd.grad(rho(alone).sum(), alone)[0][0]
    )


@EVERY
def test_first_and_second_derivatives(name):
    v = gaussian(5, 3, seed=3).requires_grad_()
    rho = ACTIVATIONS[name]().double()
    assert torch.autograd.gradcheck(rho, v)
    assert torch.autograd.gradgradcheck(rho, v)


def test_derivatives_of_the_norm():
    v = gaussian(5, 3, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(radius, v)
    assert torch.autograd.gradgradcheck(radius, v)


@EVERY
def test_second_derivative_at_zero_is_finite(name):
    v = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(
        (ACTIVATIONS[name]()(v) ** 2).sum() + ACTIVATIONS[name]()(v).sum(), v, create_graph=True
    )
    (second,) = torch.autograd.grad(first.sum(), v)
    assert torch.isfinite(second).all()


@given(name=activations, n=st.integers(1, 6), seed=seeds)
def test_jacobian_formula_is_the_derivative(name, n, seed):
    rho = ACTIVATIONS[name]().double()
    v = gaussian(6, n, seed=seed)
    v[0] = 0
    expected = vmap(jacrev(rho))(v)
    cancelling = rho.factor(radius(v)).detach().abs().max()  # for n = 1 only h' is left of (h' - lambda) + lambda
    tolerance = rounding(n, v.dtype) * max(1.0, float(cancelling), float(expected.detach().abs().max()))
    assert torch.allclose(jacobian(v, rho.profile, rho.slope), expected, rtol=0, atol=tolerance)
    assert torch.allclose(vmap(jacfwd(rho))(v), expected, rtol=0, atol=tolerance)


@given(name=activations, n=st.integers(1, 5), seed=seeds)
def test_stated_lipschitz_constant_holds_and_is_reached(name, n, seed):
    rho = ACTIVATIONS[name]()
    if rho.lipschitz is None or not math.isfinite(rho.lipschitz):
        return
    v, w = gaussian(500, n, seed=seed), gaussian(500, n, seed=seed + 1)
    ratio = (rho(v) - rho(w)).norm(dim=1) / (v - w).norm(dim=1)
    assert ratio.max() <= rho.lipschitz * (1 + 1e-9)
    r = torch.linspace(1e-3, 4, 4001, dtype=torch.float64)
    slopes = rho.profile(r).diff() / r.diff()
    assert slopes.abs().max() >= rho.lipschitz * (1 - 1e-6)


@EVERY
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", DEVICES)
def test_compiles_whole(name, backend, device):
    torch._dynamo.reset()
    rho = ACTIVATIONS[name]().to(device)
    v = gaussian(6, 4, seed=4, dtype=torch.float32, device=device)
    v[0] = 0
    v.requires_grad_()
    compiled = torch.compile(rho, fullgraph=True, backend=backend)
    assert torch.allclose(compiled(v), rho(v), rtol=rounding(4, v.dtype), atol=0)
    expected, got = (torch.autograd.grad(f(v).square().sum(), v)[0] for f in (rho, compiled))
    assert torch.allclose(got, expected, rtol=0, atol=rounding(4, v.dtype))


@EVERY
def test_vmap_is_the_batched_call(name):
    v = gaussian(7, 4, seed=5)
    rho = ACTIVATIONS[name]()
    assert torch.allclose(vmap(rho)(v), rho(v), rtol=0, atol=rounding(4, v.dtype))


class ByHand(torch.nn.Module):
    """The formula h(r) v / r as a reader would write it, for vectors that are neither 0 nor huge nor tiny."""

    def __init__(self, rho):
        super().__init__()
        self.rho = rho

    def forward(self, v):
        r = (v * v).sum(-1, keepdim=True).sqrt()
        return self.rho.profile(r) / r * v


def derivatives(module, v, w):
    """First to third derivatives in v and in the parameters, and mixed ones, by every way torch has."""
    theta = dict(module.double().named_parameters())

    def f(v):
        return module(v)

    def loss(theta, v):
        return (functional_call(module, theta, (v,)) ** 3 * w).sum()

    def along(theta, v):
        return (grad(loss, 1)(theta, v) * w).sum()

    yield from grad(loss)(theta, v).values()
    yield from grad(along)(theta, v).values()
    yield hessian(loss, 1)(theta, v)
    yield hessian(along, 1)(theta, v)
    yield jacrev(jacrev(loss, 1), 1)(theta, v)
    yield vmap(jacfwd(grad(loss, 1), 1), (None, 1))(theta, torch.stack([v, w], 1))
    for chain in itertools.product((jacfwd, jacrev), repeat=3):
        third = loss
        for way in chain:
            third = way(third, 1)
        yield third(theta, v)
    for strategy in ("reverse-mode", "forward-mode"):
        yield torch.autograd.functional.jacobian(f, v, vectorize=True, strategy=strategy)
    v = v.clone().requires_grad_()
    (first,) = torch.autograd.grad((f(v) ** 3 * w).sum(), v, create_graph=True)
    yield first
    second = torch.autograd.grad((first * w).sum(), [v, *module.parameters()], create_graph=True)
    yield from second
    yield from torch.autograd.grad((second[0] * w).sum(), [v, *module.parameters()])


@EVERY
def test_every_transform_agrees_with_the_formula_by_hand(name):
    rho = ACTIVATIONS[name]()
    v, w = gaussian(4, 3, seed=9), gaussian(4, 3, seed=10)
    for got, expected in zip(derivatives(rho, v, w), derivatives(ByHand(rho), v, w), strict=True):
        assert torch.allclose(
            got, expected, rtol=0, atol=rounding(100, v.dtype) * max(1.0, float(expected.detach().abs().max()))
        )


@EVERY
@pytest.mark.parametrize("way", [jacfwd, jacrev])
@pytest.mark.parametrize("other", [jacfwd, jacrev])
@pytest.mark.parametrize("scale", [1.0, 0.0, 1e-200, 1e200])
def test_second_derivatives_do_not_depend_on_the_batch(name, way, other, scale):
    rho = ACTIVATIONS[name]()
    v = gaussian(2, 3, seed=18)
    both = way(other(rho))(torch.stack([v[0], scale * v[1]]))[0, :, 0, :, 0]
    assert torch.allclose(both, way(other(ByHand(rho)))(v[0]), rtol=0, atol=rounding(10, v.dtype))


@EVERY
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_the_backward_pass_of_a_tangent(name, scale):
    """Dual numbers with a gradient: forward outside of torch.func, then backward."""
    rho, v, t = ACTIVATIONS[name](), gaussian(4, 3, seed=19), gaussian(4, 3, seed=20)
    v[1] *= scale
    v.requires_grad_()

    def along(f):
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(v, t))).tangent
        assert tangent is not None
        return torch.autograd.grad((tangent**2).sum(), v)[0]

    got, expected = along(rho), along(ByHand(rho))
    kept = [0, 2, 3] if scale == 0 else [0, 1, 2, 3]  # the formula by hand fails at 0
    assert torch.allclose(got[kept], expected[kept], rtol=0, atol=rounding(100, v.dtype))
    assert torch.isfinite(got).all()


def test_a_trace_holds_for_other_vectors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that shapes are looked at, and that tracing is deprecated
        traced = torch.jit.trace(Squash(), (torch.ones(2, 3),))
    for v in (torch.zeros(2, 3), torch.full((2, 3), 1e30)):
        assert torch.allclose(traced(v), Squash()(v))


@EVERY
def test_keeps_only_the_input_and_numbers_per_vector(name):
    kept = {}
    v = gaussian(5, 1000, seed=11).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.setdefault(x.data_ptr(), x), lambda x: x):
        y = rescale(v, ACTIVATIONS[name]().double().profile, slope=0.0)
    assert max(x.numel() for pointer, x in kept.items() if pointer != v.data_ptr()) <= 5
    assert y.shape == v.shape


@pytest.mark.parametrize("make", [ShiftedReLU, RadialSigmoid])
def test_trainable_shift_trains_saves_and_loads(make):
    rho = make(0.25, trainable=True)
    assert [name for name, _ in rho.named_parameters()] == ["shift"]
    v = gaussian(50, 3, seed=6, dtype=torch.float32)
    rho(v).square().sum().backward()
    step = 1e-3
    up, down = (make(0.25 + s)(v).square().sum() for s in (step, -step))
    assert float(rho.shift.grad) == pytest.approx(float(up - down) / (2 * step), rel=1e-2)
    buffer = io.BytesIO()
    torch.save(rho.state_dict(), buffer)
    buffer.seek(0)
    other = make(0.9, trainable=True)
    other.load_state_dict(torch.load(buffer))
    assert torch.equal(other(v), rho(v))
    assert torch.equal(copy.deepcopy(rho)(v), rho(v))
    assert "shift=0.25, trainable=True" in repr(rho)


def test_a_module_as_profile_keeps_its_parameters():
    class Power(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.exponent = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, r):
            return r**self.exponent

    rho = RadialRescaling(Power())
    v = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    rho(v).sum().backward()
    assert torch.allclose(rho(v), torch.tensor([[15.0, 20.0], [0.0, 0.0]]))
    assert torch.isfinite(rho.h.exponent.grad)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16, torch.float16])
def test_norms_reach_the_ends_of_the_exponent_range(dtype):
    for scale in (torch.finfo(dtype).tiny, 1.0, torch.finfo(dtype).max / 4):
        v = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64) / 5 * scale
        got = radius(v.to(dtype))[:, 0].double()
        assert got[1] == 0
        assert float(got[0]) == pytest.approx(scale, rel=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
def test_vectors_of_all_sizes_share_a_batch(dtype, device):
    """Norms, and what rescaling makes of them, where some squares over- or underflow and others do not."""
    limits = torch.finfo(dtype)
    exponents = torch.linspace(math.log2(limits.tiny) + 3, math.log2(limits.max) - 3, 60, dtype=torch.float64)
    u = gaussian(60, 5, seed=12, device=device)
    v = (exponents.exp2().to(device)[:, None] * torch.nn.functional.normalize(u, dim=1)).to(dtype)
    v[7] = 0
    expected = (v.double() * 2.0 ** (-exponents.to(device)[:, None])).norm(dim=1) * exponents.to(device).exp2()
    tolerance = rounding(5, dtype)
    assert torch.allclose(radius(v)[:, 0].double(), expected, rtol=tolerance, atol=0)
    for same in (radius(v.T.contiguous().T), vmap(radius)(v)):
        assert torch.allclose(same[:, 0].double(), expected, rtol=tolerance, atol=0)
    assert torch.allclose(RadialRescaling(lambda r: r)(v), v, rtol=tolerance, atol=0)
    v.requires_grad_()
    (slope,) = torch.autograd.grad(radius(v).sum(), v)
    direction = (v.double() / expected[:, None].masked_fill(expected[:, None] == 0, 1)).to(dtype)
    assert torch.allclose(slope, direction, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", DEVICES)
def test_squashing_does_not_overflow(dtype, device):
    """Where r^2 is above the largest number of the dtype, h(r) = 1 up to rounding; derivatives stay finite."""
    u = torch.tensor([0.6, -0.8], dtype=dtype, device=device)
    for r in (2 * math.sqrt(torch.finfo(dtype).max), torch.finfo(dtype).max / 4):
        v = (u * r).requires_grad_()
        assert torch.allclose(Squash()(v), u, rtol=rounding(2, dtype), atol=0)
        assert Squash().factor(radius(v)).item() == pytest.approx(1 / r, rel=rounding(2, dtype))
        (first,) = torch.autograd.grad(Squash()(v)[0], v, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), v)
        assert torch.isfinite(first).all() and first.abs().max() * r <= 1 + rounding(2, dtype)
        assert torch.isfinite(second).all() and torch.isfinite(jacobian(v.detach(), Squash().profile)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_squashing_keeps_its_slope(dtype):
    """h'(r) = 2 r / (1 + r^2)^2 to full relative accuracy: near r = 1, at it, and where h(r) rounds to 1."""
    r = torch.tensor([1e-6, 0.5, 1 - 1e-6, 1.0, 1 + 1e-6, 2.0, 1e3, 1e6], dtype=dtype)
    assert torch.allclose(derivative(Squash().profile, r), 2 * r / (1 + r * r) ** 2, rtol=rounding(1, dtype), atol=0)


def test_factor_is_h_over_r():
    r = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    assert torch.allclose(Squash().factor(r), r / (1 + r**2))
    assert torch.allclose(StepReLU().factor(r), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert torch.equal(RadialRescaling(torch.tanh).factor(r)[:1], torch.ones(1, dtype=torch.float64))


@EVERY
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1.0, 0.0, 1e-30, 1e30])
def test_the_same_numbers_whether_or_not_there_are_gradients(name, dtype, device, scale):
    rho = ACTIVATIONS[name]().to(device, dtype)
    v = gaussian(6, 4, seed=17, dtype=dtype, device=device)
    v[1] *= scale
    assert torch.equal(rho(v), rho(v.clone().requires_grad_()))
    for shift in rho.parameters():
        one, other = (torch.autograd.grad(rho(u).sum(), shift)[0] for u in (v, v.clone().requires_grad_()))
        assert torch.allclose(one, other, rtol=rounding(4, dtype), atol=0)


@EVERY
@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("zero", [False, True])
def test_in_place_is_the_same_map(name, dtype, device, zero):
    rho = ACTIVATIONS[name]().to(device, dtype).requires_grad_(False)
    v = gaussian(6, 4, seed=13, dtype=dtype, device=device)
    v[1] *= not zero
    expected = rho(v)
    assert rescale_(v, rho.profile, rho.slope) is v
    assert torch.equal(v, expected)


def test_in_place_in_other_transforms():
    v = gaussian(6, 4, seed=14)
    expected = torch.tanh(v.norm(dim=-1, keepdim=True)) * v / v.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(vmap(lambda v: rescale_(v.clone(), torch.tanh, 1.0))(v), expected)
    compiled = torch.compile(lambda v: rescale_(v, torch.tanh, 1.0), fullgraph=True, backend="eager", dynamic=True)
    torch.testing.assert_close(compiled(v.clone()), expected)
    torch.testing.assert_close(compiled(v[:3].clone()), expected[:3])
    with pytest.raises(RuntimeError, match="single memory location"):
        rescale_(v[:1].expand(3, 4), torch.tanh)


@pytest.mark.parametrize("zero", [False, True])
def test_a_slope_may_be_trained_whether_a_vector_is_zero_or_not(zero):
    v, slope = gaussian(3, 2, seed=15), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    v[0] *= not zero
    cotangent = gaussian(3, 2, seed=16)
    v.requires_grad_()
    along_v, along_slope = torch.autograd.grad(rescale(v, torch.tanh, slope), [v, slope], cotangent)
    assert along_slope == 0  # at v = 0 the slope meets only v itself
    assert torch.equal(along_v[0], 2 * cotangent[0]) == zero


def test_step_relu_keeps_the_unit_sphere():
    v = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.999, 0.0]])
    assert torch.equal(StepReLU()(v), torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3), (3,), (2, 1, 4, 3)])
def test_any_batch_shape(shape):
    assert Squash()(torch.ones(shape)).shape == shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rescale(torch.tensor([1, 2]), torch.tanh), TypeError, "real floating tensor, got torch.int64"),
        (lambda: rescale([1.0], torch.tanh), TypeError, "got list"),
        (lambda: rescale(torch.ones(2, dtype=torch.complex64), torch.tanh), TypeError, "complex64"),
        (lambda: rescale(torch.tensor(1.0), torch.tanh), ValueError, r"shape \(..., n\)"),
        (lambda: rescale(torch.ones(3, 0), torch.tanh), ValueError, "n >= 1"),
        (lambda: rescale(torch.ones(3, 2), lambda r: r.sum()), ValueError, "elementwise"),
        (lambda: rescale_(torch.ones(3, 2, requires_grad=True), torch.tanh), ValueError, "call rescale"),
        (lambda: rescale_(torch.ones(3, 2), ShiftedReLU(trainable=True).profile), ValueError, "call rescale"),
        (lambda: RadialRescaling(3.0), TypeError, "callable h"),
        (lambda: ShiftedReLU(-0.1), ValueError, ">= 0"),
        (lambda: ShiftedReLU(math.nan), ValueError, "finite"),
        (lambda: RadialSigmoid(math.inf), ValueError, "finite"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_nothing_global_changes():
    before = (torch.get_rng_state(), torch.get_default_dtype())
    rescale(gaussian(5, 3, seed=7), torch.tanh)
    jacobian(gaussian(5, 3, seed=8), torch.tanh)
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.get_default_dtype() == before[1]
    assert generator(0).initial_seed() == 0

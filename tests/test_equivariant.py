"""The norm nonlinearities of e3nn and escnn are what the chapter says (Proposition prop-norm-nonlinearity).

Both libraries are optional: ``pip install -e ".[equivariant]"``. What is not installed is left out, and reported so.
"""

import importlib
import math
import warnings
from importlib.metadata import PackageNotFoundError, version

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import softplus
from variants import DTYPES, gaussian

from radbook import ShiftedReLU, rescale

#: A comparison of a library's rounding with ours: a norm of up to 5 squares, a quotient and a product on either side.
ROUNDINGS = 50


def library(name):
    """A library and its parts, with its own warnings kept apart from ours."""
    try:
        version(name)
    except PackageNotFoundError:
        pytest.skip(f"the comparison with {name} (not installed: the extra 'equivariant')")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [importlib.import_module(part) for part in (name, f"{name}.nn", *PARTS[name])]


PARTS = {"e3nn": ["e3nn.o3"], "escnn": ["escnn.group", "escnn.gspaces"]}


@pytest.fixture(scope="module")
def e3nn():
    return library("e3nn")


@pytest.fixture(scope="module")
def escnn():
    return library("escnn")


def blockwise(x, sizes, profiles):
    parts = zip(x.split(sizes, dim=-1), profiles, strict=True)
    return torch.cat([rescale(part, profile) for part, profile in parts], dim=-1)


def assert_equal(theirs, ours, x):
    """Equal up to rounding; r + bias may cancel, so an absolute error of the size of x is allowed."""
    tolerance = ROUNDINGS * torch.finfo(ours.dtype).eps
    torch.testing.assert_close(theirs, ours, rtol=tolerance, atol=tolerance * (1 + float(x.abs().max())))


def e3nn_profile(sigma, beta, tiny=1e-8):
    return lambda r: sigma(r.clamp(min=tiny) + beta) * (r / r.clamp(min=tiny))


def escnn_profile(f, shift, tiny=1e-10):
    return lambda r: torch.where(r > tiny, f(r - shift), 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sigma", [torch.sigmoid, torch.tanh, softplus], ids=lambda f: f.__name__)
@pytest.mark.parametrize("bias", [False, True])
@settings(max_examples=4)  # e3nn compiles each module, which takes a second
@given(copies=st.lists(st.integers(0, 3), min_size=6, max_size=6), seed=st.integers(0, 2**31))
def test_e3nn_rescales_each_copy(e3nn, dtype, sigma, bias, copies, seed):
    _, nn, o3 = e3nn
    kinds = [(degree, parity) for degree in range(3) for parity in (1, -1)]
    irreps = o3.Irreps(list(zip(copies, kinds, strict=True)))
    if irreps.dim == 0:
        return
    module = nn.NormActivation(irreps, sigma, bias=bias).to(dtype)
    sizes = [irrep.dim for m, irrep in irreps for _ in range(m)]
    betas = torch.zeros(len(sizes), dtype=dtype)
    if bias:
        betas = gaussian(len(sizes), seed=seed, dtype=dtype)
        module.biases.data.copy_(betas)
    x = gaussian(20, irreps.dim, seed=seed, dtype=dtype)
    x[0] = 0
    with torch.no_grad():
        assert_equal(module(x), blockwise(x, sizes, [e3nn_profile(sigma, float(beta)) for beta in betas]), x)


def test_e3nn_near_zero(e3nn):
    """Below its epsilon of 1e-8 the profile is a straight line, so the map is continuous and very steep."""
    _, nn, o3 = e3nn
    module = nn.NormActivation(o3.Irreps("1o"), torch.sigmoid).double()
    direction = torch.tensor([[0.6, 0.0, -0.8]], dtype=torch.float64)
    for r in (1e-12, 1e-9, 1e-8, 1e-6, 1.0):
        height = float(module(r * direction).norm())
        assert height == pytest.approx(min(r / 1e-8, 1) / (1 + math.exp(-max(r, 1e-8))), rel=1e-12)
    zero = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(module(zero)[0, 0], zero)
    assert float(slope[0, 0]) == pytest.approx(5e7, rel=1e-6)


FUNCTIONS = {"n_relu": torch.relu, "n_sigmoid": torch.sigmoid, "n_softplus": softplus}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*FUNCTIONS, "squash"])
@pytest.mark.parametrize("bias", [False, True])
@settings(max_examples=20)
@given(fields=st.lists(st.sampled_from([(0, 0), (1, 1), (0, 2)]), min_size=1, max_size=6), seed=st.integers(0, 2**31))
def test_escnn_rescales_each_field(escnn, dtype, name, bias, fields, seed):
    _, nn, group, gspaces = escnn
    if name == "squash" and bias:
        return
    o3_group = group.o3_group(2)
    kind = nn.FieldType(gspaces.no_base_space(o3_group), [o3_group.irrep(*field) for field in fields])
    module = nn.NormNonLinearity(kind, name, bias=bias).to(dtype)
    sizes = [representation.size for representation in kind.representations]
    shifts = torch.zeros(len(sizes), dtype=dtype)
    if bias:
        logs = gaussian(len(sizes), seed=seed, dtype=dtype)
        module.log_bias.data.copy_(logs.view(1, -1, 1, 1))
        # The biases belong to the fields in the order of their sizes, not in that of the features.
        shifts[sorted(range(len(sizes)), key=sizes.__getitem__)] = logs.exp()
    f = FUNCTIONS.get(name, lambda r: r / (1 + r))
    x = gaussian(20, kind.size, seed=seed, dtype=dtype)
    x[0], x[1] = 0, 1e-11 * x[1]
    with torch.no_grad():
        theirs = module(nn.GeometricTensor(x, kind)).tensor
    assert_equal(theirs, blockwise(x, sizes, [escnn_profile(f, float(shift)) for shift in shifts]), x)


def test_escnn_jumps_at_its_epsilon_and_n_relu_is_the_shifted_relu(escnn):
    _, nn, group, gspaces = escnn
    o3_group = group.o3_group(2)
    kind = nn.FieldType(gspaces.no_base_space(o3_group), [o3_group.irrep(1, 1)])
    direction = torch.tensor([[0.6, 0.0, -0.8]], dtype=torch.float64)
    sigmoid, relu = (nn.NormNonLinearity(kind, name).double() for name in ("n_sigmoid", "n_relu"))
    with torch.no_grad():
        below, above = (float(sigmoid(nn.GeometricTensor(r * direction, kind)).tensor.norm()) for r in (0.5e-10, 2e-10))
        x = 3 * gaussian(50, 3, seed=0)
        theirs = relu(nn.GeometricTensor(x, kind)).tensor
    assert below == 0
    assert above == pytest.approx(float(torch.sigmoid(torch.tensor(-1.0))), rel=1e-6)
    torch.testing.assert_close(theirs, ShiftedReLU(1.0)(x), rtol=1e-12, atol=1e-12)


def test_escnn_squash_is_not_the_squashing_of_the_book(escnn):
    _, nn, group, gspaces = escnn
    o3_group = group.o3_group(2)
    kind = nn.FieldType(gspaces.no_base_space(o3_group), [o3_group.irrep(1, 1)])
    x = torch.tensor([[0.0, 3.0, 0.0]])
    assert float(nn.NormNonLinearity(kind, "squash", bias=False)(nn.GeometricTensor(x, kind)).tensor.norm()) == 0.75

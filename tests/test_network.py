"""Radial networks: construction, forward pass, parameters, saving, errors."""

import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from variants import (
    ACTIVATIONS,
    BACKENDS,
    DEVICES,
    DTYPES,
    activations,
    gaussian,
    generator,
    random_network,
    seeds,
    widths,
)

from radbook import RadialNetwork, RadialRescaling, ShiftedReLU, Squash, StepReLU, parameter_count


@given(widths=widths, activation=activations, seed=seeds)
def test_forward_is_the_definition(widths, activation, seed):
    net = random_network(widths, activation, seed=seed)
    x = gaussian(9, widths[0], seed=seed)
    maps = net.partial_maps(x)
    f = x
    for i, linear in enumerate(net.linears):
        z = f @ linear.weight.T + linear.bias
        f = z if i == len(net.activations) else net.activations[i](z)
        assert torch.allclose(maps[i + 1], f, rtol=1e-12, atol=1e-12)
    assert torch.equal(net(x), maps[-1])
    assert net.widths == widths and [m.shape[-1] for m in maps] == list(widths)


@given(widths=widths, activation=activations)
def test_parameter_count_counts_the_affine_parameters(widths, activation):
    net = RadialNetwork(widths, ACTIVATIONS[activation](), generator=generator(0))
    assert parameter_count(widths) == sum(p.numel() for linear in net.linears for p in linear.parameters())
    for a, linear in zip(net.extended_matrices(), net.linears, strict=True):
        assert torch.equal(a[:, 0], linear.bias) and torch.equal(a[:, 1:], linear.weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
def test_dtype_device_and_seed(dtype, device):
    nets = [
        RadialNetwork((2, 5, 3), ShiftedReLU(0.1, trainable=True), generator=generator(3), dtype=dtype, device=device)
        for _ in range(2)
    ]
    assert all(p.dtype == dtype and p.device.type == device for p in nets[0].parameters())
    assert all(torch.equal(p, q) for p, q in zip(*(net.parameters() for net in nets), strict=True))
    x = gaussian(4, 2, seed=0, dtype=dtype, device=device)
    assert nets[0](x).dtype == dtype and nets[0](x).device == x.device


def test_initial_weights_are_uniform_in_the_range_of_nn_linear():
    net = RadialNetwork((400, 300, 2), Squash(), generator=generator(1))
    weight = net.linears[0].weight
    assert weight.abs().max() <= 1 / 20
    assert float(weight.detach().std()) == pytest.approx(1 / 20 / 3**0.5, rel=0.02)
    assert abs(float(weight.detach().mean())) < 1e-3


def test_a_generator_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    RadialNetwork((2, 3, 1), Squash(), generator=generator(1))
    assert torch.equal(before, torch.get_rng_state())


def test_one_activation_is_copied_for_every_layer_a_sequence_is_not():
    shared = ShiftedReLU(0.1, trainable=True)
    net = RadialNetwork((1, 2, 2, 1), shared)
    assert len({id(a) for a in net.activations} | {id(shared)}) == 3
    own = [StepReLU(), Squash()]
    assert list(RadialNetwork((1, 2, 2, 1), own).activations) == own


def test_any_other_callable_is_a_profile():
    x = gaussian(5, 2, seed=0, dtype=torch.float32)
    expected = RadialNetwork((2, 4, 1), RadialRescaling(torch.tanh), generator=generator(0))(x)
    for profile in (torch.tanh, torch.nn.Tanh()):
        assert torch.equal(RadialNetwork((2, 4, 1), profile, generator=generator(0))(x), expected)


def test_saves_loads_copies_and_batches():
    net = RadialNetwork((2, 5, 4, 3), ShiftedReLU(0.1, trainable=True), generator=generator(0))
    x = gaussian(6, 2, seed=1, dtype=torch.float32)
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    buffer.seek(0)
    other = RadialNetwork((2, 5, 4, 3), ShiftedReLU(0.7, trainable=True), generator=generator(9))
    other.load_state_dict(torch.load(buffer))
    assert torch.equal(other(x), net(x)) and torch.equal(copy.deepcopy(net)(x), net(x))
    assert torch.allclose(torch.func.vmap(net)(x), net(x), atol=1e-6)
    assert torch.func.vmap(torch.func.jacrev(net))(x).shape == (6, 3, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiles_whole(backend):
    torch._dynamo.reset()
    net = RadialNetwork((2, 5, 4, 3), ShiftedReLU(0.1, trainable=True), generator=generator(0))
    x = gaussian(6, 2, seed=1, dtype=torch.float32)
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    assert torch.allclose(compiled(x), net(x), atol=1e-6)


def test_no_hidden_layer_is_an_affine_map():
    net = RadialNetwork((3, 2), Squash())
    assert net.widths == (3, 2) and len(net.activations) == 0
    assert torch.equal(net(torch.zeros(3)), net.linears[0].bias)


def test_from_parameters_copies():
    w, b = torch.ones(1, 2), torch.ones(1)
    net = RadialNetwork.from_parameters([w], [b], Squash())
    w.zero_()
    assert torch.equal(net(torch.ones(2)), torch.tensor([3.0]))


def test_numpy_widths():
    assert RadialNetwork(np.array([1, 2, 1]), Squash()).widths == (1, 2, 1)


ONE = torch.ones(1, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: RadialNetwork((3,), Squash()), ValueError, "L >= 1"),
        (lambda: RadialNetwork((3, 0, 1), Squash()), ValueError, "n_i >= 1"),
        (lambda: RadialNetwork((3, -2, 1), Squash()), ValueError, "n_i >= 1"),
        (lambda: RadialNetwork((3, 2.5, 1), Squash()), TypeError, "integers"),
        (lambda: RadialNetwork((3, 2, 1), [Squash(), Squash()]), ValueError, "1 hidden layers, but 2"),
        (lambda: RadialNetwork((3, 2, 1), 5), TypeError, "callable h"),
        (lambda: RadialNetwork((3, 2, 1), Squash())(torch.ones(4, 2)), ValueError, r"\(..., 3\), got \(4, 2\)"),
        (lambda: RadialNetwork((3, 2, 1), Squash()).partial_maps(torch.tensor(1.0)), ValueError, "got"),
        (lambda: RadialNetwork.from_parameters([], [], Squash()), ValueError, "at least one"),
        (lambda: RadialNetwork.from_parameters([ONE], [], Squash()), ValueError, "as many"),
        (lambda: RadialNetwork.from_parameters([ONE], [torch.ones(2)], Squash()), ValueError, "layer 1"),
        (lambda: RadialNetwork.from_parameters([ONE, torch.ones(1, 2)], [ONE[0]] * 2, Squash()), ValueError, "takes 2"),
        (lambda: RadialNetwork.from_parameters([ONE], [ONE[0].double()], Squash()), ValueError, "mixes"),
        (lambda: RadialNetwork.from_parameters([ONE], [ONE[0].to("meta")], Squash()), ValueError, "mixes"),
        (
            lambda: RadialNetwork.from_parameters([ONE * torch.nan], [ONE[0]], Squash()),
            ValueError,
            "linears.0.weight has 1",
        ),
        (lambda: parameter_count((2, 0)), ValueError, "n_i >= 1"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""Lookahead permutation: weights are exactly the first ones in other places, and every run can go on exactly."""

import copy
import io
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from variants import DEVICES, DTYPES, gaussian, generator, seeds

from radbook import RadialNetwork, Squash
from radbook import laperm as module
from radbook.laperm import Fit, LookaheadPermutation, fit, in_rank_order, lookahead_permutation
from radbook.permutation import PermutationNetwork, grid, pairwise

BITS = {torch.float32: torch.int32, torch.float64: torch.int64}
OPTIMISERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9),
}


def bits(tensor, rows=False):
    """The entries as integers, so that 0.0 is not -0.0, sorted (within rows)."""
    flat = tensor.detach().reshape(-1, tensor.shape[-1] if rows else tensor.numel())
    return flat.contiguous().view(BITS[tensor.dtype]).sort(dim=-1).values


def exactly_rearranged(first, second, rows=False):
    return torch.equal(bits(first, rows), bits(second, rows))


def with_ties(*shape, seed, dtype, device):
    """Few different values, zeros of both signs among them."""
    values = (2 * gaussian(*shape, seed=seed)).round() / 2
    return torch.where(values == 0, gaussian(*shape, seed=seed + 1) * 0.0, values).to(dtype=dtype, device=device)


def train(optimiser, net, steps, seed=0):
    """Steps on a random regression problem; yield whether each was followed by a synchronisation."""
    p = next(net.parameters())
    for step in range(steps):
        x = gaussian(8, 3, seed=seed + step, dtype=p.dtype, device=p.device)
        optimiser.zero_grad()
        (net(x) - x[:, :1].sin()).square().mean().backward()
        yield optimiser.step()


def small(kind, seed, dtype=torch.float32, device="cpu"):
    if kind == "radial":
        net = RadialNetwork((3, 4, 5, 1), Squash(), generator=generator(seed), dtype=dtype)
        return net.to(device)
    net = nn.Sequential(nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, 1)).to(dtype=dtype, device=device)
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(with_ties(*p.shape, seed=seed + i, dtype=dtype, device=device))
    return net


# The synchronisation


@given(m=st.integers(1, 6), seed=seeds)
def test_the_nearest_rearrangement_proposition_prop_projection(m, seed):
    """Proposition prop-projection: against all rearrangements, with ties in both vectors."""
    v, w = (with_ties(m, seed=seed + i, dtype=torch.float64, device="cpu") for i in (0, 5))
    new = in_rank_order(v.sort().values, w)
    every = torch.stack([v[list(order)] for order in itertools.permutations(range(m))])
    squares = (every - w).square().sum(dim=1)
    assert (new - w).square().sum() <= squares.min() + 1e-12
    nearest = {tuple(row) for row in (every[squares <= squares.min() + 1e-9] + 0.0).tolist()}
    order = w.argsort()
    unique = all(
        a < b or c == d for a, b, c, d in zip(w[order], w[order][1:], new[order], new[order][1:], strict=False)
    )
    assert (len(nearest) == 1) == unique
    assert torch.equal(in_rank_order(v.sort().values, new), new)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_ranks_of_rows_and_ties(dtype, device):
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=dtype, device=device)
    of = torch.tensor([[0.0, -1.0, 0.0], [7.0, 7.0, 7.0]], dtype=dtype, device=device)
    expected = torch.tensor([[2.0, 1.0, 3.0], [4.0, 5.0, 6.0]], dtype=dtype, device=device)
    assert torch.equal(in_rank_order(values, of), expected)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n", [1, 50, 10**5])  # torch sorts long rows in another way
def test_rank_order_is_that_of_the_numbers(dtype, device, n):
    of = with_ties(n, seed=3, dtype=dtype, device=device)
    limits = torch.finfo(dtype)
    extreme = [limits.max, limits.min, limits.tiny, -limits.tiny, limits.tiny / 2, -limits.tiny / 2, 0.0, -0.0]
    of[: len(extreme)] = torch.tensor(extreme[:n], dtype=dtype)
    places = torch.arange(n, device=device)
    order = sorted(range(n), key=of.tolist().__getitem__)  # stable, and 0.0 == -0.0
    assert torch.equal(in_rank_order(places, of)[order], places)
    assert torch.equal(in_rank_order(places[None], of[None])[0, order], places)
    assert torch.equal(in_rank_order(places.expand(2, n), torch.stack([of, of]).mT.contiguous().mT)[1, order], places)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("kind", ["pointwise", "radial"])
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 12), period=st.integers(1, 5))
def test_weights_are_exactly_the_first_ones(kind, name, rows, dtype, device, seed, steps, period):
    net = small(kind, seed, dtype, device)
    first = copy.deepcopy(net)
    laperm = lookahead_permutation(net, OPTIMISERS[name](net.parameters()), period=period, rows=rows)
    assert set(laperm.tensors) == {n for n, p in net.named_parameters() if p.ndim == 2}
    due = list(train(laperm, net, steps, seed))
    assert due == [(step + 1) % period == 0 for step in range(steps)]
    assert laperm.steps == steps and laperm.synchronisations == sum(due)
    laperm.synchronise()
    for (label, p), q in zip(net.named_parameters(), first.parameters(), strict=True):
        assert p.dtype == dtype and p.device.type == device
        if p.ndim == 2:
            assert exactly_rearranged(p, q, rows), label
            assert 0 <= laperm.moved[label] <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=st.integers(0, 10**6))
def test_coefficients_of_a_permutation_network(dtype, seed):
    b = grid(6, dtype=dtype)
    net = PermutationNetwork(b, pairwise(b))
    run = fit(net, b, b.sin(), steps=7, rate=0.1, period=3, batch=2, seed=seed)
    assert isinstance(run.network, PermutationNetwork) and run.network.is_permutation()
    assert exactly_rearranged(run.network.coefficients, net.initial)
    assert len(run.losses) == 7 and len(run.moved) == 2
    assert net.is_permutation() and torch.equal(net.coefficients, net.initial)  # the start is not changed


def test_moved_counts_values_and_not_ranks():
    net = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, -0.0, 1.0, 2.0]]))
    laperm = lookahead_permutation(net, torch.optim.SGD(net.parameters(), lr=1.0))
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.5, 0.1, 3.0, 2.0]]))  # the zeros change ranks, and so do 1 and 2
    laperm.synchronise()
    assert net.weight.tolist() == [[0.0, 0.0, 2.0, 1.0]] and laperm.moved == {"weight": 0.5}
    laperm.synchronise()
    assert laperm.moved == {"weight": 0.0} and exactly_rearranged(net.weight, torch.tensor([0.0, -0.0, 1.0, 2.0]))


def test_zeros_have_one_arrangement():
    net = nn.Linear(3, 3)
    nn.init.zeros_(net.bias)
    laperm = lookahead_permutation(net, OPTIMISERS["adam"](net.parameters()), names=["bias"], period=2)
    for _ in train(laperm, net, 4):
        pass
    assert not net.bias.any() and laperm.moved == {"bias": 0.0}


def test_the_period_may_be_a_schedule():
    net = small("pointwise", 0)
    laperm = lookahead_permutation(net, OPTIMISERS["sgd"](net.parameters()), period=lambda count: 2 + count)
    assert [i for i, due in enumerate(train(laperm, net, 12), start=1) if due] == [2, 5, 9]


def test_a_parameter_that_is_not_contiguous():
    for rows in (False, True):
        weight = nn.Parameter(gaussian(3, 4, seed=1).T)
        first = weight.detach().clone()
        laperm = LookaheadPermutation(torch.optim.SGD([weight], lr=1.0), {"w": weight}, rows=rows)
        with torch.no_grad():
            weight += gaussian(4, 3, seed=2)
        wanted = weight.detach().clone()
        laperm.synchronise()
        assert exactly_rearranged(weight, first, rows)
        flat = (lambda t: t) if rows else torch.flatten
        assert torch.equal(flat(weight.detach()).argsort(), flat(wanted).argsort())


def test_a_scalar_is_one_row():
    alpha = nn.Parameter(torch.tensor(2.0))
    laperm = LookaheadPermutation(torch.optim.SGD([alpha], lr=1.0), {"alpha": alpha}, rows=True)
    with torch.no_grad():
        alpha.fill_(7.0)
    laperm.synchronise()
    assert float(alpha.detach()) == 2.0


def test_a_closure_reaches_the_inner_optimiser():
    net = small("pointwise", 1, torch.float64)
    x, first = gaussian(8, 3, seed=0), copy.deepcopy(net)
    inner = torch.optim.LBFGS(net.parameters(), lr=0.1)
    laperm = lookahead_permutation(net, inner, period=1)

    def closure():
        laperm.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        return loss

    assert laperm.step(closure) is True
    assert exactly_rearranged(net[0].weight, first[0].weight)


def test_one_sort_for_each_tensor(monkeypatch):
    """No loop over weights: the number of torch calls does not depend on the number of weights."""
    calls = []
    argsort = torch.Tensor.argsort
    monkeypatch.setattr(torch.Tensor, "argsort", lambda self, **options: calls.append(1) or argsort(self, **options))
    for rows, width in itertools.product((False, True), (3, 300)):
        net = nn.Sequential(nn.Linear(width, width), nn.Linear(width, 2))
        laperm = lookahead_permutation(net, OPTIMISERS["sgd"](net.parameters()), rows=rows)
        calls.clear()
        laperm.synchronise()
        assert len(calls) == 2


# Saving and going on


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file)  # weights_only: nothing but tensors and plain values


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("cut", [1, 3, 4, 8])
def test_save_and_load_go_on_exactly(cut, name, rows, dtype, device):
    """In the middle of a period, at its end, before the first synchronisation, and with a schedule."""

    def begin(seed):
        net = small("radial", seed, dtype, device)
        optimiser = OPTIMISERS[name](net.parameters())
        return net, lookahead_permutation(net, optimiser, rows=rows, period=lambda count: 3 + count)

    whole, laperm = begin(0)
    assert sum(train(laperm, whole, 14)) == 3
    net, first = begin(0)
    done = list(train(first, net, cut))
    states = through_a_file({"net": net.state_dict(), "laperm": first.state_dict()})
    other, second = begin(7)  # other values, which must not matter
    other.load_state_dict(states["net"])
    second.load_state_dict(states["laperm"])
    assert second.moved == first.moved
    assert sum(done) + sum(train(second, other, 14 - cut, seed=cut)) == 3
    for p, q in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
    assert second.moved == laperm.moved and second.steps == 14


def test_a_state_does_not_change_afterwards():
    net = small("pointwise", 3)
    laperm = lookahead_permutation(net, OPTIMISERS["sgd"](net.parameters()), period=2)
    list(train(laperm, net, 2))
    state = laperm.state_dict()
    before = copy.deepcopy(state["last"]), dict(state["moved"])
    list(train(laperm, net, 6))
    assert state["moved"] == before[1] and all(torch.equal(state["last"][k], before[0][k]) for k in before[0])


def test_a_state_of_other_tensors():
    def make(width, rows=False, dtype=torch.float32):
        net = nn.Linear(width, 2, dtype=dtype)
        return lookahead_permutation(net, torch.optim.SGD(net.parameters(), lr=1.0), rows=rows)

    for other in (make(4), make(3, rows=True), make(3, dtype=torch.float64)):
        with pytest.raises(ValueError, match="the state is of tensors"):
            make(3).load_state_dict(other.state_dict())


# Bad input


def test_bad_input():
    net = nn.Linear(2, 2)
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    with pytest.raises(ValueError, match="no tensor"):
        LookaheadPermutation(sgd, {})
    with pytest.raises(ValueError, match="no parameter 'wight'; it has weight, bias"):
        lookahead_permutation(net, sgd, names=["wight"])
    with pytest.raises(ValueError, match="no tensor"):
        lookahead_permutation(nn.Module(), sgd)
    for period in (0, -1, 1.5, lambda count: 0):
        with pytest.raises(ValueError, match="a period must be a whole number"):
            lookahead_permutation(net, sgd, period=period)
    with pytest.raises(ValueError, match="w is empty, or not one"):
        LookaheadPermutation(sgd, {"w": nn.Parameter(torch.ones(3))})
    empty = nn.Parameter(torch.ones(0))
    with pytest.raises(ValueError, match="e is empty"):
        LookaheadPermutation(torch.optim.SGD([empty], lr=1.0), {"e": empty})


def test_nan_is_named_and_nothing_is_changed():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    laperm = lookahead_permutation(net, torch.optim.SGD(net.parameters(), lr=1.0))
    with torch.no_grad():
        net[0].weight += 1
        net[1].weight[0, 0] = math.nan
    before = copy.deepcopy(net)
    with pytest.raises(ValueError, match=r"1\.weight has NaN or infinite entries"):
        laperm.synchronise()
    assert torch.equal(net[0].weight, before[0].weight) and laperm.synchronisations == 0
    with pytest.raises(ValueError, match=r"1\.weight"):
        lookahead_permutation(net, torch.optim.SGD(net.parameters(), lr=1.0))


# Training runs


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("period", [None, 30])
@pytest.mark.parametrize("when", [0, 1, 99, 100, 130, 249])
def test_an_interrupted_run_ends_as_if_it_had_not_been(monkeypatch, when, period, device):
    net = small("pointwise", 2, torch.float64, device)
    x = gaussian(20, 3, seed=0, device=device)
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == when + 1:
            raise KeyboardInterrupt
        return nn.functional.mse_loss(output, target)

    options = {"steps": 250, "rate": lambda step: 0.01 / (1 + step), "period": period, "batch": 5, "seed": 3}
    options |= {"factors": {"2.bias": 0.0}}
    first = fit(net, x, x[:, :1], loss=loss, **options)
    assert first.interrupted and len(first.losses) == when - when % 100
    second = fit(first, x, x[:, :1], **options)
    whole = fit(net, x, x[:, :1], **options)
    assert not second.interrupted and second.losses == whole.losses and second.moved == whole.moved
    for p, q in zip(second.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(p, q)
    assert torch.equal(whole.network[2].bias, net[2].bias) and len(first.losses) == when - when % 100
    assert len(whole.moved) == (8 if period else 0)


def test_a_run_is_the_loop_written_out():
    net, x = small("radial", 5, torch.float64), gaussian(9, 3, seed=1)
    run = fit(net, x, x[:, :1], steps=10, rate=0.03, period=4, names=["linears.1.weight"])
    other = copy.deepcopy(net).requires_grad_(True)
    laperm = lookahead_permutation(
        other, torch.optim.Adam(other.parameters(), lr=0.03), names=["linears.1.weight"], period=4
    )
    losses = []
    for _ in range(10):
        laperm.zero_grad()
        value = nn.functional.mse_loss(other(x), x[:, :1])
        value.backward()
        losses.append(value.item())
        laperm.step()
    laperm.synchronise()
    assert losses == run.losses
    for p, q in zip(run.network.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
    assert exactly_rearranged(run.network.linears[1].weight, net.linears[1].weight)
    assert not exactly_rearranged(run.network.linears[0].weight, net.linears[0].weight)


def test_factors_multiply_the_rate():
    net, x = small("pointwise", 0), torch.ones(2, 3)
    one = fit(net, x, x[:, :1], steps=1, rate=0.01).network
    two = fit(net, x, x[:, :1], steps=1, rate=0.01, factors={"0.weight": 2.0}).network
    steps = [m[0].weight.detach() - net[0].weight.detach() for m in (one, two)]
    assert torch.allclose(2 * steps[0], steps[1], atol=1e-6) and torch.equal(one[2].weight, two[2].weight)
    with pytest.raises(ValueError, match="factors names gamma"):
        fit(net, x, x[:, :1], steps=1, factors={"gamma": 2.0})


def test_bad_runs():
    net, x = small("pointwise", 0), torch.ones(2, 3)
    for inputs, targets, steps in ((x, x[:1], 1), (x[:0], x[:0], 1), (x, x, -1)):
        with pytest.raises(ValueError, match="as many inputs as targets"):
            fit(net, inputs, targets, steps=steps)
    with pytest.raises(ValueError, match="after 0 steps"):
        fit(net, math.nan * x, x[:, :1], steps=3)
    nothing = fit(net, x, x[:, :1], steps=0, period=5)
    assert nothing.losses == nothing.moved == [] and torch.equal(nothing.network[0].weight, net[0].weight)


def test_the_share_is_over_all_tensors():
    net = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(1, 1, bias=False))
    laperm = lookahead_permutation(net, torch.optim.SGD(net.parameters(), lr=1.0))
    laperm.moved = {"0.weight": 1.0, "1.weight": 0.0}
    assert module._share(laperm) == 0.75
    assert Fit(net).losses == []


def test_a_bar_shows_the_loss(capsys):
    fit(small("pointwise", 0), torch.ones(2, 3), torch.ones(2, 1), steps=2, progress=True)
    assert "loss=" in capsys.readouterr().err

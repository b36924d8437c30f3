"""The experiments of the chapter "Lookahead permutation": seeds, settings, schedules, and what is stored of them."""

import json
import math

import full_run
import pytest
import torch
from variants import gaussian, generator

from radbook import relocation as rl
from radbook.experiments import stored_results
from radbook.laperm import Fit, fit
from radbook.permutation import INITIALISATIONS, PermutationNetwork, grid, pairwise
from radbook.relocation import PROTOCOLS, TARGETS

TINY = {
    "laperm": (rl.line, {"n": 6, "steps": 60}),
    "free": (rl.line, {"n": 6, "steps": 20, "method": "free", "target": "legendre"}),
    "scaled": (rl.line, {"n": 6, "steps": 20, "initial": "he", "scaled": True}),
    "centred": (rl.line, {"n": 6, "steps": 20, "initial": "uniform", "centred": True}),
    "plane": (rl.plane, {"n": 3, "steps": 20, "points": 50}),
    "space": (rl.plane, {"n": 3, "steps": 20, "points": 50, "dimension": 3, "method": "free"}),
    "digits": (rl.relocated_digits, {"hidden": 5, "steps": 5}),
    "radial": (rl.relocated_digits, {"hidden": 5, "steps": 5, "model": "radial"}),
}


@pytest.mark.parametrize("name", TINY)
def test_a_seed_decides_everything(name):
    run, options = TINY[name]
    first, again, other = (run(seed, **options) for seed in (3, 3, 4))
    assert first.keys() == again.keys() and first != other
    assert all(again[key] == pytest.approx(value, rel=1e-9) for key, value in first.items())
    assert json.loads(json.dumps(first)) == first
    assert all(math.isfinite(value) for value in first.values() if isinstance(value, float))


@pytest.mark.parametrize("name", TINY)
def test_ctrl_c_is_passed_on(name, monkeypatch):
    def stopped(*arguments, **options):
        run = fit(*arguments, **options)
        run.interrupted = True
        return run

    monkeypatch.setattr(rl, "fit", stopped)
    run, options = TINY[name]
    assert run(0, **options)["interrupted"] is True


def test_unknown_names():
    for run, options, word in [
        (rl.line, {"target": "cosine"}, "cosine"),
        (rl.line, {"method": "guess"}, "guess"),
        (rl.plane, {"dimension": 4}, "got 4"),
        (rl.plane, {"method": "guess"}, "guess"),
        (rl.relocated_digits, {"model": "deep"}, "deep"),
    ]:
        with pytest.raises(ValueError, match=word):
            run(0, **options)


def test_targets():
    x = grid(5)
    assert torch.allclose(TARGETS["sine"](x / 2), torch.tensor([0.0, -1, 0, 1, 0]).double(), atol=1e-12)
    assert torch.allclose(TARGETS["legendre"](x), torch.tensor([-1, 0.4375, 0, -0.4375, 1]).double())
    assert rl.bell(torch.zeros(2, 3)).tolist() == [1, 1]
    assert float(rl.bell(torch.tensor([1.0, 2.0]))) == pytest.approx(math.exp(-10))


@pytest.mark.parametrize("dimension", [2, 3])
def test_eight_directions(dimension):
    a = rl.eight_directions(dimension)
    assert a.shape == (8, dimension) and torch.allclose(a.norm(dim=1), torch.ones(8).double())
    assert (a @ a.T).abs().fill_diagonal_(0).max() < 0.95  # no two on one line


def test_schedule():
    rate, period = rl.schedule(1000, (1e-1, 1e-3), (10, 40))
    assert rate(0) == pytest.approx(1e-1) and rate(500) == pytest.approx(1e-2) and rate(1000) == pytest.approx(1e-3)
    done, time = 0, 0
    while time < 1000:
        assert abs(period(done) - (10 + 30 * time / 1000)) <= 2  # linear in time
        time, done = time + period(done), done + 1
    assert rl.schedule(0, (1.0, 1.0), (1, 1))[1](3) == 1
    assert rl.schedule(10, (1.0, 1.0), (5, 5))[1](100) == 5


def test_activity_is_averaged_over_quarters_of_the_run():
    run = Fit(torch.nn.Identity(), losses=[0.0] * 40, moved=[1.0, 0.5, 0.25, 0.0, 0.2])
    times, phases = rl.activity(run, lambda count: (2, 4, 10, 4, 20)[count])
    assert times == [2, 6, 16, 20, 40]
    assert phases == {"moved-1": 0.75, "moved-2": 0.25, "moved-3": 0.0, "moved-4": 0.2}
    assert rl.activity(Fit(torch.nn.Identity()), lambda count: 1) == ([], dict.fromkeys(phases, 0.0))


@pytest.mark.parametrize("directions", [None, rl.eight_directions(2)])
def test_the_linear_layer_is_the_best_in_least_squares(directions):
    shape = (2, 4) if directions is None else (2, 8, 4)
    net = PermutationNetwork(grid(4), gaussian(*shape, seed=0), directions=directions, gamma=3.0).float()
    x = gaussian(30, seed=1) if directions is None else gaussian(30, 2, seed=1)
    wanted = PermutationNetwork(grid(4), net.coefficients.double(), directions=directions, alpha=-2.0, gamma=0.5)
    y = wanted(x).detach()
    best = rl.refitted(net, x, y)
    assert float(best.alpha) == pytest.approx(-2, abs=1e-5) and float(best.gamma) == pytest.approx(0.5, rel=1e-5)
    assert torch.allclose(best(x), y, atol=1e-5) and torch.equal(best.coefficients.float(), net.coefficients)
    other = y + gaussian(30, seed=2)
    best = rl.refitted(net, x, other)
    residual = best(x) - other
    assert abs(float(residual.sum())) < 1e-9 and abs(float(residual @ best(x))) < 1e-9


@pytest.mark.parametrize("initial", INITIALISATIONS)
def test_scaled_runs_begin_with_the_same_size(initial, monkeypatch):
    seen = []
    monkeypatch.setattr(rl, "fit", lambda net, *_, **options: seen.append((net, options)) or fit(net, *_, **options))
    for scaled in (False, True):
        rl.line(0, n=200, steps=1, initial=initial, scaled=scaled)
    (plain, first), (net, second) = seen
    assert first["factors"] == {"coefficients": 1.0, "gamma": 1.0} and float(plain.gamma.detach()) == 1
    c = second["factors"]["coefficients"]
    assert second["factors"]["gamma"] == pytest.approx(1 / c)
    with torch.no_grad():
        size = float((net.gamma * net.coefficients).square().mean().sqrt())
    assert size == pytest.approx(1 / math.sqrt(3), rel=1e-5) and net.is_permutation()


@pytest.mark.parametrize("centred", [False, True])
def test_the_conserved_sum(centred, monkeypatch):
    seen = []
    monkeypatch.setattr(rl, "fit", lambda *a, **o: seen.append(fit(*a, **o)) or seen[-1])
    rl.line(1, n=50, steps=30, initial="uniform", centred=centred)
    assert (abs(float(seen[0].network.coefficients.detach().sum())) < 1e-5) == centred


def test_free_training_does_not_keep_the_values(monkeypatch):
    nets = {}
    monkeypatch.setattr(rl, "fit", lambda *a, **o: nets.setdefault(o["period"] is None, fit(*a, **o)))
    for method in ("laperm", "free"):
        result = rl.line(0, n=6, steps=50, method=method)
        assert ("moved-1" in result) == (method == "laperm")
    assert nets[False].network.double().is_permutation() and not nets[True].network.double().is_permutation()


@pytest.mark.parametrize("model", ["pointwise", "radial"])
def test_only_locations_are_learned(model):
    result = rl.relocated_digits(0, model=model, hidden=16, steps=300)
    assert result["kept"] is True
    assert result["test-locations"] > 0.5 > result["random-best"] >= result["random-mean"]
    assert result["train-free"] > 0.5


def test_rearranged_modules():
    net = torch.nn.Linear(30, 20)
    other = rl.rearranged(net, generator(0))
    assert rl.same_values(net, other) and not torch.equal(net.weight, other.weight)
    with torch.no_grad():
        other.bias[0] += 1
    assert not rl.same_values(net, other)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_names_options_of_its_experiment(name):
    protocol = PROTOCOLS[name]
    known = set(protocol.run.__kwdefaults__)
    assert set(protocol.options) | set(protocol.short) <= known and {"device", "progress"} <= known


def test_the_stored_results_are_those_of_the_protocols():
    stored = stored_results()["protocols"]
    assert list(stored) == list(full_run.PROTOCOLS)
    for name, protocol in PROTOCOLS.items():
        assert stored[name]["settings"] == protocol.described(full=True)
        assert [trial["seed"] for trial in stored[name]["trials"]] == list(range(protocol.trials))
        assert all(trial.get("kept", True) for trial in stored[name]["trials"])


def test_pairs_start_from_all_of_them():
    """Each direction has its own pair of grids, and the values of all are rearranged together."""
    net = PermutationNetwork(grid(3), pairwise(grid(3).expand(8, 3)), directions=rl.eight_directions(2))
    assert net.initial.shape == (2, 8, 3) and net.is_permutation()

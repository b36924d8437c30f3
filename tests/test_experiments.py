"""The experiments of the book: protocols on tiny sizes, resuming, seeds, and what is stored of the full run."""

import dataclasses
import json
import math

import full_run
import pytest
import torch
from variants import generator

from radbook import RadialNetwork, Squash, gradient_descent, reduced_widths, relocation
from radbook import experiments as ex
from radbook.experiments import PROFILES, PROTOCOLS, Protocol, mean_and_spread, repeat, stored_results

TINY = {
    "lossless": (ex.lossless, {"widths": (1, 3, 5, 1)}),
    "projected": (ex.projected, {"widths": (1, 3, 4, 1), "steps": 5}),
    "speed": (ex.speed, {"points": 5, "widths": (2, 4, 6, 2), "limit": 4}),
    "recovery": (ex.recovery, {"side": 8, "copies": 5, "steps": 3}),
    "initialisation": (ex.initialisation, {"width": 6, "hidden": 2, "samples": 20, "steps": 3}),
    "ball": (ex.geometry, {"samples": 20, "steps": 3, "widths": (3, 4, 2)}),
    "checkerboard": (ex.geometry, {"task": "checkerboard", "model": "relu", "widths": (2, 4, 2), "steps": 3}),
}


def numbers(result):
    """Everything but times."""
    return {key: value for key, value in result.items() if not key.startswith("seconds")}


@pytest.mark.parametrize("name", TINY)
def test_a_seed_decides_everything_but_times(name):
    run, options = TINY[name]
    first = run(3, **options)
    assert numbers(first) == numbers(run(3, **options)) != numbers(run(4, **options))
    assert json.loads(json.dumps(first)) == first
    assert all(math.isfinite(value) for value in first.values() if isinstance(value, float))


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 10.0), (torch.float64, 10.0)])
@pytest.mark.parametrize("zero_bias", [False, True])
def test_compression_is_lossless_in_both_precisions(dtype, most, zero_bias):
    for seed in range(5):
        result = ex.lossless(seed, dtype=dtype, zero_bias=zero_bias)
        assert 0 <= result["epsilons"] <= most
        assert result["difference"] == pytest.approx(result["epsilons"] * torch.finfo(dtype).eps)


def test_projected_descent_is_the_reduced_one():
    result = ex.projected(0, steps=50, dtype=torch.float64)
    assert len(result["losses-projected"]) == len(result["losses-reduced"]) == 51
    assert result["losses-reduced"][-1] == result["loss"] < result["losses-reduced"][0]
    assert result["difference"] <= result["largest"] <= 1e-13
    assert ex.projected(0, steps=50)["largest"] > result["largest"]


def test_speed_stops_at_the_loss_or_the_limit():
    result = ex.speed(0, points=5, widths=(2, 4, 6, 2), stop=0.2, limit=100)
    for name in ("full", "reduced", "fresh"):
        assert len(result[f"losses-{name}"]) == result[f"epochs-{name}"] + 1
        assert result[f"loss-{name}"] <= 0.2 or result[f"epochs-{name}"] == 100
        assert result[f"seconds-{name}"] > 0
    assert result["losses-full"][0] == pytest.approx(result["losses-reduced"][0], rel=1e-5)
    assert result["losses-full"][0] != pytest.approx(result["losses-fresh"][0], rel=1e-5)


def test_speed_has_two_targets():
    tiny = {"points": 5, "widths": (2, 4, 6, 2), "limit": 1}
    script, named = (ex.speed(0, target=target, **tiny)["loss-full"] for target in ("sigmoid", "bumps"))
    assert script != named
    with pytest.raises(ValueError, match="'bumps' or 'sigmoid', got 'relu'"):
        ex.speed(0, target="relu", **tiny)


def test_recovery_compares_models_from_the_same_weights():
    result = ex.recovery(0, side=8, copies=20, steps=0, rate=0.05)
    assert result["active-start"] == result["active-end"] == 1.0
    assert result["nearest"] == 1.0
    later = ex.recovery(0, side=8, copies=20, steps=150, rate=0.2)
    for name in ("radial", "relu", "affine"):
        assert later[f"train-loss-{name}"] < result[f"train-loss-{name}"]
        assert later[f"test-accuracy-{name}"] == 1.0
    assert later["losses-relu-last"] != later["losses-relu"]
    small = ex.recovery(0, side=8, copies=20, steps=0, scale=0.01)
    assert small["nearest"] == 1.0
    assert ex.recovery(0, side=8, copies=20, steps=0, scale=40.0)["nearest"] < 1.0


def test_recovery_sees_a_collapsed_layer():
    net = RadialNetwork((4, 3, 2), PROFILES["Step-ReLU"](), generator=generator(0))
    with torch.no_grad():
        net.linears[0].weight.mul_(0.0)
        net.linears[0].bias.copy_(torch.tensor([0.5, 0.0, 0.0]))
        assert ex._active(net, torch.ones(3, 4)) == 0.0
        net.linears[0].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
        assert ex._active(net, torch.ones(3, 4)) == 1.0


def test_digit_images(monkeypatch):
    assert ex._digit_images("digits", 3, 8).shape == (183, 64)
    assert ex._digit_images("digits", 3, 28).shape == (183, 784)
    monkeypatch.setattr(ex, "mnist", lambda dtype: (torch.ones(4, 784, dtype=dtype), torch.tensor([3, 3, 4, 3])))
    assert torch.equal(ex._digit_images("mnist", 3, 28), torch.ones(3, 784, dtype=torch.float64))
    with pytest.raises(ValueError, match="'digits' or 'mnist', got 'letters'"):
        ex._digit_images("letters", 3, 8)


@pytest.mark.parametrize("profile", PROFILES)
def test_gaussian_layers_multiply_lengths_by_sigma(profile):
    net = ex.gaussian_network((3, 4000, 5), PROFILES[profile](), 1.7, generator=generator(0), dtype=torch.float64)
    x = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    assert net.linears[0].bias.abs().max() == net.linears[1].bias.abs().max() == 0
    assert float(net.linears[0](x).norm().detach()) == pytest.approx(1.7 * 5, rel=0.05)


def test_initialisation_knows_dead_and_overflowing_networks():
    dead = ex.initialisation(0, profile="Step-ReLU", sigma=0.3, width=16, hidden=4, samples=50, steps=20)
    assert dead["radius"] == 0.0 and dead["loss"] > 2.2
    alive = ex.initialisation(0, profile="radial sigmoid", sigma=3.0, width=16, hidden=4, samples=50, steps=40)
    assert alive["radius"] > 0.5 and alive["loss"] < dead["loss"]
    none = ex.initialisation(0, profile="Step-ReLU", sigma=40.0, width=16, hidden=6, samples=50, rates=(1.0,), steps=20)
    assert none["loss"] == math.inf and none["rate"] == 0.0
    with pytest.raises(ValueError, match=r"profile must be one of .*, got 'swish'"):
        ex.initialisation(0, profile="swish")


def test_geometry_knows_its_tasks_and_models():
    for options in ({"task": "torus"}, {"model": "swish"}):
        with pytest.raises(ValueError, match=r"need a task .*(torus|swish)"):
            ex.geometry(0, **options)
    best = ex.geometry(0, widths=(3, 4, 2), samples=50, steps=30, rates=(1e-6, 0.3))
    assert best["rate"] == 0.3


def test_the_pointwise_network_shares_its_weights():
    net = RadialNetwork((3, 4, 2), Squash(), generator=generator(1))
    x = torch.ones(1, 3)
    first, last = net.linears
    assert torch.equal(ex.pointwise(net)(x), last(torch.relu(first(x))))


class Counted:
    """Trials that count how often they run, and that stop at a seed."""

    def __init__(self, stop=None, how=None):
        self.seeds, self.stop, self.how = [], stop, how

    def __call__(self, seed):
        self.seeds.append(seed)
        if seed == self.stop and self.how == "raises":
            raise KeyboardInterrupt
        if seed == self.stop:
            return {"losses": [1.0], "interrupted": True}
        return {"value": seed / 3, "losses": [2.0, 1.0]}


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_finished_trials_are_kept_and_not_run_again(tmp_path, how):
    store = tmp_path / "trials.jsonl"
    run = Counted(stop=2, how=how)
    first = repeat(run, range(4), name="a", store=store)
    kept = [{"seed": s, "value": s / 3, "losses": [2.0, 1.0]} for s in range(4)]
    cut = [{"seed": 2, "losses": [1.0], "interrupted": True}] if how == "returns" else []
    assert first == kept[:2] + cut
    again = Counted()
    assert repeat(again, range(4), name="a", store=store) == kept
    assert again.seeds == [2, 3]
    other = Counted()
    assert repeat(other, [0], name="b", store=store) == kept[:1] and other.seeds == [0]
    assert repeat(Counted(), [3, 1], name="a", store=store) == [kept[3], kept[1]]
    assert len(store.read_text().splitlines()) == 5


def test_trials_of_other_settings_are_run_again(tmp_path):
    """The same name and seed are not enough."""
    store, old = tmp_path / "trials.jsonl", Counted()
    assert repeat(old, range(2), name="a", settings={"steps": "5"}, store=store) == repeat(Counted(), range(2))
    for settings, seeds in (({"steps": "5"}, []), ({"steps": "6"}, [0, 1]), ({}, [0, 1]), ({"steps": "6"}, [])):
        run = Counted()
        repeat(run, range(2), name="a", settings=settings, store=store)
        assert run.seeds == seeds
    store.write_text('{"name": "a", "seed": 0, "value": 7}\n')  # a file of the time before settings were kept
    assert repeat(Counted(), [0], name="a", store=store)[0]["value"] == 0


def test_a_protocol_keeps_its_settings_with_its_trials(tmp_path):
    store, seeds = tmp_path / "trials.jsonl", []

    def run(seed, *, steps, device, progress):
        seeds.append((seed, steps))
        return {"value": steps}

    for steps in (5, 5, 6):
        protocol = Protocol(run, {"steps": steps}, {"steps": 1}, trials=2, short_trials=1)
        assert [r["value"] for r in protocol.results(full=True, name="a", store=store)] == [steps, steps]
    protocol.results(name="a", store=store)
    assert seeds == [(0, 5), (1, 5), (0, 6), (1, 6), (0, 1)]


def test_a_line_that_was_cut_off_is_run_again(tmp_path):
    store = tmp_path / "trials.jsonl"
    repeat(Counted(), range(2), name="a", store=store)
    store.write_text(store.read_text()[:-7])
    run = Counted()
    results = repeat(run, range(3), name="a", store=store)
    assert run.seeds == [1, 2] and [r["seed"] for r in results] == [0, 1, 2]
    assert [json.loads(line)["seed"] for line in store.read_text().splitlines()] == [0, 1, 2]


def test_without_a_file_nothing_is_kept(capsys):
    run = Counted()
    repeat(run, range(2), name="a", progress=True)
    repeat(run, range(2), name="a")
    assert run.seeds == [0, 1, 0, 1]
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["projected", "speed", "recovery", "initialisation", "ball"])
def test_ctrl_c_keeps_the_curves_so_far(name, monkeypatch):
    """A training that is stopped ends its trial, which says so."""

    def stopped(network, loss, **options):
        descent = gradient_descent(network, loss, **options)
        return type(descent)(descent.network, descent.losses, interrupted=True)

    run, options = TINY[name]
    monkeypatch.setattr(ex, "gradient_descent", stopped)
    result = run(0, **options)
    assert result["interrupted"] is True and any(value for value in result.values())
    monkeypatch.setattr(ex, "projected_gradient_descent", stopped)
    if name == "projected":
        cut = run(0, **options)
        assert cut["interrupted"] is True and len(cut["losses-projected"]) == 6


def test_a_descent_goes_on_where_it_was_stopped():
    net = RadialNetwork((2, 3, 1), Squash(), generator=generator(0), dtype=torch.float64)
    x = torch.randn(9, 2, generator=generator(1), dtype=torch.float64)
    calls = []

    def loss(net):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return (net(x) ** 2).mean()

    first = gradient_descent(net, loss, rate=0.1, steps=10)
    assert first.interrupted and first.steps == 2
    second = gradient_descent(first.network, loss, rate=0.1, steps=10 - first.steps)
    whole = gradient_descent(net, loss, rate=0.1, steps=10)
    assert first.losses + second.losses[1:] == whole.losses


def test_mean_and_spread():
    results = [{"a": 1.0}, {"a": 2.0}, {"a": 6.0}, {"a": 100.0, "interrupted": True}]
    mean, spread = mean_and_spread(results, "a")
    assert mean == pytest.approx(3) and spread == pytest.approx(math.sqrt(7))
    assert mean_and_spread(results[:1], "a") == (1.0, 0.0)


def test_a_protocol_has_a_full_and_a_short_run():
    seen = []

    def run(seed, **options):
        seen.append((seed, options))
        return {}

    protocol = Protocol(run, {"steps": 9, "rate": 1}, {"steps": 2}, trials=3, short_trials=1)
    assert protocol.results(device="cpu") == [{"seed": 0}]
    assert [r["seed"] for r in protocol.results(full=True)] == [0, 1, 2]
    assert seen[0][1] == {"steps": 2, "rate": 1, "device": "cpu", "progress": False}
    assert seen[1][1] == {"steps": 9, "rate": 1, "device": "cpu", "progress": False}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_names_options_of_its_experiment(name):
    protocol = PROTOCOLS[name]
    known = set(protocol.run.__kwdefaults__)
    assert set(protocol.options) | set(protocol.short) <= known
    assert {"device", "progress"} <= known
    assert protocol.trials >= protocol.short_trials >= 1


def test_the_stored_results_are_those_of_the_protocols():
    stored = stored_results()
    assert stored["command"] == full_run.COMMAND and stored["machine"].startswith("two CPU cores")
    assert list(stored["protocols"]) == list(full_run.PROTOCOLS)
    for name, protocol in PROTOCOLS.items():
        record = stored["protocols"][name]
        assert record["settings"] == {key: str(value) for key, value in protocol.options.items()}
        assert [trial["seed"] for trial in record["trials"]] == list(range(protocol.trials))
        assert not any("interrupted" in trial for trial in record["trials"])
        assert not any(isinstance(value, list) for trial in record["trials"] for value in trial.values())


@pytest.mark.parametrize("name", ["lossless book", "lossless zero bias"])
def test_the_stored_results_can_be_had_again(name):
    stored = stored_results()["protocols"][name]["trials"]
    for trial in stored[:3]:
        assert PROTOCOLS[name].run(trial["seed"], **PROTOCOLS[name].options)["epsilons"] == pytest.approx(
            trial["epsilons"], abs=2
        )


def test_the_summary_keeps_numbers_and_no_curves():
    protocols = {"a": Protocol(ex.projected, {"steps": 2, "dtype": torch.float64}, trials=1)}
    results = {"a": [{"seed": 0, "x": 1 / 3, "n": 7, "bad": math.inf, "losses": [1.0]}]}
    assert ex.summary(protocols, results) == {
        "a": {
            "settings": {"steps": "2", "dtype": "torch.float64"},
            "trials": [{"seed": 0, "x": 0.333333, "n": 7, "bad": None}],
        }
    }


@pytest.fixture
def tiny_run(tmp_path, monkeypatch):
    """``full_run.main`` with two tiny protocols; call it with names for ``--only``."""
    tiny = {
        "a": Protocol(ex.lossless, {}, trials=2),
        "b": Protocol(ex.lossless, {"zero_bias": True}, trials=1),
    }
    monkeypatch.setattr(full_run, "PROTOCOLS", tiny)
    monkeypatch.setattr(full_run, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(full_run, "ProcessPoolExecutor", full_run_pool)

    def run(*only):
        names = ["--only", *only] if only else []
        monkeypatch.setattr("sys.argv", ["full_run.py", "--store", str(tmp_path / "run"), *names])
        return full_run.main()

    def stored():
        return json.loads(full_run.RESULTS.read_text())["protocols"]

    run.stored, run.protocols = stored, tiny
    yield run
    torch.set_flush_denormal(False)


def test_the_full_run_stores_what_it_is_asked_for_and_keeps_the_rest(tiny_run, capsys):
    assert tiny_run("b") == 0 and list(tiny_run.stored()) == ["b"]
    assert "not there: a" in capsys.readouterr().out
    first = tiny_run.stored()["b"]
    assert tiny_run("a") == 0 and list(tiny_run.stored()) == ["a", "b"] and tiny_run.stored()["b"] == first
    assert "not there" not in capsys.readouterr().out
    assert len(tiny_run.stored()["a"]["trials"]) == 2
    assert tiny_run() == 0 and tiny_run.stored()["b"] == first


@pytest.mark.parametrize("change", [{"options": {"zero_bias": False}}, {"trials": 3}])
def test_the_full_run_drops_results_of_other_settings(tiny_run, change):
    assert tiny_run() == 0
    tiny_run.protocols["b"] = dataclasses.replace(tiny_run.protocols["b"], **change)
    assert tiny_run("a") == 0 and list(tiny_run.stored()) == ["a"]


def test_the_full_run_writes_only_whole_protocols(tiny_run, capsys):
    tiny_run.protocols["b"] = Protocol(lambda seed, **_: {"interrupted": True}, {}, trials=1)
    assert tiny_run() == 1 and not full_run.RESULTS.exists()
    assert "nothing is written" in capsys.readouterr().out
    assert not full_run.complete({"a": [{}]}) and full_run.complete({"a": [{}, {}]})


def test_the_names_of_the_two_chapters_differ():
    assert len(full_run.PROTOCOLS) == len(PROTOCOLS) + len(relocation.PROTOCOLS)


def full_run_pool(jobs):
    """In place of the pool of processes: one thread, which sees what the test has replaced."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1)


def test_reduced_widths_of_the_published_networks():
    assert reduced_widths((1, 6, 7, 1)) == (1, 2, 3, 1)
    assert reduced_widths((2, 16, 64, 128, 16, 2)) == (2, 3, 4, 5, 6, 2)

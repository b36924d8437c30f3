"""The benchmarks compare like with like, keep what they measure, and the page shows what is kept."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from variants import DEVICES, gaussian, generator

from radbook import RadialNetwork, RadialSigmoid, Squash, qr_compress
from radbook.figures import COLORS
from radbook.laperm import in_rank_order

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "book/_ext"), str(ROOT / "benchmarks")]
import growth  # noqa: E402
import peers  # noqa: E402
import speed  # noqa: E402
import tables  # noqa: E402
import timing  # noqa: E402

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("peer", "ours"),
    [
        (peers.composed_squash, Squash()),
        (peers.factored_squash, Squash()),
        (peers.composed_sigmoid, RadialSigmoid()),
        (peers.factored_sigmoid, RadialSigmoid()),
        (peers.published_sigmoid, RadialSigmoid()),
    ],
)
def test_a_peer_of_the_activation_computes_the_same(peer, ours, device):
    v = gaussian(20, 5, seed=0, device=device).requires_grad_()
    torch.testing.assert_close(peer(v), ours(v))
    torch.testing.assert_close(*(torch.autograd.grad(f(v).sum(), v)[0] for f in (peer, ours)))


def test_the_peer_in_place_computes_the_same():
    v = gaussian(20, 5, seed=0)
    expected = RadialSigmoid()(v)
    assert peers.factored_in_place(v) is v
    torch.testing.assert_close(v, expected)


def test_the_norm_nonlinearities_rescale_blocks_of_three():
    pytest.importorskip("e3nn", reason="the comparison with e3nn (not installed: the extra 'equivariant')")
    pytest.importorskip("escnn", reason="the comparison with escnn (not installed: the extra 'equivariant')")
    v = gaussian(4, 9, seed=0).float()
    for f in peers.norm_nonlinearities(9, CPU).values():
        torch.testing.assert_close(f(v), RadialSigmoid()(v.view(4, 3, 3)).view(4, 9))


@pytest.mark.parametrize("widths", [(2, 7, 5, 9, 3), (6, 4, 3, 1), (1, 8, 16, 8, 1), (3, 2)])
@pytest.mark.parametrize("compress", [peers.published_compression, peers.complete_compression])
def test_a_peer_of_compression_finds_the_same_function(widths, compress):
    network = RadialNetwork(widths, Squash(), generator=generator(0), dtype=torch.float64).requires_grad_(False)
    ours = qr_compress(network).network
    parts = [torch.as_tensor(part) for part in compress(network)]
    if compress is peers.complete_compression:
        biases = [linear.bias for linear in network.linears[-1:]]
        weights = [*(part[:, 1:] for part in parts[:-1]), parts[-1]]
        biases = [*(part[:, 0] for part in parts[:-1]), *biases]
    else:
        weights, biases = [part[:, 1:] for part in parts], [part[:, 0] for part in parts]
    theirs = RadialNetwork.from_parameters(weights, biases, Squash())
    x = gaussian(9, widths[0], seed=1)
    assert theirs.widths == ours.widths
    torch.testing.assert_close(theirs(x), network(x))


def test_the_peer_of_a_synchronisation_orders_alike():
    weights, values = gaussian(1, 50, seed=0), gaussian(1, 50, seed=1).sort().values
    assert torch.equal(peers.published_synchronisation(weights, values), in_rank_order(values, weights))


def small_tables():
    """Every table at a size that takes no time, without what torch compiles and what starts Python."""
    yield tables.activation(6, CPU)
    yield tables.inference(6, CPU)
    yield tables.training(CPU, reduced=True)
    yield tables.compression((3, 7, 5, 2), CPU, torch.float64)
    yield tables.use((3, 7, 5, 2), CPU)
    yield tables.approximation(30, 100, CPU)
    yield tables.synchronisation(40, CPU)
    yield tables.many_starts(3, 5, 2, 4, CPU)
    yield growth.activation(4, 6, CPU)
    yield growth.compression((3, 7, 5, 2), CPU, 7)
    yield growth.approximation(30, CPU)
    yield growth.synchronisation(40, CPU)


def test_a_missing_peer_is_an_error_with_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "e3nn", None)
    with pytest.raises(ImportError, match="e3nn"):
        tables.blocks(6, CPU)


def test_every_task_runs_and_every_table_has_a_line_of_ours():
    for tasks in small_tables():
        assert [task.kind for task in tasks].count("radbook") == 1
        assert len({task.name for task in tasks}) == len(tasks)
        assert {task.kind for task in tasks} <= speed.COLORS.keys()
        for task in tasks:
            if "compiled" not in task.name:
                task.call()


def test_the_approximator_of_the_tables_has_the_balls_it_is_asked_for():
    assert 5000 <= tables.balls(5000, CPU).N <= 5100


def test_tasks_take_turns_and_ratios_are_of_their_round(monkeypatch):
    """A clock that the tasks turn on themselves, and a machine that gets slower from round to round."""
    now, slowness, order = 0.0, 1.0, []

    def task(name, seconds):
        def call():
            nonlocal now, slowness
            order.append(name)
            now += seconds * slowness
            slowness *= 2.0 if name == "b" else 1.0

        return timing.Task(name, call)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    first, second = timing.compare([task("a", 10.0), task("b", 30.0)], rounds=5, warm_up=2)
    assert "".join(order) == "ab" * 7
    assert first.ratio == (1, 1, 1) and second.ratio == (3, 3, 3)
    assert first.seconds == 160 and second.seconds == 480  # of the third round of 4, 8, 16, 32, 64


def test_a_short_task_is_repeated_after_a_call_that_does_not_count(monkeypatch):
    now = 0.0

    def call():
        nonlocal now
        now += timing.SHORTEST / 4

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    rows = timing.compare([timing.Task("a", call)], rounds=3, warm_up=1)
    assert rows[0].seconds == pytest.approx(timing.SHORTEST / 4)
    assert now == pytest.approx(timing.SHORTEST / 4 * (1 + 3 * (1 + 4)))


def test_results_are_kept_beside_others(monkeypatch, tmp_path):
    monkeypatch.setattr(timing, "STORE", tmp_path / "speed.json")
    monkeypatch.setattr(timing, "setting", lambda device: "1 thread")
    rows = [
        timing.Row("a", "yardstick", 0.123456, (1.0, 1.0, 1.0)),
        timing.Row("b", "radbook", 0.2, (1.62001, 1.5, 1.7)),
    ]
    timing.keep(CPU, "tables", "x", {"title": "X", "rows": timing.as_json(rows)})
    timing.keep(CPU, "tables", "y", {"title": "Y", "rows": []})
    timing.keep(CPU, "tables", "y", {"title": "Z", "rows": []})
    timing.keep(CPU, "growth", "w", {"lines": {}})
    monkeypatch.setattr(timing, "setting", lambda device: "2 threads")
    timing.keep(CPU, "tables", "x", {"title": "X", "rows": []})
    kept = json.loads(timing.STORE.read_text())
    assert list(kept) == ["1 thread", "2 threads"] and list(kept["2 threads"]["tables"]) == ["x"]
    assert kept["1 thread"]["tables"]["y"]["title"] == "Z" and list(kept["1 thread"]["growth"]) == ["w"]
    assert [row["seconds"] for row in kept["1 thread"]["tables"]["x"]["rows"]] == [0.123, 0.2]
    assert kept["1 thread"]["tables"]["x"]["rows"][1]["ratio"] == [1.62, 1.5, 1.7]


def run_of(**seconds):
    """A stored run with one table: a yardstick, radbook and a peer."""
    kinds = {"x * 2": "yardstick", "ours": "radbook", "theirs": "peer"}
    rows = [
        {"name": name, "kind": kind, "seconds": s, "ratio": [s / seconds["bound"]] * 3}
        for (name, kind), s in zip(kinds.items(), seconds.values(), strict=True)
    ]
    line = {"kind": "radbook", "sizes": [1, 2, 4, 8, 16], "seconds": [9.0, 1.0, 4.0, 16.0, 64.0]}
    plot = {"title": "Growth <of> it", "along": "n", "lines": {"ours": line}}
    table = {"where": "A machine", "title": "A <table>", "rows": rows}
    return {"tables": {"t": table}, "growth": {"g": {"where": "Another", **plot}}}


def built(folder, source, runs):
    """The page of a book with some directives, and its warnings."""
    (folder / "book").mkdir()
    (folder / "book/speed.json").write_text(json.dumps(runs))
    (folder / "_toc.yml").write_text("parts: []")
    (folder / "index.md").write_text(f"# Speed\n\n{source}\n")
    (folder / "conf.py").write_text(
        "extensions = ['myst_parser', 'sphinx_design', 'speed']\nmyst_enable_extensions = ['colon_fence']\n"
    )
    warnings = io.StringIO()
    with docutils_namespace():
        Sphinx(folder, folder, folder / "out", folder / "trees", "html", status=None, warning=warnings).build()
    return BeautifulSoup((folder / "out/index.html").read_text(), "html.parser"), warnings.getvalue()


def test_the_page_shows_ratios_of_every_run_that_has_the_table(tmp_path):
    runs = {"1 thread": run_of(bound=0.5, ours=1.0, theirs=4.0), "2 threads": run_of(bound=0.25, ours=1.0, theirs=1.5)}
    runs["other"] = {"tables": {"t-bfloat16": {**runs["1 thread"]["tables"]["t"], "title": "Short"}}, "growth": {}}
    source = "```{timings} t\n```\n\n```{growth} g\n```\n\n```{timings-where}\n```"
    page, warnings = built(tmp_path, source, runs)
    assert not warnings
    first, second, _ = (
        [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in t.find_all("tr")]
        for t in page.find_all("table")
    )
    assert first[0] == second[0] == ["", "ms", "over the first", "over radbook"]
    assert first[1:3] == [["x * 2", "500", "1", "0.500"], ["ours", "1,000", "2.00\xa0[2.00,\xa02.00]", "1.00"]]
    assert first[3][1:] == ["4,000", "8.00\xa0[8.00,\xa08.00]", "4.00"]
    assert second[2] == ["ours", "1,000", "4.00\xa0[4.00,\xa04.00]", "1.00"]
    assert [fold.get_text(strip=True) for fold in page.find_all("summary")] == ["2 threads"]
    text = page.get_text()
    assert "A <table> (1 thread)" in text
    assert text.index("A <table>") < text.index("Short (other)") and len(page.find_all("table")) == 3
    assert "Growth <of> it (1 thread). Exponents at the end: ours 2.00." in text
    assert "Growth <of> it" in page.img["alt"] and page.img["src"].startswith("data:image/svg+xml;base64,")
    assert "1 thread: A machine, and Another" in text and "no run on a GPU is stored" in text


@pytest.mark.parametrize("source", ["```{timings} t u\n```", "```{growth} u\n```"])
def test_what_was_not_measured_is_a_warning(tmp_path, source):
    _, warnings = built(tmp_path, source, {"1 thread": run_of(bound=1.0, ours=1.0, theirs=1.0)})
    assert "WARNING: u was not measured; use `python benchmarks u`" in warnings


def test_numbers_have_three_digits():
    shown = [speed.number(x) for x in (0, 0.00012345, 0.09999, 0.5, 1, 9.994, 9.996, 12.34, 123.4, 45678.9)]
    assert shown == ["0", "0.000123", "0.100", "0.500", "1.00", "9.99", "10.0", "12.3", "123", "45,700"]


def test_a_gpu_comes_first(tmp_path):
    runs = {"1 thread": run_of(bound=0.5, ours=1.0, theirs=4.0), "cuda": run_of(bound=0.25, ours=1.0, theirs=1.5)}
    page, _ = built(tmp_path, "```{timings} t\n```\n\n```{growth} g\n```\n\n```{timings-where}\n```", runs)
    assert "A <table> (cuda)" in page.get_text() and "Growth <of> it (cuda)" in page.get_text()
    assert "no run on a GPU" not in page.get_text()


def test_the_page_shows_everything_that_is_measured():
    text = (ROOT / "book/speed.md").read_text()
    shown = {name for line in text.splitlines() if "{timings} " in line for name in line.split()[1:]}
    assert shown == {name for name, *_ in tables.tables(CPU)}
    plots = {line.split()[1] for line in text.splitlines() if line.startswith("```{growth} ")}
    assert plots == {each.name for each in growth.growths(CPU)}


def test_the_colours_are_those_of_the_book():
    assert set(speed.COLORS.values()) <= set(COLORS.values())
    assert speed.COLORS.keys() == speed.DASHES.keys()


def test_what_is_stored_is_whole():
    for run in json.loads((ROOT / "book/speed.json").read_text()).values():
        for result in run["tables"].values():
            assert result["rows"][0]["ratio"] == [1, 1, 1]
            assert [row["kind"] for row in result["rows"]].count("radbook") == 1
            for row in result["rows"]:
                middle, low, high = row["ratio"]
                assert 0 < low <= middle <= high

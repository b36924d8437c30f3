"""The interactive figures: driven in Chromium from disk, they show what radbook computes."""

import json
import math
import re
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from pages import ROOT, SITE, in_browser

from radbook import RadialNetwork, RadialRescaling, RadialSigmoid, ShiftedReLU, Squash, StepReLU, act
from radbook.figures import COLORS
from radbook.frames import compress_two_layer, optimal_simplex_loss
from radbook.gaussian import radial_target

sys.path.insert(0, str(ROOT / "book/_ext"))
import interactive
import spine

PAGES = {
    "fig-planes": "book/radial/rescaling.html",
    "fig-growing-web": "book/approximation/growing.html",
    "fig-rotated-plane": "book/radial/networks.html",
    "fig-etf-opening": "book/frames/etf.html",
}
SCRIPTS = ROOT / "book/_static/interactive"
DESK = {"width": 1440}
PHONE = {"width": 360, "scheme": "dark", "touch": True, "still": True}
ACTIVATIONS = {
    "Step-ReLU": StepReLU(),
    "squashing": Squash(),
    "shifted ReLU (b = 1)": ShiftedReLU(1.0),
    "radial sigmoid (b = 1)": RadialSigmoid(1.0),
    "identity": RadialRescaling(lambda r: r),
    "tanh": RadialRescaling(torch.tanh),
    "pointwise ReLU": torch.relu,
}
V, CENTRE, NODE = "The vector v", "Centre of ball 2", "Node 2"
KEYS = ["ArrowRight", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowDown", "End", "Home"]
#: What is done with a mouse and keys, and what with a finger on a phone.
DESK_STEPS = {
    "fig-planes": [
        *[["press", V, key] for key in KEYS[:4]],
        *[["choose", "Activation", name] for name in ACTIVATIONS],
        *[["press", V, key] for key in ("Shift+ArrowLeft", "Shift+ArrowDown")],
        ["choose", "Activation", "radial sigmoid (b = 1)"],
        ["press", V, "End"],
        ["drag", V, 30, 45],
        ["spoken", V],
        ["press", V, "Home"],
        ["click", "Reset"],
    ],
    "fig-growing-web": [
        *[["press", CENTRE, key] for key in KEYS[:4]],
        ["press", "Layers", "ArrowRight"],
        ["press", "Layers", "End"],
        ["drag", CENTRE, -33, 21],
        ["point", "Radius 3", 0.9],
        ["press", "Radius 1", "Shift+ArrowRight"],
        ["spoken", "Layers"],
        ["click", "Reset"],
    ],
    "fig-rotated-plane": [
        ["press", "Angle", "ArrowLeft"],
        ["press", "Angle", "Shift+ArrowLeft"],
        ["press", "Angle", "Home"],
        ["point", "Angle", 0.4],
        ["spoken", "Angle"],
        ["click", "Reset"],
    ],
    "fig-etf-opening": [
        *[["press", NODE, key] for key in KEYS],
        ["press", NODE, "Shift+ArrowRight", "Shift+ArrowUp"],
        ["drag", NODE, 25, 35],
        ["spoken", NODE],
        ["click", "Let go"],
        ["settle"],
        *[["choose", "Nodes", str(m)] for m in (2, 4, 5)],
        ["click", "Reset"],
    ],
}
PHONE_STEPS = {
    "fig-planes": [["finger", V, 40, 30]],
    "fig-growing-web": [["finger", CENTRE, 20, 25], ["tap", "Layers", 0.95]],
    "fig-rotated-plane": [["tap", "Angle", 0.2]],
    "fig-etf-opening": [["finger", NODE, 20, -30], ["click", "Let go"]],
}
END = [["axe"], ["sizes"], ["seen", None], ["seen", "print"]]


def scenario(figure, view, steps):
    return {"page": PAGES[figure], "figure": figure, "view": view, "steps": steps}


def play(folder, scenarios):
    if not folder.exists():
        pytest.skip("the book is not built (make book)")
    return in_browser("the figures", "interact.js", folder, scenarios)


@pytest.fixture(scope="module")
def played():
    """For each figure what a desk, a phone and a browser without scripts see."""
    scenarios = []
    for figure in PAGES:
        scenarios.append(scenario(figure, DESK, [*DESK_STEPS[figure], *END]))
        scenarios.append(scenario(figure, PHONE, [*PHONE_STEPS[figure], ["scroll"], *END]))
        scenarios.append(scenario(figure, {"width": 1440, "scripts": False}, [["seen", None]]))
    results = iter(play(SITE, scenarios))
    return {figure: {kind: next(results) for kind in ("desk", "phone", "bare")} for figure in PAGES}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def close(shown, computed, tolerance=1e-12):
    return torch.allclose(tensor(shown), computed, rtol=0, atol=tolerance)


def shown(value, digits=2):
    return f"{value:.{digits}f}".replace("-", "" if float(f"{value:.{digits}f}") == 0 else "\u2212")


def point(values):
    return f"({', '.join(shown(value) for value in values)})"


# What each figure must show in a state: the numbers in full, and the words.


def rescaled(state, words):
    rho, v = ACTIVATIONS[state["name"]], tensor(state["v"])
    image = rho(v)
    assert close(state["image"], image)
    assert f"v = {point(v.tolist())}, |v| = {shown(float(v.norm()))}." in words
    assert f"(v) = {point(image.tolist())}" in words
    if isinstance(rho, RadialRescaling):
        r = v.norm()
        h = float(rho.profile(r)) if r > 0 else 0.0
        assert math.isclose(state["h"], h, abs_tol=1e-12)
        assert state["degrees"] < 1e-6
        assert f"h(|v|) = {shown(h)}" in words
        if r > 0:
            assert math.isclose(state["factor"], float(rho.factor(r)), abs_tol=1e-12)
            assert f"λ(|v|) = {shown(state['factor'])}" in words
    elif image.norm() > 0:
        angle = math.degrees(float(torch.arccos((image @ v / (image.norm() * v.norm())).clamp(-1, 1))))
        assert abs(state["degrees"] - angle) < 1e-5
        assert f"an angle of {shown(angle, 0)}°" in words


def collapsed(state, words):
    """The layers of Theorem thm-growing, with the readout that looks from above."""
    balls = state["balls"][: state["layers"]]
    side = torch.arange(-9, 10, dtype=torch.float64) / 5
    web = torch.cartesian_prod(side, side)
    centres, t = tensor([ball["c"] for ball in balls]).reshape(-1, 2), 2 * max((b["r"] for b in balls), default=1)
    for i, ball in enumerate(balls):
        big, q = math.hypot(ball["r"], t), torch.cat([centres[i], torch.zeros(i, dtype=torch.float64), tensor([t])])
        inclusion = torch.eye(3 + i, 2 + i, dtype=torch.float64)
        identity = torch.eye(3 + i, dtype=torch.float64)
        layer = RadialNetwork.from_parameters([inclusion / big, big * identity], [-q / big, q], StepReLU())
        web = layer(web).detach()
    assert close(state["seen"], web[:, :2], 1e-9)
    lifted = (web[:, 2:] > t / 2).sum(0).tolist()
    assert state["caught"] == lifted + [0] * (3 - len(lifted))
    assert state["kept"] == len(web) - sum(lifted)
    parts = [f"at the centre of ball {i}: {count}" for i, count in enumerate(lifted, start=1)]
    assert "; ".join([*parts, f"in place: {state['kept']}."]) in words


def rotated(state, words):
    start = interactive.start_of("fig-rotated-plane", spine.glued(spine.notebook(ROOT, "book/radial/networks")))
    w1, b1, w2, b2 = (tensor(start[name]) for name in ("w1", "b1", "w2", "b2"))
    net = RadialNetwork.from_parameters([w1[:, None], w2[None]], [b1, b2[None]], Squash()).requires_grad_(False)
    angle = math.radians(state["degrees"])
    q = tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = act([q], net)
    weights = {"w1": turned.linears[0].weight[:, 0], "b1": turned.linears[0].bias, "w2": turned.linears[1].weight[0]}
    assert all(close(state["weights"][name], value) for name, value in weights.items())
    inputs = tensor(state["inputs"])[:, None]
    assert close(state["values"]["radial"], turned(inputs)[:, 0])
    assert close(state["values"]["radial"], net(inputs)[:, 0])  # the graph stays
    before, after = (n.linears[1](n.linears[0](inputs).relu())[:, 0].detach() for n in (net, turned))
    assert close(state["values"]["pointwise"], after)
    moved = float((after - before).abs().max())
    assert abs(state["moved"]["pointwise"] - moved) < 1e-12
    assert state["moved"]["radial"] < 1e-12
    assert f"radial 0 up to rounding, pointwise {shown(moved)}." in words
    assert f"W₁ = {point(weights['w1'])}, b₁ = {point(weights['b1'])}, W₂ = {point(weights['w2'])}." in words


@cache
def best_found(m):
    return float(compress_two_layer(radial_target(1.0, 2), m, starts=6, steps=60).losses[0])


def placed(state, words):
    nodes, m = tensor(state["nodes"]), len(state["nodes"])
    loss = float(radial_target(1.0, 2).loss(torch.ones(m, dtype=torch.float64), nodes))
    assert abs(state["loss"] - loss) < 1e-12
    assert f"Loss {loss:.5f}." in words
    assert state["bound"] <= loss + 1e-12
    if m <= 3:
        assert abs(state["bound"] - optimal_simplex_loss(m, 2)) < 1e-12
    elif m == 5:
        assert abs(state["bound"] - best_found(m)) < 1e-9
    else:  # a power of two: a bound that nothing attains
        assert state["bound"] < 0.5 * best_found(m)
    assert f"{state['bound']:.5f}" in words


CHECKS = {"fig-planes": rescaled, "fig-growing-web": collapsed, "fig-rotated-plane": rotated, "fig-etf-opening": placed}


@pytest.mark.parametrize("figure", PAGES)
@pytest.mark.parametrize("kind", ["desk", "phone"])
def test_every_state_is_what_radbook_computes(played, figure, kind):
    result = played[figure][kind]
    assert result["faults"] == []
    for state, words in zip(result["states"], result["words"], strict=True):
        CHECKS[figure](state, words)


@pytest.mark.parametrize("figure", PAGES)
@pytest.mark.parametrize("kind", ["desk", "phone"])
def test_it_is_accessible_and_only_for_the_screen(played, figure, kind):
    violations, sizes, screen, paper = played[figure][kind]["saw"][-4:]
    assert violations == []
    assert all(min(size) >= 44 for size in sizes)
    assert screen == {"picture": True, "live": True}
    assert paper == {"picture": True, "live": False}


@pytest.mark.parametrize("figure", PAGES)
def test_without_scripts_the_picture_stays(played, figure):
    bare = played[figure]["bare"]
    assert bare["saw"] == [{"picture": True, "live": False}]
    assert bare["faults"] == []


@pytest.mark.parametrize("figure", PAGES)
def test_a_finger_on_the_picture_scrolls_the_page(played, figure):
    result = played[figure]["phone"]
    scrolled = result["saw"][len(PHONE_STEPS[figure])]
    assert scrolled > 50
    assert result["states"][-1] == result["states"][len(PHONE_STEPS[figure])]


def handle_of(figure, state):
    """The place of the handle that the steps move."""
    return tensor({"fig-planes": lambda: state["v"], "fig-growing-web": lambda: state["balls"][1]["c"],
                   "fig-etf-opening": lambda: state["nodes"][1]}[figure]())  # fmt: skip


@pytest.mark.parametrize("figure", ["fig-planes", "fig-growing-web", "fig-etf-opening"])
def test_keys_mouse_and_finger_move_a_handle(played, figure):
    for kind, steps in (("desk", DESK_STEPS[figure]), ("phone", PHONE_STEPS[figure])):
        states = played[figure][kind]["states"]
        for (step, name, *how), old, new in zip([[*s, None, None] for s in steps], states, states[1:], strict=False):
            if name not in (V, CENTRE, NODE) or step == "spoken":
                continue
            before, after = handle_of(figure, old), handle_of(figure, new)
            if step == "press" and how[0].endswith(("Left", "Right", "Up", "Down")):
                size = 0.25 if how[0].startswith("Shift") else 0.05
                way = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, 1), "Down": (0, -1)}
                to = before + size * tensor(way[re.search("Arrow(.*)", how[0])[1]])
                expected = [to] if how[1] is None else [to + tensor([0, size])]
                assert torch.allclose(after, expected[0], atol=1e-12)
            elif step == "press":
                assert abs(after.norm() - {"Home": 0, "End": 2.5 if name == V else 1.7}[how[0]]) < 1e-12
            else:
                moved, drawn = after - before, tensor([how[0], -how[1]])
                scale = float(moved @ drawn / (drawn @ drawn))  # units for a pixel
                assert 0.004 < scale < 0.03
                assert (moved - scale * drawn).norm() < 0.02 * moved.norm()


@pytest.mark.parametrize("figure", PAGES)
def test_reset_takes_the_figure_back(played, figure):
    result = played[figure]["desk"]
    assert result["states"][len(DESK_STEPS[figure])] == result["states"][0]


def test_sliders_follow_keys_mouse_and_finger(played):
    angles = [state["degrees"] for state in played["fig-rotated-plane"]["desk"]["states"]]
    assert angles[:4] == [60, 59, 54, -180]
    assert -60 < angles[4] < -20
    assert -130 < played["fig-rotated-plane"]["phone"]["states"][1]["degrees"] < -90
    assert played["fig-growing-web"]["phone"]["states"][2]["layers"] == 3
    balls = [state["balls"] for state in played["fig-growing-web"]["desk"]["states"]]
    assert balls[8][2]["r"] > 1
    assert abs(balls[9][0]["r"] - balls[8][0]["r"] - 0.05) < 1e-12


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ("fig-planes", r"\([−\d.]+, [−\d.]+\), length [\d.]+"),
        ("fig-growing-web", "3 of 3"),
        ("fig-rotated-plane", r"−\d+°"),
        ("fig-etf-opening", r"\([−\d.]+, [−\d.]+\), length [\d.]+"),
    ],
)
def test_a_screen_reader_hears_the_value(played, figure, text):
    at = next(i for i, step in enumerate(DESK_STEPS[figure]) if step[0] == "spoken")
    assert re.fullmatch(text, played[figure]["desk"]["saw"][at])


@pytest.mark.parametrize("kind", ["desk", "phone"])  # one step after the other, and, without motion, at once
def test_letting_go_is_gradient_descent(played, kind):
    steps = {"desk": DESK_STEPS, "phone": PHONE_STEPS}[kind]["fig-etf-opening"]
    at = steps.index(["click", "Let go"])
    states, cone = played["fig-etf-opening"][kind]["states"], radial_target(1.0, 2)
    w = tensor(states[at]["nodes"])
    for _ in range(400):
        w.requires_grad_()
        (slope,) = torch.autograd.grad(cone.loss(torch.ones(3, dtype=torch.float64), w), w)
        w = (w - 0.3 * slope).detach()
    end = states[at + (2 if kind == "desk" else 1)]
    assert close(end["nodes"], w, 1e-9)
    assert end["loss"] - end["bound"] < 1e-6


@pytest.mark.parametrize("figure", PAGES)
def test_it_starts_where_the_picture_stands(played, figure):
    data = (SITE / PAGES[figure]).read_text()
    (found,) = re.findall(r'id="live-data"[^>]*>(.*?)</script>', data)
    found = json.loads(found)
    assert found["colors"] == dict(COLORS)
    first = played[figure]["desk"]["states"][0]
    if figure == "fig-growing-web":
        assert [[*ball["c"], ball["r"]] for ball in first["balls"]] == found["start"][figure]
    elif figure == "fig-etf-opening":
        assert first["nodes"] == found["start"][figure]


def test_only_pages_with_a_figure_carry_the_scripts():
    if not SITE.exists():
        pytest.skip("the book is not built (make book)")
    pages = {str(path.relative_to(SITE)): path.read_text() for path in SITE.glob("book/**/*.html")}
    assert {name for name, html in pages.items() if "interactive/" in html} == set(PAGES.values())


FAULTS = {
    "fig-planes": ("rescale.js", "(r * r) / (1 + r * r)", "(r * r) / (1.01 + r * r)"),
    "fig-growing-web": ("collapse.js", "state.balls.findIndex", "state.balls.findLastIndex"),
    "fig-rotated-plane": ("rotate.js", "z[0] * z[0] + z[1] * z[1]", "z[0] * z[0] + 1.001 * z[1] * z[1]"),
    "fig-etf-opening": ("frame.js", "(Math.PI - t) * Math.cos(t)", "(Math.PI - t) * Math.cos(t) * 1.001"),
}


def test_planted_faults_are_seen(tmp_path):
    if not SITE.exists():
        pytest.skip("the book is not built (make book)")
    shutil.copytree(SITE / "_static/interactive", tmp_path / "_static/interactive")
    for path in (SITE / "_static").iterdir():
        if path.name != "interactive":
            (tmp_path / "_static" / path.name).symlink_to(path)
    (tmp_path / "_images").symlink_to(SITE / "_images")
    for figure, (script, good, bad) in FAULTS.items():
        path = tmp_path / "_static/interactive" / script
        assert good in path.read_text()
        path.write_text(path.read_text().replace(good, bad))
        page = tmp_path / PAGES[figure]
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text((SITE / PAGES[figure]).read_text())
    page = tmp_path / PAGES["fig-rotated-plane"]
    more = '<script src="https://example.org/x.js"></script>'
    more += '<script>console.error("planted"); throw Error("thrown")</script>'
    page.write_text(page.read_text().replace("</article>", more + "</article>"))
    second = {"fig-growing-web": ["press", "Layers", "End"]}
    results = play(tmp_path, [scenario(figure, DESK, [second.get(figure, ["axe"])]) for figure in FAULTS])
    for figure, result in zip(FAULTS, results, strict=True):
        with pytest.raises(AssertionError):
            CHECKS[figure](result["states"][-1], result["words"][-1])
    faults = "\n".join(results[2]["faults"])
    assert all(word in faults for word in ("asks another host", "console: planted", "script error: thrown"))


def test_a_start_that_is_not_glued_is_an_error():
    assert interactive.start_of("fig-etf-opening", {"etf-start": "[1, 2.5]"}) == [1, 2.5]
    with pytest.raises(KeyError, match="glues nothing under 'etf-start'"):
        interactive.start_of("fig-etf-opening", {})


def test_the_scripts_are_short_and_classic():
    paths = [*SCRIPTS.glob("*.js")]
    assert len(paths) == 1 + len(interactive.FIGURES)
    for path in paths:
        assert len(path.read_text().splitlines()) < 200
        assert not re.search(r"\b(?:import|fetch|eval|innerHTML)\b", path.read_text())


def test_the_tones_of_the_style_sheet_are_the_colours_of_the_book():
    css = Path(SCRIPTS / "live.css").read_text()
    tones = set(re.findall(r"var\(--tone-([\w-]+)\)", css))
    assert tones <= set(COLORS)
    drawn = set(re.findall(r'(?:curve|dot|arrow|paint)\("(\w+)"', "".join(p.read_text() for p in SCRIPTS.glob("*.js"))))
    assert drawn - {"web"} <= tones

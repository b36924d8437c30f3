"""The package as a whole: what it exports, which module may import which, and examples in docstrings that run."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import radbook
from radbook import check

SOURCE = Path(radbook.__file__).parent
#: The idea of the book each module holds, and the modules of ours it may import.
MAY_IMPORT = {
    "rescaling": set(),
    "network": {"rescaling"},
    "symmetry": {"network"},
    "compression": {"network", "rescaling", "symmetry"},
    "descent": {"network", "symmetry", "compression"},
    "data": set(),
    "figures": set(),
    "covering": set(),
    "collapse": {"network", "rescaling"},
    "needles": set(),
    "permutation": set(),
    "rearrange": {"permutation"},
    "relocation": {"data", "experiments", "laperm", "permutation", "rescaling"},
    "laperm": set(),
    "gaussian": set(),
    "frames": {"gaussian"},
    "approximation": {"covering", "collapse", "needles"},
    "check": {
        "check.bounded",
        "check.covers",
        "check.descent",
        "check.equivariance",
        "check.etf",
        "check.experiments",
        "check.gaussian",
        "check.growing",
        "check.laperm",
        "check.minimal",
        "check.networks",
        "check.orbits",
        "check.permutation",
        "check.prerequisites",
        "check.profiles",
        "check.qr",
        "check.ranks",
        "check.rescaling",
        "check.verdict",
    },
    "experiments": {"compression", "data", "descent", "network", "rescaling"},
    "check.equivariance": {"check.verdict", "rescaling"},
    "check.experiments": {"check.verdict", "descent", "network", "rescaling"},
    "check.laperm": {"check.verdict", "laperm"},
    "check.verdict": {"rescaling"},
    "check.rescaling": {"check.verdict", "rescaling"},
    "check.networks": {"check.verdict", "rescaling", "network", "symmetry"},
    "check.qr": {"check.verdict", "rescaling", "network", "compression"},
    "check.orbits": {"check.verdict", "rescaling", "network", "symmetry"},
    "check.covers": {"check.verdict"},
    "check.bounded": {"check.verdict", "rescaling", "network"},
    "check.descent": {"check.verdict", "rescaling", "network", "symmetry", "compression", "descent"},
    "check.etf": {"check.verdict", "gaussian"},
    "check.gaussian": {"check.verdict", "gaussian"},
    "check.growing": {"check.verdict", "rescaling", "network"},
    "check.minimal": {"check.verdict", "rescaling", "network"},
    "check.permutation": {"check.verdict"},
    "check.prerequisites": {"check.verdict"},
    "check.profiles": {"check.verdict", "rescaling"},
    "check.ranks": {"check.verdict", "rescaling", "network", "compression"},
}
FILES = sorted(set(SOURCE.rglob("*.py")) - {SOURCE / "__init__.py"})
MODULES = [".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for path in FILES]


def test_the_table_of_modules_is_complete():
    assert set(MODULES) == set(MAY_IMPORT)


@pytest.mark.parametrize(("module", "path"), list(zip(MODULES, FILES, strict=True)), ids=MODULES)
def test_imports_point_one_way(module, path):
    tree = ast.parse(path.read_text())
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    ours = {name.partition(".")[2] for name in names if name.split(".")[0] == "radbook"}
    assert ours <= MAY_IMPORT[module]


def test_import_loads_no_more_than_it_needs():
    """Beyond torch, radbook waits with what only figures, data or compilation need."""
    code = "import sys, torch; before = set(sys.modules); import radbook; print(*sys.modules.keys() - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    late = {"matplotlib", "sklearn", "scipy", "sympy", "IPython", "torchvision", "torch._dynamo", "torch._inductor"}
    assert "radbook.rescaling" in loaded
    assert late.isdisjoint(loaded)


def public_objects():
    for module in MODULES:
        namespace = vars(importlib.import_module(f"radbook.{module}"))
        for name, value in namespace.items():
            if not name.startswith("_") and getattr(value, "__module__", "") == f"radbook.{module}":
                yield pytest.param(value, id=f"{module}.{name}")


@pytest.mark.parametrize("value", list(public_objects()))
def test_public_names_say_what_they_take(value):
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return
    doc = inspect.getdoc(value)
    assert doc and doc.partition("\n")[0].endswith((".", ")"))
    arguments = set(inspect.signature(value).parameters) - {"self", "args", "kwargs"}
    if inspect.isfunction(value):
        for name in arguments:
            assert name in doc, f"{value.__name__} does not describe {name}"


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    namespace = importlib.import_module(f"radbook.{module}")
    result = doctest.testmod(namespace, extraglobs={"torch": torch}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("page", ["README.md", "book/index.md"])
def test_the_example_on_the_front_pages(page, capsys):
    """It prints what its comment says, and the text names the right numbers of parameters."""
    text = (SOURCE.parent / page).read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.strip() == re.findall(r"# (.*)", code)[-1]
    for widths in ((1, 8, 16, 8, 1), (1, 2, 3, 4, 1)):
        assert re.search(rf"\b{radbook.parameter_count(widths)}\b", text)


@pytest.mark.parametrize("package", [radbook, check])
def test_everything_exported_is_there(package):
    assert all(hasattr(package, name) for name in package.__all__)
    assert list(package.__all__) == sorted(package.__all__)


def test_check_exports_the_public_names_of_its_modules():
    values = [parameter.values[0] for parameter in public_objects()]
    assert set(check.__all__) == {v.__name__ for v in values if v.__module__.startswith("radbook.check.")}

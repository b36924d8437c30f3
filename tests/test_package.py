"""The package as a whole: what it exports, which module may import which, and examples in docstrings that run."""

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

import radbook

SOURCE = Path(radbook.__file__).parent
#: The idea of the book each module holds, and the modules of ours it may import.
MAY_IMPORT = {
    "rescaling": set(),
    "network": {"rescaling"},
    "symmetry": {"network"},
    "compression": {"network", "symmetry"},
    "data": set(),
    "figures": set(),
    "check": {"rescaling", "network", "symmetry", "compression"},
}


def test_the_table_of_modules_is_complete():
    assert {path.stem for path in SOURCE.glob("*.py")} == {*MAY_IMPORT, "__init__"}


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_imports_point_one_way(module):
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    ours = {name.partition(".")[2] for name in names if name.split(".")[0] == "radbook"}
    assert ours <= MAY_IMPORT[module]


def public_objects():
    for module in MAY_IMPORT:
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


@pytest.mark.parametrize("module", MAY_IMPORT)
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


def test_everything_exported_is_there():
    assert all(hasattr(radbook, name) for name in radbook.__all__)
    assert list(radbook.__all__) == sorted(radbook.__all__)

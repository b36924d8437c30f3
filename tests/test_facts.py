"""Facts that are written in several files agree: the repository's address, the version, bounds and pins."""

import re
import subprocess
from pathlib import Path

import pytest
import tomllib
import yaml

import radbook

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Every text file that is ours, by its path."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = [ROOT / name for name in listed if not name.startswith("book/_static/mathjax")]
    contents = {str(path.relative_to(ROOT)): path.read_bytes() for path in ours if path.is_file()}
    return {name: content.decode() for name, content in contents.items() if b"\0" not in content}


def test_one_address(texts):
    owner, name = REPOSITORY.removeprefix("https://github.com/").split("/")
    address = re.compile(rf"github\.com[/:]([\w.-]+)/{name}\b|([\w-]+)\.github\.io/{name}\b")
    assert {(m[1] or m[2]) for text in texts.values() for m in address.finditer(text)} == {owner}
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["repository"]["url"] == REPOSITORY
    assert config["html"]["baseurl"] == f"https://{owner}.github.io/{name}/"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == REPOSITORY


def test_one_version(texts):
    version = PROJECT["version"]
    assert radbook.__version__ == version
    assert yaml.safe_load(texts["CITATION.cff"])["version"] == version
    assert re.findall(r"^## ([\d.]+)", texts["CHANGELOG.md"], flags=re.MULTILINE)[0] == version
    assert {m for text in texts.values() for m in re.findall(r"radbook@v(\d[\w.]*\w)", text)} <= {version}


def test_lower_bounds_agree():
    conda = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    bounds = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in PROJECT["dependencies"])
    bounds["python"] = PROJECT["requires-python"].removeprefix(">=")
    wanted = {conda.get(name, name): bound for name, bound in bounds.items()}
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    stated = dict(line.split(">=") for line in environment if isinstance(line, str) and ">=" in line)
    assert wanted.items() <= stated.items()


def test_everything_installed_is_pinned(texts):
    pins = dict(line.split("==") for line in texts["constraints.txt"].splitlines() if not line.startswith("#"))
    required = [line for line in texts["requirements.txt"].splitlines() if line and not line.startswith("#")]
    assert {name.lower() for name in required} <= {name.lower() for name in pins}
    assert not any("+" in version for version in pins.values())
    for line in PROJECT["dependencies"]:
        name, bound = line.split(">=")
        assert name in required
        assert tuple(map(int, pins[name].split(".")[:2])) >= tuple(map(int, bound.split(".")[:2]))


def test_no_registry_is_named(texts):
    hosts = [
        ".".join(name) for name in [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("anaconda", "org")]
    ]
    assert [(path, host) for path, text in texts.items() for host in hosts if host in text] == []

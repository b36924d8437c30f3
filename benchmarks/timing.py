"""Tasks that take turns in one run, compared by ratios, and where the results are kept."""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

STORE = Path(__file__).parents[1] / "book/speed.json"
#: A task shorter than this (seconds) is repeated within one measurement.
SHORTEST = 0.002
#: A task shorter than this (seconds) is done once more before each measurement, which then finds memory, caches and
#: threads as this task leaves them, and not as the one before it.
SHORT = 3


@dataclass(frozen=True)
class Task:
    """Something to be timed.

    Attributes:
        name: what the tables call it.
        call: does it once.
        kind: "radbook", "peer" (another way of doing the same), "part" (of what radbook does, or a variant), or
            "yardstick" (other work, to compare with).
    """

    name: str
    call: Callable[[], object]
    kind: str = "peer"


@dataclass(frozen=True)
class Row:
    """How long a task took: seconds (median), and quartiles of its ratio to the first task of the table, per round."""

    name: str
    kind: str
    seconds: float
    ratio: tuple[float, float, float]


def synchronise() -> None:
    """Wait until the GPU, if there is one, has nothing left to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def stopwatch(call: Callable[[], object], times: int) -> float:
    """Seconds for one of several calls in a row."""
    synchronise()
    start = time.perf_counter()
    for _ in range(times):
        call()
    synchronise()
    return (time.perf_counter() - start) / times


def compare(tasks: list[Task], rounds: int = 15, warm_up: int = 3) -> list[Row]:
    """Time tasks in turn, round after round, so that a slow moment of the machine meets all of them alike."""
    fastest = {task.name: math.inf for task in tasks}
    for _ in range(warm_up):
        for task in tasks:
            fastest[task.name] = min(fastest[task.name], stopwatch(task.call, 1))
    times = {name: max(1, math.ceil(SHORTEST / seconds)) for name, seconds in fastest.items()}
    gc.collect()
    taken: dict[str, list[float]] = {task.name: [] for task in tasks}
    for _ in range(rounds):
        for task in tasks:
            if fastest[task.name] < SHORT:
                task.call()
            taken[task.name].append(stopwatch(task.call, times[task.name]))
    first = taken[tasks[0].name]
    rows = []
    for task in tasks:
        ratios = [t / base for t, base in zip(taken[task.name], first, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        rows.append(Row(task.name, task.kind, statistics.median(taken[task.name]), (middle, low, high)))
    return rows


def processor(device: torch.device) -> str:
    """What the times are of."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        model = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].split("\n")[0]
    except (OSError, IndexError):
        model = platform.processor() or platform.machine()
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"


def setting(device: torch.device) -> str:
    """The name of a run: results of another run with the same name are replaced."""
    if device.type != "cpu":
        return device.type
    threads = torch.get_num_threads()
    pages = ", large pages" if os.environ.get("THP_MEM_ALLOC_ENABLE") == "1" else ""
    return f"{threads} thread" + "s" * (threads > 1) + pages


def show(title: str, rows: list[Row]) -> None:
    """Print a table."""
    ours = next(row.ratio[0] for row in rows if row.kind == "radbook")
    print(f"\n{title}\n    {'':40}{'ms':>10}   {'over the first':>22}   over radbook", flush=True)
    for row in rows:
        middle, low, high = row.ratio
        spread = f"{middle:.3g} ({low:.3g} to {high:.3g})"
        print(f"    {row.name:40}{1e3 * row.seconds:10.4g}   {spread:>22}   {middle / ours:.3g}", flush=True)


def keep(device: torch.device, part: str, name: str, result: dict[str, Any]) -> None:
    """Add a result to the file; everything else in it stays. Called after every table, so nothing is lost.

    Args:
        device: where the tasks ran.
        part: "tables" or "growth".
        name: of the table.
        result: what the file will hold under this name.
    """
    kept = json.loads(STORE.read_text()) if STORE.exists() else {}
    run = kept.setdefault(setting(device), {"tables": {}, "growth": {}})
    where = f"{processor(device)}; Python {platform.python_version()}, torch {torch.__version__}"
    run[part][name] = {"where": where, **result}
    STORE.write_text(json.dumps(kept, indent=1) + "\n")


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows with three digits, more than the machine can repeat."""
    digits = [asdict(row) for row in rows]
    for row in digits:
        row["seconds"] = float(f"{row['seconds']:.3g}")
        row["ratio"] = [float(f"{r:.3g}") for r in row["ratio"]]
    return digits

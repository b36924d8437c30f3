"""Timings side by side: tasks that take turns in one run, compared by ratios."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import torch


def heading(device: torch.device) -> None:
    """Print versions, device and threads, and what the columns of :func:`ratios` are."""
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    print("times over those of the first line: ratio of medians [its quartiles], ratio of minima; then the median")


def ratios(tasks: dict[str, Callable[[], object]], repeats: int = 15, warm_up: int = 3) -> None:
    """Time tasks in turn, and print each one's times over the median and the minimum of the first one's."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(warm_up + repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - start)
    first = next(iter(taken.values()))[warm_up:]
    typical, least = statistics.median(first), min(first)
    for name, times in taken.items():
        low, middle, high = (t / typical for t in statistics.quantiles(times[warm_up:], n=4))
        spread = f"{middle:8.2f}   [{low:.2f}, {high:.2f}]   {min(times[warm_up:]) / least:8.2f}"
        print(f"    {name:34}{spread}   {1e3 * typical * middle:10.2f} ms")

"""Time the package beside peers and yardsticks: `python benchmarks [name ...] [--threads 1 2]`.

Every result is printed and kept in book/speed.json as soon as it is there; the book shows them. Ratios are what
counts: seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
from growth import growths
from tables import tables
from timing import as_json, compare, keep, processor, setting, show

from radbook import pick_device


def measure(name: str, device: torch.device) -> None:
    """The table or the plot of this name."""
    print(f"\n{setting(device)}: {processor(device)}, torch {torch.__version__}")
    for title, make, rounds in [found for key, *found in tables(device) if key == name]:
        tasks = make()
        rows = compare(tasks, rounds, warm_up=3 if rounds > 5 else 1)
        show(f"{name}: {title}", rows)
        keep(device, "tables", name, {"title": title, "rows": as_json(rows)})
    for growth in [found for found in growths(device) if found.name == name]:
        lines: dict[str, dict] = {}
        for size in growth.sizes:
            rows = compare(growth.tasks(size), growth.rounds)
            show(f"{name}: {growth.title}, {growth.along} = {size}", rows)
            for row in as_json(rows):
                line = lines.setdefault(row["name"], {"kind": row["kind"], "sizes": [], "seconds": []})
                line["sizes"].append(size)
                line["seconds"].append(row["seconds"])
        keep(device, "growth", name, {"title": growth.title, "along": growth.along, "lines": lines})


def main() -> None:
    """Read the arguments and measure; each table in a process of its own, as memory that one leaves helps another."""
    device = pick_device()
    known = [name for name, *_ in tables(device)] + [growth.name for growth in growths(device)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=known, help=f"what to measure; all if nothing is named: {known}")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2] if device.type == "cpu" else [1])
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(known)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    jobs = [(threads, name) for threads in arguments.threads for name in arguments.names]
    if len(jobs) == 1 and os.environ.get("OMP_NUM_THREADS") == str(jobs[0][0]):
        ((threads, name),) = jobs
        torch.set_num_threads(threads)
        try:
            measure(name, device)
        except ImportError as error:
            print(f"left out: {name} ({error}; the extra 'equivariant' has it); what is stored of it stays")
        return
    failed = []
    for threads, name in jobs:
        command = [sys.executable, str(Path(__file__).parent), name, "--threads", str(threads)]
        if subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}).returncode:
            failed.append(f"{name} with {threads} threads")
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()

"""Run the experiments of the book in full and store their results in the package.

    python tools/full_run.py [--store FILE] [--only NAME ...]

Every finished trial is kept in FILE, so a run that was stopped (Ctrl-C) goes on where it was; trials of other settings
are not taken. When the protocols that were asked for are complete, they replace theirs in ``radbook/results.json``.
What is stored there of other protocols is kept if its settings are still the same, and dropped if not. All of them
take about two hours on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from radbook import experiments, relocation
from radbook.experiments import Protocol, Result, summary

RESULTS = Path(__file__).parents[1] / "radbook/results.json"
COMMAND = "python tools/full_run.py"
#: Those of the two chapters with experiments.
PROTOCOLS: Mapping[str, Protocol] = {**experiments.PROTOCOLS, **relocation.PROTOCOLS}


def run(name: str, store: Path) -> list[Result]:
    """All trials of one protocol, on one thread; each protocol has a file of its own."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # Adam's averages of zero gradients would become denormal, and slow
    print(f"{name}: started", flush=True)
    return PROTOCOLS[name].results(full=True, name=name, store=store.with_suffix(f".{name.replace(' ', '-')}.jsonl"))


def complete(results: Mapping[str, list[Result]]) -> bool:
    """Whether none of these protocols lacks a trial."""
    return all(
        len(trials) == PROTOCOLS[name].trials and not any(r.get("interrupted") for r in trials)
        for name, trials in results.items()
    )


def merged(new: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """New results and the stored ones whose settings and number of trials are still those of their protocols."""
    result: dict[str, Any] = {}
    for name, protocol in PROTOCOLS.items():
        old = stored.get(name, {"settings": None, "trials": []})
        if name in new:
            result[name] = new[name]
        elif old["settings"] == protocol.described(full=True) and len(old["trials"]) == protocol.trials:
            result[name] = old
    return result


def main() -> int:
    """Run what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("_build/full_run"), help="where finished trials are kept")
    parser.add_argument("--only", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2, help="protocols run at a time (default 2)")
    arguments = parser.parse_args()
    arguments.store.parent.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    results: dict[str, list[Result]] = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        jobs = {pool.submit(run, name, arguments.store): name for name in arguments.only}
        for job in as_completed(jobs):
            results[jobs[job]] = job.result()
            print(f"{jobs[job]}: {len(results[jobs[job]])} trials", flush=True)
    if not complete(results):
        print("not all trials are there: nothing is written")
        return 1
    stored = json.loads(RESULTS.read_text())["protocols"] if RESULTS.exists() else {}
    protocols = merged(summary(PROTOCOLS, results), stored)
    content = {"command": COMMAND, "machine": "two CPU cores, one thread for each run", "protocols": protocols}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    missing = [name for name in PROTOCOLS if name not in protocols]
    print(f"written: {RESULTS}" + (f"; not there: {', '.join(missing)}" if missing else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Run the chapters and store their outputs, the same bytes for the same results.

    python tools/execute.py [--refresh] [NOTEBOOK ...]
    python tools/execute.py --try-on cuda [NOTEBOOK ...]

Without names every notebook under ``book`` is run, two at a time. A cell tagged ``nbval-ignore-output`` (a time, a
device) keeps the output it has until its code, or code before it, changes; ``--refresh`` measures it again. A
notebook is written only when all its cells ran and none wrote to stderr; otherwise it stays as it was. With the
outputs goes a record of the run (date, time, versions, a hash of the code) into ``book/status.json``; as long as the
record is of the stored code and the outputs come out the same, it stays.

``--try-on`` runs on another device and stores no outputs: it compares the texts with the stored ones. When all
notebooks pass, the date and the device are recorded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from copy import deepcopy
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode

KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
METADATA = {**KERNEL, "language_info": {"name": "python"}}
VOLATILE = "nbval-ignore-output"
STAMP = "code_hash"  # of the code that made a volatile cell's stored output
KEPT_METADATA = {"tags", "mystnb", STAMP}
STATUS = Path("book/status.json")
# One thread adds in one order; the rest fixes the device, the order of sets, the dates in SVG and inline figures.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "0",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "RADBOOK_DEVICE": "cpu",
}


T = TypeVar("T")


class NotebookError(Exception):
    """A notebook that does not run cleanly; the message names the cell."""


def digest(*sources: str) -> str:
    """A short hash."""
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:12]


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def code_hash(notebook: NotebookNode) -> str:
    """The hash of all code of a notebook."""
    return digest(*(cell.source for cell in notebook.cells if cell.cell_type == "code"))


def code_stamps(notebook: NotebookNode) -> dict[int, str]:
    """For each volatile cell, by position, the hash of the notebook's code up to and with it."""
    code = [(i, cell.source) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    return {
        index: digest(*(source for _, source in code[: position + 1]))
        for position, (index, _) in enumerate(code)
        if VOLATILE in tags(notebook.cells[index])
    }


def normalise(notebook: NotebookNode) -> NotebookNode:
    """A copy with fixed metadata, cell ids made from the source, and neighbouring stream outputs joined."""
    notebook = deepcopy(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(METADATA)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        name = digest(cell.cell_type, cell.source)
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT_METADATA})
        if cell.cell_type == "code":
            cell.outputs = joined_streams(cell.outputs)
    return notebook


def joined_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs with neighbouring pieces of one stream joined: where the kernel cut them is chance."""
    result: list[NotebookNode] = []
    for output in outputs:
        last = result[-1] if result else None
        if output.output_type == "stream" and last and last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def to_bytes(notebook: NotebookNode) -> bytes:
    """What the file of a notebook holds."""
    nbformat.validate(notebook)
    return (nbformat.writes(notebook) + "\n").encode()


def run(notebook: NotebookNode, folder: Path, timeout: int) -> NotebookNode:
    """Execute a copy of ``notebook`` in ``folder``; raise NotebookError naming the first cell that is at fault."""
    result = deepcopy(notebook)
    for cell in result.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    current = [-1]

    def note(cell: NotebookNode, cell_index: int) -> None:
        current[0] = cell_index

    client = NotebookClient(
        result,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # no kernel's warning that its TCP is not encrypted
        timeout=timeout,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=note,
    )
    try:
        client.execute()
    except (CellControlSignal, DeadKernelError, TimeoutError) as error:
        raise NotebookError(describe(result, current[0], str(error))) from None
    for index, cell in enumerate(result.cells):
        text = "".join(o.text for o in cell.get("outputs", []) if o.output_type == "stream" and o.name == "stderr")
        if text:
            raise NotebookError(describe(result, index, f"wrote to stderr:\n{text}"))
    return result


def describe(notebook: NotebookNode, index: int, reason: str) -> str:
    """The reason with the cell it concerns."""
    first_line = notebook.cells[index].source.strip().partition("\n")[0]
    return f"cell {index} ({first_line!r}): " + re.sub(r"\x1b\[[0-9;]*m", "", reason).strip()


def execute(path: Path, refresh: bool = False, timeout: int = 600) -> bool:
    """Run one notebook file and store its outputs; return whether its bytes changed."""
    old_bytes = path.read_bytes()
    old = nbformat.reads(old_bytes.decode(), as_version=4)
    new = run(old, path.parent, timeout)
    for index, stamp in code_stamps(new).items():
        if not refresh and old.cells[index].outputs and old.cells[index].metadata.get(STAMP) == stamp:
            new.cells[index].outputs = old.cells[index].outputs
        new.cells[index].metadata[STAMP] = stamp
    new_bytes = to_bytes(normalise(new))
    if new_bytes == old_bytes:
        return False
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".ipynb", delete=False) as file:
        file.write(new_bytes)
    Path(file.name).chmod(path.stat().st_mode)
    Path(file.name).replace(path)
    return True


def compare(path: Path, timeout: int = 600) -> None:
    """Run one notebook file; raise NotebookError when a text that nbval compares is not the stored one."""
    old = nbformat.read(path, as_version=4)
    new = normalise(run(old, path.parent, timeout))
    for index, (before, after) in enumerate(zip(old.cells, new.cells, strict=True)):
        if VOLATILE not in tags(before) and texts(before) != texts(after):
            raise NotebookError(describe(old, index, f"gave\n{texts(after)}\ninstead of\n{texts(before)}"))


def texts(cell: NotebookNode) -> str:
    """What a cell printed, and the values it stored or ended with."""
    outputs = cell.get("outputs", [])
    values = [value for o in outputs for kind, value in o.get("data", {}).items() if not kind.startswith("image/")]
    return "".join([*(output.get("text", "") for output in outputs), *values])


def timed(work: Callable[[Path], T], path: Path) -> tuple[T, float]:
    """What the work on one notebook returns, and the seconds it took."""
    start = time.perf_counter()
    return work(path), time.perf_counter() - start


def record(code: str, seconds: float) -> dict[str, Any]:
    """What the page on the state of the chapters says of a run that has just ended."""
    packages = {name: version(name).partition("+")[0] for name in ("torch", "numpy", "radbook")}
    return {
        "code": code,
        "date": today(),
        "seconds": round(seconds),
        "device": f"{os.environ['RADBOOK_DEVICE']}, {platform.machine()}",
        "versions": {"python": platform.python_version(), **packages},
    }


def store(status: dict[str, Any]) -> None:
    """Write the record; after every notebook, so that an interrupted run loses none."""
    STATUS.write_text(json.dumps(status, indent=1, sort_keys=True) + "\n")


def today() -> str:
    """The date in Greenwich."""
    return datetime.now(timezone.utc).date().isoformat()


def main() -> int:
    """Run the notebooks named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all under book")
    parser.add_argument("--refresh", action="store_true", help=f"store new outputs of {VOLATILE} cells too")
    parser.add_argument("--try-on", metavar="DEVICE", help="run on this device, and only compare")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks run at a time (default 2)")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted(p for p in Path("book").rglob("*.ipynb") if not p.name.startswith("."))
    os.environ.update(ENVIRONMENT)
    if arguments.try_on:
        os.environ["RADBOOK_DEVICE"] = arguments.try_on
    work = compare if arguments.try_on else partial(execute, refresh=arguments.refresh)
    status = json.loads(STATUS.read_text())
    failed = 0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        jobs = {pool.submit(timed, work, path): path for path in paths}
        for done, job in enumerate(as_completed(jobs), start=1):
            path = jobs[job]
            try:
                changed, seconds = job.result()
                line = f"{'stored' if changed else 'unchanged'} {path} ({seconds:.0f} s)"
                code, page = code_hash(nbformat.read(path, as_version=4)), path.with_suffix("").as_posix()
                old = status["chapters"].get(page, {})
                if not arguments.try_on and (changed or arguments.refresh or old.get("code") != code):
                    status["chapters"][page] = record(code, seconds)
                    store(status)
            except Exception as error:
                failed += 1
                line = f"FAILED {path}, left as it was: {error or repr(error)}"
            print(f"[{done}/{len(paths)}] {line}", flush=True)
    if arguments.try_on and not arguments.notebooks and not failed:
        status["tried"][arguments.try_on] = today()
        store(status)
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())

"""Settings of every test run, and a plain word on what a run leaves out."""

import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# No test depends on time; on a build server the examples are the same every time.
settings.register_profile("book", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("book")


def left_out(reasons: Counter[str]) -> str:
    """One line that says which tests did not run, and why."""
    parts = [f"{count} x {reason}" for reason, count in sorted(reasons.items())]
    if not torch.cuda.is_available():
        parts.append("everything on a GPU (there is none)")
    return "left out: " + ("; ".join(parts) if parts else "nothing")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was left out, and keep it for the last line of ``make test``."""
    skipped = terminalreporter.stats.get("skipped", [])
    line = left_out(Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped))
    terminalreporter.write_line(line)
    folder = Path(config.rootpath, "_build")
    folder.mkdir(exist_ok=True)
    folder.joinpath("tested.txt").write_text(f"{len(terminalreporter.stats.get('passed', []))} tests passed; {line}\n")

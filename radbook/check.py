"""Answer checkers for the exercises: each takes a reader's answer and says whether it is right, with a hint if not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The result of a check: true when the answer is right; its text holds a hint when it is not."""

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"Right: {self.message}" if self.passed else f"Not yet. Hint: {self.message}"


def verdict(answer: Callable[[], str | None], praise: str) -> Verdict:
    """Run a check and make its result, or the error it raised, a verdict.

    Args:
        answer: returns a hint, or None when the reader's answer is right.
        praise: what to say when it is right.
    """
    try:
        hint = answer()
    except Exception as error:
        return Verdict(False, f"your answer raised {type(error).__name__}: {error}")
    return Verdict(True, praise) if hint is None else Verdict(False, hint)

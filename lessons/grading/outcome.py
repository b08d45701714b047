"""What running a submission on one case ends in: an answer, or a reason why there is none."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias


class Answered(NamedTuple):
    """The submission returned.

    Attributes:
        answer: what the task's driver makes of it, see drivers.py.
    """

    answer: dict[str, Any]


class Stopped(NamedTuple):
    """The submission gave no answer.

    Attributes:
        status: error, timeout, memory, crashed, forbidden, not_started or missing.
        message: for an error "ValueError: the text", else a sentence.
        line: the line of the submission it was in, if that is known.
    """

    status: str
    message: str
    line: int | None = None

    @property
    def exception(self) -> str:
        """Returns the exception's type for an error, else the status."""
        return self.message.partition(":")[0].strip() if self.status == "error" else self.status


Outcome: TypeAlias = Answered | Stopped

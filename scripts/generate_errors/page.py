"""Writes docs/errors.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from definitions import Contract, Reason
from tree import FAMILIES

_INTRODUCTION: Final = Path(__file__).with_name("introduction.md")


def reference(contract: Contract) -> str:
    tables = [
        _table(code, [reason for reason in contract.reasons if reason.code == code])
        for code in FAMILIES
    ]
    introduction = _INTRODUCTION.read_text(encoding="utf-8")
    return "\n".join([introduction, *tables, _next_actions(contract)])


def _table(code: str, reasons: Iterable[Reason]) -> str:
    head = _row("Reason", "HTTP", "Retryable", "Next action", "Meaning", "Message")
    rows = [
        _row(
            # The place that the link of `google.rpc.Help` leads to.
            f'<a id="{reason.name}"></a>`{reason.name}`',
            str(reason.http_status),
            "yes" if reason.retryable else "no",
            f"`{reason.next_action}`",
            reason.comment,
            reason.message,
        )
        for reason in reasons
    ]
    return f"## {code}\n\n{head}|---|--:|---|---|---|---|\n" + "".join(rows)


def _next_actions(contract: Contract) -> str:
    used = {reason.next_action for reason in contract.reasons}
    rows = [
        _row(f"`{name}`", comment)
        for name, comment in contract.next_actions.items()
        if name in used
    ]
    return "## Next actions\n\n" + _row("Next action", "Meaning") + "|---|---|\n" + "".join(rows)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"

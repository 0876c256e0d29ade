"""Plots the targets as bars on one scale, as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from bench.report import Target, bound_text, found_text

_WIDTH, _LABELS, _FIGURES, _ROW, _BAR, _TOP = 1060, 500, 190, 26, 14, 44
_SPAN: Final = _WIDTH - _LABELS - _FIGURES
_MOST: Final = 2.0
_MET, _MISSED, _TEXT, _LINE = "#2f7d4f", "#b5542b", "#24292f", "#8c959f"
_STYLE: Final = (
    "<style>text{font:13px system-ui,sans-serif;fill:" + _TEXT + "}.small{font-size:11px}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>"
)


def plot(targets: Sequence[Target]) -> str:
    """Draws a bar per measured target: 1 is the target, longer is better, cut off at 2."""
    measured = [target for target in targets if target.found is not None]
    height = _TOP + _ROW * len(measured) + 8
    rows = "".join(_row(target, _TOP + _ROW * n) for n, target in enumerate(measured))
    mark = _LABELS + _SPAN / _MOST
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Targets and what was reached">'
        f"{_STYLE}"
        f'<text x="0" y="18">How much of each target was reached; longer is better.</text>'
        f'<text class="small" x="{mark}" y="34" text-anchor="middle">target</text>{rows}'
        f'<line x1="{mark}" x2="{mark}" y1="{_TOP - 6}" y2="{height - 4}" stroke="{_LINE}"'
        ' stroke-dasharray="4 3"/></svg>\n'
    )


def _row(target: Target, y: int) -> str:
    length = max(min(_reached(target), _MOST) / _MOST * _SPAN, 1)
    colour = _MET if target.is_met else _MISSED
    base = y + _BAR - 2
    figures = f"{found_text(target).partition(' (')[0]}, {bound_text(target)}"
    return (
        f'<text x="{_LABELS - 8}" y="{base}" text-anchor="end">{escape(target.figure)}</text>'
        f'<rect x="{_LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>'
        f'<text class="small" x="{_WIDTH - _FIGURES + 8}" y="{base}">{escape(figures)}</text>'
    )


def _reached(target: Target) -> float:
    """1 is the target; inverted for figures that should be small."""
    assert target.found is not None
    if target.at_most:
        return target.bound / target.found.value if target.found.value > 0 else _MOST
    return target.found.value / target.bound

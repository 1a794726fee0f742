"""A lane of doubt as SVG for the report: worse is higher, as on the timeline."""

from __future__ import annotations

from html import escape
from itertools import groupby

HEIGHT = 30
COLOURS = ((7, "#d55e00"), (4, "#e69f00"), (1, "#56b4e9"))
"""From which level on which colour: Okabe and Ito's, as on the timeline (assets/confidence.js)."""


def lane_svg(levels: str, name: str) -> str:
    """`levels`: a character a frame, 0 … 9, or - where nothing was measured (engine/quality.py)."""
    bars, start = [], 0
    for level, group in groupby(levels):
        length = len(list(group))
        if level.isdigit() and level != "0":
            height = HEIGHT * int(level) / 9
            colour = next(colour for least, colour in COLOURS if int(level) >= least)
            bars.append(f'<rect x="{start}" y="{HEIGHT - height:.1f}" width="{length}" height="{height:.1f}" fill="{colour}"/>')
        start += length
    known = [int(one) for one in levels if one.isdigit()]
    said = f"{name}: worst level {max(known, default=0)} of 9, {sum(one >= 5 for one in known)} frames at 5 or more"
    line = f'<line x1="0" x2="{len(levels)}" y1="{HEIGHT}" y2="{HEIGHT}" stroke="currentColor" stroke-width="0.5"/>'
    box = f'viewBox="0 0 {max(1, len(levels))} {HEIGHT + 1}" preserveAspectRatio="none" style="height:3rem"'
    return f'<svg {box} role="img" aria-label="{escape(said, quote=True)}">{"".join(bars)}{line}</svg>'

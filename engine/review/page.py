"""The report as one HTML page that needs nothing else: no script, no address, readable in light and dark, and printed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from engine.review.drawing import lane_svg
from engine.types import FrameIndex

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; vertical-align: top; }
tr + tr td, thead th { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
.seal { border: 1px solid; border-left-width: .5rem; border-radius: .3rem; padding: .5rem .8rem; margin: .5rem 0; }
.holds { border-color: #1f9d3a; } .fails { border-color: #d55e00; } .open { border-color: #888; }
small { opacity: .75; } svg { width: 100%; height: auto; display: block; } code { font-size: .85em; overflow-wrap: anywhere; }
figure { display: inline-block; margin: .4rem .6rem .4rem 0; width: 14rem; }
img { width: 100%; } figcaption { font-size: .85rem; }
details { margin: .5rem 0; }
"""
SHAPES = {"severe": "▲", "doubtful": "◆", "note": "●"}


def report_page(body: Mapping[str, Any], pictures: Mapping[FrameIndex, bytes] | None = None) -> str:
    """The page. `body`: of `report_body`, or a report of a run; `pictures`: JPEGs of frames that problems are about.

    Every name that a user gave is escaped.
    """
    title = escape(str(body.get("project", "Anchorline")))
    parts = [
        _head(body),
        _seals(body.get("certificates") or {}),
        _problems(body.get("problems") or [], pictures or {}),
        _lanes(body),
        "".join(_edit(one) for one in body.get("edits") or []),
        _proofs(body.get("frame_proofs") or []),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title} – report</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{"".join(parts)}</body></html>\n'
    )


def _head(body: Mapping[str, Any]) -> str:
    clip = body.get("clip") or {}
    said = [f"{clip['width']}×{clip['height']}, {clip['frames']} frames at {escape(str(clip['rate']))} a second"] if clip else []
    if body.get("range"):
        start, stop = body["range"]
        said.append(f"frames {start} to {stop - 1} are in the range")
    if "seconds" in body:
        said.append(f"{sum(body['seconds'].values()):.1f} s of work")
    for warning in body.get("warnings") or []:
        said.append(escape(str(warning)))
    return f"<h1>{escape(str(body.get('project', 'Anchorline')))}</h1><p>{'<br>'.join(said)}</p>"


def _seals(told: Mapping[str, Any]) -> str:
    if not told:
        return ""
    region, anchors = told["region"], told["anchors"]
    frames = f"{region['frames']} frames, measured from the rendered files before encoding"
    outside = f"largest change outside the region: {region['max_abs_outside']} levels ({frames})"
    exact = f"largest difference to an approved take: {anchors['max_abs']} levels (at {len(anchors['frames'])})"
    lines = [
        _seal(region["holds"], "Nothing outside the region changed", "Something outside the region changed", outside),
        _seal(anchors["holds"], "Approved anchors came out exactly", "An approved anchor came out changed", exact),
    ]
    rest = told["segments_without_proof"] + told["segments_not_rendered"]
    note = f"<p><small>{rest} segments are not rendered or not proved.</small></p>" if rest else ""
    return f"<h2>Certificates</h2>{''.join(lines)}{note}"


def _seal(holds: bool | None, yes: str, no: str, figure: str) -> str:
    states = {
        None: ("open", "–", f"Not measured yet: {yes[0].lower()}{yes[1:]}"),
        True: ("holds", "✓", yes),
        False: ("fails", "✗", no),
    }
    kind, mark, said = states[holds]
    told = f"<br><small>{figure}</small>" if holds is not None else ""
    return f'<div class="seal {kind}"><b>{mark} {said}</b>{told}</div>'


def _problems(problems: list[Mapping[str, Any]], pictures: Mapping[FrameIndex, bytes]) -> str:
    if not problems:
        return "<h2>Problems</h2><p>No measure says that anything is wrong.</p>"
    rows = "".join(
        f"<tr><td>{SHAPES[one['level']]} {one['level']}</td><td>{_place(one)}</td><td>{escape(one['sentence'])}</td></tr>"
        for one in problems
    )
    shown = "".join(
        f'<figure><img alt="Frame {frame}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        f"<figcaption>frame {frame}</figcaption></figure>"
        for frame, jpeg in pictures.items()
    )
    head = "<thead><tr><th>How bad</th><th>Where</th><th>What</th></tr></thead>"
    return f"<h2>Problems</h2><table>{head}<tbody>{rows}</tbody></table>{shown}"


def _place(one: Mapping[str, Any]) -> str:
    return f"{one['start']}" if one["stop"] - one["start"] == 1 else f"{one['start']}–{one['stop'] - 1}"


def _lanes(body: Mapping[str, Any]) -> str:
    lanes = body.get("lanes") or {}
    named = [("All together", lanes.get("worst")), ("The edit", lanes.get("doubt")), ("No anchor saw", lanes.get("unseen"))]
    named += [(f"Mask {one}", text) for one, text in (lanes.get("masks") or {}).items()]
    named += [(f"Points {one}", text) for one, text in (lanes.get("points") or {}).items()]
    shown = [(name, text) for name, text in named if text and text.strip("-")]
    if not shown:
        return ""
    drawn = "".join(f"<p><small>{escape(name)}</small>{lane_svg(text, name)}</p>" for name, text in shown)
    return f"<h2>Doubt by frame</h2><p><small>Higher is less sure.</small></p>{drawn}"


def _edit(edit: Mapping[str, Any]) -> str:
    texts = [
        f"{name.replace('_', ' ')}: “{edit[name]}”"
        for name in ("instruction", "source_prompt", "target_prompt")
        if edit.get(name)
    ]
    config = ", ".join(f"{name} = {value}" for name, value in (edit.get("config") or {}).items())
    facts = [f"method {edit['method']}", f"seed {edit['seed']}", *texts, *([config] if config else [])]
    anchors = ", ".join(f"{one['frame']}{'' if one['take'] else ' (no approved take)'}" for one in edit["anchors"]) or "none"
    rows = "".join(_segment(one) for one in edit["segments"])
    head = (
        "<thead><tr><th>Frames</th><th>Method</th><th>Least sure</th><th>Most unseen</th><th>Outside, anchors</th></tr></thead>"
    )
    said = escape("; ".join(facts))
    return f"<h2>{escape(edit['name'])}</h2><p>{said}<br>anchors: {anchors}</p><table>{head}<tbody>{rows}</tbody></table>"


def _segment(one: Mapping[str, Any]) -> str:
    cells = [f"{one['start']}–{one['stop'] - 1}", escape(one["method"])]
    if not one["rendered"]:
        return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}<td colspan=3>not rendered</td></tr>"
    sure = [float(measure["confidence"]) for measure in one["measures"] if "confidence" in measure]
    unseen = [float(measure["unseen"]) for measure in one["measures"] if "unseen" in measure]
    cells += [f"{min(sure):.0%}" if sure else "–", f"{max(unseen):.0%}" if unseen else "–"]
    cells.append(f"{one['outside_max_abs']}, {one['anchor_max_abs']}")
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _proofs(proofs: list[Mapping[str, Any]]) -> str:
    if not proofs:
        return ""
    rows = "".join(f"<tr><td>{one['frame']}</td><td><code>{one['sha256']}</code></td></tr>" for one in proofs)
    head = "<thead><tr><th>Frame</th><th>sha256 of its RGB pixels before encoding</th></tr></thead>"
    return f"<details><summary>Hash of every rendered frame</summary><table>{head}<tbody>{rows}</tbody></table></details>"

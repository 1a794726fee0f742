"""What panels say where there is nothing yet: an act for every state, each a command that the page has."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from app.panels.empty import SAMPLES, how_to_anchor, how_to_begin, how_to_export, how_to_mark, how_to_propagate, teach
from engine import acts
from engine.types import Anchor, Take
from tests.test_journal import blank

ROOT = Path(__file__).resolve().parent.parent


def runs(html: str) -> list[str]:
    return re.findall(r'data-run="([^"]+)"', html)


def with_anchor(*takes: Take):
    project = blank(20)
    return project.with_edit(replace(project.edit, anchors=(Anchor(3, takes),)))


def test_each_state_offers_the_next_act() -> None:
    empty = blank(20)
    assert runs(how_to_mark(empty, 0, 0)) == ["tool:point", "tool:box", "tool:brush"]
    assert runs(how_to_anchor(empty, 3)) == ["addAnchor"]
    assert runs(how_to_anchor(with_anchor(), 3))[0] == "control:make-take"
    assert runs(how_to_anchor(with_anchor(), 4)) == ["addAnchor", "goAnchor:1"]
    take = Take("k", "effect", "blur", 0, {})
    assert how_to_anchor(with_anchor(take), 3) == ""
    assert runs(how_to_propagate(empty)) == ["control:Anchors"]
    assert runs(how_to_propagate(with_anchor(take)))[0] == "goFrame:3"
    assert "run" in runs(how_to_export(False)) and "control:export" in runs(how_to_export(True))
    assert "tour" in runs(how_to_begin(SAMPLES[0])) and how_to_begin("abcdefabcdef") == ""


def test_marking_leads_on_to_the_anchor() -> None:
    project = acts.add_subject(blank(20), name="bag")
    subject = project.subjects[-1].id
    marked = acts.set_box(project, frame=2, subject=subject, box=[1, 1, 9, 9])
    assert "not marked" in how_to_mark(acts.add_subject(marked, name="hat"), 2, subject + 1)
    assert runs(how_to_mark(marked, 2, subject)) == ["addAnchor"]
    assert "correct it" in how_to_mark(marked, 3, subject)


def test_texts_are_escaped() -> None:
    assert "<b>" not in teach("<b>", ("<i>", 'x"y'))


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=lambda path: path.name)
def test_every_act_offered_is_a_command_of_the_page(path: Path) -> None:
    commands = (ROOT / "assets" / "commands.js").read_text("utf-8")
    named = re.findall(r'"(tool|goAnchor|goFrame|control|addAnchor|run|tour):?[\w-]*"\)', path.read_text("utf-8"))
    assert all(re.search(rf"^  (async )?{name}[:(]", commands, re.M) for name in named)

"""What a panel says where there is nothing yet: the next act, with a button for it."""

from __future__ import annotations

import html

from engine import Project


def teach(sentence: str, *acts: tuple[str, str]) -> str:
    """The sentence with a button for each act: its words, and the command that it runs ("tool:point", "control:approve";
    see assets/commands.js). `sentence` is text, not HTML."""
    buttons = "".join(
        f'<button type="button" class="al-do" data-run="{html.escape(command)}">{html.escape(label)}</button>'
        for label, command in acts
    )
    return f'<div class="al-teach"><span>{html.escape(sentence)}</span>{buttons}</div>'


SAMPLES = ("5a3b1e000001", "5a3b1e000002")
"""The ids of the projects that come with the editor (app/store.py)."""


def how_to_begin(identity: str) -> str:
    """No clip of one's own is open yet; "" where one is."""
    if identity not in SAMPLES:
        return ""
    return teach(
        "This is a sample. Open a clip of your own, or see the way on this one.",
        ("Upload a clip", "control:upload"),
        ("Take the tour", "tour"),
    )


def how_to_mark(project: Project, frame: int, subject: int) -> str:
    """The next act of marking."""
    if not project.keyframes:
        return teach(
            "Nothing is marked yet. Click on what you want to change (right click: what is not part of it), draw a box round "
            "it, or paint it.",
            ("Click on it", "tool:point"),
            ("Draw a box", "tool:box"),
            ("Paint it", "tool:brush"),
        )
    if not any(key.subject == subject for key in project.keyframes):
        return teach("This subject is not marked anywhere yet. Click on it in the picture.", ("Click on it", "tool:point"))
    if not any(key.subject == subject and key.frame == frame for key in project.keyframes):
        return teach("The mask is carried through the shot by itself. Where it is wrong, correct it on that frame: a click does.")
    if not project.edit.anchors:
        return teach("Marked. Next: make a frame that shows it well an anchor.", ("Make this frame an anchor", "addAnchor"))
    return teach("The mask is carried through the shot by itself; look through the clip, and correct it where it is wrong.")


def how_to_anchor(project: Project, frame: int) -> str:
    """The next act on the takes of this frame; "" where its anchor has takes."""
    anchor = project.edit.anchor_at(frame)
    if anchor is not None and anchor.takes:
        return ""
    if anchor is None and not project.edit.anchors:
        said = "An anchor is a frame with an edited picture, which the clip follows. Take one that shows the subject well."
        return teach(said, ("Make this frame an anchor", "addAnchor"))
    if anchor is None:
        return teach("This frame is not an anchor.", ("Make it one", "addAnchor"), ("Go to the next anchor", "goAnchor:1"))
    return teach(
        "No take yet: choose an effect below, paint over the picture, or take a picture that you edited elsewhere.",
        ("Make a take by the effect", "control:make-take"),
        ("Paint", "tool:paint"),
        ("Take a picture", "control:picture"),
    )


def how_to_propagate(project: Project) -> str:
    """What is missing before the edit can be carried."""
    waiting = next((anchor for anchor in project.edit.anchors if anchor.takes), None)
    if waiting is not None:
        there = (f"Go to frame {waiting.frame}", f"goFrame:{waiting.frame}")
        return teach("Approve a take first.", there, ("Open Anchors", "control:Anchors"))
    return teach("Approve a take on at least one anchor first.", ("Go to Anchors", "control:Anchors"))


def how_to_export(rendered: bool) -> str:
    """Nothing is exported yet."""
    if rendered:
        return teach("Nothing exported yet. Everything is rendered.", ("Export the clip", "control:export"))
    return teach(
        "Nothing exported yet. The export renders what is missing first.",
        ("Propagate first, to look at it", "run"),
        ("Export the clip", "control:export"),
    )

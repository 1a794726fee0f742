"""The table of what a user can do to the document: name, label for undo, key, function, and how drags merge.

The canvas sends these names to the data plane; panels use the same table. One row is all a new act needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

from engine import Project, RecipeError, acts, edit_acts, point_acts, token_acts


@dataclass(frozen=True, slots=True)
class Action:
    """One verb. `args` are the names it takes; `merge` names those that make repeated acts one item of undo."""

    label: str
    function: Callable[..., Project]
    args: frozenset[str]
    key: str = ""
    merge: tuple[str, ...] = ()
    marks: bool = False
    """Whether the act changes marks, so that carried masks may have to be made again."""


def _row(label: str, function: Callable[..., Project], args: str, **more: Any) -> Action:
    return Action(label, function, frozenset(args.split()), **more)


ACTIONS: dict[str, Action] = {
    "add_point": _row("Click", acts.add_point, "frame subject x y label", key="P", marks=True),
    "move_point": _row("Move click", acts.move_point, "frame subject index x y", merge=("frame", "subject", "index"), marks=True),
    "remove_point": _row("Remove click", acts.remove_point, "frame subject index", marks=True),
    "set_box": _row("Box", acts.set_box, "frame subject box", key="U", marks=True),
    "add_stroke": _row("Stroke", acts.add_stroke, "frame subject xy radius mode", key="B", marks=True),
    "add_lasso": _row("Lasso", acts.add_lasso, "frame subject xy mode", key="L", marks=True),
    "add_track_point": _row("Tracked point", point_acts.add_track_point, "frame subject x y", key="R", marks=True),
    "place_track_point": _row("Place tracked point", point_acts.place_track_point, "frame subject point x y seen", marks=True),
    "free_track_point": _row("Forget place of tracked point", point_acts.free_track_point, "frame subject point", marks=True),
    "remove_track_point": _row("Remove tracked point", point_acts.remove_track_point, "subject point", marks=True),
    "drop_token": _row("Remove anchor token", token_acts.drop_token, "frame x y"),
    "drag_token": _row("Drag anchor token", token_acts.drag_token, "frame x y at dx dy"),
    "keep_token": _row("Take back change of anchor token", token_acts.keep_token, "frame x y"),
    "clear_keyframe": _row("Clear marks on frame", acts.clear_keyframe, "frame subject", marks=True),
    "lock_keyframe": _row("Lock marks", acts.lock_keyframe, "frame subject locked"),
    "add_subject": _row("Add subject", acts.add_subject, "name"),
    "remove_subject": _row("Remove subject", acts.remove_subject, "subject", marks=True),
    "shape_subject": _row("Shape subject", acts.shape_subject, "subject name feather grow", merge=("subject",)),
    "add_anchor": _row("Add anchor", acts.add_anchor, "frame", key="A"),
    "add_anchors": _row("Choose anchors", acts.add_anchors, "frames"),
    "move_anchor": _row("Move anchor", acts.move_anchor, "frame to"),
    "delete_anchor": _row("Delete anchor", acts.delete_anchor, "frame", key="Delete"),
    "lock_anchor": _row("Lock anchor", acts.lock_anchor, "frame locked", key="L"),
    "delete_take": _row("Delete take", acts.delete_take, "frame key"),
    "add_edit": _row("Add edit", edit_acts.add_edit, "name"),
    "remove_edit": _row("Remove edit", edit_acts.remove_edit, "edit"),
    "rename_edit": _row("Rename edit", edit_acts.rename_edit, "edit name", merge=("edit",)),
    "move_edit": _row("Move edit", edit_acts.move_edit, "edit to"),
    "switch_edit": _row("Switch edit on or off", edit_acts.switch_edit, "edit on"),
    "aim_edit": _row("What the edit changes", edit_acts.aim_edit, "subjects"),
    "clear_segment_method": _row("Method of a segment", edit_acts.clear_segment_method, "start stop"),
    "set_range": _row("Set range", acts.set_range, "start stop", key="I O", merge=()),
    "rename": _row("Rename", acts.rename, "name", merge=("name",)),
}


def checked(name: str, args: dict[str, Any]) -> tuple[Action, dict[str, Any]]:
    """The action and its arguments. Raises RecipeError for an unknown action, an unknown or a missing argument, by name."""
    action = ACTIONS.get(name)
    if action is None:
        raise RecipeError(f"There is no action {name[:40]!r}.")
    unknown = sorted(set(args) - action.args)
    if unknown:
        raise RecipeError(f"The action {name} has no argument {unknown[0][:40]!r}.")
    needed = [
        parameter.name
        for parameter in signature(action.function).parameters.values()
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty and parameter.name not in args
    ]
    if needed:
        raise RecipeError(f"The action {name} needs the argument {needed[0]!r}.")
    return action, args


OWN_ACTS = {
    "undo": (),
    "redo": (),
    "select_subject": ("subject",),
    "choose_take": ("frame", "key"),
    "select_edit": ("edit",),
    "set_segment_method": ("start", "stop", "method", "config"),
    "use_method": ("method", "config"),
}
"""Acts that are no pure function of the document, with their arguments; they are carried out by app/session.py."""


def check_own_act(name: str, args: dict[str, Any]) -> None:
    """Raises RecipeError, by name, for an argument that an act of the session does not take, or lacks."""
    wrong = sorted(set(args) - set(OWN_ACTS[name]))
    if wrong:
        raise RecipeError(f"The action {name} has no argument {wrong[0][:40]!r}.")
    missing = [one for one in OWN_ACTS[name] if one not in args]
    if missing:
        raise RecipeError(f"The action {name} needs the argument {missing[0]!r}.")
    if not isinstance(args.get("config"), dict | None) or not isinstance(args.get("method", ""), str):
        raise RecipeError(f"The action {name} takes a method's name and its settings as an object.")

"""Takes made after others: one again with another seed, or one for every other anchor after an approved one.

A take remembers how it was made (`Take.source` and `Take.config`), and that is done again, with the masks as they are now:

    effect    the same effect with the same settings inside the frame's own mask
    method    the same method, texts, settings; after an approved take also the same seed, and that take alone as its guide
    other     paint and pictures cannot be made again; to other anchors they are carried along the motion

Nothing is approved by it: new takes lie beside those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from engine.document.project import Project
from engine.effects import EFFECTS, apply_effect, checked_config
from engine.errors import MethodError, ProjectError
from engine.media.images import decode_png, encode_png
from engine.methods import METHODS, method
from engine.methods.base import Segment
from engine.progress import Progress, Step
from engine.rendering.material import Material
from engine.rendering.nearby import nearby_of
from engine.rendering.render import carry, make_takes, read_motion, spans_to_carry
from engine.rendering.segments import shots
from engine.rendering.shots import context_of, shot_of
from engine.types import Anchor, Edit, FrameIndex, FrameRange, Take

MAKING = 1  # an effect counts as so many steps of progress
BARELY = 0.5
"""Share of a carried take that the reference did not show, above which it is said."""

Made = list[dict[str, Any]]
"""Takes whose pictures are stored: frame, key, source, label, seed and config of each."""


# --- what a take remembers --------------------------------------------------------------------------------


def how_made(take: Take) -> str:
    """How a take was made, in a few words."""
    if take.source == "effect" and take.config.get("effect") in EFFECTS:
        return EFFECTS[take.config["effect"]].title
    if take.source == "method" and take.config.get("method") in METHODS:
        return f"{METHODS[take.config['method']].title}, seed {take.seed}"
    if take.source == "carried":
        return f"Carried from frame {take.config.get('from')}"
    return {"painted": "Painted by hand", "imported": "Brought as a picture"}.get(take.source, "Made by an earlier version")


def why_not_again(take: Take) -> str:
    """A sentence where a take cannot be made again, else ""."""
    if take.source == "effect" and take.config.get("effect") in EFFECTS:
        return "" if EFFECTS[take.config["effect"]].again else "Choose the picture again to place it anew."
    if take.source == "method" and take.config.get("method") in METHODS:
        return "" if METHODS[take.config["method"]].takes else "This method makes no takes."
    if take.source == "carried":
        return "A carried take follows from its reference: use that as the reference again after changing it."
    return "Paint and pictures are not made by chance: paint again, or bring another picture."


def next_seed(anchor: Anchor, take: Take) -> int:
    """A seed that no take of the anchor was made with in the same way."""
    alike = [one.seed for one in anchor.takes if one.source == take.source]
    return 1 + max(alike, default=take.seed)


def of_order(material: Material, args: dict[str, Any], progress: Progress) -> tuple[Made, str]:
    """What a job was told to make: {"frame"} with "count" (takes by the edit's method), "again" (a take's key) or "after": true
    (a take for every other anchor). Returns the takes and what there is to say."""
    frame = args["frame"]
    if "again" in args:
        made, warnings = make_again(material, frame, args["again"], progress)
        said = f"Made another take of frame {frame}."
    elif args.get("after"):
        made, warnings = make_after(material, frame, progress)
        said = f"Made {len(made)} take{'s' * (len(made) != 1)} after frame {frame}: look at them on the contact sheet (G)."
    else:
        seeds = range(material.project.edit.seed, material.project.edit.seed + args["count"])
        made, warnings = make_takes(material, frame, seeds, progress)
        said = f"Made {len(made)} take{'s' * (len(made) != 1)} of frame {frame}."
    return made, " ".join([said, *warnings])


# --- making -----------------------------------------------------------------------------------------------


def make_again(material: Material, frame: FrameIndex, key: str, progress: Progress) -> tuple[Made, list[str]]:
    """The take `key` of an anchor again: by a method with a new seed, by an effect on the mask as it is now.

    Raises:
        ProjectError: there is no such take, the anchor is locked, it was not made by an effect or a method, or an effect comes
            out as a take that is there already.
    """
    anchor, take = _take_of(material.project, frame, key)
    if anchor.locked:
        raise ProjectError(f"Anchor {frame} is locked; unlock it on the contact sheet (G, then L) to change it.")
    why = why_not_again(take)
    if why:
        raise ProjectError(why)
    if take.source == "method":
        return _by_method(_like(material, take, material.project.edit.anchors), frame, take, next_seed(anchor, take), progress)
    row = _by_effect(material, frame, take, progress)
    if any(one.key == row["key"] for one in anchor.takes):
        raise ProjectError(
            f"{how_made(take)} draws nothing by chance: with this mask and these settings the take comes out as it is. "
            "Change a setting in the Anchors tab for another one."
        )
    return [row], []


def make_after(material: Material, reference: FrameIndex, progress: Progress) -> tuple[Made, list[str]]:
    """A take for every other anchor of the edit that is not locked, after the approved take of `reference`.

    Raises:
        ProjectError: the reference is not approved, or there is no other anchor that is not locked.
        MethodError: not one could be made; says why.
    """
    edit = material.project.edit
    anchor = edit.anchor_at(reference)
    take = anchor.take if anchor else None
    if anchor is None or take is None:
        raise ProjectError(f"Frame {reference} has no approved take; approve the take that the others should follow first.")
    others = [one for one in edit.anchors if one is not anchor and not one.locked]
    if not others:
        raise ProjectError("There is no other anchor that is not locked: add anchors (A), or unlock one.")
    warnings: list[str] = []
    made = list(_after(material, anchor, take, others, progress=progress, warnings=warnings))
    have = {(one.frame, had.key) for one in others for had in one.takes}
    fresh = [row for row in made if (row["frame"], row["key"]) not in have]
    if not made:
        raise MethodError(" ".join(warnings[:3]) or "No take could be made after this one.")
    if len(fresh) < len(made):
        warnings.append("Some anchors have the same take already.")
    return fresh, warnings


def _after(
    material: Material, anchor: Anchor, take: Take, others: list[Anchor], *, progress: Progress, warnings: list[str]
) -> Iterator[dict[str, Any]]:
    """Takes of the other anchors; what cannot be made is said in `warnings`."""
    if why_not_again(take) or take.config.get("over"):  # an effect over another take is that picture's alone
        yield from _carried(_like(material, take, (anchor,)), anchor, [one.frame for one in others], progress, warnings)
        return
    for other in others:
        try:
            if take.source == "effect":
                row = _by_effect(material, other.frame, take, progress)
                yield {**row, "label": f"{row['label']}, as frame {anchor.frame}"}
            else:
                guided = _like(material, take, (anchor, replace(other, chosen=None, region=None)))
                rows, said = _by_method(guided, other.frame, take, take.seed, progress)
                yield from ({**row, "label": f"{row['label']}, as frame {anchor.frame}"} for row in rows)
                warnings += [sentence for sentence in said if sentence not in warnings]
        except (MethodError, ProjectError) as error:
            warnings.append(f"Frame {other.frame}: {error}")


def _take_of(project: Project, frame: FrameIndex, key: str) -> tuple[Anchor, Take]:
    anchor = project.edit.anchor_at(frame)
    take = next((one for one in anchor.takes if one.key == key), None) if anchor else None
    if anchor is None or take is None:
        raise ProjectError(f"Anchor {frame} has no such take.")
    return anchor, take


def _like(material: Material, take: Take, anchors: tuple[Anchor, ...]) -> Material:
    """The project with the edit as the take remembers it, and only these anchors."""
    edit = replace(material.project.edit, anchors=anchors)
    if take.source == "method" and take.config.get("method") in METHODS:
        edit = _told(edit, take)
    else:
        config = edit.config if edit.method == "motion" else {}
        edit = replace(edit, method="motion", config=config)
    project = material.project.with_edit(edit)
    return Material(material.workspace, project, lambda: material.reader, material.backbones)


def _told(edit: Edit, take: Take) -> Edit:
    name = take.config["method"]
    texts = {text: take.config[text] for text in METHODS[name].texts if text in take.config}
    if "target_words" in texts:
        texts["target_words"] = tuple(texts["target_words"])
    config = {key: value for key, value in take.config.items() if key != "method" and key not in METHODS[name].texts}
    checked_config(METHODS[name].Config, config, f"the settings of this {METHODS[name].title} take")  # may come from elsewhere
    return replace(edit, method=name, config=config, seed=take.seed, **texts)


def _by_method(material: Material, frame: FrameIndex, take: Take, seed: int, progress: Progress) -> tuple[Made, list[str]]:
    rows, warnings = make_takes(material, frame, [seed], progress)
    return [{**row, "frame": frame, "source": "method"} for row in rows], warnings


def _by_effect(material: Material, frame: FrameIndex, take: Take, progress: Progress) -> dict[str, Any]:
    """The effect of a take inside the mask of a frame. Raises MethodError without a mask, RecipeError for wrong settings."""
    spans = [span for span in spans_to_carry(material) if frame in span.range]
    progress.total += MAKING + sum(len(span.range) for span in spans)
    carry(material, spans, progress)
    config = {name: value for name, value in take.config.items() if name not in ("effect", "subject", "over")}
    region = material.subjects_region(frame, take.config.get("subject"))
    if not region.any():
        raise MethodError(f"There is no mask on frame {frame}: mark the subject there, or carry its masks (T).")
    below = material.picture(frame)
    if take.config.get("over"):
        below = decode_png(material.objects.get(take.config["over"]))
    nearby = nearby_of(material, frame, take.config.get("subject"))
    image = apply_effect(take.config["effect"], below, region, config, nearby)
    progress.part("Making a take", MAKING)(MAKING, MAKING)
    key = material.objects.put(encode_png(image))
    return {"frame": frame, "key": key, "source": "effect", "label": take.label, "seed": take.seed, "config": take.config}


def _carried(
    material: Material, anchor: Anchor, frames: list[FrameIndex], progress: Progress, warnings: list[str]
) -> Iterator[dict[str, Any]]:
    """The approved take of `anchor`, the only one of the material's edit, carried to frames of its shot along the motion."""
    shot = next(one for one in shots(material.project, material.cuts) if anchor.frame in one)
    inside = shot.meet(material.project.range)
    away = [frame for frame in frames if frame not in inside or anchor.frame not in inside]
    if away:
        listed = ", ".join(map(str, away))
        warnings.append(f"Nothing can be carried to frame {listed}: another shot, or outside the in–out range.")
    near = [frame for frame in frames if frame not in away]
    for segment in _ways(anchor.frame, near, shot):
        _ready(material, segment, progress)
        wanted = [frame for frame in near if segment.start <= frame < segment.stop]
        step = progress.part("Carrying the take", segment.stop - segment.start)
        for frame, image, unseen in _rendered(material, segment, wanted, step):
            if unseen > BARELY:
                warnings.append(
                    f"Frame {frame} shows little of what frame {anchor.frame} does: {unseen:.0%} of its take is filled in."
                )
            key = material.objects.put(encode_png(image))
            told = {"from": anchor.frame, "take": anchor.chosen, "unseen": round(unseen, 3)}
            label = f"from frame {anchor.frame}"
            yield {"frame": frame, "key": key, "source": "carried", "label": label, "seed": 0, "config": told}


def _ways(anchor: FrameIndex, frames: list[FrameIndex], shot: FrameRange) -> list[Segment]:
    """Forwards and backwards from the anchor, as far as there are frames."""
    ways = []
    if any(frame < anchor for frame in frames):
        ways.append(Segment(0, min(frames), anchor, None, anchor, shot))
    if any(frame > anchor for frame in frames):
        ways.append(Segment(0, anchor, max(frames) + 1, anchor, None, shot))
    return ways


def _ready(material: Material, segment: Segment, progress: Progress) -> None:
    """Motion and masks along the way, where they are not there."""
    read_motion(material, [FrameRange(segment.start, segment.stop + (segment.right is not None))], progress)
    mine = [one for one in material.segments if one.start < segment.stop and segment.start < one.stop]
    spans = spans_to_carry(material, mine)
    progress.total += sum(len(span.range) for span in spans) + segment.stop - segment.start
    carry(material, spans, progress)


def _rendered(
    material: Material, segment: Segment, wanted: list[FrameIndex], step: Step
) -> Iterator[tuple[FrameIndex, np.ndarray, float]]:
    """The wanted frames of a segment by the motion method: frame, (H, W, 3) uint8, share that the anchor did not show."""
    unseen: dict[FrameIndex, float] = {}
    chosen, edit = method("motion"), material.project.edit

    def note(frame: FrameIndex, **measures: float) -> None:
        unseen[frame] = measures.get("unseen", 0.0)

    with material.workspace.scratch() as scratch:
        context = replace(context_of(material, segment.shot, scratch, step, []), note=note)
        shot = shot_of(material, segment.shot)
        prepared = chosen.prepare(shot, METHODS["motion"].Config(**edit.config), context)
        for frame, image in chosen.render(shot, segment, prepared, context):
            if frame in wanted:
                yield frame, image, unseen.get(frame, 0.0)

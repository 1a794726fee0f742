"""The edits of a recipe: what each says of itself, and its takes, made and approved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from engine.commands.recipe import Recipe, effect_config
from engine.document import acts, edit_acts
from engine.document.config_files import file_fields, kept_as
from engine.document.project import Project
from engine.editor import Editor, OutsideRegion
from engine.effects import EFFECTS, picture_fields
from engine.errors import MediaError, MethodError, ProjectError, RecipeError
from engine.media.images import read_image
from engine.methods import card
from engine.models.lora import read_lora
from engine.progress import Progress
from engine.rendering.render import make_takes
from engine.rendering.segments import by_segment
from engine.types import Edit


def edit_of(recipe: Recipe, project: Project, place: int, said: dict[str, Any], store: Callable[[bytes], str]) -> Edit:
    """One of the recipe's edits, without its anchors. `store` keeps the files that its settings name."""
    wanted = said.get("subjects")
    edit = Edit(
        name=acts.clean_name(said.get("name", "")) or f"Edit {place + 1}",
        id=place + 1,
        on=said.get("on", True),
        method=said.get("method", "motion"),
        config=_with_files(recipe, recipe.where(place) or "edit.", said, store),
        subjects=None if wanted is None else tuple(wanted),
        source_prompt=said.get("source_prompt", ""),
        target_prompt=said.get("target_prompt", ""),
        instruction=said.get("instruction", ""),
        target_words=tuple(said.get("target_words", [])),
        seed=said.get("seed", recipe.body.get("seed", 0)),
    )
    for i, segment in enumerate(said.get("segments", [])):
        with at_place(f"{recipe.where(place) or 'edit.'}segments[{i}]"):
            (start, stop), before = segment["range"], len(edit.by_segment)
            alone = replace(project, edits=(edit,), selected=edit.id)
            config = _with_files(recipe, "", segment, store)
            chosen = {"method": segment["method"], "config": config}
            edit = edit_acts.set_segment_method(alone, start=start, stop=stop, **chosen).edit
            if len(edit.by_segment) <= before:
                raise RecipeError(f"the frames {start} to {stop} have a method already; give each frame one.")
    return edit


def _with_files(recipe: Recipe, where: str, said: dict[str, Any], store: Callable[[bytes], str]) -> dict[str, Any]:
    """The settings of a method, its files taken in. Raises MethodError for a file that is not what it must be."""
    config = dict(said.get("config", {}))
    for name in file_fields(card(said.get("method", "motion")).Config):
        if config.get(name):
            path = recipe.path(config[name])
            with at_place(f"{where}config.{name}"):
                read_lora(path)
            config[name] = kept_as(path.name, store(path.read_bytes()))
    return config


def unused_methods(editor: Editor) -> list[str]:
    """Methods for segments that are none: their frames do not begin and end at anchors."""
    said = []
    for edit in editor.project.edits:
        used = {id(one) for _, one in by_segment(editor.project.on_edit(edit.id), editor.material.cuts)}
        for one in edit.by_segment:
            if id(one) not in used:
                said.append(
                    f"“{edit.name}”: the frames {one.start} to {one.stop} do not begin and end at anchors or cuts, so "
                    f"{one.method} is not used for them."
                )
    return said


def take_all(editor: Editor, recipe: Recipe, place: int, progress: Progress) -> list[str]:
    """Makes and approves the takes of one edit. Several on one frame are laid one over the other, in the recipe's order.

    Of several takes by a method the one that fits best is approved. A take that reaches outside the mask grows the region, with
    a warning.
    """
    made: dict[int, str] = {}
    warnings: list[str] = []
    layer, where = recipe.layers[place], recipe.where(place)
    for i, spec in enumerate(layer["anchors"]):
        progress.check()
        frame, seed = spec["frame"], spec.get("seed", layer.get("seed", recipe.body.get("seed", 0)))
        with at_place(f"{where}anchors[{i}]"):
            if spec.get("image") is not None:
                path = recipe.path(spec["image"])
                key = editor.picture_take(frame, read_image(path), "imported", path.name, seed=seed).key
            elif spec.get("take") is not None:
                seeds = range(seed, seed + spec.get("takes", 1))
                takes, said = make_takes(editor.material, frame, seeds, progress)
                warnings += [f"Anchor {frame}: {sentence}" for sentence in said]
                editor.method_takes(frame, takes)
                key = max(takes, key=lambda one: one["fit"] or 0.0)["key"]  # of equal ones the first
            else:
                effect = spec["effect"]
                kind = {"subject": effect.get("subject"), "over": made.get(frame), "seed": seed}
                key = editor.effect_take(frame, effect["name"], _found(effect, recipe), **kind).key
            made[frame] = key
    for frame in sorted(made):
        try:
            editor.approve(frame, made[frame])
        except OutsideRegion as question:
            editor.approve(frame, made[frame], outside="grow")
            warnings.append(f"Anchor {frame}: {str(question).split(':')[0]}; the region was grown to them.")
    return warnings


def _found(effect: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The effect's settings; pictures are named relative to the recipe."""
    config = effect_config(effect)
    named = [name for name in picture_fields(EFFECTS[effect["name"]].Config) if config.get(name)]
    return {**config, **{name: str(recipe.path(config[name])) for name in named}}


@contextmanager
def at_place(where: str) -> Iterator[None]:
    """Says where in the recipe a wrong value stands."""
    try:
        yield
    except (RecipeError, MediaError, ProjectError, MethodError) as error:
        raise type(error)(f"{where}: {error}") from error

"""Controls from a `Config`: one per field, with the range, the choices and the help that its metadata gives."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import gradio as gr

from engine import RecipeError


def controls(config: type) -> dict[str, gr.components.Component]:
    """A Gradio control for each field of a frozen config dataclass, inside the current Blocks context."""
    return {field.name: _control(field) for field in fields(config)}


def _control(field: Any) -> gr.components.Component:
    about = field.metadata
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    label = about.get("label", field.name.replace("_", " ").capitalize())
    info = about.get("help")
    kind = about.get("kind", "number")
    if kind == "colour":
        return gr.ColorPicker(value=default, label=label, info=info)
    if kind == "picture":
        return gr.File(label=f"{label}: {info}" if info else label, file_types=["image"], height=150)
    if kind == "file":
        return gr.Textbox(value=default, label=label, info=info, lines=1)
    if kind == "choice":
        return gr.Dropdown(list(about["choices"]), value=default, label=label, info=info)
    if isinstance(default, bool):
        return gr.Checkbox(value=default, label=label, info=info)
    step = about.get("step", 1 if isinstance(default, int) else (about["max"] - about["min"]) / 200)
    return gr.Slider(about["min"], about["max"], value=default, step=step, label=label, info=info)


def values(config: type, given: tuple[Any, ...]) -> dict[str, Any]:
    """What the controls of `controls(config)` say, by field name; whole numbers stay whole."""
    result = {}
    for field, value in zip(fields(config), given, strict=True):
        if field.metadata.get("kind") in ("picture", "file"):
            result[field.name] = (value or "").strip()
            continue
        whole = isinstance(field.default, int) and not isinstance(field.default, bool) and isinstance(value, float)
        result[field.name] = _hex(value) if field.metadata.get("kind") == "colour" else int(value) if whole else value
    return result


def _hex(colour: str) -> str:
    """The colour picker says "#rrggbb" or "rgba(r, g, b, a)"."""
    if not colour.startswith("rgb"):
        return colour
    parts = colour[colour.index("(") + 1 : colour.rindex(")")].split(",")
    return "#" + "".join(f"{round(float(part)):02x}" for part in parts[:3])


Configs = dict[str, tuple[str, type]]
"""Name -> title, Config."""


def chooser(configs: Configs, label: str, element: str) -> tuple[gr.Dropdown, dict[str, list[Any]]]:
    """A dropdown over named configs that shows the chosen one's controls. Returns both."""
    chosen = dropdown(configs, label, element)
    return chosen, controls_of(chosen, configs)


def dropdown(configs: Configs, label: str, element: str) -> gr.Dropdown:
    titles = [(title, name) for name, (title, _) in configs.items()]
    return gr.Dropdown(titles, value=next(iter(configs)), label=label, elem_id=element)


def controls_of(chosen: gr.Dropdown, configs: Configs) -> dict[str, list[Any]]:
    """The controls of each, of which those of the chosen one are shown."""
    groups, made = [], {}
    for name, (_, config) in configs.items():
        with gr.Group(visible=name == chosen.value) as group:
            made[name] = list(controls(config).values())
        groups.append(group)

    def show(name: str) -> list[Any]:
        return [gr.update(visible=one == name) for one in configs]

    chosen.change(show, chosen, groups, show_progress="hidden", api_visibility="private")
    return made


def chosen_values(configs: dict[str, type], made: dict[str, list[Any]], name: str, given: tuple[Any, ...]) -> dict[str, Any]:
    """The config that the chosen controls say, out of the values of all controls of `made` in a row."""
    start = 0
    for one, parts in made.items():
        if one == name:
            return values(configs[name], given[start : start + len(parts)])
        start += len(parts)
    raise RecipeError(f"There is no {name!r} to choose.")

"""The method with its controls, the run, and the dock that shows the job whatever else is open."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from app.panels import fields, forecast
from app.panels.base import Panel
from app.panels.empty import how_to_propagate
from app.session import Session
from engine import METHODS, Job, ProjectError, acts, config_as_shown, file_fields, is_smaller

KINDS = {
    "prepare": "Preparing the clip",
    "carry": "Carrying masks",
    "propagate": "Propagating",
    "take": "Making takes",
    "audition": "Trying the methods",
    "export": "Exporting",
    "proxy": "Previewing",
    "certify": "Measuring what was rendered",
    "zip": "Zipping the project",
}


TEXTS = {
    "instruction": ("Instruction", "make the ball blue"),
    "source_prompt": ("What the clip shows", "a red ball on grass"),
    "target_prompt": ("What it should show", "a blue ball on grass"),
    "target_words": ("Words to strengthen", "blue; left empty: the words that differ"),
}
"""The fields of the edit that a method can read: label and example."""


def build() -> Panel:
    """Method, what it is told, its config, what there is to do."""
    configs = {name: (card.title, card.Config) for name, card in METHODS.items()}
    chosen = fields.dropdown(configs, "Method", "method")
    with gr.Group(visible=False, elem_id="texts") as group:
        texts = {name: gr.Textbox(label=label, placeholder=hint, lines=1, elem_id=name) for name, (label, hint) in TEXTS.items()}
        with gr.Row():
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31, min_width=60, elem_id="seed")
            count = gr.Slider(1, 8, 1, step=1, label="Takes", min_width=80, elem_id="take-count")
        take = gr.Button("Make takes on this frame", size="sm", elem_id="method-take")
    lora = gr.UploadButton("LoRA of the subject…", file_types=[".safetensors"], size="sm", visible=False, elem_id="lora")
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        controls = fields.controls_of(chosen, configs)
    plan = gr.HTML(elem_id="plan")
    with gr.Row():
        run = gr.Button("Propagate", variant="primary", min_width=120, elem_id="propagate")
        proxy = gr.Button("Preview first", min_width=80, elem_id="proxy")

    def told(name: str) -> list[Any]:
        card = METHODS[name]
        shown = [gr.update(visible=text in card.texts) for text in TEXTS]
        has_file = gr.update(visible=bool(file_fields(card.Config)))
        return [gr.update(visible=bool(card.texts)), *shown, gr.update(visible=card.takes), has_file]

    chosen.change(told, chosen, [group, *texts.values(), take, lora], show_progress="hidden", api_visibility="private")

    def show(session: Session, frame: int) -> list[Any]:
        return [_plan(session), gr.update(interactive=is_smaller(session.material))]

    of = gr.State("")  # which edit, as it was then, the controls say
    fill = [chosen, *texts.values(), seed, *(control for made in controls.values() for control in made), of]
    asked = {"texts": [*texts.values()], "seed": seed, "count": count, "take": take, "lora": lora, "fill": fill, "of": of}
    return Panel([plan, proxy], show, {"chosen": chosen, "controls": controls, "run": run, "proxy": proxy, "plan": plan, **asked})


def filled(parts: dict[str, Any]) -> Callable[[Session], list[Any]]:
    """What the controls of `fill` say for a project."""

    def values(session: Session) -> list[Any]:
        edit = session.editor.project.edit
        texts = [" ".join(edit.target_words) if text == "target_words" else getattr(edit, text) for text in TEXTS]
        made = {name: card.Config(**edit.config) if name == edit.method else card.Config() for name, card in METHODS.items()}
        configs = [config_as_shown(asdict(config), METHODS[name].Config) for name, config in made.items()]
        return [edit.method, *texts, edit.seed, *(value for config in configs for value in config.values()), mark_of(session)]

    return values


def mark_of(session: Session) -> str:
    """Changes when the controls should be filled again: another edit is worked on, or it is told something else."""
    edit = session.editor.project.edit
    said = [edit.method, edit.config, edit.seed, *(getattr(edit, text) for text in TEXTS)]
    return f"{session.id}:{edit.id}:{json.dumps(said, sort_keys=True)}"


def says(mark: str, session: Session) -> bool:
    """Whether controls that were filled with this mark belong to the edit that is worked on; "" = nobody filled them."""
    return not mark or mark.split(":")[:2] == mark_of(session).split(":")[:2]


def _plan(session: Session) -> str:
    material = session.material
    if not material.segments and METHODS[material.project.edit.method].anchors:
        return how_to_propagate(material.project)
    return forecast.of_project(session) + _next_anchor(session)


def plan_by(session: Session, name: str) -> str:
    """The same, if this method were taken."""
    return forecast.of_method(session, name)


def _next_anchor(session: Session) -> str:
    """Which frame should become an anchor; nothing where nothing is known or to be gained."""
    best = session.doubt.next
    if best is None:
        return ""
    key = '<kbd data-key="goNext">N</kbd>'
    return f'<div class="al-facts">Next anchor: frame {best.frame} would gain the most by one ({key} goes there).</div>'


def tell(session: Session, name: str, config: dict[str, Any], said: list[str], seed: int) -> None:
    """Sets the method, its config and what it is told: one act, and none where nothing changes."""
    texts, config = dict(zip(TEXTS, said, strict=True)), session.with_files(name, config)
    changes: dict[str, Any] = {"method": name, "config": config, "seed": int(seed or 0)}
    for text in METHODS[name].texts:
        words = tuple(word for word in re.split(r"[\s,;]+", texts[text]) if word)
        changes[text] = words if text == "target_words" else " ".join(texts[text].split())
    edit = session.editor.project.edit
    config_of = METHODS[name].Config
    if name == edit.method and config_of(**edit.config) == config_of(**config):
        changes["config"] = edit.config  # what is left out says the same
    if any(getattr(edit, field) != value for field, value in changes.items()):
        session.editor.act(acts.set_edit, "Method", "method", **changes)


def take_file(session: Session, file: str) -> None:
    """A LoRA of the user's own for the method of the edit, which is told already."""
    edit = session.editor.project.edit
    names = file_fields(METHODS[edit.method].Config)
    if not names:
        raise ProjectError(f"{METHODS[edit.method].title} takes no LoRA; choose Point-to-Point.")
    config = {**edit.config, names[0]: session.editor.keep_file(Path(file))}
    session.editor.act(acts.set_edit, "LoRA", config=config)


def tell_texts(session: Session, said: Sequence[str], seed: int) -> None:
    """Tells the edit what is written, for whatever method reads it, and leaves its method alone."""
    texts = dict(zip(TEXTS, said, strict=True))
    words = tuple(word for word in re.split(r"[\s,;]+", texts["target_words"]) if word)
    changes: dict[str, Any] = {text: " ".join(value.split()) for text, value in texts.items()}
    changes |= {"target_words": words, "seed": int(seed or 0)}
    edit = session.editor.project.edit
    if any(getattr(edit, field) != value for field, value in changes.items()):
        session.editor.act(acts.set_edit, "Texts", "texts", **changes)


def run(session: Session, frame: int | None = None) -> None:
    """Hands the work to a worker; it begins with what is around the frame."""
    session.submit("propagate", {} if frame is None else {"near": frame})


def preview(session: Session, frame: int) -> None:
    """The same edit at preview size first, from the frame outwards; what it measures fills the lane and the list."""
    session.submit("proxy", {"near": frame})


def make_takes(session: Session, frame: int, count: int) -> None:
    """Takes of the shown frame by the method, one seed after the other, made by a worker."""
    session.submit("take", {"frame": frame, "count": int(count)})


# --- the dock ---------------------------------------------------------------------------------------------


def dock() -> tuple[gr.HTML, gr.Button]:
    """Always visible: kind, phase, progress, time left; cancel."""
    card = gr.HTML(card_of(None), elem_id="job")
    cancel = gr.Button("Cancel", variant="stop", size="sm", interactive=False, elem_id="cancel")
    return card, cancel


def card_of(job: Job | None) -> str:
    """The job as HTML; every text escaped."""
    if job is None:
        return '<div class="al-job" data-state="idle">No job is running.</div>'
    share = 100 * job.done / max(job.total, 1)
    parts = [f"<b>{KINDS.get(job.kind, html.escape(job.kind))}</b>", html.escape(job.state)]
    if job.active:
        parts += [html.escape(job.phase), f"{job.done} of {job.total}", f"{job.seconds:.0f} s"]
        if job.eta is not None:
            parts.append(f"about {_time(job.eta)} left")
    text = " · ".join(part for part in parts if part)
    note = f'<div class="al-note">{html.escape(job.message)}</div>' if job.message else ""
    bar = f'<div class="al-bar"><div style="width:{share:.1f}%"></div></div>' if job.active else ""
    about = f'data-state="{job.state}" data-kind="{job.kind}" data-job="{job.id}"'
    return f'<div class="al-job" role="status" {about}>{text}{bar}{note}</div>'


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60} s"

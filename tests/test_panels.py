"""Controls from configs, the state of the installation, the clip's facts: what panels say, without a browser."""

from __future__ import annotations

import json
import time

import gradio as gr
import pytest

from app.layout import setup_status
from app.panels import fields
from app.panels.propagate import card_of
from app.view import summary
from engine import EFFECTS, METHODS, RecipeError
from engine.jobs import Job
from tests.test_journal import blank


@pytest.mark.parametrize("config", [*(e.Config for e in EFFECTS.values()), *(card.Config for card in METHODS.values())])
def test_controls_follow_from_the_config(config):
    with gr.Blocks():
        made = fields.controls(config)
    assert list(made) == list(config.__dataclass_fields__)
    assert config(**fields.values(config, tuple(control.value for control in made.values()))) == config()


def test_the_colour_picker_speaks_two_ways():
    config = EFFECTS["recolour"].Config
    rest = tuple(getattr(config(), name) for name in list(config.__dataclass_fields__)[1:])
    assert fields.values(config, ("rgba(32, 80.4, 255, 1)", *rest))["colour"] == "#2050ff"


def test_only_the_chosen_controls_count():
    configs = {name: effect.Config for name, effect in EFFECTS.items()}
    made = {name: list(config.__dataclass_fields__) for name, config in configs.items()}
    given = tuple(getattr(configs[name](), field) for name, names in made.items() for field in names)
    assert configs["blur"](**fields.chosen_values(configs, made, "blur", given)) == configs["blur"]()
    with pytest.raises(RecipeError):
        fields.chosen_values(configs, made, "magic", given)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"state": "installing", "package": "torch<b>"}, "torch&lt;b&gt;"),
        ({"state": "installing", "package": "torch", "time": 0}, "has stopped"),
        ({"state": "failed", "message": "no network"}, "no network"),
        ({"state": "done"}, ""),
    ],
)
def test_the_page_says_what_is_still_being_installed(status, says, tmp_path, monkeypatch):
    path = tmp_path / "stage2.json"
    path.write_text(json.dumps({"time": time.time(), **status}), encoding="utf-8")
    monkeypatch.setenv("ANCHORLINE_SETUP_STATUS", str(path))
    text = setup_status()
    assert says in text if says else text == ""
    monkeypatch.setenv("ANCHORLINE_SETUP_STATUS", str(tmp_path / "nothing"))
    assert setup_status() == ""


def test_the_dock_escapes_and_tells_time_left():
    job = Job("ab", "propagate", {}, None, {}, state="running", phase="<i>", done=3, total=10, seconds=4, eta=130)  # type: ignore[arg-type]
    card = card_of(job)
    assert "&lt;i&gt;" in card and "3 of 10" in card and "about 2 min 10 s left" in card
    assert "No job" in card_of(None)


def test_facts_are_plain():
    assert summary(blank(50)) == "64×48, 25 fps, 50 frames (2.0 s), no sound"

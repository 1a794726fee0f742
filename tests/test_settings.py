"""What the page keeps for its user, the list of its controls, and when the MCP server can be switched on."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import pytest

from app import mcp
from app.controls import controls_of, listing
from app.settings import PageSettings
from engine import RecipeError


def test_settings_are_kept_beside_each_other(tmp_path: Path) -> None:
    settings = PageSettings(tmp_path)
    assert settings.read() == {}
    settings.keep({"keys": {"tool:brush": ["Alt+B"]}})
    settings.keep({"tour": "done"})
    assert PageSettings(tmp_path).read() == {"keys": {"tool:brush": ["Alt+B"]}, "tour": "done"}
    settings.keep({"keys": {}})
    assert settings.read()["keys"] == {}


@pytest.mark.parametrize(
    "wrong",
    [{"theme": 1}, {"tour": "later"}, {"keys": []}, {"keys": {"a": "B"}}, {"keys": {"a": [1]}}, {"keys": {"a": ["B" * 41]}}],
)
def test_what_is_no_setting_is_refused(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(RecipeError):
        PageSettings(tmp_path).keep(wrong)
    assert PageSettings(tmp_path).read() == {}


@pytest.mark.parametrize("broken", ["", "{", "[]", json.dumps({"keys": 3})])
def test_a_broken_file_counts_as_none(tmp_path: Path, broken: str) -> None:
    (tmp_path / "page.json").write_text(broken, encoding="utf-8")
    assert PageSettings(tmp_path).read() == {}


def test_controls_are_listed_with_where_they_stand() -> None:
    with gr.Blocks() as page, gr.Tabs(), gr.Tab("Export"), gr.Accordion("More", elem_id="more"):
        gr.Button('Do "it"…', elem_id="do-it")
        gr.Button("Unnamed")
        gr.Textbox(label="Name", elem_id="the-name")
    found = {one["name"]: one for one in controls_of(page)}
    assert [one["kind"] for one in found.values()] == ["tab", "folded", "button", "field"]
    assert found["do-it"]["tab"] == "Export" and found["do-it"]["folded"] == ["more"] and found["do-it"]["label"] == 'Do "it"'
    assert found["the-name"]["label"] == "Go to: Name"
    assert "<" not in listing(controls_of(page)).removeprefix("<div").removesuffix("</div>")


def test_mcp_is_for_this_machine_and_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "this machine only" in mcp.mcp_refusal(beyond=True)
    monkeypatch.setattr(mcp.importlib.util, "find_spec", lambda name: None)
    assert 'pip install "mcp' in mcp.mcp_refusal(beyond=False)
    monkeypatch.setattr(mcp.importlib.util, "find_spec", lambda name: object())
    assert mcp.mcp_refusal(beyond=False) == ""

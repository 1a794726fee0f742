"""What a page has it is not given again, and never is anything left out that it may not have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from app.given import NEVER, Given, Page, Sparing, is_skip
from app.layout import build_page
from app.session import Session
from app.store import SessionStore
from tests.test_jobs import project_in

ID = "0123456789ab"


def test_only_what_changed_is_given_to_a_page_that_says_the_latest_number() -> None:
    sparing, given = Sparing(), Given()
    first, told = sparing.spare(given, NEVER, ["a", {"value": 1, "__type__": "update"}, 3])
    assert told == ["a", {"value": 1, "__type__": "update"}, 3] and first != NEVER
    second, told = sparing.spare(given, first, ["b", {"value": 1, "__type__": "update"}, gr.skip()])
    assert told == ["b", gr.skip(), gr.skip()] and second > first
    third, told = sparing.spare(given, second, ["b", {"value": 2, "__type__": "update"}, 3])
    assert told == [gr.skip(), {"value": 2, "__type__": "update"}, gr.skip()]
    given.forget()
    assert sparing.spare(given, third, ["b"])[1] == ["b"]


def test_a_page_that_missed_an_answer_or_is_not_known_is_given_everything() -> None:
    sparing, given = Sparing(), Given()
    first, _ = sparing.spare(given, NEVER, ["a", "b"])
    sparing.spare(given, first, ["c", "b"])  # this answer never came
    assert sparing.spare(given, first, ["a", "b"])[1] == ["a", "b"]
    assert sparing.spare(Given(), first, ["a", "b"])[1] == ["a", "b"]  # the server forgot the page
    mine, _ = sparing.spare(given, given.number, ["a", "b"])
    assert sparing.spare(Given(), mine, ["a", "b"])[1] == ["a", "b"]  # another page of the same project


def test_a_partial_answer_leaves_the_rest_to_be_given() -> None:
    sparing, given = Sparing(), Given()
    number, _ = sparing.spare(given, NEVER, [gr.skip(), "b"])
    assert sparing.spare(given, number, ["a", "b"])[1] == ["a", gr.skip()]


class _Counted(gr.Textbox):
    made = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        type(self).made += 1


@pytest.mark.parametrize(
    ("answer", "expected", "made"),
    [
        ([gr.skip(), "b", gr.skip()], [gr.skip(), "b", gr.skip()], 0),
        ([gr.update(label="L"), gr.skip(), gr.skip()], [{"label": "L", "__type__": "update"}, gr.skip(), gr.skip()], 1),
        ([gr.skip()] * 3, [gr.skip()] * 3, 0),
        (["a", "b", "c"], ["a", "b", "c"], 0),
    ],
)
def test_what_is_left_out_costs_no_component(answer: list[Any], expected: list[Any], made: int) -> None:
    with Page() as page:
        outputs = [_Counted() for _ in range(3)]
        gr.Button().click(lambda: answer, None, outputs)
    before = _Counted.made
    function = next(one for one in page.fns.values() if len(one.outputs) == 3)
    told = asyncio.run(page.process_api(function, [], state=SessionState(page)))["data"]
    assert told == expected and _Counted.made == before + made


def test_too_few_values_are_still_gradios_error() -> None:
    with Page() as page:
        gr.Button().click(lambda: [gr.skip()], None, [gr.Textbox(), gr.Textbox()])
    function = next(iter(page.fns.values()))
    with pytest.raises(ValueError, match="enough"):
        asyncio.run(page.process_api(function, [], state=SessionState(page)))


def test_an_idle_page_looks_for_events_less_often_than_gradio_would() -> None:
    usual = gr.Blocks().queue()._queue.sleep_when_free
    assert usual < Page().queue(max_size=3)._queue.sleep_when_free <= 0.02


# --- on the page ------------------------------------------------------------------------------------------


class Tab:
    """A page in a browser, as far as Gradio's server sees one: its state, and the number that it says back."""

    def __init__(self, page: gr.Blocks, project: str) -> None:
        self.page, self.state, self.echo, self.frame = page, SessionState(page), NEVER, 0
        self.moved = self.listener("canvas", "frame")
        self.names = [one.elem_id or f"{type(one).__name__} {one._id}" for one in self.moved.outputs]
        self.state[self.moved.inputs[0]._id] = project

    def listener(self, element: str, event: str) -> Any:
        return next(
            function
            for function in self.page.fns.values()
            for target, name in function.targets
            if target in self.page.blocks and self.page.blocks[target].elem_id == element and name == event
        )

    def call(self, function: Any, values: dict[str, Any]) -> dict[str, Any]:
        """What the event changes on the page, by the names of its outputs."""
        values = {"given": self.echo, **values}
        given = [values.get(one.elem_id or "", 0 if isinstance(one, gr.Number) else None) for one in function.inputs]
        data = gr.EventData(None, {"frame": self.frame})
        told = asyncio.run(self.page.process_api(function, given, state=self.state, event_data=data))["data"]
        self.echo = told[0]
        return {name: value for name, value in zip(self.names, told, strict=True) if not is_skip(value)}

    def move(self, frame: int) -> set[str]:
        self.frame = frame
        return set(self.call(self.moved, {}))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[gr.Blocks, Session]]:
    home = tmp_path_factory.mktemp("home") / "projects"
    home.mkdir()
    project_in(home).rename(home / ID)
    store = SessionStore(home)
    one = store.get(ID)
    one._ahead.cancel()
    yield build_page(store, one), one
    store.close()


def test_another_frame_changes_what_speaks_of_the_frame(session: tuple[gr.Blocks, Session]) -> None:
    page, one = session
    tab, other = Tab(page, ID), Tab(page, ID)
    assert len(tab.move(0)) == len(tab.names)  # the first time everything
    moved = tab.move(1)
    assert "anchor-title" in moved and not moved & {"projects", "plan", "method", "canvas", "job", "facts"}
    one.do("rename", {"name": "Renamed"})
    assert {"canvas", "projects"} <= tab.move(1)
    assert len(other.move(1)) == len(other.names)  # what one page was given is nothing to the other
    tab.echo = -5
    assert len(tab.move(1)) == len(tab.names)


def test_a_refused_choice_is_put_right_by_the_next_event(session: tuple[gr.Blocks, Session]) -> None:
    page, _ = session
    tab = Tab(page, ID)
    tab.move(0)
    assert "clicks-by" not in tab.move(1)
    with pytest.raises(gr.Error):
        tab.call(tab.listener("clicks-by", "input"), {"clicks-by": "sam9"})
    assert "clicks-by" in tab.move(2)


def test_a_button_gives_everything_and_the_next_event_too(session: tuple[gr.Blocks, Session]) -> None:
    page, _ = session
    tab = Tab(page, ID)
    tab.move(0)
    assert len(tab.call(tab.listener("subject-add", "click"), {})) == len(tab.names) and tab.echo == NEVER
    assert len(tab.move(1)) == len(tab.names)


def test_whoever_writes_what_panels_show_says_so(session: tuple[gr.Blocks, Session]) -> None:
    """Another listener that writes an output of the refresh has to write the number as well, or it would stay as it is."""
    page, _ = session
    tab = Tab(page, ID)
    told = tab.call(tab.moved, {})
    updates = {name for name, value in told.items() if isinstance(value, dict) and "__type__" in value and "value" not in value}
    places = dict(zip((one._id for one in tab.moved.outputs), tab.names, strict=True))
    writers = 0
    for function in page.fns.values():
        names = {places[one._id] for one in function.outputs if one._id in places}
        besides = names - updates - {"given"}  # of the others something else than the value is written, such as choices
        writers += bool(besides)
        assert not besides or "given" in names, (function.name, besides)
    assert writers > 20

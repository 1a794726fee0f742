"""What a page was given already is not given to it again: most events change a few of the fifty things that it shows.

Each page holds what it was given last under a number that it says back with its next event (a hidden field). Only where the
number is the latest is anything left out; a page that missed an answer, got two out of order, or that the server has
forgotten is given everything. Several pages of one project have nothing to do with each other here.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState

WAKES_EVERY = 0.005  # seconds between two looks whether an event has come (our choice)
NEVER = 0
"""The number that says: give me everything."""


@dataclass
class Given:
    """What one page shows as far as it was told. `known`: place among the outputs -> digest of what was given there."""

    number: int = NEVER
    known: dict[int, bytes] = field(default_factory=dict)

    def forget(self) -> None:
        """The page may show something else now: the next time it is given everything."""
        self.number = NEVER


class Sparing:
    """Leaves out what pages have. One for all pages; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = count(time.time_ns() // 1_000_000)  # none is used twice, not even by another run of the server

    def spare(self, given: Given, echo: float | None, fresh: Sequence[Any]) -> tuple[int, list[Any]]:
        """`fresh` without what the page has, and the number to give with it.

        `echo` is the number that the page said; gr.skip() among `fresh` stays what it is.
        """
        digests = {place: _digest(value) for place, value in enumerate(fresh) if not is_skip(value)}
        with self._lock:
            known = given.known if given.number != NEVER and echo == given.number else {}
            given.number, given.known = next(self._numbers), {**known, **digests}
            number = given.number
        same = {place for place, digest in digests.items() if known.get(place) == digest}
        return number, [gr.skip() if place in same else value for place, value in enumerate(fresh)]


def _digest(value: Any) -> bytes:
    """Updates are dictionaries that Gradio takes apart afterwards, so it is not they that are kept."""
    return blake2b(repr(value).encode(), digest_size=16).digest()


def is_skip(value: Any) -> bool:
    return isinstance(value, dict) and value == gr.skip()


class Page(gr.Blocks):
    """Gradio makes every component anew to find that nothing of it changes: what is left out is kept from it here. And it looks
    a thousand times a second whether an event has come, which is most of what an idle editor costs."""

    def queue(self, *given: Any, **named: Any) -> Page:
        super().queue(*given, **named)
        self._queue.sleep_when_free = WAKES_EVERY
        return self

    async def process_api(self, *given: Any, **named: Any) -> dict[str, Any]:
        """After an event that failed the page shows something else than it was given, such as a choice that was refused."""
        try:
            return await super().process_api(*given, **named)
        except Exception:
            state = named.get("state")
            for value in state.state_data.values() if state is not None else ():
                if isinstance(value, Given):
                    value.forget()
            raise

    async def postprocess_data(self, block_fn: BlockFunction, predictions: Any, state: SessionState | None) -> list[Any]:
        places = _to_give(block_fn, predictions)
        if places is None:
            return await super().postprocess_data(block_fn, predictions, state)
        result: list[Any] = [gr.skip() for _ in predictions]
        if places:
            fewer = copy.copy(block_fn)
            fewer.outputs = [block_fn.outputs[place] for place in places]
            values = [predictions[place] for place in places]
            told = await super().postprocess_data(fewer, values[0] if len(values) == 1 else values, state)
            for place, value in zip(places, told, strict=True):
                result[place] = value
        return result


def _to_give(block_fn: BlockFunction, predictions: Any) -> list[int] | None:
    """The outputs that change; None where there is nothing to leave out, or too little said for Gradio to tell what is wrong."""
    several = isinstance(predictions, list | tuple) and len(predictions) == len(block_fn.outputs) > 1
    if not several or block_fn.batch:
        return None
    places = [place for place, value in enumerate(predictions) if not is_skip(value)]
    return places if len(places) < len(predictions) else None

"""JSON from others, read strictly: what is ambiguous or no number is refused, with the place."""

from __future__ import annotations

import json
from typing import Any

from engine.errors import EngineError, RecipeError


def parse_strict(text: str, name: str, refusal: type[EngineError] = RecipeError) -> Any:
    """JSON without NaN, infinities, duplicate keys or bottomless nesting. Raises `refusal`."""

    def constant(value: str) -> Any:
        raise refusal(f"{name} holds {value}, which is not a number that can be used.")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise refusal(f"{name} has the key {shown(twice)} twice in one place; keep one.")
        return value

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=pairs)
    except RecursionError as error:
        raise refusal(f"{name} is nested too deeply to be read.") from error
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "a number"
        raise refusal(f"{name} is not valid JSON ({where}); mend it and try again.") from error


def shown(value: Any) -> str:
    """A value as it may stand in a sentence: short, one line, printable."""
    return repr(value)[:40].encode("ascii", "backslashreplace").decode()

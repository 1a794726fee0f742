"""What an instruction about the drawn world asks for, in the words of captions."""

from __future__ import annotations

from engine.world.language import with_article
from engine.world.words import BACKGROUNDS, COLOURS, SHAPES, SIDES

_LEFT_OUT = frozenset(("the", "a", "an", "on", "one", *SIDES))


def asked(instruction: str) -> tuple[str, str] | None:
    """What is edited and what it shall be, such as ("a red ball", "a blue ball").

    The first is "" where something is added, the second where something is removed; for a new background both are such as
    ("", "on sand"). None for what is no instruction of the drawn world.
    """
    words = instruction.lower().replace(",", " ").replace(".", " ").split()
    if len(words) < 2:
        return None
    verb, said = words[0], words[1:]
    if verb in ("change", "put"):
        return ("", f"on {words[-1]}") if words[-1] in BACKGROUNDS else None
    if verb in ("remove", "delete"):
        return _named(said), ""
    if verb == "add":
        return "", _named(said)
    between = next((word for word in ("into", "with") if word in said), None)
    if verb in ("turn", "replace") and between:
        at = said.index(between)
        return _pair(said[:at], _told(said[at + 1 :]))
    return _pair(said[:-1], _told(said[-1:])) if verb in ("make", "paint", "turn") else None


def coloured(was: str, shall: str) -> list[tuple[str, str]]:
    """What `asked` gave for a subject that was not named by its colour, once for each colour that it may have; else as it is."""
    if not was or _any(was.split(), COLOURS):
        return [(was, shall)]
    kept = [(with_article(f"{colour} {was.split(' ', 1)[1]}"), colour) for colour in COLOURS]
    if not shall or _any(shall.split(), COLOURS):
        return [(named, shall) for named, _ in kept]
    return [(named, with_article(f"{colour} {shall.split(' ', 1)[1]}")) for named, colour in kept]


def _pair(subject: list[str], wanted: list[str]) -> tuple[str, str]:
    """What is not asked to change stays: the colour where another shape is wanted, the shape where another colour is."""
    named = _told(subject)
    colours = [] if _any(wanted, COLOURS) else [word for word in named if word in COLOURS]
    shapes = [] if _any(wanted, SHAPES) else [word for word in named if word in SHAPES]
    return _named(subject), _named([*colours, *wanted, *shapes])


def _any(words: list[str], known: tuple[str, ...]) -> bool:
    return any(word in known for word in words)


def _told(words: list[str]) -> list[str]:
    return [word for word in words if word not in _LEFT_OUT]


def _named(words: list[str]) -> str:
    told = " ".join(_told(words))
    return with_article(told) if told else ""

"""What is known of a method without loading it: the page, recipes and planning need no more, and torch takes seconds.

Each method's `Config` is here too, since panel, recipe key and project file are derived from its fields: `min`, `max` and
`help`, or `kind`; the method's own file says what they mean in its equations.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Card:
    """`where`: module:class. `texts`: the fields of the edit that it reads, which the panel shows.

    `anchors`: it works between approved anchors and needs one; otherwise it edits by text, and anchors guide it.
    `exact`: it keeps approved anchors and everything outside the region itself; otherwise engine/anchoring.py does.
    `shares`: its `prepare` does work that all segments of a shot share.
    `takes`: it can make a take of a single frame.
    """

    where: str
    title: str
    paper: str
    Config: type
    texts: tuple[str, ...] = ()
    anchors: bool = False
    exact: bool = False
    shares: bool = True
    takes: bool = True


@dataclass(frozen=True)
class MotionConfig:
    nearness: float = field(
        default=1.0,
        metadata={"min": 0.2, "max": 4.0, "help": "How strongly the nearer anchor wins: 1 fades evenly, more switches sooner."},
    )
    trust: float = field(
        default=2.0,
        metadata={"min": 0.0, "max": 6.0, "help": "How strongly places that were hidden on the way are mistrusted."},
    )

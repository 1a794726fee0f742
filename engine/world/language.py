"""Scenes in words: captions, names for subjects, and the words in which two captions differ."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from engine.world.scene import Scenes
from engine.world.words import BACKGROUNDS, COLOURS, MATERIALS, SHAPES, SIZES

APART = 0.22
"""How far apart, in units, two subjects must be at the first frame to be told left from right."""


@dataclass(frozen=True, slots=True)
class Look:
    """One subject as words see it: indices into the vocabularies, x at the first frame and in the mean, radius, index k."""

    k: int
    shape: int
    colour: int
    material: int
    radius: float
    first_x: float
    mean_x: float

    def phrase(self, with_size: bool) -> str:
        """Such as "big red striped ball"; "plain" goes without saying."""
        size = SIZES[0 if self.radius < 0.15 else 2 if self.radius > 0.19 else 1] if with_size else ""
        material = MATERIALS[self.material] if self.material else ""
        return " ".join(filter(None, (size, COLOURS[self.colour], material, SHAPES[self.shape])))


def looks(scenes: Scenes) -> list[list[Look]]:
    """For each scene, its present subjects in order."""
    subjects = scenes.subjects
    first_x = subjects.middle[..., 0] + subjects.sway.amplitude[..., 0] * subjects.sway.phase[..., 0].sin()
    columns = (subjects.shape, subjects.colour, subjects.material, subjects.size, first_x, subjects.middle[..., 0])
    values = [list(zip(*row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]
    present = subjects.present.tolist()
    return [[Look(k, *seen) for k, seen in enumerate(row) if here[k]] for row, here in zip(values, present, strict=True)]


def captions(scenes: Scenes) -> list[str]:
    """Such as "a red striped ball and a big blue box on grass": subjects in either order, sizes named now and then."""
    texts = []
    for seen, background, phrase in zip(looks(scenes), scenes.background.tolist(), scenes.phrase.tolist(), strict=True):
        ordered = seen[::-1] if phrase[0] < 0.5 else seen
        named = [with_article(look.phrase((phrase[6] * 4**look.k) % 1 < 0.4)) for look in ordered]
        texts.append(" and ".join(named) + f" on {BACKGROUNDS[background]}")
    return texts


def with_article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def side(look: Look, seen: list[Look]) -> str | None:
    """ "left" or "right" where that tells a subject from the one other; None where it does not."""
    others = [other for other in seen if other.k != look.k]
    if len(others) != 1:
        return None
    first, mean = others[0].first_x - look.first_x, others[0].mean_x - look.mean_x
    if min(abs(first), abs(mean)) < APART or (first > 0) != (mean > 0):
        return None
    return "left" if first > 0 else "right"


def names(look: Look, seen: list[Look]) -> list[str]:
    """Every way to say "the …" that means this subject and no other: by shape, by colour, by both, by place."""
    others = [other for other in seen if other.k != look.k]
    shape, colour = SHAPES[look.shape], COLOURS[look.colour]
    found = [f"{colour} {shape}"]
    if all(other.shape != look.shape for other in others):
        found.append(shape)
    if others and all(other.colour != look.colour for other in others):
        found.append(f"{colour} one")
    if where := side(look, seen):
        found += [f"{where} {shape}", f"{shape} on the {where}"]
    return found


def differing_words(source: str, target: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of each prompt that the other does not have in their place."""
    a, b = source.split(), target.split()
    gone, come = [], []
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            gone += a[a0:a1]
            come += b[b0:b1]
    return tuple(gone), tuple(come)

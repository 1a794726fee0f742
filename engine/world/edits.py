"""Edits of drawn scenes: the order in words, and the scene as it must look afterwards, exactly.

What is asked is drawn from the scene's own `phrase` numbers, so an edit is as reproducible as its scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from engine.world.language import Look, captions, differing_words, looks, names, with_article
from engine.world.scene import Scenes, Subjects, can_wear
from engine.world.words import BACKGROUNDS, CAMOUFLAGE, COLOURS, KINDS, MATERIALS, SHAPES, SIDES


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of one scene. `subject` k or −1 for the background; `wanted` indexes the vocabulary of the kind (−1 for
    removal; for an addition, 0 = left, 1 = right). The words in which the prompts differ are what FlowAnchor anchors."""

    kind: str
    subject: int
    wanted: int
    instruction: str
    source_prompt: str = ""
    target_prompt: str = ""
    source_words: tuple[str, ...] = ()
    target_words: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Edits:
    """B edits: draw `source` and `target` alike, and the second is the exact answer to the order about the first."""

    source: Scenes
    target: Scenes
    orders: list[Order]


def edits(scenes: Scenes, split: str = "train", kinds: Sequence[str] = KINDS) -> Edits:
    """One edit per scene, of a kind drawn from `kinds`. Where a drawn kind is impossible, the next one is taken.

    Raises ValueError where none of the kinds is possible for a scene.
    """
    source, target = _copy(scenes), _copy(scenes)
    orders = []
    for b, (seen, phrase) in enumerate(zip(looks(scenes), scenes.phrase.tolist(), strict=True)):
        begin = int(phrase[1] * len(kinds))
        for kind in [*kinds[begin:], *kinds[:begin]]:
            order = _MAKERS[kind](b, seen, source, target, split)
            if order is not None:
                break
        else:
            raise ValueError(f"scene {b} allows no edit of {', '.join(kinds)}")
        orders.append(order)
    texts = zip(orders, captions(source), captions(target), strict=True)
    return Edits(source, target, [_with_prompts(order, before, after) for order, before, after in texts])


def _with_prompts(order: Order, before: str, after: str) -> Order:
    gone, come = differing_words(before, after)
    return replace(order, source_prompt=before, target_prompt=after, source_words=gone, target_words=come)


def _choose(options: Sequence, number: float):  # type: ignore[no-untyped-def, type-arg]
    return options[int(number * len(options))]


def _recolour(b: int, seen: list[Look], source: Scenes, target: Scenes, split: str) -> Order | None:
    phrase, look = source.phrase[b].tolist(), _subject(seen, source, b)
    fits = [c for c in range(len(COLOURS)) if c != look.colour and _fits(look.k, look.shape, c, scenes=source, b=b, split=split)]
    if not fits:
        return None
    wanted = _choose(fits, phrase[3])
    target.subjects.colour[b, look.k] = wanted
    verb = _choose(("make", "paint", "turn"), phrase[5])
    return Order("colour", look.k, wanted, f"{verb} the {_name(look, seen, phrase)} {COLOURS[wanted]}")


def _cover(b: int, seen: list[Look], source: Scenes, target: Scenes, split: str) -> Order | None:
    phrase, look = source.phrase[b].tolist(), _subject(seen, source, b)
    wanted = _choose([m for m in range(len(MATERIALS)) if m != look.material], phrase[3])
    target.subjects.material[b, look.k] = wanted
    return Order("material", look.k, wanted, f"make the {_name(look, seen, phrase)} {MATERIALS[wanted]}")


def _reshape(b: int, seen: list[Look], source: Scenes, target: Scenes, split: str) -> Order | None:
    phrase, look = source.phrase[b].tolist(), _subject(seen, source, b)
    fits = [s for s in range(len(SHAPES)) if s != look.shape and _fits(look.k, s, look.colour, scenes=source, b=b, split=split)]
    if not fits:
        return None
    wanted = _choose(fits, phrase[3])
    target.subjects.shape[b, look.k] = wanted
    name, text = _name(look, seen, phrase), SHAPES[wanted]
    asked = _choose((f"turn the {name} into a {text}", f"replace the {name} with a {text}"), phrase[5])
    return Order("shape", look.k, wanted, asked)


def _move(b: int, seen: list[Look], source: Scenes, target: Scenes, split: str) -> Order | None:
    phrase, now = source.phrase[b].tolist(), int(source.background[b])
    hidden = {place for place, colour in CAMOUFLAGE for look in seen if look.colour == colour}
    wanted = _choose([place for place in range(len(BACKGROUNDS)) if place != now and place not in hidden], phrase[3])
    target.background[b] = wanted
    text = BACKGROUNDS[wanted]
    return Order("background", -1, wanted, _choose((f"change the background to {text}", f"put everything on {text}"), phrase[5]))


def _remove(b: int, seen: list[Look], source: Scenes, target: Scenes, split: str) -> Order | None:
    phrase, look = source.phrase[b].tolist(), _subject(seen, source, b)
    target.subjects.present[b, look.k] = False
    return Order("removal", look.k, -1, f"{_choose(('remove', 'delete'), phrase[5])} the {_name(look, seen, phrase)}")


def _add(b: int, seen: list[Look], source: Scenes, target: Scenes, split: str) -> Order | None:
    """The new subject stands still on the free side, upright and of middle size: the order leaves nothing else open."""
    subjects, phrase = target.subjects, source.phrase[b].tolist()
    count = subjects.present.shape[1]
    if count < 2:
        return None
    k = _choose(range(count), phrase[2]) if len(seen) == count else next(i for i in range(count) if not subjects.present[b, i])
    others = [look for look in seen if look.k != k]
    wanted = int(sum(look.mean_x for look in others) / len(others) < source.width / 2)
    source.subjects.present[b, k] = False
    _stand_still(subjects, b, k)
    subjects.present[b, k] = True
    subjects.middle[b, k, 0] = source.width * (0.25 + 0.5 * wanted)
    subjects.middle[b, k, 1] = 0.5
    subjects.size[b, k] = 0.17
    look = next(look for look in looks(target[[b]])[0] if look.k == k)
    return Order("addition", k, wanted, f"add {with_article(look.phrase(False))} on the {SIDES[wanted]}")


def _stand_still(subjects: Subjects, b: int, k: int) -> None:
    for wave in (subjects.sway, subjects.rock, subjects.swell, subjects.bend):
        wave.amplitude[b, k] = 0
    subjects.angle[b, k] = 0
    subjects.spin[b, k] = 0


_MAKERS = {
    "colour": _recolour,
    "material": _cover,
    "shape": _reshape,
    "background": _move,
    "removal": _remove,
    "addition": _add,
}


def _subject(seen: list[Look], scenes: Scenes, b: int) -> Look:
    return _choose(seen, float(scenes.phrase[b, 2]))


def _name(look: Look, seen: list[Look], phrase: list[float]) -> str:
    return _choose(names(look, seen), phrase[4])


def _fits(k: int, shape: int, colour: int, *, scenes: Scenes, b: int, split: str) -> bool:
    """Whether subject k may look so beside the others, in this place and split."""
    subjects = scenes.subjects
    same = (subjects.shape[b] == shape) & (subjects.colour[b] == colour) & subjects.present[b]
    same[k] = False
    worn = can_wear(torch.tensor([shape]), torch.tensor([colour]), scenes.background[b : b + 1], split)
    return bool(worn) and not bool(same.any())


def _copy(scenes: Scenes) -> Scenes:
    return scenes[torch.arange(len(scenes))]

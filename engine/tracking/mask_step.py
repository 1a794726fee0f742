"""One step of all subjects' masks together, from a frame to its neighbour.

Each subject is moved along its motion; then motion, colours near each place, colours overall and remembered patches say how
likely each pixel is the subject's rather than anything else's, other subjects included; and the subjects share each pixel by
these odds.

Odds are logarithms, 0 = undecided. Soft masks are (h, w) float32 0–1 at motion scale and never sum to more than 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.motion.steps import Steps
from engine.segmentation.outline import guided
from engine.tracking.appearance import Palette, colour_bins, local_odds
from engine.tracking.mask_find import Sought, found_again, taken_part
from engine.tracking.mask_memory import CELL, LIMIT, PatchMemory, cells, odds_of, patches
from engine.tracking.mask_motion import Moved, Picture, SubjectMotion, picture_of
from engine.types import FrameIndex

BY_MOTION, BY_PLACE, BY_COLOUR, BY_MEMORY = 0.8, 0.7, 0.2, 1.2  # weights of the four voices
OUTSIDE = 0.5  # weight of motion where it says "outside": a part that was missed once must be able to come back
DOUBTFUL = 0.8  # px on both sides of its outline where motion says little
SURE = 3.0  # odds that motion alone, and all voices together, can give
REACH = 14.0  # px: no mask changes further than this from where motion puts it …
REACH_UNSURE = 20.0  # … and so much more where its motion is not believed at all
EDGE_RADIUS, EDGE_EPSILON = 2, 4e-4  # of the smoothing along edges
SPECK = 0.05  # parts smaller than this share of the largest are noise
FEW = 6  # patches wholly inside; a subject that has less is thin, and known by those that are partly inside
LEARN_EVERY = 3  # frames
GONE = 0.08  # share of its usual area below which a subject counts as lost
DOUBT, UNLIKE = -0.6, 1.0  # mean odds of its patches, and below those when given, where what is left of it is something else
SURELY_NOT = -0.5  # odds of a patch that is not a subject's
SEARCH_AFTER = 2  # frames
UNSEEN, FOUND = 0.3, 0.6  # trust while a subject is not seen, and after it was found again, as share of what it was


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """One frame at motion scale: bins (h, w) int32 (colour), guide (h, w) float32 0–1."""

    frame: FrameIndex
    picture: Picture
    bins: np.ndarray
    guide: np.ndarray


class Looks:
    """Fetches frames at motion scale."""

    def __init__(self, steps: Steps) -> None:
        self._pictures, self.size = steps.pictures, steps.size

    def at(self, frame: FrameIndex) -> Look:
        rgb = cv2.resize(self._pictures.rgb(frame), self.size[::-1], interpolation=cv2.INTER_AREA)
        picture = picture_of(rgb)
        return Look(frame, picture, colour_bins(rgb), picture.gray.astype(np.float32) / 255)


class CarriedSubject:
    """A subject on its way: `soft` (h, w) float32 0–1 in the current frame, `trust` 0–1 in it.

    `area`: px it has while it is seen well; `lost`: frames since then; `centre`: (x, y) px where it was then.
    """

    def __init__(self, soft: np.ndarray, palette: Palette) -> None:
        self.soft, self.palette, self.trust, self._chain = soft, palette, 1.0, 1.0
        self.motion = SubjectMotion()
        self.area, self.lost, self.centre = float((soft > 0.5).sum()), 0, _centre(soft)

    def seen(self, soft: np.ndarray, recalled: np.ndarray, doubt: float) -> None:
        """Takes the mask of a new frame; `recalled` (h, w): odds of its patches; below `doubt` it is something else."""
        inside = soft > 0.5
        area = float(inside.sum())
        evidence = float(recalled[inside].mean()) if area else -LIMIT
        self.soft = np.zeros_like(soft) if evidence < doubt else soft
        believed = soft > 0.02
        sure = float(np.abs(2 * soft - 1)[believed].mean()) if believed.any() else 0.0
        self._chain *= 0.9 + 0.1 * sure
        self.trust = self._chain * UNSEEN
        if area < GONE * self.area or evidence < doubt:
            self.lost += 1
            return
        if self.lost >= SEARCH_AFTER:
            self._chain *= FOUND
        self.trust = self._chain
        self.lost, self.centre = 0, _centre(soft)
        self.area += 0.1 * (area - self.area)


class Carrier:
    """All subjects of a pass, by number."""

    def __init__(self, steps: Steps, look: Look, memory: PatchMemory) -> None:
        self._steps, self._look, self._memory = steps, look, memory
        self._length = 0
        self.subjects: dict[int, CarriedSubject] = {}

    def put(self, subject: int, soft: np.ndarray, palette: Palette) -> None:
        """Sets a subject's mask in the current frame: what is given is sure, and taken from the others."""
        self.subjects[subject] = CarriedSubject(soft, palette)
        for other, one in self.subjects.items():
            if other != subject:
                one.soft = np.minimum(one.soft, 1 - soft)

    def advance(self, look: Look) -> None:
        """Goes on to the neighbouring frame."""
        before, self._look = self._look, look
        flows = self._steps.flow(look.frame, before.frame), self._steps.flow(before.frame, look.frame)
        moves = {n: one.motion.step(one.soft, before.picture, look.picture, flows) for n, one in self.subjects.items()}
        seen = self._memory.reduced(patches(look.picture.lab))
        recalled = self._recalled(seen, look, moves)
        odds: dict[int, np.ndarray] = {}
        for number, one in self.subjects.items():
            moved = moves[number]
            odds[number] = np.full(look.guide.shape, -2 * SURE, np.float32)
            if moved is not None:
                remembered = _enlarged(recalled[number], look)[moved.window]
                odds[number][moved.window] = _odds(one, before, look, moved, remembered)
        shared = _shared(odds)
        for number, one in self.subjects.items():
            one.seen(shared[number], _enlarged(recalled[number], look), min(DOUBT, self._memory.telling.get(number, 0) - UNLIKE))
        self._give_back(seen, look)
        self._search(look, recalled)
        self._length += 1
        if self._length % LEARN_EVERY == 0:
            self._learn(seen, look, recalled)

    def _recalled(self, seen: np.ndarray, look: Look, moves: dict[int, Moved | None]) -> dict[int, np.ndarray]:
        """(rows, columns) odds of the patches for every subject: where one may be, or everywhere while one is lost."""
        rows, columns = look.guide.shape[0] // CELL, look.guide.shape[1] // CELL
        asked = np.full((rows, columns), any(one.lost for one in self.subjects.values()))
        for moved in moves.values():
            if moved is not None:
                y, x = moved.window
                asked[y.start // CELL : y.stop // CELL + 1, x.start // CELL : x.stop // CELL + 1] = True
        distances = self._memory.distances(seen[asked.ravel()])
        found = {}
        for number in moves:
            found[number] = np.full((rows, columns), -LIMIT, np.float32)
            found[number][asked] = odds_of(distances, number)
        return found

    def _give_back(self, seen: np.ndarray, look: Look) -> None:
        """Gives a lost subject what another took of it while they touched. What the marked frames show decides: what was learned
        since may be the other's by mistake."""
        lost = {number for number, one in self.subjects.items() if one.lost >= SEARCH_AFTER}
        holders = [number for number in self.subjects if number not in lost]
        if not lost or not holders:
            return
        shape = look.guide.shape[0] // CELL, look.guide.shape[1] // CELL
        held = cells(sum((self.subjects[n].soft for n in holders), np.zeros_like(look.guide))) > 0.3
        distances = self._memory.distances(seen[held.ravel()], recent=False)
        for number in sorted(lost):
            one = self.subjects[number]
            for holder in holders:
                if number not in distances or holder not in distances:
                    continue
                rather = np.zeros(shape, np.float32)
                rather[held] = odds_of({n: distances[n] for n in (number, holder)}, number)
                part = taken_part(Sought(one.area, one.centre, one.lost), self.subjects[holder].soft, rather)
                if part is not None:
                    one.soft = np.where(part, self.subjects[holder].soft, one.soft)
                    self.subjects[holder].soft = np.where(part, 0, self.subjects[holder].soft)
                    break

    def _search(self, look: Look, recalled: dict[int, np.ndarray]) -> None:
        """Looks for lost subjects among what no other subject holds."""
        for number, one in self.subjects.items():
            if one.lost < SEARCH_AFTER:
                continue
            others = sum((other.soft for n, other in self.subjects.items() if n != number), np.zeros_like(look.guide))
            part = found_again(Sought(one.area, one.centre, one.lost), recalled[number], cells(others))
            if part is not None:
                soft = guided(look.guide, _enlarged(part, look), int(EDGE_RADIUS), EDGE_EPSILON).clip(0, 1)
                one.soft = np.minimum(np.maximum(one.soft, soft), 1 - np.minimum(others, 1))

    def _learn(self, seen: np.ndarray, look: Look, recalled: dict[int, np.ndarray]) -> None:
        """Remembers patches that are beyond doubt: inside a subject and known as such, or far from all of them."""
        held = sum((one.soft for one in self.subjects.values()), np.zeros_like(look.guide))
        labels = np.full(recalled[next(iter(recalled))].shape, -1)
        if not any(one.lost for one in self.subjects.values()):
            labels[cells(cv2.dilate(held, np.ones((25, 25), np.uint8))) < 0.02] = PatchMemory.REST
        for number, one in self.subjects.items():
            if one.lost == 0:
                core = cells(cv2.erode(one.soft, np.ones((3, 3), np.uint8))) > 0.95
                labels[core & (recalled[number] > 0.5)] = number
        self._memory.learn(seen, labels.ravel(), given=False)


def learn_given(memory: PatchMemory, look: Look, softs: dict[int, np.ndarray]) -> None:
    """Remembers the subjects' patches of a given frame."""
    seen, labels, _ = _labelled(memory, look, softs)
    memory.learn(seen, labels, given=True)


def learn_rest(memory: PatchMemory, look: Look, softs: dict[int, np.ndarray], absent: dict[int, PatchMemory]) -> None:
    """Remembers the patches of a given frame that are no subject's.

    The `absent` subjects are not marked there; what may be one of them, by a memory that knows it and its own given frame, is
    left out.
    """
    seen, labels, held = _labelled(memory, look, softs)
    rest = held < 0.1
    for number, known in absent.items():
        rest &= odds_of(known.distances(seen), number) < SURELY_NOT
    labels[rest] = PatchMemory.REST
    memory.learn(seen, np.where(rest, labels, -1), given=True)
    shape = look.guide.shape[0] // CELL, look.guide.shape[1] // CELL
    for number in softs:
        if number not in memory.telling:
            memory.judge(seen.reshape(*shape, -1), labels.reshape(shape), number)


def _labelled(memory: PatchMemory, look: Look, softs: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reduced patches (n, …) of a frame, whose they are (n,) or −1, and what share of each (n,) subjects hold."""
    seen = memory.reduced(patches(look.picture.lab))
    labels, held = np.full(len(seen), -1), np.zeros(len(seen), np.float32)
    for number, soft in softs.items():
        share = cells(soft).ravel()
        whole = share > 0.7
        labels[whole if whole.sum() >= FEW else share > max(0.05, 0.6 * float(share.max()))] = number
        held += share
    return seen, labels, held


def _odds(one: CarriedSubject, before: Look, look: Look, moved: Moved, remembered: np.ndarray) -> np.ndarray:
    """(h', w') float32 in the window of `moved`: odds that a pixel is the subject's."""
    window = moved.window
    bins = look.bins[window]
    by_motion = SURE * np.clip(2 * cv2.GaussianBlur(moved.soft, (0, 0), DOUBTFUL) - 1, -1, 1) * moved.agree
    by_motion = np.where(by_motion < 0, OUTSIDE * by_motion, by_motion)
    by_place = _place_odds(one.soft, before, moved, bins)
    odds = BY_MOTION * by_motion + BY_PLACE * by_place + BY_COLOUR * one.palette.odds(bins) + BY_MEMORY * remembered
    odds = np.clip(odds, -SURE, SURE)
    inside = (moved.soft >= 0.5).astype(np.uint8)
    if inside.any() and not inside.all():
        reach = REACH + REACH_UNSURE * (1 - cv2.blur(moved.agree, (15, 15)))
        odds[cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3) > reach] = -SURE
    return guided(look.guide[window], odds.astype(np.float32), int(EDGE_RADIUS), EDGE_EPSILON)


def _place_odds(soft: np.ndarray, before: Look, moved: Moved, bins: np.ndarray) -> np.ndarray:
    """(h', w') odds from the colours that were seen near each place in the frame before, moved along."""
    (height, width), (rows, columns) = soft.shape, moved.window
    x = np.clip(np.rint(moved.places[..., 0]), 0, width - 1).astype(np.int32)
    y = np.clip(np.rint(moved.places[..., 1]), 0, height - 1).astype(np.int32)
    here = soft[y, x].ravel()
    ys, xs = np.mgrid[: bins.shape[0], : bins.shape[1]].astype(np.float32)
    # The subject's own pixels once more, moved as a whole: what its motion lost is not forgotten.
    own_y, own_x = np.nonzero(soft > 0.5)
    own = np.stack([own_x + moved.shift[0] - columns.start, own_y + moved.shift[1] - rows.start], -1)
    value = soft[own_y, own_x]
    return local_odds(
        np.concatenate([np.stack([xs, ys], -1).reshape(-1, 2), own.astype(np.float32)]),
        np.concatenate([before.bins[y, x].ravel(), before.bins[own_y, own_x]]),
        np.concatenate([here, value]),
        np.concatenate([np.abs(2 * here - 1), 0.5 * (2 * value - 1)]),
        bins,
    )


def _shared(odds: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Soft masks by subject: each pixel goes to who is likeliest, "none of them" included."""
    shares = {number: np.exp(2 * value) for number, value in odds.items()}
    total = sum(shares.values(), np.float32(1))
    return {number: _kept_parts(np.asarray(share / total, np.float32)) for number, share in shares.items()}


def _enlarged(small: np.ndarray, look: Look) -> np.ndarray:
    """Values by cell -> (h, w)."""
    return cv2.resize(small, look.guide.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _centre(soft: np.ndarray) -> tuple[float, float]:
    """(x, y) px of the middle of what is inside; the origin where nothing is."""
    ys, xs = np.nonzero(soft > 0.5)
    return (float(xs.mean()), float(ys.mean())) if len(xs) else (0.0, 0.0)


def _kept_parts(soft: np.ndarray) -> np.ndarray:
    """Without specks."""
    inside = (soft >= 0.5).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count > 2:
        areas = stats[1:, cv2.CC_STAT_AREA]
        small = 1 + np.flatnonzero(areas < SPECK * areas.max())
        soft = np.where(np.isin(parts, small), 0, soft)
    return np.where(soft < 0.05, 0, soft).astype(np.float32)

"""One pass over the frames of a clip: points go along from where they are known, in one direction.

For every frame and point: motion says where to look (engine/tracking/company.py), the point's own patch, as it was seen
where the user put it, says where it is (engine/tracking/patches.py), coarse to fine. So nothing drifts, however far it
goes. Where the patch is not found the point counts as hidden: it goes on with its surroundings, and its patch is looked
for around there on every frame until it is found again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.tracking.camera import Camera
from engine.tracking.company import Company, Motion, Panned, Prediction
from engine.tracking.patches import WINDOW, Aligned, Pose, Templates, align, pyramid, search

ALIKE = 0.8  # likeness from which a patch is the point's
STILL_ALIKE = 0.5  # … while it is followed without a break
FOUND_AGAIN = 0.85  # … after it was lost
FAINT = 12.0  # grey levels of contrast below which the finest level says little, and the next one decides
SOMEHOW = 0.2
BARE, DIMMER = 3.0, 12.0  # grey levels: of contrast without marks, and that brightness may differ by
SHARED, DOUBTFUL = 0.4, 0.3
BETTER = 0.03  # likeness
AGREE = 1.0  # px between a point and where following it back and forth ends
STRAY = 15.0  # px that following frame by frame may differ from the surroundings' motion
JUMPS = (4.0, 8.0, 6.0)  # px from the guess: followed, only predicted, hidden
HELD = 2.5  # px that a point without marks may be away from where the camera takes it
LEAP = 24.0  # px that what was seen on the last frame may be away from the guess
AT_ONCE = 256  # points worked on together; bounds the memory
FOLLOW = {"winSize": (21, 21), "maxLevel": 2, "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.03)}


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """A frame as a pass sees it: gray (h, w) uint8, its pyramid, the motion to it from the frame before in the pass."""

    gray: np.ndarray
    levels: list[np.ndarray]
    before: np.ndarray | None
    motion: Motion | None


class Walk:
    """The state of P points: `xy` (P, 2) float32, `seen` (P,) bool, `confidence` (P,) float32."""

    def __init__(self, count: int) -> None:
        self.xy = np.zeros((count, 2), np.float32)
        self.seen, self.confidence = np.zeros(count, bool), np.zeros(count, np.float32)
        self._matrix = np.tile(np.eye(2, dtype=np.float32), (count, 1, 1))
        self._known = np.zeros(count, bool)  # whether there is a patch to find
        self._faint = np.zeros(count, bool)  # whether there is little in it
        self._hidden = np.zeros(count, np.float32)  # frames
        self._templates, self._company = Templates(count), Company(count)
        self._cameras: dict[int, Camera] = {}  # since each of the frames on which points were begun
        self._camera = np.zeros(count, int)
        self._ground = np.zeros((count, 2))  # where the camera's first picture shows the place that a point has

    def begin(self, which: np.ndarray, view: View, xy: np.ndarray, seen: np.ndarray) -> None:
        """Points `which` are at xy (n, 2) in this frame; of those that are `seen` there the patch is kept."""
        self.xy[which], self.seen[which], self.confidence[which] = xy, seen, seen
        self._known[which], self._hidden[which] = seen, 0
        pose = Pose(self.xy[which], self._matrix[which])
        self._templates.learn(which, view.levels, pose)
        self._faint[which] = self._templates.at(which, 0).contrast() < FAINT
        self._company.begin(which, view.levels[-1], pose, self._faint[which])
        number = max(self._cameras, default=0) + 1
        self._cameras[number] = Camera(view.levels)
        self._camera[which], self._ground[which] = number, xy

    def advance(self, which: np.ndarray, view: View) -> None:
        """Points `which`, all that go on from here, go on to the next frame."""
        assert view.motion is not None, "advance on the first frame"
        self._cameras = {number: self._cameras[number] for number in np.unique(self._camera[which])}
        before = {number: np.linalg.inv(camera.total) for number, camera in self._cameras.items()}
        for camera in self._cameras.values():
            camera.advance(view.levels, view.motion.camera)
        for start in range(0, len(which), AT_ONCE):
            some = which[start : start + AT_ONCE]
            totals = np.stack([self._cameras[number].total for number in self._camera[some]])
            steps = totals @ np.stack([before[number] for number in self._camera[some]])
            self._advance(some, view, totals, steps)

    def _advance(self, which: np.ndarray, view: View, totals: np.ndarray, steps: np.ndarray) -> None:
        """`totals`, `steps` (n, 3, 3): the camera's motion since each point's beginning, and since the last frame."""
        assert view.before is not None and view.motion is not None, "advance on the first frame"
        old = Pose(self.xy[which], self._matrix[which])
        camera = Panned(_panned(totals, self._ground[which]), _panned(steps, old.xy).xy)
        guess = self._company.predict(which, view.motion, old, camera)
        followed, steady = _followed(view, old.xy, guess.pose.xy)
        steady &= self.seen[which] & (np.linalg.norm(followed - guess.pose.xy, axis=1) < STRAY) & ~guess.held
        start = Pose(np.where(steady[:, None], followed, guess.pose.xy).astype(np.float32), guess.pose.matrix)
        found, good = self._found(which, view, guess, start, steady)
        # What moved steadily and still looks somewhat like itself is there, only changed: where it is, motion says.
        kept = steady & ~good & (found.likeness > STILL_ALIKE)
        new = found.pose.where(good, start.where(kept, guess.pose))
        seen = (good | kept) & self._known[which]
        self._company.learn(which, guess, old, new, seen)
        marked = np.flatnonzero(good & ~self._faint[which])
        self._ground[which[marked]] = _panned(np.linalg.inv(totals[marked]), new.xy[marked]).xy
        height, width = view.gray.shape
        inside = ((new.xy >= -0.5) & (new.xy <= np.array([width, height]) - 0.5)).all(axis=1)
        self.xy[which], self._matrix[which] = new
        self.seen[which] = seen & inside
        self._hidden[which] = np.where(seen & inside, 0, self._hidden[which] + 1)
        self.confidence[which] = np.where(seen & inside, np.clip(found.likeness, 0.05, 1), 0)

    def _found(
        self, which: np.ndarray, view: View, guess: Prediction, start: Pose, steady: np.ndarray
    ) -> tuple[Aligned, np.ndarray]:
        """Where the patches are seen, and whether that is to be believed (n,) bool."""
        finest = self._templates.at(which, 0)
        led, middle, whole = self._led(which, view, guess)
        alone = align(view.levels, finest, start, WINDOW, (2, 2))
        lone = alone.likeness > whole.likeness + BETTER
        best = alone.where(lone, whole)
        # Where the finest level is little more than noise, the one above has to agree.
        faint = (middle.likeness > ALIKE) & (best.likeness > SOMEHOW)
        alike = np.where(self._faint[which], faint, best.likeness > ALIKE)
        from_where = start.where(lone & steady, led).xy
        hidden = self._hidden[which]
        room = np.where(self.seen[which], np.where(steady, *JUMPS[:2]), JUMPS[2] + 2 * np.sqrt(hidden))
        room = np.where(guess.held, HELD, room)
        good = alike & (np.linalg.norm(best.pose.xy - from_where, axis=1) < room)
        # A patch without any marks can be anywhere on its surface: it goes with that as long as it is as bright.
        plain = np.maximum(finest.contrast(), self._templates.at(which, 1).contrast()) < BARE
        bare = plain & (guess.share > SHARED) & (finest.brighter(view.levels, guess.pose) < DIMMER)
        best, good = Aligned(guess.pose, np.full(len(which), DOUBTFUL)).where(bare & ~good, best), good | bare
        best = Aligned(guess.pose, best.likeness).where(guess.held & good, best)
        lost = np.flatnonzero(~steady & ~good & self._known[which])
        if len(lost):
            again = self._searched(which[lost], view, guess.pose.at(lost))
            far = np.where(self.seen[which][lost], LEAP, JUMPS[1] + 3 * np.sqrt(hidden[lost]))
            far = np.where(guess.held[lost], HELD, far)
            near = np.linalg.norm(again.pose.xy - guess.pose.xy[lost], axis=1) < far
            at, put = np.zeros(len(which), bool), np.zeros(len(which), int)
            at[lost], put[lost] = (again.likeness > FOUND_AGAIN) & near, np.arange(len(lost))
            best, good = again.at(put).where(at, best), good | at
        return best, good

    def _led(self, which: np.ndarray, view: View, guess: Prediction) -> tuple[Pose, Aligned, Aligned]:
        """Coarse to fine from where motion leads: from which poses, and what is seen at levels 1 and 0. Where the camera's
        motion and that of the surroundings are two, both are tried."""
        middle, whole = self._finer(which, view, guess.pose)
        split = np.flatnonzero(guess.split & self._known[which])
        if not len(split):
            return guess.pose, middle, whole
        one, other = self._finer(which[split], view, guess.other.at(split))
        better, put = np.zeros(len(which), bool), np.zeros(len(which), int)
        better[split] = one.likeness + other.likeness > middle.likeness[split] + whole.likeness[split] + BETTER
        put[split] = np.arange(len(split))
        return guess.other.where(better, guess.pose), one.at(put).where(better, middle), other.at(put).where(better, whole)

    def _finer(self, which: np.ndarray, view: View, pose: Pose) -> tuple[Aligned, Aligned]:
        """What is seen near poses at levels 1 and 0, each from where the level above puts it."""
        finest, finer, coarse = (self._templates.at(which, level) for level in range(3))
        finest_window, fine_window, coarse_window = (WINDOW * window for window in self._company.windows(which))
        wide = align(view.levels, coarse, pose, coarse_window, (3, 2))
        middle = align(view.levels, finer, wide.pose, fine_window, (1, 2))
        return middle, align(view.levels, finest, middle.pose, finest_window, (1, 2))

    def _searched(self, which: np.ndarray, view: View, pose: Pose) -> Aligned:
        """Where the patches of lost points are seen around their poses; likeness −1 where the level above does not agree."""
        finer, window = self._templates.at(which, 1), WINDOW * self._company.windows(which)[1]
        near = align(view.levels, finer, Pose(search(view.levels, finer, pose), pose.matrix), window, (2, 2))
        found = align(view.levels, self._templates.at(which, 0), near.pose, WINDOW, (1, 2))
        return Aligned(found.pose, np.where(near.likeness > ALIKE, found.likeness, -1))


def _panned(totals: np.ndarray, ground: np.ndarray) -> Pose:
    """Poses of places ground (n, 2) under the camera's motions totals (n, 3, 3)."""
    turn = totals[:, :2, :2]
    xy = (turn @ ground[..., None])[..., 0] + totals[:, :2, 2]
    return Pose(xy.astype(np.float32), turn.astype(np.float32))


def _followed(view: View, xy: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) followed from the frame before, starting at guesses, and whether going back agrees (n,) bool."""
    start, guess = (np.ascontiguousarray(one[:, None], np.float32) for one in (xy, guess))
    options = {**FOLLOW, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    there, fine, _ = cv2.calcOpticalFlowPyrLK(view.before, view.gray, start, guess.copy(), **options)  # type: ignore[call-overload]
    back, fine_back, _ = cv2.calcOpticalFlowPyrLK(view.gray, view.before, there, start.copy(), **options)  # type: ignore[call-overload]
    error = np.linalg.norm((back - start)[:, 0], axis=1)
    return there[:, 0], (fine[:, 0] > 0) & (fine_back[:, 0] > 0) & (error < AGREE)


class Views:
    """Looks at frames in the order of a pass. `gray(frame)` (h, w) uint8."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before: np.ndarray | None = None

    def next(self, gray: np.ndarray, moves: bool) -> View:
        """`moves`: whether points go on to this frame from the last one, so that the motion between them is needed."""
        before, self._before = self._before, gray
        motion = Motion(self._dis, before, gray) if moves and before is not None else None
        return View(gray, pyramid(gray), before, motion)

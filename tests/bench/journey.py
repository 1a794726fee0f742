"""A new user's way from opening a clip to the exported one, in headless Chromium: pointer acts, seconds, masks.

One clip after the other in one editor, as somebody would try it. Without `--clips` a drawn, photo-like clip of 480p. Where a
clip has masks, the user marks its largest subject, with clicks where the mask is wrong, and what is carried is compared with
them; else they click once in the middle of the picture.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from engine.media.reader import open_video
from tests.bench.browser import OPEN_WITHIN, OPENED, VIEWPORT, chromium
from tests.bench.editor import editor_server
from tests.bench.harness import BenchError, Figure, Report, say
from tests.bench.journey_user import Journey, NewUser

DRAWN_FRAMES = 40

FIGURES = (
    Figure("acts", "pointer acts from opening a clip to its export, worst clip", "", 14),
    Figure("acts_mean", "the same, mean over clips", ""),
    Figure("seconds", "seconds from opening to the exported clip, worst clip", "s"),
    Figure("waiting", "of these, propagation and export, worst clip", "s"),
    Figure("alerts", "acts that the page refused on the way, all clips", "", 0),
    Figure("marked", "J of the marked frame after the clicks, mean over clips with masks", "", 0.9, "higher"),
    Figure("carried", "J over the clip at the end, mean over clips with masks of all frames", "", better="higher"),
)

Trip = tuple[Path, np.ndarray | None]
"""A clip and what the user wants to change in it: (T, H, W) bool of all frames or of the first, or None."""


def run(report: Report, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
        wanted = options.only.split(",") if options.only else []
        trips = list(_real(options.clips, wanted) if options.clips else _drawn(Path(folder), options.seed))
        if not trips:
            raise BenchError("There is no clip to try.")
        journeys = _tried(trips, Path(folder) / "home")
    for one in journeys:
        report.note(_line(one))
    report.reach("acts", max(one.acts for one in journeys))
    report.reach("acts_mean", float(np.mean([one.acts for one in journeys])))
    report.reach("seconds", max(one.total for one in journeys))
    report.reach("waiting", max(one.seconds["propagate"] + one.seconds["export"] for one in journeys))
    report.reach("alerts", sum(len(one.alerts) for one in journeys))
    for key in ("marked", "carried"):
        known = [value for one in journeys if (value := getattr(one, key)) is not None]
        if known:
            report.reach(key, float(np.mean(known)))
    report.lack("No clip has masks to compare with.")


def _tried(trips: list[Trip], home: Path) -> list[Journey]:
    from playwright.sync_api import Error

    journeys = []
    with editor_server(home) as server, chromium() as browser:
        server.wait_for("/")
        for clip, truth in trips:
            say(f"journey, {clip.parent.name}")
            context = browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
            page = context.new_page()
            try:
                page.goto(server.page)
                page.wait_for_function(OPENED, timeout=OPEN_WITHIN)
                journeys.append(NewUser(page, server, clip, truth).go())
            except Error as error:
                raise BenchError(f"{clip.parent.name}: the page did not lead on: {error.message.splitlines()[0]}") from error
            finally:
                context.close()
    return journeys


def _line(one: Journey) -> str:
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in one.seconds.items())
    masks = "" if one.marked is None else f"; J {one.marked:.2f} after {one.clicks} clicks"
    over = "" if one.carried is None else f", {one.carried:.2f} over the clip"
    said = f"; refused: {' | '.join(one.alerts)}" if one.alerts else ""
    return f"{one.clip}: {one.frames} frames, {one.acts} acts, {one.total:.0f} s ({parts}){masks}{over}{said}"


# --- the clips --------------------------------------------------------------------------------------------


def _real(folder: Path, wanted: list[str]) -> Iterator[Trip]:
    """Each clip of the folder, or those that are wanted by name."""
    for place in sorted(one for one in folder.iterdir() if one.is_dir()):
        source = place / "video.mp4" if (place / "video.mp4").exists() else place / "frames"
        if source.exists() and (not wanted or place.name in wanted):
            yield source, _truth(place, source)


def _truth(place: Path, source: Path) -> np.ndarray | None:
    """The largest subject of frame 0 in the clip's masks; None where there are none of the clip's own size."""
    files = sorted((place / "masks").glob("*.png")) or sorted(place.glob("mask_*.png"))
    with open_video(source) as reader:
        size, count = reader.video.size, reader.video.frames
    labels = []
    for file in files[:count]:
        with Image.open(file) as picture:
            values = np.array(picture if picture.mode in ("P", "L") else picture.convert("L"))
        labels.append((values > 127).astype(np.uint8) if values.max() > 16 else values)
    if not labels or labels[0].shape != size or not labels[0].any():
        return None
    numbers, areas = np.unique(labels[0][labels[0] > 0], return_counts=True)
    subject = numbers[int(areas.argmax())]
    return np.stack([values == subject for values in labels]) if len(labels) == count else (labels[0] == subject)[None]


def _drawn(folder: Path, seed: int) -> Iterator[Trip]:
    import av

    from engine.world.draw import PHOTO, frames
    from engine.world.scene import Lot, sample

    size = (480, 854)
    scene = sample(seed, [0], "test", Lot(subjects=2, width=size[1] / size[0], octaves=6))
    path, seen = folder / "drawn" / "clip.mp4", []
    path.parent.mkdir()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for picture, masks in frames(scene, size, DRAWN_FRAMES, PHOTO):
            seen.append(masks >= 128)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        out.mux(stream.encode(None))
    whole = np.stack(seen, axis=1)  # (subjects, T, H, W)
    yield path, whole[int(whole[:, 0].mean((1, 2)).argmax())]

"""OpenTimelineIO (.otio): a clip with its in–out range, anchors as markers on it. JSON that needs no library.

Timeline.1 › Stack.1 › Track.1 › Clip.2 with a media reference; times are RationalTime.1, counted in frames of the clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from engine.errors import MediaError
from engine.interchange.files import read_text, whole
from engine.store.strict import parse_strict

MAX_BYTES = 64 * 2**20
DEPTH = 40
NAMESPACE = "anchor_editor"
"""Our own part of a marker's metadata."""
KEY = "DEFAULT_MEDIA"


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker: `at` seconds into the media, lasting `seconds`."""

    at: float
    name: str = ""
    seconds: float = 0.0
    told: dict[str, Any] | None = None
    """What we wrote with it, if we did."""


@dataclass(frozen=True, slots=True)
class MediaClip:
    """A clip of a timeline: where its media lies (an address, or a path), the seconds of it that are used, its markers.

    `begins`: the media's own time of its first frame, which is taken off everywhere.
    """

    name: str
    target: str
    start: float
    stop: float
    rate: float
    marks: tuple[Mark, ...]

    def path(self, beside: Path) -> Path:
        """The file, or the folder of stills, on this machine: as it is said, or by its name beside the timeline.

        Raises:
            MediaError: the media is on another machine, or is not there.
        """
        name = f"“{self.name[:60]}”"
        if not self.target:
            raise MediaError(f"The clip {name} of the timeline names no media; link it in the other program first.")
        parts = urlsplit(self.target) if "://" in self.target else None
        if parts and (parts.scheme != "file" or parts.netloc not in ("", "localhost")):
            raise MediaError(f"The clip {name} lies on another machine ({parts.scheme}); copy it to this one first.")
        text = unquote(parts.path if parts else self.target).replace("\\", "/")
        said = Path(text[1:] if len(text) > 2 and text[0] == "/" and text[2] == ":" else text)
        if "\0" in text or text.startswith("//"):
            raise MediaError(f"The clip {name} lies on another machine; copy it to this one first.")
        for place in (said if said.is_absolute() else beside / said, beside / said.name):
            if place.exists() and said.name:
                return place
        raise MediaError(f"The clip “{said.name[:80]}” of the timeline is not there; put it beside the .otio file.")


# --- writing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stills:
    """A folder of numbered pictures as media: its address, what comes before and after the number, its digits."""

    base: str
    prefix: str
    suffix: str
    digits: int
    first: int


def write_timeline(path: Path, name: str, media: str | Stills, clip: MediaClip, seconds: tuple[float, float]) -> None:
    """Writes one clip with its markers. `media` is its address; `seconds`: the media's own time of its first frame, and its
    length. Editors look for frames by that time, which is the camera's clock where the media has one.

    Raises:
        MediaError: the disk does not take it.
    """
    body = timeline_json(name, media, clip, seconds)
    with whole(path) as temporary:
        temporary.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def timeline_json(name: str, media: str | Stills, clip: MediaClip, seconds: tuple[float, float]) -> dict[str, Any]:
    """The timeline as OpenTimelineIO writes it."""
    rate, (begins, length) = clip.rate, seconds
    shown = {
        "OTIO_SCHEMA": "Clip.2",
        "name": clip.name,
        "enabled": True,
        "source_range": _range(begins + clip.start, begins + clip.stop, rate),
        "media_references": {KEY: _reference(media, _range(begins, begins + length, rate), rate)},
        "active_media_reference_key": KEY,
        "markers": [_marker(mark, begins, rate) for mark in clip.marks],
        "effects": [],
        "metadata": {},
    }
    plain: dict[str, Any] = {"enabled": True, "source_range": None, "markers": [], "effects": [], "metadata": {}}
    track = {"OTIO_SCHEMA": "Track.1", "name": "Video", "kind": "Video", "children": [shown], **plain}
    stack = {"OTIO_SCHEMA": "Stack.1", "name": "tracks", "children": [track], **plain}
    return {"OTIO_SCHEMA": "Timeline.1", "name": name, "global_start_time": None, "tracks": stack, "metadata": {}}


def address_of(path: Path) -> str:
    """The file: address of a path on this machine."""
    return path.absolute().as_uri()


def relative_address(name: str) -> str:
    """The address of a file that lies beside the timeline."""
    return quote(name)


def _reference(media: str | Stills, available: dict[str, Any], rate: float) -> dict[str, Any]:
    common = {"name": "", "available_range": available, "available_image_bounds": None, "metadata": {}}
    if isinstance(media, str):
        return {"OTIO_SCHEMA": "ExternalReference.1", "target_url": media, **common}
    numbers = {"start_frame": media.first, "frame_step": 1, "rate": rate, "frame_zero_padding": media.digits}
    names = {"target_url_base": media.base, "name_prefix": media.prefix, "name_suffix": media.suffix}
    return {"OTIO_SCHEMA": "ImageSequenceReference.1", **names, **numbers, "missing_frame_policy": "error", **common}


def _marker(mark: Mark, begins: float, rate: float) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "Marker.2",
        "name": mark.name,
        "color": "ORANGE",
        "comment": "",
        "marked_range": _range(begins + mark.at, begins + mark.at + mark.seconds, rate),
        "metadata": {NAMESPACE: mark.told} if mark.told is not None else {},
    }


def _range(start: float, stop: float, rate: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(start, rate), "duration": _time(stop - start, rate)}


def _time(seconds: float, rate: float) -> dict[str, Any]:
    """Whole frames stay whole numbers, whatever the rate."""
    value = seconds * rate
    return {
        "OTIO_SCHEMA": "RationalTime.1",
        "rate": rate,
        "value": float(round(value)) if abs(value - round(value)) < 1e-6 else value,
    }


# --- reading ----------------------------------------------------------------------------------------------


def read_timeline(path: Path) -> list[MediaClip]:
    """The clips with pictures of a timeline, in its order; markers of tracks and of the timeline belong to the clip under them.

    Raises:
        MediaError: not OpenTimelineIO, or a file that makes no sense.
    """
    body = parse_strict(read_text(path, MAX_BYTES), path.name, MediaError)
    if not isinstance(body, dict) or not isinstance(body.get("OTIO_SCHEMA"), str):
        raise MediaError(f"“{path.name}” is no OpenTimelineIO file; export it as .otio.")
    top = body.get("tracks") if _is(body, "Timeline") else body
    try:
        clips = list(_clips(top, 0.0, [], 0))
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError, OverflowError) as error:
        raise MediaError(f"“{path.name}” holds a time or a clip that makes no sense; export the timeline again.") from error
    if not clips:
        raise MediaError(f"“{path.name}” holds no clip with pictures; export a timeline that has one.")
    return clips


def _is(value: Any, schema: str) -> bool:
    return isinstance(value, dict) and str(value.get("OTIO_SCHEMA", "")).partition(".")[0] == schema


def _clips(node: Any, at: float, above: list[tuple[float, dict[str, Any]]], depth: int) -> Iterator[MediaClip]:
    """The clips below a node that begins `at` seconds of the timeline; `above` are markers in its time, from outside."""
    if depth > DEPTH:
        raise ValueError("nested too deeply")
    if _is(node, "Clip"):
        yield _clip(node, at, above)
    elif _is(node, "Stack"):
        own = [*above, *_own(node, at)]
        for child in node.get("children", []):
            yield from _clips(child, at, own, depth + 1)
    elif _is(node, "Track") and node.get("kind", "Video") == "Video":
        own = [*above, *_own(node, at)]
        for child in node.get("children", []):
            yield from _clips(child, at, own, depth + 1)
            at += 0.0 if _is(child, "Transition") else _length(child)
    elif _is(node, "SerializableCollection"):
        for child in node.get("children", []):
            yield from _clips(child, 0.0, [], depth + 1)


def _own(node: dict[str, Any], at: float) -> list[tuple[float, dict[str, Any]]]:
    """A node's markers with their time on the timeline."""
    begins = _seconds(node["source_range"]["start_time"]) if node.get("source_range") else 0.0
    return [(at - begins + _seconds(one["marked_range"]["start_time"]), one) for one in node.get("markers") or []]


def _length(node: dict[str, Any]) -> float:
    """How long a child lasts on its track, in seconds."""
    if node.get("source_range"):
        return _seconds(node["source_range"]["duration"])
    if _is(node, "Clip"):
        return _seconds((_media(node).get("available_range") or {"duration": {"value": 0, "rate": 1}})["duration"])
    lengths = [_length(child) for child in node.get("children", []) if not _is(child, "Transition")]
    return (sum(lengths) if _is(node, "Track") else max(lengths, default=0.0)) if lengths else 0.0


def _media(clip: dict[str, Any]) -> dict[str, Any]:
    """The reference in use: of version 2 by its key, of version 1 the only one."""
    if isinstance(clip.get("media_references"), dict):
        return clip["media_references"].get(clip.get("active_media_reference_key", KEY)) or {}
    return clip.get("media_reference") or {}


def _clip(node: dict[str, Any], at: float, above: list[tuple[float, dict[str, Any]]]) -> MediaClip:
    media = _media(node)
    available = media.get("available_range")
    used = node.get("source_range") or available
    if not used:
        raise ValueError("a clip without times")
    begins = _seconds(available["start_time"]) if available else 0.0
    start, length = _seconds(used["start_time"]), _seconds(used["duration"])
    marks = [_mark(one, _seconds(one["marked_range"]["start_time"]) - begins) for one in node.get("markers") or []]
    marks += [_mark(one, start + (time - at) - begins) for time, one in above if at <= time < at + length]
    rate = float(used["start_time"]["rate"])
    return MediaClip(str(node.get("name") or ""), _target(media), start - begins, start + length - begins, rate, tuple(marks))


def _target(media: dict[str, Any]) -> str:
    if _is(media, "ImageSequenceReference"):
        return str(media.get("target_url_base") or "")
    return str(media.get("target_url") or "")


def _mark(node: dict[str, Any], at: float) -> Mark:
    told = (node.get("metadata") or {}).get(NAMESPACE)
    seconds = _seconds(node["marked_range"]["duration"])
    return Mark(at, str(node.get("name") or ""), seconds, told if isinstance(told, dict) else None)


def _seconds(time: dict[str, Any]) -> float:
    value, rate = float(time["value"]), float(time["rate"])
    if not (abs(value) < 1e12 and 0 < rate < 1e9):
        raise ValueError("no time")
    return value / rate

"""EbSynth's files to the byte and OpenTimelineIO to the frame; both refused by one sentence where they are wrong."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import MediaError
from engine.interchange import ebsynth, timeline
from engine.interchange.ebsynth import EbsProject, Synth, Weights, packed, read_ebs, stills_of, unpacked, write_ebs
from engine.interchange.timeline import Mark, MediaClip, Stills, read_timeline, timeline_json, write_timeline

EXAMPLE = (
    b"EBS05\0" + b"".join(struct.pack("<i", len(t)) + t for t in (b"video/[#####].png", b"mask/[#####].png", b"keys/[#####].png"))
    + b"\x01" + struct.pack("<6f", 1, 4, 1, 10, 1, 3500) + struct.pack("<i", 1)
    + struct.pack("<i", 12) + b"\x01\x01" + struct.pack("<ii", 0, 24) + struct.pack("<i", 21) + b"out-00012/[#####].png"
    + b"V02\0" + struct.pack("<i", 2) + b"\x01" + b"\x00\x00\xf0\x41" + b"\xc0\x02\x00\x00"
)  # fmt: skip
"""As two other writers make it: 30.0 frames per second and 704 at the end."""

names = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
numbers = st.integers(0, 99_999)
synths = st.builds(Synth, numbers, st.none() | numbers, st.none() | numbers, names)
floats = st.floats(width=32, allow_nan=False)
projects = st.builds(
    EbsProject, names, names, names, st.lists(synths, max_size=20).map(tuple), st.booleans(),
    st.builds(Weights, *[floats] * 6), st.integers(1, 4), st.booleans(), floats,
)  # fmt: skip


def test_the_known_file_is_read_and_written_to_the_byte() -> None:
    found = unpacked(EXAMPLE)
    assert found.synths == (Synth(12, 0, 24, "out-00012/[#####].png"),) and found.rate == 30.0 and found.weights == Weights()
    assert packed(found) == EXAMPLE


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(projects)
def test_every_project_comes_back_to_the_byte(project: EbsProject) -> None:
    assert unpacked(packed(project)) == project and packed(unpacked(packed(project))) == packed(project)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(EXAMPLE) - 1), st.integers(0, 255))
def test_damaged_bytes_are_a_sentence_or_another_project(place: int, value: int) -> None:
    damaged = EXAMPLE[:place] + bytes([value]) + EXAMPLE[place + 1 :]
    with contextlib.suppress(ValueError, struct.error):
        unpacked(damaged)


@pytest.mark.parametrize("content", [b"x", b"EBS04\0", EXAMPLE[:-1], EXAMPLE + b"x", EXAMPLE[:6] + b"\xff\xff\xff\x7f"])
def test_what_is_no_project_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ebs").write_bytes(content)
    with pytest.raises(MediaError, match=r"a\.ebs"):
        read_ebs(tmp_path / "a.ebs")


def test_names_that_ebsynth_cannot_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="plain names"):
        write_ebs(tmp_path / "a.ebs", EbsProject("vidéo/[#####].png", "m", "k", ()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "pattern",
    [
        "video/[#####].png",
        "D:\\job\\video\\[#####].png",
        "/else/video/[#####].png",
        "./video/[#####].png",
        "../x/video/[###].png",
    ],
)
def test_stills_are_found_beside_the_file_whatever_machine_it_names(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "video").mkdir()
    for name in ("00001.png", "00002.PNG", "notes.txt", "x3.png"):
        (tmp_path / "video" / name).write_bytes(b"x")
    assert list(stills_of(pattern, tmp_path)) == [1, 2]


def test_stills_are_looked_for_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "far" / "video").mkdir(parents=True)
    (tmp_path / "far" / "video" / "00001.png").write_bytes(b"x")
    (tmp_path / "job").mkdir()
    assert stills_of(f"{tmp_path}/far/video/[#####].png", tmp_path / "job") == {}
    assert stills_of("no place at all", tmp_path) == {} == ebsynth.stills_of("", tmp_path)


# --- timelines --------------------------------------------------------------------------------------------


def clip(rate: float = 24000 / 1001) -> MediaClip:
    at = [frame / rate for frame in range(200)]
    marks = (Mark(at[10], "Anchor 10", 0.0, {"frame": 10}), Mark(at[77], "Anchor 77 (approved)", 0.0, {"frame": 77}))
    return MediaClip("in.mp4", "file:///in.mp4", at[5], at[150], rate, marks)


@pytest.mark.parametrize("rate", [24.0, 25.0, 24000 / 1001, 60000 / 1001, 12.5])
def test_a_timeline_comes_back_to_the_frame(tmp_path: Path, rate: float) -> None:
    shown = clip(rate)
    write_timeline(tmp_path / "a.otio", "my edit", "file:///in.mp4", shown, (0.0, 200 / rate))
    body = json.loads((tmp_path / "a.otio").read_text("utf-8"))
    inner = body["tracks"]["children"][0]["children"][0]
    assert [inner["source_range"][name]["value"] for name in ("start_time", "duration")] == [5, 145]
    assert [one["marked_range"]["start_time"]["value"] for one in inner["markers"]] == [10, 77]
    (found,) = read_timeline(tmp_path / "a.otio")
    assert [round(one.at * rate, 6) for one in found.marks] == [10, 77] and found.marks[1].told == {"frame": 77}
    assert (round(found.start * rate, 6), round(found.stop * rate, 6)) == (5, 150)


def test_a_second_writing_is_the_same_file(tmp_path: Path) -> None:
    write_timeline(tmp_path / "a.otio", "n", "file:///in.mp4", clip(), (0.0, 8.0))
    (found,) = read_timeline(tmp_path / "a.otio")
    write_timeline(tmp_path / "b.otio", "n", found.target, found, (0.0, 8.0))
    assert (tmp_path / "a.otio").read_bytes() == (tmp_path / "b.otio").read_bytes()


def schemas(value: Any) -> set[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    own = {value["OTIO_SCHEMA"]} if isinstance(value, dict) and "OTIO_SCHEMA" in value else set()
    return own.union(*map(schemas, inner))


def test_the_layout_is_that_of_opentimelineio() -> None:
    found = schemas(timeline_json("n", Stills("pictures/", "f", ".png", 5, 1), clip(), (0.0, 8.0)))
    parts = {
        "Timeline.1",
        "Stack.1",
        "Track.1",
        "Clip.2",
        "ImageSequenceReference.1",
        "Marker.2",
        "TimeRange.1",
        "RationalTime.1",
    }
    assert found == parts


def time(value: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": 25.0, "value": value}


def span(start: float, length: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": time(start), "duration": time(length)}


def test_markers_of_the_timeline_belong_to_the_clip_under_them(tmp_path: Path) -> None:
    """As NLEs write it: a clip with the camera's time, an older schema, markers on the stack."""
    media = {"OTIO_SCHEMA": "ExternalReference.1", "target_url": "file:///a.mov", "available_range": span(90_000, 500)}
    one = {"OTIO_SCHEMA": "Clip.1", "name": "a", "source_range": span(90_100, 50), "media_reference": media, "markers": []}
    gap = {"OTIO_SCHEMA": "Gap.1", "source_range": span(0, 20)}
    track = {"OTIO_SCHEMA": "Track.1", "kind": "Video", "children": [gap, one, {**one, "source_range": span(90_300, 10)}]}
    sound = {"OTIO_SCHEMA": "Track.1", "kind": "Audio", "children": [one]}
    marks = [{"OTIO_SCHEMA": "Marker.2", "name": "m", "marked_range": span(at, 0)} for at in (5, 25, 72)]
    body = {"OTIO_SCHEMA": "Timeline.1", "tracks": {"OTIO_SCHEMA": "Stack.1", "children": [track, sound], "markers": marks}}
    (tmp_path / "a.otio").write_text(json.dumps(body))
    first, second = read_timeline(tmp_path / "a.otio")
    assert (first.start * 25, first.stop * 25) == (100, 150)
    assert [round(mark.at * 25, 6) for mark in (*first.marks, *second.marks)] == [105, 302]


NOT_A_NUMBER = '{"OTIO_SCHEMA": "Timeline.1", "tracks": NaN}'
DEEP = '{"OTIO_SCHEMA": "Stack.1", "children": [' * 60 + "]}" * 60


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"a": 1}', NOT_A_NUMBER, DEEP, '{"OTIO_SCHEMA": "Timeline.1", "tracks": null}']
)
def test_what_is_no_timeline_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.otio").write_text(text)
    with pytest.raises(MediaError, match=r"a\.otio"):
        read_timeline(tmp_path / "a.otio")


@pytest.mark.parametrize("value", [0, -1, 1e300, "x", None, [1]])
def test_times_that_make_no_sense_are_one_sentence(tmp_path: Path, value: Any) -> None:
    body = timeline_json("n", "a.mp4", clip(), (0.0, 8.0))
    body["tracks"]["children"][0]["children"][0]["source_range"]["start_time"]["rate"] = value
    (tmp_path / "a.otio").write_text(json.dumps(body))
    with pytest.raises(MediaError, match="makes no sense"):
        read_timeline(tmp_path / "a.otio")


def test_media_is_found_by_address_by_name_and_not_elsewhere(tmp_path: Path) -> None:
    place = tmp_path / "a b ü.mp4"
    place.write_bytes(b"x")

    def at(target: str) -> Path:
        return MediaClip("c", target, 0, 1, 24, ()).path(tmp_path)

    for target in (
        timeline.address_of(place),
        timeline.relative_address(place.name),
        str(place),
        "C:\\clips\\a b ü.mp4",
        f"/gone/{place.name}",
    ):
        assert at(target).samefile(place), target
    for target, says in (
        ("http://x/a.mp4", "another machine"),
        ("file://server/a.mp4", "another machine"),
        ("//server/a.mp4", "another"),
        ("gone.mp4", "not there"),
        ("", "names no media"),
    ):
        with pytest.raises(MediaError, match=says):
            at(target)

"""Tracks in other programs' formats: back to the bit in what a format keeps, and as the format is described elsewhere."""

from __future__ import annotations

import pickle
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from engine.errors import MediaError
from engine.interchange import after_effects, npz, tapvid, tracks_csv
from engine.interchange.registry import TRACK_FORMATS, TrackFormat, track_format
from engine.interchange.tracks import TrackSet
from engine.types import Tracks
from tests.interchange_cases import three_tracks, track_sets, write_text

SIZE, RATE = (32, 48), Fraction(24)


def there_and_back(form: TrackFormat, wanted: TrackSet) -> TrackSet:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("t" + form.suffixes[0])
        form.write(path, wanted)
        return form.read(path, wanted.size, wanted.rate)


def check_same(found: TrackSet, wanted: TrackSet, keeps: frozenset[str]) -> None:
    """Everything that is kept, to the bit. Without "span", frames at the ends on which nothing is seen are gone."""
    new, old = found.tracks, wanted.tracks
    if "span" not in keeps:
        seen = np.flatnonzero(old.visible.any(axis=1))
        rows = slice(int(seen[0]), int(seen[-1]) + 1)
        old = Tracks(old.xy[rows], old.visible[rows], old.confidence[rows], old.queries, old.frame0 + int(seen[0]))
    assert (new.frame0, found.size, found.rate) == (old.frame0, wanted.size, wanted.rate)
    assert [one.dtype.name for one in (new.xy, new.visible, new.confidence, new.queries, found.subjects)] == [
        "float32", "bool", "float32", "float32", "int32",
    ]  # fmt: skip
    assert np.array_equal(new.visible, old.visible) and np.array_equal(new.xy[new.visible], old.xy[old.visible])
    assert np.isfinite(new.xy).all()
    assert "hidden" not in keeps or np.array_equal(new.xy, old.xy)
    assert "confidence" not in keeps or np.array_equal(new.confidence, old.confidence)
    assert "queries" not in keeps or np.array_equal(new.queries, old.queries)
    assert "subjects" not in keeps or np.array_equal(found.subjects, wanted.subjects)


@pytest.mark.parametrize("name", TRACK_FORMATS)
@settings(max_examples=60, deadline=None)
@given(wanted=track_sets())
def test_tracks_come_back_to_the_bit(name: str, wanted: TrackSet) -> None:
    form = TRACK_FORMATS[name]
    if "span" not in form.keeps and not wanted.tracks.visible.any():
        with pytest.raises(MediaError, match="no keyframes of a position"):
            there_and_back(form, wanted)
    else:
        check_same(there_and_back(form, wanted), wanted, form.keeps)


@pytest.mark.parametrize("name", TRACK_FORMATS)
def test_what_is_written_replaces_what_was_there_and_leaves_nothing_beside(name: str, tmp_path: Path) -> None:
    form = TRACK_FORMATS[name]
    path = write_text(tmp_path / ("t" + form.suffixes[0]), "old")
    form.write(path, three_tracks())
    first = path.read_bytes()
    form.write(path, three_tracks())
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == first
    check_same(form.read(path, SIZE, RATE), three_tracks(), form.keeps)
    assert track_format(path) is form and track_format(path.with_suffix(form.suffixes[-1].upper())) is form


@pytest.mark.parametrize("name", ["npz", "tap-vid", "after-effects"])
def test_tracks_of_a_clip_of_another_size_are_refused(name: str, tmp_path: Path) -> None:
    form = TRACK_FORMATS[name]
    path = tmp_path / ("t" + form.suffixes[0])
    form.write(path, three_tracks())
    with pytest.raises(MediaError, match="of a clip of 48×32 px and this one has 32×48 px"):
        form.read(path, (48, 32), RATE)


def test_a_path_that_no_format_takes_is_refused() -> None:
    for name in ("t", "t.json", "t.npy"):
        with pytest.raises(MediaError, match=r"end it in one of .npz \(npz\), .pkl \(TAP-Vid pickle\), .csv"):
            track_format(Path(name))


# --- values that cannot be --------------------------------------------------------------------------------


def changed(**parts: Any) -> TrackSet:
    """Three tracks with something put at [1, 0]."""
    old = three_tracks()
    arrays = {name: getattr(old.tracks, name).copy() for name in ("xy", "visible", "confidence", "queries")}
    for name, value in parts.items():
        arrays[name][1, 0] = value
    return TrackSet(Tracks(**arrays, frame0=old.tracks.frame0), old.subjects, old.size, old.rate)


@pytest.mark.parametrize("name", TRACK_FORMATS)
@pytest.mark.parametrize("parts", [{"xy": np.nan}, {"xy": np.inf}, {"xy": 1e7}, {"confidence": np.nan}, {"confidence": 1.5}])
def test_what_is_no_number_is_refused(name: str, parts: dict[str, float], tmp_path: Path) -> None:
    form = TRACK_FORMATS[name]
    path = tmp_path / ("t" + form.suffixes[0])
    form.write(path, changed(**parts))
    if "confidence" in parts and "confidence" not in form.keeps:
        form.read(path, SIZE, RATE)
        return
    with pytest.raises(MediaError) as refused:
        form.read(path, SIZE, RATE)
    assert path.name in str(refused.value)


@pytest.mark.parametrize("name", ["npz", "tap-vid"])
def test_where_a_point_is_not_seen_anything_may_stand(name: str, tmp_path: Path) -> None:
    form, path = TRACK_FORMATS[name], tmp_path / ("t" + TRACK_FORMATS[name].suffixes[0])
    form.write(path, changed(xy=np.nan, visible=False))
    found, old = form.read(path, SIZE, RATE).tracks, three_tracks().tracks
    assert not found.visible[1, 0] and np.allclose(found.xy[1, 0], (old.xy[0, 0] + old.xy[2, 0]) / 2)


@pytest.mark.parametrize("name", TRACK_FORMATS)
def test_a_million_points_are_refused_at_once(name: str, tmp_path: Path) -> None:
    form, count = TRACK_FORMATS[name], 30_000 if name == "after-effects" else 1_000_000
    path = tmp_path / ("t" + form.suffixes[0])
    if name in ("npz", "tap-vid"):
        xy, ones = np.zeros((1, count, 2), np.float32), np.ones((1, count), bool)
        queries = np.zeros((count, 3), np.float32)
        form.write(path, TrackSet(Tracks(xy, ones, ones * np.float32(1), queries), np.zeros(count, np.int32), SIZE, RATE))
    elif name == "csv":
        write_text(path, "frame,id,x,y\n" + "".join(f"0,{i},1,1\n" for i in range(count)))
    else:
        block = "Transform\tPosition\n\tFrame\tX pixels\tY pixels\n\t0\t1\t1\n"
        write_text(path, "\n".join([after_effects.HEAD, "\tSource Width\t48", "\tSource Height\t32", block * count]))
    with pytest.raises(MediaError, match="at most 20000 can be read"):
        form.read(path, SIZE, RATE)


# --- TAP-Vid ----------------------------------------------------------------------------------------------


def test_tap_vid_points_are_shares_with_pixel_centres_at_a_half(tmp_path: Path) -> None:
    """The centre of the top left pixel of 48 × 32 lies at (0.5/48, 0.5/32)."""
    xy = np.array([[[0, 0], [47, 31], [-0.5, 31.5]]], np.float32)
    ones = np.ones((1, 3), bool)
    tracks = Tracks(xy, ones, ones * np.float32(1), np.zeros((3, 3), np.float32))
    tapvid.write(tmp_path / "cat.pkl", TrackSet(tracks, np.zeros(3, np.int32), SIZE, RATE))
    body = pickle.loads((tmp_path / "cat.pkl").read_bytes())
    assert list(body) == ["cat"]
    points, occluded = body["cat"]["points"], body["cat"]["occluded"]
    assert points.dtype == np.float32 and points.shape == (3, 1, 2) and occluded.dtype == bool and not occluded.any()
    assert np.allclose(points[:, 0], np.array([[0.5 / 48, 0.5 / 32], [47.5 / 48, 31.5 / 32], [0, 1]]), atol=1e-7)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("shape", ["named", "list", "bare"])
def test_tap_vid_of_others_is_read(tmp_path: Path, protocol: int, shape: str) -> None:
    """Pictures of another size beside, every protocol, big-endian, columns first."""
    points = np.asfortranarray(np.array([[[0.5, 0.25], [0.75, 0.5]], [[0.1, 0.1], [np.nan, 3]]], ">f8"))
    occluded = np.array([[False, False], [False, True]])
    entry = {"video": np.zeros((2, 4, 4, 3), np.uint8), "points": points, "occluded": occluded, "score": np.float32(3)}
    content: Any = {"named": {"cat": entry}, "list": [entry], "bare": entry}[shape]
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    found = tapvid.read(tmp_path / "t.pkl", SIZE, RATE)
    assert found.tracks.xy[0, 0].tolist() == [23.5, 7.5] and found.tracks.xy[1, 0].tolist() == [35.5, 15.5]
    assert found.tracks.visible.tolist() == [[True, True], [True, False]]
    assert np.array_equal(found.tracks.xy[1, 1], found.tracks.xy[0, 1]) and found.tracks.queries[:, 0].tolist() == [0, 0]


def test_changed_shares_count_more_than_our_own_fields(tmp_path: Path) -> None:
    tapvid.write(tmp_path / "t.pkl", three_tracks())
    body = pickle.loads((tmp_path / "t.pkl").read_bytes())
    body["t"]["points"][0, 0] = [0.5, 0.5]
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(body))
    assert tapvid.read(tmp_path / "t.pkl", SIZE, RATE).tracks.xy[0, 0].tolist() == [23.5, 15.5]


def test_a_pickle_of_a_whole_data_set_is_refused(tmp_path: Path) -> None:
    entry = {"points": np.zeros((1, 1, 2)), "occluded": np.zeros((1, 1), bool)}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"a": entry, "b": entry}))
    with pytest.raises(MediaError, match="holds 2 clips; save the points of this clip alone"):
        tapvid.read(tmp_path / "t.pkl", SIZE, RATE)


# --- CSV --------------------------------------------------------------------------------------------------


def test_csv_is_a_plain_table_of_numbers(tmp_path: Path) -> None:
    tracks_csv.write(tmp_path / "t.csv", three_tracks())
    lines = (tmp_path / "t.csv").read_bytes().decode().split("\r\n")
    assert lines[0] == "frame,id,x,y,visible,confidence,subject,query"
    assert lines[1:4] == ["2,0,10.0,20.0,1,0.5,1,1", "2,1,30.0,8.0,1,0.5,1,1", "2,2,3.0,3.0,1,0.5,9,1"] and len(lines) == 17
    assert lines[5] == "3,1,29.0,9.0,0,0.0,1,0"


def test_csv_of_others_is_read(tmp_path: Path) -> None:
    """Other order, columns that say more, a mark at the beginning, spaces, rows left out where a point is not seen."""
    text = '\ufeffid, Y,x ,frame,note\n7,2.5,1,4,"a, b"\n3,0,0,4,\n7,4.5,3e0,6,=1+1\n\n'
    found = tracks_csv.read(write_text(tmp_path / "t.csv", text), SIZE, RATE).tracks
    assert found.frame0 == 4 and found.visible.tolist() == [[True, True], [False, False], [False, True]]
    assert found.xy[:, 1].tolist() == [[1, 2.5], [2, 3.5], [3, 4.5]] and found.xy[:, 0].tolist() == [[0, 0]] * 3
    assert found.queries.tolist() == [[4, 0, 0], [4, 1, 2.5]]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0,0,=1+1,2", "line 3: “x” is '=1+1'"),
        ("0,0,@x,2", "“x” is '@x'"),
        ("0,0,nan,2", "“x” is 'nan'"),
        ("0,0,1e999,2", "positions that are not numbers"),
        ("0,0,1_0,2", "“x” is '1_0'"),
        ("0,0,1,", "“y” is ''"),
        ("0,0,1", "“y” is ''"),
        ("0.5,0,1,2", "“frame” is '0.5'"),
        ("-1,0,1,2", "“frame” is '-1'"),
        ("99999999,0,1,2", "“frame” is '99999999'"),
        ("0,٣,1,2", "“id” is '\\\\u0663'"),
        ("1,1,0,0", "a point twice on one frame"),
        ("0,0," + "1" * 200_000 + ",2", "is not CSV"),
    ],
)
def test_a_row_that_cannot_be_is_named(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(MediaError, match=says.replace("+", r"\+")) as refused:
        tracks_csv.read(write_text(tmp_path / "t.csv", f"frame,id,x,y\n1,1,0,0\n{row}\n"), SIZE, RATE)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "text", ["", "\n", "x,y\n1,2\n", "frame;id;x;y\n0;0;1;2\n", "frame,id,x,y,x\n0,0,1,2,3\n", "frame,id,x,y\n"]
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(MediaError, match=r"needs a first line|has no rows|is empty"):
        tracks_csv.read(write_text(tmp_path / "t.csv", text), SIZE, RATE)


# --- After Effects ----------------------------------------------------------------------------------------


def test_after_effects_text_is_as_that_program_writes_it(tmp_path: Path) -> None:
    after_effects.write(tmp_path / "t.txt", three_tracks())
    text = (tmp_path / "t.txt").read_bytes().decode()
    documents = text.split("End of Keyframe Data\n")
    assert documents[3] == "" and len(documents) == 4
    assert documents[1] == (
        "Adobe After Effects 8.0 Keyframe Data\n\n\tUnits Per Second\t24.0\n\tSource Width\t48\n\tSource Height\t32\n"
        "\tSource Pixel Aspect Ratio\t1\n\tComp Pixel Aspect Ratio\t1\n\n"
        "Transform\tPosition\n\tFrame\tX pixels\tY pixels\tZ pixels\t\n"
        "\t2\t30.5\t8.5\t0\t\n\t5\t27.5\t11.5\t0\t\n\t6\t26.5\t12.5\t0\t\n\n\n"
    )


def test_after_effects_text_of_others_is_read(tmp_path: Path) -> None:
    """Windows line ends, other properties, an anchor point, a corner pin, a rate in single precision, notes after the end."""
    text = """Adobe After Effects 8.0 Keyframe Data

\tUnits Per Second\t29.9700012207031
\tSource Width\t48
\tSource Height\t32
\tSource Pixel Aspect Ratio\t1
\tComp Pixel Aspect Ratio\t1

Transform\tAnchor Point
\tFrame\tX pixels\tY pixels\tZ pixels
\t\t24\t16\t0

Transform\tScale
\tFrame\tX percent\tY percent\tZ percent
\t0\t100\t100\t100

Effects\tCC Power Pin #1\tCC Power Pin-0002
\tFrame\tX pixels\tY pixels
\t3\t10.5\t4.5
\t5\t12.5\t8.5

Transform\tPosition
\tFrame\tX pixels\tY pixels\tZ pixels
\t4\t24\t16\t0

End of Keyframe Data
copied on a rainy day
"""
    found = after_effects.read(write_text(tmp_path / "t.txt", text.replace("\n", "\r\n")), SIZE, RATE)
    assert found.rate == Fraction(30000, 1001) and found.tracks.frame0 == 3
    assert found.tracks.visible.tolist() == [[True, False], [False, True], [True, False]]
    assert found.tracks.xy.tolist() == [[[10, 4], [23.5, 15.5]], [[11, 6], [23.5, 15.5]], [[12, 8], [23.5, 15.5]]]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("End of Keyframe Data", "", "is cut off"),
        ("Adobe After Effects", "Adobe Photoshop", "does not begin with"),
        ("Source Width\t48", "Source Width\t", "line 4: '' is not a number"),
        ("Source Height", "Source Depth", "does not say Source Width and Source Height"),
        ("Comp Pixel Aspect Ratio\t1", "Comp Pixel Aspect Ratio\t1.33", "pixels that are not square"),
        ("\t2\t10.5", "\t\t10.5", "a position without a frame"),
        ("\t2\t10.5", "\t2.5\t10.5", "is no frame"),
        ("\t2\t10.5", "\t3\t10.5", "is no frame, or there twice"),
        ("\t2\t10.5", "\t-2\t10.5", "is no frame"),
        ("\t2\t10.5", "\t2\tnan", "'nan' is not a number"),
        ("\t2\t10.5", "\t2\t1e99", "'1e99' is not a number"),
        ("\t2\t10.5", "\t2\t1e8", "positions that are not numbers"),
    ],
)
def test_after_effects_text_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    after_effects.write(tmp_path / "t.txt", three_tracks())
    text = (tmp_path / "t.txt").read_text().partition("End of Keyframe Data")[0] + "End of Keyframe Data\n"
    assert old in text
    with pytest.raises(MediaError, match=says):
        after_effects.read(write_text(tmp_path / "t.txt", text.replace(old, new, 1)), SIZE, RATE)


def test_points_of_different_clips_in_one_text_are_refused(tmp_path: Path) -> None:
    after_effects.write(tmp_path / "t.txt", three_tracks())
    head, foot, rest = (tmp_path / "t.txt").read_text().partition("End of Keyframe Data\n")
    write_text(tmp_path / "t.txt", head + foot + rest.replace("Width\t48", "Width\t96", 1))
    with pytest.raises(MediaError, match="clips of different size or rate"):
        after_effects.read(tmp_path / "t.txt", SIZE, RATE)


# --- npz --------------------------------------------------------------------------------------------------


def test_tracks_and_visibility_are_enough(tmp_path: Path) -> None:
    old = three_tracks().tracks
    np.savez(tmp_path / "t.npz", tracks=old.xy.astype(np.float64), visibility=old.visible)
    found = npz.read(tmp_path / "t.npz", SIZE, RATE).tracks
    assert np.array_equal(found.xy, old.xy) and np.array_equal(found.confidence, old.visible) and found.frame0 == 0


@pytest.mark.parametrize(
    "arrays",
    [
        {"tracks": np.zeros((2, 1, 2))},
        {"tracks": np.zeros((2, 1, 3)), "visibility": np.ones((2, 1), bool)},
        {"tracks": np.zeros((2, 1, 2)), "visibility": np.ones((1, 1), bool)},
        {"tracks": np.zeros((0, 1, 2)), "visibility": np.ones((0, 1), bool)},
        {"tracks": np.zeros((2, 1, 2), complex), "visibility": np.ones((2, 1), bool)},
        {"tracks": np.zeros((2, 1, 2)), "visibility": np.array([[None], [1]])},
        {"tracks": np.zeros((2, 1, 2)), "visibility": np.ones((2, 1), bool), "confidence": np.zeros((2, 2))},
        {"tracks": np.zeros((2, 1, 2)), "visibility": np.ones((2, 1), bool), "size": np.array([0, 48])},
        {"tracks": np.zeros((2, 1, 2)), "visibility": np.ones((2, 1), bool), "frame0": np.int64(-3)},
        {"tracks": np.zeros((2, 1, 2)), "visibility": np.ones((2, 1), bool), "subject": np.zeros(4, np.int32)},
    ],
)
def test_an_npz_of_something_else_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(MediaError, match=r"t\.npz"):
        npz.read(tmp_path / "t.npz", SIZE, RATE)

"""Tracked points and lassos in the document: acts, older documents, the disk, recipes, solved stretches."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from engine.commands.batch import marked
from engine.commands.recipe import Recipe, check_recipe
from engine.document import acts, point_acts
from engine.document.foreign import check_document
from engine.document.project import from_json, to_json
from engine.errors import EngineError, MediaError, ProjectError, RecipeError
from engine.interchange.registry import TRACK_FORMATS
from engine.interchange.tracks import TrackSet, as_track_points
from engine.progress import Progress
from engine.rendering import trails
from engine.rendering.material import Material
from engine.segmentation.strokes import draw_strokes
from engine.store.journal import Journal
from engine.store.workspace import Workspace
from engine.types import FrameRange, Spot, Stroke, TrackPoint, Tracks
from tests.drawn import DrawnPictures
from tests.test_journal import blank
from tests.test_points import hidden_clip


def pointed():
    project = point_acts.add_track_point(blank(), frame=3, subject=1, x=10, y=11)
    return point_acts.add_track_point(project, frame=5, subject=1, x=20, y=21)


def points(project):
    return project.subjects[0].track_points


def test_points_are_added_placed_hidden_freed_and_removed():
    project = point_acts.place_track_point(pointed(), frame=9, subject=1, point=1, x=12, y=13)
    project = point_acts.place_track_point(project, frame=1, subject=1, point=1, x=8, y=9, seen=False)
    project = point_acts.place_track_point(project, frame=9, subject=1, point=1, x=12.5, y=13)
    assert points(project)[0].spots == (Spot(1, 8, 9, False), Spot(3, 10, 11), Spot(9, 12.5, 13))
    project = point_acts.free_track_point(project, frame=3, subject=1, point=1)
    assert [spot.frame for spot in points(project)[0].spots] == [1, 9]
    project = point_acts.free_track_point(project, frame=5, subject=1, point=2)
    assert [point.id for point in points(project)] == [1]
    assert points(point_acts.remove_track_point(project, subject=1, point=1)) == ()


@pytest.mark.parametrize(
    ("act", "args", "says"),
    [
        (point_acts.add_track_point, {"frame": 99, "subject": 1, "x": 1, "y": 1}, "no frame 99"),
        (point_acts.add_track_point, {"frame": 1, "subject": 1, "x": 900, "y": 1}, "x must be"),
        (point_acts.place_track_point, {"frame": 1, "subject": 1, "point": 7, "x": 1, "y": 1}, "no tracked point 7"),
        (point_acts.place_track_point, {"frame": 1, "subject": 1, "point": 1, "x": 1, "y": 1, "seen": "no"}, "seen"),
        (point_acts.free_track_point, {"frame": 4, "subject": 1, "point": 1}, "Nothing was said"),
        (point_acts.remove_track_point, {"subject": 1, "point": True}, "no tracked point"),
        (acts.add_lasso, {"frame": 1, "subject": 1, "xy": [[1, 1], [2, 2]]}, "at least 3"),
        (acts.add_lasso, {"frame": 1, "subject": 1, "xy": [[1, 1], [2, 2], [2, 9]], "mode": "x"}, "mode"),
    ],
)
def test_wrong_values_are_named(act, args, says):
    with pytest.raises(EngineError, match=says):
        act(pointed(), **args)


def test_a_document_keeps_points_and_lassos_and_reads_older_ones():
    project = acts.add_lasso(pointed(), frame=2, subject=1, xy=[[1, 1], [9, 1], [9, 9]], mode="erase")
    again = from_json(json.loads(json.dumps(to_json(project))))
    assert points(again)[1].spots == (Spot(5, 20, 21),) and points(again)[1].id == 2
    assert again.keyframes[0].strokes[0].filled and again.keyframes[0].strokes[0].mode == "erase"
    older = json.loads(json.dumps(to_json(acts.add_stroke(blank(), frame=2, subject=1, xy=[[1, 1]], radius=2))))
    older["schema"] = 1
    older["subjects"][0]["track_points"] = [[3, 10, 11], [5, 20, 21]]
    del older["keyframes"][0]["strokes"][0]["filled"]
    read = from_json(older)
    assert [point.spots for point in points(read)] == [(Spot(3, 10, 11),), (Spot(5, 20, 21),)]
    assert not read.keyframes[0].strokes[0].filled


def test_the_disk_shares_points_between_versions(tmp_path):
    many = tuple(Spot(frame, float(frame), 2.0) for frame in range(50))
    start = point_acts.with_track_points(blank(), 1, (TrackPoint(1, many), TrackPoint(2, many[:1])))
    journal = Journal.create(tmp_path / "p", start)
    journal.record(point_acts.place_track_point(journal.project, frame=4, subject=1, point=2, x=1, y=1), "Place")
    journal.close()
    again = Journal(tmp_path / "p")
    assert points(again.project)[0].spots == many and len(points(again.project)[1].spots) == 2
    assert len(points(again.undo())[1].spots) == 1
    again.close()


@pytest.mark.parametrize(
    "wrong",
    [
        (TrackPoint(1, ()),),
        (TrackPoint(1, (Spot(1, 1, 1), Spot(1, 2, 2))),),
        (TrackPoint(1, (Spot(999, 1, 1),)),),
        (TrackPoint(1, (Spot(1, float("nan"), 1),)),),
        (TrackPoint(1, (Spot(1, 1, 1),)), TrackPoint(1, (Spot(1, 1, 1),))),
    ],
)
def test_points_from_others_are_checked(wrong):
    project = blank()
    check_document(pointed())
    with pytest.raises((ProjectError, RecipeError)):
        check_document(replace(project, subjects=(replace(project.subjects[0], track_points=wrong),)))


def test_recipes_take_points_with_several_places_and_lassos():
    body = {"clip": "in.mp4", "subjects": [{"id": 1, "track_points": [[0, 1, 2], {"spots": [[0, 1, 2], [9, 3, 4, False]]}]}]}
    check_recipe(body)
    lasso = {"xy": [[1, 1], [9, 1], [9, 9]], "filled": True}
    body["subjects"][0]["keyframes"] = [{"frame": 0, "strokes": [lasso]}]
    check_recipe(body)
    for wrong in ([0, 1], {"spots": []}, {"spots": [[0, 1, 2], [0, 1, 2]]}, {"spots": [[0, 1, 2, 1]]}, {"points": []}):
        with pytest.raises(RecipeError, match=r"track_points\[0\]"):
            check_recipe({**body, "subjects": [{"id": 1, "track_points": [wrong]}]})
    with pytest.raises(RecipeError, match=r"strokes\[0\]"):
        check_recipe({**body, "subjects": [{"id": 1, "keyframes": [{"frame": 0, "strokes": [{"xy": [[1, 1]]}]}]}]})


def test_a_filled_stroke_is_what_its_line_surrounds():
    square = draw_strokes(np.zeros((12, 12), np.uint8), [Stroke(((2, 2), (8, 2), (8, 8), (2, 8)), 0, "add", True)])
    assert square[2:8, 2:8].all() and np.count_nonzero(square) == 36
    twice = ((2, 2), (8, 2), (8, 8), (2, 8)) * 2
    assert np.array_equal(draw_strokes(np.zeros((12, 12), np.uint8), [Stroke(twice, 0, "add", True)]), square)
    hole = draw_strokes(square, [Stroke(((3.5, 3.5), (6.5, 3.5), (5, 30)), 0, "erase", True)])
    assert hole[4, 4] == 0 and hole[3, 3] == 255 and hole[7, 5] == 0
    assert not draw_strokes(np.zeros((5, 5), np.uint8), [Stroke(((-9, -9), (-2, -9), (-2, -3)), 0, "add", True)]).any()


def test_tracks_of_others_become_points_of_a_subject():
    xy = np.zeros((4, 2, 2), np.float32) + np.array([[5, 6], [7, 8]], np.float32)
    xy[2, 0] = (-40, 6)
    visible = np.array([[1, 1], [1, 1], [0, 1], [1, 1]], bool)
    tracks = Tracks(xy, visible, visible.astype(np.float32), np.zeros((2, 3), np.float32), 10)
    found = TrackSet(tracks, np.array([1, 2], np.int32), (48, 64), Fraction(25))
    (point,) = as_track_points(found, 1, FrameRange(11, 14), "t")
    assert point.spots == (Spot(11, 5, 6), Spot(12, -0.5, 6, False), Spot(13, 5, 6))
    assert len(as_track_points(replace(found, subjects=np.zeros(2, np.int32)), 7, FrameRange(0, 50), "t")) == 2
    for span, subject in ((FrameRange(0, 5), 1), (FrameRange(10, 14), 3)):
        with pytest.raises(MediaError):
            as_track_points(found, subject, span, "t")


class Pack(DrawnPictures):
    """A clip in memory that counts what is looked at."""

    looked = 0

    def gray(self, frame, size=None):
        self.looked += 1
        return super().gray(frame, size)


def test_a_place_that_is_corrected_solves_only_what_lies_beside_it(tmp_path, monkeypatch):
    source, shift = hidden_clip(20, range(0))
    video = replace(blank().video, size=(120, 160), pts=np.arange(20, dtype=np.int64))
    project = replace(blank(), video=video, range=FrameRange(0, 20))
    for frame in (0, 9, 19):
        at = {"frame": frame, "subject": 1, "x": 60 + shift[frame], "y": 50}
        project = point_acts.place_track_point(project, **at, point=1) if frame else point_acts.add_track_point(project, **at)
    pack = Pack(source)
    monkeypatch.setattr(Material, "ready_pack", property(lambda self: pack))
    workspace = Workspace(tmp_path)

    def follow(version):
        pack.looked = 0
        return trails.follow_points(Material(workspace, version), Progress(lambda status: None, lambda: False))

    assert follow(project) == 2 and pack.looked == 40
    assert follow(project) == 0
    first = trails.found_tracks(Material(workspace, project))
    assert first.tracks.visible.all() and np.abs(first.tracks.xy[:, 0, 0] - 60 - shift).max() < 0.5
    moved = point_acts.place_track_point(project, frame=14, subject=1, point=1, x=60 + shift[14], y=50)
    assert follow(moved) == 2 and pack.looked == 22  # frames 9 to 19, both ways
    second = trails.found_tracks(Material(workspace, moved))
    assert np.array_equal(first.tracks.xy[:10], second.tracks.xy[:10])


@pytest.mark.parametrize("name", TRACK_FORMATS)
def test_a_recipe_takes_tracks_from_every_format(tmp_path, name):
    form = TRACK_FORMATS[name]
    xy = np.array([[[5, 6], [40, 20]], [[6, 6.5], [41, 20]], [[7, 7], [42, 21]]], np.float32)
    visible = np.array([[1, 1], [1, 0], [1, 1]], bool)
    tracks = Tracks(xy, visible, visible.astype(np.float32), np.array([[0, 5, 6], [0, 40, 20]], np.float32), 0)
    path = tmp_path / ("brought" + form.suffixes[0])
    form.write(path, TrackSet(tracks, np.array([1, 1], np.int32), blank().video.size, blank().video.rate))
    body = {"clip": "in.mp4", "subjects": [{"id": 1, "tracks": path.name, "track_points": [[2, 3, 4]]}]}
    check_recipe(body)
    recipe = Recipe("r", tmp_path, body)
    assert path in recipe.files()
    brought = points(marked(recipe, blank(), lambda blob: "0" * 64))
    assert [point.id for point in brought] == [1, 2, 3] and brought[2].spots == (Spot(2, 3, 4),)
    seen = [[spot for spot in point.spots if spot.seen and spot.frame < 3] for point in brought[:2]]
    assert np.allclose([spot[:3] for spot in seen[0]], [(0, 5, 6), (1, 6, 6.5), (2, 7, 7)], atol=0.01)
    assert [spot.frame for spot in seen[1]] == [0, 2]


def test_tracks_that_do_not_fit_are_refused_by_name(tmp_path):
    (tmp_path / "t.csv").write_text("frame,id,x,y,visible\n0,1,900,5,1\n")
    recipe = Recipe("r", tmp_path, {"clip": "in.mp4", "subjects": [{"id": 1, "tracks": "t.csv"}]})
    with pytest.raises(MediaError, match=r"subjects\[0\].tracks: .*t.csv"):
        marked(recipe, blank(), lambda blob: "0" * 64)

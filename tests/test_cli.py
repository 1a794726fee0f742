"""The command line is a contract: exit codes, outputs, reports, cancelling, running again (DESIGN §11)."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from engine.editor import Editor
from engine.interchange.davis import palette
from engine.media.reader import open_video
from engine.rendering.outputs import digest
from engine.rendering.render import dirty_segments, spans_to_carry
from tests.media_fixtures import read_barcode, write_drawn_stills
from tests.recipes import FRAMES, cli, clip_in, edit_recipe, failed, write_recipe

REPORT = {
    "frames", "segments", "seconds", "peak_rss_bytes", "outside_mask_max_abs", "anchor_max_abs", "quality", "models",
    "warnings", "output_sha256", "project", "clip", "range", "cuts", "edits", "certificates", "lanes", "problems", "frame_proofs",
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    clip_in(tmp_path)
    write_recipe(tmp_path, edit_recipe())
    return tmp_path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run with everything asked for."""
    folder = tmp_path_factory.mktemp("run")
    clip_in(folder)
    subjects = [*edit_recipe()["subjects"], {"id": 7, "keyframes": [{"frame": 5, "box": [120, 40, 170, 90]}]}]
    write_recipe(folder, edit_recipe(subjects=subjects, range=[2, 20], anchors=edit_recipe()["anchors"][1:]))
    recipe = json.loads((folder / "r.json").read_text())
    recipe["subjects"][0]["track_points"] = [[4, 50.0, 72.0], [10, 60.0, 70.5]]
    write_recipe(folder, recipe)
    wanted = ("-o", "out.mp4", "--masks", "masks", "--tracks", "t.npz", "--report", "report.json", "--project", "project")
    code, out, err = cli(folder, "run", "r.json", *wanted)
    assert (code, out) == (0, ""), err
    assert not list((folder / "tmp").iterdir())
    return folder


def seconds_of_sound(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return float(sum((p.duration or 0) * p.time_base for p in container.demux(stream) if p.size))


# --- outputs ----------------------------------------------------------------------------------------------


def test_out_holds_the_range_with_its_sound(done: Path) -> None:
    with open_video(done / "out.mp4") as reader:
        assert reader.video.frames == 18
        assert [read_barcode(reader.get(i)) for i in (0, 17)] == [2, 19]
    assert seconds_of_sound(done / "out.mp4") == pytest.approx(18 / 24, abs=0.05)


def test_masks_are_indexed_pictures_named_by_absolute_frame(done: Path) -> None:
    names = sorted(path.name for path in (done / "masks").iterdir())
    assert names == [f"{frame:05d}.png" for frame in range(2, 20)]
    found = set()
    for name in names:
        picture = Image.open(done / "masks" / name)
        assert picture.mode == "P" and picture.size == (192, 112) and bytes(picture.getpalette() or ()) == palette()
        found |= set(np.unique(np.asarray(picture)).tolist())
    assert found == {0, 1, 7}
    assert palette()[3:6] == bytes([128, 0, 0]) and palette()[21:24] == bytes([128, 128, 128])


def test_tracks_have_the_fields_of_the_contract(done: Path) -> None:
    tracks = np.load(done / "t.npz")
    kinds = {name: (tracks[name].dtype.name, tracks[name].shape) for name in tracks.files}
    assert kinds == {
        "tracks": ("float32", (18, 2, 2)),
        "visibility": ("bool", (18, 2)),
        "confidence": ("float32", (18, 2)),
        "queries": ("float32", (2, 3)),
        "subject": ("int32", (2,)),
        "size": ("int32", (2,)),
        "fps": ("int64", (2,)),
        "frame0": ("int64", ()),
    }
    assert tracks["queries"].tolist() == [[4, 50, 72], [10, 60, 70.5]] and tracks["frame0"] == 2
    assert tracks["size"].tolist() == [112, 192] and tracks["fps"].tolist() == [24, 1] and tracks["subject"].tolist() == [1, 1]
    assert tracks["visibility"][2, 0] and tracks["tracks"][2, 0].tolist() == [50, 72]
    assert np.isfinite(tracks["tracks"]).all() and 0 <= tracks["confidence"].min() <= tracks["confidence"].max() <= 1


def test_the_report_says_everything(done: Path) -> None:
    report = json.loads((done / "report.json").read_text())
    assert set(report) == REPORT
    assert report["frames"] == 18 and report["segments"] == {"rendered": 2, "reused": 0}
    assert {"Opening the clip", "Carrying masks", "Propagating", "Writing the clip"} <= set(report["seconds"])
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert report["peak_rss_bytes"] > 30e6
    assert report["outside_mask_max_abs"] == 0 and report["anchor_max_abs"] == 0
    assert [one["frame"] for one in report["quality"]] == list(range(2, 20))
    assert report["models"] == [] and report["warnings"] == []
    assert report["output_sha256"] == hashlib.sha256((done / "out.mp4").read_bytes()).hexdigest()


def test_the_project_opens_with_nothing_left_to_do(done: Path) -> None:
    editor = Editor(done / "project")
    try:
        assert len(editor.material.segments) == 2
        assert dirty_segments(editor.material) == [] and spans_to_carry(editor.material) == []
    finally:
        editor.close()


def test_render_gives_the_same_bytes_and_renders_nothing_again(done: Path) -> None:
    assert cli(done, "render", "project", "-o", "again.mp4", "--report", "again.json")[0] == 0
    report, first = (json.loads((done / name).read_text()) for name in ("again.json", "report.json"))
    assert report["segments"] == {"rendered": 0, "reused": 2}
    assert report["output_sha256"] == first["output_sha256"]
    assert report["quality"] == first["quality"]


def test_every_executor_gives_the_same_frames(done: Path) -> None:
    for name, executor in (("frames", "serial"), ("pooled", "pool")):
        assert cli(done, "run", "r.json", "-o", name, "--executor", executor)[0] == 0
    assert sorted(path.name for path in (done / "frames").iterdir()) == [f"{frame:05d}.png" for frame in range(2, 20)]
    assert digest(done / "frames") == digest(done / "pooled")
    assert cli(done, "render", "project", "-o", "rendered")[0] == 0
    assert digest(done / "rendered") == digest(done / "frames")
    with open_video(done / "in.mp4") as source:
        pixels = np.asarray(Image.open(done / "frames" / "00012.png"))
        assert read_barcode(pixels) == 12 and (pixels != source.get(12)).any()


def test_segments_are_chosen_by_number(done: Path) -> None:
    code, _, err = cli(done, "render", "project", "-o", "part", "--segments", "1-1", "--report", "part.json")
    assert code == 0, err
    assert sorted(path.name for path in (done / "part").iterdir()) == [f"{frame:05d}.png" for frame in range(12, 20)]
    assert json.loads((done / "part.json").read_text())["segments"] == {"rendered": 0, "reused": 1}
    for text, says in (("2-5", "names no segment"), ("a-b", "A-B"), ("1-", "A-B"), ("1-0", "names no segment"), ("-1", "A-B")):
        assert says in failed(done, "render", "project", "-o", "part2", f"--segments={text}")


def test_a_dry_run_says_what_would_be_done_and_makes_nothing(place: Path) -> None:
    before = {path.name for path in place.iterdir()}
    code, out, _ = cli(place, "run", "r.json", "-o", "out.mp4", "--project", "project", "--dry-run")
    plan = json.loads(out)
    assert code == 0 and {path.name for path in place.iterdir()} - before == {"tmp"} and not list((place / "tmp").iterdir())
    assert plan["frames"] == FRAMES and plan["masks_to_carry"] == [[0, 24]]
    assert [(s["start"], s["stop"], s["left"], s["right"], s["state"]) for s in plan["segments"]] == [
        (0, 12, 0, 12, "render"),
        (12, 24, 12, None, "render"),
    ]
    assert cli(place, "run", "r.json", "--project", "project")[0] == 0
    plan = json.loads(cli(place, "run", "r.json", "-o", "out.mp4", "--project", "project", "--dry-run")[1])
    assert [s["state"] for s in plan["segments"]] == ["reuse", "reuse"] and plan["masks_to_carry"] == [] and plan["cuts"] == []


def test_a_recipe_without_anchors_only_marks(place: Path) -> None:
    recipe = edit_recipe()
    del recipe["anchors"]
    write_recipe(place, recipe)
    code, _, err = cli(place, "run", "r.json", "--masks", "masks", "--report", "report.json")
    report = json.loads((place / "report.json").read_text())
    assert code == 0, err
    assert set(report) == REPORT and report["frames"] == FRAMES and report["segments"] == {"rendered": 0, "reused": 0}
    assert report["output_sha256"] is None and report["quality"] == [] and report["seconds"]["Carrying masks"] > 0
    assert (np.asarray(Image.open(place / "masks" / "00023.png")) == 1).sum() > 200


def test_prores_and_the_wishes_of_the_recipe(place: Path) -> None:
    write_recipe(place, edit_recipe(anchors=[], range=[0, 4], export={"codec": "h264", "quality": 45}))
    recipe = json.loads((place / "r.json").read_text())
    del recipe["anchors"]
    write_recipe(place, recipe)
    assert cli(place, "run", "r.json", "-o", "small.mov")[0] == 0
    del recipe["export"]
    write_recipe(place, recipe)
    assert cli(place, "run", "r.json", "-o", "large.mov")[0] == 0
    kinds = {}
    for name in ("small.mov", "large.mov"):
        with av.open(str(place / name)) as container:
            stream = container.streams.video[0]
            kinds[name] = (stream.codec_context.name, stream.codec_context.pix_fmt, stream.frames)
    assert kinds == {"small.mov": ("h264", "yuv420p", 4), "large.mov": ("prores", "yuv444p12le", 4)} or kinds["large.mov"] == (
        "prores",
        "yuv444p10le",
        4,
    )


def test_a_sequence_plays_at_the_rate_of_the_recipe(tmp_path: Path) -> None:
    write_drawn_stills(tmp_path / "frames", 6)
    write_recipe(tmp_path, {"clip": "frames", "fps": 29.97})
    assert cli(tmp_path, "run", "r.json", "-o", "out.mp4")[0] == 0
    with open_video(tmp_path / "out.mp4") as reader:
        assert reader.video.frames == 6 and float(reader.video.rate) == pytest.approx(30000 / 1001)


# --- what is refused --------------------------------------------------------------------------------------


def test_wrong_usage_is_told_with_2(place: Path) -> None:
    for arguments in (["run"], ["render"], [], ["nothing"], ["run", "r.json", "--executor", "many"], ["run", "r.json", "-q"]):
        code, out, err = cli(place, *arguments)
        assert code == 2 and out == "" and "usage:" in err


def test_what_cannot_be_done_is_one_sentence_before_any_work(place: Path) -> None:
    (place / "taken").mkdir()
    (place / "taken" / "letter.txt").write_text("keep me")
    (place / "old.mp4").write_text("old")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    refused: list[tuple[str, list[Any]]] = [
        ("nothing to make", ["run", "r.json"]),
        ("nothing to make", ["run", "r.json", "--report", "x.json"]),
        ("r2.json", ["run", "r2.json", "-o", "x.mp4"]),
        ("--force", ["run", "r.json", "-o", "old.mp4"]),
        ("--force", ["run", "r.json", "-o", "x.mp4", "--masks", "taken"]),
        ("x.avi", ["run", "r.json", "-o", "x.avi"]),
        ("does not exist", ["run", "r.json", "-o", "none/x.mp4"]),
        ("does not exist", ["run", "r.json", "-o", "x.mp4", "--report", "none/r.json"]),
        ("numbered pictures", ["run", "r.json", "--masks", "taken", "--force"]),
        ("not replaced", ["run", "r.json", "-o", "taken", "--force"]),
        ("not a file", ["run", "r.json", "--tracks", "taken", "--force"]),
        ("reads", ["run", "r.json", "-o", "in.mp4", "--force"]),
        ("reads", ["run", "r.json", "--tracks", "r.json", "--force"]),
        ("same place", ["run", "r.json", "-o", "x", "--masks", "x"]),
        ("not a folder", ["run", "r.json", "--project", "old.mp4"]),
        ("not an Anchorline project", ["run", "r.json", "--project", "taken"]),
        ("not an Anchorline project", ["render", "taken", "-o", "x.mp4"]),
        ("not an Anchorline project", ["render", "gone", "-o", "x.mp4"]),
        ("nothing to make", ["render", "taken"]),
    ]
    for says, arguments in refused:
        said = failed(place, *arguments)
        assert says in said, (arguments, said)
    shutil.rmtree(place / "tmp")
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()} == before


def test_an_existing_out_is_replaced_when_forced(place: Path) -> None:
    write_recipe(place, {"clip": "in.mp4", "range": [0, 3]})
    (place / "frames").mkdir()
    (place / "frames" / "00009.png").write_bytes(b"old")
    (place / "out.mp4").write_text("old")
    assert cli(place, "run", "r.json", "-o", "out.mp4", "--masks", "frames", "--force")[0] == 0
    assert sorted(path.name for path in (place / "frames").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    assert open_video(place / "out.mp4").video.frames == 3


def test_doctor_and_models_say_what_is_there(place: Path) -> None:
    code, out, _ = cli(place, "doctor")
    assert code == 0 and "codec libx264" in out and "Python" in out
    assert "sam2.1-large" in cli(place, "models")[1]
    assert "There is no model" in failed(place, "models", "fetch", "x")

"""Jobs to and from EbSynth and timelines, and the share package: what goes out comes back the same."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.commands.cli import main
from engine.document import acts
from engine.editor import Editor
from engine.errors import Cancelled, EngineError, MediaError, ProjectError
from engine.handover.forms import FORMS, hand_over
from engine.handover.jobs_in import import_job, is_job, take_markers
from engine.handover.recipe_of import recipe_of
from engine.interchange import davis
from engine.interchange.ebsynth import EbsProject, Synth, read_ebs, write_ebs
from engine.interchange.timeline import read_timeline
from engine.media.images import decode_png, encode_png
from engine.media.reader import open_video
from engine.progress import Progress
from engine.store.projects import copy_project
from tests.media_fixtures import Clip, draw_frame, read_barcode, write_drawn_clip
from tests.recipes import clip_in, edit_recipe, failed, write_recipe

RANGE = [2, 20]


def make(folder: Path, *arguments: str) -> None:
    """The command line in this process, in `folder`; it must end well."""
    said, kept = io.StringIO(), {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.chdir(folder), contextlib.redirect_stderr(said):
            assert main(list(arguments)) == 0, said.getvalue()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two approved anchors in a range, rendered, and handed over in every form."""
    folder = tmp_path_factory.mktemp("job")
    clip_in(folder)
    recipe = edit_recipe(range=RANGE)
    recipe["subjects"][0]["track_points"] = [[4, 50.0, 72.0]]
    recipe["anchors"] = [{**recipe["anchors"][0], "frame": 4}, {**recipe["anchors"][1], "frame": 12}]
    write_recipe(folder, recipe)
    make(folder, "run", "r.json", "-o", "out.mkv", "--project", "project")
    for out in ("share.zip", "job.ebsynth", "edit.otio"):
        make(folder, "render", "project", "-o", out)
    return folder


def opened(folder: Path) -> Editor:
    return Editor(folder)


def taken(editor: Editor, frame: int) -> np.ndarray:
    anchor = editor.project.edit.anchor_at(frame)
    assert anchor and anchor.chosen
    return decode_png(editor.journal.objects.get(anchor.chosen))


# --- the share package ------------------------------------------------------------------------------------


def test_the_package_holds_what_it_says(done: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(done / "share.zip") as source:
        assert source.testzip() is None
        names = source.namelist()
        source.extractall(tmp_path)
    wanted = {
        "before-after.mp4",
        "sheet.png",
        "report.json",
        "report.html",
        "recipe.json",
        "tracks.npz",
        "timeline.otio",
        "README.txt",
    }
    assert wanted <= set(names) and names == sorted(names)
    assert [name for name in names if name.startswith("masks/")] == [f"masks/{frame:05d}.png" for frame in range(*RANGE)]
    report = json.loads((tmp_path / "report.json").read_text())
    sealed = report["certificates"]
    assert sealed["region"]["holds"] and sealed["anchors"]["holds"] and report["range"] == RANGE
    assert "Nothing outside the region changed" in (tmp_path / "report.html").read_text("utf-8")
    with open_video(tmp_path / "before-after.mp4") as reader:
        assert reader.video.frames == 18 and reader.video.audio
        assert [read_barcode(reader.get(i)) for i in (9, 12)] == [11, 14]
    assert Image.open(tmp_path / "sheet.png").size[0] > 400
    masks = davis.read(tmp_path / "masks", (112, 192))
    assert masks.numbers == tuple(range(*RANGE)) and all(1 in alphas for alphas in masks.frames)
    assert str(done) not in "".join(
        path.read_text("utf-8") for path in tmp_path.glob("*.*") if path.suffix in (".json", ".otio", ".txt", ".html")
    )


def test_the_recipe_in_the_package_makes_the_same_clip(done: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(done / "share.zip") as source:
        source.extractall(tmp_path)
    (tmp_path / "in.mp4").write_bytes((done / "in.mp4").read_bytes())
    make(tmp_path, "run", "recipe.json", "-o", "again.mkv")
    assert (tmp_path / "again.mkv").read_bytes() == (done / "out.mkv").read_bytes()


def test_what_a_recipe_cannot_say_is_said(done: Path) -> None:
    editor = opened(done / "project")
    try:
        far = acts.set_range(editor.project, start=0, stop=10)
        put: dict[str, str] = {}
        body, said = recipe_of(far, "in.mp4", put.__setitem__)
        assert [anchor["frame"] for anchor in body["edits"][0]["anchors"]] == [4] and "outside the in–out range" in said[0]
        assert sorted(put) == ["anchors/1/00004.png", "marks/1/00000.png"]
    finally:
        editor.close()


def test_several_edits_go_along(tmp_path: Path) -> None:
    clip_in(tmp_path)
    one, other = edit_recipe()["anchors"]
    grey = {"frame": 8, "effect": {"name": "grade", "brightness": 0.2}}
    edits = [{"name": "blue", "anchors": [one, other]}, {"name": "bright", "subjects": [], "anchors": [grey]}]
    write_recipe(tmp_path, {"clip": "in.mp4", "range": [0, 16], "subjects": edit_recipe()["subjects"], "edits": edits})
    make(tmp_path, "run", "r.json", "-o", "out.mkv", "--project", "project")
    make(tmp_path, "render", "project", "-o", "share.zip")
    make(tmp_path, "render", "project", "-o", "job.ebsynth")
    (tmp_path / "again").mkdir()
    with zipfile.ZipFile(tmp_path / "share.zip") as source:
        source.extractall(tmp_path / "again")
    (tmp_path / "again" / "in.mp4").write_bytes((tmp_path / "in.mp4").read_bytes())
    make(tmp_path / "again", "run", "recipe.json", "-o", "out.mkv")
    assert (tmp_path / "again" / "out.mkv").read_bytes() == (tmp_path / "out.mkv").read_bytes()
    (clip,) = read_timeline(tmp_path / "again" / "timeline.otio")
    assert [mark.name for mark in clip.marks][-1] == "Anchor 8, bright (approved)"


# --- EbSynth ----------------------------------------------------------------------------------------------


def test_the_folder_for_ebsynth_follows_its_convention(done: Path) -> None:
    folder = done / "job.ebsynth"
    numbers = [f"{frame:05d}.png" for frame in range(*RANGE)]
    assert sorted(path.name for path in folder.iterdir()) == ["job.ebs", "keys", "mask", "video"]
    assert sorted(path.name for path in (folder / "video").iterdir()) == numbers
    assert sorted(path.name for path in (folder / "mask").iterdir()) == numbers
    assert sorted(path.name for path in (folder / "keys").iterdir()) == ["00004.png", "00012.png"]
    assert {Image.open(path).size for path in folder.rglob("*.png")} == {(192, 112)}
    with open_video(done / "in.mp4") as reader:
        assert (np.array(Image.open(folder / "video" / "00007.png")) == reader.get(7)).all()
    job = read_ebs(folder / "job.ebs")
    assert (job.video, job.masks, job.keys) == ("video/[#####].png", "mask/[#####].png", "keys/[#####].png")
    assert job.synths == (Synth(4, 2, 12, "out-00004/[#####].png"), Synth(12, 4, 19, "out-00012/[#####].png"))
    assert job.masks_on and job.rate == 24.0


def test_an_ebsynth_job_comes_back_to_the_bit(done: Path, tmp_path: Path) -> None:
    assert is_job(done / "job.ebsynth" / "job.ebs")
    import_job(done / "job.ebsynth" / "job.ebs", tmp_path / "back")
    before, after = opened(done / "project"), opened(tmp_path / "back")
    try:
        assert [anchor.frame for anchor in after.project.edit.approved] == [2, 10], "frame 0 is the first picture"
        assert after.project.video.frames == 18 and after.project.video.rate == 24
        for frame in (2, 10):
            assert (after.picture(frame) == before.picture(frame + 2)).all()
            key = np.array(Image.open(done / "job.ebsynth" / "keys" / f"{frame + 2:05d}.png"))
            assert (key == taken(before, frame + 2)).all()
            given = after.project.keyframe(frame, 1)
            assert given and given.locked
            mask = np.array(Image.open(done / "job.ebsynth" / "mask" / f"{frame + 2:05d}.png"))
            assert (decode_png(after.journal.objects.get(given.mask or "")) == mask).all()
    finally:
        before.close()
        after.close()


def ebs_job(folder: Path, *, keys: int = 2, frames: int = 40, size: tuple[int, int] = (112, 192)) -> Path:
    """As people make them: numbers from 1 on, no masks, names of another machine."""
    for name in ("video", "keys"):
        (folder / name).mkdir(parents=True)
    for number in range(1, frames + 1):
        (folder / "video" / f"{number:04d}.png").write_bytes(encode_png(draw_frame(number)))
    wanted = [1 + round(k * (frames - 1) / max(1, keys - 1)) for k in range(keys)]
    for number in wanted:
        (folder / "keys" / f"{number:04d}.png").write_bytes(encode_png(draw_frame(number, *size[::-1])[::-1]))
    synths = [Synth(number, None, None, "out") for number in wanted]
    for k in range(0, len(synths), 15):
        part = EbsProject(
            "C:\\job\\video\\[####].png", "", "C:\\job\\keys\\[####].png", tuple(synths[k : k + 15]), masks_on=False
        )
        write_ebs(folder / f"job{k // 15 or ''}.ebs", part)
    return folder / "job.ebs"


def test_a_job_of_another_machine_without_masks_edits_the_whole_frame(tmp_path: Path) -> None:
    import_job(ebs_job(tmp_path / "job", keys=20), tmp_path / "project")
    editor = opened(tmp_path / "project")
    try:
        approved = editor.project.edit.approved
        assert len(approved) == 20, "both files of the split job were read"
        assert editor.project.whole_frame and editor.project.video.rate == 30
        assert (taken(editor, 0) == draw_frame(1)[::-1]).all()
        assert (editor.project.range.start, editor.project.range.stop) == (0, 40)
    finally:
        editor.close()


def test_more_than_fifteen_keys_are_split(tmp_path: Path) -> None:
    import_job(ebs_job(tmp_path / "job", keys=20), tmp_path / "project")
    make(tmp_path, "render", "project", "-o", "again.ebsynth")
    files = [read_ebs(tmp_path / "again.ebsynth" / name) for name in ("job.ebs", "job-2.ebs")]
    assert [len(one.synths) for one in files] == [15, 5] and not files[0].masks_on
    assert sorted(path.name for path in (tmp_path / "again.ebsynth").iterdir()) == ["job-2.ebs", "job.ebs", "keys", "video"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: [path.unlink() for path in (folder / "video").iterdir()], "not beside it"),
        (lambda folder: [path.unlink() for path in (folder / "keys").iterdir()], "key 1 of job.ebs"),
        (lambda folder: (folder / "video" / "0040.png").unlink(), "no such frame"),
        (lambda folder: (folder / "keys" / "0001.png").write_bytes(encode_png(draw_frame(1, 96, 56))), "asks for equal sizes"),
        (lambda folder: (folder / "job.ebs").write_bytes(b"EBS05\0garbage"), "damaged or not a project"),
        (lambda folder: (folder / "keys" / "0001.png").write_bytes(b"no picture"), "not a picture"),
    ],
)
def test_jobs_that_do_not_fit_are_one_sentence_and_leave_nothing_open(tmp_path: Path, spoil: object, says: str) -> None:
    path = ebs_job(tmp_path / "job", keys=2)
    spoil(tmp_path / "job")  # type: ignore[operator]
    with pytest.raises(EngineError, match=says):
        import_job(path, tmp_path / "project")


def test_a_project_without_keys_makes_no_ebsynth_job(done: Path, tmp_path: Path) -> None:
    clip_in(tmp_path)
    write_recipe(tmp_path, {"clip": "in.mp4"})
    assert "EbSynth needs key frames" in failed(tmp_path, "run", "r.json", "-o", "x.ebsynth")
    assert not (tmp_path / "x.ebsynth").exists()


# --- timelines --------------------------------------------------------------------------------------------


def test_a_timeline_goes_out_and_comes_back(done: Path, tmp_path: Path) -> None:
    (clip,) = read_timeline(done / "edit.otio")
    assert clip.path(done).samefile(done / "in.mp4") and [mark.name for mark in clip.marks] == [
        "Anchor 4 (approved)",
        "Anchor 12 (approved)",
    ]
    import_job(done / "edit.otio", tmp_path / "project")
    editor = opened(tmp_path / "project")
    try:
        assert [anchor.frame for anchor in editor.project.edit.anchors] == [4, 12]
        assert [editor.project.range.start, editor.project.range.stop] == RANGE
    finally:
        editor.close()


def test_the_cameras_clock_is_kept(tmp_path: Path) -> None:
    plain = write_drawn_clip(tmp_path / "plain.mov", Clip(frames=12))
    with av.open(str(plain)) as source, av.open(str(tmp_path / "in.mov"), "w") as made:
        stream = made.add_stream_from_template(source.streams.video[0])
        made.metadata["timecode"] = "01:00:00:10"
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    write_recipe(tmp_path, {"clip": "in.mov", "range": [3, 9], "anchors": [{"frame": 5, "image": "5.png"}]})
    (tmp_path / "5.png").write_bytes(encode_png(draw_frame(5)))
    make(tmp_path, "run", "r.json", "-o", "edit.otio")
    body = json.loads((tmp_path / "edit.otio").read_text("utf-8"))
    clip, begins = body["tracks"]["children"][0]["children"][0], 24 * 3600 + 10
    assert clip["media_references"]["DEFAULT_MEDIA"]["available_range"]["start_time"]["value"] == begins
    assert clip["source_range"]["start_time"]["value"] == begins + 3
    assert clip["markers"][0]["marked_range"]["start_time"]["value"] == begins + 5
    import_job(tmp_path / "edit.otio", tmp_path / "project")
    editor = opened(tmp_path / "project")
    assert [anchor.frame for anchor in editor.project.edit.anchors] == [5]
    assert (editor.project.range.start, editor.project.range.stop) == (3, 9)
    editor.close()


def test_a_cancelled_package_leaves_nothing(done: Path, tmp_path: Path) -> None:
    editor = opened(done / "project")
    seen: list[str] = []
    try:
        stopped = Progress(lambda status: seen.append(status.phase), lambda: "Packing" in seen)
        with pytest.raises(Cancelled):
            hand_over(editor.material, tmp_path / "share.zip", FORMS["share"], stopped)
        assert list(tmp_path.iterdir()) == [] and list((done / "project" / "cache" / "scratch").iterdir()) == []
    finally:
        editor.close()


def test_markers_are_taken_into_a_project_on_the_same_clip(done: Path, tmp_path: Path) -> None:
    copy_project(done / "project", tmp_path / "copy", "copy")
    editor = opened(tmp_path / "copy")
    try:
        with pytest.raises(ProjectError, match="nothing new"):
            take_markers(editor, done / "edit.otio")
        body = json.loads((done / "edit.otio").read_text("utf-8"))
        clip = body["tracks"]["children"][0]["children"][0]
        clip["markers"].append(
            {**clip["markers"][0], "marked_range": {**clip["source_range"], "start_time": {"rate": 25.0, "value": 16 * 25 / 24}}}
        )
        (tmp_path / "more.otio").write_text(json.dumps(body))
        assert take_markers(editor, tmp_path / "more.otio").startswith("1 anchor from more.otio")
        assert [anchor.frame for anchor in editor.project.edit.anchors] == [4, 12, 16]
        assert len(editor.project.edit.approved) == 2, "what was approved stays"
        clip["source_range"]["start_time"]["value"] = 1e6
        (tmp_path / "far.otio").write_text(json.dumps(body))
        with pytest.raises(MediaError, match="does not have"):
            take_markers(editor, tmp_path / "far.otio")
    finally:
        editor.close()


# --- the command line -------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["share.zip", "edit.otio", "job.ebsynth"])
def test_nothing_is_replaced_unasked(done: Path, out: str) -> None:
    before = (done / out).stat().st_mtime_ns
    assert "exists" in failed(done, "render", "project", "-o", out)
    assert (done / out).stat().st_mtime_ns == before


def test_parts_of_a_range_make_no_package(done: Path) -> None:
    assert "leave out --segments" in failed(done, "render", "project", "-o", "part.zip", "--segments", "0-0")

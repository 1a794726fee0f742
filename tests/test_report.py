"""After a run: both promises are proved from the files on the disk, a forged one is seen; the report holds it all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.editor import Editor
from engine.media.records import RecordWriter
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.patches import make_patch
from engine.rendering.render import propagate
from engine.review.certificate import FILE, certificate_of, certify
from engine.review.drawing import lane_svg
from engine.review.page import report_page
from engine.review.report import page_of, report_body, write_report
from engine.store.entries import Damaged, seal
from tests.test_jobs import project_in

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with anchors on 0 and 8, rendered."""
    folder = project_in(tmp_path_factory.mktemp("report"), 14, anchors=(0, 8))
    editor = Editor(folder)
    propagate(editor.material, Progress())
    editor.close()
    return folder


@pytest.fixture
def editor(made: Path, tmp_path: Path) -> Iterator[Editor]:
    shutil.copy(made.parent / "in.mp4", tmp_path / "in.mp4")
    opened = Editor(shutil.copytree(made, tmp_path / "project"))
    yield opened
    opened.close()


def forge(material: Material, frame: int, at: tuple[int, int]) -> None:
    """Renders the frame's segment anew with one pixel changed."""
    segment = material.segment_at(frame)
    assert segment is not None
    folder = material.workspace.segment(material.key_of(segment))
    meta = json.loads((folder / "done.json").read_text("utf-8"))["meta"]
    images = {one: material.edited(one) for one in range(segment.start, segment.stop)}
    with RecordWriter(folder, resume=False) as records:
        for one, image in images.items():
            assert image is not None
            changed = image.copy()
            if one == frame:
                changed[at] = 255 - changed[at]
            records.append(one, seal(one, make_patch(material.picture(one), changed)))
        records.finish(meta)


def test_nothing_is_proved_before_it_was_measured(editor: Editor) -> None:
    proved = certificate_of(editor.material)
    assert proved.region_holds is None and proved.anchors_hold is None and (proved.missing, proved.unrendered) == (2, 0)


def test_both_promises_are_proved_with_a_hash_of_every_frame(editor: Editor) -> None:
    progress = Progress()
    proved = certify(editor.material, progress)
    assert proved.whole and proved.region_holds and proved.anchors_hold and proved.anchors == (0, 8)
    assert [one.frame for one in proved.frames] == list(range(14))
    image = editor.material.edited(5)
    assert image is not None and proved.frames[5].sha256 == hashlib.sha256(image.tobytes()).hexdigest()
    again = Progress()
    assert certify(editor.material.again(), again) == proved and again.total == 0, "what is proved is not measured again"


def test_a_changed_pixel_outside_and_a_changed_anchor_are_seen(editor: Editor) -> None:
    certify(editor.material, Progress())
    outside = np.argwhere(editor.material.region(3) == 0)[0]
    forge(editor.material, 3, tuple(outside))
    fresh = editor.material.again()
    assert certificate_of(fresh).missing == 1, "a proof is of these very patches"
    proved = certify(fresh, Progress())
    assert proved.region_holds is False and proved.outside > 0 and proved.anchors_hold
    inside = np.argwhere(fresh.region(8) > 0)[0]
    forge(fresh, 8, tuple(inside))
    assert certify(fresh.again(), Progress()).anchors_hold is False


def test_damage_is_said_and_not_certified(editor: Editor) -> None:
    material = editor.material
    folder = material.workspace.segment(material.key_of(material.segments[0]))
    data = bytearray((folder / "data").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "data").write_bytes(data)
    with pytest.raises(Damaged, match="propagate again"):
        certify(material.again(), Progress())
    assert not (folder / FILE).exists()


def test_the_report_holds_everything(editor: Editor, tmp_path: Path) -> None:
    certify(editor.material, Progress())
    body = report_body(editor.material)
    assert body["certificates"]["region"] == {"holds": True, "max_abs_outside": 0, "frames": 14}
    assert len(body["frame_proofs"]) == 14 and body["frame_proofs"][8]["anchor_max_abs"] == 0
    edit = body["edits"][0]
    assert [one["rendered"] for one in edit["segments"]] == [True, True] and edit["segments"][1]["measures"]
    assert len(body["lanes"]["worst"]) == 14 and isinstance(body["problems"], list)
    write_report(tmp_path / "r.json", editor.material, body)
    assert json.loads((tmp_path / "r.json").read_text("utf-8")) == json.loads(json.dumps(body))
    write_report(tmp_path / "r.html", editor.material, body)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert (
        page.startswith("<!doctype html>")
        and "Nothing outside the region changed" in page
        and body["frame_proofs"][0]["sha256"] in page
    )


def test_the_page_needs_nothing_else_and_escapes_names(editor: Editor) -> None:
    body = report_body(editor.material)
    body["project"] = body["edits"][0]["name"] = body["edits"][0]["instruction"] = HOSTILE
    body["warnings"] = [HOSTILE]
    body["problems"] = [{"level": "severe", "start": 1, "stop": 3, "frame": 1, "sentence": HOSTILE}]
    body["lanes"]["masks"] = {HOSTILE: "0129"}
    page = report_page(body, {1: b"jpeg"})
    assert HOSTILE not in page and "<script" not in page and page.count("&lt;script&gt;") >= 5
    for reference in ("http:", "https:", 'src="/', "url("):
        assert reference not in page
    assert "Not measured yet" in page_of(editor.material, report_body(editor.material))


def test_the_lane_is_drawn_by_height() -> None:
    drawn = lane_svg("--0119-", "edit")
    assert drawn.count("<rect") == 2 and 'x="3" y="26.7" width="2"' in drawn and 'x="5" y="0.0" width="1"' in drawn
    assert "worst level 9 of 9, 1 frames at 5" in drawn

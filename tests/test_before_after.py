"""Before and after in one clip: a moving wipe, or side by side, with the sound; also from a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from engine.document import acts
from engine.editor import Editor
from engine.media.formats import FORMATS, ExportSettings, settings_for
from engine.media.reader import open_video
from engine.progress import Progress
from engine.rendering.before_after import beside_frames, line_at, wipe_frames
from engine.rendering.render import export, prepare_clip, propagate
from engine.types import FrameRange
from tests.media_fixtures import HEIGHT, WIDTH, Clip, write_drawn_clip
from tests.recipes import cli, clip_in, edit_recipe, write_recipe

FRAMES = 12
BOX = (20, 50, 90, 100)


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """A project with one recoloured box, rendered; its clip has sound."""
    folder = tmp_path_factory.mktemp("both")
    clip = write_drawn_clip(folder / "in.mp4", Clip(frames=FRAMES, audio=("aac",)))
    one = Editor.create(folder / "project", clip)
    one.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    prepare_clip(one.material, Progress())
    one.approve(0, one.effect_take(0, "recolour", {"colour": "#2050ff"}).key)
    propagate(one.material, Progress())
    yield one
    one.close()


def test_side_by_side_is_source_and_result_to_the_bit(editor: Editor) -> None:
    material = editor.material
    for frame, picture in enumerate(beside_frames(material, FrameRange(0, FRAMES))):
        source = material.reader.get(frame)
        assert picture.shape == (HEIGHT, 2 * WIDTH, 3)
        assert np.array_equal(picture[:, :WIDTH], source)
        assert np.array_equal(picture[:, WIDTH:], material.edited(frame, source))
    assert not np.array_equal(picture[:, :WIDTH], picture[:, WIDTH:])


def test_the_wipe_goes_there_and_back_between_the_two(editor: Editor) -> None:
    material, span = editor.material, FrameRange(0, FRAMES)
    video = material.project.video
    places = [line_at(video, span, frame) for frame in span]
    assert places[0] == max(places) > 0.9 * WIDTH and min(places) < 0.1 * WIDTH and places[-1] == places[0]
    for frame, picture in zip(span, wipe_frames(material, span), strict=True):
        source = material.reader.get(frame)
        edited, at = material.edited(frame, source), places[frame]
        assert np.array_equal(picture[:, : at - 1], source[:, : at - 1])
        assert np.array_equal(picture[:, at + 1 :], edited[:, at + 1 :])
        assert (picture[:, at - 1 : at + 1] == 255).all()


@pytest.mark.parametrize(("codec", "width"), [("h264-wipe", WIDTH), ("h264-beside", 2 * WIDTH)])
def test_they_are_written_with_times_and_sound(editor: Editor, tmp_path: Path, codec: str, width: int) -> None:
    out = tmp_path / "both.mp4"
    assert export(editor.material, out, ExportSettings(codec), Progress()) == []
    with open_video(out) as reader, open_video(editor.workspace.folder.parent / "in.mp4") as source:
        assert reader.video.size == (HEIGHT, width) and reader.video.frames == FRAMES
        assert np.allclose(reader.video.seconds(), source.video.seconds(), atol=1e-6)
        assert [one.codec for one in reader.video.audio] == ["aac"]
        last = reader.get(FRAMES - 1)[:, :WIDTH].astype(int)
        assert np.abs(last - source.get(FRAMES - 1).astype(int)).mean() < 6
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_every_container_of_h264_takes_them() -> None:
    for codec in ("h264-wipe", "h264-beside"):
        assert settings_for("x.mkv", codec).format is FORMATS[codec]
    assert settings_for("x.mp4").codec == "h264", "the plain clip stays the usual one"


def test_a_recipe_can_ask_for_it(tmp_path: Path) -> None:
    clip_in(tmp_path)
    write_recipe(tmp_path, {**edit_recipe(), "export": {"codec": "h264-beside"}})
    code, _, err = cli(tmp_path, "run", "r.json", "-o", "out.mp4")
    assert code == 0, err
    with open_video(tmp_path / "out.mp4") as out, open_video(tmp_path / "in.mp4") as clip:
        assert out.video.size == (clip.video.size[0], 2 * clip.video.size[1])

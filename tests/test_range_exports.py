"""The in–out range in everything that is written: the right frames from the first to the last, and the sound cut to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from engine.document import acts
from engine.editor import Editor
from engine.media.formats import FORMATS, ExportSettings
from engine.media.reader import open_video
from engine.progress import Progress
from engine.rendering.render import export, prepare_clip
from tests.media_fixtures import Clip, read_barcode, write_drawn_clip

START, STOP, RATE = 7, 31, 24
PACKET = 1.5 * 1024 / 48000  # seconds: sound is cut between packets
CLIPS = [name for name, form in FORMATS.items() if form.suffixes[0] and form.picture]


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("range")
    clip = write_drawn_clip(folder / "in.mp4", Clip(frames=48, audio=("aac",)))
    one = Editor.create(folder / "project", clip)
    one.act(acts.set_range, "Set range", start=START, stop=STOP)
    prepare_clip(one.material, Progress())
    yield one
    one.close()


@pytest.mark.parametrize("codec", CLIPS)
def test_every_clip_holds_the_range_and_its_sound(editor: Editor, tmp_path: Path, codec: str) -> None:
    out = tmp_path / f"out{FORMATS[codec].suffixes[0]}"
    export(editor.material, out, ExportSettings(codec), Progress())
    with open_video(out) as reader:
        assert reader.video.frames == STOP - START
        assert [read_barcode(reader.get(frame)[:, :192]) for frame in (0, STOP - START - 1)] == [START, STOP - 1]
    first, last = sound_of(out)
    assert abs(first) < PACKET and abs(last - (STOP - START) / RATE) < PACKET


def sound_of(path: Path) -> tuple[float, float]:
    """Seconds at which the sound begins and ends, as players take it: from the first picture on."""
    with av.open(str(path)) as container:
        began = min(float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.pts is not None)
    with av.open(str(path)) as container:
        frames = [frame for frame in container.decode(audio=0) if frame.pts is not None]
    last = frames[-1]
    ends = float(last.pts * last.time_base) + last.samples / last.sample_rate
    return float(frames[0].pts * frames[0].time_base) - began, ends - began


@pytest.mark.parametrize("codec", ["png", "exr"])
def test_stills_are_named_by_the_clips_frames(editor: Editor, tmp_path: Path, codec: str) -> None:
    export(editor.material, tmp_path / "frames", ExportSettings(codec), Progress())
    assert sorted(path.stem for path in (tmp_path / "frames").iterdir()) == [f"{frame:05d}" for frame in range(START, STOP)]

"""The corpus of odd and hostile clips: each opens as it should or is refused with one sentence, soon, and nothing breaks."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MediaError
from engine.media import examine
from engine.media.examine import ROOT, WALL_SECONDS
from engine.media.images import read_image, read_mask
from engine.media.reader import open_video
from tests.corpus import CASES, Case, Opens, Refused, png_bomb
from tests.media_fixtures import Clip, read_barcode, write_drawn_clip

REFUSED = [case for case in CASES if isinstance(case.comes, Refused)]
OPENED = [case for case in CASES if isinstance(case.comes, Opens)]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refused_with_one_sentence(case: Case, tmp_path: Path) -> None:
    assert isinstance(case.comes, Refused)
    path = case.make(tmp_path)
    started = time.monotonic()
    with pytest.raises(MediaError, match=case.comes.reason) as caught:
        open_video(path)
    assert time.monotonic() - started < WALL_SECONDS
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert str(tmp_path) not in text, "names, not places"


@pytest.mark.parametrize("case", OPENED, ids=lambda case: case.name)
def test_opens_as_it_should(case: Case, tmp_path: Path) -> None:
    comes = case.comes
    assert isinstance(comes, Opens)
    with open_video(case.make(tmp_path)) as reader:
        video = reader.video
        low, high = comes.frames if isinstance(comes.frames, tuple) else (comes.frames, comes.frames)
        assert low <= video.frames <= high
        assert video.size == comes.size
        remarks = " ".join(video.warnings)
        assert all(re.search(words, remarks) for words in comes.says), remarks
        assert bool(video.warnings) == bool(comes.says), remarks
        assert all("\n" not in remark and remark.endswith(".") for remark in video.warnings)
        assert (np.diff(video.pts) > 0).all()
        pictures = list(reader.frames(video.span))
        assert {(picture.shape, picture.dtype.name) for picture in pictures} == {((*comes.size, 3), "uint8")}
        if comes.codes:
            assert [read_barcode(picture) for picture in pictures] == list(range(video.frames))
        for frame in random.Random(4).sample(range(video.frames), min(6, video.frames)):
            assert np.array_equal(reader.get(frame), pictures[frame]), f"frame {frame} differs after a seek"


# --- the child that looks first -------------------------------------------------------------------------------------

CHILDREN = {
    "crashes": ("import os; os.abort()", "makes the video library fail"),
    "has a bug": ("raise KeyError('x')", "makes the video library fail"),
    "sleeps": ("import time; time.sleep(60)", "took longer than"),
    "loops": ("import engine.media.examine as e; e.CPU_SECONDS = 1; e.limit_process()\nwhile True: pass", "took longer than"),
    "takes memory": (
        "import sys, engine.media.examine as e\n"
        "def look(path): return bytearray(e.MEMORY_BYTES)\n"
        "e.look = look\nsys.exit(e.main(['x']))",
        "more than 4 GB",
    ),
}


@pytest.mark.skipif(os.name != "posix", reason="limits of processes are set on POSIX systems")
@pytest.mark.parametrize("does", CHILDREN)
def test_what_ends_the_child_is_one_sentence(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, says = CHILDREN[does]
    clip = write_drawn_clip(tmp_path / "clip.mp4", Clip(frames=2))
    monkeypatch.setattr(examine, "child_command", lambda file: [sys.executable, "-c", code])
    if does == "sleeps":
        monkeypatch.setattr(examine, "WALL_SECONDS", 0.5)
    with pytest.raises(MediaError, match=says) as caught:
        open_video(clip)
    assert "\n" not in str(caught.value)
    assert "clip.mp4" in str(caught.value)


def test_a_verdict_comes_soon_and_the_child_loads_little(tmp_path: Path) -> None:
    clip = write_drawn_clip(tmp_path / "clip.mp4")
    started = time.monotonic()
    look = examine.examine(clip)
    assert time.monotonic() - started < 5, "a second is usual; a busy machine may take longer"
    assert look.whole
    assert len(look.times) == 48
    code = "import engine.media.examine, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {"cv2", "scipy", "PIL", "torch", "gradio"} & set(loaded)


def test_a_clip_that_is_replaced_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    clip = write_drawn_clip(tmp_path / "clip.mp4")
    with open_video(clip) as reader:
        reader.get(40)
        write_drawn_clip(tmp_path / "other.mp4", Clip(frames=30)).replace(clip)
        with pytest.raises(MediaError, match="changed or removed"):
            list(reader.frames(reader.video.span))
        with pytest.raises(MediaError, match="changed or removed"):
            reader.get(3)
        clip.unlink()
        with pytest.raises(MediaError, match="changed or removed"):
            list(reader.frames(reader.video.span))


def test_damage_is_told_by_frame(tmp_path: Path) -> None:
    case = next(case for case in OPENED if case.name == "flipped bytes")
    with open_video(case.make(tmp_path)) as reader:
        list(reader.frames(reader.video.span))
        told = {frame for start, stop in reader.video.damaged for frame in range(start, stop)}
        assert told
        assert told == reader.damaged


def test_a_picture_bomb_is_refused_as_take_and_as_mask(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bomb())
    for read in (read_image, lambda path: read_mask(path, (96, 160))):
        started = time.monotonic()
        with pytest.raises(MediaError, match="megapixels"):
            read(tmp_path / "bomb.png")
        assert time.monotonic() - started < 10

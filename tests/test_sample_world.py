"""The sample for text: drawn, marked, with an instruction for the bundled model; and what that does to it."""

from pathlib import Path

import pytest

from engine.editor import Editor
from engine.media.images import decode_png
from engine.progress import Progress
from engine.rendering.render import make_takes, prepare_clip
from engine.sample_world import FRAMES, INSTRUCTION, SIDE, draw_world_sample

pytest.importorskip("torch")


@pytest.fixture
def opened(tmp_path: Path):
    draw_world_sample(tmp_path / "sample")
    editor = Editor(tmp_path / "sample")
    yield editor
    editor.close()


def test_it_is_marked_and_asks_the_bundled_model(opened: Editor) -> None:
    project = opened.project
    assert (project.video.frames, project.video.size) == (FRAMES, (SIDE, SIDE))
    assert (project.edit.method, project.edit.instruction) == ("sama", INSTRUCTION)
    mask = opened.material.alpha(1, 0)
    picture = opened.picture(0)[mask > 200].mean(axis=0)
    assert 0.05 < (mask > 128).mean() < 0.4 and picture[0] > 1.5 * picture[1], "a red ball"


def test_the_model_makes_the_ball_green(opened: Editor) -> None:
    material = prepare_clip(opened.material, Progress())
    made, _ = make_takes(material, 0, [3], Progress())
    image = decode_png(material.objects.get(made[0]["key"]))
    inside = material.alpha(1, 0) > 200
    red, green, _ = image[inside].mean(axis=0)
    assert green > 1.3 * red

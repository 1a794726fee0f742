"""`run` and `render` write masks and tracks in the format that the path, or --masks-as, asks for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.commands.cli import FORMS
from engine.interchange.masks import union
from engine.interchange.registry import MASK_FORMATS, TRACK_FORMATS, mask_format, mask_format_of, track_format
from engine.media.reader import open_video
from tests.interchange_cases import same_alphas
from tests.recipes import cli, clip_in, edit_recipe, failed, write_recipe

SIZE, RANGE = (112, 192), (4, 12)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept project of two subjects, the second with a point, and its masks as DAVIS PNGs and as grey ones."""
    folder = tmp_path_factory.mktemp("formats")
    clip_in(folder)
    other = {"id": 7, "keyframes": [{"frame": 5, "box": [120, 40, 170, 90]}], "track_points": [[5, 140, 60]]}
    recipe = edit_recipe(subjects=[*edit_recipe()["subjects"], other], range=list(RANGE))
    del recipe["anchors"]
    recipe["subjects"][0].update(track_points=[[4, 50.0, 72.0]], keyframes=[{"frame": 4, "box": [35, 55, 65, 90]}])
    write_recipe(folder, recipe)
    code, out, err = cli(folder, "run", "r.json", "--project", "project", "--masks", "davis", "--tracks", "t.npz")
    assert (code, out) == (0, ""), err
    assert cli(folder, "render", "project", "--masks", "grey", "--masks-as", "grey")[0] == 0
    return folder


def test_the_command_line_names_the_formats_there_are() -> None:
    assert set(FORMS) == set(MASK_FORMATS) and FORMS[0] == "davis"


@pytest.mark.parametrize("name", [name for name in MASK_FORMATS if name not in ("davis", "grey")])
def test_masks_go_into_every_format(place: Path, name: str) -> None:
    form = MASK_FORMATS[name]
    path = place / ("m-" + name + form.suffixes[0])
    chosen = [] if mask_format(path) is form else ["--masks-as", name]
    assert cli(place, "render", "project", "--masks", path.name, *chosen)[:2] == (0, "")
    soft = list(MASK_FORMATS["grey"].read(place / "grey", SIZE).frames)
    assert all({1, 7} == set(alphas) for alphas in soft)
    found = form.read(path, SIZE)
    if not form.several:
        wanted = [{1: union(alphas, SIZE)} for alphas in soft]
    elif not form.soft:
        wanted = [{s: np.where(alpha >= 128, 255, 0).astype(np.uint8) for s, alpha in alphas.items()} for alphas in soft]
    else:
        wanted = soft
    assert same_alphas(list(found.frames), wanted)
    assert found.numbers == (tuple(range(*RANGE)) if form.numbers else tuple(range(RANGE[1] - RANGE[0])))


def test_cut_outs_show_the_clip(place: Path) -> None:
    assert cli(place, "render", "project", "--masks", "cut", "--masks-as", "rgba")[0] == 0
    with open_video(place / "in.mp4") as reader:
        assert np.array_equal(np.asarray(Image.open(place / "cut" / "7" / "00006.png"))[..., :3], reader.get(6))


@pytest.mark.parametrize("name", [name for name in TRACK_FORMATS if name != "npz"])
def test_tracks_go_into_every_format(place: Path, name: str) -> None:
    form = TRACK_FORMATS[name]
    path = place / ("t" + form.suffixes[0])
    assert cli(place, "render", "project", "--tracks", path.name)[:2] == (0, "")
    wanted = track_format(place / "t.npz").read(place / "t.npz", SIZE, Fraction(24))
    found = form.read(path, SIZE, Fraction(24))
    seen = wanted.tracks.visible
    assert found.tracks.frame0 == 4 and np.array_equal(found.tracks.visible, seen) and seen.all(axis=0).any()
    assert np.array_equal(found.tracks.xy[seen], wanted.tracks.xy[seen])
    assert "subjects" not in form.keeps or found.subjects.tolist() == [1, 7]


def test_what_no_format_takes_is_refused_before_any_work(place: Path) -> None:
    (place / "taken.json").mkdir(exist_ok=True)
    (place / "taken.json" / "letter.txt").write_text("keep me")
    before = sorted(place.rglob("*.*"))
    for says, arguments in (
        ("give a folder without suffix, .json", ["--masks", "m.mp4"]),
        ("“grey” do not go into “m.json”", ["--masks", "m.json", "--masks-as", "grey"]),
        ("end it in one of .npz", ["--tracks", "t.dat"]),
        ("end it in one of .npz", ["--tracks", "t"]),
        ("numbered pictures", ["--masks", "taken.json", "--force"]),
        ("--force", ["--masks", "grey", "--masks-as", "grey"]),
        ("same place", ["--masks", "m.json", "--report", "m.json"]),
    ):
        assert says in failed(place, "render", "project", *arguments)
    assert cli(place, "render", "project", "--masks", "m", "--masks-as", "psd")[0] == 2
    assert sorted(place.rglob("*.*")) == before


def test_folders_of_subjects_are_replaced_when_forced_and_nothing_else(place: Path) -> None:
    assert cli(place, "render", "project", "--masks", "again", "--masks-as", "grey")[0] == 0
    assert cli(place, "render", "project", "--masks", "again", "--force")[0] == 0
    assert sorted(path.name for path in (place / "again").iterdir()) == [f"{frame:05d}.png" for frame in range(*RANGE)]
    assert cli(place, "render", "project", "--masks", "again", "--masks-as", "grey16", "--force")[0] == 0
    (place / "again" / "7" / "notes.txt").write_text("keep me")
    assert "not replaced" in failed(place, "render", "project", "--masks", "again", "--force")


@pytest.mark.parametrize("path", ["davis", "grey", "m.json", "m.mkv"])
def test_masks_made_elsewhere_come_in_as_locked_frames(place: Path, path: str) -> None:
    if not (place / path).exists():
        assert cli(place, "render", "project", "--masks", path)[:2] == (0, "")
    subjects = [{"id": 1, "masks": path}] if path == "m.mkv" else [{"id": 1, "masks": path}, {"id": 7, "masks": path}]
    if path == "m.mkv":  # a matte has no frame numbers and one subject: its first frame is frame 0, whatever it is called here
        subjects = [{"id": 3, "masks": path}]
    body = {"clip": edit_recipe()["clip"], "subjects": subjects, **({} if path == "m.mkv" else {"range": list(RANGE)})}
    name = f"in-{path.replace('.', '-')}"
    write_recipe(place, body, f"{name}.json")
    code, _, err = cli(
        place, "run", f"{name}.json", "--masks", f"{name}-back", "--project", f"{name}-project", "--masks-as", "grey"
    )
    assert code == 0, err
    form = mask_format_of(place / path, SIZE)
    given = [alphas for _, alphas in form.read(place / path, SIZE).numbered()]
    back = [alphas for _, alphas in MASK_FORMATS["grey"].read(place / f"{name}-back", SIZE).numbered()]
    if path == "m.mkv":
        given, back = [{3: alphas[1]} for alphas in given], back[: len(given)]
    assert same_alphas(back, given)


def test_masks_of_another_subject_or_past_the_end_are_refused(place: Path) -> None:
    body = {"clip": edit_recipe()["clip"], "subjects": [{"id": 4, "masks": "davis"}]}
    write_recipe(place, body, "wrong.json")
    assert "holds the subjects 1, 7, not 4" in failed(place, "run", "wrong.json", "--masks", "none")
    long = place / "long"
    long.mkdir()
    for frame in (0, 999):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(long / f"{frame:05d}.png")
    write_recipe(place, {**body, "subjects": [{"id": 1, "masks": "long"}]}, "late.json")
    assert "has a mask for frame 999; the clip ends at" in failed(place, "run", "late.json", "--masks", "none")
    write_recipe(place, {**body, "subjects": [{"id": 1, "masks": "nowhere"}]}, "gone.json")
    assert "nowhere" in failed(place, "run", "gone.json", "--masks", "none")

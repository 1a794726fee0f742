"""Masks in other programs' formats: back to the bit in what a format keeps, and as the format is described elsewhere."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from engine.errors import MediaError
from engine.interchange import davis, grey, rgba, youtube_vis
from engine.interchange.coco import mask_of, rle_of
from engine.interchange.masks import Masks
from engine.interchange.registry import MASK_FORMATS, mask_format, mask_format_of
from tests.interchange_cases import Clip, clips, discs, kept, masks_of, same_alphas, video_of

FILES = {name: form for name, form in MASK_FORMATS.items() if name not in ("prores", "ffv1")}


def there_and_back(name: str, clip: Clip) -> Masks:
    form = MASK_FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("masks" + form.suffixes[0])
        form.write(path, masks_of(clip), video_of(clip[0]))
        found = form.read(path, clip[0])
        return Masks(found.size, found.subjects, found.numbers, list(found.frames))


# --- every format -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=30, deadline=None)
@given(clip=clips())
def test_masks_come_back_to_the_bit(name: str, clip: Clip) -> None:
    form = MASK_FORMATS[name]
    wanted = kept(form, clip)
    if name == "grey":  # nothing above 1 in a sequence of 8 bits means 0 and 1: see below
        assume(all(max((a[s].max() for a in wanted if s in a), default=2) > 1 for s in clip[1]))
    found = there_and_back(name, clip)
    assert same_alphas(list(found.frames), wanted)
    assert found.numbers == tuple(range(clip[2], clip[2] + len(wanted)))
    seen = {subject for alphas in wanted for subject in alphas}
    assert seen <= set(found.subjects) <= {*clip[1], 1}


@pytest.mark.parametrize("name", ["prores", "ffv1"])
@settings(max_examples=5, deadline=None)
@given(clip=clips(smallest=16))
def test_a_matte_comes_back_to_the_bit(name: str, clip: Clip) -> None:
    found = there_and_back(name, clip)
    assert same_alphas(list(found.frames), kept(MASK_FORMATS[name], clip)) and found.numbers == tuple(range(len(clip[3])))


@pytest.mark.parametrize("name", ["prores", "ffv1"])
@pytest.mark.parametrize("value", [0, 255])
def test_a_matte_of_one_value_comes_back(name: str, value: int) -> None:
    """Nothing but opaque alpha says nothing: the brightness counts, which is as white."""
    clip: Clip = ((18, 34), (4,), 0, [{4: np.full((18, 34), value, np.uint8)}] * 2)
    assert same_alphas(list(there_and_back(name, clip).frames), [{1: np.full((18, 34), 255, np.uint8)} if value else {}] * 2)


@pytest.mark.parametrize("name", MASK_FORMATS)
def test_what_is_written_replaces_what_was_there_and_leaves_nothing_beside(name: str, tmp_path: Path) -> None:
    form, clip = MASK_FORMATS[name], discs()
    path = tmp_path / ("masks" + form.suffixes[0])
    for _ in range(2):
        form.write(path, masks_of(clip), video_of(clip[0]))
    assert list(tmp_path.iterdir()) == [path]
    assert same_alphas(list(form.read(path, clip[0]).frames), kept(form, clip))


@pytest.mark.parametrize("name", MASK_FORMATS)
def test_masks_that_fail_half_way_leave_the_old_ones(name: str, tmp_path: Path) -> None:
    form, clip = MASK_FORMATS[name], discs()
    path = tmp_path / ("masks" + form.suffixes[0])
    form.write(path, masks_of(clip), video_of(clip[0]))

    def torn() -> Any:
        yield clip[3][0]
        raise MediaError("stopped")

    with pytest.raises(MediaError, match="stopped"):
        form.write(path, Masks(clip[0], clip[1], (7, 8, 9), torn()), video_of(clip[0]))
    assert list(tmp_path.iterdir()) == [path]
    assert same_alphas(list(form.read(path, clip[0]).frames), kept(form, clip))


@pytest.mark.parametrize("name", MASK_FORMATS)
def test_masks_of_another_size_are_refused(name: str, tmp_path: Path) -> None:
    form, clip = MASK_FORMATS[name], discs((32, 48))
    path = tmp_path / ("masks" + form.suffixes[0])
    form.write(path, masks_of(clip), video_of(clip[0]))
    with pytest.raises(MediaError, match="48×32 px and the clip is 32×48 px"):
        list(form.read(path, (48, 32)).frames)


@pytest.mark.parametrize("name", MASK_FORMATS)
def test_a_path_finds_its_format_again(name: str, tmp_path: Path) -> None:
    form, clip = MASK_FORMATS[name], discs()
    path = tmp_path / ("masks" + form.suffixes[0])
    assert name in ("davis", "grey", "grey16", "rgba") or mask_format(path) == form
    form.write(path, masks_of(clip), video_of(clip[0]))
    assert mask_format(path, name) == form
    found = mask_format_of(path, clip[0])
    assert found.read == form.read
    assert same_alphas(list(found.read(path, clip[0]).frames), kept(form, clip))


def test_a_path_that_no_format_takes_is_refused() -> None:
    assert mask_format(Path("masks")) is MASK_FORMATS["davis"] and mask_format(Path("m.JSON")) is MASK_FORMATS["youtube-vis"]
    for name in ("m.mp4", "m.zip", "m.png"):
        with pytest.raises(MediaError, match="give a folder without suffix"):
            mask_format(Path(name))
    with pytest.raises(MediaError, match=r"do not go into “m.json”; there go: youtube-vis"):
        mask_format(Path("m.json"), "grey")
    with pytest.raises(MediaError, match="there go: davis, grey, grey16, rgba"):
        mask_format(Path("m"), "bmp")


# --- COCO run lengths, YouTube-VIS ------------------------------------------------------------------------


def string_of(counts: list[int]) -> str:
    """COCO's own way (rleToString), digit by digit."""
    text = ""
    for at, count in enumerate(counts):
        x = count - (counts[at - 2] if at > 2 else 0)
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


@settings(max_examples=60, deadline=None)
@given(mask=hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_lengths_come_back_and_are_those_of_coco(mask: np.ndarray) -> None:
    plain, packed = rle_of(mask, compressed=False), rle_of(mask)
    assert packed["counts"] == string_of(plain["counts"]) and plain["size"] == packed["size"] == list(mask.shape)
    for rle in (plain, packed):
        assert np.array_equal(mask_of(json.loads(json.dumps(rle)), mask.shape, "x"), mask)


def test_run_lengths_that_others_wrote() -> None:
    """Strings of pycocotools 2.0.11."""
    rows, columns = np.mgrid[:12, :20]
    ring = np.abs(np.hypot(rows - 6, columns - 9) - 3.5) < 1
    assert rle_of(ring)["counts"] == "P2562NLO00O20N020N020N100142NU2"
    assert rle_of(np.ones((3, 3)))["counts"] == "09" and rle_of(np.zeros((3, 3)))["counts"] == "9"
    assert mask_of({"size": [2, 3], "counts": [1, 0, 0, 2, 3]}, (2, 3), "x").T.ravel().tolist() == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "counts",
    ["", "9", "999", "0:", "~", "é", "P", "oooooooooooo0", [6, 1], [-1, 7], [3.0, 3], [True, 5], ["6"], [], None, 7, [2**70]],
)
def test_run_lengths_that_cannot_be_are_refused(counts: Any) -> None:
    with pytest.raises(MediaError, match="that is it has run lengths that do not fill 3×2 px"):
        mask_of({"size": [2, 3], "counts": counts}, (2, 3), "that is it")


def test_youtube_vis_is_written_as_its_readers_expect(tmp_path: Path) -> None:
    clip = discs()
    youtube_vis.write(tmp_path / "m.json", masks_of(clip), video_of(clip[0]))
    body = json.loads((tmp_path / "m.json").read_text())
    assert body["videos"] == [
        {"id": 1, "width": 48, "height": 32, "length": 3, "file_names": ["00007.jpg", "00008.jpg", "00009.jpg"]}
    ]
    assert [(a["id"], a["video_id"], a["category_id"], a["iscrowd"]) for a in body["annotations"]] == [(2, 1, 1, 0), (5, 1, 1, 0)]
    late = body["annotations"][1]
    assert late["segmentations"][0] is late["bboxes"][0] is late["areas"][0] is None
    inside = clip[3][1][5] >= 128
    x, y, width, height = late["bboxes"][1]
    assert inside[y : y + height, x : x + width].sum() == inside.sum() == late["areas"][1]
    assert not inside[:y].any() and not inside[y + height :].any() and inside[y].any() and inside[:, x + width - 1].any()


def test_youtube_vis_of_others_is_read(tmp_path: Path) -> None:
    """Every fifth frame, names in folders, ids of a large data set, run lengths as lists."""
    mask = discs()[3][1][2] >= 128
    looks = [None, rle_of(mask, compressed=False)]
    names = ["0043f083b5/00005.jpg", "0043f083b5/00010.jpg"]
    body: dict[str, Any] = {
        "info": {"year": 2019}, "licenses": [],
        "videos": [{"id": 3, "width": 48, "height": 32, "length": 2, "file_names": names}], "categories": [],
        "annotations": [{"id": 7071, "segmentations": looks}, {"id": 7072, "segmentations": looks[::-1]}],
    }  # fmt: skip
    (tmp_path / "m.json").write_text("\ufeff" + json.dumps(body))
    found = youtube_vis.read(tmp_path / "m.json", (32, 48))
    assert found.subjects == (1, 2) and found.numbers == (5, 10)
    white = np.where(mask, 255, 0).astype(np.uint8)
    assert same_alphas(list(found.frames), [{2: white}, {1: white}])
    body["videos"][0]["file_names"] = ["b.jpg", "a.jpg"]
    (tmp_path / "m.json").write_text(json.dumps(body))
    assert youtube_vis.read(tmp_path / "m.json", (32, 48)).numbers == (0, 1)


# --- folders of pictures ----------------------------------------------------------------------------------


def test_davis_pictures_of_others_are_read(tmp_path: Path) -> None:
    """Grey index maps, colours of the palette without an index, odd palettes: the same subjects."""
    indices = np.zeros((20, 30), np.uint8)
    indices[2:9, 3:9], indices[10:, 20:] = 1, 4
    colours = np.frombuffer(davis.palette(), np.uint8).reshape(256, 3)[indices]
    odd = Image.fromarray(indices, mode="P")
    odd.putpalette([7, 7, 7] * 256)
    for name, image in {"l": Image.fromarray(indices), "rgb": Image.fromarray(colours), "p": odd}.items():
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "frame_003.png")
        found = davis.read(tmp_path / name, (20, 30))
        wanted = {subject: np.where(indices == subject, 255, 0).astype(np.uint8) for subject in (1, 4)}
        assert found.subjects == (1, 4) and found.numbers == (3,) and same_alphas(list(found.frames), [wanted])
        assert mask_format_of(tmp_path / name, (20, 30)) is MASK_FORMATS["grey" if name == "l" else "davis"]
    Image.fromarray(np.full((20, 30, 3), 77, np.uint8)).save(tmp_path / "rgb" / "frame_004.png")
    with pytest.raises(MediaError, match=r"frame_004.png” has colours that are not those of the DAVIS palette"):
        davis.read(tmp_path / "rgb", (20, 30))


@pytest.mark.parametrize("kind", ["bool", "zero and one", "16 bits", "float", "rgb", "jpeg"])
def test_grey_pictures_of_others_are_read(tmp_path: Path, kind: str) -> None:
    inside = np.zeros((24, 32), bool)
    inside[5:20, 8:24] = True
    white = np.where(inside, 255, 0).astype(np.uint8)
    pictures = {
        "bool": Image.fromarray(inside), "zero and one": Image.fromarray(inside.astype(np.uint8)),
        "16 bits": Image.fromarray(white.astype(np.uint16) * 257), "float": Image.fromarray(inside.astype(np.float32)),
        "rgb": Image.fromarray(np.dstack([white] * 3)), "jpeg": Image.fromarray(white),
    }  # fmt: skip
    suffix = {"float": "tif", "jpeg": "jpg"}.get(kind, "png")
    pictures[kind].save(tmp_path / f"m001.{suffix}", quality=100)
    Image.new(pictures[kind].mode, (32, 24)).save(tmp_path / f"m000.{suffix}")
    first, second = grey.read(tmp_path, (24, 32)).frames
    assert first == {} and ((second[1] > 127) == inside).all() and int(second[1].max()) >= 250
    assert mask_format_of(tmp_path, (24, 32)) is MASK_FORMATS["grey"]


def test_masks_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((24, 32), np.nan, np.float32)).save(tmp_path / "m1.tif")
    with pytest.raises(MediaError, match="not numbers"):
        grey.read(tmp_path, (24, 32))


def test_16_bits_of_grey_are_used(tmp_path: Path) -> None:
    clip: Clip = ((16, 16), (1,), 0, [{1: np.full((16, 16), 77, np.uint8)}])
    MASK_FORMATS["grey16"].write(tmp_path / "m", masks_of(clip), video_of(clip[0]))
    assert np.unique(np.asarray(Image.open(tmp_path / "m" / "00000.png"))).tolist() == [77 * 257]


def test_one_subject_lies_flat_and_several_in_folders(tmp_path: Path) -> None:
    size, alpha = (16, 16), np.full((16, 16), 200, np.uint8)
    for subjects, wanted in (((1,), ["00003.png"]), ((2,), ["2/00003.png"]), ((1, 2), ["1/00003.png", "2/00003.png"])):
        path = tmp_path / f"{subjects}"
        grey.write(path, Masks(size, subjects, (3,), [{subjects[-1]: alpha}]), video_of(size))
        assert sorted(one.relative_to(path).as_posix() for one in path.rglob("*.png")) == wanted
        assert same_alphas(list(grey.read(path, size).frames), [{subjects[-1]: alpha}])


def test_cut_outs_have_the_clip_s_colours(tmp_path: Path) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8)
    alpha = np.arange(16 * 24, dtype=np.uint32).reshape(16, 24).astype(np.uint8)
    rgba.write(tmp_path / "m", Masks((16, 24), (1,), (0,), [{1: alpha}], lambda frame: picture), video_of((16, 24)))
    found = np.asarray(Image.open(tmp_path / "m" / "00000.png"))
    assert np.array_equal(found[..., :3], picture) and np.array_equal(found[..., 3], alpha)
    Image.fromarray(picture).save(tmp_path / "m" / "00001.png")
    with pytest.raises(MediaError, match=r"00001.png” has no transparency"):
        list(rgba.read(tmp_path / "m", (16, 24)).frames)


# --- matte video ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "codec", "pixels"), [(".mov", "prores", "yuva444p"), (".mkv", "ffv1", "gray")])
def test_a_matte_has_the_times_of_the_clip(tmp_path: Path, suffix: str, codec: str, pixels: str) -> None:
    clip, path = discs(), tmp_path / f"m{suffix}"
    video = video_of(clip[0])
    mask_format(path).write(path, masks_of(clip), video)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name == codec and frames[0].format.name.startswith(pixels) and not container.streams.audio
        times = [float((frame.pts or 0) * (frame.time_base or 0)) for frame in frames]
    wanted = (video.pts[7:10] - video.pts[7]) * float(video.time_base)
    assert np.abs(np.array(times) - times[0] - wanted).max() < 0.001


def test_a_matte_has_no_gaps(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="every frame of a range"):
        MASK_FORMATS["ffv1"].write(tmp_path / "m.mkv", Masks((16, 16), (1,), (0, 2), [{}, {}]), video_of((16, 16)))
    assert not list(tmp_path.iterdir())

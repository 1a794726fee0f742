"""Files that were cut off, damaged or made to do harm: one sentence, whatever the format, and nothing is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import time
import tracemalloc
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.errors import EngineError, MediaError
from engine.interchange import npz, tapvid, youtube_vis
from engine.interchange.registry import MASK_FORMATS, TRACK_FORMATS, mask_format_of
from engine.interchange.unpickle import array_of, load_pickle
from engine.store.strict import parse_strict
from tests.interchange_cases import discs, masks_of, same_alphas, three_tracks, video_of, write_text

SIZE, RATE = (32, 48), Fraction(24)
VIDEO = ("prores", "ffv1")


def written(name: str, folder: Path) -> tuple[Path, Path, Any]:
    """What is given to be read, the one file in it that is damaged, and how it is read to the end."""
    if name in TRACK_FORMATS:
        tracks = TRACK_FORMATS[name]
        path = folder / ("t" + tracks.suffixes[0])
        tracks.write(path, three_tracks())
        return path, path, lambda: tracks.read(path, SIZE, RATE)
    masks, clip = MASK_FORMATS[name], discs()
    path = folder / ("m" + masks.suffixes[0])
    masks.write(path, masks_of(clip), video_of(clip[0]))
    return path, path if path.is_file() else sorted(path.rglob("*.png"))[1], lambda: list(masks.read(path, SIZE).frames)


def refusal(read: Any) -> str:
    """What is said when the file is refused, or "" when it is read; anything else than a sentence fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("default", ResourceWarning)
        try:
            read()
        except EngineError as error:
            said = str(error)
            assert said.isprintable() and 20 < len(said) < 400, said
            return said
    return ""


# --- every format -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TRACK_FORMATS, *MASK_FORMATS])
def test_what_is_cut_off_is_refused_or_is_a_shorter_whole(name: str, tmp_path: Path) -> None:
    """Clips, tables and texts of several points are whole after any of their parts, a PNG without its last check sums."""
    _, file, read = written(name, tmp_path)
    content, whole = file.read_bytes(), read()
    step = max(1, len(content) // 60)
    for cut in [0, 1, len(content) // 2] if name in VIDEO else [1, *range(0, len(content) - 2, step)]:
        file.write_bytes(content[:cut])
        if refusal(read) == "":
            assert cut > 1 and name not in ("npz", "tap-vid", "youtube-vis")
            assert name in (*VIDEO, "csv", "after-effects") or (cut > len(content) - 24 and same_alphas(read(), whole))
    file.write_bytes(content)
    assert refusal(read) == ""


@pytest.mark.parametrize("name", [*TRACK_FORMATS, *MASK_FORMATS])
def test_damaged_bytes_are_refused_or_read_never_more(name: str, tmp_path: Path) -> None:
    _, file, read = written(name, tmp_path)
    content, rng = file.read_bytes(), np.random.default_rng(5)
    for _ in range(4 if name in VIDEO else 150):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 5)):
            damaged[at] = rng.integers(0, 256)
        file.write_bytes(damaged)
        refusal(read)


@pytest.mark.parametrize("name", [*TRACK_FORMATS, *MASK_FORMATS])
def test_what_is_something_else_is_refused(name: str, tmp_path: Path) -> None:
    path, file, read = written(name, tmp_path)
    said = []
    for content in (b"", b"\0" * 4000, b"\xff\xfe" + "näh".encode("utf-16-le"), b"%PDF-1.4\n", b"[]", b"PK\x05\x06" + b"\0" * 18):
        file.write_bytes(content)
        said.append(refusal(read))
    file.unlink()
    os.mkfifo(file)
    said.append(refusal(read))
    file.unlink()
    file.mkdir()
    if path == file:
        said.append(refusal(read))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert all([*said, refusal(read)])


# --- pickles ----------------------------------------------------------------------------------------------


class Harm:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self._wanted = (function, arguments)

    def __reduce__(self) -> Any:
        return self._wanted


def nested(depth: int) -> bytes:
    """A tuple of itself twice, so many times, as the name in a dictionary: hashing it takes 2^depth steps."""
    return b"\x80\x02})" + b"2\x86" * depth + b"K\x01s."


HARMFUL = {
    "a command": pickle.dumps(Harm(os.system, "touch harm")),
    "a file": pickle.dumps(Harm(open, "harm", "w")),
    "code": pickle.dumps(Harm(exec, "open('harm', 'w')")),
    "code, protocol 0": pickle.dumps(Harm(eval, "open('harm', 'w')"), protocol=0),
    "an old instance": b"(S'touch harm'\nios\nsystem\n.",
    "an old object": b"(cos\nsystem\nS'touch harm'\no.",
    "numpy's own doors": b"cnumpy.core.multiarray\nfromfile\n(S'harm'\ntR.",
    "numpy's own evaluation": b"cnumpy.testing\nmeasure\n(S\"open('harm','w')\"\ntR.",
    "attributes by dots": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile1\x93.",
    "objects of numpy": pickle.dumps({"a": {"points": np.array([Harm(os.system, "touch harm")]), "occluded": 0}}),
    "an array without content": b"\x80\x02cnumpy\nndarray\n(\x8a\x05\0\0\0\0\x01\x85tR.",
    "a name that is changed": b"\x80\x02cnumpy\nndarray\n}U\x05_makeNsb.",
    "a new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent thing": b"Pharm\n.",
    "a set": pickle.dumps({1, 2}),
    "a date": pickle.dumps(Fraction(1, 3)),
    "a nest of tuples for a name": nested(60),
    "a text coded over and over": b"\x80\x02c_codecs\nencode\nq\x00X"
    + struct.pack("<I", 10**5)
    + b"x" * 10**5
    + b"\x85q\x01"
    + b"h\x00h\x01R" * 10**5
    + b".",
}


@pytest.mark.parametrize("what", HARMFUL)
def test_nothing_in_a_pickle_is_run(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.pkl").write_bytes(HARMFUL[what])
    began = time.monotonic()
    said = refusal(lambda: tapvid.read(tmp_path / "t.pkl", SIZE, RATE))
    assert "it could run a program" in said and time.monotonic() - began < 20
    assert os.listdir(tmp_path) == ["t.pkl"]


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02r\xff\xff\xff\x7f.",  # an index that the interpreter in C makes room for
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",  # a terabyte announced
        b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"1.",
        b"(" * 1000 + b".",
        b"\x80\xff.",
        b".",
        b"I" + b"9" * 9000 + b"\n.",
        pickle.dumps(np.zeros(4), protocol=2).replace(b"K\x04\x85", b"K\x05\x85"),  # shape and content disagree
        pickle.dumps([np.zeros(4)])[:-1] + b"b.",
    ],
)
def test_a_broken_pickle_costs_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.pkl").write_bytes(content)
    tracemalloc.start()
    try:
        assert refusal(lambda: load_pickle(tmp_path / "t.pkl"))
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_endless_pickles_end(tmp_path: Path) -> None:
    """A list inside itself, and a hundred thousand lists in each other, are data; they are no TAP-Vid."""
    itself: list[Any] = []
    itself.append(itself)
    for content in (pickle.dumps(itself), b"]" * 100_000 + b"a" * 99_999 + b"."):
        (tmp_path / "t.pkl").write_bytes(content)
        assert "no TAP-Vid points" in refusal(lambda: tapvid.read(tmp_path / "t.pkl", SIZE, RATE))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["?", "<i2", ">f8", "<u8", "<f2", "i1"])
def test_arrays_of_numbers_come_out_of_a_pickle(kind: str, protocol: int, tmp_path: Path) -> None:
    for array in (np.arange(12).reshape(3, 4).astype(kind), np.asfortranarray(np.arange(6).reshape(3, 2).astype(kind)),
                  np.zeros((0, 3), kind), np.array(1, kind)):  # fmt: skip
        (tmp_path / "t.pkl").write_bytes(pickle.dumps([array, array[()]], protocol=protocol))
        found = [array_of(one) for one in load_pickle(tmp_path / "t.pkl")]
        assert [one is not None and np.array_equal(one, array) for one in found] == [True, True]
        assert found[0] is not None and found[0].dtype == array.dtype
    assert array_of(3) is None


# --- JSON -------------------------------------------------------------------------------------------------


def vis(**changes: Any) -> dict[str, Any]:
    video = {"id": 1, "width": 48, "height": 32, "length": 1, "file_names": ["00000.jpg"]}
    look = {"size": [32, 48], "counts": [32 * 48]}
    return {"videos": [video], "annotations": [{"id": 1, "segmentations": [look]}], **changes}


def video(**changes: Any) -> list[dict[str, Any]]:
    return [{**vis()["videos"][0], **changes}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ('{"videos": NaN}', "holds NaN"),
        ('{"videos": [], "videos": []}', "twice"),
        ('{"videos": ' + "1" * 5000 + "}", "a number"),
        ("{", "line 1"),
        ("[1]", "no lists"),
        (vis(videos=[]), "holds 0 videos"),
        (vis(videos=video() * 2), "holds 2 videos"),
        (vis(videos=["x"]), "holds 1 videos"),
        (json.dumps(vis(videos=video(width=7e77))).replace("7e+77", "1e999"), "needs “width”"),
        (vis(videos=video(width=True)), "needs “width”"),
        (vis(videos=video(length=2)), "says otherwise"),
        (vis(videos=video(file_names=None, length=2**31 - 1)), "2147483647 frames"),
        (vis(videos=video(file_names=[], length=0)), "0 frames"),
        (vis(videos=video(file_names=[3])), "no list of names"),
        (vis(annotations=[3]), "needs “segmentations”"),
        (vis(annotations=[{"segmentations": []}]), "needs “segmentations”"),
        (vis(annotations=[{"segmentations": [None]}] * 300), "300 subjects"),
        (vis(annotations=[{"segmentations": [[[1, 1, 5, 5, 1, 5]]]}]), "convert them to RLE"),
        (vis(annotations=[{"segmentations": [{"size": [48, 32], "counts": [1536]}]}]), "32×48"),
        (vis(annotations=[{"segmentations": [{"size": [10**9, 10**9], "counts": [10**18]}]}]), "1000000000×1000000000"),
        (vis(annotations=[{"segmentations": [{"size": 5, "counts": []}]}]), "of no size"),
        (vis(annotations=[{"segmentations": [{"size": [32, 48], "counts": [2**70]}]}]), "do not fill"),
        (vis(annotations=[{"segmentations": [{"size": [32, 48], "counts": [0] * 10_000}]}]), "do not fill"),
    ],
)
def test_json_that_cannot_be_is_refused(tmp_path: Path, text: Any, says: str) -> None:
    path = write_text(tmp_path / "m.json", text if isinstance(text, str) else json.dumps(text))
    assert says in refusal(lambda: list(youtube_vis.read(path, SIZE).frames))


def test_names_in_json_are_not_opened(tmp_path: Path) -> None:
    names = ["../../../etc/passwd", "/dev/zero", "C:\\x\\00003.jpg", "\ud800.jpg", "0" * 400 + "1.jpg"]
    for name in names:
        body = vis(videos=video(file_names=[name]))
        found = youtube_vis.read(write_text(tmp_path / "m.json", json.dumps(body)), SIZE)
        assert found.numbers in ((0,), (3,), (1,)) and list(found.frames) == [{}]


def test_a_key_twice_among_many_is_found_in_time() -> None:
    text = "{" + "".join(f'"{i}":0,' for i in range(200_000)) + '"7":1}'
    began = time.monotonic()
    with pytest.raises(MediaError, match=r"key '7' twice"):
        parse_strict(text, "x", MediaError)
    assert time.monotonic() - began < 30


# --- archives and folders ---------------------------------------------------------------------------------


def test_an_npz_that_swells_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as entry:
        for _ in range(60):
            entry.write(bytes(16 * 2**20))
    assert "unpacks to more than" in refusal(lambda: npz.read(tmp_path / "t.npz", SIZE, RATE))


@pytest.mark.parametrize(
    "header", ["{'descr': '|O', ", "{'descr': '<f4', ", "__import__('os').system('touch harm') or {'descr': '<f4', "]
)
def test_an_array_that_claims_too_much_is_refused(tmp_path: Path, header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (header + "'fortran_order': False, 'shape': (1000000, 20000, 2)}\n").encode()
    with zipfile.ZipFile("t.npz", "w") as archive:
        for name in ("tracks", "visibility"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    assert "damaged or not an npz" in refusal(lambda: npz.read(Path("t.npz"), SIZE, RATE))
    assert os.listdir() == ["t.npz"]


def test_a_folder_of_tricks_is_refused(tmp_path: Path) -> None:
    """Numbers that no clip has, two pictures of one number, links to what is no picture, a picture too large to open."""
    picture = Image.fromarray(np.zeros(SIZE, np.uint8))
    for number, names in enumerate((["99999999999999999999.png"], ["1.png", "01.png"], ["00000.png", "x00000.png"], [])):
        folder = tmp_path / str(300 + number)
        folder.mkdir()
        for name in names:
            picture.save(folder / name)
        assert refusal(lambda folder=folder: mask_format_of(folder, SIZE)) and refusal(
            lambda f=folder: MASK_FORMATS["davis"].read(f, SIZE)
        )
    (tmp_path / "link").mkdir()
    os.symlink("/dev/zero", tmp_path / "link" / "00000.png")
    assert "pipe or a device" in refusal(lambda: MASK_FORMATS["grey"].read(tmp_path / "link", SIZE))
    (tmp_path / "bomb").mkdir()
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    (tmp_path / "bomb" / "00000.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + b"\0\0\0\0")
    assert refusal(lambda: MASK_FORMATS["davis"].read(tmp_path / "bomb", SIZE))

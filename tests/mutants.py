"""Files that were good and are damaged by lot: bytes, JSON values, documents inside databases and zips. Same seed, same files."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.editor import Editor
from engine.interchange.project_zip import pack_project
from engine.interchange.registry import MASK_FORMATS, TRACK_FORMATS
from tests.interchange_cases import discs, masks_of, three_tracks, video_of
from tests.media_fixtures import Clip, write_drawn_clip
from tests.recipes import edit_recipe

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, "", " ", "0", "a" * 5000, "../../x", "/x",
    "<img src=x onerror=alert(1)>", "\u202e", "\x00", "\ud800", "=cmd()", [], {}, [[]], [0] * 3000, {"": {}}, [[[[[[[[]]]]]]]],
)  # fmt: skip
ODD_TEXT = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 100_000, '{"a":' * 50_000, '"', "\ufeff{}", "")
KINDS = ("media", "masks", "tracks", "recipes", "projects")
SHARES = {"media": 0.3, "masks": 0.2, "tracks": 0.2, "recipes": 0.15, "projects": 0.15}


@dataclass(frozen=True)
class Mutant:
    """A damaged file and what it claims to be: the name of an import of tests/bench/fuzz_child.py."""

    kind: str
    how: str
    path: Path


class Originals:
    """Good files of each kind, made once in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.clip = write_drawn_clip(folder / "in.mp4", Clip(frames=12, audio=("aac",)))
        self.media = [
            self.clip,
            write_drawn_clip(folder / "in.mkv", Clip(frames=6, codec="ffv1", options={}, pixels="yuv420p")),
            write_drawn_clip(folder / "in.mov", Clip(frames=6, rotation=90)),
            write_drawn_clip(folder / "in.avi", Clip(frames=6, codec="mpeg4", options={})),
        ]
        self.masks, self.tracks = self._masks(), self._tracks()
        (folder / "project").mkdir()
        Editor.create(folder / "project" / "p", self.clip, "Fuzz").close()
        self.project = folder / "project" / "p"
        pack_project(self.project, folder / "p.zip", self.clip)
        self.zip = folder / "p.zip"

    def _masks(self) -> list[tuple[str, Path]]:
        clip = discs()
        kept = []
        for name in ("youtube-vis", "ffv1", "prores"):
            form = MASK_FORMATS[name]
            path = self.folder / f"{name}{form.suffixes[0]}"
            form.write(path, masks_of(discs()), video_of(clip[0]))
            kept.append((name, path))
        grey = np.zeros((32, 48), np.uint8)
        grey[8:20, 10:30] = 255
        pictures: dict[str, Any] = {"8": grey, "16": grey.astype(np.uint16) * 257, "rgb": np.dstack([grey] * 3)}
        for name, picture in pictures.items():
            Image.fromarray(picture).save(self.folder / f"mask{name}.png")
            kept.append(("picture", self.folder / f"mask{name}.png"))
        Image.fromarray(grey).save(self.folder / "mask.tif")
        Image.fromarray(np.dstack([grey] * 3)).save(self.folder / "mask.jpg")
        return [*kept, ("picture", self.folder / "mask.tif"), ("picture", self.folder / "mask.jpg")]

    def _tracks(self) -> list[tuple[str, Path]]:
        kept = []
        for name, form in TRACK_FORMATS.items():
            path = self.folder / f"tracks{form.suffixes[0]}"
            form.write(path, three_tracks())
            kept.append((name, path))
        return kept


def mutants(originals: Originals, folder: Path, count: int, seed: int) -> Iterator[Mutant]:
    """So many of all kinds, made one after the other: whoever takes one may delete it before asking for the next."""
    folder.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[Originals, Path, random.Random], Mutant]] = {
        "media": _media, "masks": _masks, "tracks": _tracks, "recipes": _recipe, "projects": _project,
    }  # fmt: skip
    for kind in KINDS:
        for number in range(max(1, round(count * SHARES[kind]))):
            lot = random.Random(f"{seed} {kind} {number}")
            place = folder / f"{kind}{number}"
            place.mkdir()
            yield makers[kind](originals, place, lot)


def _media(originals: Originals, folder: Path, lot: random.Random) -> Mutant:
    source = lot.choice(originals.media)
    content, how = damaged(source.read_bytes(), lot)
    suffix = lot.choice([source.suffix] * 4 + [".mp4", ".mkv", ".gif", ".webm"])
    return Mutant("media", how, _put(folder / f"clip{suffix}", content))


def _masks(originals: Originals, folder: Path, lot: random.Random) -> Mutant:
    name, source = lot.choice(originals.masks)
    content, how = json_damaged(source.read_text(), lot) if source.suffix == ".json" else damaged(source.read_bytes(), lot)
    return Mutant(f"masks {name}", how, _put(folder / source.name, content))


def _tracks(originals: Originals, folder: Path, lot: random.Random) -> Mutant:
    name, source = lot.choice(originals.tracks)
    content, how = damaged(source.read_bytes(), lot)
    return Mutant(f"tracks {name}", how, _put(folder / source.name, content))


def _recipe(originals: Originals, folder: Path, lot: random.Random) -> Mutant:
    whole = edit_recipe(clip=str(originals.clip), range=[0, 12], seed=3, export={"codec": "h264", "quality": 20})
    whole["anchors"] = [{"frame": 0, "effect": {"name": "blur", "radius": 3}}]
    content, how = json_damaged(json.dumps(whole), lot)
    return Mutant("recipes", how, _put(folder / "r.json", content))


def _project(originals: Originals, folder: Path, lot: random.Random) -> Mutant:
    """A zip damaged outside or inside, or an opened project's database."""
    which = lot.randrange(4)
    if which == 0:
        content, how = damaged(originals.zip.read_bytes(), lot)
        return Mutant("projects zip", f"zip: {how}", _put(folder / "p.zip", content))
    if which == 1:
        return _zip_of_others(originals, folder, lot)
    target = folder / "p"
    shutil.copytree(originals.project, target)
    if which == 2:
        content, how = damaged((target / "project.db").read_bytes(), lot)
        (target / "project.db").write_bytes(content)
    else:
        how = _document_damaged(target / "project.db", lot)
    return Mutant("projects folder", f"database: {how}", target)


def _zip_of_others(originals: Originals, folder: Path, lot: random.Random) -> Mutant:
    """A zip that is whole and holds what no project holds, or a project that is not one."""
    with zipfile.ZipFile(originals.zip) as source:
        files = {name: source.read(name) for name in source.namelist()}
    database = next(name for name in files if name.endswith("project.db"))
    inner = _put(folder / "inner.db", files[database])
    how = _document_damaged(inner, lot)
    files[database] = inner.read_bytes()
    inner.unlink()
    odd = (
        "../../evil",
        "/abs",
        "C:\\evil",
        "a" * 300,
        "objects/aa/../../../x",
        "con",
        "PROJECT.DB",
        "",
        "x\x00y",
        "media/.hidden",
    )
    with zipfile.ZipFile(folder / "p.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
        if lot.random() < 0.5:
            name = lot.choice(odd)
            how += f", a file {name[:20]!r}"
            target.writestr(name or "x/", b"\0" * lot.choice([1, 100, 30 * 2**20]))
    return Mutant("projects zip", f"zip: {how}", folder / "p.zip")


def _document_damaged(path: Path, lot: random.Random) -> str:
    """One value of one row changed; where it is JSON, inside it."""
    with sqlite3.connect(path) as database:
        tables = [
            name
            for (name,) in database.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite%'")
        ]
        lot.shuffle(tables)
        for table in tables:
            columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
            rows = database.execute(f"select * from {table}").fetchall()
            if rows:
                row, column = lot.choice(rows), lot.choice(columns)
                value = row[columns.index(column)]
                new, how = _value_damaged(value, lot)
                try:
                    database.execute(f"update {table} set {column} = ? where {columns[0]} = ?", (new, row[0]))
                except (sqlite3.Error, OverflowError, UnicodeError):
                    continue
                break
        else:
            how = "untouched"
    database.close()
    return f"{how} in {table}.{column}"


def _value_damaged(value: Any, lot: random.Random) -> tuple[Any, str]:
    if isinstance(value, str) and value[:1] in "{[":
        content, how = json_damaged(value, lot)
        return content.decode("utf-8", "replace"), how
    if isinstance(value, bytes):
        return damaged(value, lot)
    return lot.choice([None, -1, 2**62, 1.5, "", "x" * 1000, b"\0\xff", "../x"]), "another value"


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- how ----------------------------------------------------------------------------------------------------


def damaged(content: bytes, lot: random.Random) -> tuple[bytes, str]:
    """The bytes with some of them changed, lost, doubled or made up; and how."""
    data = bytearray(content)
    size = max(1, len(data))

    def span(most: int) -> tuple[int, int]:
        start = lot.randrange(size)
        return start, min(size, start + lot.randrange(1, most + 1))

    def flip() -> None:
        for _ in range(lot.choice([1, 4, 30, 300])):
            data[lot.randrange(size)] ^= 1 << lot.randrange(8)

    def number() -> None:
        start = lot.randrange(size)
        data[start : start + 4] = lot.choice(
            [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\0\0\x01"]
        )

    def cut() -> None:
        del data[lot.randrange(size) :]

    def lose() -> None:
        start, stop = span(4096)
        del data[start:stop]

    def double() -> None:
        start, stop = span(4096)
        data[start:start] = data[start:stop] * lot.choice([1, 2, 50])

    def blank() -> None:
        start, stop = span(4096)
        data[start:stop] = bytes(stop - start)

    def noise() -> None:
        start, stop = span(1024)
        data[start:stop] = lot.randbytes(stop - start)

    def head() -> None:
        for _ in range(3):
            data[lot.randrange(min(size, 256))] = lot.randrange(256)

    ways = {"bits flipped": flip, "a number replaced": number, "cut off": cut, "a piece lost": lose, "a piece doubled": double,
            "a piece blank": blank, "noise": noise, "its head changed": head}  # fmt: skip
    chosen = [lot.choice(list(ways)) for _ in range(lot.choice([1, 1, 2, 4]))]
    for name in chosen:
        ways[name]()
        size = max(1, len(data))
        if not data:
            break
    return bytes(data), ", ".join(chosen)


def json_damaged(text: str, lot: random.Random) -> tuple[bytes, str]:
    """The JSON with a value replaced, a key lost, doubled or made up, or text that JSON does not have put in."""
    value = json.loads(text)
    places = list(_places(value))
    how = lot.choice(["value", "value", "value", "lost", "made up", "text", "bytes"])
    if how == "bytes" or not places:
        return damaged(text.encode(), lot)
    parent, key = lot.choice(places)
    if how == "lost":
        del parent[key]
    elif how == "made up" and isinstance(parent, dict):
        parent[lot.choice(["", "clip", "../x", "a" * 300, "frame"])] = lot.choice(ODD)
    elif how == "text":
        parent[key] = "@@@"
    else:
        parent[key] = lot.choice(ODD)
    raw = json.dumps(value).replace('"@@@"', lot.choice(ODD_TEXT), 1)
    return raw.encode("utf-8", "surrogatepass"), f"{how} at {key!r}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in it."""
    heap = [value]
    while heap:
        one = heap.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            yield one, key
            heap.append(one[key])


SIZE, RATE = (32, 48), Fraction(24)
"""Of the clip that masks and tracks are imported for."""

"""Documents as rows: what an act left alone is not written again.

A version of the document is one row with its small fields; the clip's record, every keyframe, stroke, tracked point and
anchor is a *part*, written once and named by its number from then on. Versions share parts as the frozen objects in memory share
them, so an act costs what it changed, however much has been painted before. Nothing is replayed on reading.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from engine.document import project as documents
from engine.document.project import SCHEMA, Project, build_project, from_json
from engine.types import Anchor, Edit, Keyframe, Stroke, Subject, TrackPoint

TABLE = "create table if not exists part (id integer primary key, body blob not null)"
MOST_KEPT = 50_000  # parts in memory
MOST_BYTES = 256 * 2**20  # of one row, unpacked
T = TypeVar("T")


class DocumentRows:
    """Writes documents to a database and reads them. Keeps the parts it has seen; not shared between threads."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}  # id() of an object that is kept below -> number of its part
        self._objects: dict[int, Any] = {}
        self._texts: dict[bytes, int] = {}
        self._fresh: list[int] = []
        self._released: list[int] = []

    # --- writing ------------------------------------------------------------------------------------------

    def write(self, db: sqlite3.Connection, project: Project) -> bytes:
        """Writes the parts that are new; returns the version's own row. Call `settle` when it is committed, else `drop`.

        Raises sqlite3.Error.
        """
        body = {
            "schema": project.schema,
            "name": project.name,
            **documents.trackers_json(project),
            "range": [project.range.start, project.range.stop],
            "selected": project.selected,
            "subjects": [self._subject_json(db, subject) for subject in project.subjects],
            "video": self._part(db, project.video, documents.video_json),
            "keyframes": [self._part(db, key, lambda k: self._keyframe_json(db, k)) for key in project.keyframes],
            "edits": [self._edit_json(db, edit) for edit in project.edits],
        }
        return squeeze(body)

    def settle(self) -> list[int]:
        """What was written is on disk. Returns the numbers of the parts that the last `write` made."""
        fresh = self._fresh
        self._forget(self._released)
        return fresh

    def drop(self) -> None:
        """What was written was rolled back: the parts' numbers will be given out again."""
        self._forget(self._fresh)

    def release(self, db: sqlite3.Connection, numbers: list[int], project: Project) -> None:
        """Deletes those of the parts that the document does not use. No other row may use them. Settled like `write`."""
        objects: list[Any] = [project.video, *project.keyframes, *(s for key in project.keyframes for s in key.strokes)]
        objects += [anchor for edit in project.edits for anchor in edit.anchors]
        objects += [point for subject in project.subjects for point in subject.track_points]
        used = {self._ids.get(id(one)) for one in objects}
        self._released = [number for number in numbers if number not in used]
        db.executemany("delete from part where id = ?", [(number,) for number in self._released])

    def _forget(self, numbers: list[int]) -> None:
        gone = set(numbers)
        self._fresh, self._released = [], []
        if not gone:
            return
        self._ids = {key: number for key, number in self._ids.items() if number not in gone}
        self._texts = {key: number for key, number in self._texts.items() if number not in gone}
        self._objects = {number: one for number, one in self._objects.items() if number not in gone}

    def _subject_json(self, db: sqlite3.Connection, subject: Subject) -> dict[str, Any]:
        points = [self._part(db, point, documents.point_json) for point in subject.track_points]
        return {**documents.subject_json(subject), "track_points": points}

    def _keyframe_json(self, db: sqlite3.Connection, key: Keyframe) -> dict[str, Any]:
        strokes = [self._part(db, stroke, documents.stroke_json) for stroke in key.strokes]
        return {**documents.keyframe_json(key), "strokes": strokes}

    def _edit_json(self, db: sqlite3.Connection, edit: Edit) -> dict[str, Any]:
        anchors = [self._part(db, anchor, documents.anchor_json) for anchor in edit.anchors]
        return {**documents.edit_json(edit), "anchors": anchors}

    def _part(self, db: sqlite3.Connection, one: T, as_json: Callable[[T], dict[str, Any]]) -> int:
        """The number of a part, written where it is not there yet."""
        number = self._ids.get(id(one))
        if number is not None:
            return number
        text = json.dumps(as_json(one), separators=(",", ":")).encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        number = self._texts.get(digest)
        if number is None:
            number = int(db.execute("insert into part (body) values (?)", (zlib.compress(text, 6),)).lastrowid or 0)
            self._fresh.append(number)
            self._texts[digest] = number
        self._keep(number, one)
        return number

    def _keep(self, number: int, one: Any) -> None:
        before = self._objects.pop(number, None)
        if before is not None:
            self._ids.pop(id(before), None)
        self._objects[number], self._ids[id(one)] = one, number
        if len(self._objects) > MOST_KEPT:  # the oldest go; they would be written or read again
            for old in list(self._objects)[: MOST_KEPT // 2]:
                self._ids.pop(id(self._objects.pop(old)), None)
            self._texts.clear()

    # --- reading ------------------------------------------------------------------------------------------

    def read(self, db: sqlite3.Connection, row: bytes) -> Project:
        """The document of a row that `write` made.

        Raises:
            ProjectError: newer, or damaged.
            ValueError, TypeError, KeyError, zlib.error: damaged.
        """
        body = unsqueeze(row)
        if body.get("schema") != SCHEMA:  # older: as plain values through the migrations; newer: refused there
            return from_json(self._plain(db, body))
        return build_project(
            body,
            video=self._object(db, body["video"], documents.video_from),
            subjects=[self._subject(db, value) for value in body["subjects"]],
            keyframes=[self._object(db, number, lambda value: self._keyframe(db, value)) for number in body["keyframes"]],
            edits=[documents.edit_from(edit, [self._anchor(db, number) for number in edit["anchors"]]) for edit in body["edits"]],
        )

    def _subject(self, db: sqlite3.Connection, value: dict[str, Any]) -> Subject:
        points: list[TrackPoint] = [self._object(db, number, documents.point_from) for number in value["track_points"]]
        return documents.subject_from(value, points)

    def _keyframe(self, db: sqlite3.Connection, value: dict[str, Any]) -> Keyframe:
        strokes: list[Stroke] = [self._object(db, number, documents.stroke_from) for number in value["strokes"]]
        return documents.keyframe_from(value, strokes)

    def _anchor(self, db: sqlite3.Connection, number: int) -> Anchor:
        return self._object(db, number, documents.anchor_from)

    def _object(self, db: sqlite3.Connection, number: int, build: Callable[[dict[str, Any]], T]) -> T:
        one = self._objects.get(number)
        if one is None:
            one = build(_part_json(db, number))
            self._keep(number, one)
        return one

    def _plain(self, db: sqlite3.Connection, body: dict[str, Any]) -> dict[str, Any]:
        """A row of another schema with its parts put in, as plain JSON values."""
        if "video" not in body or not isinstance(body["video"], int):
            return body
        keyframes = [_part_json(db, number) for number in body["keyframes"]]
        subjects = [
            {**one, "track_points": [_part_json(db, p) if isinstance(p, int) else p for p in one["track_points"]]}
            for one in body["subjects"]
        ]
        return {
            **body,
            "video": _part_json(db, body["video"]),
            "subjects": subjects,
            "keyframes": [{**key, "strokes": [_part_json(db, number) for number in key["strokes"]]} for key in keyframes],
            "edits": [{**edit, "anchors": [_part_json(db, number) for number in edit["anchors"]]} for edit in body["edits"]],
        }


def _part_json(db: sqlite3.Connection, number: int) -> dict[str, Any]:
    found = db.execute("select body from part where id = ?", (number,)).fetchone()
    if found is None:
        raise KeyError(f"part {number}")
    return unsqueeze(found[0])


def squeeze(body: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 6)


def unsqueeze(row: bytes) -> dict[str, Any]:
    """Raises ValueError or zlib.error for what is none, or is larger than a document can be: it may come from others."""
    inflate = zlib.decompressobj()
    raw = inflate.decompress(row, MOST_BYTES)
    if not inflate.eof:
        raise ValueError("a row is cut off or too large")
    return json.loads(raw)


def rewrite(db: sqlite3.Connection, *, name: str = "", clip: str = "") -> None:
    """Gives all versions another name, or another path of their clip. Raises sqlite3.Error."""
    clips = set()
    for act, row in db.execute("select id, document from act").fetchall():
        body = unsqueeze(row)
        clips.add(body["video"])
        if name:
            db.execute("update act set document = ? where id = ?", (squeeze({**body, "name": name}), act))
    for number in clips if clip else ():
        moved = squeeze({**_part_json(db, number), "path": clip})
        db.execute("update part set body = ? where id = ?", (moved, number))

"""The files of anchors that are being painted elsewhere: watched by time and size, taken back when they are whole.

What is watched is a note in the project's journal, so it outlives the page and the editor. A picture that comes back
becomes a take at once; where it has another size, or lies beside the frame, the user is asked.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.document import acts
from engine.editor import Editor
from engine.errors import EngineError, MediaError, ProjectError
from engine.handover.registration import Registration, measure, shifted_back
from engine.handover.sending import LAYERED, RETURNS, send
from engine.interchange.openraster import read_openraster
from engine.media.images import decode_png, encode_png, fit_image, load_pixels, to_rgb
from engine.rendering.material import Material
from engine.types import FrameIndex, Take

FOLDER = "painting"
NOTE = "painting"
POLL = 0.7  # seconds between two looks; a file counts as whole when two looks find it the same
HELPERS = ("Mask", "Anchor before", "Anchor after")
"""Beginnings of the names of layers that are there to look at: one that is switched on is in the picture."""


@dataclass
class Watched:
    """One anchor that is painted elsewhere. `seen` are time and size, `pixels` the digest of each of its files as known."""

    stem: str
    frame: FrameIndex
    edit: int = 1
    """The number of the edit that it belongs to."""
    seen: dict[str, list[int]] = field(default_factory=dict)
    pixels: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    said: str = ""
    asked: str = ""
    """An open question: "fit" (another size) or "shift", about `about`: a file's name, or the key of a take."""
    about: str = ""
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def mark(self) -> str:
        """Changes with everything that there is to show of it."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:12]


class PaintingWatch:
    """What of a project is painted elsewhere. Looks by itself, in a thread, while there is anything to look for."""

    def __init__(self, editor: Editor, arrived: Callable[[FrameIndex, str], None] = lambda frame, key: None) -> None:
        """`arrived(frame, key)` is called after a take has come back."""
        self._editor, self._arrived = editor, arrived
        self.folder = editor.workspace.folder / FOLDER
        self._lock = threading.RLock()
        self._pending: dict[Path, list[int]] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        noted = [_of_json(one) for one in json.loads(editor.journal.note(NOTE) or "[]")]
        # A copy of a project has the note without the files; what was thrown away is waited for no more.
        self._watched = [one for one in noted if any(path.exists() for path in self._files(one))]
        self._told = {_word(one) for one in self._watched}
        self._begin()

    @property
    def watched(self) -> list[Watched]:
        with self._lock:
            return list(self._watched)

    @property
    def mark(self) -> str:
        """Changes with everything that there is to show."""
        with self._lock:
            return " ".join(one.mark for one in self._watched)

    def news(self) -> list[Watched]:
        """What has something to say that nobody was told yet; each is given once, however soon it came."""
        with self._lock:
            news = [one for one in self._watched if one.said and _word(one) not in self._told]
            self._told = {_word(one) for one in self._watched}
            return news

    # --- what the user does -------------------------------------------------------------------------------

    def send(self, frame: FrameIndex, key: str | None) -> Watched:
        """Sends the frame with the take `key` (None: the source); it becomes an anchor where it is none. Raises EngineError."""
        with self._lock:
            self._editor.act(acts.add_anchor, "Add anchor", frame=frame)
            sent = send(self._editor, self.folder, frame, key)
            one = Watched(sent.stem, frame, self._editor.project.edit.id)
            for path in self._files(one):
                one.seen[path.name] = _mark(path) or []
                one.pixels[path.name] = _digest(_shown(path, self._editor.picture(frame))[0])
            self._watched.append(one)
            self._keep()
        self._begin()
        return one

    def stop(self, stem: str) -> None:
        """Does not look for it any more; its files stay where they are."""
        with self._lock:
            one = self._one(stem)
            self._watched.remove(one)
            self._keep()

    def leave(self, stem: str) -> None:
        """What was asked stays as it is."""
        with self._lock:
            one = self._one(stem)
            one.asked = one.about = ""
            self._keep()

    def fit(self, stem: str) -> Take:
        """Takes the picture of another size, scaled to cover the frame and cropped about the middle. Raises EngineError."""
        with self._lock:
            one = self._one(stem, "fit")
            picture, remarks = _shown(self.folder / one.about, self._material(one).picture(one.frame), fit=True)
            name, one.asked, one.about = one.about, "", ""
            return self._take(one, name, picture, remarks)

    def undo_shift(self, stem: str) -> Take:
        """One more take: the last one moved back to where the frame has it. Raises EngineError."""
        with self._lock:
            one = self._one(stem, "shift")
            anchor = self._material(one).project.edit.anchor_at(one.frame)
            old = next((take for take in anchor.takes if take.key == one.about), None) if anchor else None
            if old is None:
                raise ProjectError("That take is not there any more; save the picture again in the other program.")
            picture = decode_png(self._editor.journal.objects.get(old.key))
            moved = shifted_back(picture, one.shift, self._material(one).picture(one.frame))
            take = self._add(one, moved, f"{old.label}, moved back", old.config)
            one.asked, one.about = "", ""
            one.said = f"The shift is undone in the take “{take.label}”; the shifted one stays beside it."
            self._keep()
        self._arrived(one.frame, take.key)
        return take

    # --- looking ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """One look at all files. Raises EngineError when the project cannot be written any more."""
        with self._lock:
            if not self._editor.why_read_only:
                for one in list(self._watched):
                    for path in self._files(one):
                        self._look_at(one, path)

    def _look_at(self, one: Watched, path: Path) -> None:
        """Takes a file that has changed since it was known, once it is the same at two looks."""
        mark = _mark(path)
        if mark is None or mark == one.seen.get(path.name):  # gone for a moment: many programs save beside and rename
            self._pending.pop(path, None)
        elif self._pending.get(path) != mark:
            self._pending[path] = mark
        else:
            self._pending.pop(path)
            self._come_back(one, path, mark)

    def _come_back(self, one: Watched, path: Path, mark: list[int]) -> None:
        one.seen[path.name] = mark
        try:
            source = self._material(one).picture(one.frame)
            picture, remarks = _shown(path, source)
        except (MediaError, ProjectError) as error:  # half written, and not at it any more: the next change is looked at again
            one.said = str(error)
            return self._keep()
        if _mark(path) != mark:  # changed while it was read
            one.seen[path.name] = []
            return None
        if _digest(picture) == one.pixels.get(path.name):
            return self._keep()
        one.pixels[path.name] = _digest(picture)
        if picture.shape != source.shape:
            was, wanted = f"{picture.shape[1]}×{picture.shape[0]}", f"{source.shape[1]}×{source.shape[0]}"
            one.asked, one.about = "fit", path.name
            one.said = f"{path.name} came back with {was} px and the clip has {wanted}."
            return self._keep()
        self._take(one, path.name, picture, remarks)
        return None

    def _take(self, one: Watched, name: str, picture: np.ndarray, remarks: list[str]) -> Take:
        """Puts the picture on its anchor, and says how it lies on the frame."""
        material = self._material(one)
        found = measure(material.picture(one.frame), picture, material.region(one.frame))
        one.taken += 1
        label = name if one.taken == 1 else f"{name}, {one.taken}"
        take = self._add(one, picture, label, {"file": name, **_told(found)})
        if found.is_shifted and found.shift:
            one.asked, one.about, one.shift = "shift", take.key, found.shift
        came = f"Came back as the take “{label}”." if take.label == label else f"It shows just what the take “{take.label}” does."
        one.said = " ".join([came, *found.sentences(), *remarks])
        self._keep()
        self._arrived(one.frame, take.key)
        return take

    def _add(self, one: Watched, picture: np.ndarray, label: str, config: dict[str, Any]) -> Take:
        """The picture as a take of its anchor; the take that shows just this already, where there is one."""
        take = Take(self._editor.journal.objects.put(encode_png(picture)), "painted", label, config=config)
        project = self._editor.project
        anchor = project.on_edit(one.edit).edit.anchor_at(one.frame)
        same = next((old for old in anchor.takes if old.key == take.key), None) if anchor else None
        if same is not None:
            return same
        changed = acts.add_take(project.on_edit(one.edit), frame=one.frame, take=take).on_edit(project.edit.id)
        self._editor.commit(changed, f"Take on frame {one.frame}", place=one.frame)
        return take

    def _material(self, one: Watched) -> Material:
        """Files of the edit that the painting is of. Raises ProjectError when that edit is gone."""
        material = self._editor.material
        return material.working_on(material.project.on_edit(one.edit))

    # --- the thread and the note --------------------------------------------------------------------------

    def close(self) -> None:
        """Looks no more. What is watched stays a note, and is watched again when the project is opened."""
        self._closed.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _begin(self) -> None:
        with self._lock:
            idle = self._thread is None or not self._thread.is_alive()
            if self._watched and idle and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, daemon=True, name="painting")
                self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(POLL):
            with suppress(EngineError):  # a full disk, or the project was closed: said where the user acts
                self.look()
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return

    def _keep(self) -> None:
        self._editor.journal.set_note(NOTE, json.dumps([asdict(one) for one in self._watched]))

    def _files(self, one: Watched) -> list[Path]:
        return [self.folder / f"{one.stem}{suffix}" for suffix in RETURNS]

    def _one(self, stem: str, asked: str = "") -> Watched:
        found = next((one for one in self._watched if one.stem == stem), None)
        if found is None or (asked and found.asked != asked):
            raise ProjectError("That painting is not waited for any more; reload the page to see how it stands.")
        return found


def _word(one: Watched) -> tuple[str, int, str]:
    return one.stem, one.taken, one.said


def _of_json(value: dict[str, Any]) -> Watched:
    return Watched(**{**value, "shift": tuple(value["shift"])})


def _told(found: Registration) -> dict[str, Any]:
    return {"shift": list(found.shift) if found.shift else None, "changed": round(found.changed, 5), "levels": list(found.levels)}


def _mark(path: Path) -> list[int] | None:
    """Time and size of a file; None where there is none, or it is empty still."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size] if status.st_size else None


def _digest(picture: np.ndarray) -> str:
    return hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()


def _shown(path: Path, source: np.ndarray, *, fit: bool = False) -> tuple[np.ndarray, list[str]]:
    """The picture of a file, (H, W, 3) uint8, and what there is to say of it. Where it is transparent, the source shows.

    Raises:
        MediaError: cut off, damaged, no such picture.
    """
    remarks = []
    if path.suffix == LAYERED:
        painting = read_openraster(path)
        pixels = painting.picture
        helpers = [name for name in painting.shown if name.startswith(HELPERS)]
        if helpers:
            remarks.append(f"The layer “{helpers[0]}” was switched on and is part of the picture.")
    else:
        pixels = load_pixels(path)
    picture = to_rgb(pixels)
    alpha = to_rgb(pixels[..., -1])[..., :1] if pixels.ndim == 3 and pixels.shape[2] in (2, 4) else None
    if fit:
        picture = fit_image(picture, source.shape[:2])
        alpha = None if alpha is None else fit_image(to_rgb(alpha), source.shape[:2])[..., :1]
    if alpha is None or int(alpha.min()) == 255:
        return picture, remarks
    if picture.shape != source.shape:
        return picture, remarks
    share = alpha.astype(np.float32) / 255
    blended = np.rint(source + share * (picture.astype(np.float32) - source)).astype(np.uint8)
    return blended, [*remarks, "Where the picture is transparent, the source shows."]

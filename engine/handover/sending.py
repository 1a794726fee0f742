"""An anchor as files for another program: layers in OpenRaster, and the same as plain PNGs. Nothing is overwritten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.editor import Editor
from engine.errors import MediaError
from engine.interchange.files import whole
from engine.interchange.openraster import Layer, write_openraster
from engine.media.images import decode_png, encode_png
from engine.types import Anchor, FrameIndex

LAYERED, PLAIN = ".ora", ".png"
RETURNS = (LAYERED, PLAIN)
"""Suffixes of the files that are watched; the others of a sending are for looking."""
BESIDE = ("-source.png", "-mask.png")
MASK_COLOUR = (255, 60, 60)


@dataclass(frozen=True, slots=True)
class Sent:
    """One sending: files that begin with `stem` in the project's folder for painting."""

    stem: str
    frame: FrameIndex
    picture: str
    """Key of the picture that was sent: what it shows before anybody has painted."""


def send(editor: Editor, folder: Path, frame: FrameIndex, key: str | None) -> Sent:
    """Writes the frame with the take `key` on it (None: as the source is) under a name that is not taken.

    Raises:
        MediaError: the clip cannot be read, or the disk does not take the files.
    """
    source, region = editor.picture(frame), editor.material.region(frame)
    edit = source if key is None else decode_png(editor.journal.objects.get(key))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"Cannot make the folder {folder.name}: {error.strerror}; free some disk space.") from error
    stem = _free(folder, f"anchor-{frame:04d}")
    write_openraster(folder / f"{stem}{LAYERED}", _layers(editor, frame, source, edit, region), edit)
    for name, picture in ((f"{stem}{PLAIN}", edit), (f"{stem}{BESIDE[0]}", source), (f"{stem}{BESIDE[1]}", region)):
        with whole(folder / name) as temporary:
            temporary.write_bytes(encode_png(picture))
    return Sent(stem, frame, key or "")


def _free(folder: Path, stem: str) -> str:
    """`stem`, or `stem-2` and so on: the first that no file begins with."""
    number = 1
    while any((folder / f"{_numbered(stem, number)}{end}").exists() for end in (*RETURNS, *BESIDE)):
        number += 1
    return _numbered(stem, number)


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


def _layers(editor: Editor, frame: FrameIndex, source: np.ndarray, edit: np.ndarray, region: np.ndarray) -> list[Layer]:
    """The topmost first: mask and neighbours switched off, an empty layer to paint on, the edit, the source."""
    layers = [Layer("Mask", _tinted(region), visible=False, opacity=0.5, locked=True)]
    for anchor, where in _neighbours(editor, frame):
        picture = decode_png(editor.journal.objects.get(anchor.chosen or anchor.takes[-1].key))
        layers.append(Layer(f"Anchor {where}: frame {anchor.frame}", picture, visible=False, opacity=0.5, locked=True))
    layers.append(Layer("Paint here", np.zeros((*source.shape[:2], 4), np.uint8), selected=True))
    if edit is not source:
        layers.append(Layer("Edit", edit))
    return [*layers, Layer(f"Source: frame {frame}", source, locked=True)]


def _tinted(region: np.ndarray) -> np.ndarray:
    """(H, W, 4): the region as a transparent colour."""
    flat = np.broadcast_to(np.array(MASK_COLOUR, np.uint8), (*region.shape, 3))
    return cv2.merge([*cv2.split(np.ascontiguousarray(flat)), region])


def _neighbours(editor: Editor, frame: FrameIndex) -> list[tuple[Anchor, str]]:
    """The nearest anchors with takes on both sides."""
    shown = [anchor for anchor in editor.project.edit.anchors if anchor.takes]
    before = [anchor for anchor in shown if anchor.frame < frame]
    after = [anchor for anchor in shown if anchor.frame > frame]
    return [*((one, "before") for one in before[-1:]), *((one, "after") for one in after[:1])]

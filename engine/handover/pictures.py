"""A picture that shows a project to others: the sheet of its anchors and takes."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.media.images import decode_png
from engine.rendering.material import Material
from engine.types import Anchor, Take

CELL = 240  # px: width of a picture on the sheet
GAP, TITLE, LABEL = 12, 44, 20
MOST_TAKES = 8
INK, PAPER, APPROVED, FAINT = (30, 32, 36), (246, 246, 244), (0, 114, 178), (120, 122, 126)


def sheet_picture(material: Material) -> np.ndarray:
    """(H, W, 3) uint8: a row for each anchor of each edit, the source frame first, then its takes; the approved one is framed."""
    project, (height, width) = material.project, material.project.video.size
    cell = (CELL, max(1, round(CELL * height / width)))
    rows = [(edit, anchor) for edit in project.edits for anchor in edit.anchors]
    columns = 1 + max([1, *(min(len(anchor.takes), MOST_TAKES) for _, anchor in rows)])
    size = (GAP + columns * (CELL + GAP), TITLE + max(1, len(rows)) * (cell[1] + LABEL + 2 * GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), _fitted(draw, project.name, "", size[0] - 2 * GAP, 18), INK, font=ImageFont.load_default(18))
    if not rows:
        draw.text((GAP, TITLE), "No anchors yet.", FAINT, font=ImageFont.load_default(14))
    for row, (edit, anchor) in enumerate(rows):
        top = TITLE + row * (cell[1] + LABEL + 2 * GAP)
        whose = f", {edit.name}" if len(project.edits) > 1 else ""
        source = _small(material.original(anchor.frame), cell)
        _cell(sheet, (GAP, top), source, (f"Frame {anchor.frame}{whose}", ", source"))
        for column, take in enumerate(_shown(anchor), 1):
            picture = _small(decode_png(material.objects.get(take.key)), cell)
            ending = ", approved" if take.key == anchor.chosen else ""
            _cell(sheet, (GAP + column * (CELL + GAP), top), picture, (take.label or take.source, ending))
    return np.array(sheet)


def _shown(anchor: Anchor) -> list[Take]:
    """The newest takes, the approved one always among them."""
    newest = list(anchor.takes[-MOST_TAKES:])
    if anchor.take is not None and anchor.take not in newest:
        newest[0] = anchor.take
    return newest


def _small(picture: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _cell(sheet: Image.Image, place: tuple[int, int], picture: Image.Image, said: tuple[str, str]) -> None:
    """A picture with a name and what stands behind it below; framed where that says that it is approved."""
    (left, top), chosen, draw = place, "approved" in said[1], ImageDraw.Draw(sheet)
    sheet.paste(picture, place)
    if chosen:
        draw.rectangle((left - 3, top - 3, left + picture.width + 2, top + picture.height + 2), outline=APPROVED, width=3)
    text = _fitted(draw, said[0], said[1], picture.width, 13)
    draw.text((left, top + picture.height + 5), text, APPROVED if chosen else INK, font=ImageFont.load_default(13))


def _fitted(draw: ImageDraw.ImageDraw, name: str, ending: str, width: int, size: int) -> str:
    """The name with its ending, the name cut where both are wider than `width` px."""
    font, name = ImageFont.load_default(size), name[:200]
    if draw.textlength(name + ending, font=font) <= width:
        return name + ending
    while name and draw.textlength(f"{name}...{ending}", font=font) > width:
        name = name[:-1]
    return f"{name.rstrip()}...{ending}"

"""What a clip can be exported as: one row for each format, with what it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import MediaError


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of export.

    `suffixes` of the files that hold it, "" = a folder of stills. `deep`: keeps more than 8 bits where the clip has them.
    `alpha`: where its transparency comes from: "source" (the clip's own, if it has any), "matte" (of what is edited) or "".
    `picture`: whether it holds the pictures; without them it is the matte alone, white where the edit is.
    `layout`: "wipe" or "beside" where source and edit are shown in one picture (engine/rendering/before_after.py), else "".
    """

    title: str
    suffixes: tuple[str, ...]
    deep: bool = False
    alpha: str = ""
    picture: bool = True
    layout: str = ""

    @property
    def needs_matte(self) -> bool:
        return not self.picture or self.alpha == "matte"


FORMATS = {
    "h264": Format("MP4, H.264 (to share)", (".mp4", ".mov", ".mkv")),
    "h264-wipe": Format("MP4, before and after: a wipe between them", (".mp4", ".mov", ".mkv"), layout="wipe"),
    "h264-beside": Format("MP4, before and after: side by side", (".mp4", ".mov", ".mkv"), layout="beside"),
    "prores": Format("MOV, ProRes 4444 (to go on editing)", (".mov",), True, "source"),
    "prores-matte": Format("MOV, ProRes 4444, edit matte as alpha", (".mov",), True, "matte"),
    "ffv1": Format("MKV, FFV1 (lossless)", (".mkv",), True, "source"),
    "png": Format("PNG frames (a folder)", ("",), True, "source"),
    "exr": Format("EXR frames, linear light (a folder)", ("",), True, "source"),
    "matte": Format("MOV, matte alone, white where the edit is", (".mov", ".mp4", ".mkv", ""), picture=False),
}
USUAL = {".mp4": "h264", ".mov": "prores", ".mkv": "ffv1", "": "png"}
"""What a suffix stands for unless told otherwise."""


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """`codec` is a name of FORMATS; `quality` is the CRF of H.264 (0 best – 51), None = 18."""

    codec: str
    quality: int | None = None

    @property
    def format(self) -> Format:
        return FORMATS[self.codec]


def settings_for(out: str | Path, codec: str | None = None, quality: int | None = None) -> ExportSettings:
    """The settings that the name of the target asks for; `codec` None = the usual one for its suffix.

    Raises:
        MediaError: a suffix that cannot be written, a codec that does not go into it, a quality outside 0–51.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in USUAL:
        raise MediaError(
            f"“{Path(out).name}” cannot be written; end it in .mp4 or .mov, in .mkv for a lossless clip, or give a folder name "
            "without suffix for frames."
        )
    codec = codec or USUAL[suffix]
    if codec not in FORMATS:
        raise MediaError(f"There is no export format “{codec[:40]}”; choose {_listed(list(FORMATS))}.")
    if suffix not in FORMATS[codec].suffixes:
        works = _listed([name for name, one in FORMATS.items() if suffix in one.suffixes])
        raise MediaError(f"{codec} does not go into “{Path(out).name}”; choose {works}, or another suffix.")
    if quality is not None and not 0 <= quality <= 51:
        raise MediaError(f"The quality {quality} is not between 0 (best) and 51; leave it out for 18.")
    return ExportSettings(codec, quality)


def _listed(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

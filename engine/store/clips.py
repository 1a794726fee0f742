"""Where a project's clip lies on this machine, and whether it is still the one that was opened.

The document says where the clip was when it was opened. `clips.json` in the project's folder says where it lies now, if
it was moved, and what its file looked like (size, time, inode) when its content was last compared: while that is the
same, the content is not read again. It is about this machine, so it is no part of the document and not undone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import EngineError, MediaError
from engine.media.reader import FrameReader, open_video
from engine.media.sequence import find_stills
from engine.store.workspace import Workspace
from engine.types import Video

PLACES = "clips.json"
LOOKED_AT = 20_000  # files and folders that a search looks at, at most (our choice)


class AnotherClip(MediaError):
    """The file is a clip, but not the project's: the user may choose another, or accept it."""


def find_clip(workspace: Workspace, video: Video) -> Path:
    """Where the clip is: where it was found last, inside the project, or where it was when it was opened.

    Raises:
        MediaError: it is in none of these places.
    """
    recorded = Path(video.path)
    found = _places(workspace).get(video.digest, {}).get("path")
    inside = workspace.folder / recorded, workspace.media / recorded.name
    for path in (*([Path(found)] if found else []), *inside):
        if os.path.exists(path):
            return path
    raise MediaError(
        f"The clip {recorded.name} is gone from where it was opened; put it back, tell the editor where it is now, "
        "or copy it into the project's media folder."
    )


def open_clip(workspace: Workspace, video: Video) -> FrameReader:
    """A reader of the project's clip. Its content is compared unless its file looks as it did when it last was.

    Raises:
        MediaError: it is gone, cannot be read, or has changed.
    """
    path = find_clip(workspace, video)
    mark = mark_of(path)
    known = _places(workspace).get(video.digest, {})
    if mark and known.get("mark") == mark:
        return open_video(path, video, unchanged=True)
    reader = open_video(path, video)
    note_clip(workspace, video, mark=mark)
    return reader


def note_clip(workspace: Workspace, video: Video, *, mark: str, path: Path | None = None) -> None:
    """Remembers what the clip's file looks like, and with `path` where it lies now."""
    places = _places(workspace)
    before = places.get(video.digest, {})
    after = {**before, "mark": mark, **({"path": str(path)} if path else {})}
    if after == before:
        return
    part = workspace.folder / f".{PLACES}.{os.getpid()}.part"
    # Not being able to remember costs a longer opening next time, nothing else; the folder may be read-only.
    with contextlib.suppress(OSError):
        part.write_text(json.dumps({**places, video.digest: after}, indent=1), encoding="utf-8")
        os.replace(part, workspace.folder / PLACES)


def mark_of(path: Path) -> str:
    """What tells a file from a changed one without reading it: size, time and inode; "" where it cannot be told."""
    try:
        if not path.is_dir():
            return _file_mark(path)
        total = hashlib.sha256()
        for still in find_stills(path)[0]:
            total.update(f"{still.name}\0{_file_mark(still)}\n".encode("utf-8", "surrogateescape"))
        return f"stills:{total.hexdigest()}"
    except (OSError, EngineError):
        return ""


def _file_mark(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _places(workspace: Workspace) -> dict[str, dict[str, str]]:
    """By the clip's digest. A file that cannot be read counts as empty: everything in it can be found out again."""
    try:
        value = json.loads((workspace.folder / PLACES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    good = value.items() if isinstance(value, dict) else ()
    return {digest: place for digest, place in good if isinstance(place, dict)}


# --- a clip that was moved --------------------------------------------------------------------------------


def relink(workspace: Workspace, video: Video, place: Path, check: Callable[[], None] | None = None) -> Path:
    """Finds the clip at `place`, which is the file itself or a folder to search, and remembers where it is.

    In a folder, files of the clip's name or size are compared by content, the likeliest first. `check` is called for
    each and may raise Cancelled.

    Raises:
        AnotherClip: `place` is a clip, but another one.
        MediaError: `place` cannot be read, or the clip is not in that folder.
    """
    if video.kind == "file" and os.path.isdir(place):
        return _search(workspace, video, place, check or (lambda: None))
    if not _is_clip(place, video):
        _refuse_another(place, video)
    return _remember(workspace, video, place)


def _search(workspace: Workspace, video: Video, folder: Path, check: Callable[[], None]) -> Path:
    name = Path(video.path).name
    size = _places(workspace).get(video.digest, {}).get("mark", "").partition(":")[0]
    named, sized, looked = [], [], 0
    for path in _files_below(folder):
        looked += 1
        if looked > LOOKED_AT:
            break
        if path.name.casefold() == name.casefold():
            named.append(path)
        elif size and str(path.stat().st_size) == size:
            sized.append(path)
    for path in [*named, *sized]:
        check()
        if _is_clip(path, video):
            return _remember(workspace, video, path)
    tried = f"{len(named) + len(sized)} of its name or size are others" if named or sized else "none has its name or size"
    more = f" (only the first {LOOKED_AT:,} were looked at)" if looked > LOOKED_AT else ""
    raise MediaError(
        f"“{name}” is not among the {min(looked, LOOKED_AT):,} files in “{folder.name}”{more}: {tried}; "
        "choose another folder, or the file itself."
    )


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files, nearest folders first; what may not be entered is passed over."""
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop(0)), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)


def _is_clip(path: Path, video: Video) -> bool:
    """Whether the content at a path is the clip's."""
    try:
        open_video(path, video).close()
    except MediaError:
        return False
    return True


def _refuse_another(place: Path, video: Video) -> None:
    with open_video(place) as reader:  # says what is wrong with what is no clip at all
        found = reader.video
    name, same = Path(video.path).name, (found.frames, found.size) == (video.frames, video.size)
    if not same:
        raise AnotherClip(
            f"“{place.name}” is another clip than “{name}”: {_form(found)} where the project's has {_form(video)}; "
            "choose the right file, or open it as a project of its own."
        )
    raise AnotherClip(
        f"“{place.name}” has as many frames as “{name}” but other content; choose the right file, "
        "or accept it as a new version of the clip (everything rendered will be rendered again)."
    )


def _form(video: Video) -> str:
    return f"{video.frames} frames of {video.size[1]}×{video.size[0]}"


def new_version(video: Video, place: Path) -> Video:
    """Another clip that the user accepts in place of the project's.

    Raises:
        MediaError: it cannot be read, or has other frames: marks and anchors would not fit.
    """
    with open_video(place, rate=video.rate if video.kind == "sequence" else None, deinterlace=video.deinterlaced) as reader:
        found = reader.video
    if (found.frames, found.size) != (video.frames, video.size):
        raise MediaError(
            f"“{place.name}” has {_form(found)} and the project's clip {_form(video)}: marks and anchors would not fit, "
            "so open it as a project of its own."
        )
    return found


def _remember(workspace: Workspace, video: Video, place: Path) -> Path:
    resolved = Path(os.path.realpath(place))
    note_clip(workspace, video, mark=mark_of(resolved), path=resolved)
    return resolved

"""What a worker needs of a project where the project's folder cannot be reached: sent once to a node, kept there.

A node keeps what it is sent in a folder of its own, laid out like a project's: entries of the cache under their content
keys, stored pictures under their digests, the clip under its digest. A file that is there with the same size and time
is not sent again, whichever run or project asks.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.document.config_files import name_and_key
from engine.document.project import to_json
from engine.errors import MediaError
from engine.media.sequence import find_stills
from engine.rendering.material import Material
from engine.store.clips import find_clip
from engine.store.workspace import Workspace

NODE_CACHE = "ANCHORLINE_NODE_CACHE"
PIECE = 8 * 2**20  # bytes that travel at once
CLIP = "cache/pack-{}.clip"  # among the entries of the cache, so that its limit counts it


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file by its name below the node's folder; `time` in nanoseconds."""

    name: str
    size: int
    time: int


def node_folder() -> Path:
    """Where this machine keeps what clusters send it; only this user may enter. Raises MediaError when it cannot be made."""
    named = os.environ.get(NODE_CACHE)
    folder = _own(Path(named)) if named else private_folder(Path(tempfile.gettempdir()), "anchorline-node")
    (folder / "cache").mkdir(exist_ok=True)
    return folder


def private_folder(place: Path, name: str) -> Path:
    """A folder of this user's own in a place that all users share. Raises MediaError when it is another's."""
    return _own(place / f"{name}-{hashlib.sha256(getpass.getuser().encode()).hexdigest()[:8]}")


def _own(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
            raise MediaError(f"Another user owns the folder for clusters; name one of your own in {NODE_CACHE}.")
        folder.chmod(0o700)
    except OSError as error:
        raise MediaError(f"Cannot make the folder for clusters: {error.strerror}; name another in {NODE_CACHE}.") from error
    return folder


def clip_name(digest: str) -> str:
    return CLIP.format(digest[:16])


def needed(material: Material, masks: Iterable[str]) -> dict[str, Path]:
    """Every file that rendering the project reads, by its name on a node. `masks`: keys of the carried masks."""
    workspace, digest = material.workspace, material.project.video.digest
    folders = [workspace.pack(digest), workspace.motion(digest), *(workspace.masks(key) for key in masks)]
    folders += sorted(workspace.points("any").parent.glob("*"))
    for layer in material.layers:
        made = [workspace.segment(layer.key_of(one)) for one in layer.segments if layer is not material]
        shared = {workspace.prepared(layer.of(one).shared_key(one.shot)) for one in layer.segments}
        folders += [*made, *sorted(shared)]
    found = {
        path.relative_to(workspace.folder).as_posix(): path
        for folder in folders
        for path in sorted(folder.glob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    for key in _keys_in(to_json(material.project)):
        path = material.objects.path(key)
        if path.is_file():
            found[path.relative_to(workspace.folder).as_posix()] = path
    for path in clip_files(workspace, material):
        found[f"{clip_name(digest)}/{path.name}"] = path
    return found


def clip_files(workspace: Workspace, material: Material) -> list[Path]:
    """The clip's file, or its stills."""
    clip, video = find_clip(workspace, material.project.video), material.project.video
    return [clip] if video.kind == "file" else find_stills(clip)[0]


def _keys_in(value: Any) -> set[str]:
    """All keys of objects that a document names: alone, or after the name of a file (engine/document/config_files.py)."""
    if isinstance(value, str):
        kept = name_and_key(value)
        key = kept[1] if kept else value
        return {key} if len(key) == 64 and not set(key) - set("0123456789abcdef") else set()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return set().union(*map(_keys_in, inner))


def wanted(files: dict[str, Path]) -> list[Wanted]:
    found = []
    for name, path in files.items():
        status = path.stat()
        found.append(Wanted(name, status.st_size, status.st_mtime_ns))
    return found


def lacking(root: Path, files: Iterable[Wanted]) -> list[Wanted]:
    """Those that a node does not have as they are."""
    return [one for one in files if not _is_there(root / one.name, one)]


def _is_there(path: Path, one: Wanted) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (one.size, one.time)


def take_piece(root: Path, one: Wanted, offset: int, data: bytes, sender: str) -> None:
    """Puts a piece of a file where it belongs; the file appears with the last one. Raises MediaError when the disk is full."""
    path = root / one.name
    part = path.with_name(f".{path.name}.{sender}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(data)
        if offset + len(data) >= one.size:
            os.utime(part, ns=(one.time, one.time))
            os.replace(part, path)
    except OSError as error:
        raise MediaError(
            f"A node of the cluster cannot store what it is sent: {error.strerror}; free disk space there."
        ) from error

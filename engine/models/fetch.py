"""Bringing a model here: only what is needed of it, from the pinned state, resumed where it was cut off, then verified."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.errors import MethodError
from engine.models.catalogue import NOT_NEEDED, Model
from engine.models.forms import WEIGHTS, check_form
from engine.models.store import Part, Record, hub_place, own_place, place_of, record_of, write_record
from engine.progress import Progress

CHUNK = 2**20
SPARE = 2**30  # bytes that stay free on the disk
Arrived = Callable[[int], None]
"""`arrived(n)`: n more bytes are here; raises Cancelled."""


def is_offline() -> bool:
    """Whether the user has asked the hub library to stay offline."""
    return any(
        os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def fetch(name: str, progress: Progress, *, accepted: bool = False) -> Record:
    """Fetches a model, or what is missing of it. `accepted`: the user accepts its licence.

    Raises:
        MethodError: an unknown model, a licence that was not accepted, no network, no space, other bytes than expected.
        Cancelled: what has arrived stays, and the next fetch goes on from there.
    """
    from engine.models import model as named

    model = named(name)
    if model.chosen_only and not accepted:
        terms = f"{model.title} is under {model.licence}, which forbids commercial use"
        raise MethodError(f"{terms}: if that suits you, accept it (--accept-licence, or the box on the page), then fetch it.")
    record = _fetch_files(model, progress) if model.downloads else _fetch_repository(model, progress)
    write_record(model, record)
    return record


# --- the hub ----------------------------------------------------------------------------------------------


def _fetch_repository(model: Model, progress: Progress) -> Record:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if is_offline():
        return _adopted(model, progress)
    from huggingface_hub import HfApi, hf_hub_url

    known = record_of(model)
    with _sentences(model):
        info = HfApi().model_info(model.repo, revision=known.revision if known else model.revision, files_metadata=True)
    revision, wanted = str(info.sha), {one.rfilename: one for one in info.siblings or () if is_wanted(model, one.rfilename)}
    if not wanted:
        raise MethodError(f"{model.repo} holds none of the files that {model.title} needs; update Anchorline.")
    sizes = {path: int(one.size or 0) for path, one in wanted.items()}
    given = {path: (one.lfs.sha256 if one.lfs else "") for path, one in wanted.items()}
    shared, own = hub_place(model, revision), own_place(model, revision)
    if all(_has(shared / path, size) for path, size in sizes.items()):
        return _verified(model, Record(revision, (), "hub"), given, progress)
    _check_space(own, sum(size for path, size in sizes.items() if not _has(own / path, size)))
    progress.total += 2 * _units(sum(sizes.values()))
    arrived = _counter(progress, f"Fetching {model.title}", sum(sizes.values()))
    for path, size in sizes.items():
        progress.check()
        if _has(own / path, size):
            arrived(size)
            continue
        with _sentences(model):
            address, headers = _address(hf_hub_url(model.repo, path, revision=revision))
            _download(address, own / path, size, arrived, headers)
    return _verified(model, Record(revision, ()), given, progress)


def is_wanted(model: Model, path: str) -> bool:
    """Whether a file of the repository is needed: safetensors rather than pickles, no code, no other precisions."""
    refused = any(fnmatch(path, pattern) for pattern in NOT_NEEDED) or ".." in path.split("/")
    return not refused and any(fnmatch(path, pattern) for pattern in model.files)


def _address(url: str) -> tuple[str, dict[str, str]]:
    """Where the hub keeps the bytes of a file, and the headers to ask with. A token never goes to another host."""
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers()
    place = get_hf_file_metadata(url, headers=headers).location
    if urlsplit(place).netloc != urlsplit(url).netloc:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return place, headers


def _adopted(model: Model, progress: Progress) -> Record:
    """Offline: what was fetched of the wanted state, here or by another program, if it is all there."""
    known = record_of(model)
    revision = known.revision if known else model.revision
    if revision is None:
        raise MethodError(
            f"{model.title} cannot be fetched: HF_HUB_OFFLINE is set, and which state is wanted only the hub knows."
        )
    for record in (Record(revision, ()), Record(revision, (), "hub")):
        folder = place_of(model, record)
        found = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        paths = [path for path in found if is_wanted(model, path)]
        if any(path.endswith(WEIGHTS) for path in paths):
            # The shared cache names the bytes of large files by their sha256.
            blobs = {path: (folder / path).resolve().name for path in paths}
            given = {path: blob if len(blob) == 64 else "" for path, blob in blobs.items()}
            return _verified(model, record, given, progress)
    raise MethodError(f"{model.title} is not on this machine, and HF_HUB_OFFLINE is set: unset it to fetch the model.")


# --- bytes ------------------------------------------------------------------------------------------------


def _fetch_files(model: Model, progress: Progress) -> Record:
    record = Record(model.pinned, ())
    folder = place_of(model, record)
    for one in model.downloads:
        if _has(folder / one.name, one.size):
            continue
        if is_offline():
            raise MethodError(f"{model.title} is not on this machine, and HF_HUB_OFFLINE is set: unset it to fetch the model.")
        length = one.size or round(model.gigabytes * 1e9)
        _check_space(folder, length)
        progress.total += 2 * _units(length)
        arrived = _counter(progress, f"Fetching {model.title}", length)
        with _sentences(model):
            _download(one.address, folder / one.name, one.size, arrived, {})
    return _verified(model, record, {one.name: one.sha256 for one in model.downloads}, progress)


def _download(address: str, out: Path, size: int, arrived: Arrived, headers: dict[str, str]) -> None:
    """Into OUT.part, from where an earlier attempt stopped; then renamed. The hub library resumes within one call only,
    so the part is kept here. `size` 0 = not known."""
    from huggingface_hub.file_download import http_get

    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    begun = part.stat().st_size if part.exists() else 0
    if size and begun > size:  # not a part of this file
        part.unlink()
        begun = 0
    if not size or begun < size:
        with open(part, "ab") as file:
            http_get(address, file, resume_size=begun, headers=headers, expected_size=size or None, tqdm_class=_bar(arrived))
    else:
        arrived(size)
    os.replace(part, out)


def _bar(arrived: Arrived) -> Any:
    """A progress bar for the hub library that counts into ours."""

    class Bar:
        def __init__(self, *args: Any, initial: int = 0, **more: Any) -> None:
            arrived(int(initial or 0))

        def update(self, count: float | None = 1) -> None:
            arrived(int(count or 0))

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: Any) -> None: ...

        def __getattr__(self, name: str) -> Callable[..., None]:
            """What the library says to a bar about how it should look."""
            return lambda *args, **more: None

    return Bar


@contextmanager
def _sentences(model: Model) -> Iterator[None]:
    """What can go wrong with the network, as one sentence each."""
    from huggingface_hub import errors

    of_network: Any = errors.HfHubHTTPError.__bases__  # of whichever HTTP library this hub library uses, and OSError
    try:
        yield
    except errors.GatedRepoError as error:
        page = f"https://huggingface.co/{model.repo}"
        raise MethodError(
            f"{model.title} asks for an account: agree to its terms at {page}, run “hf auth login” in .venv, then fetch again."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        state = model.revision[:12] if model.revision else "any state"
        raise MethodError(f"The hub has no {state} of {model.repo} any more; update Anchorline.") from error
    except of_network as error:
        disk = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EFBIG)
        trouble = f"The disk refused ({error.strerror})" if disk else f"{model.source} did not answer"
        raise MethodError(f"{trouble} while fetching {model.title}; what has arrived is kept: fetch again to go on.") from error


# --- afterwards -------------------------------------------------------------------------------------------


def _verified(model: Model, record: Record, given: dict[str, str], progress: Progress) -> Record:
    """The record of what is there now. A file with other bytes than `given` (sha256 by path, "" = unknown) is thrown away."""
    folder, known = place_of(model, record), record_of(model)
    before = {part.path: part.sha256 for part in known.parts} if known else {}
    sizes = {path: (folder / path).stat().st_size for path in given}
    progress.total = max(progress.total, _units(sum(sizes.values())))
    arrived = _counter(progress, f"Checking {model.title}", sum(sizes.values()))
    parts = []
    for path, expected in given.items():
        digest = sha256_of(folder / path, arrived)
        expected = expected or before.get(path, "")
        if expected and digest != expected:
            if record.place == "own":
                (folder / path).unlink()
            raise MethodError(f"{path} of {model.title} arrived damaged and was thrown away: fetch it again.")
        check_form(folder / path)
        parts.append(Part(path, sizes[path], digest))
    return replace(record, parts=tuple(parts))


def sha256_of(path: Path, arrived: Arrived = lambda count: None) -> str:
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            total.update(chunk)
            arrived(len(chunk))
    return total.hexdigest()


def _has(path: Path, size: int) -> bool:
    return path.is_file() and (not size or path.stat().st_size == size)


def _check_space(folder: Path, needed: int) -> None:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise MethodError(
            f"There are {free / 1e9:.1f} GB free and {(needed + SPARE) / 1e9:.1f} GB are needed; free some disk space."
        )


def _units(count: int) -> int:
    """Progress counts in MB."""
    return max(1, count // 10**6)


def _counter(progress: Progress, phase: str, total: int) -> Arrived:
    step, done = progress.part(phase, _units(total)), [0]

    def arrived(count: int) -> None:
        done[0] += count
        step(min(done[0], total), max(total, 1))

    return arrived

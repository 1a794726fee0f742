"""Point tracks as npz, the fields of DESIGN §11."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.errors import MediaError
from engine.types import Tracks


def write_tracks(path: Path, tracks: Tracks, subjects: np.ndarray, size: tuple[int, int], rate: Fraction) -> None:
    """Writes tracks (see `Tracks`), the subject of each point (P,) and the clip's size and rate; beside and renamed."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tracks=tracks.xy.astype(np.float32),
        visibility=tracks.visible.astype(bool),
        confidence=tracks.confidence.astype(np.float32),
        queries=tracks.queries.astype(np.float32),
        subject=subjects.astype(np.int32),
        size=np.array(size, np.int32),
        fps=np.array([rate.numerator, rate.denominator], np.int64),
        frame0=np.int64(tracks.frame0),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MediaError(f"Cannot write {path.name}: {error.strerror}; check free space and permissions.") from error

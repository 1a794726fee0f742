"""A first look at a file that somebody handed over, in a child process with limits: memory, processor time, wall clock.

FFmpeg's parsers meet hostile bytes here first. A crash, an endless loop or a memory bomb ends the child, never the
caller, and becomes one sentence. The child opens the file, checks container, tracks and size, and decodes from the
start for about a third of a second; the caller then reads the same file in the same way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from engine.errors import MediaError
from engine.media.decode import Decoder
from engine.media.probe import check_file, check_size

WALL_SECONDS = 15.0
CPU_SECONDS = 12
MEMORY_BYTES = 4 * 2**30
LOOK_SECONDS = 0.3
LOOK_FRAMES = 480
ROOT = Path(__file__).resolve().parents[2]

REFUSED, NO_MEMORY = 3, 4


@dataclass(frozen=True, slots=True)
class Look:
    """What decoding from the start showed.

    `times` are the frames' PTS as delivered (None = none), `damaged` the numbers of frames that were decoded with
    errors, `errors` packets that could not be decoded, `sizes` the stored (height, width) of the pictures in order of
    appearance, `interlaced` whether a frame said so, `whole` whether the end of the clip was reached.
    """

    times: list[int | None] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    errors: int = 0
    sizes: list[list[int]] = field(default_factory=list)
    interlaced: bool = False
    whole: bool = False


def examine(path: str | Path) -> Look:
    """Looks at a clip in a child process.

    Raises:
        MediaError: the file is refused (see `probe`), or looking at it took more time or memory than a clip may.
    """
    file = check_file(path)
    name = file.name
    try:
        # The child's own messages come as JSON; FFmpeg's are of no use to a person.
        done = subprocess.run(child_command(file), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=WALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MediaError(_too_slow(name)) from error
    except OSError as error:
        raise MediaError(f"“{name}” cannot be looked at ({error.strerror}); close other programs and try again.") from error
    if done.returncode == 0:
        return Look(**json.loads(done.stdout))
    if done.returncode == REFUSED:
        raise MediaError(json.loads(done.stdout))
    raise MediaError(_why(name, done.returncode))


def child_command(file: Path) -> list[str]:
    return [sys.executable, "-m", "engine.media.examine", str(file)]


def _why(name: str, code: int) -> str:
    if code == NO_MEMORY:
        return f"“{name}” needs more than {MEMORY_BYTES // 2**30} GB of memory to be read; it is damaged, or scale it down first."
    if _is_time(code):
        return _too_slow(name)
    return f"“{name}” makes the video library fail; it is damaged or made to do harm: get it again, or convert it elsewhere."


def _too_slow(name: str) -> str:
    return f"“{name}” took longer than {WALL_SECONDS:.0f} s to look at; copy it to a local disk, or convert it to MP4 first."


def _is_time(code: int) -> bool:
    """Whether the system ended the child for using too much processor time."""
    if os.name != "posix":
        return False
    import signal

    return -code in (signal.SIGXCPU, signal.SIGKILL)


# --- in the child -----------------------------------------------------------------------------------------


def limit_process() -> None:
    """Sets the limits that this system has on memory and processor time, for this process."""
    try:
        import resource
    except ImportError:  # Windows; the wall clock is watched by the caller everywhere
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (ValueError, OSError):  # macOS knows RLIMIT_AS and refuses to set it
            continue


def look(path: Path) -> Look:
    """Decodes from the start for a while. Raises MediaError when nothing can be decoded."""
    decoder, name = Decoder(path, one_thread=True), path.name  # memory and time stay within the limits on any machine
    try:
        found = Look()
        until = time.monotonic() + LOOK_SECONDS
        sizes: list[list[int]] = []
        interlaced, whole = False, True
        for frame in islice(decoder.from_start(), LOOK_FRAMES):
            if not found.times:
                check_size(frame.height, frame.width, name)
            if frame.is_corrupt:
                found.damaged.append(len(found.times))
            found.times.append(frame.pts)
            if [frame.height, frame.width] not in sizes:
                sizes.append([frame.height, frame.width])
            interlaced |= bool(frame.interlaced_frame)
            if time.monotonic() > until:
                whole = False
                break
        whole &= len(found.times) < LOOK_FRAMES
        if not found.times:
            raise MediaError(
                f"“{name}” has no frame that can be decoded; it is damaged or uses an unknown codec: convert it first."
            )
        return Look(found.times, found.damaged, decoder.errors, sizes, interlaced, whole)
    finally:
        decoder.close()


def main(arguments: list[str]) -> int:
    """Prints the look, or the sentence why there is none, as one JSON value."""
    limit_process()
    answer: Any
    try:
        answer, code = asdict(look(Path(arguments[0]))), 0
    except MediaError as error:
        answer, code = str(error), REFUSED
    except MemoryError:
        return NO_MEMORY
    print(json.dumps(answer), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

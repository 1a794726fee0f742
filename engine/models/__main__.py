"""`python -m engine.models fetch|check NAME [accepted]`: as the page has it done, in a process of its own.

Prints progress as lines of JSON, the outcome as `message` in the last one. Ends with 0, 1 (refused; the message says
why) or 130 (stopped: standard input was closed).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading

from engine.errors import Cancelled, EngineError
from engine.models import model
from engine.models.check import check
from engine.models.fetch import fetch
from engine.progress import Progress, Status


def main(arguments: list[str]) -> int:
    stop = threading.Event()
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    progress = Progress(_report, stop.is_set)
    try:
        chosen = model(arguments[1])
        if arguments[0] == "fetch":
            record = fetch(chosen.name, progress, accepted="accepted" in arguments[2:])
            _say({"message": f"{chosen.title} is here ({record.bytes / 1e9:.2f} GB)."})
        else:
            verdict = check(chosen, progress)
            left = f" Not checked: {verdict.unchecked}." if verdict.unchecked else ""
            _say({"message": f"{chosen.title} is sound: {verdict.files} files, {verdict.tensors} tensors.{left}"})
    except Cancelled:
        return 130
    except EngineError as error:
        _say({"message": str(error)})
        return 1
    return 0


def _watch(stop: threading.Event) -> None:
    with contextlib.suppress(ValueError, OSError):
        sys.stdin.read()
    stop.set()


def _report(status: Status) -> None:
    _say({"phase": status.phase, "done": status.done, "total": status.total})


def _say(report: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # the watcher reads standard input still; a normal exit would wait for its lock

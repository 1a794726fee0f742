"""The command line beside the editor: run, render, doctor, node, models. A contract (DESIGN §11): exit 0 done, 1 a named failure
(one sentence on standard error), 2 wrong usage, 130 cancelled by a signal. Progress goes to standard error, data that
was asked for to standard output.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from engine.device import one_thread
from engine.errors import Cancelled, EngineError
from engine.progress import Progress, Status

EXECUTORS = ("serial", "pool", "ray")
FORMS = ("davis", "grey", "grey16", "rgba", "youtube-vis", "prores", "ffv1")  # of engine/interchange/registry.py
OUT = ".mp4, .mov, .mkv, a folder for PNG frames, .zip (share package), .otio (timeline) or .ebsynth (a folder for EbSynth)"
MASKS = "write masks: a folder (DAVIS PNGs), .json (YouTube-VIS), .mov (ProRes 4444) or .mkv (FFV1)"
TRACKS = "write the subjects' track points: .npz, .pkl (TAP-Vid), .csv or .txt (After Effects)"
PATIENCE = 1.0  # seconds between two steps that a stop waits for


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    stop = Stop()
    stop.listen()
    one_thread()
    progress = Progress(_print_progress if sys.stderr.isatty() else _print_phases(), stop.seen)
    try:
        return options.verb(options, progress)
    except Cancelled:
        print("Cancelled; what was finished is kept, and nothing half-written is left.", file=sys.stderr)
        return 130
    except EngineError as error:
        print(f"{error}", file=sys.stderr)
    except OSError as error:
        # What the engine does not name itself: a place that may not be entered, a name that is too long.
        print(f"Cannot use {Path(str(error.filename or 'a file')).name}: {error.strerror}; check the path.", file=sys.stderr)
    except MemoryError:
        print("There is not enough memory for this; close other programs, or use a smaller clip.", file=sys.stderr)
    finally:
        stop.rest()
    return 1


class Stop:
    """Ctrl+C or a polite kill: noticed at the next step of the work, or after `PATIENCE` seconds wherever it is."""

    def __init__(self) -> None:
        self._asked = self._noticed = False

    def listen(self) -> None:
        for name in ("SIGINT", "SIGTERM"):
            signal.signal(getattr(signal, name), self._ask)

    def seen(self) -> bool:
        """Whether to stop; whoever is told so begins to clean up and is not disturbed any more."""
        self._noticed = self._noticed or self._asked
        return self._asked

    def rest(self) -> None:
        """The work is over: an alarm that rang while Python shuts down would kill the process."""
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        again, self._asked = self._asked, True
        if again:
            self._insist(number, frame)
        elif hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self._insist)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _insist(self, number: int, frame: FrameType | None) -> None:
        if not self._noticed:
            self._noticed = True
            raise Cancelled


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="launch.py", description="Anchorline without a browser.")
    verbs = top.add_subparsers(required=True, metavar="run | render | doctor | node | models")
    run = verbs.add_parser("run", help="do what a recipe says")
    run.add_argument("recipe", type=Path, metavar="RECIPE.json")
    run.add_argument("--project", type=Path, metavar="DIR", help="keep the project in DIR, to open it in the editor")
    run.set_defaults(verb=_lazily("run"))
    render = verbs.add_parser("render", help="render a saved project")
    render.add_argument("project", type=Path, metavar="PROJECT", help="a project's folder, or a zip of it")
    render.add_argument("--segments", metavar="A-B", help="only these segments, counted from 0, both included")
    render.set_defaults(verb=_lazily("render"))
    for one in (run, render):
        one.add_argument("-o", dest="out", type=Path, metavar="OUT", help=OUT)
        one.add_argument("--masks", type=Path, metavar="DIR|FILE", help=MASKS)
        one.add_argument(
            "--masks-as", metavar="FORM", choices=FORMS, help=f"how, where the path leaves it open: {', '.join(FORMS)}"
        )
        one.add_argument("--tracks", type=Path, metavar="FILE", help=TRACKS)
        one.add_argument("--report", type=Path, metavar="FILE", help="write what was done and measured: .json, or .html to read")
        one.add_argument("--executor", choices=EXECUTORS, default="serial", help="who renders the segments")
        one.add_argument("--ray-address", metavar="HOST:PORT", default="", help="a Ray cluster; without, Ray on this machine")
        one.add_argument("--force", action="store_true", help="replace an existing OUT")
        one.add_argument("--dry-run", action="store_true", help="say what would be done")
    doctor = verbs.add_parser("doctor", help="say what was found and what is missing")
    doctor.set_defaults(verb=_lazily("doctor"))
    node = verbs.add_parser("node", help="join a Ray cluster, or be the head of a new one")
    node.add_argument("--join", metavar="HOST:PORT", default="", help="the head of the cluster; without, a new one begins here")
    node.add_argument("--host", default="127.0.0.1", help="this machine's address for the others (default: nobody else's)")
    node.add_argument("--cpus", type=int, metavar="N", help="cores to give (default: all; 0 = none)")
    node.add_argument("--gpus", type=int, metavar="N", help="GPUs to give (default: all)")
    node.set_defaults(verb=_lazily("node"))
    models = verbs.add_parser("models", help="models from the hub: what there is, fetch one, check one")
    models.add_argument("action", nargs="?", default="list", choices=("list", "fetch", "check"))
    models.add_argument("name", nargs="?")
    models.add_argument("--json", action="store_true", help="the list as JSON")
    models.add_argument("--accept-licence", action="store_true", help="fetch a model whose licence forbids commercial use")
    models.set_defaults(verb=_lazily("models"))
    return top


def _lazily(name: str) -> Callable[[argparse.Namespace, Progress], int]:
    """The verb by name, imported when it is used: `--help` needs no video library."""

    def verb(options: argparse.Namespace, progress: Progress) -> int:
        from engine.commands import headless

        return getattr(headless, name)(options, progress)

    return verb


def _print_progress(status: Status) -> None:
    left = "" if status.eta is None else f", {status.eta:.0f} s left"
    end = "\n" if status.done >= status.total else ""
    print(f"\r\x1b[K{status.phase}: {status.done} of {status.total}{left}", end=end, file=sys.stderr, flush=True)


def _print_phases() -> Callable[[Status], None]:
    """Plain lines for logs: one when a phase begins."""
    last = ""

    def show(status: Status) -> None:
        nonlocal last
        if status.phase != last:
            last = status.phase
            print(f"{status.phase} ({status.done} of {status.total})", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())

"""Anchorline's one command: sets up `.venv` beside this file where needed, then becomes the editor or a verb.

This file must parse on Pythons older than it runs on (back to 3.7), far enough to say so: `app.setup`, which does
the work, is imported after the version is known to be right.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.setup import Place

OLDEST = (3, 11)

USAGE = """\
usage: python launch.py [CLIP or PROJECT] [--port N] [--no-browser] [--mcp]
       python launch.py --host ADDRESS --auth-file FILE --tls-cert FILE --tls-key FILE
       python launch.py VERB [arguments]

without a verb   open the editor (127.0.0.1:7860 unless told otherwise)
  test           run the tests; arguments go to pytest
  run            do what a recipe says, without a browser: run RECIPE.json -o OUT
  render         render a saved project: render PROJECT -o OUT
  bench          run one benchmark of tests/bench; without a name list them
  models         models from the hub: list, fetch NAME, check NAME
  user           who may log in: user add NAME --auth-file FILE, then start with --host and --auth-file
  node           join a Ray cluster, or be its head (needs the package ray): node --join HOST:PORT
  doctor         what was found on this machine, what is missing, the command that adds it

Each sets up .venv first if that is needed. `python launch.py VERB --help` tells more about a verb.
Exit code: 0 done, 1 a named failure, 2 wrong usage, 130 cancelled.
"""


def hand_over(place: Place, module: str, arguments: list[str], helper: subprocess.Popen | None = None) -> int:
    """Become `python -m module` in the venv, in the user's folder; returns its exit code where a process cannot become another.

    -P keeps the user's folder off the module path: a folder named `app` or `numpy` there must not be imported.
    """
    environment = {**os.environ, "ANCHORLINE_SETUP_STATUS": str(place.status)}
    environment.pop("PYTHONHOME", None)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(place.root), environment.get("PYTHONPATH", "")]))
    command = [str(place.python), "-P", "-m", module, *arguments]
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], command, environment)
    child = subprocess.Popen(command, env=environment)
    while child.poll() is None:
        # Ctrl+C reaches the child too, which decides what it means.
        with contextlib.suppress(KeyboardInterrupt):
            child.wait()
    if helper:
        helper.terminate()
    return child.returncode


def open_editor(place: Place, arguments: list[str]) -> int:
    """Open the editor as soon as the first stage is there; the second goes on in the background."""
    from app import setup

    setup.set_up(place, [setup.FIRST])
    helper = None
    if not setup.installed(place, setup.SECOND) and setup.read_json(place.status).get("state") == "conflict":
        try:
            setup.set_up(place, [setup.SECOND])
        except setup.SetupError as error:
            setup.say(f"{error} The editor opens without {setup.SECOND.title}.")
            setup.write_status(place, "failed", str(error))
    elif not setup.installed(place, setup.SECOND):
        setup.write_status(place, "waiting", f"Installing {setup.SECOND.title} begins.")
        setup.say(f"Installing {setup.SECOND.title} goes on in the background; the editor works meanwhile.")
        command = [sys.executable, str(place.root / "launch.py"), "--finish-setup", str(os.getpid())]
        helper = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return hand_over(place, "app", arguments, helper)


def test_arguments(place: Place, arguments: list[str]) -> list[str]:
    """pytest's arguments so that it runs the project's tests from any folder."""
    settings = ["--rootdir", str(place.root), "-c", str(place.root / "pyproject.toml")]
    if Path.cwd() == place.root:
        return [*settings, *arguments]
    placed = []
    for argument in arguments:
        inside = place.root / argument.split("::")[0]
        elsewhere = argument.startswith("tests") and not Path(argument.split("::")[0]).exists() and inside.exists()
        placed.append(str(place.root / argument) if elsewhere else argument)
    named = any(not argument.startswith("-") and Path(argument.split("::")[0]).exists() for argument in placed)
    return [*settings, *placed, *([] if named else [str(place.root / "tests")])]


def run_verb(place: Place, verb: str, arguments: list[str]) -> int:
    from app import setup

    if verb == "test":
        setup.set_up(place, [setup.FIRST, setup.SECOND, setup.TEST])
        return hand_over(place, "pytest", test_arguments(place, arguments))
    if verb == "bench":
        setup.set_up(place, [setup.FIRST, setup.TEST])
        return hand_over(place, "tests.bench", arguments)
    if verb == "user":
        setup.set_up(place, [setup.FIRST])
        return hand_over(place, "app.accounts", arguments)
    if verb in ("run", "render", "models", "doctor", "node"):
        setup.set_up(place, [setup.FIRST])
        return hand_over(place, "engine.commands.cli", [verb, *arguments])
    return open_editor(place, [verb, *arguments] if verb else arguments)


def main(arguments: list[str], root: Path) -> int:
    """Exit code of one command; most commands do not return because this process becomes them."""
    if sys.version_info < OLDEST:
        version = sys.version.split()[0]
        print(f"launch.py: Anchorline needs Python 3.11 or newer, this is {version}; start it with a newer one.", file=sys.stderr)
        return 1
    if arguments[:1] in (["--help"], ["-h"], ["help"]):
        print(USAGE, end="")
        return 0
    from app import setup

    place = setup.Place(root)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # set-up ends pip on either signal
    try:
        if arguments[:1] == ["--finish-setup"]:
            return setup.finish_in_background(place, int(arguments[1]))
        return run_verb(place, arguments[0] if arguments else "", arguments[1:])
    except (setup.SetupError, OSError) as error:
        setup.say(f"launch.py: {setup.sentence(error, place)}")
        return 1
    except KeyboardInterrupt:
        setup.say("\nlaunch.py: cancelled; nothing is lost. Run the same command again to go on.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parent))

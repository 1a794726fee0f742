"""Set-up of the virtual environment. No network: pip and the venv are stand-ins, or files written by hand."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import setup
from app.setup import pip, stages, venv
from app.setup.stages import FIRST, SECOND, TEST, ConflictError, Place, SetupError, installed, requirement_lines
from tests.checkout import make_place, make_stamps, write_cfg

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture
def pip_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for pip and for the check that it runs: remembers its arguments and says that all went well."""
    calls: list[list[str]] = []

    def record(place: Place, arguments: list[str], *_: object) -> None:
        calls.append(arguments)

    monkeypatch.setattr(pip, "run_pip", record)
    monkeypatch.setattr(venv, "make_venv", lambda place: None)
    return calls


# ---------------------------------------------------------------- requirements and stamps


def test_requirements_are_split_at_the_marker(place: Place) -> None:
    assert requirement_lines(place, FIRST) == ["gradio>=6", "av>=18"]
    assert requirement_lines(place, SECOND) == ["torch==2.13.0"]
    assert requirement_lines(place, TEST) == ["pytest>=9"]


def test_the_real_requirements_keep_models_out_of_the_first_stage() -> None:
    first, second = (requirement_lines(Place(ROOT), stage) for stage in (FIRST, SECOND))
    assert any(line.startswith("gradio") for line in first) and "torch==2.13.0" in second
    assert not any(line.startswith(("torch", "diffusers", "transformers")) for line in first)
    assert not any(line.startswith("torchvision") for line in first + second)


def test_a_lost_marker_is_named(place: Place) -> None:
    (place.root / "requirements.txt").write_text("gradio\ntorch\n")
    with pytest.raises(SetupError, match="lost its line"):
        requirement_lines(place, FIRST)


def test_a_stamp_holds_for_its_own_stage_and_python(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    make_stamps(place, FIRST, SECOND)
    assert installed(place, FIRST) and installed(place, SECOND) and not installed(place, TEST)
    text = (place.root / "requirements.txt").read_text()
    (place.root / "requirements.txt").write_text(text.replace("torch==2.13.0", "torch==2.13.1").replace("# why", "# other"))
    assert installed(place, FIRST) and not installed(place, SECOND)
    monkeypatch.setattr(stages, "SCHEMA", stages.SCHEMA + 1)
    assert not installed(place, FIRST)


def test_a_stamp_cut_off_by_a_crash_counts_as_none(place: Place) -> None:
    make_stamps(place, FIRST)
    (place.state / "installed-first.json").write_text('{"schema": 1, "pyt')
    assert not installed(place, FIRST)


# ---------------------------------------------------------------- set-up


def test_nothing_is_called_when_all_is_there(place: Place, pip_calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    make_stamps(place, FIRST)
    monkeypatch.setattr(venv, "make_venv", lambda place: pytest.fail("looked at the venv"))
    setup.set_up(place, [FIRST])
    assert pip_calls == []


def test_only_the_stage_that_changed_is_installed(place: Place, pip_calls: list[list[str]]) -> None:
    make_stamps(place, FIRST, TEST)
    setup.set_up(place, [FIRST, SECOND, TEST])
    assert len(pip_calls) == 1 and pip_calls[0][-1].endswith("requirements-second.txt")
    assert Path(pip_calls[0][-1]).read_text().split() == ["gradio>=6", "av>=18", "torch==2.13.0"]
    assert all(installed(place, stage) for stage in (FIRST, SECOND, TEST))
    assert json.loads(place.status.read_text())["state"] == "done"


def test_a_failed_install_leaves_no_stamp(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venv, "make_venv", lambda place: None)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pip, "run_pip", fail)
    with pytest.raises(KeyboardInterrupt):
        setup.set_up(place, [FIRST])
    assert not installed(place, FIRST)


def test_too_little_disk_is_said_before_pip_runs(
    place: Place, pip_calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pip.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 4e8}))
    with pytest.raises(SetupError, match=r"1 GB, 0\.4 GB are free"):
        setup.set_up(place, [FIRST])
    assert pip_calls == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda place: None, None),
        (lambda place: (place.venv / "pyvenv.cfg").unlink(), "incomplete"),
        (lambda place: place.python.unlink(), "gone"),
        (lambda place: write_cfg(place, version="3.10.4"), r"made by Python 3\.10"),
        (lambda place: write_cfg(place, folder="/elsewhere/.venv"), "moved"),
    ],
)
def test_a_broken_venv_is_told_from_a_sound_one(place: Place, change, reason: str | None) -> None:
    change(place)
    found = venv.fault(place)
    if reason is None:
        assert found is None
    else:
        with pytest.raises(ValueError, match=reason):
            raise ValueError(found)


def test_a_broken_venv_is_made_anew_and_stamps_go_with_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make_stamps(place, FIRST)
    write_cfg(place, folder="/elsewhere/.venv")
    made = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        made.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(venv.subprocess, "run", run)
    with venv.locked(place, lambda: None):
        venv.make_venv(place)
    assert [call[1:3] for call in made] == [["-m", "venv"]]
    assert [path.name for path in place.venv.iterdir()] == [venv.LOCK]
    assert "moved" in capsys.readouterr().err


def test_a_python_without_venv_names_the_package(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.venv / "pyvenv.cfg").unlink()
    monkeypatch.setattr(venv.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="apt install python3-venv"):
        venv.make_venv(place)


def test_a_second_set_up_waits_for_the_first(place: Place) -> None:
    waited = []

    class Waited(Exception):
        pass

    def on_wait() -> None:
        waited.append(1)
        raise Waited

    with venv.locked(place, lambda: None), pytest.raises(Waited), venv.locked(place, on_wait):
        pass
    assert waited
    with venv.locked(place, on_wait):
        pass


def test_the_lock_goes_with_a_killed_process(place: Place) -> None:
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from app.setup import Place, venv\n"
        f"with venv.locked(Place(Path({str(place.root)!r})), print):\n    print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout and other.stdout.readline() == "held\n"
    with pytest.raises(TimeoutError), venv.locked(place, raise_timeout):
        pass
    other.kill()
    other.wait()
    with venv.locked(place, raise_timeout):
        pass


def raise_timeout() -> None:
    raise TimeoutError


# ---------------------------------------------------------------- pip: progress, failures

NOT_FOUND = "ERROR: Could not find a version that satisfies the requirement av>=99 (from versions: {})\nERROR: No matching"
RETRY = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(...)': /simple/av/\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RETRY + NOT_FOUND.format("none"), "No network"),
        (NOT_FOUND.format("17.0, 18.0"), r"no package 'av>=99'"),
        (RETRY + NOT_FOUND.format("17.0, 18.0"), r"no package 'av>=99'"),
        (NOT_FOUND.format("none"), r"no package 'av>=99'"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk became full"),
        ("OSError: [Errno 13] Permission denied: '/x/y'", "no permission"),
        ("ERROR: Cannot install a and b because these package versions have conflicting dependencies.", "agree"),
        ("pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.", "No network"),
        ("  error: subprocess-exited-with-error\nERROR: Failed building wheel for x", "Failed building wheel for x"),
        ("", "was ended"),
    ],
)
def test_what_pip_says_becomes_one_sentence(place: Place, text: str, words: str) -> None:
    error = pip.pip_failure(text, place)
    with pytest.raises(SetupError, match=words):
        raise error
    assert "\n" not in str(error)
    assert isinstance(error, ConflictError) == ("conflicting" in text)


def test_progress_follows_pip(place: Place) -> None:
    shown = pip.Progress(place, FIRST, quiet=True)
    for line in (
        "Collecting gradio<7,>=6.31 (from -r x.txt (line 1))",
        "  Downloading gradio-6.31.0-py3-none-any.whl.metadata (16 kB)",
        "Processing /wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl (from -r x.txt (line 8))",
        "  Downloading torch-2.13.0-cp311.whl (191.8 MB)",
    ):
        shown.line(line)
    assert (shown.package, shown.done, shown.size) == ("torch", 2, " (191.8 MB)")
    shown.line("Installing collected packages: a, b, c")
    assert shown.package == "unpacking 3 packages"


def test_pip_is_run_in_the_venv_and_logged(place: Place) -> None:
    """A real process stands in for pip: its output, exit code and environment are what matters."""
    place.state.mkdir()
    place.python.write_text(
        '#!/bin/sh\necho "Collecting av"\necho "path:$PYTHONPATH:"\necho "No space left on device" >&2\nexit 1\n'
    )
    progress = pip.Progress(place, FIRST, quiet=True)
    with venv.locked(place, raise_timeout) as lock, pytest.raises(SetupError, match="disk became full"):
        pip.run_pip(place, ["install", "av"], lock, progress, lambda: None)
    log = place.log.read_text()
    assert "pip install av" in log and "path::" in log and "No space left" in log
    assert progress.package == "av"


def test_an_interrupted_pip_is_ended(place: Place) -> None:
    place.state.mkdir()
    place.python.write_text("#!/bin/sh\necho $$ > " + str(place.root / "pid") + "\nexec sleep 60\n")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with venv.locked(place, raise_timeout) as lock, pytest.raises(KeyboardInterrupt):
        pip.run_pip(place, ["install"], lock, pip.Progress(place, FIRST, quiet=True), interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((place.root / "pid").read_text()), 0)


# ---------------------------------------------------------------- the second stage in the background


@contextlib.contextmanager
def background_result(place: Place, monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> Iterator[list[list[str]]]:
    calls: list[list[str]] = []

    def run(place: Place, arguments: list[str], lock: int, progress: pip.Progress, on_tick) -> None:
        calls.append(arguments)
        on_tick()
        if error:
            raise error

    monkeypatch.setattr(pip, "run_pip", run)
    monkeypatch.setattr(pip, "freeze", lambda place: place.state / "constraints.txt")
    monkeypatch.setattr(venv.os, "nice", lambda by: 0)
    make_stamps(place, FIRST)
    yield calls


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (None, "done", 0),
        (ConflictError("no versions agree"), "conflict", 1),
        (SetupError("No network."), "failed", 1),
        (OSError(errno.ENOSPC, "full"), "failed", 1),
        (KeyboardInterrupt(), "waiting", 130),
    ],
)
def test_the_page_hears_how_the_second_stage_went(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: BaseException | None, state: str, code: int
) -> None:
    with background_result(place, monkeypatch, error) as calls:
        assert setup.finish_in_background(place, os.getppid()) == code
        assert calls[0][-2:] == ["-c", str(place.state / "constraints.txt")]
    status = json.loads(place.status.read_text())
    assert status["state"] == state and status["message"] and set(status) >= {"package", "done", "time"}
    assert installed(place, SECOND) == (error is None)


def test_the_second_stage_stops_with_the_editor(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with background_result(place, monkeypatch, None):
        assert setup.finish_in_background(place, editor=os.getpid()) == 130  # not this process's parent: as if it had died
    assert not installed(place, SECOND)


# ---------------------------------------------------------------- torchvision


@pytest.mark.parametrize(
    ("torch", "there", "loads", "said"),
    [
        ("2.13.0+cu130", False, True, ["install"]),
        ("2.13.0", False, False, ["install", "uninstall"]),
        ("2.13.0+cpu", False, True, []),
        ("9.9.0", False, True, []),
        ("", False, True, []),
        ("2.13.0", True, True, []),
    ],
)
def test_torchvision_is_added_only_where_it_loads(
    place: Place, monkeypatch: pytest.MonkeyPatch, torch: str, there: bool, loads: bool, said: list[str]
) -> None:
    from app.setup import torchvision

    calls: list[list[str]] = []

    def answer(place: Place, code: str) -> str:
        if "torch.__version__" in code:
            return torch
        if "find_spec" in code:
            return str(not there)
        return "1" if (there if "nms" not in code else loads) else ""

    monkeypatch.setattr(torchvision, "_said_by", answer)
    monkeypatch.setattr(torchvision, "run_pip", lambda place, arguments, *_: calls.append(arguments))
    torchvision.add_torchvision(place, 0, pip.Progress(place, SECOND, quiet=True))
    assert [call[0] for call in calls] == said
    assert all("--no-deps" in call and call[-1] == "torchvision==0.28.*" for call in calls[:1])

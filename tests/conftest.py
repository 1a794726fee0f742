"""What all tests share: which of them run here, the real clips, the browser."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Before torch is loaded: with two threads on a busy machine of two cores, small products take ten times as long as with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Runs note what they cost, and models are looked for, beside the user's projects: tests have a place of their own.
os.environ["ANCHORLINE_HOME"] = tempfile.mkdtemp(prefix="anchorline-home-")
atexit.register(shutil.rmtree, os.environ["ANCHORLINE_HOME"], ignore_errors=True)

ROOT = Path(__file__).resolve().parent.parent
NO_BROWSER = "no Chromium found: install the system package chromium (apt install chromium)"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """The Chromium that end-to-end tests drive."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def clips_folder() -> Path:
    """Real clips: one folder each with `video.mp4` or `frames/`; beside the project unless the environment says where."""
    return Path(os.environ.get("ANCHORLINE_CLIPS", ROOT.parent / "shared" / "clips"))


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips; skips where there is none."""
    folder = clips_folder()
    if not folder.is_dir():
        pytest.skip("no real clips beside the project (ANCHORLINE_CLIPS names another folder)")
    return folder


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The path of Chromium; skips where there is none, fails where ANCHORLINE_NEED_BROWSER is set."""
    path = find_browser()
    if path is None:
        if os.environ.get("ANCHORLINE_NEED_BROWSER"):
            pytest.fail(f"{NO_BROWSER}; ANCHORLINE_NEED_BROWSER asks for it")
        pytest.skip(NO_BROWSER)
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out unless `-m` speaks of them or a test is named; skip what this machine lacks."""
    if "slow" not in config.getoption("markexpr") and not any("::" in str(argument) for argument in config.args):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    no_browser = find_browser() is None and not os.environ.get("ANCHORLINE_NEED_BROWSER")
    no_clips = not clips_folder().is_dir()
    for item in items:
        if item.get_closest_marker("browser"):
            # On a machine that is busy with other things a browser misses a deadline now and then: a second try, shown as R.
            # What is broken fails twice; an assertion that does not hold gets no second try.
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=["TimeoutError"]))
        if no_browser and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=NO_BROWSER))
        if no_clips and item.get_closest_marker("clips"):
            item.add_marker(pytest.mark.skip(reason="no real clips beside the project"))

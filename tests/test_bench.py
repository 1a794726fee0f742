"""The harness of the benches and the clips they draw; the benches themselves are run by hand."""

import importlib
import json
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import av
import pytest

from tests.barcode import Scene, cell_of, write_scene
from tests.bench.harness import BENCHES, Bench, BenchError, Figure, Report, main, percentile
from tests.media_fixtures import read_barcode

FIGURES = (
    Figure("seek_ms", "seek", "ms", 8),
    Figure("shown", "events shown", "events", 60, "higher"),
    Figure("ratio", "ratio", "×"),
)


def fake_bench(monkeypatch: pytest.MonkeyPatch, reached: dict[str, float], error: str = "") -> dict[str, Bench]:
    """A bench that reaches these values and then, perhaps, cannot go on."""

    def run(report: Report, options: Namespace) -> None:
        for key, value in reached.items():
            report.reach(key, value)
        if error:
            raise BenchError(error)

    module = ModuleType("a_fake_bench")
    module.FIGURES, module.run = FIGURES, run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_fake_bench", module)
    return {"fake": Bench("a_fake_bench", "a fake", ("--seed",))}


def test_json_says_what_was_reached_and_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    benches = fake_bench(monkeypatch, {"seek_ms": 4.123456, "shown": 59}, "There is no browser.")
    assert main(["fake", "--json", str(tmp_path / "out.json")], benches) == 0
    body = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert set(body) == {"name", "figures", "command", "machine", "seconds"}
    assert body["name"] == "fake" and body["command"].startswith("python launch.py bench fake --json ")
    assert body["figures"]["seek_ms"] == {
        "value": 4.123,
        "target": 8,
        "unit": "ms",
        "better": "lower",
        "ok": True,
        "reason": None,
    }
    assert body["figures"]["shown"]["ok"] is False and body["figures"]["shown"]["value"] == 59
    ratio = body["figures"]["ratio"]
    assert (ratio["value"], ratio["target"], ratio["ok"], ratio["reason"]) == (None, None, None, "There is no browser.")


def test_strict_turns_a_missed_target_into_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    missed, met = {"seek_ms": 8.01, "shown": 60.0}, {"seek_ms": 8.0, "shown": 60.0}
    assert main(["fake"], fake_bench(monkeypatch, missed)) == 0
    assert main(["fake", "--strict"], fake_bench(monkeypatch, missed)) == 1
    assert main(["fake", "--strict"], fake_bench(monkeypatch, met)) == 0
    assert main(["fake", "--strict"], fake_bench(monkeypatch, {}, "No browser.")) == 0  # not measured is not missed


def test_table_names_figure_target_reached_unit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fake"], fake_bench(monkeypatch, {"seek_ms": 9.5, "shown": 60}, "No ratio here."))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["figure", "target", "reached", "unit"]
    assert lines[2].split() == ["seek", "≤", "8", "9.5", "missed", "ms"]
    assert lines[3].split() == ["events", "shown", "≥", "60", "60", "events"]
    assert lines[4].split() == ["ratio", "–", "–", "×"]
    assert lines[5] == "Not measured (ratio): No ratio here."


def test_a_bug_in_a_bench_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    benches = fake_bench(monkeypatch, {"unknown": 1.0})
    with pytest.raises(KeyError):
        main(["fake"], benches)


def test_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benches = fake_bench(monkeypatch, {})
    assert main([], benches) == 0
    assert capsys.readouterr().out == "fake  a fake\n"
    for wrong in (["nothing"], ["fake", "--scenes", "3"], ["fake", "--seed", "x"]):
        with pytest.raises(SystemExit) as exit_:
            main(wrong, benches)
        assert exit_.value.code == 2
    capsys.readouterr()
    assert main(["fake", "--json", str(tmp_path / "no" / "out.json")], benches) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_declares_its_figures(name: str) -> None:
    module = importlib.import_module(BENCHES[name].module)
    report = Report(module.FIGURES)
    assert callable(module.run) and report.figures
    assert all(figure.better in ("lower", "higher") for figure in report.figures.values())


def test_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(20, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile(values, 1.0)) == (10, 19, 20)
    assert percentile([3.0], 0.5) == 3
    with pytest.raises(BenchError):
        percentile([], 0.5)


def test_drawn_scene_says_its_number_and_where_the_subject_is(tmp_path: Path) -> None:
    size, frames = (180, 320), 70
    scene = Scene(size, seed=3)
    path = write_scene(tmp_path / "scene.mp4", scene, frames)
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [read_barcode(picture, cell_of(size[0])) for picture in pictures] == list(range(frames))
    for number in (0, 69):
        mask = scene.mask(number) == 255
        x, y = scene.corner(number)
        assert mask[y + scene.radius, x + scene.radius] and not mask[y, x]
        red, _, blue = pictures[number][mask].mean(axis=0)
        assert red - blue > 40  # the subject is reddish, the ground grey
        red, _, blue = pictures[number][~mask].mean(axis=0)
        assert abs(red - blue) < 40
    assert scene.corner(0) != scene.corner(69)

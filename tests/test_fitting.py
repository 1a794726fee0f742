"""What a method can run with here: from its Config, ready ones first, the others with what they need and a way to fetch it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.panels.method_models import rows_of
from engine import METHODS, MODELS, Fitting, Option, fitting, fittings


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path))
    monkeypatch.setattr(fitting, "models_here", lambda: {"wan2.1-1.3b"})


def by_name(free: int | None = None) -> dict[str, Fitting]:
    return {one.name: one for one in fittings(free)}


def test_every_method_is_there_and_ready_ones_come_first() -> None:
    found = fittings()
    assert {one.name for one in found} == set(METHODS)
    assert [one.ready for one in found] == sorted((one.ready for one in found), reverse=True)
    assert by_name()["motion"].ready and by_name()["motion"].options == ()


def test_options_come_from_the_config_with_what_they_need() -> None:
    options = {one.value: one for one in by_name()["flowanchor"].options}
    assert set(options) == {"bundled", "wan2.1-1.3b", "wan2.1-14b", "wan2.2-5b"}
    assert options["bundled"].ready and options["bundled"].need == "" and options["wan2.1-1.3b"].ready
    assert options["wan2.2-5b"].missing == ("wan2.2-5b",)
    assert options["wan2.2-5b"].need == f"{MODELS['wan2.2-5b'].gigabytes:g} GB to download, about 20 GB of memory"
    assert [one.ready for one in by_name()["flowanchor"].options][:2] == [True, True]


def test_a_model_that_works_with_another_needs_both() -> None:
    (animated,) = [one for one in by_name()["point_to_point"].options if one.value == "animatediff-1.5.2"]
    assert animated.missing == ("animatediff-1.5.2", "stable-diffusion-1.5") and "6.1 GB to download" in animated.need


def test_what_does_not_fit_comes_last_and_is_said() -> None:
    options = by_name(free=10**9)["flowanchor"].options
    here = next(one for one in options if one.value == "wan2.1-1.3b")
    assert here.fits is False and not here.ready and "more than is free" in here.need
    assert options[0].value == "bundled" and by_name(free=10**9)["flowanchor"].ready


def test_several_fields_of_models_are_kept_apart() -> None:
    sync = by_name()["anchorsync"]
    assert {one.field for one in sync.options} == {"backbone", "interpolation"}
    assert {one.value for one in sync.of_field("interpolation")} >= {"motion", "bundled", "wan2.1-vace-1.3b"}


def test_without_torch_a_method_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "find_spec", lambda name: None)
    found = by_name()
    assert found["via"].lacks == "torch" and not found["via"].ready and found["motion"].ready
    assert "needs torch, which is not installed" in rows_of(list(found.values()))


def test_rows_escape_and_have_a_button_for_what_is_missing() -> None:
    hostile = Option("backbone", "<x>", "<b>Model</b>", ("wan2.2-5b",), 1e9, None)
    text = rows_of([Fitting("<m>", "<script>", (hostile,), "")])
    assert "<script>" not in text and "<b>Model" not in text and "&lt;script&gt;" in text
    assert 'data-fetch="wan2.2-5b"' in text and "disabled" not in text
    assert "disabled" in rows_of([Fitting("m", "M", (hostile,), "")], fetching="wan2.2-5b")

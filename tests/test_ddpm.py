"""The schedule of DDPM models, and one prediction from whatever they were trained to say."""

import pytest
import torch

from engine.diffusion.ddpm import STEPS, DdpmSchedule, from_output


def test_scales_are_the_published_schedule() -> None:
    from diffusers import DDPMScheduler

    for betas, first, last in (("scaled_linear", 0.00085, 0.012), ("linear", 0.00085, 0.012), ("linear", 0.0001, 0.02)):
        ours = DdpmSchedule(first, last, betas)  # type: ignore[arg-type]
        theirs = DDPMScheduler(beta_start=first, beta_end=last, beta_schedule=betas).alphas_cumprod
        for step in (0, 1, 499, 999):
            a, b = ours.scales((step + 1) / STEPS)
            assert a == pytest.approx(float(theirs[step]) ** 0.5, rel=1e-4) and a * a + b * b == pytest.approx(1)
            assert ours.timestep((step + 1) / STEPS) == pytest.approx(step)
    assert ours.scales(0.0) == (1, 0) and ours.timestep(0.0) == 0


def test_levels_are_even_and_fall_to_none() -> None:
    levels = DdpmSchedule().levels(4)
    assert levels == [1.0, 0.75, 0.5, 0.25, 0.0]
    for steps in (0, STEPS + 1):
        with pytest.raises(ValueError, match="steps"):
            DdpmSchedule().levels(steps)
    with pytest.raises(ValueError, match="within"):
        DdpmSchedule().scales(1.1)


@pytest.mark.parametrize("level", [1.0, 0.4, 0.001, 0.0])
@pytest.mark.parametrize("target", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_model_gives_back_what_was_mixed(target: str, level: float) -> None:
    x0, noise = torch.randn(2, 1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = scales = DdpmSchedule().scales(level)
    says = {"epsilon": noise, "v_prediction": a * noise - b * x0, "sample": x0}[target]
    found = from_output(a * x0 + b * noise, says, scales, target)  # type: ignore[arg-type]
    assert torch.allclose(found.x0, x0, atol=1e-9)
    if level > 0 or target != "sample":
        assert torch.allclose(found.noise, noise, atol=1e-9)


def test_an_unknown_prediction_is_named() -> None:
    with pytest.raises(ValueError, match="score"):
        from_output(torch.zeros(1), torch.zeros(1), (0.5, 0.5), "score")  # type: ignore[arg-type]

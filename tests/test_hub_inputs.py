"""What the hub's backbones hand to their models, held against diffusers' own pipelines on the same tiny weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.backbones import animatediff, instruct_pix2pix, vace, wan
from engine.backbones.snapshot import Snapshot
from engine.diffusion.backbone import Condition
from tests.tiny_models import snapshot

PROMPT, OTHER = "make the blue ball red", "a checkered box, on grass"
SIZE, FRAMES = (32, 48), 9


@cache
def load(kind: str) -> Any:
    if kind == "animatediff":
        return animatediff.load(snapshot("motion-adapter"), snapshot("stable-diffusion"), "cpu")
    loaders = {"wan": wan.load, "wan 2.2": wan.load, "vace": vace.load, "first-last": vace.load_first_last}
    return loaders.get(kind, instruct_pix2pix.load)(snapshot(kind), "cpu")


@contextmanager
def calls(model: Any) -> Iterator[list[dict[str, Any]]]:
    """What the model's forward is called with, by the names of its parameters."""
    import inspect

    seen: list[dict[str, Any]] = []
    forward = model.forward
    names = inspect.signature(forward)

    def spy(*args: Any, **named: Any) -> Any:
        seen.append(dict(names.bind(*args, **named).arguments))
        return forward(*args, **named)

    model.forward = spy
    try:
        yield seen
    finally:
        del model.forward


def same(ours: dict[str, Any], theirs: dict[str, Any], *names: str, row: int = 0) -> None:
    """Tensors of both calls agree; of theirs, which may hold several branches, as many rows as ours has from `row` on."""
    for name in names:
        mine, other = ours[name], theirs[name]
        mine = torch.as_tensor(mine).float()
        other = torch.as_tensor(other).float()
        if other.dim() and other.shape != mine.shape:
            other = other[row : row + len(mine)]
        assert mine.shape == other.shape, name
        assert torch.allclose(mine, other, atol=1e-5), (name, float((mine - other).abs().max()))


def pictures(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> tuple[Tensor, list[Image.Image]]:
    """The same ones as (T, 3, H, W) in [−1, 1] and for a pipeline."""
    bytes_ = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return torch.from_numpy(bytes_).permute(0, 3, 1, 2) / 127.5 - 1, [Image.fromarray(one) for one in bytes_]


def flow() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def parts(kind: str) -> dict[str, Any]:
    """What a Wan pipeline takes, around the transformer and autoencoder that our model has."""
    model, found = load(kind), Snapshot(snapshot(kind), kind)
    return {
        "tokenizer": found.load("AutoTokenizer", "tokenizer"),
        "text_encoder": found.load("UMT5EncoderModel", "text_encoder", torch.float32),
        "transformer": model.parts.transformer,
        "vae": model.parts.autoencoder,
        "scheduler": flow(),
    }


def run_wan(kind: str, pipeline: Any, size: tuple[int, int] = SIZE, **more: Any) -> tuple[dict[str, Any], Tensor]:
    """The first call of the pipeline's transformer, and the noise it began with."""
    frames = (FRAMES - 1) // 4 + 1
    side = load(kind).stride[1] // 2
    z = torch.randn(1, 16, frames, size[0] // side, size[1] // side, generator=torch.Generator().manual_seed(1))
    with calls(load(kind).parts.transformer) as seen:
        pipeline.set_progress_bar_config(disable=True)
        pipeline(
            prompt=PROMPT, height=size[0], width=size[1], num_frames=FRAMES, num_inference_steps=1, guidance_scale=1.0,
            latents=z, output_type="latent", max_sequence_length=512, **more,
        )  # fmt: skip
    return seen[0], z


def ours(kind: str, z: Tensor, timestep: Tensor, condition: Condition | None = None) -> dict[str, Any]:
    model = load(kind)
    text = model.encode_text(PROMPT)
    with calls(model.parts.transformer) as seen, torch.no_grad():
        model.predict(z, float(timestep.max()) / 1000, text, condition)
    return seen[0]


def test_wan_is_asked_as_its_pipeline_asks() -> None:
    from diffusers import WanPipeline

    theirs, z = run_wan("wan", WanPipeline(**parts("wan")))
    same(ours("wan", z, theirs["timestep"]), theirs, "hidden_states", "timestep", "encoder_hidden_states")


def test_wan_2_2_knows_a_noise_level_for_every_token() -> None:
    from diffusers import WanPipeline

    theirs, z = run_wan("wan 2.2", WanPipeline(**parts("wan 2.2"), expand_timesteps=True), (64, 96))
    assert theirs["timestep"].dim() == 2
    same(ours("wan 2.2", z, theirs["timestep"]), theirs, "hidden_states", "timestep", "encoder_hidden_states")


def test_wan_2_2_begins_with_a_picture() -> None:
    from diffusers import WanImageToVideoPipeline

    first, images = pictures(1, size=(64, 96))
    pipeline = WanImageToVideoPipeline(**parts("wan 2.2"), expand_timesteps=True)
    theirs, z = run_wan("wan 2.2", pipeline, (64, 96), image=images[0])
    condition = Condition(first=first[0])
    same(ours("wan 2.2", z, theirs["timestep"], condition), theirs, "hidden_states", "timestep")
    found = load("wan 2.2").predict(z, 0.6, load("wan 2.2").encode_text(PROMPT), condition)
    assert torch.allclose(found.x0[:, :, :1], load("wan 2.2").encode(first), atol=1e-5)
    assert torch.allclose(0.4 * found.x0 + 0.6 * found.noise, z, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_vace_sees_the_video_as_its_pipeline_shows_it(masked: bool) -> None:
    from diffusers import WanVACEPipeline

    video, images = pictures(FRAMES)
    mask = (torch.rand(FRAMES, 1, *SIZE, generator=torch.Generator().manual_seed(2)) > 0.5).float()
    masks = [Image.fromarray((255 * one[0]).byte().numpy()) for one in mask]
    more: dict[str, Any] = {"video": images, "mask": masks} if masked else {}
    theirs, z = run_wan("vace", WanVACEPipeline(**parts("vace")), conditioning_scale=0.7, **more)
    condition = Condition(video=video, mask=mask, strength=0.7) if masked else Condition(strength=0.7)
    names = ("hidden_states", "timestep", "control_hidden_states", "control_hidden_states_scale")
    same(ours("vace", z, theirs["timestep"], condition), theirs, *names)


def test_the_first_last_model_sees_both_ends_as_its_pipeline_shows_them() -> None:
    from diffusers import WanImageToVideoPipeline

    ends, images = pictures(2)
    found = Snapshot(snapshot("first-last"), "")
    pipeline = WanImageToVideoPipeline(
        **parts("first-last"),
        image_encoder=found.load("CLIPVisionModel", "image_encoder", torch.float32),
        image_processor=found.load("CLIPImageProcessorPil", "image_processor"),
    )
    theirs, z = run_wan("first-last", pipeline, image=images[0], last_image=images[1])
    condition = Condition(first=ends[0], last=ends[1])
    names = ("hidden_states", "timestep", "encoder_hidden_states", "encoder_hidden_states_image")
    same(ours("first-last", z, theirs["timestep"], condition), theirs, *names)


def run_pix2pix(kind: str, pipeline: Any, images: list[Image.Image]) -> tuple[dict[str, Any], Tensor]:
    z = torch.randn(len(images), 4, SIZE[0] // 8, SIZE[1] // 8, generator=torch.Generator().manual_seed(1))
    pipeline.set_progress_bar_config(disable=True)
    more = {"height": SIZE[0], "width": SIZE[1]} if kind.endswith("xl") else {}
    with calls(load(kind).parts.unet) as seen:
        pipeline(
            [PROMPT] * len(images), image=images, num_inference_steps=1, guidance_scale=7.5, image_guidance_scale=1.5,
            latents=z, output_type="latent", **more,
        )  # fmt: skip
    return seen[0], z


@pytest.mark.parametrize("kind", ["instruct-pix2pix", "instruct-pix2pix-xl"])
def test_the_three_branches_are_those_of_the_pipeline(kind: str) -> None:
    import diffusers

    model, found = load(kind), Snapshot(snapshot(kind), kind)
    frames, images = pictures(2)
    given: dict[str, Any] = {"vae": model.parts.autoencoder, "unet": model.parts.unet}
    for number, part in (("", "CLIPTextModel"), ("_2", "CLIPTextModelWithProjection")):
        if found.has(f"text_encoder{number}"):
            given[f"tokenizer{number}"] = found.load("AutoTokenizer", f"tokenizer{number}")
            given[f"text_encoder{number}"] = found.load(part, f"text_encoder{number}", torch.float32)
    pipeline: Any
    given["scheduler"] = diffusers.DDIMScheduler.from_pretrained(str(snapshot(kind) / "scheduler"))
    if kind.endswith("xl"):
        pipeline = diffusers.StableDiffusionXLInstructPix2PixPipeline(**given)
        images_given: Any = frames / 2 + 0.5
    else:
        more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline, images_given = diffusers.StableDiffusionInstructPix2PixPipeline(**given, **more), images
    theirs, z = run_pix2pix(kind, pipeline, images_given)
    source, level = Condition(model.encode(frames)), (float(theirs["timestep"]) + 1) / 1000
    clips = z.transpose(0, 1)[None]
    for row, (prompt, condition) in enumerate(((PROMPT, source), ("", source), ("", None))):
        with calls(model.parts.unet) as seen, torch.no_grad():
            model.predict(clips, level, model.encode_text(prompt), condition)
        same(seen[0], theirs, "sample", "timestep", "encoder_hidden_states", row=2 * row)
        if kind.endswith("xl"):
            same(seen[0]["added_cond_kwargs"], theirs["added_cond_kwargs"], "text_embeds", "time_ids", row=2 * row)


def test_animatediff_is_asked_as_its_pipeline_asks() -> None:
    import diffusers

    model, found = load("animatediff"), Snapshot(snapshot("stable-diffusion"), "")
    schedule = diffusers.DDIMScheduler.from_pretrained(str(snapshot("stable-diffusion") / "scheduler"), beta_schedule="linear")
    pipeline: Any = diffusers.AnimateDiffPipeline(
        vae=model.parts.autoencoder,
        text_encoder=found.load("CLIPTextModel", "text_encoder", torch.float32),
        tokenizer=found.load("AutoTokenizer", "tokenizer"),
        unet=model.parts.unet,
        motion_adapter=None,
        scheduler=schedule,
    )
    z = torch.randn(1, 4, 3, SIZE[0] // 8, SIZE[1] // 8, generator=torch.Generator().manual_seed(1))
    with calls(model.parts.unet) as seen:
        pipeline.set_progress_bar_config(disable=True)
        more = {"height": SIZE[0], "width": SIZE[1], "num_frames": 3, "num_inference_steps": 1, "guidance_scale": 1.0}
        pipeline(PROMPT, latents=z, output_type="latent", **more)
        model.predict(z, (float(seen[0]["timestep"]) + 1) / 1000, model.encode_text(PROMPT))
    same(seen[1], seen[0], "sample", "timestep", "encoder_hidden_states")
    assert model.scales(0.5)[0] == pytest.approx(float(schedule.alphas_cumprod[499]) ** 0.5, rel=1e-4)

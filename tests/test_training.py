"""The trainer: learns, goes on to the same result after any stop, keeps its state in small files, runs with little installed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.backbones.bundled import load, read_parts, write_bundled
from engine.backbones.bundled_autoencoder import AutoencoderConfig, ClipAutoencoder
from engine.backbones.bundled_model import WORDS, BundledModel, UnknownWord, patches, picture, word_ids
from engine.errors import MethodError
from engine.training.__main__ import PRESETS, main
from engine.training.autoencoder import AutoencoderTask, reconstruction
from engine.training.checkpoint import TrainingError, read_run, shards
from engine.training.drawn import LABELS, labels
from engine.training.model import ModelTask, edit_weight
from engine.training.muon import orthogonal
from engine.training.score import Sampling, answer
from engine.training.trainer import Settings, Trainer
from engine.world.draw import draw
from engine.world.edits import edits
from engine.world.scene import sample
from engine.world.words import BACKGROUNDS, SHAPES, VOCABULARY

ROOT = Path(__file__).resolve().parent.parent
SMOKE = PRESETS["smoke"]
SETTINGS = Settings(steps=40, rate=3e-3, matrix_rate=3e-3, warmup=4, settle=10, score=40, seed=3)


@pytest.fixture(scope="module")
def autoencoder() -> ClipAutoencoder:
    task = AutoencoderTask(SMOKE.autoencoder, seed=1, size=32)
    task.calibrate(task.module)
    return task.module


def trainer(autoencoder: ClipAutoencoder, folder: Path, settings: Settings = SETTINGS) -> Trainer:
    task = ModelTask(SMOKE.model, autoencoder, seed=3, budget=SMOKE.budget)
    task.scores = lambda module: {"sum": float(sum(p.double().sum() for p in module.parameters()))}  # type: ignore[method-assign]
    return Trainer(task, settings, folder)


def quiet(line: str) -> None:
    pass


def state(one: Trainer) -> dict[str, torch.Tensor]:
    moments = {f"{name}/{key}": value for name, p in one.parameters.items() for key, value in one._state(p).items()}
    return {**one.parameters, **{f"average/{k}": v for k, v in one.average.items()}, **moments}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_that_was_stopped_or_killed_ends_with_the_same_bits(autoencoder: ClipAutoencoder, tmp_path: Path) -> None:
    straight = trainer(autoencoder, tmp_path / "straight")
    straight.run(say=quiet)
    stopped = trainer(autoencoder, tmp_path / "stopped")
    stopped.run(minutes=0, say=quiet)
    assert stopped.record.step == 10
    killed = trainer(autoencoder, tmp_path / "stopped")
    assert killed.resume()
    for _ in range(17):  # past a moment at which it could have been saved; nothing of this reaches the disk
        killed.step()
        if killed.record.step % 10 == 0:
            killed.settle()
    again = trainer(autoencoder, tmp_path / "stopped")
    assert again.resume() and again.record.step == 10
    again.run(say=quiet)
    assert equal(state(again), state(straight))
    assert again.record.scores == straight.record.scores
    assert [row["step"] for row in again.record.history] == [10, 20, 30, 40]
    assert again.record.history == straight.record.history


def test_a_run_goes_on_from_a_copy_and_leaves_it_alone(autoencoder: ClipAutoencoder, tmp_path: Path) -> None:
    first = trainer(autoencoder, tmp_path / "first")
    first.run(minutes=0, say=quiet)
    before = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    second = trainer(autoencoder, tmp_path / "second")
    assert second.resume(tmp_path / "first")
    second.run(minutes=0, say=quiet)
    assert second.record.step == 20
    assert {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()} == before
    assert read_run(tmp_path / "second") is not None


def test_a_save_that_fails_leaves_the_state_before(
    autoencoder: ClipAutoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(autoencoder, tmp_path)
    one.run(minutes=0, say=quiet)

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(TrainingError, match=r"could not be saved .* No space left"):
        one.run(minutes=0, say=quiet)
    monkeypatch.undo()
    found = read_run(tmp_path)
    assert found is not None and found[0].step == 10
    assert trainer(autoencoder, tmp_path).resume()


def test_only_the_last_state_is_kept(autoencoder: ClipAutoencoder, tmp_path: Path) -> None:
    one = trainer(autoencoder, tmp_path)
    for _ in range(3):
        one.run(minutes=0, say=quiet)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", *one.record.files}
    assert all("0000030" in name for name in one.record.files)


def test_a_run_with_other_settings_or_damage_is_refused(autoencoder: ClipAutoencoder, tmp_path: Path) -> None:
    one = trainer(autoencoder, tmp_path)
    one.run(minutes=0, say=quiet)
    with pytest.raises(TrainingError, match="other settings"):
        trainer(autoencoder, tmp_path, replace(SETTINGS, rate=1e-3)).resume()
    assert trainer(autoencoder, tmp_path, replace(SETTINGS, steps=80)).resume()  # longer is no other run
    (tmp_path / one.record.files[0]).write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="cannot be read"):
        trainer(autoencoder, tmp_path).resume()


def test_a_loss_that_is_no_number_stops_the_run(
    autoencoder: ClipAutoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(autoencoder, tmp_path)
    losses = one.task.losses
    monkeypatch.setattr(one.task, "losses", lambda step: {key: value * float("nan") for key, value in losses(step).items()})
    with pytest.raises(TrainingError, match="not a number"):
        one.run(say=quiet)
    assert read_run(tmp_path) is None


def test_states_are_cut_into_files_of_15_mb_and_a_full_size_run_fits_64() -> None:
    big = {f"{i}": torch.zeros(1_000_000) for i in range(9)}
    parts = list(shards(big))
    assert [len(part) for part in parts] == [3, 3, 3]
    assert max(sum(t.numel() * 4 for t in part.values()) for part in parts) <= 15_000_000
    model = BundledModel(replace(PRESETS["gpu"].model, channels=PRESETS["gpu"].autoencoder.channels), VOCABULARY)
    autoencoder = ClipAutoencoder(PRESETS["gpu"].autoencoder)
    assert sum(p.numel() for part in (model, autoencoder) for p in part.parameters()) * 2 <= 30_000_000
    run = 10 * sum(p.numel() for p in model.parameters())
    assert run + 2 * sum(p.numel() for p in autoencoder.parameters()) <= 57_000_000  # 10 MB for the project and a wheel or two


@pytest.mark.slow
def test_a_smoke_run_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """100 steps of the autoencoder, 100 of the model, shipped, loaded, asked."""
    runs = ["--preset", "smoke", "--device", "cpu"]
    assert main(["autoencoder", *runs, "--run", str(tmp_path / "ae")]) == 0
    assert main(["model", *runs, "--run", str(tmp_path / "m"), "--autoencoder", str(tmp_path / "ae")]) == 0
    found = read_run(tmp_path / "m")
    assert found is not None
    record = found[0]
    assert record.step == 100 and record.scores[-1]["step"] == 100
    texts = [row["text"] for row in record.history]
    assert sum(texts[-3:]) < 0.85 * sum(texts[:3])
    ship = ["ship", "--model", str(tmp_path / "m"), "--autoencoder", str(tmp_path / "ae"), "--to", str(tmp_path / "shipped")]
    assert main([*ship, "--scenes", "6", "--device", "cpu"]) == 0
    card = (tmp_path / "shipped" / "CARD.md").read_text("utf-8")
    assert "| `success_removal` |" in card and "100 of 100 planned" in card and "{" not in card
    bundled = load(folder=tmp_path / "shipped")
    assert bundled.encode(torch.zeros(6, 3, 32, 32)).shape[2] == 3
    assert main(["score", "--weights", str(tmp_path / "shipped"), "--scenes", "6", "--steps", "2", "--device", "cpu"]) == 0
    assert "success_colour" in capsys.readouterr().out


def test_wrong_use_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    no_run = [
        "model",
        "--preset",
        "smoke",
        "--run",
        str(tmp_path / "m"),
        "--autoencoder",
        str(tmp_path / "none"),
        "--device",
        "cpu",
    ]
    assert main(no_run) == 1
    assert "no run of the autoencoder; train one first." in capsys.readouterr().err
    assert main(["score", "--weights", str(tmp_path), "--device", "cpu"]) == 1
    assert "cannot be loaded" in capsys.readouterr().err
    assert main(["score", "--device", "cuda:99"]) == 1
    assert 'There is no device "cuda:99" here' in capsys.readouterr().err


def test_training_needs_neither_the_page_nor_video_libraries() -> None:
    """A borrowed machine has torch, numpy, scipy and little else."""
    missing = ["gradio", "av", "cv2", "imageio", "transformers", "peft", "accelerate", "segment_anything"]
    code = f"import sys; sys.modules.update(dict.fromkeys({missing[:4]!r})); import engine.training.__main__ as m; m._parser()"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_the_autoencoder_takes_4k_plus_1_frames_of_multiples_of_4(autoencoder: ClipAutoencoder) -> None:
    for frames, latent in ((1, 1), (5, 2), (17, 5)):
        z = autoencoder.encode(torch.zeros(2, 3, frames, 32, 40))
        assert z.shape == (2, 8, latent, 8, 10)
        assert autoencoder.decode(z).shape == (2, 3, frames, 32, 40)
    for shape in ((1, 3, 4, 32, 32), (1, 3, 5, 30, 32)):
        with pytest.raises(ValueError, match="4k \\+ 1 frames"):
            autoencoder.encode(torch.zeros(shape))


def test_the_autoencoder_never_looks_ahead(autoencoder: ClipAutoencoder) -> None:
    clip = torch.rand(1, 3, 9, 32, 32)
    later = clip.clone()
    later[:, :, 5:] = 0
    assert torch.equal(autoencoder.encode(clip)[:, :, :2], autoencoder.encode(later)[:, :, :2])


def test_it_starts_as_the_best_linear_code_and_training_starts_from_there() -> None:
    few, many = (AutoencoderTask(AutoencoderConfig(channels, 16, 1, 1), size=32) for channels in (4, 24))
    clips = few.scenes("validation", 0, 4, 5)
    assert reconstruction(few.module, clips) > 18
    assert reconstruction(many.module, clips) > reconstruction(few.module, clips) + 4


def test_without_a_source_the_model_is_the_stock_transformer_and_with_one_it_starts_as_the_identity() -> None:
    model = BundledModel(SMOKE.model, VOCABULARY).eval()
    z, t, text = torch.randn(2, 8, 2, 8, 8), torch.tensor([0.3, 0.9]), model.encode_text(["make the ball green", ""])
    source = torch.randn(2, 8, 2, 8, 8)
    assert torch.equal(model(z, t, text, source), source)
    torch.nn.init.normal_(model.transformer.proj_out.weight)
    torch.nn.init.zeros_(model.kinds.weight)
    stock = model.transformer(z, 1000 * t, text, return_dict=False)[0]
    assert torch.equal(model(z, t, text), stock)
    assert not torch.equal(model(z, t, text, source), source)


def test_source_and_target_tokens_share_their_positions() -> None:
    """A source that is moved together with the noise moves the answer: no token knows its place but by its twin's."""
    model = BundledModel(SMOKE.model, VOCABULARY).eval()
    torch.nn.init.normal_(model.transformer.proj_out.weight)
    z, source = torch.randn(1, 8, 1, 8, 8), torch.randn(1, 8, 1, 8, 8)
    text = model.encode_text(["make the ball green"])
    moved = [x.roll((4, 4), (3, 4)) for x in (z, source)]
    a = model(z, torch.tensor([0.5]), text, source)
    b = model(moved[0], torch.tensor([0.5]), text, moved[1])
    assert not torch.allclose(a, b)  # positions matter …
    model.transformer.rope.freqs_cos.fill_(1)
    model.transformer.rope.freqs_sin.fill_(0)
    a = model(z, torch.tensor([0.5]), text, source).roll((4, 4), (3, 4))
    b = model(moved[0], torch.tensor([0.5]), text, moved[1])
    assert torch.allclose(a, b, atol=1e-4)  # … and come from the rotary embedding alone


def test_words_are_numbered_and_unknown_ones_named() -> None:
    ids = word_ids("Make the ball green.", VOCABULARY)
    assert len(ids) == WORDS and ids[4:] == [0] * (WORDS - 4)
    assert [VOCABULARY[i - 1] for i in ids[:4]] == ["make", "the", "ball", "green"]
    with pytest.raises(UnknownWord, match=r'does not know the word "dog"; it knows: .*ball'):
        word_ids("make the dog green", VOCABULARY)
    with pytest.raises(UnknownWord, match="20 words at most"):
        word_ids(" ".join(["red"] * 21), VOCABULARY)


def test_padding_changes_nothing_and_word_order_does() -> None:
    text = BundledModel(SMOKE.model, VOCABULARY).eval().text
    one = text(torch.tensor([word_ids("red ball", VOCABULARY)]))
    assert torch.equal(one[:, 2:], torch.zeros_like(one[:, 2:]))
    two = text(torch.tensor([word_ids("ball red", VOCABULARY)]))
    assert not torch.allclose(one[0, 0], two[0, 1], atol=1e-4)


def test_the_same_seed_samples_the_same_answer_in_any_batch(autoencoder: ClipAutoencoder) -> None:
    model = BundledModel(SMOKE.model, VOCABULARY).eval()
    torch.nn.init.normal_(model.transformer.proj_out.weight, std=0.02)
    how, source = Sampling(steps=3), torch.rand(2, 5, 3, 32, 32)
    both = answer(model, autoencoder, ["remove the ball", "make the box red"], source, how=how)
    alone = answer(model, autoencoder, ["remove the ball"], source[:1], how=how)
    assert torch.allclose(both[:1], alone, atol=1e-5)
    assert both.shape == source.shape and both.min() >= 0 and both.max() <= 1


def test_shipped_weights_are_half_as_large_and_come_back(autoencoder: ClipAutoencoder, tmp_path: Path) -> None:
    model = BundledModel(SMOKE.model, VOCABULARY)
    write_bundled(tmp_path, model, autoencoder)
    again, _ = read_parts(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, rtol=1e-3, atol=1e-4), name
    assert all(t.dtype == torch.float16 for t in load_file(tmp_path / "model.safetensors").values())
    config = json.loads((tmp_path / "config.json").read_text())
    config["model"]["layers"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(MethodError, match="cannot be loaded"):
        read_parts(tmp_path)


def test_plain_operations_in_a_step_give_what_the_stock_blocks_give() -> None:
    model = BundledModel(SMOKE.model, VOCABULARY).eval()
    for value in model.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.05)
    z, source = torch.randn(2, 8, 2, 8, 8), torch.randn(2, 8, 2, 8, 8)
    text, semantic, beside = (
        model.encode_text(["add a red ball", ""]),
        torch.randn(2, 17, 8),
        torch.randn(2, SMOKE.model.beside, 2, 8, 8),
    )
    stock, lean = (
        model.answer(z, torch.tensor([0.3, 0.9]), text, source, semantic=semantic, beside=beside, lean=lean)
        for lean in (None, torch.float32)
    )
    assert torch.allclose(stock.x0, lean.x0, atol=1e-4)
    assert stock.semantic is not None and lean.semantic is not None and stock.labels is not None and lean.labels is not None
    assert torch.allclose(stock.semantic, lean.semantic, atol=1e-4) and torch.allclose(stock.labels, lean.labels, atol=1e-4)
    other = model.answer(z, torch.tensor([0.3, 0.9]), text, source, semantic=-semantic, beside=beside)
    assert not torch.allclose(other.x0, stock.x0, atol=1e-3)


def test_patches_are_the_inverse_of_the_picture() -> None:
    z = torch.randn(2, 3, 2, 4, 6)
    assert torch.equal(picture(patches(z), z.shape), z)


def test_muon_steps_along_the_orthogonal_part() -> None:
    matrices = torch.randn(3, 20, 12) @ torch.diag(torch.logspace(-1, 1, 12))
    steps = orthogonal(matrices).float()
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.linalg.svdvals(steps).sub(1).abs().max() < 0.45
    assert (steps * (u @ v)).sum() > 0.85 * (u @ v).square().sum()
    assert not orthogonal(torch.zeros(1, 4, 4)).any()


def test_what_an_edit_changes_weighs_as_much_as_the_rest() -> None:
    source = torch.zeros(1, 4, 1, 16, 16)
    target = source.clone()
    target[..., 4:8, 4:8] = 1
    weight = edit_weight(target, source)
    assert isinstance(weight, torch.Tensor)
    edited = weight[..., 3:9, 3:9].sum()
    assert torch.isclose(edited, weight.sum() - edited) and torch.isclose(weight.mean(), torch.tensor(1.0))
    assert edit_weight(target, None) == 1.0
    assert torch.equal(torch.as_tensor(edit_weight(source, source)), torch.ones(1, 1, 16, 16))


def test_labels_say_what_each_token_shows() -> None:
    made = edits(sample(0, range(8)), kinds=["removal"])
    drawing = draw(made.source, (64, 64), 5)
    shown = labels(made.source, drawing)
    assert shown.shape == (8, 2 * 8 * 8, LABELS) and shown.min() >= 0 and shown.max() <= 1
    shapes = len(SHAPES)
    assert torch.allclose(shown[..., :shapes].sum(-1) + shown[..., -len(BACKGROUNDS) :].sum(-1), torch.ones(8, 128), atol=1e-5)
    first = drawing.visible[:, :, 0].mean((-2, -1))
    b, k = 0, int(first[0].argmax())
    alike = made.source.subjects.shape[b] == made.source.subjects.shape[b, k]
    share = shown[b, :64, int(made.source.subjects.shape[b, k])].mean()
    assert torch.isclose(share, (first[b] * alike).sum(), atol=1e-5)


def test_a_run_begins_with_the_weights_of_another_where_they_fit(autoencoder: ClipAutoencoder, tmp_path: Path) -> None:
    first = trainer(autoencoder, tmp_path / "first")
    first.run(minutes=0, say=quiet)
    small = replace(SMOKE.model, semantic=0)
    grown = Trainer(ModelTask(SMOKE.model, autoencoder, seed=5, budget=SMOKE.budget, stage=1), SETTINGS, tmp_path / "second")
    assert grown.warm(tmp_path / "first") == []
    averaged = first.averaged()
    assert all(torch.allclose(value, averaged[name], atol=1e-6) for name, value in grown.parameters.items())
    less = Trainer(ModelTask(small, autoencoder, budget=SMOKE.budget), SETTINGS, tmp_path / "third")
    less.run(minutes=0, say=quiet)
    assert all(name.startswith("semantic") for name in grown.warm(tmp_path / "third"))
    with pytest.raises(TrainingError, match="holds no run to begin with"):
        grown.warm(tmp_path / "none")

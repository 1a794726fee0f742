"""Masks by SAM, SAM 2 and SAM 3, subjects by words: the real classes, tiny and random, loaded from disk without a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import MethodError
from engine.models import MODELS, store
from engine.segmentation import BY_MODELS, keyframe_mask, local_segmenter, prompts, segmenter, segmenter_names
from engine.segmentation.remote import Remote, find, process
from engine.types import FrameRange, Keyframe, Point
from tests import tiny_marks
from tests.tiny_marks import installed, picture

SIZE = (90, 120)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which the tiny models were fetched."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANCHORLINE_HOME", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("ANCHORLINE_DEVICE", "cpu")
        installed("sam-b", tiny_marks.write_sam)
        installed("sam2.1-tiny", lambda folder: tiny_marks.sam2().save_pretrained(folder))
        installed("sam3", lambda folder: tiny_marks.sam3().save_pretrained(folder))
        installed("grounding-dino-tiny", tiny_marks.write_grounding_dino)
        yield folder
        process().close()


@pytest.fixture(scope="module")
def made(home: Path) -> dict[str, Any]:
    return {name: local_segmenter(name) for name in ("sam-b", "sam2.1-tiny", "sam3")}


@pytest.mark.parametrize("name", ["sam-b", "sam2.1-tiny", "sam3"])
def test_a_segmenter_by_a_model_keeps_the_protocol(made: dict[str, Any], name: str) -> None:
    image, points = picture(), [Point(30, 40), Point(80.0, 60.5, -1)]
    alpha = made[name].segment(image, points)
    assert alpha.shape == SIZE and alpha.dtype == np.uint8 and alpha[40, 30] == 255 and alpha[60, 80] == 0
    assert 0.02 < (alpha > 127).mean() < 0.98  # it looked at the picture
    assert np.array_equal(alpha, made[name].segment(image, points))
    others = [
        made[name].segment(image, points[:1]),
        made[name].segment(image, points, (10, 10, 60, 60)),
        made[name].segment(image, [], (10, 10, 60, 60)),
        made[name].segment(image, points, None, np.roll(alpha, 30, 1)),
        made[name].segment(picture(seed=1), points),
    ]
    assert all((other != alpha).mean() > 0.01 for other in others)  # every kind of saying counts


def test_clicks_fall_where_they_were_made() -> None:
    assert prompts.placed(np.array([[0.0, 0.0], [9.0, 4.0]]), (2.0, 3.0)).tolist() == [[0.5, 1.0], [18.5, 13.0]]
    logits = np.full((32, 32), -9.0)
    logits[:, 16:] = 9
    alpha = prompts.alpha_of(logits, (64, 64))
    assert alpha[:, :31].max() == 0 and alpha[:, 33:].min() == 255
    assert set(np.unique(prompts.obeyed(np.zeros((9, 9), np.uint8), [Point(4, 4)])).tolist()) == {0, 255}


def test_the_stand_in_for_torchvision_is_gone_after_the_import(home: Path) -> None:
    import transformers.utils.import_utils as known

    from engine.segmentation.sam import package

    assert package().SamPredictor is not None
    left = [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
    assert left == [] or known.is_torchvision_available()


@pytest.mark.parametrize(("size", "file"), [("b", 0), ("b", 1)])
def test_a_checkpoint_of_something_else_is_one_sentence(home: Path, size: str, file: int) -> None:
    import torch

    from engine.segmentation.sam import built

    weights = dict(tiny_marks.sam().state_dict())
    if file:
        weights = {name: one for name, one in weights.items() if "neck.0" not in name}
    else:
        weights = {"conv.weight": torch.ones(3, 3)}
    with pytest.raises(MethodError, match="no checkpoint of Segment Anything"):
        built(weights)


# --- through video ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def videos(home: Path) -> dict[str, Any]:
    from engine.segmentation.sam_video import SamVideo

    return {name: SamVideo(name) for name in ("sam2.1-tiny", "sam3")}


def moving(frame: int) -> np.ndarray:
    return np.roll(picture(), 3 * frame, axis=1)


def block(x: int) -> np.ndarray:
    alpha = np.zeros(SIZE, np.uint8)
    alpha[20:55, x : x + 40] = 255
    return alpha


def carried(video: Any, given: dict, span: FrameRange, scratch: Path, seen: list[int] | None = None) -> list[Any]:
    def pictures(frame: int) -> np.ndarray:
        assert frame in span
        if seen is not None:
            seen.append(frame)
        return moving(frame)

    scratch.mkdir()
    steps: list[tuple[int, int]] = []
    frames = list(
        video.carry(pictures, given, span, size=SIZE, scratch=scratch, step=lambda done, total: steps.append((done, total)))
    )
    assert steps[-1] == (2 * len(span), 2 * len(span)) and [done for done, _ in steps] == list(range(1, 2 * len(span) + 1))
    return frames


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam3"])
def test_masks_are_carried_both_ways_and_corrections_count(videos: dict[str, Any], name: str, tmp_path: Path) -> None:
    span, given = FrameRange(40, 52), {1: {43: block(20), 49: block(50)}, 5: {45: block(70)}}
    frames = carried(videos[name], given, span, tmp_path / "a")
    assert [one.frame for one in frames] == list(span)
    assert all(set(one.alpha) == {1, 5} and one.alpha[1].shape == SIZE for one in frames)
    by_frame = {one.frame: one for one in frames}
    for subject, masks in given.items():
        for frame, alpha in masks.items():
            assert np.array_equal(by_frame[frame].alpha[subject], alpha) and by_frame[frame].confidence[subject] == 1
    assert all(0 <= one.confidence[1] <= 1 for one in frames)
    alone = {one.frame: one for one in carried(videos[name], {1: {43: block(20)}}, span, tmp_path / "b")}
    assert (by_frame[46].alpha[1] != alone[46].alpha[1]).mean() > 0.001  # the second given mask was heard
    again = carried(videos[name], given, span, tmp_path / "c")
    assert all(np.array_equal(one.alpha[s], two.alpha[s]) for one, two in zip(frames, again, strict=True) for s in given)


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam3"])
def test_the_forward_pass_is_the_librarys_own(videos: dict[str, Any], name: str, tmp_path: Path) -> None:
    """One given mask at the start: what comes out frame by frame equals the library's iterator over the whole video."""
    import cv2
    import torch

    video, span, alpha = videos[name], FrameRange(0, 20), block(20)
    ours = {frame: answers[1][0] for frame, answers in video._pass(moving, {1: {0: alpha}}, span, backward=False) if answers}
    frames = torch.stack([video.look.pixels(moving(frame)) for frame in span])
    kept = {"inference_device": "cpu", "inference_state_device": "cpu", "video_storage_device": "cpu", "dtype": torch.float32}
    session = video._session(video=frames, video_height=SIZE[0], video_width=SIZE[1], **kept)
    number = session.obj_id_to_idx(1)
    mask = cv2.resize(alpha, (video.look.side,) * 2, interpolation=cv2.INTER_AREA) >= 128
    session.add_mask_inputs(number, 0, torch.from_numpy(mask)[None, None].float())
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        video._model(inference_session=session, frame_idx=0)
    for out in video._model.propagate_in_video_iterator(session, start_frame_idx=0):
        if out.frame_idx in ours:
            theirs = out.pred_masks[0, 0].clamp(-20, 20).numpy()
            assert np.abs(theirs).mean() < 15, "too flat to tell"
            assert np.abs(ours[out.frame_idx] - theirs).max() < 1e-3, out.frame_idx
    assert len(ours) == 19


def test_memory_of_a_shot_does_not_grow_with_it(videos: dict[str, Any]) -> None:
    video = videos["sam2.1-tiny"]
    sessions: list[Any] = []
    made = video._sessions

    def kept(*given: Any) -> Any:
        sessions.append(made(*given))
        return sessions[-1]

    video._sessions = kept
    try:
        for _ in video._pass(moving, {1: {0: block(20)}}, FrameRange(0, 40), backward=False):
            pass
    finally:
        del video._sessions
    outputs = sessions[0][1].output_dict_per_obj[0]["non_cond_frame_outputs"]
    assert len(outputs) <= 18 and not sessions[0][1].processed_frames


# --- by words ---------------------------------------------------------------------------------------------


def test_words_become_boxes(home: Path) -> None:
    from engine.segmentation.grounding import Finder, best_boxes, prompt_of

    found = Finder().find(picture(), "The red  bag, ball", least=0.0)
    assert found and all(0 <= x0 < x1 <= 120 and 0 <= y0 < y1 <= 90 and 0 <= s <= 1 for (x0, y0, x1, y1), s in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert prompt_of("The red  bag, ball") == "the red bag. ball."
    with pytest.raises(MethodError, match="few words"):
        prompt_of(" . ,")
    boxes = np.array([[0.5, 0.5, 0.2, 0.2], [0.51, 0.5, 0.2, 0.2], [0.2, 0.2, 0.1, 0.1], [0.9, 0.9, 0.4, 0.4]])
    best = best_boxes(boxes, np.array([0.9, 0.8, 0.1, 0.5]), (100, 200), 0.25)
    assert [one.score for one in best] == [0.9, 0.5]
    assert np.allclose(best[0].box, (80, 40, 120, 60)) and np.allclose(best[1].box, (140, 70, 200, 100))


# --- in a process of its own ------------------------------------------------------------------------------


def test_a_click_goes_to_a_warm_process_and_survives_its_death(home: Path, made: dict[str, Any]) -> None:
    one = segmenter("sam-b")
    assert isinstance(one, Remote)
    image, points = picture(), [Point(30, 40), Point(80, 60, -1)]
    alpha = one.segment(image, points, None, block(20))
    assert np.array_equal(alpha, made["sam-b"].segment(image, points, None, block(20)))
    child = process()._child
    assert child is not None
    child.kill()
    child.wait()
    key = Keyframe(0, 1, tuple(points))
    assert np.array_equal(keyframe_mask(image, key, None, block(20), one), alpha) and process()._child is not child


@pytest.mark.slow
def test_words_are_found_by_the_process_too(home: Path) -> None:
    assert isinstance(find(picture(), "the red bag", "grounding-dino-tiny"), list)
    with pytest.raises(MethodError, match="few words"):
        find(picture(), ",", "grounding-dino-tiny")


def test_what_a_model_says_comes_as_a_sentence(home: Path) -> None:
    with pytest.raises(MethodError, match="models fetch sam-h"):
        segmenter("sam-h")
    with pytest.raises(MethodError, match=r"there are: auto, graphcut, sam-b"):
        segmenter("sam9")
    assert set(BY_MODELS) <= set(MODELS) and set(segmenter_names()) == {"auto", "graphcut", *BY_MODELS}
    path = store.folder_of("sam3") / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-4])
    try:
        with pytest.raises(MethodError, match="not whole"):
            segmenter("sam3")
    finally:
        path.write_bytes(data)


def test_a_project_carries_by_the_model_that_it_names(home: Path, tmp_path: Path) -> None:
    from engine.document import acts
    from engine.editor import Editor
    from engine.progress import Progress
    from engine.rendering.render import carry, prepare_clip, spans_to_carry
    from tests.recipes import clip_in

    editor = Editor.create(tmp_path / "project", clip_in(tmp_path, 10, size=(96, 128)))
    try:
        editor.act(acts.add_subject, "Subject")
        boxes = {1: (10.0, 10.0, 50.0, 60.0), 2: (70.0, 20.0, 110.0, 80.0)}
        for subject, box in boxes.items():
            editor.act(acts.set_box, "Box", frame=4, subject=subject, box=box)
        prepare_clip(editor.material, Progress())
        ours = {span.key for span in spans_to_carry(editor.material)}
        editor.act(acts.set_trackers, "Trackers", masks="sam2.1-tiny", points="auto")
        spans = spans_to_carry(editor.material)
        assert len(spans) == 4 and not ours & {span.key for span in spans}
        carry(editor.material, spans, Progress())
        material = editor.material
        assert spans_to_carry(material) == []
        for subject in boxes:
            marked = editor.project.keyframe(4, subject)
            assert marked is not None and all(material.alpha(subject, frame) is not None for frame in range(10))
        again = {span.key for span in spans_to_carry(material) + [s for one in boxes for s in material.spans(one)]}
        editor.act(acts.set_box, "Box", frame=4, subject=2, box=(60.0, 20.0, 100.0, 80.0))
        kept = {span.key for span in editor.material.spans(1)}
        assert kept < again and len(spans_to_carry(editor.material)) == 2  # the other subject's masks stay
    finally:
        editor.close()


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam3", "grounding-dino-tiny"])
def test_check_compares_a_snapshot_with_its_class(home: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    from engine.models.check import _check_coverage, check
    from engine.progress import Progress

    verdict = check(MODELS[name], Progress())
    assert verdict.tensors > 50 and verdict.unchecked == ""
    path = store.folder_of(name) / "model.safetensors"
    data, whole = path.read_bytes(), load_file(path)
    try:
        renamed = {f"old.{key}": one for key, one in whole.items()}
        save_file(renamed, path)
        assert _check_coverage(path.parent) == ""  # as files of older libraries are
        save_file({key: one for i, (key, one) in enumerate(whole.items()) if i % 7}, path)
        with pytest.raises(MethodError, match=r"is of another model: .* tensors are missing"):
            _check_coverage(path.parent)
    finally:
        path.write_bytes(data)

"""Jobs of other programs as projects: EbSynth's (video, keys, masks), and timelines with markers as anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.commands.recipe import rate_of
from engine.document import acts
from engine.document.project import Project
from engine.editor import Editor
from engine.errors import MediaError, ProjectError, RecipeError
from engine.interchange.ebsynth import EbsProject, read_ebs, stills_of
from engine.interchange.timeline import MediaClip, read_timeline
from engine.media.images import encode_png, read_image, read_mask
from engine.media.reader import open_video
from engine.types import FrameIndex, FrameRange, Keyframe, Video

JOBS = (".ebs", ".otio")
MAX_FAMILY = 200  # .ebs files of one job: long ones are split


def is_job(path: Path) -> bool:
    """Whether a path is the file of another program's job, by its suffix."""
    return path.suffix.lower() in JOBS and path.is_file()


def import_job(path: Path, folder: Path) -> None:
    """Makes a project of the job in a new `folder`.

    Raises:
        MediaError: the file is damaged, or what it names is not there or does not fit.
    """
    (_import_ebsynth if path.suffix.lower() == ".ebs" else _import_timeline)(path, folder)


# --- EbSynth ----------------------------------------------------------------------------------------------


def _import_ebsynth(path: Path, folder: Path) -> None:
    """Keys become approved anchors, masks the locked masks of one subject; without masks the whole frame is edited."""
    family = _family(path)
    job = family[0]
    stills, keys = stills_of(job.video, path.parent), stills_of(job.keys, path.parent)
    if len(stills) < 2:
        raise MediaError(f"The video frames of {path.name} ({_last(job.video)}) are not beside it; put their folder there.")
    numbers = sorted(stills)
    frames = {number: frame for frame, number in enumerate(numbers)}
    wanted = sorted({synth.key for one in family for synth in one.synths})
    _check_keys(path, job, wanted, keys, frames)
    video = _video(stills[numbers[0]].parent, job.rate, len(numbers))
    editor = Editor.create(folder, stills[numbers[0]].parent, path.stem, video=video)
    try:
        masks = stills_of(job.masks, path.parent) if job.masks_on and job.masks else {}
        begun = _masked(editor, {frames[number]: still for number, still in masks.items() if number in frames})
        span = _span_of(family, frames, video)
        editor.commit(acts.set_range(begun, start=span.start, stop=span.stop), f"Job {path.name}")
        for number in wanted:
            _approve_key(editor, frames[number], keys[number])
    finally:
        editor.close()


def _family(path: Path) -> list[EbsProject]:
    """The file, and those beside it that carry other keys of the same video: long jobs are split into several."""
    first = read_ebs(path)
    found = [first]
    for other in sorted(path.parent.glob("*.ebs"))[:MAX_FAMILY]:
        if other.name != path.name:
            one = read_ebs(other)
            if (one.video, one.keys) == (first.video, first.keys):
                found.append(one)
    return found


def _check_keys(path: Path, job: EbsProject, wanted: list[int], keys: dict[int, Path], frames: dict[int, FrameIndex]) -> None:
    if not wanted:
        raise MediaError(f"{path.name} has no key frames; add some in EbSynth, or open the folder of frames itself.")
    lost = [number for number in wanted if number not in keys]
    if lost:
        raise MediaError(f"The key {lost[0]} of {path.name} ({_last(job.keys)}) is not beside it; put the folder of keys there.")
    strays = [number for number in wanted if number not in frames]
    if strays:
        raise MediaError(f"{path.name} has a key for frame {strays[0]}, and its video has no such frame; add the frame.")


def _video(folder: Path, rate: float, count: int) -> Video:
    with open_video(folder, rate=rate_of(rate) if 1 <= rate <= 1000 else None) as reader:
        if reader.video.frames != count:
            raise MediaError(f"The folder “{folder.name}” holds other pictures beside the video's; take them out of it.")
        return reader.video


def _masked(editor: Editor, masks: dict[FrameIndex, Path]) -> Project:
    """The document with a locked mask on every frame that has one; without any, the edit is of the whole frame."""
    project = editor.project
    if not masks:
        return acts.set_edit(project, subjects=())
    keyframes = []
    for frame in sorted(masks):
        key = editor.journal.objects.put(encode_png(read_mask(masks[frame], project.video.size)))
        keyframes.append(Keyframe(frame, project.subjects[0].id, imported=key, mask=key, locked=True))
    return replace(project, keyframes=tuple(keyframes))


def _span_of(family: Sequence[EbsProject], frames: dict[int, FrameIndex], video: Video) -> FrameRange:
    """The frames that the synths reach, as far as the clip has them."""
    named = [number for one in family for s in one.synths for number in (s.key, s.first, s.last) if number is not None]
    there = [frame for number, frame in frames.items() if min(named) <= number <= max(named)]
    return FrameRange(min(there), max(there) + 1) if there else video.span


def _approve_key(editor: Editor, frame: FrameIndex, still: Path) -> None:
    """The key as the anchor's take. Where there are masks, EbSynth shows nothing of a key outside them: it is clipped."""
    image, size = read_image(still), editor.project.video.size
    if image.shape[:2] != size:
        raise MediaError(
            f"The key “{still.name}” is {image.shape[1]}×{image.shape[0]} and the video {size[1]}×{size[0]}: "
            "EbSynth asks for equal sizes; scale the key."
        )
    take = editor.picture_take(frame, image, "imported", f"Key {still.name}")
    editor.approve(frame, take.key, outside="clip")


def _last(pattern: str) -> str:
    return "/".join(pattern.replace("\\", "/").split("/")[-2:])[:80]


# --- timelines --------------------------------------------------------------------------------------------


def _import_timeline(path: Path, folder: Path) -> None:
    """The first clip of the timeline: markers on it become anchors, the part that is used the in–out range."""
    clips = read_timeline(path)
    media = clips[0].path(path.parent)
    same = [one for one in clips if one.target == clips[0].target]
    with open_video(media) as reader:
        video = reader.video
    others = len({one.target for one in clips}) - 1
    if others:
        said = f"{path.name} holds {others} more clip{'s' * (others > 1)} of other media; the first one was opened."
        video = replace(video, warnings=(*video.warnings, said))
    editor = Editor.create(folder, media, video=video)
    try:
        editor.commit(_with_clips(editor.project, same), f"Timeline {path.name}")
    finally:
        editor.close()


def take_markers(editor: Editor, path: Path) -> str:
    """Markers and ranges of a timeline's clip into the project on the same clip; anchors that are there stay.

    Returns what was done. Raises MediaError, ProjectError: no such clip in the timeline, or nothing new on it.
    """
    clips, name = read_timeline(path), Path(editor.project.video.path).name
    same = [one for one in clips if _name_of(one) == name] or (clips if len({one.target for one in clips}) == 1 else [])
    if not same:
        raise MediaError(f"{path.name} holds several clips and none is called {name}; rename one, or open the timeline itself.")
    before = editor.project
    after = _with_clips(before, same)
    new = len(after.edit.anchors) - len(before.edit.anchors)
    if after is before or (not new and after.range == before.range):
        raise ProjectError(f"{path.name} says nothing new: its markers are anchors already and the range is the same.")
    editor.commit(after, f"Markers of {path.name}")
    return f"{new} anchor{'s' * (new != 1)} from {path.name}; the range is {after.range.start} to {after.range.stop - 1}."


def _name_of(clip: MediaClip) -> str:
    from urllib.parse import unquote

    return Path(unquote(clip.target).replace("\\", "/").rstrip("/")).name


def _with_clips(project: Project, clips: Sequence[MediaClip]) -> Project:
    """The document with an anchor for every marker, and the range that the clips use together."""
    video = project.video
    starts, stops = [_frame_at(video, one.start) for one in clips], [_frame_at(video, one.stop) for one in clips]
    start, stop = max(0, min(starts)), min(video.frames, max(stops))
    if start >= stop:
        raise MediaError("The timeline uses a part that the clip does not have; is it another clip of that name?")
    marked = {_frame_at(video, mark.at) for one in clips for mark in one.marks}
    try:
        project = acts.set_range(project, start=start, stop=stop)
    except RecipeError as error:
        raise MediaError(f"The timeline's range does not fit the clip: {error}") from error
    return acts.add_anchors(project, frames=sorted(frame for frame in marked if 0 <= frame < video.frames))


def _frame_at(video: Video, seconds: float) -> FrameIndex:
    """The frame that begins there or next, half a frame early counts; the number of frames for the end."""
    times = video.seconds()
    return int(np.searchsorted(times, seconds - 0.5 / float(video.rate))) if seconds > 0 else 0

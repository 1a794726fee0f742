"""Segments rendered by workers on Ray: one on every GPU, or on every core, of this machine or of a cluster.

Every worker has one segment at a time. One that dies, or whose machine does, gives its segment back, and another takes
its place; after three deaths over one segment the run ends and says so. Which segments are done is known by their keys in
the project's cache, so a run whose driver was killed goes on where it was.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.device import chosen_device, workers
from engine.errors import MediaError, MethodError
from engine.methods import card
from engine.methods.base import Segment
from engine.progress import Progress, Step
from engine.rendering.cluster import files
from engine.rendering.cluster.connect import connected
from engine.rendering.cluster.worker import INCOMING, MADE, Hello, Order, Worker, deliver, make
from engine.rendering.executors import GRACE, MAX_ATTEMPTS, SegmentTask
from engine.rendering.material import Material
from engine.rendering.segments import MaskSpan
from engine.store.clips import find_clip, mark_of

LOOK_EVERY = 0.25  # seconds between two questions to one worker how far it is
COUNT_EVERY = 2.0  # seconds between two looks at what the cluster has
TALKERS = 4  # threads that send files to nodes and fetch segments from them
APPEARS = 60.0  # seconds that a shared folder may take to show what another machine has put there


class RayExecutor:
    """Segments on Ray: a cluster at `address` (host:port), or the cores and GPUs of this machine.

    Raises MethodError where Ray is missing or does not let us in, and what a segment raised.
    """

    def __init__(self, address: str = "") -> None:
        """`turns`: for every segment of the last run, seconds until its worker had answered, and those of rendering in it."""
        self._address = address
        self.turns: list[tuple[float, float]] = []

    def run(self, tasks: list[SegmentTask], material: Material, progress: Progress) -> None:
        if not tasks:
            return
        step = progress.part("Propagating", sum(len_of(task.segment) for task in tasks))
        progress.check()
        with connected(self._address) as ray:
            run = _Run(ray, [task.segment for task in tasks], material, step)
            self.turns = run.turns
            run.go()


def len_of(segment: Segment) -> int:
    return segment.stop - segment.start


@dataclass(eq=False)
class _Hand:
    """A worker as it is seen from here. `answer`: what it is busy with; `look`: a question how far it is."""

    actor: Any
    answer: Any
    hello: Hello | None = None
    ready: bool = False
    segment: Segment | None = None
    began: float = 0.0
    done: int = 0
    look: Any = None
    looked: float = 0.0


@dataclass(eq=False)
class _Run:
    ray: ModuleType
    segments: list[Segment]
    material: Material
    step: Step
    crew: list[_Hand] = field(default_factory=list)
    turns: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = deque(self.segments)
        self._total, self._done = sum(map(len_of, self.segments)), 0
        self._deaths: Counter[int] = Counter()
        self._stillborn = 0
        self._threads = ThreadPoolExecutor(TALKERS)
        self._talks: dict[Future[None], tuple[_Hand, Segment | None]] = {}
        self._filling: dict[str, list[_Hand]] = {}
        self._filled: set[str] = set()
        self._counted, self._places = 0.0, 0
        self._witness = self.material.workspace.cache / f"witness-{uuid.uuid4().hex[:8]}"

    def go(self) -> None:
        _sweep(self.material)
        self._witness.write_text(self._witness.name, "utf-8")
        self._order = _order(self.material, self._witness)
        self._by_gpu = self._order.device != "cpu" and uses_models(self.material) and self._resource("GPU") >= 1
        try:
            while self._left or self._talks or any(hand.segment for hand in self.crew):
                self._staff()
                self._assign()
                self._listen()
                self.step(min(self._total, self._done + sum(hand.done for hand in self.crew)), self._total)
        except BaseException:
            self._stop()
            raise
        finally:
            for hand in self.crew:
                self.ray.kill(hand.actor)
            self._threads.shutdown(cancel_futures=True)
            self._witness.unlink(missing_ok=True)
            _sweep(self.material)

    # --- who works ---------------------------------------------------------------------------------------------

    def _resource(self, name: str) -> float:
        return self.ray.cluster_resources().get(name, 0.0)

    def _room(self) -> int:
        """How many workers the cluster has room for, looked up now and then: machines come and go."""
        if time.monotonic() - self._counted > COUNT_EVERY:
            self._counted = time.monotonic()
            alive = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            each, name = (1, "GPU") if self._by_gpu else (self._order.threads, "CPU")
            self._places = sum(int(node.get(name, 0) // each) for node in alive)
            if not self._places:
                raise MethodError("The cluster has no machine with enough cores for a worker; let one join (launch.py node).")
        return self._places

    def _staff(self) -> None:
        busy = sum(hand.segment is not None for hand in self.crew)
        for _ in range(min(self._room(), len(self._left) + busy) - len(self.crew)):
            options = {"num_gpus": 1, "num_cpus": 1} if self._by_gpu else {"num_cpus": self._order.threads}
            remote = self.ray.remote(concurrency_groups={"talk": 2}, max_restarts=0, **options)(Worker)
            actor = remote.remote(self._order)
            self.crew.append(_Hand(actor, actor.hello.remote()))

    def _assign(self) -> None:
        for hand in self.crew:
            if not self._left:
                return
            if hand.ready and hand.answer is None:
                hand.segment, hand.done, hand.began = self._left.popleft(), 0, time.monotonic()
                hand.answer = hand.actor.render.remote(hand.segment)

    # --- what they say -----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Waits a moment for answers and takes them in."""
        now = time.monotonic()
        for hand in self.crew:
            if hand.segment and hand.look is None and now - hand.looked > LOOK_EVERY:
                hand.looked, hand.look = now, self._talk(hand, "look", False)
        waiting = {ref: hand for hand in self.crew for ref in (hand.answer, hand.look) if ref is not None}
        found: list[Any] = []
        if waiting:
            found, _ = self.ray.wait(list(waiting), num_returns=1, timeout=0.1)
        else:
            time.sleep(0.02)
        for ref in found:
            if waiting[ref] in self.crew:
                self._heard(waiting[ref], ref)
        for talk in [talk for talk in self._talks if talk.done()]:
            self._talked(talk)

    def _talk(self, hand: _Hand, what: str, *arguments: Any) -> Any:
        return getattr(hand.actor, what).options(concurrency_group="talk").remote(*arguments)

    def _heard(self, hand: _Hand, ref: Any) -> None:
        try:
            said = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except self.ray.exceptions.RayError as error:
            self._lost(hand, error)
            return
        if ref == hand.look:
            hand.look, hand.done = None, said
        elif isinstance(said, Hello):
            hand.answer, hand.hello = None, said
            self._welcome(hand, said)
        else:
            segment, hand.segment, hand.answer, hand.done = hand.segment, None, None, 0
            assert segment is not None
            key, seconds = said
            self.turns.append((time.monotonic() - hand.began, seconds))
            self._bring(hand, segment, key)

    def _welcome(self, hand: _Hand, hello: Hello) -> None:
        """A worker that has started: it must be of our make, and its node must have what it reads."""
        other = [name for name, value in make().items() if hello.make.get(name) != value]
        if other:
            raise MethodError(
                f"{hello.host} has another {other[0]} than this machine, so its frames could differ: "
                "install the same there, or take it out of the cluster."
            )
        self._stillborn = 0
        if (hello.shared and hello.clip) or hello.node in self._filled:
            hand.ready = True
        elif hello.node in self._filling:
            self._filling[hello.node].append(hand)
        else:
            self._filling[hello.node] = []
            self._begin_talk(hand, None, lambda: self._fill(hand, hello))

    def _lost(self, hand: _Hand, error: Exception) -> None:
        """A worker has died: its segment goes back, at most three times."""
        self.crew.remove(hand)
        self._counted = 0.0
        if hand.segment is None:
            self._stillborn += not hand.ready
            if self._stillborn >= MAX_ATTEMPTS:
                said = str(error).strip().splitlines()[-1][:200]
                raise MethodError(f"Workers on Ray end as soon as they start ({said}); start Ray from Anchorline's folder.")
            return
        self._give_back(hand.segment)

    def _give_back(self, segment: Segment) -> None:
        self._deaths[segment.index] += 1
        if self._deaths[segment.index] >= MAX_ATTEMPTS:
            raise MethodError(
                f"Workers died {MAX_ATTEMPTS} times over frames {segment.start}–{segment.stop - 1}, probably out of memory; "
                "what was finished is kept: run again with --executor serial."
            )
        self._left.appendleft(segment)

    # --- what travels ------------------------------------------------------------------------------------------

    def _begin_talk(self, hand: _Hand, segment: Segment | None, work: Callable[[], None]) -> None:
        self._talks[self._threads.submit(work)] = hand, segment

    def _talked(self, talk: Future[None]) -> None:
        hand, segment = self._talks.pop(talk)
        try:
            talk.result()
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except self.ray.exceptions.RayError as error:  # it died meanwhile
            if segment is not None:
                self._give_back(segment)
            if hand in self.crew:
                self._lost(hand, error)
        else:
            self._done += 0 if segment is None else len_of(segment)
            hand.ready = True
            if segment is None and hand.hello:
                self._filled.add(hand.hello.node)
        if segment is None and hand.hello:
            for waiting in self._filling.pop(hand.hello.node):
                if waiting in self.crew and waiting.hello:
                    self._welcome(waiting, waiting.hello)

    def _fill(self, hand: _Hand, hello: Hello) -> None:
        """Sends a node what it lacks, once for all of its workers."""
        keys = [span.key for span in _mask_spans(self.material)]
        own = files.clip_name(self.material.project.video.digest)
        places = {
            name: path for name, path in files.needed(self.material, keys).items() if not hello.shared or name.startswith(own)
        }
        for one in self.ray.get(self._talk(hand, "lacking", files.wanted(places))):
            with open(places[one.name], "rb") as file:
                offset, data = 0, file.read(files.PIECE)
                while data or offset == 0:
                    self.ray.get(self._talk(hand, "take", one, offset, data, self._witness.name))
                    offset += max(1, len(data))
                    data = file.read(files.PIECE)

    def _bring(self, hand: _Hand, segment: Segment, key: str) -> None:
        """Takes a finished segment in: it lies in our cache, will appear there, or is fetched."""
        if self.material.is_done(segment):
            self._done += len_of(segment)
        elif hand.hello and hand.hello.shared:
            self._begin_talk(hand, segment, lambda: self._appeared(segment))
        else:
            self._begin_talk(hand, segment, lambda: self._fetched(hand, segment, key))

    def _appeared(self, segment: Segment) -> None:
        until = time.monotonic() + APPEARS
        parent = self.material.workspace.segment("any").parent
        while not self.material.is_done(segment):
            list(parent.iterdir())  # makes a network's folder look again
            if time.monotonic() > until:
                raise MediaError("The shared folder does not show what another machine put there; check that all mount it alike.")
            time.sleep(0.1)

    def _fetched(self, hand: _Hand, segment: Segment, key: str) -> None:
        if key != self.material.key_of(segment):
            raise MethodError("A worker of the cluster sees another version of this project; run it again.")
        with self.material.workspace.scratch() as scratch:
            made = scratch / "made"
            made.mkdir()
            for name in MADE:
                self._fetch(hand, key, name, made / name)
            deliver(made, self.material.workspace.segment(key))

    def _fetch(self, hand: _Hand, key: str, name: str, to: Path) -> None:
        with open(to, "wb") as file:
            while data := self.ray.get(self._talk(hand, "piece", key, name, file.tell())):
                file.write(data)

    # --- the end -----------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Asks all to stop at their next step; who is deep in one call is killed."""
        for talk in self._talks:
            talk.cancel()
        busy = [hand for hand in self.crew if hand.segment]
        for hand in busy:
            self._talk(hand, "look", True)
        if busy:
            self.ray.wait([hand.answer for hand in busy], num_returns=len(busy), timeout=GRACE)


def uses_models(material: Material) -> bool:
    """Whether some of it is made by a model: then a worker gains by a GPU, or by several cores."""
    return any(card(material.of(segment).project.edit.method).texts for segment in material.segments)


def _threads(material: Material) -> int:
    """How many threads a worker uses: as many as this process would, for the same bytes."""
    if not uses_models(material):
        return 1
    import torch

    return min(torch.get_num_threads(), workers())


def _order(material: Material, witness: Path) -> Order:
    clip = find_clip(material.workspace, material.project.video)
    return Order(
        folder=material.workspace.folder.resolve(),
        project=material.project,
        witness=(witness.relative_to(material.workspace.folder).as_posix(), witness.name),
        clip=clip.resolve(),
        mark=mark_of(clip),
        device="cpu" if chosen_device() == "cpu" else "",
        threads=_threads(material),
        window=material.window,
    )


def _mask_spans(material: Material) -> list[MaskSpan]:
    from engine.rendering.render import spans_of

    return spans_of(material, material.segments)


def _sweep(material: Material) -> None:
    """Takes away what killed workers had half put into the cache. Only who holds the project's work lock may do so."""
    for left in material.workspace.segment("any").parent.glob(f"{INCOMING}*"):
        shutil.rmtree(left, ignore_errors=True)

"""`python -m tests.bench [NAME] [options]`: runs one benchmark (`python launch.py bench` does this)."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from tests.bench.harness import main


def _end(number: int, frame: FrameType | None) -> None:
    """A polite kill ends like Ctrl+C, so that servers and temporary files go too."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("Cancelled.", file=sys.stderr)
        sys.exit(130)

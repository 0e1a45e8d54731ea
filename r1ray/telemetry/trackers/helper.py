"""The process that feeds one tracker: ``python -m r1ray.telemetry.trackers.helper RUN_DIR NAME SETTINGS``.

It ends once its standard input does, which the driver closes, or loses with its life; and at the latest
``tracking.end_s`` after that.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from r1ray.config import TrackingConfig
from r1ray.runtime import activity, own_process
from r1ray.telemetry.trackers.follower import Follower
from r1ray.telemetry.trackers.needs import made
from r1ray.telemetry.trackers.sent import Sent
from r1ray.telemetry.trackers.tracker import Place

LOOK_S = 1.0
NICE = 5
"""The processes that make the run go first."""
SLACK_S = 5.0


def main() -> None:
    """Feed the tracker until the driver has no more."""
    run_dir, name, settings = Path(sys.argv[1]), sys.argv[2], TrackingConfig(**json.loads(sys.argv[3]))
    own_process.join()
    os.nice(NICE)
    activity.idle_means("lines of metrics.jsonl")
    over = threading.Event()
    threading.Thread(target=_await_end, args=(over, settings.end_s), daemon=True).start()
    place = Place(run_dir, settings)
    feed(Follower(made(name, place), Sent(run_dir, name), place), over)


def feed(follower: Follower, over: threading.Event) -> None:
    """Look again and again, and once more when it is over."""
    is_last = False
    while not is_last:
        is_last = over.is_set()
        while follower.look():
            pass
        over.wait(LOOK_S)
    follower.end()


def _await_end(over: threading.Event, end_s: float) -> None:
    os.read(0, 1)
    over.set()
    threading.Event().wait(end_s + SLACK_S)
    os._exit(1)  # a library that waits for a server cannot be told to stop


if __name__ == "__main__":
    main()

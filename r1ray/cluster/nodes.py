"""``python -m r1ray.cluster.nodes COUNT SECONDS``: wait until the cluster at RAY_ADDRESS has so many nodes.

For scripts that start the nodes. Ends with 1, and says how many are there, where they do not come in time.
"""

from __future__ import annotations

import os
import sys
import time

import ray
from ray.exceptions import RayError

from r1ray.cluster.placement import nodes_of_cluster
from r1ray.cluster.reachable import why_unreachable


def wait_for_nodes(count: int, timeout_s: float) -> int:
    """How many nodes are alive once there are ``count``, or when the time is up; 0 where there is no cluster."""
    deadline, alive, address = time.monotonic() + timeout_s, 0, os.environ["RAY_ADDRESS"]
    while alive < count and time.monotonic() < deadline:
        if why_unreachable(address, timeout_s=5.0):  # its first node is not there yet
            time.sleep(1.0)
            continue
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            while (alive := len(nodes_of_cluster())) < count and time.monotonic() < deadline:
                time.sleep(1.0)
        except (OSError, RuntimeError, RayError):  # it is there, but not ready
            time.sleep(1.0)
        finally:
            ray.shutdown()
    return alive


if __name__ == "__main__":
    wanted, seconds = int(sys.argv[1]), float(sys.argv[2])
    found = wait_for_nodes(wanted, seconds)
    if found < wanted:
        sys.exit(f"{found} of {wanted} nodes joined the Ray cluster at {os.environ['RAY_ADDRESS']} in {seconds:g} s")

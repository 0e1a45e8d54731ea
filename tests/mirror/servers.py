"""Real servers of object stores on this machine, each with one bucket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree

from tests.tools import path_of

BUCKET = "bucket"
ROOT = Path(__file__).parents[2]
PORTS = ("master", "volume", "filer", "s3")
START_S = 60.0


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run SeaweedFS on free ports, its data in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(PORTS, free_ports(2 * len(PORTS))[::2], strict=True))
    server = S3Server(folder, ports)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class S3Server:
    """One SeaweedFS, without users: whoever asks may do everything."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self._folder, self._ports = folder, ports
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{ports['s3']}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start it, and return when the bucket is there."""
        weed = path_of("weed")
        assert weed is not None
        ports = [f"-{name}.port={port}" for name, port in self._ports.items()]
        command = [
            *(weed, "-logtostderr=false", f"-logdir={self._folder}", "server", f"-dir={self._folder}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.electionTimeout=1s"),
            *(
                "-s3",
                "-s3.iam=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-volume.max=20",
                "-master.volumeSizeLimitMB=64",
            ),
            *ports,
        ]
        # Credentials in its environment would be those of its only user.
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=own)
        deadline = time.monotonic() + START_S
        while not self._has_bucket():
            assert self._process.poll() is None and time.monotonic() < deadline, "SeaweedFS does not start"
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill it: SIGTERM takes it more than ten seconds."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        for kind, port in self._ports.items():
            for name in (f"seaweedfs-{kind}-{port}.sock", f"seaweedfs-{kind}-grpc-{port + 10000}.sock"):
                with suppress(OSError):
                    Path("/tmp", name).unlink()

    def unfinished(self) -> list[str]:
        """Return the keys of multipart uploads that were begun and not ended."""
        with urllib.request.urlopen(f"{self.url}/{BUCKET}?uploads", timeout=10) as answer:
            root = ElementTree.fromstring(answer.read())
        return [element.text or "" for element in root.iter() if element.tag.endswith("}Key")]

    def _has_bucket(self) -> bool:
        try:
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT"), timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code == 409
        except OSError:
            return False
        return True


def free_ports(number: int) -> list[int]:
    """Return ports that nothing listens on, and below which SeaweedFS finds its others (10,000 higher) free too."""
    sockets: list[socket.socket] = []
    found: list[int] = []
    for port in range(20000 + (time.monotonic_ns() // 1000) % 20000, 65535 - 10000):
        pair = [socket.socket(), socket.socket()]
        try:
            for offset, each in zip((0, 10000), pair, strict=True):
                each.bind(("127.0.0.1", port + offset))
        except OSError:
            for each in pair:
                each.close()
            continue
        sockets += pair
        found.append(port)
        if len(found) == number:
            break
    for each in sockets:
        each.close()
    return found


@contextmanager
def gcs_server() -> Iterator[dict[str, str]]:
    """Run the emulator of Google Cloud Storage; yields what clients need in their environment."""
    (port,) = free_ports(1)
    key = {"gcs_base_url": f"http://127.0.0.1:{port}", "disable_oauth": True}
    account = {**key, "client_email": "", "private_key": "", "private_key_id": ""}
    process = subprocess.Popen([sys.executable, "-m", "tests.mirror.gcs_emulator", str(port)], cwd=ROOT)
    try:
        deadline = time.monotonic() + START_S
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            assert process.poll() is None and time.monotonic() < deadline, "the emulator does not start"
            time.sleep(0.1)
        yield {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}
    finally:
        process.kill()
        process.wait()

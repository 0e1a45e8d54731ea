"""A Slurm cluster for tests: Debian's own daemons on machines of :mod:`tests.real.machines`.

The first machine has the controller and a compute node, the others a compute node each. All state lies in the
network's folder, and the daemons end with their machines: nothing of the host's own Slurm or munge is touched.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.real.machines import DEADLINE_S, NAMESPACES, Machine, Network
from tests.real.running import wait_until

TOOLS = (*NAMESPACES, "munged", "slurmctld", "slurmd")
CONF = """
ClusterName=test
SlurmctldHost={head}({address})
SlurmUser=root
AuthType=auth/munge
# A job that is queued again waits for as long as credentials live.
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=1
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""


class Slurm:
    """A running cluster."""

    def __init__(self, network: Network) -> None:
        """
        Args:
            network: without machines yet.
        """
        self.folder = network.folder / "slurm"
        self._network, self._daemons = network, list[subprocess.Popen[str]]()
        self._env = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def begin(self, *names: str) -> None:
        """Start the daemons, and return once every node waits for jobs. Raises NotPermitted."""
        machines = [self._network.machine(name) for name in names]
        self._head = machines[0]
        (self.folder / "state").mkdir(parents=True)
        text = CONF.format(head=self._head.name, address=self._head.address, folder=self.folder)
        nodes = [f"NodeName={each.name} NodeAddr={each.address} CPUs=2 State=UNKNOWN" for each in machines]
        (self.folder / "slurm.conf").write_text("\n".join([text, *nodes, ""]))
        munge = self.folder / "munge"
        munge.mkdir()
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o400)
        files = [f"--key-file={munge / 'key'}", *(f"--{each}-file={munge / each}" for each in ("seed", "log", "pid"))]
        self._start(self._head, "munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files)
        wait_until((munge / "socket").exists, timeout_s=DEADLINE_S, what="munged's socket")
        self._start(self._head, "slurmctld", "-D")
        for machine in machines:
            self._start(machine, "slurmd", "-D", "-N", machine.name)
        all_idle = f"{len(names)} idle"
        wait_until(lambda: self.ask("sinfo", "-h", "-o", "%D %t") == all_idle, timeout_s=DEADLINE_S, what=all_idle)

    def _start(self, machine: Machine, *command: str) -> None:
        with (self.folder / f"{command[0]}.{machine.name}.err").open("w") as errors:
            quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}
            self._daemons.append(machine.start(*command, cwd=self.folder, env=self._env, **quiet))

    def close(self) -> None:
        """End the machines, and all that runs there."""
        self._network.close()
        for daemon in self._daemons:
            daemon.wait(timeout=DEADLINE_S)

    def ask(self, *command: str, cwd: Path = Path("/"), **env: str) -> str:
        """Run a command on the head; return what it printed, both streams."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = self._head.start(*command, cwd=cwd, env=self._env | env, **pipes)
        printed, _ = process.communicate(timeout=DEADLINE_S)
        return str(printed).strip()

    def state(self, job: str) -> str:
        """Return a job's state: PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, ..."""
        return self.ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")

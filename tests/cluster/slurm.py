"""A SLURM of two nodes on the loopback: munge, a controller and two node daemons of Debian's packages, in a directory.

Each node offers one GPU, which is /dev/null, so that a profile that asks for a GPU is tried as it is.
"""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

NODES = ("n1", "n2")
PARTITION = "loop"
DAEMONS = ("munged", "slurmctld", "slurmd")
# Where Debian puts daemons, which is not on everybody's path.
_SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_PATIENCE_S = 300
# Without cgroups and accounting, which containers and machines without a data base have not.
_CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool-%n
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/%n.pid
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={here}/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=1
ReturnToService=2
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=4000 Gres=gpu:1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=4000 Gres=gpu:1
PartitionName={partition} Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """What stands in the way of a SLURM here, or ""."""
    absent = [name for name in DAEMONS if not shutil.which(name, path=_SEARCHED)]
    if absent:
        return f"no {', '.join(absent)} (Debian: apt install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons need root"


class Slurm:
    """A running SLURM.

    directory: of its logs; jobs.txt has a line for each job that ended. environment: to reach it by its commands.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        conf = directory / "slurm.conf"
        # Snakemake's plugin calls srun without any SLURM_ variable, so that it would look for the file in /etc.
        srun = directory / "bin" / "srun"
        srun.parent.mkdir()
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        path = os.pathsep.join([str(srun.parent), os.environ.get("PATH", "")])
        self.environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": path}

    def ask(self, *command: str, check: bool = False) -> str:
        """What a command of SLURM says."""
        return subprocess.run(
            command, env=self.environment, check=check, capture_output=True, text=True, timeout=_PATIENCE_S
        ).stdout

    def running(self) -> dict[str, tuple[str, str]]:
        """Number and node of each running job, by its comment, in which Snakemake writes rule and run."""
        lines = self.ask("squeue", "--noheader", "--states=RUNNING", "--format=%k|%i|%N", check=True).splitlines()
        return {comment: (number, node) for comment, number, node in (line.split("|") for line in lines)}

    def ended(self) -> list[dict[str, str]]:
        """What SLURM recorded of each job that ended: JobId, JobState, NodeList, SubmitTime, StartTime and more."""
        lines = (self.directory / "jobs.txt").read_text().splitlines()
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]


@contextmanager
def loopback_slurm(directory: Path) -> Iterator[Slurm]:
    """Start SLURM with its files in ``directory``, and stop all of it at the end, jobs included."""
    host = socket.gethostname().split(".")[0]
    (directory / "state").mkdir(parents=True)
    # Munge refuses a key that others can read.
    key = directory / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    munge = directory / "munge.socket"
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [each.getsockname()[1] for each in sockets]
    conf = _CONF.format(
        host=host, here=directory, user=getpass.getuser(), ports=ports, socket=munge, partition=PARTITION
    )
    (directory / "slurm.conf").write_text(conf)
    (directory / "gres.conf").write_text("NodeName=n[1-2] Name=gpu File=/dev/null\n")
    slurm = Slurm(directory)
    with ExitStack() as stack:
        files = [f"--{name}-file={directory / f'munge.{name}'}" for name in ("key", "log", "pid", "seed")]
        _start(stack, slurm, "munged", "--foreground", "--force", f"--socket={munge}", *files)
        wait(munge.exists, "munge", directory)
        _start(stack, slurm, "slurmctld", "-D")
        wait(lambda: "UP" in slurm.ask("scontrol", "ping"), "slurmctld", directory)
        for node in NODES:
            _start(stack, slurm, "slurmd", "-D", "-N", node)
        wait(lambda: slurm.ask("sinfo", "-hN", "-o", "%T").split() == ["idle"] * len(NODES), "nodes", directory)
        try:
            yield slurm
        finally:
            # Only then: daemons that end leave the processes of their jobs behind.
            slurm.ask("scancel", f"--partition={PARTITION}")
            wait(lambda: not slurm.ask("squeue", "--noheader"), "the end of all jobs", directory)


def _start(stack: ExitStack, slurm: Slurm, name: str, *options: str) -> None:
    daemon = shutil.which(name, path=_SEARCHED)
    assert daemon is not None
    out = stack.enter_context((slurm.directory / "daemons.log").open("ab"))
    process = subprocess.Popen([daemon, *options], env=slurm.environment, stdout=out, stderr=out)
    stack.callback(process.wait)
    stack.callback(process.kill)


def wait(ready: Callable[[], bool], what: str, directory: Path) -> None:
    """Wait until something is ready; the logs in ``directory`` say why it is not."""
    until = time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > until:
            logs = "\n".join(f"{log}:\n{log.read_text(errors='replace')[-2000:]}" for log in directory.glob("*.log"))
            raise TimeoutError(f"{what}: waited in vain.\n{logs}")
        time.sleep(0.2)

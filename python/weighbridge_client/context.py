"""Where this process stands in its job: attempt, rank and world size, as the launcher says them in the environment.

All of it is the launcher's claim. Knows torchrun, Slurm, Kubernetes (indexed jobs), Ray and Open MPI. Does not know any of
their libraries.
"""
import hashlib
import os


class Context:
    """Attempt, rank and what else the launcher says."""

    __slots__ = ("launcher", "attempt", "rank", "local_rank", "world_size", "job")

    def __init__(self, launcher, attempt=0, rank=0, local_rank=0, world_size=1, job=""):
        self.launcher, self.attempt, self.rank = launcher, attempt, rank
        self.local_rank, self.world_size, self.job = local_rank, world_size, job

    def __repr__(self):
        rows = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Context({rows})"


# (launcher, the variable that shows it, attempt, rank, local rank, world size, job)
LAUNCHERS = (
    ("torchrun", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "RANK", "LOCAL_RANK", "WORLD_SIZE",
     "TORCHELASTIC_RUN_ID"),
    ("torch", "WORLD_SIZE", "WEIGHBRIDGE_ATTEMPT", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"),
    ("slurm", "SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_JOB_ID"),
    ("openmpi", "OMPI_COMM_WORLD_RANK", "WEIGHBRIDGE_ATTEMPT", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_SIZE", "PMIX_NAMESPACE"),
    ("kubernetes", "JOB_COMPLETION_INDEX", "WEIGHBRIDGE_ATTEMPT", "JOB_COMPLETION_INDEX", "LOCAL_RANK", "WORLD_SIZE",
     "HOSTNAME"),
    ("ray", "RAY_JOB_ID", "WEIGHBRIDGE_ATTEMPT", "RANK", "LOCAL_RANK", "WORLD_SIZE", "RAY_JOB_ID"),
)


def detect(environment=None):
    """The first launcher that shows; `WEIGHBRIDGE_ATTEMPT` and `WEIGHBRIDGE_RANK` overrule it."""
    environment = os.environ if environment is None else environment
    found = Context("none")
    for launcher, shows, attempt, rank, local_rank, world_size, job in LAUNCHERS:
        if shows in environment:
            found = Context(
                launcher,
                number(environment, attempt, 0, 0xFFFF),
                number(environment, rank, 0, 0xFFFFFFFF),
                number(environment, local_rank, 0, 0xFFFFFFFF),
                number(environment, world_size, 1, 0xFFFFFFFF),
                environment.get(job, ""),
            )
            break
    found.attempt = number(environment, "WEIGHBRIDGE_ATTEMPT", found.attempt, 0xFFFF)
    found.rank = number(environment, "WEIGHBRIDGE_RANK", found.rank, 0xFFFFFFFF)
    return found


def number(environment, name, otherwise, most):
    """A launcher's odd value is no reason to stop a training: it counts as not said."""
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most else otherwise


def process_name(context):
    """A short file name for this process's spool, the same after a restart of the job: what the last attempt could not
    deliver, the next one does."""
    key = f"{context.job}/{context.rank}".encode()
    return f"rank-{context.rank}-{hashlib.sha256(key).hexdigest()[:16]}"

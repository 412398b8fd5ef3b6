"""Reports of a training job to weighbridged: steps, declared work, checkpoints. Never makes the training wait and never
raises. Reports wait in a queue, then in a spool on disk; what fits in neither is counted, and the daemon marks the interval
as a gap.

    reporter = Reporter()
    for step, batch in enumerate(batches):
        ...
        reporter.step(step, flop=6 * parameters * tokens)
        if step % 1000 == 0:
            save_file(model.state_dict(), path)
            reporter.checkpoint(step, [path])

The environment says the rest: WEIGHBRIDGE_SOCKET, WEIGHBRIDGE_SPOOL (a folder; empty for none), WEIGHBRIDGE_ATTEMPT,
WEIGHBRIDGE_RANK, WEIGHBRIDGE_FLOP_PER_STEP.
"""
import atexit
import os
import sys
import tempfile

from weighbridge_client.context import detect, process_name
from weighbridge_client.lane import Lane
from weighbridge_client.spool import DEFAULT_LIMIT, Spool
from weighbridge_client.wire import DEFAULT_SOCKET, Wire

# A large checkpoint is hashed for hours at the daemon's polite pace.
CHECKPOINT_SECONDS = 24 * 3600.0


class Reporter:
    """One process of a job."""

    def __init__(self, socket=None, spool=None, context=None, environment=None, queue_size=4096, spool_bytes=DEFAULT_LIMIT):
        environment = os.environ if environment is None else environment
        self.context = detect(environment) if context is None else context
        self.flop_per_step = self.number(environment.get("WEIGHBRIDGE_FLOP_PER_STEP"))
        path = socket or environment.get("WEIGHBRIDGE_SOCKET") or DEFAULT_SOCKET
        folder = environment.get("WEIGHBRIDGE_SPOOL", default_spool()) if spool is None else spool
        rank = self.context.rank
        self.reports = Lane(Wire(path), self.spool(folder, "reports", spool_bytes), rank, queue_size)
        self.checkpoints = Lane(Wire(path), self.spool(folder, "checkpoints", spool_bytes), rank, 256, CHECKPOINT_SECONDS)
        atexit.register(self.close)

    def step(self, step, flop=None, micro_batch=0):
        """An optimizer step is done; with its FLOP, if the job declares them. True if the report is on its way."""
        try:
            flop = self.flop_per_step if flop is None else self.number(flop)
            attempt, step = self.context.attempt, int(step)
            told = self.reports.put("/v1/step", {"attempt": attempt, "step": step})
            if flop is not None:
                told = self.work_unit(step, flop, micro_batch) and told
            return told
        except Exception as error:  # noqa: BLE001: no error of a report reaches the training
            return self.complain(error)

    def work_unit(self, step, flop, micro_batch=0):
        """A micro-batch of a step is done; its FLOP as the committed rules count them."""
        try:
            message = {"attempt": self.context.attempt, "step": int(step), "rank": self.context.rank,
                       "micro_batch": int(micro_batch), "flop": str(int(flop))}
            return self.reports.put("/v1/work-unit", message)
        except Exception as error:  # noqa: BLE001
            return self.complain(error)

    def checkpoint(self, step, files):
        """A checkpoint is written completely: its safetensors files. The daemon reads them itself, later."""
        try:
            # Links are resolved here: the daemon follows none.
            files = [os.path.realpath(os.fspath(file)) for file in files]
            message = {"attempt": self.context.attempt, "step": int(step), "files": files}
            return self.checkpoints.put("/v1/checkpoint", message)
        except Exception as error:  # noqa: BLE001
            return self.complain(error)

    def close(self, seconds=5.0):
        """Waits so long for what is queued; the rest stays in the spool. Called at the end of the process by itself."""
        try:
            atexit.unregister(self.close)
            self.reports.close(seconds)
            self.checkpoints.close(seconds)
        except Exception as error:  # noqa: BLE001
            self.complain(error)

    def spool(self, folder, kind, limit):
        if not folder:
            return None
        try:
            return Spool(os.fspath(folder), f"{kind}-{process_name(self.context)}", limit)
        except OSError as error:
            self.complain(error)
            return None

    @staticmethod
    def number(flop):
        return None if flop in (None, "") else int(flop)

    @staticmethod
    def complain(error):
        print(f"weighbridge: {error!r}", file=sys.stderr)
        return False


def default_spool():
    return os.path.join(tempfile.gettempdir(), f"weighbridge-spool-{os.getuid()}")

"""Reports: order, spool, gaps, and that the training never waits. The daemon here is a stub of these tests; the real one is
met by tests/scenarios/daemon/client.rs."""
import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from weighbridge_client import context, lane, loops  # noqa: E402
from weighbridge_client.reporter import Reporter  # noqa: E402
from weighbridge_client.spool import Spool  # noqa: E402


class StubDaemon:
    """Answers on a socket and keeps what it was told."""

    def __init__(self, path, answer=None, silent=False):
        self.path, self.told, self.silent = path, [], silent
        self.answer = answer or (lambda path, message: (200, {"counted": True}))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.connections = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        stream = connection.makefile("rb")
        with contextlib.suppress(OSError, ValueError):
            while True:
                words = stream.readline().split()
                length = 0
                while line := stream.readline().strip():
                    name, value = line.split(b":", 1)
                    length = int(value) if name.lower() == b"content-length" else length
                if len(words) < 2:
                    return
                message = json.loads(stream.read(length) or b"null")
                if self.silent:
                    time.sleep(3600)
                status, answer = self.answer(words[1].decode(), message)
                if status == 200:
                    self.told.append((words[1].decode(), message))
                body = json.dumps(answer).encode()
                connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    def stop(self):
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        os.unlink(self.path)

    def steps(self):
        return [message["step"] for path, message in self.told if path == "/v1/step"]

    def gaps(self):
        return [message for path, message in self.told if path == "/v1/gap"]


def eventually(look, seconds=20.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


class Reports(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.socket = os.path.join(self.folder.name, "s")
        self.spool = os.path.join(self.folder.name, "spool")
        self.stderr = io.StringIO()
        quiet = contextlib.redirect_stderr(self.stderr)
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        pause, lane.LONGEST_PAUSE = lane.LONGEST_PAUSE, 0.3
        self.addCleanup(setattr, lane, "LONGEST_PAUSE", pause)

    def reporter(self, environment=None, **given):
        reporter = Reporter(self.socket, self.spool, environment=environment or {}, **given)
        self.addCleanup(reporter.close, 0.1)
        return reporter

    def stub(self, **given):
        daemon = StubDaemon(self.socket, **given)
        self.addCleanup(lambda: os.path.exists(self.socket) and daemon.stop())
        return daemon

    def test_reports_arrive_in_order_with_their_work(self):
        daemon = self.stub()
        reporter = self.reporter({"RANK": "3", "WORLD_SIZE": "8", "WEIGHBRIDGE_FLOP_PER_STEP": "1000"})
        for step in range(50):
            self.assertTrue(reporter.step(step, 2**70 if step == 7 else None))
        reporter.close()
        self.assertEqual(daemon.steps(), list(range(50)))
        units = [message for path, message in daemon.told if path == "/v1/work-unit"]
        expected = {"attempt": 0, "step": 7, "rank": 3, "micro_batch": 0, "flop": str(2**70)}
        self.assertEqual((units[7], units[8]["flop"], len(units)), (expected, "1000", 50))

    def test_without_a_daemon_reports_wait_on_disk_and_arrive_later_in_order(self):
        reporter = self.reporter()
        for step in range(300):
            self.assertTrue(reporter.step(step))
        eventually(lambda: not reporter.reports.queue)
        daemon = self.stub()
        eventually(lambda: len(daemon.steps()) == 300)
        reporter.step(300)
        eventually(lambda: len(daemon.steps()) == 301)
        self.assertEqual((daemon.steps(), daemon.gaps()), (list(range(301)), []))
        self.assertEqual(self.stderr.getvalue().count("reports wait"), 1, "said once")

    def test_a_daemon_that_is_started_anew_loses_nothing(self):
        daemons = [self.stub()]
        reporter = self.reporter()
        for step in range(200):
            reporter.step(step)
            if step in (60, 120):
                eventually(lambda: len(daemons[-1].steps()) > 3)
                daemons[-1].stop()
                daemons.append(StubDaemon(self.socket))
        # One that is told to stop may still answer who was in its queue.
        eventually(lambda: {step for daemon in daemons for step in daemon.steps()} == set(range(200)))
        self.assertEqual((reporter.reports.refused, reporter.reports.losses), (0, {}))
        reporter.close()
        daemons[-1].stop()

    def test_what_fits_nowhere_is_a_gap_and_not_silence(self):
        reporter = self.reporter(queue_size=8, spool_bytes=400)
        for step in range(200):
            reporter.step(step)
        eventually(lambda: not reporter.reports.queue)
        daemon = self.stub()
        gap = eventually(daemon.gaps)[0]
        reporter.close()
        self.assertEqual(gap["lost"] + len(daemon.steps()), 200)
        self.assertEqual((gap["attempt"], gap["rank"], gap["last_step"]), (0, 0, 199))
        self.assertEqual(daemon.steps(), list(range(len(daemon.steps()))))

    def test_a_report_that_is_refused_is_a_gap(self):
        def answer(path, message):
            if message.get("step") == 3:
                return 409, {"code": "work-unit-order", "detail": "d", "remedy": "r"}
            return 200, {"counted": True}

        daemon = self.stub(answer=answer)
        reporter = self.reporter()
        for step in range(6):
            reporter.step(step)
        eventually(daemon.gaps)
        reporter.close()
        self.assertEqual(daemon.steps(), [0, 1, 2, 4, 5])
        self.assertEqual(daemon.gaps(), [{"attempt": 0, "rank": 0, "first_step": 3, "last_step": 3, "lost": 1}])
        self.assertIn("d (work-unit-order); r", self.stderr.getvalue())

    def test_a_run_that_is_not_there_yet_is_waited_for(self):
        state = {"open": False}
        refused = (409, {"code": "not-legal-now", "detail": "", "remedy": ""})
        daemon = self.stub(answer=lambda *_: (200, {"counted": True}) if state["open"] else refused)
        reporter = self.reporter()
        for step in range(5):
            reporter.step(step)
        time.sleep(0.3)
        state["open"] = True
        eventually(lambda: daemon.steps() == [0, 1, 2, 3, 4])
        self.assertEqual(daemon.gaps(), [])

    def test_a_daemon_that_never_answers_costs_the_training_nothing(self):
        self.stub(silent=True)
        reporter = self.reporter()
        began = time.perf_counter()
        for step in range(4000):
            reporter.step(step)
        each = (time.perf_counter() - began) / 4000
        self.assertLess(each, 0.001, "a report took its caller more than a millisecond")
        began = time.perf_counter()
        reporter.close(0.2)
        self.assertLess(time.perf_counter() - began, 5.0)
        # All of it is on disk for the next process.
        left = Spool(self.spool, os.listdir(self.spool)[0].removesuffix(".sent").split(".")[0].replace("checkpoints", "reports"))
        self.addCleanup(left.close)
        lines = os.pread(left.file, left.size, 0).splitlines()
        self.assertEqual([json.loads(line)[1]["step"] for line in lines], list(range(4000)))

    def test_nothing_wrong_reaches_the_training(self):
        reporter = Reporter(self.socket, "/proc/nowhere", environment={"RANK": "x", "WORLD_SIZE": "-1"})
        self.assertFalse(reporter.step("five"))
        self.assertFalse(reporter.step(1, flop="many"))
        self.assertFalse(reporter.checkpoint(1, None))
        self.assertTrue(reporter.step(1))
        reporter.close(0.1)
        self.assertFalse(reporter.step(2))
        reporter.close(0.1)

    def test_a_checkpoint_in_the_making_holds_up_no_step(self):
        release = threading.Event()

        def answer(path, message):
            if path == "/v1/checkpoint":
                release.wait(20)
            return 200, {"counted": True}

        daemon = self.stub(answer=answer)
        reporter = self.reporter()
        path = os.path.join(self.folder.name, "w.safetensors")
        os.symlink(path, path + ".link")
        reporter.checkpoint(1, [path + ".link"])
        for step in range(20):
            reporter.step(step)
        eventually(lambda: daemon.steps() == list(range(20)))
        release.set()
        told = eventually(lambda: [message for path, message in daemon.told if path == "/v1/checkpoint"])
        self.assertEqual(told, [{"attempt": 0, "step": 1, "files": [os.path.realpath(path)]}])

    def test_a_killed_job_tells_when_it_comes_back(self):
        program = (
            "import os, sys, time\nfrom weighbridge_client import Reporter\n"
            f"r = Reporter({self.socket!r}, {self.spool!r}, environment={{'SLURM_JOB_ID': '7', 'SLURM_PROCID': '1'}})\n"
            "for step in range(100): r.step(step)\n"
            "while r.reports.queue: time.sleep(0.01)\nos.kill(os.getpid(), 9)"
        )
        environment = dict(os.environ, PYTHONPATH=os.path.dirname(HERE))
        ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60)
        self.assertEqual(ran.returncode, -9)
        daemon = self.stub()
        again = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "1", "SLURM_RESTART_COUNT": "1"}
        reporter = self.reporter(again)
        reporter.step(40)
        eventually(lambda: len(daemon.steps()) == 101)
        self.assertEqual(daemon.steps(), [*range(100), 40])
        self.assertEqual([message["attempt"] for _, message in daemon.told], [0] * 100 + [1])

    def test_a_forked_worker_says_nothing(self):
        daemon = self.stub()
        reporter = self.reporter()
        reporter.step(0)
        child = os.fork()
        if child == 0:
            os._exit(1 if reporter.step(1) else 0)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        reporter.step(2)
        reporter.close()
        self.assertEqual(daemon.steps(), [0, 2])

    def test_the_optimizer_hook_counts_the_first_optimizer(self):
        daemon = self.stub()
        hook = loops.OptimizerHook(self.reporter(), first_step=10)
        first, second = object(), object()
        for optimizer in (first, second, first, second, first):
            hook.after_step(optimizer, (), {})
        hook.reporter.close()
        self.assertEqual(daemon.steps(), [10, 11, 12])


class Spools(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def test_half_a_line_is_cut_and_the_mark_survives(self):
        spool = Spool(self.folder.name, "s")
        for step in range(3):
            self.assertTrue(spool.add("/v1/step", {"step": step}))
        spool.drop_first(spool.first()[2])
        os.write(spool.file, b'["/v1/step",{"st')
        spool.close()
        spool = Spool(self.folder.name, "s")
        found = []
        while spool:
            _, message, length = spool.first()
            found.append(message["step"])
            spool.drop_first(length)
        self.assertEqual((found, spool.size), ([1, 2], 0))
        spool.close()

    def test_two_processes_do_not_share_a_file(self):
        first, second = Spool(self.folder.name, "s"), Spool(self.folder.name, "s")
        first.add("/v1/step", {"step": 1})
        self.assertFalse(second)
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["s", "s.1", "s.1.sent", "s.sent"])
        first.close()
        second.close()


class Contexts(unittest.TestCase):
    def test_launchers_are_told_apart(self):
        def found(**environment):
            seen = context.detect(environment)
            return seen.launcher, seen.attempt, seen.rank, seen.world_size

        torchrun = {"TORCHELASTIC_RUN_ID": "r", "TORCHELASTIC_RESTART_COUNT": "2", "RANK": "5", "WORLD_SIZE": "16"}
        self.assertEqual(found(**torchrun, SLURM_JOB_ID="1"), ("torchrun", 2, 5, 16))
        self.assertEqual(found(SLURM_JOB_ID="1", SLURM_PROCID="3", SLURM_NTASKS="4", SLURM_RESTART_COUNT="1"), ("slurm", 1, 3, 4))
        self.assertEqual(found(JOB_COMPLETION_INDEX="6", HOSTNAME="pod"), ("kubernetes", 0, 6, 1))
        self.assertEqual(found(RAY_JOB_ID="01"), ("ray", 0, 0, 1))
        self.assertEqual(found(), ("none", 0, 0, 1))
        self.assertEqual(found(SLURM_JOB_ID="1", SLURM_PROCID="99999999999", WEIGHBRIDGE_ATTEMPT="4"), ("slurm", 4, 0, 1))
        first, again = context.detect(torchrun), context.detect({**torchrun, "TORCHELASTIC_RESTART_COUNT": "3"})
        self.assertEqual(context.process_name(first), context.process_name(again))


if __name__ == "__main__":
    unittest.main()

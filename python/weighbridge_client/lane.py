"""One line of messages to the daemon: a bounded queue that never makes the training wait, a thread that empties it, a
spool for when nobody answers, and a count of what was lost when that is full too. No exception leaves it.
"""
import collections
import os
import sys
import threading
import time

from weighbridge_client.wire import Absent, Refused

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
# The run is not there yet: a report is as good in a minute.
LATER = ("not-legal-now",)


class Loss:
    """Reports of one attempt that nobody will ever see."""

    def __init__(self, attempt, step):
        self.attempt, self.first_step, self.last_step, self.lost = attempt, step, step, 0

    def message(self, rank):
        return {"attempt": self.attempt, "rank": rank, "first_step": self.first_step, "last_step": self.last_step,
                "lost": self.lost}


class Lane:
    """`put` from any thread; all else in the lane's own."""

    def __init__(self, wire, spool, rank=0, queue_size=4096, patience=None, clock=time.monotonic):
        self.wire, self.spool, self.rank = wire, spool, rank
        self.queue_size, self.patience, self.clock = queue_size, patience, clock
        self.queue, self.condition = collections.deque(), threading.Condition()
        self.losses, self.owner, self.complaints = {}, os.getpid(), set()
        # Holds the spool; never taken by `put`, since a disk may make its writer wait.
        self.disk, self.abandoned = threading.Lock(), False
        self.pause, self.next_try, self.stopping, self.deadline = FIRST_PAUSE, 0.0, False, 0.0
        self.delivered = self.refused = 0
        self.thread = threading.Thread(target=self.run, name="weighbridge", daemon=True)
        self.thread.start()

    # The training's side: a lock that is held for microseconds -----------------------------------------------------

    def put(self, path, message):
        if os.getpid() != self.owner:
            # A forked worker has no thread; what it would say, its parent says.
            return False
        with self.condition:
            if self.stopping or len(self.queue) >= self.queue_size:
                self.lose(message)
                return False
            self.queue.append((path, message))
            self.condition.notify()
        return True

    def close(self, seconds):
        """Waits that long for what is queued; what is left goes into the spool."""
        if os.getpid() != self.owner:
            return
        with self.condition:
            self.stopping = True
            self.deadline = self.clock() + seconds
            self.condition.notify()
        self.thread.join(seconds + 1.0)
        with self.disk:
            self.abandoned = True
            if self.thread.is_alive():
                # It waits for an answer. What it waits for is still first in the queue, and may be sent twice.
                with self.condition:
                    left = list(self.queue)
                for path, message in left:
                    self.keep(path, message)
                self.keep_losses()
            if self.spool is not None:
                self.spool.close()

    # The lane's own thread ------------------------------------------------------------------------------------------

    def run(self):
        while True:
            try:
                if not self.turn():
                    return
            except Exception as error:  # noqa: BLE001: nothing reaches the training, and the lane goes on
                self.complain("internal", f"a report could not be handled: {error!r}")
                time.sleep(0.05)

    def turn(self):
        """One look at everything; False at the end."""
        with self.condition:
            if not self.queue and not (self.stopping or self.is_due()):
                self.condition.wait(self.wait_seconds())
            head = self.queue[0] if self.queue else None
            stopping = self.stopping
        if head is not None:
            self.pass_on(*head)
            with self.condition:
                self.queue.popleft()
        elif self.is_due(stopping):
            self.send_kept()
        if self.abandoned:
            return False
        if not stopping or self.queue:
            return True
        if self.has_kept() and self.clock() < self.deadline:
            if self.clock() < self.next_try:
                time.sleep(0.02)
            return True
        with self.disk:
            if not self.abandoned:
                self.keep_losses()
        return False

    def wait_seconds(self):
        return max(0.01, self.next_try - self.clock()) if self.has_kept() else None

    def is_due(self, stopping=False):
        return self.has_kept() and (stopping or self.clock() >= self.next_try)

    def has_kept(self):
        return bool(self.spool) or bool(self.losses)

    def pass_on(self, path, message):
        """Straight to the daemon, unless older ones wait."""
        if not self.spool and self.clock() >= self.next_try and self.send(path, message):
            return
        with self.disk:
            if not self.abandoned:
                self.keep(path, message)

    def keep(self, path, message):
        if self.spool is None or not self.spool.add(path, message):
            with self.condition:
                self.lose(message)

    def send_kept(self):
        """The oldest of what waits; then what is to be said about losses."""
        if self.spool:
            try:
                path, message, length = self.spool.first()
            except ValueError as error:
                self.complain("spool", f"the spool is damaged and begins anew: {error}")
                self.spool.clear()
                return
            if self.send(path, message):
                with self.disk:
                    if not self.abandoned:
                        self.spool.drop_first(length)
            return
        with self.condition:
            attempt = min(self.losses)
            loss = self.losses.pop(attempt)
        if not self.send("/v1/gap", loss.message(self.rank)):
            with self.condition:
                newer = self.losses.get(attempt)
                if newer is not None:
                    loss.last_step, loss.lost = max(loss.last_step, newer.last_step), loss.lost + newer.lost
                self.losses[attempt] = loss

    def send(self, path, message):
        """True when the daemon has it, or will never take it."""
        try:
            self.wire.post(path, message, self.patience)
        except Refused as refused:
            if refused.code in LATER:
                return self.put_off(str(refused))
            self.refused += 1
            self.complain(refused.code, str(refused))
            if path != "/v1/gap":
                with self.condition:
                    self.lose(message)
            return True
        except Absent as absent:
            return self.put_off(str(absent))
        self.pause, self.delivered = FIRST_PAUSE, self.delivered + 1
        return True

    def put_off(self, why):
        self.complain("away", f"{why}; reports wait")
        self.next_try = self.clock() + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)
        return False

    def lose(self, message):
        attempt, step = message.get("attempt", 0), message.get("step", 0)
        loss = self.losses.setdefault(attempt, Loss(attempt, step))
        loss.first_step, loss.last_step = min(loss.first_step, step), max(loss.last_step, step)
        loss.lost += 1

    def keep_losses(self):
        """At the end: the next process tells of them."""
        for loss in self.losses.values():
            if self.spool is None or not self.spool.add("/v1/gap", loss.message(self.rank)):
                self.complain("lost", f"{loss.lost} reports are lost, and nobody could be told")

    def complain(self, kind, text):
        if kind not in self.complaints:
            self.complaints.add(kind)
            print(f"weighbridge: {text}", file=sys.stderr)

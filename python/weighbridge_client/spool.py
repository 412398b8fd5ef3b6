"""Messages that wait on disk: a file of lines and, beside it, how many bytes of it were delivered. What a killed process
left is delivered by the next one. Bounded. Knows files. Does not know what a message means.
"""
import fcntl
import json
import os

DEFAULT_LIMIT = 64 << 20


class Spool:
    """One writer at a time, held by a lock on the file; a second process with the same name gets an own one."""

    def __init__(self, folder, name, limit=DEFAULT_LIMIT):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.limit, self.file, self.mark = limit, None, None
        for number in range(64):
            path = os.path.join(folder, f"{name}.{number}" if number else name)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                continue
            self.file = descriptor
            self.mark = os.open(path + ".sent", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            break
        if self.file is None:
            raise OSError(f"{folder}/{name}: 64 processes use this spool")
        self.size = os.fstat(self.file).st_size
        self.sent = self.delivered()
        self.cut_torn_line()

    def delivered(self):
        text = os.pread(self.mark, 32, 0).strip()
        sent = int(text) if text.isdigit() else 0
        return sent if sent <= self.size else 0

    def cut_torn_line(self):
        """A process that died within a write leaves half a line; it was never told that it is kept."""
        if self.size and os.pread(self.file, 1, self.size - 1) != b"\n":
            tail = os.pread(self.file, min(self.size, 1 << 20), max(0, self.size - (1 << 20)))
            os.ftruncate(self.file, self.size - (len(tail) - (tail.rfind(b"\n") + 1)))
            self.size = os.fstat(self.file).st_size
            self.sent = min(self.sent, self.size)

    def __bool__(self):
        return self.sent < self.size

    def add(self, path, message):
        """Whether there was room."""
        line = (json.dumps([path, message], separators=(",", ":")) + "\n").encode()
        if self.size + len(line) > self.limit:
            return False
        try:
            at = 0
            while at < len(line):
                at += os.write(self.file, line[at:])
        except OSError:
            # A full disk: no half a line stays.
            os.ftruncate(self.file, self.size)
            return False
        self.size += len(line)
        return True

    def first(self):
        """The oldest message that is not delivered, and its length."""
        taken = b""
        while b"\n" not in taken:
            more = os.pread(self.file, 4096, self.sent + len(taken))
            if not more:
                raise ValueError("a spool without an end of line")
            taken += more
        line = taken[: taken.index(b"\n") + 1]
        path, message = json.loads(line)
        return path, message, len(line)

    def drop_first(self, length):
        """Delivered, or refused for good."""
        self.sent += length
        if self.sent >= self.size:
            self.clear()
        else:
            self.write_mark()

    def clear(self):
        """Empties it. The file goes first: a mark beyond its end counts as none."""
        os.ftruncate(self.file, 0)
        self.size = self.sent = 0
        self.write_mark()

    def write_mark(self):
        os.pwrite(self.mark, f"{self.sent:<31}\n".encode(), 0)

    def close(self):
        for descriptor in (self.file, self.mark):
            if descriptor is not None:
                os.close(descriptor)
        self.file = self.mark = None

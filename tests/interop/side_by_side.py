"""Runs many commands side by side on so many cores and within so many seconds; benches/control_seeds.sh calls it.

    python side_by_side.py LINES.jsonl LOG SECONDS cores=16 [POOL=PLACES…] < JOBS

A line of JOBS is `POOL EXPECTED_S NEEDS COMMAND…`. Every job takes one core, and one of its pool's places unless that is `cores`. The first in
the file goes first; one waits while the file NEEDS (`-` for none) is not there, and is not begun if more time is expected than is left:
EXPECTED_S, or as long as the slowest of its kind before. Output lines that start with {"algorithm" are added to LINES as they
come, the ends of what failed to LOG. What still runs after SECONDS is ended. What is done is noted in LINES.done and
not done again. The last line says how many.
"""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time


def add(path, line):
    """Adds bytes to a file in one piece."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line)
    os.close(descriptor)


def gather(process, lines):
    for line in process.stdout:
        if line.startswith(b'{"algorithm"'):
            add(lines, line)
            print(line[:130].decode("utf-8", "replace").rstrip(), flush=True)


class Job:
    """A line of JOBS."""

    def __init__(self, line):
        self.pool, expected, self.needs, self.command = line.split(maxsplit=3)
        self.expected_s = float(expected)
        words = shlex.split(self.command)
        # Of like length whatever the task and the seed: the script and the algorithm.
        names = [word for word in words if word in ("bc", "bc-best", "td3+bc", "iql", "cql") or word.startswith("cuda")]
        self.kind = " ".join([next((w for w in words if w.endswith((".py", ".sh"))), words[0]), *names])

    def ready(self):
        return self.needs == "-" or pathlib.Path(self.needs).exists()

    def begin(self, lines):
        self.errors, self.since = tempfile.TemporaryFile(), time.time()
        self.process = subprocess.Popen(
            shlex.split(self.command), stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True
        )
        self.reader = threading.Thread(target=gather, args=(self.process, lines))
        self.reader.start()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)

    def end(self):
        """Status and seconds, and the last that it said of errors."""
        status = self.process.wait()
        self.reader.join()
        self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, self.errors.tell() - 3000))
        return status, time.time() - self.since, self.errors.read()


def main():
    lines, log, seconds, *pools = sys.argv[1:]
    places = {name: int(count) for name, count in (pool.split("=") for pool in pools)}
    noted = pathlib.Path(lines + ".done")
    before = set(noted.read_text().splitlines()) if noted.exists() else set()
    waiting = [job for job in map(Job, sys.stdin.read().splitlines()) if job.command not in before]
    began, running, lasted, done, failed = time.time(), [], {}, 0, 0
    while running or waiting:
        left = float(seconds) - (time.time() - began)
        late = [job for job in waiting if lasted.get(job.kind, job.expected_s) > left]
        waiting = [job for job in waiting if job not in late]
        for job in late:
            print(f"not begun, {max(left, 0):.0f} s are left: {job.command}", flush=True)
        for job in list(waiting):
            taken = sum(other.pool == job.pool for other in running)
            if len(running) < places["cores"] and job.ready() and (job.pool == "cores" or taken < places[job.pool]):
                waiting.remove(job)
                job.begin(lines)
                running.append(job)
        for job in list(running):
            if left <= 0 and job.process.poll() is None:
                job.kill()
            if job.process.poll() is None:
                continue
            running.remove(job)
            status, took, errors = job.end()
            if status == 0:
                done += 1
                lasted[job.kind] = max(took, lasted.get(job.kind, 0.0))
                add(noted, job.command.encode() + b"\n")
            else:
                failed += 1
                add(log, f"\n== {job.command}: status {status} after {took:.0f} s\n".encode() + errors)
        time.sleep(0.2)
    print(f"{done} jobs done, {failed} failed or cut short, {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()

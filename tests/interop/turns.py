"""The lines that `benches --serve` speaks, for the other side of a comparison (benches/turns.sh)."""

import sys
import time


def peak_rss_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6


def burst(step, seconds):
    """Steps for so many seconds, at least one; wall time per step, processor time of all threads."""
    wall, began, cpu = [], time.perf_counter(), time.process_time()
    while not wall or time.perf_counter() - began < seconds:
        each = time.perf_counter()
        step()
        wall.append((time.perf_counter() - each) * 1e3)
    cpu = (time.process_time() - cpu) * 1e3 / len(wall)
    wall.sort()
    return (
        f"steps {len(wall)} wall_ms {wall[len(wall) // 2]:.3f} min_ms {wall[0]:.3f} "
        f"cpu_ms {cpu:.3f} peak_rss_mb {peak_rss_mb():.0f}"
    )


def serve(name, step):
    """A few steps that do not count, then a burst for every line of seconds; without --serve one of three seconds."""
    began = time.perf_counter()
    for _ in range(3):
        step()
        if time.perf_counter() - began > 2.0:
            break
    if "--serve" not in sys.argv:
        print(f"{name:<22} {burst(step, 3.0)}")
        return
    print(f"ready {name}", flush=True)
    for line in sys.stdin:
        print(burst(step, float(line)), flush=True)

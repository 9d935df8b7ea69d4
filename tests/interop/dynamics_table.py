"""Prints what rehearsal and OfflineRL-Kit make of one dataset: benches/dynamics.sh calls it.

    python dynamics_table.py REHEARSAL DATA_DIR TASK [EPOCHS]

Both learn one after the other, each in a process of its own. Errors are of the state, mean squared, in standard
deviations of the training data, h steps after the last real observation. `averaged` is the peer's elites' mean without noise: not how
it imagines, but the most that its networks know.
"""

import json
import pathlib
import resource
import subprocess
import sys


def child(command):
    """JSON on the last line of what `command` says, with processor seconds and peak memory (of all children so far)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(said), seconds, after.ru_maxrss // 1024


def main():
    binary, data, task, *epochs = sys.argv[1:]
    here = pathlib.Path(__file__).parent
    file = pathlib.Path(data) / f"{task}.hdf5"
    out = pathlib.Path(data) / f"{task}.run"
    # Ours first: the peak of children is that of the largest so far, and the peer's says its own.
    ours, ours_s, ours_mb = child(
        [binary, "train", "world-model", str(here.parents[1] / f"configs/{task}.toml"), "--json", "--fresh"]
        + ["--out", str(out), "--set", f"data.path={file}"]
    )
    peer, peer_s, _ = child([sys.executable, "-W", "ignore", str(here / "dynamics_offlinerlkit.py"), str(file), *filter(None, epochs)])
    state = {row["h"]: row for row in ours["error_by_horizon"] if row["modality"] == "state"}
    rows = [
        ("rehearsal", lambda h: state[h]["model"], ours["foresight"]["reward_r2"], ours_s, ours_mb),
        *(
            (
                f"OfflineRL-Kit, {name}",
                lambda h, name=name: peer[name]["error_by_horizon"][str(h)][0],
                peer[name]["reward_r2"],
                peer_s,
                peer["peak_rss_mb"],
            )
            for name in ("sampled", "averaged")
        ),
        ("nothing changes", lambda h: state[h]["copy_last"], float("nan"), 0.0, 0),
    ]
    shown = [1, 2, 4, 8, 16, 20]
    print(f"{task:<24}" + "".join(f"{f'h={h}':>10}" for h in shown) + f"{'reward R2':>11}{'cpu s':>8}{'MB':>6}")
    for name, error, reward, seconds, megabytes in rows:
        errors = "".join(f"{error(h):>10.4f}" for h in shown)
        print(f"{name:<24}{errors}{reward:>11.3f}{seconds:>8.0f}{megabytes:>6}", flush=True)


if __name__ == "__main__":
    main()

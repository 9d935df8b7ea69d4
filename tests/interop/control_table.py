"""Prints the normalised scores of tests/interop/control_*.py's lines of JSON: benches/control.sh calls it.

    python control_table.py LINES.jsonl

A score is 100 (return - random) / (best - random), with the mean return of uniformly random actions and of the best episodes that make
up 10 % of the file. Of several seeds the mean of their means, with the standard error over seeds, of one over episodes.
"""

import collections
import json
import pathlib
import sys

import numpy as np


def main():
    lines = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]
    ends = {(line["task"], line["algorithm"]): np.mean(line["returns"]) for line in lines}
    groups = collections.defaultdict(dict)
    for line in lines:
        if line["algorithm"] not in ("random", "best"):
            # The last run of a seed counts.
            groups[line["algorithm"], line["updates"], line["task"]][line["seed"]] = line
    tasks = sorted({line["task"] for line in lines})
    print(f"{'':<26}{'updates':>8}" + "".join(f"{task:>20}{'cpu s':>7}" for task in tasks) + f"{'mean':>8}")
    algorithms = list(dict.fromkeys((algorithm, updates) for algorithm, updates, _ in groups))
    for algorithm, updates in algorithms:
        row, means = f"{algorithm:<26}{updates:>8}", []
        for task in tasks:
            seeds = groups.get((algorithm, updates, task))
            if not seeds:
                row += f"{'':>27}"
                continue
            low, high = ends[task, "random"], ends[task, "best"]
            scores = [100 * (np.array(line["returns"]) - low) / (high - low) for line in seeds.values()]
            spread = [s.mean() for s in scores] if len(scores) > 1 else scores[0]
            means.append(np.mean([s.mean() for s in scores]))
            error = np.std(spread, ddof=1) / np.sqrt(len(spread))
            row += f"{f'{means[-1]:.1f} ± {error:.1f} ({len(seeds)})':>20}{np.mean([s['cpu_s'] for s in seeds.values()]):>7.0f}"
        print(row + (f"{np.mean(means):>8.1f}" if len(means) == len(tasks) else ""))


if __name__ == "__main__":
    main()

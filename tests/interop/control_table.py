"""Prints the normalised scores of tests/interop/control_*.py's lines of JSON: benches/control.sh and control_seeds.sh call it.

    python control_table.py LINES.jsonl

A score is 100 (return - random) / (best - random), with the mean return of uniformly random actions and of the best episodes that make
up 10 % of the file. Per task the mean over seeds with the standard error over them (of one seed over episodes), how many seeds, and
the mean processor seconds; `gpu` where it had an accelerator besides. The mean over tasks follows, and the interquartile mean of all episodes
(Agarwal et al. 2021, arXiv:2108.13264) with its 95 % bootstrap interval, which draws seeds and then episodes within each task.
"""

import collections
import json
import pathlib
import sys

import numpy as np

RESAMPLES = 2000


def interquartile_mean(scores):
    """Mean of the middle half of scores `[..., N]`, the ends of it counted in part."""
    scores = np.sort(scores, axis=-1)
    n = scores.shape[-1]
    share = np.clip(np.minimum(np.arange(1, n + 1), 0.75 * n) - np.maximum(np.arange(n), 0.25 * n), 0, 1)
    return scores @ share / share.sum()


def interval(tasks, rng):
    """95 % interval of the interquartile mean of scores, of each task `[seeds, episodes]`."""
    drawn = []
    for scores in tasks:
        seeds, episodes = scores.shape
        which = rng.integers(seeds, size=(RESAMPLES, seeds, 1))
        drawn.append(scores[which, rng.integers(episodes, size=(RESAMPLES, seeds, episodes))].reshape(RESAMPLES, -1))
    return np.percentile(interquartile_mean(np.concatenate(drawn, axis=1)), [2.5, 97.5])


def main():
    lines = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]
    lines = [line for line in lines if "returns" in line]
    ends = {(line["task"], line["algorithm"]): np.mean(line["returns"]) for line in lines}
    groups = collections.defaultdict(dict)
    for line in lines:
        if line["algorithm"] not in ("random", "best"):
            # The last run of a seed counts.
            groups[line["algorithm"], line["updates"], line["task"]][line["seed"]] = line
    tasks, rng = sorted({line["task"] for line in lines}), np.random.default_rng(0)
    head = "".join(f"{task:>20}{'cpu s':>8}" for task in tasks)
    print(f"{'':<26}{'updates':>8}{head}{'mean':>8}{'IQM':>8}{'95 %':>16}")
    for algorithm, updates in dict.fromkeys((algorithm, updates) for algorithm, updates, _ in groups):
        row, means, all_scores = f"{algorithm:<26}{updates:>8}", [], []
        for task in tasks:
            seeds = groups.get((algorithm, updates, task))
            if not seeds:
                row += f"{'':>28}"
                continue
            low, high = ends[task, "random"], ends[task, "best"]
            scores = 100 * (np.array([line["returns"] for line in seeds.values()]) - low) / (high - low)
            spread = scores.mean(axis=1) if len(scores) > 1 else scores[0]
            means.append(scores.mean())
            all_scores.append(scores)
            error = np.std(spread, ddof=1) / np.sqrt(len(spread))
            gpu = any(line.get("device", "cpu") != "cpu" for line in seeds.values())
            cpu = f"{np.mean([line['cpu_s'] for line in seeds.values()]):.0f}" + (" gpu" if gpu else "")
            row += f"{f'{means[-1]:.1f} ± {error:.1f} ({len(scores)})':>20}{cpu:>8}"
        if len(means) == len(tasks):
            middle = interquartile_mean(np.concatenate([scores.ravel() for scores in all_scores]))
            bounds = "[{:.1f}, {:.1f}]".format(*interval(all_scores, rng))
            row += f"{np.mean(means):>8.1f}{middle:>8.1f}{bounds:>16}"
        print(row)


if __name__ == "__main__":
    main()

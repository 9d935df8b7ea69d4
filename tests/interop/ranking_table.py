"""How well imagination and d3rlpy's fitted-Q evaluation rank policies whose true outcomes are known: of benches/control_seeds.sh.

    python ranking_table.py DIRECTORY [LINES.jsonl]

DIRECTORY holds known_TASK.csv (tests/interop/known_outcomes.py) and TASK_eval.json (`rehearsal evaluate RUN --known … --json`), LINES, by default its
control.jsonl, the values of tests/interop/fqe_d3rlpy.py. All in the report's units. Per robot and judge: Spearman's and Pearson's correlation over the
policies that both judges have a value for, regret (how much worse the policy that the judge thinks best is than the best), mean absolute error; for Spearman the 95 %
interval of 2,000 draws of policies. Then what was said of every policy, and the means over robots.
"""

import csv
import json
import pathlib
import sys

import numpy as np


def ranks(values):
    """From 1, equal values share the mean of theirs."""
    values = np.asarray(values)
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def pearson(a, b):
    """`nan` where one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])


def spearman(a, b):
    return pearson(ranks(a), ranks(b))


def interval(a, b, rng):
    drawn = rng.integers(len(a), size=(2000, len(a)))
    return np.nanpercentile([spearman(a[rows], b[rows]) for rows in drawn], [2.5, 97.5])


def judges(directory, task, lines):
    """Values of policies by judge, and processor seconds where they were measured."""
    report = json.loads((directory / f"{task}_eval.json").read_text())
    values = {"imagination": {policy["name"]: policy["return"] for policy in report["policies"]}}
    cpu_s = {}
    for line in lines:
        if line["algorithm"] == "d3rlpy fqe" and line["task"].lower().startswith(task):
            judge = f"d3rlpy FQE, {line['updates']} updates"
            values.setdefault(judge, {})[line["policy"]] = line["return"]
            cpu_s.setdefault(judge, {})[line["policy"]] = line["cpu_s"]
    return values, {judge: sum(of.values()) for judge, of in cpu_s.items()}


def main():
    directory = pathlib.Path(sys.argv[1])
    lines = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else directory / "control.jsonl"
    lines = [json.loads(line) for line in lines.read_text().splitlines()]
    rng, over = np.random.default_rng(0), {}
    print(f"{'':<14}{'':<28}{'policies':>9}{'Spearman':>10}{'95 %':>16}{'Pearson':>9}{'regret':>8}{'error':>8}{'cpu s':>7}")
    for known in sorted(directory.glob("known_*.csv")):
        task = known.stem.removeprefix("known_")
        if not (directory / f"{task}_eval.json").exists():
            continue
        with known.open() as rows:
            truth = {row["policy"]: float(row["return"]) for row in csv.DictReader(rows)}
        values, cpu_s = judges(directory, task, lines)
        common = [policy for policy in truth if all(policy in of for of in values.values())]
        true = np.array([truth[policy] for policy in common])
        for judge, of in values.items():
            said = np.array([of[policy] for policy in common])
            low, high = interval(said, true, rng)
            found = spearman(said, true), pearson(said, true), true.max() - true[said.argmax()], np.abs(said - true).mean()
            over.setdefault(judge, []).append(found)
            rho, r, regret, error = found
            bounds, cpu = f"[{low:.2f}, {high:.2f}]", str(cpu_s.get(judge, ""))
            print(f"{task:<14}{judge:<28}{len(common):>9}{rho:>10.2f}{bounds:>16}{r:>9.2f}{regret:>8.2f}{error:>8.2f}{cpu:>7}")
        for policy in sorted(common, key=lambda policy: -truth[policy]):
            said = "  ".join(f"{judge} {of[policy]:.3f}" for judge, of in values.items())
            print(f"    {policy:<22} true {truth[policy]:.3f}  {said}")
    for judge, found in over.items():
        rho, r, regret, error = np.mean(found, axis=0)
        print(f"{f'mean of {len(found)}':<14}{judge:<28}{'':>9}{rho:>10.2f}{'':>16}{r:>9.2f}{regret:>8.2f}{error:>8.2f}")


if __name__ == "__main__":
    main()

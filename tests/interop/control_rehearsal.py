"""Trains rehearsal on one of tests/interop/make_mujoco.py's files and drives the robot with the policies that it serves.

    pip install "gymnasium[mujoco]" h5py numpy openpi-client
    python control_rehearsal.py REHEARSAL FILE CONFIG.toml OUT [SEED] [KEY=VALUE…]

`rehearsal run` goes through the whole loop into the directory OUT; `rehearsal serve` then answers over openpi's protocol, one
request per step, for the cloned policy and for the one that the run chose by itself. It never sees the simulator, and
keeps 15 % of the episodes out of all training. A line of JSON for each policy; `cpu_s` is of everything up to that
policy: for the improved one of the whole run, its judgement too.
"""

import json
import pathlib
import resource
import subprocess
import sys

import gymnasium
import numpy as np
from control_robot import EPISODES, FIRST_SEED, read
from known_outcomes import served
from openpi_client.websocket_client_policy import WebsocketClientPolicy


def train(binary, path, config, out, seed, sets):
    """Processor seconds of the run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [binary, "run", config, "--data", path, "--out", out, "--seed", seed, *(f"--set={s}" for s in sets)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def drive(name, port, episodes=EPISODES):
    """Return and length of each episode, one after the other; a reply's actions are used up before the next is asked for."""
    client = WebsocketClientPolicy("127.0.0.1", port)
    robot, returns, lengths = gymnasium.make(name), [], []
    for episode in range(episodes):
        observation, _ = robot.reset(seed=FIRST_SEED + episode)
        total, length, waiting, ended = 0.0, 0, [], False
        while not ended:
            if not waiting:
                waiting = list(client.infer({"observation/state": observation.astype(np.float32)})["actions"])
            observation, reward, terminated, truncated, _ = robot.step(np.clip(waiting.pop(0), -1, 1))
            total, length, ended = total + reward, length + 1, terminated or truncated
        returns.append(round(float(total), 1))
        lengths.append(length)
    return {"returns": returns, "mean_length": float(np.mean(lengths))}


def main():
    binary, path, config, out, *rest = sys.argv[1:]
    seed = rest.pop(0) if rest and rest[0].isdigit() else "0"
    name, _ = read(path)
    cpu_s = train(binary, path, config, out, seed, rest)
    report = json.loads((pathlib.Path(out) / "report.json").read_text())
    wall = {stage["name"]: stage["wall_s"] for stage in json.loads((pathlib.Path(out) / "manifest.json").read_text())["stages"]}
    sections = {"dynamics": "world_model", "policy": "policy", "value": "value", "improve": "improve"}
    for policy, stages in (("cloned", ["policy"]), ("improved", list(sections))):
        # The clone needs nothing of the rest.
        share = wall["policy"] / sum(wall.values()) if policy == "cloned" else 1.0
        updates = sum(report["config"][sections[stage]]["updates"] for stage in stages)
        result = {"algorithm": f"rehearsal {policy}", "task": name, "seed": int(seed), "updates": updates}
        result |= {"cpu_s": round(cpu_s * share), "verdict": report["verdict"]["decision"]}
        with served(binary, out, policy) as port:
            print(json.dumps(result | drive(name, port)), flush=True)


if __name__ == "__main__":
    main()

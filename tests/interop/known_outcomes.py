"""Drives true simulators with policies that rehearsal serves, and writes what `rehearsal evaluate RUN --known OUT.csv` reads.

    pip install openpi-client numpy "gymnasium[mujoco]"     (PushT: "gym-pusht==0.1.8" "pymunk<7" as well)
    python known_outcomes.py REHEARSAL RUN ENVIRONMENT POLICY,POLICY… OUT.csv [EPISODES] [KEY=VALUE…]

ENVIRONMENT is gymnasium's name, such as Hopper-v5 or gym_pusht/PushT-v0; POLICY is what `rehearsal serve RUN --policy` takes, improved+noise:0.5
or random for instance; KEY=VALUE goes to `serve` as --set. All policies meet the same seeds, 300000 and up. Returns are in the report's units: discounted by the
run's gamma and normalised, `(1 - gamma) sum gamma^t r_t`, a success held for ever, a fall worth 0 from then on. A line is added to
OUT.csv as soon as a policy is done; policies that are in it already are not driven again.
"""

import contextlib
import csv
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import warnings

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
warnings.filterwarnings("ignore")

import gymnasium  # noqa: E402
import numpy as np  # noqa: E402
from openpi_client.websocket_client_policy import WebsocketClientPolicy  # noqa: E402

FIRST_SEED = 300_000
COLUMNS = ("policy", "return", "success", "episodes")


@contextlib.contextmanager
def served(binary, run, policy, sets=()):
    """Port of a server that answers for a policy of a run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary, "serve", run, "--policy", policy, "--port", str(port), *(f"--set={s}" for s in sets)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert server.poll() is None, "the server ended before it was asked"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


class PushT:
    """Pixels and state of gym-pusht; an episode ends with success or after 300 steps."""

    def __init__(self, sees):
        import gym_pusht  # noqa: F401

        size = dict(render_mode="rgb_array", observation_width=96, observation_height=96)
        self.robot = gymnasium.make("gym_pusht/PushT-v0", obs_type="state", **size).unwrapped
        self.sees, self.steps = sees, 300

    def seen(self, state):
        state = np.asarray(state, np.float32)
        found = {"observation.state": state[:2], "observation.environment_state": state[2:5]}
        if self.sees:
            found["observation.image"] = np.ascontiguousarray(self.robot._render(visualize=False))
        return found

    def reset(self, seed):
        return self.seen(self.robot.reset(seed=seed)[0])

    def step(self, action):
        state, reward, success, _, _ = self.robot.step(np.clip(np.asarray(action, float), 0, 512))
        return self.seen(state), float(reward), bool(success), False


class MuJoCo:
    """A robot of gymnasium's, its state alone; an episode ends with a fall or after 1000 steps."""

    def __init__(self, name):
        self.robot, self.steps = gymnasium.make(name), 1000

    def reset(self, seed):
        return {"observation/state": self.robot.reset(seed=seed)[0].astype(np.float32)}

    def step(self, action):
        state, reward, fallen, _, _ = self.robot.step(np.clip(action, -1, 1))
        return {"observation/state": state.astype(np.float32)}, float(reward), False, bool(fallen)


def drive(robot, port, episodes, gamma):
    """Mean normalised return and share of successes."""
    client, returns, successes = WebsocketClientPolicy("127.0.0.1", port), [], []
    for episode in range(episodes):
        observation, waiting, total, success = robot.reset(FIRST_SEED + episode), [], 0.0, False
        for step in range(robot.steps):
            if not waiting:
                waiting = list(client.infer(observation)["actions"])
            observation, reward, success, fallen = robot.step(waiting.pop(0))
            total += (1 - gamma) * gamma**step * reward
            if success:
                total += gamma ** (step + 1)
            if success or fallen:
                break
        returns.append(total)
        successes.append(success)
    return float(np.mean(returns)), float(np.mean(successes))


def main():
    binary, run, environment, policies, out, *rest = sys.argv[1:]
    episodes = int(rest.pop(0)) if rest and rest[0].isdigit() else 50
    config = json.loads((pathlib.Path(run) / "report.json").read_text())["config"]
    bundle = json.loads((pathlib.Path(run) / "bundle" / "bundle.json").read_text())
    gamma, out = config["value"]["gamma"], pathlib.Path(out)
    robot = PushT(bool(bundle["dataset"]["cameras"])) if "PushT" in environment else MuJoCo(environment)
    if not out.exists():
        out.write_text(",".join(COLUMNS) + "\n")
    with out.open() as lines:
        done = {row["policy"] for row in csv.DictReader(lines)}
    for policy in policies.split(","):
        if policy in done:
            continue
        with served(binary, run, policy, rest) as port:
            value, success = drive(robot, port, episodes, gamma)
        succeeds = f"{success:.4f}" if "PushT" in environment else ""
        with out.open("a") as lines:
            lines.write(f"{policy},{value:.6f},{succeeds},{episodes}\n")
        print(f"{policy}: return {value:.4f}, success {success:.2f}, {episodes} episodes", flush=True)


if __name__ == "__main__":
    main()

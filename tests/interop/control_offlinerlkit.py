"""Trains OfflineRL-Kit's MOPO and MOBILE on one of tests/interop/make_mujoco.py's files and drives the robot with the outcomes.

    git clone https://github.com/yihaosun1124/OfflineRL-Kit
    pip install torch tqdm "gymnasium[mujoco]" h5py numpy
    PYTHONPATH=OfflineRL-Kit python control_offlinerlkit.py FILE UPDATES EPOCHS [SEED] [mopo] [mobile] [cuda:0]

Networks, optimisers, rollouts and the ends of episodes (it writes them down by hand for each robot) are those of its run_example/run_mopo.py and
run_mobile.py, with the rollout lengths and penalties they give for medium-expert data. EPOCHS bounds the training of the
dynamics, which is done once and counted for both; without a device everything is on the processor. It learns from every episode, those that rehearsal holds out too.
A line of JSON for each algorithm, of the policy after the last update.
"""

import json
import random
import sys
import tempfile
import time
import types

import numpy as np
import torch
from control_robot import play, read

torch.set_num_threads(1)

# Imported by the package, needed by nothing here: a simulator and a writer of logs.
for module in ("gym", "gym.spaces", "gym.envs", "gym.envs.mujoco", "torch.utils.tensorboard"):
    sys.modules[module] = types.ModuleType(module)
sys.modules["gym"].Env = sys.modules["gym.spaces"].Space = object
sys.modules["gym"].spaces = sys.modules["gym.spaces"]
sys.modules["gym.envs.mujoco"].mujoco_env = types.SimpleNamespace(MujocoEnv=object)
sys.modules["torch.utils.tensorboard"].SummaryWriter = object

from offlinerlkit.buffer import ReplayBuffer  # noqa: E402
from offlinerlkit.dynamics import EnsembleDynamics  # noqa: E402
from offlinerlkit.modules import ActorProb, Critic, EnsembleDynamicsModel, TanhDiagGaussian  # noqa: E402
from offlinerlkit.nets import MLP  # noqa: E402
from offlinerlkit.policy import MOBILEPolicy, MOPOPolicy  # noqa: E402
from offlinerlkit.utils.scaler import StandardScaler  # noqa: E402
from offlinerlkit.utils.termination_fns import get_termination_fn  # noqa: E402

# Rollout length, penalty of MOPO, penalty of MOBILE.
ADVISED = {"Hopper-v5": (5, 5.0, 1.5), "HalfCheetah-v5": (5, 2.5, 2.0), "Walker2d-v5": (1, 2.5, 1.5)}
BATCH, REAL, EVERY, ROLLOUTS, KEPT = 256, 0.05, 1000, 50_000, 5


class Quiet:
    """What the trainer of the dynamics asks of a logger."""

    def __init__(self, directory):
        self.model_dir = directory

    def log(self, *_):
        pass

    def logkv(self, key, value):
        print(f"{key} {float(value):.4f}", file=sys.stderr, flush=True)

    def set_timestep(self, _):
        pass

    def dumpkvs(self, **_):
        pass


def transitions(recorded):
    """All recorded transitions, each with the observation that really followed."""
    join = lambda column: np.concatenate([column(e) for e in recorded])  # noqa: E731
    return {
        "observations": join(lambda e: e["observations"][:-1]),
        "next_observations": join(lambda e: e["observations"][1:]),
        "actions": join(lambda e: e["actions"]),
        "rewards": join(lambda e: e["rewards"]),
        "terminals": join(lambda e: e["terminations"]),
    }


def policy(which, dynamics, states, actions, penalty, device):
    """A fresh policy, sizes and rates as the examples have them."""
    body = lambda width: MLP(input_dim=width, hidden_dims=[256, 256])  # noqa: E731
    head = TanhDiagGaussian(256, actions, unbounded=True, conditioned_sigma=True, max_mu=1.0)
    actor = ActorProb(body(states), head, device)
    critics = torch.nn.ModuleList([Critic(body(states + actions), device) for _ in range(2)])
    log_alpha = torch.zeros(1, requires_grad=True, device=device)
    alpha = (-actions, log_alpha, torch.optim.Adam([log_alpha], lr=1e-4))
    adam = lambda network, rate: torch.optim.Adam(network.parameters(), lr=rate)  # noqa: E731
    rates = {"tau": 0.005, "gamma": 0.99, "alpha": alpha}
    if which == "mopo":
        each = [adam(critic, 3e-4) for critic in critics]
        return MOPOPolicy(dynamics, actor, *critics, adam(actor, 1e-4), *each, **rates)
    both = (adam(actor, 1e-4), adam(critics, 3e-4))
    return MOBILEPolicy(
        dynamics, actor, critics, *both, **rates, penalty_coef=penalty, num_samples=10, deterministic_backup=True
    )


def buffer(size, states, actions, device):
    return ReplayBuffer(size, (states,), np.float32, actions, np.float32, device=device)


def main():
    path, updates, epochs, *rest = sys.argv[1:]
    updates, seed = int(updates), int(rest[0]) if rest else 0
    device = next((word for word in rest if word.startswith("cuda")), "cpu")
    chosen = [word for word in rest if word in ("mopo", "mobile")] or ["mopo", "mobile"]
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    name, recorded = read(path)
    data = transitions(recorded)
    length, *penalties = ADVISED[name]
    states, actions = data["observations"].shape[1], data["actions"].shape[1]
    real = buffer(len(data["rewards"]), states, actions, device)
    real.load_dataset(data)
    model = EnsembleDynamicsModel(
        obs_dim=states,
        action_dim=actions,
        hidden_dims=[200] * 4,
        num_ensemble=7,
        num_elites=5,
        weight_decays=[2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4],
        device=device,
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    ends = get_termination_fn(task=name.lower())
    dynamics = EnsembleDynamics(model, optimiser, StandardScaler(), ends)
    began, wall = time.process_time(), time.time()
    with tempfile.TemporaryDirectory() as directory:
        dynamics.train(real.sample_all(), Quiet(directory), max_epochs=int(epochs))
    dynamics_s, dynamics_wall_s = time.process_time() - began, time.time() - wall
    for which, penalty in zip(("mopo", "mobile"), penalties):
        if which not in chosen:
            continue
        # MOPO's penalty is the dynamics', MOBILE's the policy's.
        dynamics._penalty_coef = penalty if which == "mopo" else 0.0
        learner = policy(which, dynamics, states, actions, penalty, device)
        fake = buffer(ROLLOUTS * length * KEPT, states, actions, device)
        # As the examples anneal the actor's rate over all updates: per thousand.
        anneal = torch.optim.lr_scheduler.CosineAnnealingLR(learner.actor_optim, -(-updates // EVERY))
        began, wall = time.process_time(), time.time()
        learner.train()
        for update in range(updates):
            if update % EVERY == 0:
                rolled, _ = learner.rollout(real.sample(ROLLOUTS)["observations"].cpu().numpy(), length)
                fake.add_batch(**rolled)
                if update:
                    anneal.step()
            mixed = {"real": real.sample(int(BATCH * REAL)), "fake": fake.sample(BATCH - int(BATCH * REAL))}
            losses = learner.learn(mixed)
            if update % EVERY == 0:
                print(which, update, round(time.process_time() - began), losses, file=sys.stderr, flush=True)
        result = {"algorithm": f"OfflineRL-Kit {which}", "task": name, "seed": seed, "updates": updates}
        result |= {"cpu_s": round(time.process_time() - began + dynamics_s), "dynamics_s": round(dynamics_s)}
        result |= {"wall_s": round(time.time() - wall + dynamics_wall_s), "device": device}
        learner.eval()
        print(json.dumps(result | play(name, lambda o: learner.select_action(o, deterministic=True))), flush=True)


if __name__ == "__main__":
    main()

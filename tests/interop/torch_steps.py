"""The cases of `benches` in PyTorch: the same networks, sizes, losses and optimiser step, written from our Rust code.

Set-up, once (any virtual environment will do; 2.4 or newer for AdamW fused on the CPU):

    python3 -m venv .cache/torch
    .cache/torch/bin/pip install --index-url https://download.pytorch.org/whl/cpu torch
    .cache/torch/bin/pip install numpy
    PYTHON=.cache/torch/bin/python bash benches/compare.sh

`torch_steps.py NAME` times one case for three seconds; `torch_steps.py --serve NAME` gives a burst for every line of
seconds on stdin and speaks the lines of `benches --serve`. DEVICE=cuda runs it there. Every batch and all noise are drawn anew at each step, as
there. Where PyTorch has a quicker form than a literal translation, it is used: AdamW fused, one clipping of the global
norm (burn clips every parameter's norm), baddbmm, F.linear, data in tensors rather than in lists, no shards (its
operations use both threads by themselves).
"""

import math
import os
import sys

THREADS = {"latency_state": 1, "latency_camera_96": 1}
NAME = sys.argv[-1]
os.environ["OMP_NUM_THREADS"] = str(THREADS.get(NAME, 2))

import torch  # noqa: E402  (the number of threads is read at import)
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from turns import serve  # noqa: E402

torch.set_num_threads(THREADS.get(NAME, 2))
torch.manual_seed(0)
torch.set_default_device(os.environ.get("DEVICE", "cpu"))

# Sizes, those of benches/src and of the defaults of the crates.
EPISODES, STEPS, STATE, STATE_ONLY, ACTION = 18, 60, 2, 8, 2
HIDDEN, GROUPS, CLASSES, WIDTH, MEMBERS, UNIMIX, FREE = 128, 8, 8, 128, 3, 0.01, 1.0
Z = GROUPS * CLASSES
KEYPOINTS, GLOBAL, PATCH_FEATURES, BLOCK_FEATURES, DECODER, PLACED = 16, 24, 32, 48, 64, 4
CAMERA = 2 * KEYPOINTS + GLOBAL
EMBEDDING = CAMERA + STATE
BLOCK, PATCH, PATCHES, PATCH_VALUES, BLOCK_VALUES = 16, 4, 16, 48, 768
CHUNK, EXECUTE, FLOW_WIDTH, FLOW_STEPS = 8, 4, 256, 6
FLAT = CHUNK * ACTION
GAMMA, BINS, CRITICS, CRITIC_WIDTH = 0.98, 41, 3, 192
REWARD, SUCCESS, HIGH = 1.0, 1.0, 1.0


def mlp(*sizes):
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers += [nn.Linear(a, b)] + ([nn.ReLU(inplace=True)] if i < len(sizes) - 2 else [])
    return nn.Sequential(*layers)


class EnsembleMlp(nn.Module):
    def __init__(self, members, *sizes):
        super().__init__()
        self.members = members
        bound = [1 / math.sqrt(a) for a in sizes]
        pairs = list(zip(sizes, sizes[1:]))
        self.w = nn.ParameterList([torch.empty(members, a, b).uniform_(-k, k) for (a, b), k in zip(pairs, bound)])
        self.b = nn.ParameterList([torch.zeros(members, 1, b) for _, b in pairs])

    def forward(self, x):
        x = x.unsqueeze(0).expand(self.members, -1, -1)
        for i, (w, b) in enumerate(zip(self.w, self.b)):
            x = torch.baddbmm(b, x, w)
            if i < len(self.w) - 1:
                x = F.relu(x)
        return x


def gumbel(*shape):
    return -torch.empty(shape).exponential_().log_()


def adamw(module, lr, weight_decay):
    return torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay, eps=1e-8, fused=True)


def descend(loss, module, optimiser):
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimiser.step()
    return loss.item()


class Data:
    """Recorded steps as flat tensors, an embedding for each."""

    def __init__(self, embedding):
        n = EPISODES * STEPS
        self.e = torch.rand(n, embedding) - 0.5
        self.action = torch.randn(n, ACTION)
        self.reward = torch.rand(n)
        self.ends = torch.arange(EPISODES) * STEPS + STEPS - 1
        self.success = torch.zeros(n)
        self.success[self.ends[::2]] = 1.0

    def sequences(self, batch, horizon):
        entry = -(-horizon // 2)
        episode = torch.randint(EPISODES, (batch,))
        start = torch.randint(STEPS - entry + 1, (batch,))
        t = start[:, None] + torch.arange(horizon + 1)
        inside = t < STEPS
        at = episode[:, None] * STEPS + t.clamp(max=STEPS - 1)
        taken = inside[:, :-1].float()
        e = self.e[at] * inside[:, :, None]
        here = at[:, :-1]
        return {
            "e": e, "action": self.action[here] * taken[:, :, None], "reward": self.reward[here] * taken,
            "success": self.success[here] * taken, "failure": torch.zeros(batch, horizon),
            "taken": taken, "observed": inside[:, 1:].float(),
        }

    def draw(self, rows):
        return torch.randint(EPISODES, (rows,)), torch.randint(STEPS, (rows,))

    def chunks(self, episode, t):
        steps = (t[:, None] + torch.arange(CHUNK)).clamp(max=STEPS - 1)
        return self.action[episode[:, None] * STEPS + steps].reshape(len(t), FLAT)


class Rssm(nn.Module):
    def __init__(self, e=EMBEDDING, state=STATE, a=ACTION):
        super().__init__()
        self.state = state
        self.begin = mlp(e, WIDTH, HIDDEN)
        self.input = nn.Linear(Z + a + e, WIDTH)
        self.gates = nn.Linear(WIDTH + HIDDEN, 3 * HIDDEN)
        self.prior = EnsembleMlp(MEMBERS, HIDDEN, WIDTH, Z + e)
        self.posterior = mlp(HIDDEN + e, WIDTH, Z)
        self.change = mlp(HIDDEN + Z + e, WIDTH, WIDTH, e)
        nn.init.zeros_(self.change[-1].weight)
        self.outcome = mlp(2 * e + a, WIDTH, 3)
        self.surprise = mlp(HIDDEN + e, WIDTH, 1)

    def log_p(self, logits):
        p = F.softmax(logits.view(-1, GROUPS, CLASSES), 2)
        return (p * (1 - UNIMIX) + UNIMIX / CLASSES).log()

    def sample(self, log_p, noise):
        noisy = log_p.detach() + noise.view(-1, GROUPS, CLASSES)
        hard = (noisy >= noisy.amax(2, keepdim=True)).float()
        p = log_p.exp()
        return (hard + p - p.detach()).reshape(-1, Z)

    def start(self, e, noise):
        h = self.begin(e).tanh()
        return e, h, self.sample(self.log_p(self.posterior(torch.cat([h, e], 1))), noise)

    def advance(self, latent, action):
        e, h, z = latent
        reset, candidate, update = self.gates(torch.cat([self.input(torch.cat([z, action, e], 1)), h], 1)).chunk(3, 1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(h, candidate, torch.sigmoid(update - 1.0))

    def changed(self, e, h, z):
        return e + self.change(torch.cat([h, z, e], 1))

    def heads(self, h):
        out = self.prior(h)
        return self.log_p(out[:, :, :Z].reshape(-1, Z)), out[:, :, Z:]

    def mean_prior(self, each):
        return each.exp().view(MEMBERS, -1, GROUPS, CLASSES).mean(0).log()

    def imagine(self, latent, action, noise):
        h = self.advance(latent, action)
        each, guesses = self.heads(h)
        variance = guesses.var(0, unbiased=False)
        disagreement = variance.sqrt().mean(1)
        # Part of what imagination costs; nothing in these cases reads it.
        self.doubt = self.log_surprise(h, latent[0]).exp() + self.by_part(variance)
        z = self.sample(self.mean_prior(each), noise)
        e = self.changed(latent[0], h, z)
        reward, success, failure = self.outcome(torch.cat([latent[0], action, e], 1)).unbind(1)
        return (e, h, z), (reward, torch.sigmoid(success), torch.sigmoid(failure), disagreement)

    def observe(self, latent, action, e, noise):
        h = self.advance(latent, action)
        return e, h, self.sample(self.log_p(self.posterior(torch.cat([h, e], 1))), noise)

    def log_surprise(self, h, e):
        return self.surprise(torch.cat([h, e], 1))[:, 0].clamp(-14.0, 4.0)

    def by_part(self, x):
        return x[:, :-self.state].mean(1) + x[:, -self.state:].mean(1)

    def error(self, predicted, seen):
        return self.by_part((predicted - seen).square())

    def loss(self, s, noise, bootstrap):
        batch, steps, _ = s["action"].shape
        observed = self.start(s["e"][:, 0], noise[0, 0])
        imagined = self.start(s["e"][:, 0], noise[1, 0])
        before, hs, zs, posteriors, imagination = [], [], [], [], [imagined[0]]
        for i in range(steps):
            action, following = s["action"][:, i], s["e"][:, i + 1]
            h = self.advance(observed, action)
            q = self.log_p(self.posterior(torch.cat([h, following], 1)))
            z = self.sample(q, noise[0, i + 1])
            posteriors.append(q)
            before.append(observed[0]), hs.append(h), zs.append(z)
            observed = following, h, z
            h = self.advance(imagined, action)
            z = self.sample(self.mean_prior(self.heads(h)[0]), noise[1, i + 1])
            e = self.changed(imagined[0], h, z)
            imagination.append(e)
            imagined = e, h, z
        flat = lambda x: x.t().reshape(-1)
        before, h, z = torch.cat(before), torch.cat(hs), torch.cat(zs)
        imagined_before, imagined_next = torch.cat(imagination[:-1]), torch.cat(imagination[1:])
        following = s["e"][:, 1:].transpose(0, 1).reshape(steps * batch, -1)
        seen = flat(s["observed"])
        count = seen.sum().clamp(min=1)
        off = self.error(self.changed(before, h, z), following)
        log_off = self.log_surprise(h.detach(), before)
        surprise = ((off.detach() * (-log_off).exp() + log_off) * seen).sum() / count
        one_step = (off * seen).sum() / count
        many_step = (self.error(imagined_next, following) * seen).sum() / count
        each, guesses = self.heads(h)
        learns = bootstrap.transpose(0, 1).reshape(MEMBERS, -1)
        wrong = (guesses - (following - before)).square().mean(2)
        guess = (wrong * learns * seen).sum() / (count * MEMBERS)
        prior = self.mean_prior(each)
        kl = (self.kl(torch.cat(posteriors), prior, each, learns) * seen).sum() / count
        action = s["action"].transpose(0, 1).reshape(steps * batch, -1)
        ahead = self.changed(before, h, self.sample(prior, noise[0, 1:].reshape(-1, Z)))
        dynamics = one_step + many_step + guess + kl * 0.1 + surprise * 0.02

        twice = lambda x: flat(x).repeat(2)
        rows = torch.cat([
            torch.cat([before, imagined_before]).detach(), action.repeat(2, 1),
            torch.cat([ahead, imagined_next]).detach(),
        ], 1)
        taken = twice(s["taken"])
        taken_count = taken.sum().clamp(min=1)
        reward, success, failure = self.outcome(rows).unbind(1)
        mean = lambda x: (x * taken).sum() / taken_count
        reward = mean((reward - twice(s["reward"])).square())
        success = mean(F.softplus(success) - success * twice(s["success"]))
        failure = mean(F.softplus(failure) - failure * twice(s["failure"]))
        return dynamics + reward * 10 + success * 3 + failure

    def kl(self, q, mean_log, each, learns):
        kl = lambda p, r: (p.exp() * (p - r)).sum((-1, -2))
        heads = kl(q.detach().unsqueeze(0), each.view(MEMBERS, -1, GROUPS, CLASSES)).clamp(min=FREE)
        return (heads * learns).sum(0) / MEMBERS * 0.5 + kl(q, mean_log.detach()).clamp(min=FREE) * 0.1


def rssm_case(batch, horizon):
    data, net = Data(EMBEDDING), Rssm()
    optimiser = adamw(net, 1e-3, 1e-4)

    def step():
        s = data.sequences(batch, horizon)
        bootstrap = (torch.rand(horizon, MEMBERS, batch) < 0.7).float()
        descend(net.loss(s, gumbel(2, horizon + 1, batch, Z), bootstrap), net, optimiser)

    return step


class Ensemble(nn.Module):
    def __init__(self, e, a=ACTION, members=5, width=200):
        super().__init__()
        self.e, self.count = e, members
        self.members = EnsembleMlp(members, e + a, width, width, 2 * (e + 1))
        self.success, self.failure = mlp(2 * e + a, width, 1), mlp(2 * e + a, width, 1)

    def gaussians(self, e, action):
        out = self.members(torch.cat([e, action], 1))
        width = self.e + 1
        below = 1.0 - F.softplus(1.0 - out[:, :, width:])
        return out[:, :, :width], F.softplus(below + 10.0) - 10.0

    def loss(self, s, bootstrap):
        batch, steps, _ = s["action"].shape
        n = batch * steps
        e, following = s["e"][:, :-1].reshape(n, -1), s["e"][:, 1:].reshape(n, -1)
        action, reward, taken = s["action"].reshape(n, -1), s["reward"].reshape(n), s["taken"].reshape(n)
        seen = s["observed"].reshape(n)
        mean, log_variance = self.gaussians(e, action)
        target = torch.cat([following - e, reward[:, None]], 1)
        weight = torch.cat([seen[:, None].expand(n, self.e), taken[:, None]], 1)
        learns = bootstrap.permute(1, 2, 0).reshape(self.count, n, 1)
        weight = weight * learns
        squared = (mean - target).square()
        errors = (squared * weight).sum(1) / weight.sum(1).clamp(min=1)
        roots = (errors + 1e-8).log() / 2
        step = ((roots[:, : self.e].mean(1).exp() * self.e + roots[:, self.e].exp()) / (self.e + 1)).mean()
        nll = (squared.detach() * (-log_variance).exp() + log_variance) * weight
        nll = (nll.sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)).mean()
        with torch.no_grad():
            expected = e + mean.mean(0)[:, : self.e]
        rows = torch.cat([e, action, expected + (following - expected) * seen[:, None]], 1)
        count = taken.sum().clamp(min=1)
        bernoulli = lambda x, y: ((F.softplus(x) - x * y) * taken).sum() / count
        success = bernoulli(self.success(rows)[:, 0], s["success"].reshape(n))
        return step + nll + success + bernoulli(self.failure(rows)[:, 0], s["failure"].reshape(n))


def ensemble_case(batch=64, horizon=16):
    data, net = Data(STATE_ONLY), Ensemble(STATE_ONLY)
    optimiser = adamw(net, 1e-3, 1e-4)

    def step():
        s = data.sequences(batch, horizon)
        descend(net.loss(s, (torch.rand(horizon, 5, batch) < 0.7).float()), net, optimiser)

    return step


def centres(blocks):
    side = math.isqrt(blocks)
    at = []
    for i in range(blocks * PATCHES):
        block, patch = divmod(i, PATCHES)
        x, y = (block % side) * BLOCK + (patch % 4) * PATCH, (block // side) * BLOCK + (patch // 4) * PATCH
        at.append([(v + PATCH / 2) * 2 / (side * BLOCK) - 1 for v in (x, y)])
    return torch.tensor(at)


def to_blocks(frames):
    """uint8 [B, size, size, 3] to [B, M, 768]."""
    b, size = frames.shape[:2]
    m = size // BLOCK
    x = frames.view(b, m, 4, PATCH, m, 4, PATCH, 3).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(b, m * m, BLOCK_VALUES).float().div_(255.0).sub_(0.5)


class PatchEncoder(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.patch = nn.Linear(PATCH_VALUES, PATCH_FEATURES)
        self.detect = nn.Linear(PATCH_FEATURES, KEYPOINTS)
        self.block = nn.Linear(PATCHES * PATCH_FEATURES, BLOCK_FEATURES)
        self.head = mlp(blocks * BLOCK_FEATURES, 2 * DECODER, GLOBAL)
        self.register_buffer("centres", centres(blocks))

    def forward(self, picture):
        batch, blocks, _ = picture.shape
        places = blocks * PATCHES
        patches = F.relu(self.patch(picture.view(batch * places, PATCH_VALUES)))
        weights = F.softmax((self.detect(patches).view(batch, places, KEYPOINTS) * 8.0).transpose(1, 2), 2)
        points = (weights @ self.centres).reshape(batch, 2 * KEYPOINTS)
        features = F.relu(self.block(patches.view(batch * blocks, -1)))
        whole = self.head(features.view(batch, -1))
        whole = whole - whole.mean(1, keepdim=True)
        whole = whole / (whole.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return torch.cat([points * 2.0, whole], 1)


class PatchDecoder(nn.Module):
    """With `placed` points read off the state, which is then seen too."""

    def __init__(self, blocks, placed=0):
        super().__init__()
        self.points, self.seen = KEYPOINTS + placed, CAMERA + (STATE if placed else 0)
        self.place = mlp(STATE, DECODER, 2 * placed) if placed else None
        self.near = nn.Linear(8 * self.points + PATCH_VALUES, DECODER)
        self.whole = nn.Linear(2 * (self.seen - 2 * KEYPOINTS), DECODER)
        self.mix = nn.Linear(DECODER, DECODER)
        self.paint = nn.Linear(DECODER, PATCH_VALUES + PATCH_VALUES // 3)
        self.register_buffer("centres", centres(blocks))

    def around(self, e):
        points = e[:, : 2 * KEYPOINTS] / 2.0
        if self.place:
            points = torch.cat([points, self.place(e[:, CAMERA:])], 1)
        points = points.view(-1, 1, self.points, 2)
        d = self.centres.view(1, -1, 1, 2) - points
        dx, dy = d[..., 0], d[..., 1]
        squared = dx * dx + dy * dy
        near, wide = (squared * -60.0).exp(), (squared * -5.0).exp()
        return torch.cat([near, dx * wide * 4.0, dy * wide * 4.0, wide], 2)

    def forward(self, e, e_reference, reference):
        batch, blocks, _ = reference.shape
        places, pixels = blocks * PATCHES, PATCH_VALUES // 3
        rest = 2 * KEYPOINTS
        whole = self.whole(torch.cat([e[:, rest : self.seen], e_reference[:, rest : self.seen]], 1))
        patches = reference.view(batch, places, PATCH_VALUES)
        near = self.near(torch.cat([self.around(e), self.around(e_reference), patches], 2))
        out = self.paint(F.relu(self.mix(F.relu(near + whole[:, None]))))
        paint = out[..., :PATCH_VALUES].reshape(batch, places, pixels, 3)
        gate = torch.sigmoid(out[..., PATCH_VALUES:] - 1.0)[..., None]
        patches = patches.view(batch, places, pixels, 3)
        return torch.lerp(patches, paint, gate).view(batch, blocks, BLOCK_VALUES)


class Representation(nn.Module):
    def __init__(self, size):
        super().__init__()
        blocks, width = (size // BLOCK) ** 2, 2 * DECODER
        self.encoder, self.decoder, self.display = PatchEncoder(blocks), PatchDecoder(blocks), PatchDecoder(blocks, PLACED)
        self.inverse = mlp(2 * EMBEDDING, width, ACTION)
        self.ahead = mlp(EMBEDDING + ACTION, width, EMBEDDING)
        nn.init.zeros_(self.ahead[-1].weight)
        self.reward, self.value = mlp(EMBEDDING + ACTION, width, 1), mlp(EMBEDDING, width, 1)

    def encode(self, picture, state):
        return torch.cat([self.encoder(picture), state], 1)

    def loss(self, pictures, states, action, reward, value):
        now, following, reference = (self.encode(p, s) for p, s in zip(pictures, states))
        acted = torch.cat([now, action], 1)
        inverse = (self.inverse(torch.cat([now, following], 1)) - action).square().mean()
        ahead = (now + self.ahead(acted) - following).square().mean()
        reward = (self.reward(acted) - reward).square().mean()
        value = (self.value(now) - value).square().mean()
        shown, seen = pictures[0], pictures[2]
        moved = ((shown - seen).abs() > 0.1).float() * 3.0 + 1.0
        painted = self.decoder(now, reference, seen)
        picture = ((painted - shown).square() * moved).mean()
        half = len(shown) // 2
        painted = self.display(now[:half].detach(), reference[:half].detach(), seen[:half])
        picture = picture + ((painted - shown[:half]).square() * moved[:half]).mean()
        return picture * 100 + (inverse * 0.3 + ahead * 3 + reward * 100 + value * 10) * 0.3


def representation_case(size, batch=64):
    n = EPISODES * STEPS
    frames = torch.randint(256, (n, size, size, 3), dtype=torch.uint8)
    data, net = Data(EMBEDDING), Representation(size)
    state, value = torch.randn(n, STATE), torch.rand(n, 1)
    optimiser = adamw(net, 2e-3, 1e-4)

    def step():
        episode = torch.randint(EPISODES, (batch,)) * STEPS
        t, reference = torch.randint(STEPS - 1, (batch,)), torch.randint(STEPS, (batch,))
        at = [episode + t, episode + t + 1, episode + reference]
        pictures, states = [to_blocks(frames[i]) for i in at], [state[i] for i in at]
        now = at[0]
        descend(net.loss(pictures, states, data.action[now], data.reward[now, None], value[now]), net, optimiser)

    return step


class Flow(nn.Module):
    def __init__(self, e=EMBEDDING):
        super().__init__()
        w = FLOW_WIDTH
        self.net = mlp(FLAT + 8 + e, w, w, w, FLAT)
        self.register_buffer("angles", math.pi / 2 * torch.tensor([[1.0, 2.0, 4.0, 8.0]]))

    def velocity(self, x, tau, e):
        angle = tau * self.angles
        return self.net(torch.cat([x, angle.sin(), angle.cos(), e], 1))

    def loss(self, e, chunk, noise, tau, weight):
        error = (self.velocity(torch.lerp(noise, chunk, tau), tau, e) - (chunk - noise)).square().mean(1)
        return (error * weight).sum() / weight.sum().clamp(min=1e-6)

    @torch.no_grad()
    def act(self, e, noise):
        x = noise
        for i in range(FLOW_STEPS):
            x = x + self.velocity(x, torch.full((len(e), 1), i / FLOW_STEPS), e) / FLOW_STEPS
        return x


def cloning_case(batch=256):
    data, net = Data(EMBEDDING), Flow()
    optimiser = adamw(net, 1e-3, 1e-4)

    def step():
        episode, t = data.draw(batch)
        noise, tau = torch.randn(batch, FLAT), torch.rand(batch, 1)
        loss = net.loss(data.e[episode * STEPS + t], data.chunks(episode, t), noise, tau, torch.ones(batch))
        descend(loss, net, optimiser)

    return step


def outcome(predictions, end):
    going, value = torch.ones_like(end), torch.zeros_like(end)
    success, disagreement, weight = torch.zeros_like(end), torch.zeros_like(end), torch.zeros_like(end)
    for k, (r, p, f, d) in enumerate(predictions):
        solved = going * p
        value = value + (going * r.clamp(0.0, HIGH) * (1 - GAMMA) + solved * GAMMA) * GAMMA**k
        success, disagreement, weight = success + solved, disagreement + going * d, weight + going
        going = going * (1 - p) * (1 - f)
    value = value + going * end * GAMMA ** len(predictions)
    return value, success, disagreement / weight.clamp(min=1e-6)


def latents_at(model, data, episode, t, context):
    rows = len(t)
    latent = model.start(data.e[episode * STEPS + (t - context).clamp(min=0)], gumbel(rows, Z))
    for back in reversed(range(context)):
        here = (t - back).clamp(min=0)
        e, noise = data.e[episode * STEPS + here], gumbel(rows, Z)
        begun = model.start(e, noise)
        seen = model.observe(latent, data.action[episode * STEPS + (here - 1).clamp(min=0)], e, noise)
        new = (t <= back)[:, None]
        latent = e, torch.where(new, begun[1], seen[1]), torch.where(new, begun[2], seen[2])
    return latent


def imagine(model, latent, actor, noise):
    latents, predictions, queue = [], [], []
    for n in noise:
        if not queue:
            queue = actor(latent[0])
        latent, prediction = model.imagine(latent, queue.pop(0), n)
        latents.append(latent), predictions.append(prediction)
    return latents, predictions


def split(chunk, execute):
    return [chunk[:, k * ACTION : (k + 1) * ACTION] for k in range(execute)]


@torch.no_grad()
def imagination_step(model, policy, data, starts=256, samples=4, horizon=15):
    rows = starts * samples
    episode = torch.arange(starts).remainder(6).repeat_interleave(samples)
    latent = latents_at(model, data, episode, torch.zeros(rows, dtype=torch.long), 0)
    actor = lambda e: split(policy.act(e, torch.randn(rows, FLAT)), EXECUTE)
    _, predictions = imagine(model, latent, actor, [gumbel(rows, Z) for _ in range(horizon)])
    value, success, _ = outcome(predictions, predictions[-1][0].clamp(0.0, HIGH))
    beyond = torch.stack([p[3] for p in predictions]).gt(1.0).float().mean(0)
    return [x.view(-1, samples).mean(1).tolist() for x in (value, success, beyond)]


def imagination_case():
    model, policy, data = Rssm(), Flow(), Data(EMBEDDING)
    return lambda: imagination_step(model, policy, data)


@torch.no_grad()
def branches_step(model, data, samples=64, horizon=20):
    episode, t = torch.zeros(samples, dtype=torch.long), torch.full((samples,), 10)
    latent = latents_at(model, data, episode, t, 3)
    recorded, step = data.action, iter(range(10, 10 + horizon))
    first = recorded[10]

    def actor(_):
        return [(first + 0.5 * (recorded[min(next(step), STEPS - 1)] - first)).expand(samples, ACTION)]

    latents, predictions = imagine(model, latent, actor, [gumbel(samples, Z) for _ in range(horizon)])
    return outcome(predictions, latents[-1][0][:, 0])[0].tolist()


def branches_case():
    model, data = Rssm(), Data(EMBEDDING)
    return lambda: branches_step(model, data)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.members = EnsembleMlp(CRITICS, EMBEDDING, CRITIC_WIDTH, CRITIC_WIDTH, BINS)
        self.register_buffer("bins", torch.linspace(0.0, HIGH, BINS))

    def values(self, e):
        return F.softmax(self.members(e), 2) @ self.bins

    def mean(self, e):
        return self.values(e).mean(0)

    def cautious(self, e):
        values = self.values(e)
        return values.mean(0) - values.std(0, unbiased=False)

    def loss(self, e, target, weight):
        position = target.clamp(0.0, HIGH) * ((BINS - 1) / HIGH)
        code = (1.0 - (position[:, None] - torch.arange(BINS)).abs()).clamp(min=0)
        each = -(F.log_softmax(self.members(e), 2) * code).sum(2)
        return (each.mean(0) * weight).sum() / weight.sum().clamp(min=1e-6)


class Improvement:
    STARTS, N, SEGMENTS, SHARP, CONTEXT = 32, 12, 3, 3.0, 3

    def __init__(self):
        self.model, self.data = Rssm(), Data(EMBEDDING)
        self.clone, self.actor, self.critic, self.slow = Flow(), Flow(), Critic(), Critic()
        self.actor_optimiser, self.critic_optimiser = adamw(self.actor, 4e-4, 1e-5), adamw(self.critic, 5e-4, 1e-4)
        for network in (self.model, self.clone, self.slow):
            network.requires_grad_(False)

    @torch.no_grad()
    def rehearse(self):
        starts, n, half = self.STARTS, self.N, self.N // 2
        episode, t = self.data.draw(starts)
        latent = latents_at(self.model, self.data, episode, t, self.CONTEXT)
        alive, rows = torch.ones(starts), []
        for _ in range(self.SEGMENTS):
            wide = tuple(x.repeat_interleave(n, 0) for x in latent)
            e = latent[0].repeat_interleave(half, 0)
            act = lambda policy: policy.act(e, torch.randn(starts * half, FLAT)).view(starts, half, FLAT)
            actions = torch.cat([act(self.clone), act(self.actor)], 1).view(starts * n, FLAT)
            noise = [gumbel(starts, Z).repeat_interleave(n, 0) for _ in range(CHUNK)]
            latents, predictions = imagine(self.model, wide, lambda _: split(actions, CHUNK), noise)
            value, _, doubt = outcome(predictions, self.slow.cautious(latents[-1][0]))
            group = value.view(starts, n)
            spread = (group - group.mean(1, keepdim=True)).square().mean().sqrt().clamp(min=1e-5)
            scores = group / spread - doubt.view(starts, n) - (doubt.view(starts, n) > 1.0).float() * 5.0
            chosen = torch.multinomial(F.softmax(self.SHARP * scores, 1), 1)[:, 0]
            row = torch.arange(starts) * n + chosen
            own = half + (n - half + 1) // 2
            rows.append((latent[0], actions[row], group[:, half:own].mean(1), alive.clone()))
            other = half + torch.randint((n - half + 1) // 2, (starts,))
            onward = torch.arange(starts) * n + torch.where(torch.rand(starts) < 0.5, other, chosen)
            alive = alive * (doubt[onward] <= 1.0)
            for _, p, f, _ in predictions[:EXECUTE]:
                alive = alive * ((1 - p) * (1 - f))[onward]
            latent = tuple(x[onward] for x in latents[EXECUTE - 1])
        return [torch.cat(x) for x in zip(*rows)]

    @torch.no_grad()
    def n_step(self, episode, t, n):
        k = torch.arange(n)
        steps = t[:, None] + k
        inside = (steps < STEPS).float()
        reward = self.data.reward[episode[:, None] * STEPS + steps.clamp(max=STEPS - 1)]
        total = (reward * inside * (1 - GAMMA) * GAMMA**k).sum(1)
        end = episode * STEPS + (t + n).clamp(max=STEPS - 1)
        return total + GAMMA**n * (t + n < STEPS).float() * self.slow.mean(self.data.e[end])

    def step(self):
        e, chunk, value, weight = self.rehearse()
        episode, t = self.data.draw(2 * self.STARTS)
        recorded = self.data.e[episode * STEPS + t]
        with torch.no_grad():
            advantage = self.n_step(episode, t, CHUNK) - self.slow.mean(recorded)
            spread = advantage.square().mean().sqrt().clamp(min=1e-4)
            leash = (self.SHARP * advantage / spread).clamp(-10, 3).exp()
            target = self.n_step(episode, t, 1)
        loss = self.critic.loss(e, value, weight) * 2 + self.critic.loss(recorded, target, torch.ones_like(target))
        descend(loss / 3, self.critic, self.critic_optimiser)
        with torch.no_grad():
            slow, fast = list(self.slow.parameters()), list(self.critic.parameters())
            torch._foreach_lerp_(slow, fast, 0.02)
        rows = 3 * len(e)
        thrice = lambda x: x.repeat(3, *[1] * (x.dim() - 1))
        chosen = self.actor.loss(
            thrice(e), thrice(chunk), torch.randn(rows, FLAT), torch.rand(rows, 1), thrice(weight)
        )
        rows = len(recorded)
        cloned = self.actor.loss(
            recorded, self.data.chunks(episode, t), torch.randn(rows, FLAT), torch.rand(rows, 1), leash
        )
        descend((chosen * 2 + cloned) / 3, self.actor, self.actor_optimiser)


def latency_case(size):
    state = STATE if size else STATE_ONLY
    policy = Flow((CAMERA if size else 0) + state).eval()
    encoder = PatchEncoder((size // BLOCK) ** 2).eval() if size else None
    picture = torch.randint(256, (96 * 96 * 3,), dtype=torch.uint8, device="cpu").numpy().tobytes()

    @torch.inference_mode()
    def step():
        parts = [torch.tensor([[0.1] * state])]
        if encoder:
            parts.insert(0, encoder(to_blocks(torch.frombuffer(bytearray(picture), dtype=torch.uint8).view(1, 96, 96, 3))))
        chunk = policy.act(torch.cat(parts, 1), torch.randn(1, FLAT))
        return chunk[0, : EXECUTE * ACTION].clamp(-3.0, 3.0).tolist()

    return step


def sampling_case():
    data = Data(EMBEDDING)
    return lambda: data.sequences(48, 16)["reward"].tolist()


CASES = {
    "rssm_b8_t32": lambda: rssm_case(8, 32),
    "rssm_demo": lambda: rssm_case(48, 16),
    "representation_demo": lambda: representation_case(48),
    "representation_64": lambda: representation_case(64),
    "representation_96": lambda: representation_case(96),
    "ensemble": ensemble_case,
    "cloning": cloning_case,
    "improvement": lambda: Improvement().step,
    "imagination_b1024_h15": imagination_case,
    "branches_k64_h20": branches_case,
    "latency_state": lambda: latency_case(None),
    "latency_camera_96": lambda: latency_case(96),
    "sampling": sampling_case,
}


def main():
    if NAME not in CASES:
        sys.exit(f"no case '{NAME}'; expected one of: {', '.join(CASES)}")
    serve(NAME, CASES[NAME]())


main()

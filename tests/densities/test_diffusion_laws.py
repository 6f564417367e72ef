"""What every member of diffusion, autoencoders and adversarial obeys, with small networks; losses at closed forms."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.densities.adversarial import ConditionalGAN
from jaxhep.densities.autoencoders import VAE, LatentDiffusion, ParametrisedVAE
from jaxhep.densities.diffusion import (
    Diffusion,
    Distillation,
    DPMSolver,
    EulerMaruyama,
    FlowMatching,
    Heun,
    MeanFlow,
    SchroedingerBridge,
)
from jaxhep.training import learned, trainable_labels
from jaxhep.training.specification import leaf_paths
from tests.densities.gaussians import PATHS, PULL, ExactBridge, ExactField, ExactMeanFlow

DIM, CONDITION, LATENT = 2, 1, 2
KEY = jax.random.key(4)


class Small(eqx.Module):
    """Two layers, made without compilation."""

    parameters: dict = learned()

    def __init__(self, in_size, out_size):
        rng = np.random.default_rng(in_size + 10 * out_size)
        first, last = rng.normal(size=(6, in_size)), rng.normal(size=(out_size, 6)) / 2
        self.parameters = {"first": jnp.asarray(first, jnp.float32), "last": jnp.asarray(last, jnp.float32)}

    def __call__(self, x, condition=None, *, time=None):
        more = [a for a in (condition, None if time is None else time[None]) if a is not None]
        return self.parameters["last"] @ jnp.tanh(self.parameters["first"] @ jnp.concatenate([x, *more]))


def network(in_size, out_size, condition=CONDITION, time=1):
    return Small(in_size + condition + time, out_size)


def diffusion(path, sampler):
    return Diffusion(network(DIM, DIM), dim=DIM, condition_dim=CONDITION, path=PATHS[path](), sampler=sampler)


def mean_flow():
    return MeanFlow(network(DIM, DIM, CONDITION + 1), dim=DIM, condition_dim=CONDITION, num_steps=2)


def coder(cls, extra=0):
    parts = (network(DIM, 2 * LATENT, CONDITION + extra, 0), network(LATENT, DIM, CONDITION + extra, 0))
    return cls(*parts, dim=DIM, latent_dim=LATENT, condition_dim=CONDITION)


MEMBERS = {
    "edm": lambda: diffusion("edm", Heun(num_steps=3)),
    "vp": lambda: diffusion("vp", DPMSolver(num_steps=3)),
    "flow_matching": lambda: diffusion("flow_matching", EulerMaruyama(num_steps=3)),
    "mean_flow": mean_flow,
    "distillation": lambda: Distillation(mean_flow(), diffusion("flow_matching", Heun(num_steps=2))),
    "bridge": lambda: SchroedingerBridge(network(DIM, DIM), DIM, CONDITION, num_steps=3),
    "vae": lambda: coder(VAE),
    "parametrised_vae": lambda: coder(ParametrisedVAE, 1),
    "latent_diffusion": lambda: LatentDiffusion(
        network(DIM, LATENT, 0, 0), network(LATENT, DIM, CONDITION, 0), network(LATENT, LATENT), DIM, LATENT, CONDITION,
        sampler=DPMSolver(num_steps=3),
    ),
    "r3gan": lambda: ConditionalGAN(network(2, DIM, 1, 0), network(DIM, 1, 1, 0), DIM, 2, CONDITION),
    "wgan_gp": lambda: ConditionalGAN(network(2, DIM, 1, 0), network(DIM, 1, 1, 0), DIM, 2, CONDITION, game="wgan_gp"),
}  # fmt: skip


# The other two are compiled in tests of their own, below and in test_adversarial.
COMPILED = [name for name in MEMBERS if name not in ("distillation", "wgan_gp")]


@cache
def results(name):
    """Samples, losses and the gradients of their sum for a batch, compiled once; the second event has x, c and noise of
    the first."""
    model = MEMBERS[name]()
    x = jnp.array([[0.3, -0.2], [0.3, -0.2], [1.5, 2.0]])
    c = jnp.array([[0.5], [0.5], [-1.0]])
    keys = jax.random.split(KEY, 2)[np.array([0, 0, 1])]

    @eqx.filter_jit
    def run(model, x, c, keys):
        def one(x, c, key):
            noise, drawn = model.loss_noise(key), model.sample_noise(key)

            def total(both):
                own, condition = both
                sample, loss = own.sample(drawn, condition), own.loss(x, condition, noise)
                return loss + jnp.sum(sample**2), (sample, loss)

            (_, values), gradients = eqx.filter_value_and_grad(total, has_aux=True)((model, c))
            return values, gradients, (noise, drawn)

        return jax.vmap(one)(x, c, keys)

    return model, (x, c, keys), run(model, x, c, keys)


@pytest.mark.parametrize("name", COMPILED)
def test_shapes_noise_and_finite_gradients(name):
    _, _, ((samples, losses), (by_model, by_condition), noises) = results(name)
    assert samples.shape == (3, DIM)
    assert losses.shape == (3,)
    for leaf in jax.tree.leaves((samples, losses, by_model, by_condition)):
        assert np.all(np.isfinite(np.asarray(leaf)))
    for u in jax.tree.leaves(noises):
        assert np.all((np.asarray(u) > 0) & (np.asarray(u) < 1))
    assert np.any(np.asarray(by_condition) != 0)
    assert any(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(by_model))


@pytest.mark.parametrize("name", COMPILED)
def test_noise_is_replayed(name):
    _, _, ((samples, losses), _, _) = results(name)
    for value in (samples, losses):
        np.testing.assert_allclose(value[0], value[1], rtol=1e-6)
        assert np.any(np.asarray(value[0] != value[2]))


@pytest.mark.parametrize("name", ["edm", "r3gan"])
def test_one_event_without_batch_and_compilation(name):
    model, (x, c, keys), ((samples, losses), _, _) = results(name)
    np.testing.assert_allclose(model.loss(x[2], c[2], model.loss_noise(keys[2])), losses[2], rtol=2e-4)
    np.testing.assert_allclose(model.sample(model.sample_noise(keys[2]), c[2]), samples[2], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", MEMBERS)
def test_what_is_trained_is_declared(name):
    model = MEMBERS[name]()
    labels = trainable_labels(model, getattr(model, "trainable", None))
    assert any(labels)
    paths = leaf_paths(model)
    trained = {p for p, label in zip(paths, labels, strict=True) if label}
    assert all("parameters" in p or p in ("log_variance", "schedule.limits", "schedule.shape") for p in trained)
    if name == "distillation":
        assert not any(p.startswith("teacher") for p in trained)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_wrong_condition_is_said(name):
    model = MEMBERS[name]()
    with pytest.raises(ValueError, match="condition_dim=1"):
        jax.eval_shape(lambda k: model.sample(model.sample_noise(k), jnp.zeros(3)), KEY)
    with pytest.raises(ValueError, match="condition_dim=1"):
        jax.eval_shape(lambda k: model.loss(jnp.zeros(DIM), None, model.loss_noise(k)), KEY)


def exact(name):
    """A density whose field is that of its data, and the data's mean, width and start (for the bridge)."""
    mean, width = jnp.array([0.5]), jnp.array([0.6])
    if name in PATHS:
        return Diffusion(ExactField(PATHS[name](), mean, width), dim=1, path=PATHS[name]()), mean, width
    if name == "bridge":  # independent ends, as its own loss draws them
        return SchroedingerBridge(ExactBridge(mean, width, 0.0, 0.4), dim=1, diffusion=0.4), mean, width
    student = MeanFlow(ExactMeanFlow(mean, width), dim=1, share=0.7, power=0.0)
    if name == "mean_flow":
        return student, mean, width
    return Distillation(student, Diffusion(ExactField(FlowMatching(), mean, width), dim=1)), mean, width


@pytest.mark.parametrize("name", [*PATHS, "bridge", "mean_flow", "distillation"])
def test_the_loss_is_least_at_the_closed_form(name):
    """The derivative of the expected loss, with independent samples, by disturbances of the exact field, is zero."""
    density, mean, width = exact(name)
    where = (lambda m: m.student.network.disturbance) if name == "distillation" else (lambda m: m.network.disturbance)

    @jax.jit
    def slopes(x, keys, disturbance):
        def one(x, key):
            noise = density.loss_noise(key)

            def at(disturbance):
                return eqx.tree_at(where, density, disturbance).loss(x, None, noise)

            return jax.grad(at)(disturbance)

        return jax.vmap(one)(x, keys)

    count = 8000
    x = mean + width * jnp.asarray(np.random.default_rng(6).normal(size=(count, 1)), jnp.float32)
    keys = jax.random.split(KEY, count)
    at_zero, off = (np.asarray(slopes(x, keys, jnp.full(3, d)), float) for d in (0.0, 0.3))
    error = at_zero.std(axis=0) / np.sqrt(count)
    if name == "distillation":  # the target has no noise at all: the loss itself is zero
        assert np.all(np.abs(at_zero) < 1e-3)
    else:
        assert np.all(np.abs(at_zero.mean(axis=0)) < PULL * error)
    assert np.max(np.abs(off.mean(axis=0)) / (off.std(axis=0) / np.sqrt(count))) > 2 * PULL


def test_mean_flow_identity_and_one_step():
    """u = v − (t−r)(v·∂u + ∂_t u) for the exact u, and one step is as good as ten, in float64."""
    with jax.enable_x64(True):
        mean, width = jnp.array([0.5, -1.0]), jnp.array([0.6, 1.4])
        flow = MeanFlow(ExactMeanFlow(mean, width), dim=2)
        teacher = Diffusion(ExactField(FlowMatching(), mean, width), dim=2)
        z = jnp.array([0.2, 0.9])
        for r, t in ((0.1, 0.8), (0.0, 1.0), (0.5, 0.5)):
            times = jnp.asarray(r), jnp.asarray(t)
            value, target = flow.target(z, *times, teacher.velocity(z, times[1]))
            np.testing.assert_allclose(value, target, atol=1e-10)
        noise = flow.sample_noise(KEY)
        once = flow.sample(noise)
        np.testing.assert_allclose(MeanFlow(flow.network, dim=2, num_steps=10).sample(noise), once, atol=1e-10)
    with pytest.raises(ValueError, match="path FlowMatching"):
        Distillation(flow, diffusion("edm", Heun()))

"""Diffusion and flow matching as a conditional density."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Key, Noise, Scalar
from ...noise import normal, uniforms
from ...training import constant
from .._base import AbstractTractableDensity, Condition
from .likelihood import EXACT_DIM, flow_log_likelihood
from .paths import AbstractPath, FlowMatching, real
from .samplers import AbstractSampler, AdaptiveODE
from .samplers._base import Field, velocity


@final
class Diffusion(AbstractTractableDensity):
    r"""A density learned by reversing the way from data to noise.

    The loss of one event is \(w_t|F-F^*|^2\), with the network's output F at \(x_t=\alpha_tx+\sigma_t\varepsilon\) and
    the `path`'s target F*; its minimum is the conditional mean, and with it the score
    \(\nabla\log p_t=-\hat\varepsilon/\sigma_t\). Samples come from the `sampler`, which may be replaced after
    training; `log_prob` integrates the probability flow, whatever the sampler.

    **Arguments**

    - `network`: called as network(x, condition, time=t) for one event, returns (dim,); e.g.
      `jaxhep.networks.make_network("diffusion", …)`.
    - `dim`, `condition_dim`: sizes of x, which should be standardised, and of c.
    - `path`: `EDM`, `VariancePreserving` or `FlowMatching`, the default.
    - `sampler`: default `AdaptiveODE`.
    - `divergence`: for `log_prob`: `"exact"`, `"hutchinson"`, or `"auto"`, exact up to 20 dimensions. Hutchinson's
      estimate uses one fixed probe; `log_prob_estimate` draws one.
    - `rtol`, `atol`: tolerances of `log_prob`.

    **Raises** `ValueError` for a size out of range or an unknown divergence.

    >>> import jax
    >>> from jaxhep.densities.diffusion import Diffusion, FlowMatching, Heun
    >>> from jaxhep.networks import make_network
    >>> network = make_network("residual_mlp", in_size=2, out_size=2, width=8, time_features=4, key=jax.random.key(0))
    >>> density = Diffusion(network, dim=2, path=FlowMatching(), sampler=Heun(num_steps=2))
    >>> density.sample(density.sample_noise(jax.random.key(1))).shape
    (2,)
    """

    network: Any
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    path: AbstractPath
    sampler: AbstractSampler
    divergence: str = eqx.field(static=True)
    rtol: Scalar = constant()
    atol: Scalar = constant()

    def __init__(
        self,
        network: Any,
        dim: int,
        condition_dim: int = 0,
        path: AbstractPath | None = None,
        sampler: AbstractSampler | None = None,
        divergence: str = "auto",
        rtol: float | Array = 1e-5,
        atol: float | Array = 1e-5,
    ):
        check_sizes(dim, condition_dim)
        if divergence not in ("auto", "exact", "hutchinson"):
            raise ValueError(f"divergence must be 'auto', 'exact' or 'hutchinson', got {divergence!r}")
        self.network, self.dim, self.condition_dim, self.divergence = network, dim, condition_dim, divergence
        self.path = FlowMatching() if path is None else path
        self.sampler = AdaptiveODE() if sampler is None else sampler
        self.rtol, self.atol = real(rtol), real(atol)

    def output(self, x: Float[Array, " dim"], t: Scalar, condition: Condition = None) -> Float[Array, " dim"]:
        """The network's output at x_t = x."""
        scaled, clock = self.path.network_input(x, t)
        result: Array = self.network(scaled, condition, time=clock)
        return result

    def field(self, condition: Condition = None) -> Field:
        """The function (x, t) ↦ (x̂, ε̂) of one condition."""
        check_condition(condition, self.condition_dim)

        def estimates(x: Array, t: Array) -> tuple[Array, Array]:
            return self.path.estimates(self.output(x, t, condition), x, t)

        return estimates

    def velocity(self, x: Float[Array, " dim"], t: Scalar, condition: Condition = None) -> Float[Array, " dim"]:
        """dx/dt of the probability flow."""
        return velocity(self.field(condition), self.path, x, t)

    def score(self, x: Float[Array, " dim"], t: Scalar, condition: Condition = None) -> Float[Array, " dim"]:
        r"""\(\nabla_x\log p_t(x\mid c)=-\hat\varepsilon/\sigma_t\)."""
        return -self.field(condition)(x, t)[1] / self.path.levels(t)[1]

    def sample_noise(self, key: Key) -> Noise:
        """Uniforms: `start` (dim,) and `walk` (row, dim), as many rows as the sampler needs."""
        first, second = jax.random.split(key)
        return {"start": uniforms(first, (self.dim,)), "walk": self.sampler.walk_noise(second, self.dim)}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The end of the sampler's way from normal noise of the path's width."""
        start = self.path.start_width() * normal(noise["start"])
        return self.sampler(self.field(condition), self.path, start, normal(noise["walk"]))

    def loss_noise(self, key: Key) -> Noise:
        """Uniforms: `time` () and `start` (dim,), the latter for ε."""
        u = uniforms(key, (self.dim + 1,))
        return {"time": u[0], "start": u[1:]}

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """w|F − F*|² at one time, the sum over columns."""
        check_condition(condition, self.condition_dim)
        t, eps = self.path.training_time(noise["time"]), normal(noise["start"])
        alpha, sigma = self.path.levels(t)
        gap = self.output(alpha * x + sigma * eps, t, condition) - self.path.target(x, eps, t)
        return self.path.loss_weight(t) * jnp.sum(gap**2)

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        r"""\(\log p(x\mid c)\) of the probability flow, in nats.

        On a path that does not end clean it is \(\alpha^dp_{t_0}(\alpha x)\) at the earliest time \(t_0\): data smeared
        by \(\sigma_{t_0}/\alpha_{t_0}\), 0.002 for `EDM`.
        """
        probe = None
        if self._hutchinson:
            probe = jax.random.rademacher(jax.random.key(0), (self.dim,), x.dtype)
        return self._log_prob(x, condition, probe)

    def log_prob_estimate(self, x: Float[Array, " dim"], condition: Condition = None, *, key: Key) -> Scalar:
        """An estimate of `log_prob` with a probe drawn from `key`, whose error has mean zero over keys."""
        return self._log_prob(x, condition, jax.random.rademacher(key, (self.dim,), x.dtype))

    @property
    def _hutchinson(self) -> bool:
        return self.divergence == "hutchinson" or (self.divergence == "auto" and self.dim > EXACT_DIM)

    def _log_prob(self, x: Array, condition: Condition, probe: Array | None) -> Scalar:
        field, (early, late) = self.field(condition), self.path.ends()
        alpha, _ = self.path.levels(early)
        value = flow_log_likelihood(
            lambda y, t: velocity(field, self.path, y, t),
            alpha * x,
            early,
            late,
            self.path.start_width(),
            rtol=self.rtol,
            atol=self.atol,
            probe=probe,
        )
        return value + self.dim * jnp.log(alpha)


def check_sizes(dim: int, condition_dim: int) -> None:
    """Refuses sizes out of range."""
    if dim < 1 or condition_dim < 0:
        raise ValueError(f"dim must be at least 1 and condition_dim at least 0, got {dim} and {condition_dim}")


def check_condition(condition: Any, condition_dim: int) -> None:
    """Refuses a condition of another size than the density was made for."""
    shape = None if condition is None else condition.shape
    if (shape is None) != (condition_dim == 0) or (shape is not None and shape != (condition_dim,)):
        got = "None" if shape is None else f"shape {shape}"
        cure = f"pass condition of shape ({condition_dim},)" if condition_dim else "pass condition=None"
        raise ValueError(f"the density was made with condition_dim={condition_dim}, got condition {got}; {cure}")


__all__ = ["Diffusion", "check_condition", "check_sizes"]

r"""Paths from data to noise, \(x_t=\alpha_tx+\sigma_t\varepsilon\), and what a network is asked for along them.

Time runs from the data to the noise. A path says what the network's output means: it is a linear function of x and ε
(the `target`), from which both estimates \(\hat x=E[x\mid x_t]\) and \(\hat\varepsilon=E[\varepsilon\mid x_t]\) follow.
The probability flow is \(\dot x=\dot\alpha\hat x+\dot\sigma\hat\varepsilon\) for every path.
"""

import abc
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Scalar
from ...noise import normal
from ...training import constant


def real(value: Any) -> Array:
    """A number as an array of JAX's default floating type; arrays of that kind as they are."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


class AbstractPath(eqx.Module):
    r"""A noise schedule with its parametrisation.

    **Fields**: `ends_clean`, whether the earliest time is that of the data themselves; otherwise a little noise is left
    there and samplers end with \(\hat x\).
    """

    ends_clean: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def levels(self, t: Scalar) -> tuple[Scalar, Scalar]:
        r"""\(\alpha_t\) and \(\sigma_t\)."""

    @abc.abstractmethod
    def rates(self, t: Scalar) -> tuple[Scalar, Scalar]:
        r"""\(\dot\alpha_t\) and \(\dot\sigma_t\)."""

    @abc.abstractmethod
    def training_time(self, u: Scalar) -> Scalar:
        """The time of one evaluation of the loss, from a variate of U(0,1)."""

    @abc.abstractmethod
    def grid(self, num_points: int) -> Float[Array, " point"]:
        """Times of a sampler, from the noise down to the earliest time; one point is the noise alone."""

    @abc.abstractmethod
    def network_input(self, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Scalar]:
        """What the network sees: x scaled to order one, and the time as a number of order one."""

    @abc.abstractmethod
    def target(self, x: Float[Array, " dim"], eps: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """What the network is to give on average, linear in x and ε."""

    @abc.abstractmethod
    def estimates(
        self, output: Float[Array, " dim"], x: Float[Array, " dim"], t: Scalar
    ) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        r"""\(\hat x\) and \(\hat\varepsilon\) from the network's output at \(x_t\)."""

    def loss_weight(self, t: Scalar) -> Scalar:
        """The factor on |output − target|²."""
        return jnp.ones_like(t)

    def ends(self) -> tuple[Scalar, Scalar]:
        """The earliest and the latest time."""
        grid = self.grid(2)
        return grid[1], grid[0]

    def start_width(self) -> Scalar:
        r"""\(\sqrt{\alpha^2+\sigma^2}\) at the latest time: the width there of standardised data with their noise.

        Starting from σ alone would bias the samples by the data's own width.
        """
        alpha, sigma = self.levels(self.ends()[1])
        return jnp.sqrt(alpha**2 + sigma**2)


@final
class EDM(AbstractPath):
    r"""The path \(x_\sigma=x+\sigma\varepsilon\) with time σ, preconditioned (T. Karras et al., arXiv:2206.00364).

    \(\hat x=c_\mathrm{skip}x_\sigma+c_\mathrm{out}F(c_\mathrm{in}x_\sigma,\tfrac14\ln\sigma)\) with
    \(c_\mathrm{skip}=\sigma_d^2/(\sigma^2+\sigma_d^2)\), \(c_\mathrm{out}=\sigma\sigma_d/\sqrt{\sigma^2+\sigma_d^2}\),
    \(c_\mathrm{in}=1/\sqrt{\sigma^2+\sigma_d^2}\) (Table 1). In terms of F the loss weight
    \((\sigma^2+\sigma_d^2)/(\sigma\sigma_d)^2\) is one.

    **Arguments**: `sigma_data` \(\sigma_d\), 1 for standardised data (0.5 is for pictures); `sigma_min`, `sigma_max`
    and `rho` of the grid \(\sigma_i=(\sigma_\max^{1/\rho}+\tfrac i{N-1}(\sigma_\min^{1/\rho}-\sigma_\max^{1/\rho}))^
    \rho\); `log_mean` and `log_width` of the normal distribution of ln σ in training.
    """

    sigma_data: Scalar = constant()
    sigma_min: Scalar = constant()
    sigma_max: Scalar = constant()
    rho: Scalar = constant()
    log_mean: Scalar = constant()
    log_width: Scalar = constant()
    ends_clean: ClassVar[bool] = False

    def __init__(
        self,
        sigma_data: float | Array = 1.0,
        sigma_min: float | Array = 0.002,
        sigma_max: float | Array = 80.0,
        rho: float | Array = 7.0,
        log_mean: float | Array = -1.2,
        log_width: float | Array = 1.2,
    ):
        self.sigma_data, self.sigma_min, self.sigma_max = real(sigma_data), real(sigma_min), real(sigma_max)
        self.rho, self.log_mean, self.log_width = real(rho), real(log_mean), real(log_width)

    def levels(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """1 and σ."""
        return jnp.ones_like(t), t

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """0 and 1."""
        return jnp.zeros_like(t), jnp.ones_like(t)

    def training_time(self, u: Scalar) -> Scalar:
        """A log-normal σ."""
        return jnp.exp(normal(u, self.log_mean, self.log_width))

    def grid(self, num_points: int) -> Float[Array, " point"]:
        """Evenly spaced in σ to the power 1/ρ."""
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        step = jnp.arange(num_points, dtype=first.dtype) / max(num_points - 1, 1)
        return (first + step * (last - first)) ** self.rho

    def _scales(self, t: Scalar) -> tuple[Scalar, Scalar]:
        total = t**2 + self.sigma_data**2
        return self.sigma_data**2 / total, t * self.sigma_data / jnp.sqrt(total)

    def network_input(self, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Scalar]:
        """c_in x and ln σ/4."""
        return x / jnp.sqrt(t**2 + self.sigma_data**2), jnp.log(t) / 4

    def target(self, x: Float[Array, " dim"], eps: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """(x − c_skip x_σ)/c_out, written without the difference that cancels for small σ."""
        return (t * x / self.sigma_data - self.sigma_data * eps) / jnp.sqrt(t**2 + self.sigma_data**2)

    def estimates(
        self, output: Float[Array, " dim"], x: Float[Array, " dim"], t: Scalar
    ) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        """x̂ = c_skip x + c_out F and ε̂ = (x − x̂)/σ."""
        skip, out = self._scales(t)
        total = t**2 + self.sigma_data**2
        return skip * x + out * output, t / total * x - self.sigma_data / jnp.sqrt(total) * output


class AbstractVariancePreserving(AbstractPath):
    r"""The path \(\alpha^2=\mathrm{sigmoid}(-\gamma)\), \(\sigma^2=\mathrm{sigmoid}(\gamma)\); the network gives ε̂.

    −γ is the logarithm of the signal-to-noise ratio; time runs from 0 to 1. The loss
    \(\tfrac12\dot\gamma|\hat\varepsilon-\varepsilon|^2\) is the bound on the log-likelihood (D. Kingma et al.,
    arXiv:2107.00630, eq. 17).
    """

    @abc.abstractmethod
    def gamma(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """γ and dγ/dt."""

    def levels(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """The square roots of sigmoid(∓γ)."""
        gamma, _ = self.gamma(t)
        return jnp.sqrt(jax.nn.sigmoid(-gamma)), jnp.sqrt(jax.nn.sigmoid(gamma))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """∓ασ/2 times σ or α, times dγ/dt."""
        (alpha, sigma), (_, slope) = self.levels(t), self.gamma(t)
        return -alpha * sigma**2 * slope / 2, sigma * alpha**2 * slope / 2

    def training_time(self, u: Scalar) -> Scalar:
        """U(0,1)."""
        return u

    def grid(self, num_points: int) -> Float[Array, " point"]:
        """Even in t."""
        return 1 - jnp.arange(num_points, dtype=float) / max(num_points - 1, 1)

    def target(self, x: Float[Array, " dim"], eps: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """ε."""
        return eps

    def estimates(
        self, output: Float[Array, " dim"], x: Float[Array, " dim"], t: Scalar
    ) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        """(x − σε̂)/α and ε̂."""
        alpha, sigma = self.levels(t)
        return (x - sigma * output) / alpha, output

    def loss_weight(self, t: Scalar) -> Scalar:
        """γ̇/2."""
        return self.gamma(t)[1] / 2


@final
class VariancePreserving(AbstractVariancePreserving):
    """`AbstractVariancePreserving` with γ linear in time, so that the grid is even in ln(α/σ).

    **Arguments**: `gamma_min` and `gamma_max`, γ at t = 0 and 1.
    """

    gamma_min: Scalar = constant()
    gamma_max: Scalar = constant()
    ends_clean: ClassVar[bool] = False

    def __init__(self, gamma_min: float | Array = -13.3, gamma_max: float | Array = 5.0):
        self.gamma_min, self.gamma_max = real(gamma_min), real(gamma_max)

    def gamma(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """γ(t) and its slope."""
        slope = self.gamma_max - self.gamma_min
        return self.gamma_min + slope * t, slope * jnp.ones_like(t)

    def network_input(self, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Scalar]:
        """x and t."""
        return x, t


@final
class FlowMatching(AbstractPath):
    r"""The straight path \(x_t=(1-t)x+t\varepsilon\); the network gives the velocity \(v=E[\varepsilon-x\mid x_t]\).

    Y. Lipman et al., arXiv:2210.02747, eq. 23 with \(\sigma_\min=0\), and time reversed: there t = 1 is the data.
    """

    ends_clean: ClassVar[bool] = True

    def levels(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """1 − t and t."""
        return 1 - t, t

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """−1 and 1."""
        return -jnp.ones_like(t), jnp.ones_like(t)

    def training_time(self, u: Scalar) -> Scalar:
        """U(0,1)."""
        return u

    def grid(self, num_points: int) -> Float[Array, " point"]:
        """Even in t, from 1 to 0."""
        return 1 - jnp.arange(num_points, dtype=float) / max(num_points - 1, 1)

    def network_input(self, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Scalar]:
        """x and t."""
        return x, t

    def target(self, x: Float[Array, " dim"], eps: Float[Array, " dim"], t: Scalar) -> Float[Array, " dim"]:
        """ε − x."""
        return eps - x

    def estimates(
        self, output: Float[Array, " dim"], x: Float[Array, " dim"], t: Scalar
    ) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        """x − tv and x + (1−t)v."""
        return x - t * output, x + (1 - t) * output


__all__ = ["EDM", "AbstractPath", "AbstractVariancePreserving", "FlowMatching", "VariancePreserving", "real"]

"""Goodness of fit of samples that should be normal or uniform: Kolmogorov–Smirnov and χ², with weights."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc

from .._types import Array, Float, Scalar
from ._measures import check_sample, effective_sample_size, normalised


class GoodnessOfFit(eqx.Module):
    """A test: its `statistic`, its `p_value` under the hypothesis, and the number of `effective_events`."""

    statistic: Scalar
    p_value: float = eqx.field(static=True)
    effective_events: float = eqx.field(static=True)

    def to_dict(self) -> dict[str, float]:
        """Everything as JSON values."""
        return {
            "statistic": float(self.statistic),
            "p_value": self.p_value,
            "effective_events": self.effective_events,
        }

    def __repr__(self) -> str:
        return f"GoodnessOfFit({float(self.statistic):.4g}, p = {self.p_value:.3g})"


@jax.jit
def _largest_distance(uniform: Array, weights: Array) -> tuple[Array, Array]:
    mass = normalised(weights)
    order = jnp.argsort(uniform)
    u, above = uniform[order], jnp.cumsum(mass[order])
    below = above - mass[order]
    statistic = jnp.maximum(jnp.max(jnp.abs(above - u)), jnp.max(jnp.abs(u - below)))
    return statistic, effective_sample_size(mass)


@partial(jax.jit, static_argnames="bins")
def _pearson(uniform: Array, weights: Array, bins: int) -> tuple[Array, Array]:
    mass = normalised(weights)
    place = jnp.clip(jnp.floor(uniform * bins).astype(int), 0, bins - 1)
    contents = jnp.zeros(bins, mass.dtype).at[place].add(mass)
    n = effective_sample_size(mass)
    return n * bins * jnp.sum((contents - 1 / bins) ** 2), n


@jax.jit
def _chi_square_cdf(latent: Array) -> Array:
    return gammainc(latent.shape[1] / 2, jnp.sum(latent**2, axis=1) / 2)


def kolmogorov_smirnov(uniform: Float[Array, " event"], weights: Float[Array, " event"] | None = None) -> GoodnessOfFit:
    r"""The Kolmogorov–Smirnov test of weighted numbers against U(0,1).

    \(D=\sup_u|F(u)-u|\) with the weighted distribution function. p is that of
    \((\sqrt n+0.12+0.11/\sqrt n)\,D\) in Kolmogorov's limit law (M. Stephens, J. R. Stat. Soc. B 32 (1970) 115) with
    \(n=N_\mathrm{eff}\): within a few per cent of the exact one from n = 20 on.

    **Arguments**: `uniform`: shape (event,), the distribution function of the hypothesis at each event; `weights`.

    **Returns** a `GoodnessOfFit`. **Raises** `ValueError` for wrong shapes, NaN, or weights whose sum is not positive.

    >>> import jax.numpy as jnp
    >>> from jaxhep.metrics import kolmogorov_smirnov
    >>> kolmogorov_smirnov((jnp.arange(50) + 0.5) / 50).p_value
    1.0
    """
    from scipy.stats import kstwobign

    statistic, events = _largest_distance(uniform, check_sample("uniform", uniform, weights))
    n = float(events)
    p_value = float(kstwobign.sf((np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n)) * float(statistic)))
    return GoodnessOfFit(statistic, min(1.0, p_value), n)


def pearson(
    uniform: Float[Array, " event"], weights: Float[Array, " event"] | None = None, *, bins: int = 10
) -> GoodnessOfFit:
    r"""Pearson's χ² of weighted numbers against U(0,1) in bins of equal probability.

    \(\chi^2=N_\mathrm{eff}\sum_b(f_b-1/n)^2n\), with the expected contents as variances and every bin counted, against
    χ² with n − 1 degrees of freedom. Good from five effective events a bin on.

    **Arguments**: as for `kolmogorov_smirnov`; `bins`: n, at least 2.

    **Returns** a `GoodnessOfFit`. **Raises** as `kolmogorov_smirnov`.

    >>> import jax.numpy as jnp
    >>> from jaxhep.metrics import pearson
    >>> round(pearson((jnp.arange(50) + 0.5) / 50).p_value, 6)
    1.0
    """
    from scipy.stats import chi2

    mass = check_sample("uniform", uniform, weights)
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    statistic, events = _pearson(uniform, mass, bins)
    return GoodnessOfFit(statistic, float(chi2.sf(float(statistic), bins - 1)), float(events))


def latent_test(
    latent: Float[Array, "event column"], weights: Float[Array, " event"] | None = None, *, bins: int = 10
) -> tuple[GoodnessOfFit, GoodnessOfFit]:
    r"""Whether a flow's latent vectors are standard normal: KS and Pearson tests of \(|z|^2\sim\chi^2(d)\).

    The test of arXiv:2502.09494, on events that the flow was not trained on. A model that was trained again until it
    passed has no p-value any more.

    **Arguments**: `latent`: z, shape (event, d); `weights`; `bins` of Pearson's test.

    **Returns** the Kolmogorov–Smirnov and the Pearson `GoodnessOfFit`. **Raises** as `kolmogorov_smirnov`.

    >>> import jax
    >>> from jaxhep.metrics import latent_test
    >>> ks, chi = latent_test(jax.random.normal(jax.random.key(0), (500, 3)))
    >>> ks.p_value > 1e-3 and chi.p_value > 1e-3
    True
    """
    check_sample("latent", latent, weights, columns=True)
    u = _chi_square_cdf(latent)
    return kolmogorov_smirnov(u, weights), pearson(u, weights, bins=bins)


__all__ = ["GoodnessOfFit", "kolmogorov_smirnov", "latent_test", "pearson"]

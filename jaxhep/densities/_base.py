"""The contract of a conditional density."""

import abc

import equinox as eqx

from .._types import Array, Float, Key, Noise, Scalar

Condition = Float[Array, " condition"] | None


class AbstractDensity(eqx.Module):
    r"""A conditional density \(p(x\mid c)\) over real vectors that can be drawn from and learned from events.

    All methods act on **one** event; `jax.vmap` makes the batch. Noise is drawn beforehand and is a pytree of
    independent U(0,1) variates, so that \(x=g(\theta,u;c)\) can be replayed, moved and differentiated, as for a
    simulator. Event weights enter where events are averaged (`jaxhep.training.fit` minimises \(\sum_i w_i\ell_i/\sum_i
    w_i\)), never here.

    **Fields**: `dim`, the size of x; `condition_dim`, the size of c, 0 for a density without condition (then c is
    None).
    """

    dim: eqx.AbstractVar[int]
    condition_dim: eqx.AbstractVar[int]

    @abc.abstractmethod
    def sample_noise(self, key: Key) -> Noise:
        """Draws the noise of one sample."""

    @abc.abstractmethod
    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """Maps the noise of one sample to x; pathwise differentiable in parameters and condition."""

    @abc.abstractmethod
    def loss_noise(self, key: Key) -> Noise:
        """Draws the noise of one evaluation of the loss; an empty tuple where the loss has none."""

    @abc.abstractmethod
    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """The training loss of one event, whose weighted mean is minimised."""


class AbstractTractableDensity(AbstractDensity):
    r"""A density that knows \(\log p(x\mid c)\)."""

    @abc.abstractmethod
    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        r"""\(\log p(x\mid c)\) in nats, including the Jacobian of every preprocessing step."""

    def sample_and_log_prob(self, noise: Noise, condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """A sample and its log density; members that get the latter on the way override this."""
        x = self.sample(noise, condition)
        return x, self.log_prob(x, condition)

    def loss_noise(self, key: Key) -> Noise:
        """No noise."""
        return ()

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        r"""\(-\log p(x\mid c)\)."""
        return -self.log_prob(x, condition)


__all__ = ["AbstractDensity", "AbstractTractableDensity", "Condition"]

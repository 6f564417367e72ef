"""Samples of the metric tests, of few sizes, so that each metric is compiled few times."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxhep.metrics import (
    energy_distance,
    frechet_physics_distance,
    kernel_physics_distance,
    maximum_mean_discrepancy,
    roc_area,
    sliced_wasserstein,
    triangular_discriminator,
    wasserstein,
)

PULL = 5.2  # two-sided false-alarm rate 2e-7
EVENTS, OTHERS = 1200, 900
EDGES = np.array([-4.0, -1.5, -0.5, 0.0, 0.5, 1.5, 4.0])


def normals(seed: int, mean: float = 0.0, width: float = 1.0, columns: int | None = None, count: int = EVENTS):
    """A float32 sample, (event,) or (event, columns)."""
    shape = (count,) if columns is None else (count, columns)
    draws = np.random.default_rng(seed).normal(mean, width, shape)
    return jnp.asarray(draws, jnp.float32)


def column(metric, **options):
    """A metric of columns as one of a single quantity, so that all of the registry take (event,)."""
    return lambda x, y, v=None, w=None, **others: metric(x[:, None], y[:, None], v, w, **options, **others)


ONE_COLUMN = {
    "wasserstein": wasserstein,
    "sliced_wasserstein": column(sliced_wasserstein, num_directions=3),
    "energy": column(energy_distance),
    "triangular": partial(triangular_discriminator, edges=EDGES),
    "mmd": column(maximum_mean_discrepancy, bandwidth=1.0),
    "kpd": column(kernel_physics_distance, scale=False),
    "fpd": column(frechet_physics_distance, scale=False),
    "roc_area": roc_area,
}
"""Metrics of two samples of one quantity, called as metric(x, y, x_weights, y_weights, key=, num_replicas=)."""

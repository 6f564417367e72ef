"""Events that depend on their number alone, and what compares and collects batches."""

import numpy as np

from jaxhep.formats import EventBatch, open_writer, read_events
from jaxhep.formats.batch import concatenate

ENERGY = 91.2
CAPACITY = 6


def make_batch(start, count, dtype=np.float64, colour=True):
    """Massless partons, back to back in pairs; event i depends on i alone. Some are empty, full or overflowing."""
    events = []
    for i in range(start, start + count):
        rng = np.random.default_rng([7, i])
        pairs = int(rng.integers(0, CAPACITY // 2 + 1)) if i % 5 else 0
        share = rng.uniform(0.2, 1, pairs)
        size = ENERGY / 2 * share / share.sum() if pairs else np.zeros(0)
        direction = rng.normal(size=(pairs, 3))
        p = size[:, None] * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        momenta = np.zeros((CAPACITY, 4))
        momenta[: 2 * pairs : 2] = np.c_[size, p]
        momenta[1 : 2 * pairs : 2] = np.c_[size, -p]
        ids, places = np.zeros(CAPACITY, int), np.full(CAPACITY, -1)
        ids[: 2 * pairs] = 21
        ids[:2] = (2, -2) if pairs else (0, 0)
        places[2 : 2 * pairs] = 1 + rng.permutation(max(2 * pairs - 2, 0))
        places[:2] = (0, 2 * pairs - 1) if pairs else (-1, -1)
        mask = np.arange(CAPACITY) < 2 * pairs
        events.append((momenta.astype(dtype), mask, ids, rng.normal(), i % 4 == 3, places))
    momenta, mask, ids, weight, overflow, places = map(np.array, zip(*events, strict=True))
    return EventBatch(momenta, mask, ids, weight.astype(dtype), overflow, places if colour else None)


def equal(one, two):
    assert one.arrays().keys() == two.arrays().keys()
    for name, array in one.arrays().items():
        other = two.arrays()[name]
        assert (array is None) == (other is None), name
        if array is not None:
            np.testing.assert_array_equal(array, other, err_msg=name)
            assert array.dtype == other.dtype, name


def write(path, batches, **options):
    with open_writer(path, energy=ENERGY, metadata={"seed": 3, "lambda": 0.2}, **options) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def gather(path, **options):
    batches = list(read_events(path, **options))
    return concatenate(batches)

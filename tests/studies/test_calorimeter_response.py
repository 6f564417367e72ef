"""The calorimeter of the energy calibration: its events, whatever their chunks."""

import numpy as np

from jaxhep.studies.calorimeter_response import CalorimeterResponse


def test_segments_of_electrons():
    response = CalorimeterResponse()
    energies = np.repeat([20.0, 80.0], 300)
    x = response.draw(energies, seed=3, chunk=256)
    assert x.shape == (600, 3)
    assert np.all(x > 0)
    # An event depends on its own number, energy and seed only.
    np.testing.assert_allclose(response.draw(energies[:10], seed=3, chunk=4), x[:10], rtol=1e-6)
    assert not np.allclose(response.draw(energies[:10], seed=4), x[:10])
    # The sum is the electron's energy up to what leaks out behind.
    ratio = x.sum(1) / energies
    low, high = ratio[:300], ratio[300:]
    assert abs(low.mean() - 1) < 0.02
    assert abs(high.mean() - 1) < 0.02
    # 10 % of sampling fluctuations at 1 GeV, and not much more.
    for part, energy in ((low, 20), (high, 80)):
        assert 0.09 < part.std() * energy**0.5 < 0.14
    # The maximum moves backwards with ln E.
    depth = x @ np.arange(3) / x.sum(1)
    assert depth[300:].mean() > depth[:300].mean() + 0.02

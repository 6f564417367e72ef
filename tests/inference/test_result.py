"""The result object, rounding, and the parameter transformations."""

import json

import jax
import numpy as np
import pytest

from jaxhep.inference import FitResult, Gaussian, Parameter, interval
from jaxhep.inference.layout import make_layout
from jaxhep.inference.rounding import round_pair


def test_json_round_trip(poisson_case):
    result = poisson_case.result.with_interval(interval(poisson_case.objective, poisson_case.result, "tau"))
    again = FitResult.from_json(result.to_json())
    assert again.to_dict() == result.to_dict()
    assert again.parameters == result.parameters
    np.testing.assert_array_equal(again.covariance, result.covariance)
    stored = json.loads(result.to_json())
    assert stored["parameters"]["tau"]["value"] == result.values["tau"]
    assert stored["parameters"]["tau"]["error"] == result.errors["tau"]
    assert stored["parameters"]["tau"]["upper_error"] > 0 > stored["parameters"]["tau"]["lower_error"]
    assert stored["valid"] is True
    assert stored["ndf"] == result.ndf
    with pytest.raises(ValueError, match="'names' is missing"):
        FitResult.from_dict({"parameters": {}})
    with pytest.raises(ValueError):
        FitResult.from_json("{")


def test_table_and_html_show_every_parameter(poisson_case):
    result = poisson_case.result
    text, html = repr(result), result._repr_html_()
    widths = {len(line) for line in text.splitlines() if line[0] in "┌│├└"}
    assert len(widths) == 1
    assert text.startswith("┌")
    for name in result.names:
        assert f"│ {name}" in text
        assert f"<td>{name}</td>" in html
        assert round_pair(result.values[name], result.errors[name])[0] in text
    assert "fit: valid" in text
    assert "5 ± 3" in text


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.827, 0.119, ("0.83", "0.12")),
        (0.827, 0.367, ("0.8", "0.4")),
        (0.827, 0.0961, ("0.83", "0.10")),
        (1234.5, 95.6, ("1230", "100")),
        (12345.0, 678.0, ("12300", "700")),
        (-0.2, 0.01, ("-0.200", "0.010")),
        (2.0, 0.0, ("2", "")),
        (1.5e-12, 2.3e-13, ("1.50e-12", "0.23e-12")),
    ],
)
def test_rounding(value, error, expected):
    assert round_pair(value, error) == expected


def test_transformations_invert_and_have_their_derivatives():
    """θ(u(θ)) = θ, the slopes are autodiff's, and bounds are reached but not passed."""
    layout = make_layout(
        [
            Parameter("free", 3.0),
            Parameter("low", 1e-4, lower=0.0),
            Parameter("high", -5.0, upper=2.0),
            Parameter("both", 0.2, lower=0.1, upper=0.9, prior=Gaussian(0.3, 0.1)),
            Parameter("fixed", 7.0, fixed=True),
        ]
    )
    assert layout.free_names == ("free", "low", "high", "both")
    with jax.enable_x64(True):
        for theta in ([3.0, 1e-4, -5.0, 0.2], [-1.0, 2.0, 1.999, 0.899]):
            u = layout.internal(jax.numpy.asarray(theta))
            np.testing.assert_allclose(layout.external(u), theta, rtol=1e-9)
            first, second = layout.slopes(u)
            jacobian = jax.jacfwd(layout.external)(u)
            np.testing.assert_allclose(jacobian, np.diag(first), rtol=1e-9, atol=1e-12)
            curvature = np.einsum("iii->i", jax.jacfwd(jax.jacfwd(layout.external))(u))
            np.testing.assert_allclose(curvature, second, rtol=1e-9, atol=1e-12)
        reach = np.linspace(-40.0, 40.0, 41)
        far = np.asarray(jax.vmap(layout.external)(jax.numpy.asarray(reach[:, None] * np.ones(4))))
        assert far[:, 1].min() >= 0
        assert far[:, 2].max() <= 2
        assert far[:, 3].min() >= 0.1
        assert far[:, 3].max() <= 0.9
        assert set(layout.as_dict(jax.numpy.zeros(4))) == {"free", "low", "high", "both", "fixed"}
        np.testing.assert_allclose(layout.penalty(jax.numpy.array([0.0, 0.0, 0.0, 0.5])), 4.0)

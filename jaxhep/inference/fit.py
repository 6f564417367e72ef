"""`fit`: minimise an objective and say whether the result can be believed."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from jaxhep.inference.layout import Layout, make_layout
from jaxhep.inference.minimise import Derivatives, Minimum, Settings, derivatives, jitted_minimise
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.parameters import Parameter, check_parameters
from jaxhep.inference.prediction import Numbers
from jaxhep.inference.result import FitResult


def fit(
    objective: AbstractObjective,
    parameters: Sequence[Parameter],
    *,
    autodiff: str = "forward",
    tolerance: float | int = 1e-8,
    max_steps: int = 256,
) -> FitResult:
    """Minimise −2 ln L(θ) + Σ ((θ − mean)/width)² and state values, errors, goodness of fit and validity.

    Runs in float64 whatever the global setting. Compiled once for each kind of objective: new data, start values,
    bounds or priors do not recompile, provided the model is an `equinox.Module` (or the same function object).

    The fit is valid if the EDM ½ gᵀH⁻¹g is below `tolerance`, everything is finite, the Hessian is positive definite
    and no free parameter sits on a bound. The covariance is V = 2 H⁻¹.

    Arguments:
        objective: `ChiSquare`, `BinnedPoisson`, a `CombinedObjective`, or one of your own.
        parameters: the parameters, at least one of them free.
        autodiff: `"forward"` or `"reverse"` (see `Settings`).
        tolerance: largest EDM of a converged fit, in units of −2 ln L.
        max_steps: largest number of BFGS steps.

    Returns:
        The result; look at `valid`, or call `raise_if_invalid()`.

    Raises:
        ValueError: bad parameters, a prediction of the wrong shape, a model that asks for a parameter that is not
            there, or an objective that is not finite at the start values (which are named).

    >>> import numpy as np
    >>> from jaxhep.inference import ChiSquare, Parameter, Prediction, fit
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> line = lambda p: Prediction(p["a"] + p["b"] * x)
    >>> result = fit(ChiSquare([1.0, 3.1, 4.9], np.full(3, 0.01), line), [Parameter("a", 0.0), Parameter("b", 1.0)])
    >>> result.valid, round(result.values["b"], 6), round(result.errors["b"], 6)
    (True, 1.95, 0.070711)
    """
    settings = make_settings(autodiff, tolerance, max_steps)
    parameters = check_parameters(parameters)
    layout = make_layout(parameters)
    with jax.enable_x64(True):
        start = layout.start()
        curvature = check_start(objective, layout, start, settings).hessian
        held = np.zeros(len(layout.free), bool)
        minimum = jitted_minimise(objective, layout, start, held, curvature, settings)
        goodness = evaluate_goodness(objective, layout, minimum.theta)
        return summarise(objective, parameters, layout, jax.device_get(minimum), float(goodness), settings)


def make_settings(autodiff: str = "forward", tolerance: float | int = 1e-8, max_steps: int = 256) -> Settings:
    """Checked settings.

    Raises:
        ValueError: an unknown `autodiff`, or a number that is not positive.
    """
    if autodiff not in ("forward", "reverse"):
        raise ValueError(f"autodiff must be 'forward' or 'reverse', got {autodiff!r}")
    if not tolerance > 0 or not max_steps > 0:
        raise ValueError(f"tolerance and max_steps must be above 0, got {tolerance} and {max_steps}")
    return Settings(autodiff, float(tolerance), int(max_steps))


def check_start(
    objective: AbstractObjective, layout: Layout, start: Float[np.ndarray, " free"], settings: Settings
) -> Derivatives:
    """Check shapes (without compiling) and that the objective is finite at the start values; its derivatives there.

    Raises:
        TypeError: not an objective.
        ValueError: see `fit`.
    """
    if not isinstance(objective, AbstractObjective):
        raise TypeError(f"expected an objective such as ChiSquare, got {type(objective).__name__}")
    for leaf in objective.leaves():
        check_shapes(leaf, layout, start)
    at, predictions = _at_start(objective, layout, start, settings)
    where = describe(layout, start)
    for leaf, prediction in zip(objective.leaves(), predictions, strict=True):
        label = getattr(leaf, "label", type(leaf).__name__)
        bad = np.flatnonzero(~np.isfinite(np.asarray(prediction.values)))
        if bad.size:
            raise ValueError(
                f"the model of {label!r} is not finite in bin {bad[0]} ({bad.size} in all) at {where}; "
                "correct the model or start elsewhere"
            )
        if prediction.covariance is not None and not np.all(np.isfinite(np.asarray(prediction.covariance))):
            raise ValueError(f"the Monte Carlo covariance of {label!r} is not finite at {where}")
    if not np.isfinite(float(at.value)):
        raise ValueError(
            f"the objective is {float(at.value)} at {where}: the covariance with the Monte Carlo part is not positive "
            "definite, or an expected count is not above 0; start elsewhere or correct the model"
        )
    return at


def check_shapes(leaf: AbstractObjective, layout: Layout, start: Float[np.ndarray, " free"]) -> None:
    """Trace the model and compare the shapes with the data.

    Raises:
        ValueError: wrong shape, or a parameter that is not there.
    """
    label = getattr(leaf, "label", type(leaf).__name__)
    try:
        prediction = eqx.filter_eval_shape(lambda theta: leaf.predict(layout.as_dict(theta)), jax.numpy.asarray(start))
    except KeyError as error:
        raise ValueError(
            f"the model of {label!r} asks for a parameter {error}; the parameters given are: {', '.join(layout.names)}"
        ) from error
    data = getattr(leaf, "data", getattr(leaf, "counts", None))
    if data is None:
        return
    size = data.shape[0]
    if prediction.values.shape != (size,):
        raise ValueError(
            f"the model of {label!r} predicts shape {prediction.values.shape}, the data have shape {(size,)}: "
            "use the same binning for both"
        )
    if prediction.covariance is not None and prediction.covariance.shape != (size, size):
        raise ValueError(
            f"the Monte Carlo covariance of {label!r} has shape {prediction.covariance.shape}, expected {(size, size)}"
        )


@eqx.filter_jit
def _at_start(
    objective: AbstractObjective, layout: Layout, theta: Numbers, settings: Settings
) -> tuple[Derivatives, tuple[Any, ...]]:
    theta = jax.numpy.asarray(theta)
    values = layout.as_dict(theta)
    predictions = tuple(leaf.predict(values) for leaf in objective.leaves())
    return derivatives(objective, layout, theta, settings.autodiff), predictions


@eqx.filter_jit
def evaluate_goodness(objective: AbstractObjective, layout: Layout, theta: Array) -> Array:
    """Goodness of fit with the priors' part."""
    return objective.goodness(layout.as_dict(theta)) + layout.penalty(theta)


def describe(layout: Layout, theta: Any) -> str:
    """`name = value, …` of the free parameters, for messages."""
    return ", ".join(f"{name} = {float(x):.6g}" for name, x in zip(layout.free_names, np.asarray(theta), strict=True))


def summarise(
    objective: AbstractObjective,
    parameters: tuple[Parameter, ...],
    layout: Layout,
    minimum: Minimum,
    goodness: float,
    settings: Settings,
) -> FitResult:
    """Turn the minimiser's point into a result with its verdict."""
    from scipy.stats import chi2 as chi2_distribution

    theta = np.asarray(minimum.theta, np.float64)
    reasons: list[str] = []
    warnings: list[str] = []
    finite = bool(np.isfinite(minimum.value) and np.all(np.isfinite(minimum.gradient)))
    finite = finite and bool(np.all(np.isfinite(minimum.hessian)) and np.all(np.isfinite(theta)))
    if not finite:
        reasons.append(f"the objective or its derivatives are not finite at {describe(layout, theta)}")
    covariance_free, flat = invert_hessian(np.asarray(minimum.hessian), layout.free_names)
    positive = covariance_free is not None
    if finite and flat:
        reasons.append(flat)
    edm = float(minimum.edm)
    converged = bool(finite and edm <= settings.tolerance)
    if not converged:
        reasons.append(
            f"not converged: estimated distance to the minimum {edm:.3g} is above {settings.tolerance:.3g} "
            f"after {int(minimum.num_evaluations)} evaluations"
        )
    size = len(layout.free)
    free_covariance = np.full((size, size), np.nan) if covariance_free is None else covariance_free
    sigma = np.sqrt(np.diag(free_covariance))
    at_bound = _check_bounds(layout, theta, sigma, reasons, warnings)
    covariance = np.zeros((len(parameters), len(parameters)))
    covariance[np.ix_(layout.free, layout.free)] = free_covariance
    num_priors = int(np.sum(np.isfinite(layout.prior_width)))
    ndf = objective.num_data + num_priors - size
    if ndf < 0:
        warnings.append(f"{size} free parameters for {objective.num_data + num_priors} measurements and priors")
    values = dict(zip(layout.names, np.asarray(layout.values).tolist(), strict=True))
    values |= dict(zip(layout.free_names, theta.tolist(), strict=True))
    return FitResult(
        parameters=parameters,
        values=values,
        covariance=covariance,
        chi2=goodness,
        objective_value=float(minimum.value),
        num_data=objective.num_data,
        ndf=ndf,
        p_value=float(chi2_distribution.sf(goodness, ndf)) if ndf > 0 else float("nan"),
        converged=converged,
        positive_definite=positive,
        at_bound=at_bound,
        edm=edm,
        gradient_norm=float(np.linalg.norm(minimum.gradient * sigma)),
        num_evaluations=int(minimum.num_evaluations),
        reasons=tuple(reasons),
        warnings=tuple(warnings),
    )


def invert_hessian(
    hessian: Float[np.ndarray, "free free"], names: tuple[str, ...]
) -> tuple[Float[np.ndarray, "free free"] | None, str]:
    """V = 2 H⁻¹, or `None` and the sentence that says which direction is flat or falls."""
    if not np.all(np.isfinite(hessian)):
        return None, "the Hessian is not finite"
    diagonal = np.diag(hessian)
    for name, curvature in zip(names, diagonal, strict=True):
        if curvature == 0:
            return None, (
                f"the Hessian is not positive definite: no curvature along {name!r}; "
                "the objective does not depend on it (fix it), or only linearly"
            )
        if curvature < 0:
            return None, f"the Hessian is not positive definite: curvature {curvature:.3g} along {name!r}"
    scale = np.sqrt(diagonal)
    scaled = hessian / np.outer(scale, scale)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    if eigenvalues[0] <= 1e-11 * len(names):
        parts = [k for k in np.argsort(-np.abs(vectors[:, 0])) if abs(vectors[k, 0]) > 0.1]
        direction = " ".join(f"{vectors[k, 0]:+.2f}·{names[k]}" for k in parts[:4])
        return None, (
            f"the Hessian is not positive definite: eigenvalue {eigenvalues[0]:.3g} (scaled to unit diagonal) along "
            f"{direction}; the data do not determine this combination: fix a parameter or give it a prior"
        )
    inverse = (vectors / eigenvalues) @ vectors.T
    return 2 * inverse / np.outer(scale, scale), ""


def _check_bounds(
    layout: Layout, theta: np.ndarray, sigma: np.ndarray, reasons: list[str], warnings: list[str]
) -> tuple[str, ...]:
    at_bound = []
    for k, name in enumerate(layout.free_names):
        for side, bound in (("lower", layout.lower[k]), ("upper", layout.upper[k])):
            if not np.isfinite(bound):
                continue
            distance = abs(theta[k] - bound)
            width = float(layout.upper[k] - layout.lower[k])
            length = width if np.isfinite(width) else float(layout.scale[k])
            near = 1e-2 * sigma[k] if np.isfinite(sigma[k]) else 0.0
            if distance <= max(1e-6 * length, near):
                at_bound.append(name)
                reasons.append(
                    f"parameter {name!r} is at its {side} bound {bound:g}: its error is no confidence interval; "
                    "widen the bound or fix the parameter"
                )
            elif distance < sigma[k]:
                warnings.append(f"the {side} bound {bound:g} of {name!r} is within one standard deviation")
    return tuple(at_bound)


__all__ = ["describe", "evaluate_goodness", "fit", "make_settings"]

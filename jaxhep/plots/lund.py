"""The Lund plane: where a shower's gluons lie in rapidity and transverse momentum, with the bounds of phase space."""

from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, VERMILION, Axes
from jaxhep.plots._checks import number


def lund_plane(
    kt: Any,
    rapidity: Any,
    weights: Any | None,
    energy: Any,
    lambda_qcd: Any,
    *,
    mask: Any | None = None,
    num_events: int | None = None,
    bins: int = 60,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """The density of emissions in rapidity y and κ = ln(k⊥²/Λ²), with the triangle and the hyperbola of phase space.

    With L = ln(s/Λ²): the triangle is |y| < (L − κ)/2; the exact bound of one emission from the primary dipole is 2 k⊥
    cosh y < √s, the hyperbola κ = L − 2 ln(2 cosh y), which lies inside. The axis on the right gives k⊥ in GeV.

    Args:
        kt: transverse momenta k⊥ in GeV, above zero where the mask is True; shape (emission,), or (event, emission) as
            in `Emissions`.
        rapidity: y = ½ ln(s_ij/s_jk), same shape.
        weights: same shape, or (event,) with (event, emission); None for one each.
        energy: √s in GeV.
        lambda_qcd: Λ in GeV, below √s.
        mask: True where there is an emission, same shape as `kt`; None: everywhere.
        num_events: what the density is divided by; None takes the number of rows of (event, emission), and with one
            dimension divides by the sum of weights (a density that integrates to 1).
        bins: bins along each axis.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: shapes that disagree, no emission, k⊥ ≤ 0, NaN, no positive density, Λ not between 0 and √s.

    Example:
        >>> ax = lund_plane([1.0, 5.0, 2.0], [0.0, 0.5, -1.0], None, 91.2, 0.2, bins=10)
        >>> ax.get_xlabel()
        'rapidity $y$'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    from matplotlib.colors import LogNorm

    scale, root_s = number("lambda_qcd", lambda_qcd, positive=True), number("energy", energy, positive=True)
    if scale >= root_s:
        raise ValueError(f"lambda_qcd = {scale} GeV must lie below the energy {root_s} GeV")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, but is {bins}")
    if num_events is not None and num_events < 1:
        raise ValueError(f"num_events must be at least 1, but is {num_events}")
    momentum, y, weight = _emissions(kt, rapidity, weights, mask)
    kappa = 2 * np.log(momentum / scale)
    length = 2 * np.log(root_s / scale)
    if not np.any(weight > 0):
        raise ValueError("weights holds nothing above zero; there is no density to draw")
    norm, unit = float(np.sum(weight)), r"$1/N_g\ \ d^2N_g / dy\,d\kappa$"
    rows = np.shape(kt)[0] if np.ndim(kt) == 2 else None
    if num_events is None and rows is None and norm <= 0:
        raise ValueError("the sum of weights is not positive; pass num_events to divide by")
    if num_events is not None or rows is not None:
        norm, unit = float(num_events or rows or 1), r"$1/N_{\mathrm{ev}}\ \ d^2N_g / dy\,d\kappa$"

    half = max(0.5 * length, 1.02 * float(np.max(np.abs(y))))
    top, bottom = max(length, float(np.max(kappa))), min(0.0, float(np.min(kappa)))
    counts, y_edges, k_edges = np.histogram2d(y, kappa, bins=bins, range=((-half, half), (bottom, top)), weights=weight)
    density = counts.T / (np.diff(y_edges)[None, :] * np.diff(k_edges)[:, None] * norm)

    with _canvas.canvas(ax, size=(6.6, 5.0)) as (one,):
        shown = np.ma.masked_less_equal(density, 0)
        if shown.count() == 0:
            raise ValueError("no bin has a positive density: the weights cancel; draw more events")
        # The few emptiest cells would take most of the scale.
        low, high = np.percentile(shown.compressed(), [2, 99.9])
        norm_of = LogNorm(low, high) if high > 30 * low else None
        image = one.pcolormesh(y_edges, k_edges, shown, cmap="viridis", norm=norm_of, rasterized=True, linewidth=0)
        fine = np.linspace(-0.5 * length, 0.5 * length, 401)
        one.plot(
            [-0.5 * length, 0, 0.5 * length],
            [0, length, 0],
            "--",
            color=BLACK,
            linewidth=1.4,
            label=r"triangle $|y| = (L-\kappa)/2$",
        )
        bound = length - 2 * np.logaddexp(fine, -fine)
        one.plot(
            fine[bound >= 0], bound[bound >= 0], color=VERMILION, linewidth=2, label=r"$2\,k_\perp\cosh y = \sqrt{s}$"
        )
        one.set_xlim(-half, half)
        one.set_ylim(bottom, top * 1.03)
        right = one.secondary_yaxis(
            "right", functions=(lambda k: k / 2 + np.log(scale), lambda g: 2 * (g - np.log(scale)))
        )
        _momentum_ticks(right, scale * np.exp(bottom / 2), scale * np.exp(top / 2))
        one.set_xlabel(r"rapidity $y$")
        one.set_ylabel(r"$\kappa = \ln(k_\perp^2/\Lambda^2)$")
        one.set_title(title, loc="left")
        one.legend(loc="upper left", fontsize=9.5)
        bar = one.figure.colorbar(image, ax=[one], label=unit, pad=0.02, fraction=0.05)
        bar.ax.tick_params(direction="out", labelsize=10.5, which="both")
    if ax is None:
        one.tick_params(which="both", right=False)
    return one


def _emissions(kt: Any, rapidity: Any, weights: Any, mask: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k⊥, y and weight of the emissions that there are, checked, as flat arrays."""
    momentum, y = np.asarray(kt, dtype=np.float64), np.asarray(rapidity, dtype=np.float64)
    if momentum.ndim not in (1, 2) or y.shape != momentum.shape:
        raise ValueError(
            f"kt and rapidity must have one shape, (emission,) or (event, emission), not {momentum.shape}, {y.shape}"
        )
    weight = np.ones_like(momentum) if weights is None else np.asarray(weights, dtype=np.float64)
    if momentum.ndim == 2 and weight.shape == momentum.shape[:1]:
        weight = np.broadcast_to(weight[:, None], momentum.shape)
    there = np.ones(momentum.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    for name, array in (("weights", weight), ("mask", there)):
        if array.shape != momentum.shape:
            raise ValueError(f"{name} has shape {array.shape}, but kt has {momentum.shape}")
    momentum, y, weight = momentum[there], y[there], weight[there]
    if momentum.size == 0:
        raise ValueError("there is no emission to draw; is the mask empty?")
    for name, array in (("kt", momentum), ("rapidity", y), ("weights", weight)):
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{name} holds NaN or infinity; mask the slots without an emission")
    if np.any(momentum <= 0):
        raise ValueError("kt must be above zero; mask the slots without an emission")
    return momentum, y, weight


def _momentum_ticks(axis: Any, low: float, high: float) -> None:
    """Ticks at round k⊥ in GeV, written on an axis that counts ln k⊥."""
    rounds = np.array([m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)])
    rounds = rounds[(rounds >= low) & (rounds <= high)]
    axis.set_yticks(np.log(rounds), [f"{value:g}" for value in rounds])
    axis.yaxis.set_minor_locator(_canvas.no_ticks())
    axis.set_ylabel(r"$k_\perp$ [GeV]")
    axis.tick_params(which="both", direction="in", labelsize=10.5)

"""One published distribution: bins, values, errors apart by source, and where it comes from."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _covariance

if TYPE_CHECKING:
    import hist

FloatArray = NDArray[np.float64]
COMBINED = "combined"
"""Name of the error component of tables that publish only one total error."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    r"""A binned measurement \((1/\sigma)\,\mathrm d\sigma/\mathrm dx\) with its errors and its source.

    **Fields**

    - `name`: the name under which it is loaded; `observable`: the function of `jaxhep.observables` it measures.
    - `edges`: bin edges, shape (bins + 1,), contiguous and growing, in the units of the observable.
    - `values`: density averaged over each bin, shape (bins,), per unit of the observable.
    - `stat`: statistical errors, shape (bins,), or None where only a total error is known.
    - `systematics`: name -> symmetric absolute errors, shape (bins,). A total error that was never split is here as
      `"combined"`.
    - `correlated`: names of the systematics that may be correlated between bins (default: all but `"combined"`).
    - `energy`: centre-of-mass energy in GeV; `citation`, `doi`, `hepdata`, `title`, `symbol`, `note`: texts.
    - `kind`: `"density"`, or `"mean"` for a single number (one bin that is the whole axis).

    **Raises** `ValueError` for edges that do not grow, shapes that differ, non-finite values or negative errors.

    >>> from jaxhep.reference import load
    >>> data = load("thrust").select(0.7, 0.95)
    >>> data.num_bins, data.energy
    (25, 91.2)
    """

    name: str
    observable: str
    edges: FloatArray
    values: FloatArray
    stat: FloatArray | None = None
    systematics: Mapping[str, FloatArray] = dataclasses.field(default_factory=dict)
    correlated: frozenset[str] | None = None
    energy: float | int | None = None
    citation: str = ""
    doi: str = ""
    hepdata: str = ""
    title: str = ""
    symbol: str = "x"
    note: str = ""
    kind: Literal["density", "mean"] = "density"

    def __post_init__(self) -> None:
        def put(field: str, value: Any) -> None:
            object.__setattr__(self, field, value)

        put("edges", np.asarray(self.edges, np.float64))
        put("values", np.asarray(self.values, np.float64))
        put("stat", None if self.stat is None else np.asarray(self.stat, np.float64))
        put("systematics", {str(k): np.asarray(v, np.float64) for k, v in dict(self.systematics).items()})
        default = set(self.systematics) - {COMBINED}
        put("correlated", frozenset(default if self.correlated is None else self.correlated))
        self._check()

    def _check(self) -> None:
        where = f"measurement {self.name!r}"
        if self.values.ndim != 1 or self.values.size == 0:
            raise ValueError(f"{where}: values must have shape (bins,) with at least one bin, got {self.values.shape}.")
        if self.edges.shape != (self.values.size + 1,):
            raise ValueError(
                f"{where}: {self.values.size} values need {self.values.size + 1} edges, got {self.edges.shape}."
            )
        if self.kind not in ("density", "mean"):
            raise ValueError(f"{where}: kind must be 'density' or 'mean', got {self.kind!r}.")
        if self.kind == "density" and not np.all(np.isfinite(self.edges)):
            raise ValueError(f"{where}: bin edges must be finite.")
        if not np.all(np.diff(self.edges) > 0):
            raise ValueError(f"{where}: bin edges must grow; sort the bins and leave none out.")
        if not np.all(np.isfinite(self.values)):
            raise ValueError(f"{where}: a value is not finite; drop such bins.")
        if self.stat is None and not self.systematics:
            raise ValueError(f"{where}: no errors given; pass stat= or systematics=.")
        for label, error in self._components().items():
            if error.shape != self.values.shape:
                raise ValueError(f"{where}: errors {label!r} have shape {error.shape}, values {self.values.shape}.")
            if not np.all(np.isfinite(error)) or np.any(error < 0):
                raise ValueError(f"{where}: errors {label!r} must be finite and not negative (give absolute sizes).")
        unknown = sorted(self._correlatable - set(self.systematics))
        if unknown:
            raise ValueError(f"{where}: correlated names {unknown} are not among {sorted(self.systematics)}.")

    def _components(self) -> dict[str, FloatArray]:
        stat = {} if self.stat is None else {"stat": self.stat}
        return {**stat, **self.systematics}

    @property
    def _correlatable(self) -> frozenset[str]:
        return frozenset() if self.correlated is None else self.correlated

    @property
    def num_bins(self) -> int:
        """Number of bins."""
        return self.values.size

    @property
    def widths(self) -> FloatArray:
        """Bin widths, shape (bins,)."""
        return np.diff(self.edges)

    @property
    def centers(self) -> FloatArray:
        """Bin centres, shape (bins,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def total(self) -> FloatArray:
        """Total error of each bin: all components in quadrature, shape (bins,)."""
        return np.sqrt(sum((error**2 for error in self._components().values()), np.zeros_like(self.values)))

    @property
    def zero_error_bins(self) -> NDArray[np.bool_]:
        """True for bins whose total error is zero (published so; unusable in a fit), shape (bins,)."""
        return self.total == 0.0

    def covariance(
        self, correlation: str = "uncorrelated", *, statistical_fraction: float | int | None = None
    ) -> FloatArray:
        r"""Covariance matrix of the values under a stated model, since papers seldom publish one.

        \(V_{ij}=\delta_{ij}\,\sigma_{\mathrm{stat},i}^2+\sum_s V^{(s)}_{ij}\) with, for each systematic \(s\) in
        `correlated`: `"uncorrelated"` \(\delta_{ij}s_i^2\); `"correlated"` \(s_is_j\); `"minimum_overlap"`
        \(\min(s_i,s_j)^2\). Systematics that are not in `correlated` are diagonal in every model.

        **Arguments:** `correlation`; `statistical_fraction`: for tables that publish only a total error \(\sigma\), the
        assumed \(f=\sigma_{\mathrm{stat}}/\sigma\), between 0 and 1 (exclusive); then the rest,
        \(\sqrt{1-f^2}\,\sigma\), is the correlated part.

        **Returns:** shape (bins, bins), float64, positive definite.

        **Raises** `ValueError` for bins with zero error (naming them), for an unknown model, and where only a total
        error is known and a correlated model is asked for without `statistical_fraction`.

        >>> from jaxhep.reference import load
        >>> load("thrust").covariance("minimum_overlap").shape
        (42, 42)
        """
        return _covariance.covariance(self, correlation, statistical_fraction)

    def select(
        self, low: float | int | None = None, high: float | int | None = None, *, drop_zero_errors: bool = False
    ) -> "Measurement":
        """The bins that lie wholly inside [low, high].

        **Arguments:** `low`, `high`: range in the units of the observable, None for the end of the data;
        `drop_zero_errors`: also drop bins with zero error at either end.

        **Raises** `ValueError` when no bin is inside (saying what the data cover), or when a bin with zero error lies
        between good ones.

        >>> from jaxhep.reference import load
        >>> load("c_parameter").select(high=0.1).edges.tolist()
        [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
        """
        self._need_density("select a range of")
        for label, bound in (("low", low), ("high", high)):
            if bound is not None and not np.isfinite(bound):
                raise ValueError(f"{label} must be a finite number or None, got {bound}.")
        slack = 1e-9 * float(np.max(np.abs(self.edges)))
        inside = np.ones(self.num_bins, bool)
        inside &= self.edges[:-1] >= (-np.inf if low is None else low - slack)
        inside &= self.edges[1:] <= (np.inf if high is None else high + slack)
        if not inside.any():
            least, most = f"{self.widths.min():g}", f"{self.widths.max():g}"
            width = least if least == most else f"{least} to {most}"
            raise ValueError(
                f"{self.name!r}: no bin lies wholly inside [{low}, {high}]. The data cover {self.edges[0]:g} to "
                f"{self.edges[-1]:g} in {self.num_bins} bins of width {width}."
            )
        if drop_zero_errors:
            inside &= ~self.zero_error_bins
            if not inside.any():
                raise ValueError(f"{self.name!r}: every bin inside [{low}, {high}] has zero error.")
        first, last = np.flatnonzero(inside)[[0, -1]]
        if not inside[first : last + 1].all():
            between = (np.arange(self.num_bins) > first) & (np.arange(self.num_bins) < last)
            bad = _covariance.bin_names(self, ~inside & between)
            raise ValueError(f"{self.name!r}: zero error between good bins ({bad}); merge them away with rebin().")
        cut = slice(int(first), int(last) + 1)
        return dataclasses.replace(
            self,
            edges=self.edges[first : last + 2],
            values=self.values[cut],
            stat=None if self.stat is None else self.stat[cut],
            systematics={label: error[cut] for label, error in self.systematics.items()},
        )

    def rebin(self, edges: int | ArrayLike, correlation: str = "uncorrelated") -> "Measurement":
        r"""Merge neighbouring bins: \(y=\sum_i w_iy_i/\sum_i w_i\) with bin widths \(w_i\).

        Each error component is propagated with its own covariance under `correlation` (see `covariance`); statistics
        always in quadrature.

        **Arguments:** `edges`: the new edges, each an edge of this measurement, or a whole number of bins to merge.

        **Raises** `ValueError` for edges that are not among the old ones, or a number that does not divide the bins.
        """
        self._need_density("rebin")
        matrix, new_edges = _covariance.merging(self, edges)

        def merge(error: FloatArray, correlate: bool) -> FloatArray:
            block = _covariance.component(error, correlation if correlate else "uncorrelated")
            return np.sqrt(np.einsum("bi,ij,bj->b", matrix, block, matrix))

        return dataclasses.replace(
            self,
            edges=new_edges,
            values=matrix @ self.values,
            stat=None if self.stat is None else merge(self.stat, False),
            systematics={label: merge(error, label in self._correlatable) for label, error in self.systematics.items()},
        )

    def _need_density(self, action: str) -> None:
        if self.kind != "density":
            raise ValueError(f"cannot {action} {self.name!r}: it is a single number (kind 'mean'), not a distribution.")

    def to_hist(self) -> "hist.Hist":
        """The densities and their total variances as a `hist.Hist` with weighted storage (densities, not counts)."""
        self._need_density("histogram")
        try:
            import hist
        except ImportError as error:
            raise ImportError("to_hist() needs the package hist: pip install hist") from error
        axis = hist.axis.Variable(self.edges, name=self.observable, label=self.symbol, flow=False)
        result = hist.Hist(axis, storage=hist.storage.Weight(), name=self.name)
        result.view().value[...] = self.values
        result.view().variance[...] = self.total**2
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values (lists, numbers, texts), from which `from_dict` makes the measurement again."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        record["edges"] = None if self.kind == "mean" else self.edges.tolist()
        record["values"] = self.values.tolist()
        record["stat"] = None if self.stat is None else self.stat.tolist()
        record["systematics"] = {label: error.tolist() for label, error in self.systematics.items()}
        record["correlated"] = sorted(self._correlatable)
        return {**record, "total": self.total.tolist()}

    def to_json(self, indent: int | None = None) -> str:
        """The measurement as JSON text; read it back with `Measurement.from_dict(json.loads(text))`."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Measurement":
        """The measurement that `to_dict` described."""
        content = {key: value for key, value in record.items() if key != "total"}
        edges = [-np.inf, np.inf] if content["edges"] is None else content["edges"]
        content["edges"], content["values"] = np.array(edges, np.float64), np.array(content["values"], np.float64)
        content["stat"] = None if content["stat"] is None else np.array(content["stat"], np.float64)
        content["systematics"] = {key: np.array(error, np.float64) for key, error in content["systematics"].items()}
        content["correlated"] = frozenset(content["correlated"])
        return cls(**content)

    def table(self) -> str:
        """The bins, values and errors as plain text, with the source above."""
        from ._show import plain_table

        return plain_table(self)

    def rich_table(self) -> Any:
        """The same as a `rich.table.Table`; `rich.print(measurement)` shows it too."""
        from ._show import rich_table

        return rich_table(self)

    def __rich__(self) -> Any:
        return self.rich_table()

    def _repr_html_(self) -> str:
        from ._show import html_table

        return html_table(self)

    def __repr__(self) -> str:
        if self.kind == "mean":
            result = f"{self.symbol} = {self.values[0]:g} ± {self.total[0]:g}"
            return f"Measurement({self.name!r}, {result}, {self.citation})"
        errors: Sequence[str] = list(self._components())
        span = f"{self.num_bins} bins of {self.symbol} in [{self.edges[0]:g}, {self.edges[-1]:g}]"
        energy = "" if self.energy is None else f", {self.energy} GeV"
        source = f", {self.citation}" if self.citation else ""
        return f"Measurement({self.name!r}, {span}, errors {', '.join(errors)}{energy}{source})"


__all__ = ["COMBINED", "Measurement"]

"""Which leaves of a model are trained: said explicitly, before an optimiser exists."""

import dataclasses
import difflib
import fnmatch
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
from jax.tree_util import DictKey, GetAttrKey, SequenceKey, keystr, tree_flatten_with_path

DEFAULT = "default"
"""Label of a trained leaf that was given no name of its own."""

Specification = Any
"""None, `"all"`, a mapping of patterns to labels, a function of (path, leaf), or a pytree of labels."""


def learned(**options: Any) -> Any:
    """A field of an `equinox.Module` whose floating-point leaves are trained; `options` go to `equinox.field`.

    >>> import equinox as eqx, jax
    >>> from jaxhep.training import learned
    >>> class Scale(eqx.Module):
    ...     log_scale: jax.Array = learned()
    """
    return eqx.field(metadata={"trainable": True}, **options)


def constant(**options: Any) -> Any:
    """A field whose leaves are never trained, whatever stands around or inside it, unless a pattern or pytree asks so.

    For physical constants, and the means and widths of a preprocessing.

    >>> import equinox as eqx, jax
    >>> from jaxhep.training import constant
    >>> class Standardise(eqx.Module):
    ...     mean: jax.Array = constant()
    """
    return eqx.field(metadata={"trainable": False}, **options)


def leaf_paths(model: Any) -> list[str]:
    """The path of each leaf, in the order of flattening: `stages.0.network.parameters.last.kernel`."""
    return [keystr(path, simple=True, separator=".") for path, _ in tree_flatten_with_path(model)[0]]


def trainable_labels(model: Any, trainable: Specification = None) -> list[str | None]:
    r"""For each leaf of `model`, in the order of flattening, the label of its optimiser, or None where it is frozen.

    **Arguments**

    - `model`: any pytree.
    - `trainable`: what is trained.

      - None: what the classes of the model declare with `learned()` and `constant()` (a `jaxhep.networks.Network`
        declares its parameters learned). A floating-point leaf that nobody declared is an error, not a guess.
      - `"all"`: all floating-point leaves but those under a `constant()` field.
      - a mapping of patterns of paths (`*` as in file names) to labels, True for the label `default`, False for frozen;
        the last pattern that matches wins, and a leaf without one is frozen.
      - a function (path, leaf) → label, True, False or None.
      - a pytree of labels, a prefix of the model.

    **Returns** a list of labels.

    **Raises** `ValueError` for undeclared leaves, a pattern without a match, nothing trained, or a label on a leaf that
    is no floating-point array.

    >>> import jax.numpy as jnp
    >>> from jaxhep.training import trainable_labels
    >>> trainable_labels({"mass": jnp.array(91.2), "net": {"w": jnp.ones(3)}}, {"net.*": True})
    [None, 'default']
    """
    flat, _ = tree_flatten_with_path(model)
    paths = [keystr(path, simple=True, separator=".") for path, _ in flat]
    real = [eqx.is_inexact_array(leaf) for _, leaf in flat]
    chosen: list[Any]
    if trainable is None or (isinstance(trainable, str) and trainable == "all"):
        declared = [_declared(model, path) for path, _ in flat]
        silent = [p for p, r, d in zip(paths, real, declared, strict=True) if r and d is None]
        if trainable is None and silent:
            raise ValueError(
                f"nothing says whether these leaves are trained: {_few(silent)}; declare their fields with "
                'jaxhep.training.learned() or constant(), or pass trainable="all" or patterns such as '
                f"{{{silent[0]!r}: True}}"
            )
        chosen = [r and d is not False for r, d in zip(real, declared, strict=True)]
    elif isinstance(trainable, Mapping) and all(isinstance(k, str) for k in trainable) and _is_patterns(trainable):
        chosen = _by_patterns(paths, real, trainable)
    elif callable(trainable) and not isinstance(trainable, eqx.Module):
        chosen = [trainable(p, leaf) if r else None for p, r, (_, leaf) in zip(paths, real, flat, strict=True)]
    else:
        chosen = _by_prefix(model, trainable)
    labels = [_label(value) for value in chosen]
    for path, is_real, label in zip(paths, real, labels, strict=True):
        if label is not None and not is_real:
            raise ValueError(f"the leaf {path} is no floating-point array and cannot be trained; leave it out")
    if not any(labels):
        raise ValueError(f"nothing is trained: no floating-point leaf was chosen; the leaves are {_few(paths)}")
    return labels


def _is_patterns(trainable: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str | bool) or value is None for value in trainable.values())


def _declared(model: Any, path: tuple[Any, ...]) -> bool | None:
    """False if a field on the path is declared constant, else True if one is declared learned, else None."""
    found: bool | None = None
    here = model
    for step in path:
        if isinstance(step, GetAttrKey):
            if dataclasses.is_dataclass(here):
                field = {f.name: f for f in dataclasses.fields(here)}.get(step.name)
                says = None if field is None else field.metadata.get("trainable")
                if says is False:
                    return False
                found = says if says is not None else found
            here = getattr(here, step.name)
        elif isinstance(step, SequenceKey):
            here = here[step.idx]
        elif isinstance(step, DictKey):
            here = here[step.key]
        else:
            break
    return found


def _by_patterns(paths: list[str], real: list[bool], patterns: Mapping[str, Any]) -> list[Any]:
    chosen: list[Any] = [None] * len(paths)
    for pattern, value in patterns.items():
        hits = [i for i, path in enumerate(paths) if real[i] and fnmatch.fnmatchcase(path, pattern)]
        if not hits:
            close = difflib.get_close_matches(pattern, paths, n=1, cutoff=0.4)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"trainable: no floating-point leaf matches {pattern!r}; there are {_few(paths)}{hint}")
        for i in hits:
            chosen[i] = value
    return chosen


def _by_prefix(model: Any, trainable: Any) -> list[Any]:
    def spread(value: Any, part: Any) -> Any:
        return jax.tree.map(lambda leaf: value if eqx.is_inexact_array(leaf) or isinstance(value, str) else None, part)

    leaf = {"is_leaf": lambda x: x is None or isinstance(x, str | bool)}
    try:
        tree = jax.tree.map(spread, trainable, model, **leaf)
    except (ValueError, TypeError) as error:
        raise ValueError(f"trainable is no prefix of the model: {error}") from error
    found = jax.tree.leaves(tree, **leaf)
    count = len(jax.tree.leaves(model))
    if len(found) != count:
        raise ValueError(f"trainable is no prefix of the model: it labels {len(found)} leaves of {count}")
    return found


def _label(value: Any) -> str | None:
    if value is None or value is False:
        return None
    if value is True:
        return DEFAULT
    if isinstance(value, str) and value:
        return value
    raise ValueError(f"a label of trainable is a name, True, False or None, got {value!r}")


def _few(names: list[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names)} in all)"


LabelFunction = Callable[[str, Any], str | bool | None]

__all__ = ["DEFAULT", "LabelFunction", "Specification", "constant", "leaf_paths", "learned", "trainable_labels"]

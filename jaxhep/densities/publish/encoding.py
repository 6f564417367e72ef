"""A density as plain data and back: JSON for the structure, arrays by name, classes only from a list."""

import dataclasses
import importlib
import inspect
import math
import pkgutil
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...networks import Network

_FOLDERS = ("jaxhep.densities", "jaxhep.networks")


class PublishedFileError(ValueError):
    """A published density is broken, of a newer version, or does not reproduce its own numbers."""


def published_classes(extra: Iterable[type] = ()) -> dict[str, type]:
    """The classes that a published file may name: every concrete dataclass of `jaxhep.densities` and `jaxhep.networks`,
    by its name, and those in `extra`.

    Nothing else is ever made when a file is read, and no code comes from the file.

    **Raises** `ValueError` if two classes have one name.

    >>> from jaxhep.densities.publish import published_classes
    >>> "Flow" in published_classes() and "MLP" in published_classes()
    True
    """
    found: dict[str, type] = {}
    for folder in _FOLDERS:
        package = importlib.import_module(folder)
        names = [folder, *(info.name for info in pkgutil.walk_packages(package.__path__, folder + "."))]
        for name in names:
            for thing in vars(importlib.import_module(name)).values():
                if inspect.isclass(thing) and thing.__module__ == name and dataclasses.is_dataclass(thing):
                    _enter(found, thing)
    for thing in extra:
        _enter(found, thing)
    return found


def _enter(found: dict[str, type], thing: type) -> None:
    name = thing.__name__
    if name in found and found[name] is not thing:
        raise ValueError(
            f"two classes are called {name}: {found[name].__module__} and {thing.__module__}; a published file could "
            "not tell them apart, rename one"
        )
    if not inspect.isabstract(thing):
        found[name] = thing


def encode(value: Any, classes: dict[str, type], where: str = "density") -> tuple[Any, dict[str, np.ndarray]]:
    """The structure of `value` as JSON data, and its arrays by name.

    **Raises** `TypeError`, with the path, for a class that is not in the list or a thing that is no data (a function).
    """
    arrays: dict[str, np.ndarray] = {}

    def go(value: Any, where: str) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"number": repr(value)}
        if isinstance(value, jax.Array | np.ndarray | np.generic):
            if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
                raise TypeError(f"{where} is a random key, which does not belong into a published density")
            arrays[where] = np.asarray(value)
            return {"array": where, "host": not isinstance(value, jax.Array)}
        if isinstance(value, tuple | list):
            entries = [go(one, f"{where}.{i}") for i, one in enumerate(value)]
            return {"tuple": entries} if isinstance(value, tuple) else {"list": entries}
        if isinstance(value, dict) or type(value).__name__ == "FrozenDict":
            if not all(isinstance(key, str) for key in value):
                raise TypeError(f"{where} is a dict with keys that are no names")
            return {"dict": {key: go(one, f"{where}.{key}") for key, one in value.items()}}
        name = type(value).__name__
        if dataclasses.is_dataclass(value) and classes.get(name) is type(value):
            fields = {}
            for field in dataclasses.fields(value):
                if field.name in ("parent", "name") and _is_definition(value):
                    continue
                fields[field.name] = go(getattr(value, field.name), f"{where}.{field.name}")
            return {"type": name, "fields": fields}
        raise TypeError(
            f"{where} holds {type(value).__module__}.{name}, which cannot be published: a file holds numbers, names "
            "and classes of jaxhep.densities and jaxhep.networks; pass classes=(…,) for a class of your own"
        )

    return go(value, where), arrays


def decode(node: Any, arrays: dict[str, np.ndarray], classes: dict[str, type]) -> Any:
    """The value behind `encode`.

    **Raises** `PublishedFileError` for an unknown class, a missing array, or fields that the class does not have.
    """
    if not isinstance(node, dict):
        return node
    if "number" in node:
        return float(node["number"])
    if "array" in node:
        if node["array"] not in arrays:
            raise PublishedFileError(f"the array {node['array']} is missing")
        array = arrays[node["array"]]
        return array if node["host"] else jnp.asarray(array)
    if "tuple" in node:
        return tuple(decode(one, arrays, classes) for one in node["tuple"])
    if "list" in node:
        return [decode(one, arrays, classes) for one in node["list"]]
    if "dict" in node:
        return {key: decode(one, arrays, classes) for key, one in node["dict"].items()}
    return _make(node, arrays, classes)


def _make(node: dict[str, Any], arrays: dict[str, np.ndarray], classes: dict[str, type]) -> Any:
    name = node["type"]
    if name not in classes:
        raise PublishedFileError(
            f"it holds a {name}, which this jaxhep does not know; update jaxhep, or pass classes=(…,) if it is your own"
        )
    kind: Any = classes[name]
    fields = {key: decode(one, arrays, classes) for key, one in node["fields"].items()}
    known = {field.name for field in dataclasses.fields(kind)}
    if _is_definition(kind):
        known -= {"parent", "name"}
    if set(fields) != known:
        odd = sorted(set(fields) ^ known)
        raise PublishedFileError(
            f"its {name} has other fields than the one of this jaxhep ({', '.join(odd)}): it was written by another "
            "version"
        )
    if _is_definition(kind):
        return kind(**fields)
    # What was checked when it was made is not made again; the arrays go where they were.
    made = object.__new__(kind)
    for key, value in fields.items():
        object.__setattr__(made, key, value)
    return made


def _is_definition(thing: Any) -> bool:
    """Whether this is a Flax definition (or its class) of `jaxhep.networks`, whose `name` and `parent` are not ours."""
    kind = thing if inspect.isclass(thing) else type(thing)
    architecture = inspect.get_annotations(Network)["definition"]
    return issubclass(kind, architecture)


__all__ = ["PublishedFileError", "decode", "encode", "published_classes"]

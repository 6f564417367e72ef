"""The state of an optimisation on disk: one file, replaced as a whole, refused if it belongs to another problem."""

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message says why and what to do."""


def fingerprint(content: Any) -> str:
    """A short hash of JSON content: the same for the same problem and settings.

    >>> fingerprint({"a": 1}) == fingerprint({"a": 1}), fingerprint({"a": 1}) == fingerprint({"a": 2})
    (True, False)
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def save(path: Path, tree: Any, mark: str) -> None:
    """Writes the arrays of a pytree; the file is never half there.

    Arguments:
        path: of the file, `.npz`.
        tree: a pytree of arrays.
        mark: fingerprint of what the state belongs to.

    Raises:
        OSError: the disk refuses.
    """
    leaves: dict[str, Any] = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        np.savez(file, mark=np.array(mark), **leaves)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(path: Path, like: Any, mark: str) -> Any:
    """Reads what `save` wrote, into the structure of `like`.

    Arguments:
        path: of the file.
        like: a pytree of the same structure; leading sizes of its leaves may differ (a trajectory grows).
        mark: the fingerprint that is expected.

    Returns:
        The pytree, of NumPy arrays.

    Raises:
        CheckpointError: no such file, a damaged one, or one of another problem.
    """
    leaves, structure = jax.tree.flatten(like)
    try:
        # Opened here: NumPy leaves the file open when it is no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            found = str(stored["mark"])
            arrays = [stored[f"leaf_{i}"] for i in range(len(stored.files) - 1)]
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist: there is nothing to resume") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged ({error}); start again without resume") from error
    if found != mark or len(arrays) != len(leaves):
        raise CheckpointError(
            f"{path} belongs to another problem or other settings (mark {found}, expected {mark}); resume with the "
            "same design, budgets, seed and settings, or start again in another folder"
        )
    return jax.tree.unflatten(structure, arrays)


__all__ = ["CheckpointError", "fingerprint", "load", "save"]

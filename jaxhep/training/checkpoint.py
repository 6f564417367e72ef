"""The state of a training on disk, by Orbax: complete or not there, and only resumed by the training that wrote it."""

import contextlib
import hashlib
import importlib.metadata
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .failure import CheckpointError

VERSION = 1
"""Version of the layout; a reader refuses a newer one."""

# Settings that do not change the result of a training, and may differ when it is resumed.
_FREE = ("devices", "resident_bytes", "steps_per_call", "patience")


class TrainingStore:
    """A folder of checkpoints, of which the last two are kept.

    Orbax writes a checkpoint under a temporary name and renames it: a process killed at any moment leaves the one
    before. The arrays are restored into the shapes, types and placement of the running training, so that the number of
    devices may be another one.

    **Arguments**

    - `folder`: where to write; made if it is not there. It is made absolute, as Orbax wants it.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser().resolve()
        self.manager: Any = None

    def open(self, run: Any, resume: bool) -> None:
        """Opens the folder; reads its last checkpoint into `run` if asked to resume and there is one.

        **Raises** `FileExistsError` if there are checkpoints and `resume` is False; `CheckpointError` for one that
        cannot be read or belongs to another training.
        """
        try:
            import orbax.checkpoint as ocp
        except ImportError as error:
            raise ImportError('checkpoints need Orbax; install it with: pip install "jaxhep[learn]"') from error
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder} is a file; a checkpoint is a folder, choose another path")
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, create=True, cleanup_tmp_directories=True
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.manager = ocp.CheckpointManager(self.folder, options=options)
        steps = sorted(self.manager.all_steps())
        if steps and not resume:
            self.close()
            raise FileExistsError(
                f"{self.folder} holds checkpoints (step {steps[-1]}); pass resume=True to go on, or another folder"
            )
        if steps:
            try:
                self._restore(run, steps)
            except BaseException:
                self.close()
                raise

    def save(self, run: Any) -> None:
        """Writes the state of `run`."""
        import orbax.checkpoint as ocp

        content = {
            "version": VERSION,
            "jaxhep": importlib.metadata.version("jaxhep"),
            "fingerprint": fingerprint(run),
            "loader": {"seed": run.loader.seed, "epoch": run.loader.epoch, "position": run.loader.position},
            "step": run.step,
            "seconds": run.seconds,
            "history": run.history,
            "sums": run.sums,
            "norms": run.norms,
            "best_loss": None if math.isinf(run.best_loss) else run.best_loss,
            "best_epoch": run.best_epoch,
            "waited": run.waited,
        }
        arrays = flat(run)
        args = ocp.args.Composite(state=ocp.args.StandardSave(arrays), progress=ocp.args.JsonSave(content))
        self.manager.save(run.step, args=args, force=True)

    def wait(self) -> None:
        """Until everything is written."""
        if self.manager is not None:
            self.manager.wait_until_finished()

    def close(self) -> None:
        """Ends the use of the folder."""
        if self.manager is not None:
            self.manager.wait_until_finished()
            self.manager.close()
            self.manager = None

    def _restore(self, run: Any, steps: list[int]) -> None:
        import orbax.checkpoint as ocp

        step, where = steps[-1], self.folder / str(steps[-1])
        with self._readable(where, steps):
            args = ocp.args.Composite(progress=ocp.args.JsonRestore())
            content = self.manager.restore(step, args=args)["progress"]
            version = int(content["version"])
        if version > VERSION:
            raise CheckpointError(
                f"{where} was written by jaxhep {content.get('jaxhep')} in version {version} of the layout, this "
                f"jaxhep ({importlib.metadata.version('jaxhep')}) reads up to {VERSION}; update jaxhep"
            )
        with self._readable(where, steps):
            written = content["fingerprint"]
        _same(where, written, fingerprint(run))
        target = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for name, leaf in flat(run).items()
        }
        with self._readable(where, steps):
            args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
            arrays = self.manager.restore(step, args=args)["state"]
            fill(run, arrays)
            run.loader.epoch, run.loader.position = content["loader"]["epoch"], content["loader"]["position"]
            run.step = run.saved_step = content["step"]
            run.seconds, run.history = content["seconds"], content["history"]
            run.sums, run.norms = content["sums"], content["norms"]
            run.best_loss = math.inf if content["best_loss"] is None else content["best_loss"]
            run.best_epoch, run.waited = content["best_epoch"], content["waited"]

    @contextlib.contextmanager
    def _readable(self, where: Path, steps: list[int]) -> Any:
        try:
            yield
        except Exception as error:
            text = (str(error).strip().splitlines() or ["no details"])[0][:200]
            cure = (
                f"remove {where} to resume from step {steps[-2]}"
                if len(steps) > 1
                else "there is no earlier one: begin again in another folder"
            )
            raise CheckpointError(
                f"the checkpoint {where} cannot be read ({type(error).__name__}: {text}); it may be cut short: {cure}"
            ) from error


def _leaves(run: Any) -> list[Any]:
    best = run.best if run.best is not None else {"trained": run.state["trained"], "ema": run.state["ema"]}
    return [run.state, best]


def flat(run: Any) -> dict[str, Any]:
    """The arrays of the state by number; Orbax stores no arrays without entries, which carry nothing anyway."""
    leaves = jax.tree.leaves(_leaves(run))
    return {f"{i:05d}": leaf for i, leaf in enumerate(leaves) if leaf.size}


def fill(run: Any, arrays: dict[str, Any]) -> None:
    """Puts the arrays back."""
    leaves, structure = jax.tree.flatten(_leaves(run))
    run.state, best = jax.tree.unflatten(structure, [arrays.get(f"{i:05d}", leaf) for i, leaf in enumerate(leaves)])
    run.best = best if run.held is not None else None


def fingerprint(run: Any) -> dict[str, Any]:
    """What must be the same for the resumed training to be the same."""
    settings = {k: v for k, v in run.settings.to_dict().items() if k not in _FREE}
    return {
        "trained leaves": {k: f"{v.dtype.name}{list(v.shape)}" for k, v in sorted(run.state["trained"].items())},
        "frozen leaves": _digest(*(run.frozen[k] for k in sorted(run.frozen))),
        "objectives": [[o.name, list(o.named()), o.steps, o.batch_loss] for o in run.program.objectives],
        "settings": settings,
        "data": _describe(run.data),
        "validation": None if run.validation is None else _describe(run.validation),
        "key": run.loader.seed,
    }


def _describe(data: Any) -> dict[str, Any]:
    rows = np.unique(np.linspace(0, data.num_rows - 1, 64).astype(np.int64))
    columns = data.take(rows)
    some = [columns[name] for name in sorted(columns)]
    return {"rows": data.num_rows, "columns": sorted(data.names), "content": _digest(data.weights, *some)}


def _digest(*arrays: Any) -> str:
    total = hashlib.sha256()
    for array in arrays:
        if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
            array = jax.random.key_data(array)
        host = np.asarray(array)
        total.update(f"{host.dtype.name}{host.shape}".encode() + np.ascontiguousarray(host).tobytes())
    return total.hexdigest()[:16]


def _same(where: Path, written: Any, now: Any) -> None:
    """Raises `CheckpointError` naming the first difference."""
    for name, value in now.items():
        before = written.get(name)
        if before == value:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            parts = [k for k in {**before, **value} if before.get(k) != value.get(k)]
            difference = f"{name}: {parts[0]} was {before.get(parts[0])}, now {value.get(parts[0])}"
        else:
            difference = f"{name}: was {before}, now {value}"
        raise CheckpointError(
            f"{where} belongs to another training ({difference}); resume with what it was begun with, or train into "
            "another folder"
        )


__all__ = ["VERSION", "TrainingStore", "fill", "fingerprint", "flat"]

"""Data sets in memory and in files, and every wrong input that a user can hand in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.training import Dataset, Objective, TrainingSettings, fit, open_dataset, trainable_labels
from jaxhep.training._loader import Loader

KEY = jax.random.key(0)
NUM = 1000


def table():
    rng = np.random.default_rng(3)
    return {
        "pt": rng.normal(size=NUM), "eta": rng.normal(size=NUM), "n": np.arange(NUM), "w": rng.normal(1, 1, NUM),
    }  # fmt: skip


def write(path, columns):
    names, arrays = list(columns), list(columns.values())
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".csv":
        np.savetxt(path, np.stack(arrays, axis=1), delimiter=",", header=",".join(names), comments="", fmt="%.17g")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as parquet

        parquet.write_table(pa.table(columns), path, row_group_size=300)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            for name, array in columns.items():
                file["events/" + name] = array
    return path


SELECTION = {"x": ["pt", "eta"], "c": ["n"]}


def opened(path, **options):
    prefix = "events/" if path.suffix == ".h5" else ""
    selection = {k: [prefix + one for one in v] for k, v in SELECTION.items()}
    return open_dataset(path, selection, prefix + "w", **options)


@pytest.mark.parametrize("suffix", [".h5", ".parquet", ".npz", ".csv"])
def test_files_hold_the_same_events(tmp_path, suffix):
    columns = table()
    options = {"block_rows": 64, "buffer_blocks": 3} if suffix in (".h5", ".parquet") else {}
    data = opened(write(tmp_path / f"events{suffix}", columns), **options)
    rows = np.array([999, 0, 500, 63, 64, 300, 299])
    taken = data.take(rows)
    np.testing.assert_array_equal(taken["x"], np.stack([columns["pt"], columns["eta"]], 1)[rows].astype(np.float32))
    np.testing.assert_array_equal(taken["c"][:, 0], rows)
    np.testing.assert_allclose(data.weights, columns["w"])
    assert data.effective_rows == pytest.approx(columns["w"].sum() ** 2 / (columns["w"] ** 2).sum())
    a, b = data.order(1, 0), data.order(1, 1)
    assert np.array_equal(np.sort(a), np.arange(NUM))
    assert np.array_equal(a, data.order(1, 0))
    assert not np.array_equal(a, b)
    if options:  # the first buffer holds rows of three blocks, and they are mixed
        assert len(np.unique(a[:64] // 64)) <= 3
        assert np.any(np.diff(a[:64]) < 0)
    first, second = data.split(0.25, 7)
    both = np.concatenate([part.take(np.arange(part.num_rows))["c"][:, 0] for part in (first, second)])
    assert (first.num_rows, second.num_rows) == (750, 250)
    assert np.array_equal(np.sort(both), np.arange(NUM))
    assert np.array_equal(np.sort(second.order(0, 0)), np.arange(250))


def test_the_loader_fills_up_with_rows_of_no_weight():
    data = Dataset({"n": np.arange(23)})
    loader = Loader(data, 4, 4, 11, jax.device_put, True)
    assert loader.batches == 6
    seen = []
    for want in (4, 2):
        _, _, items, count = loader.chunk()
        assert count == want == items["active"].sum()
        seen += list(items["ident"][items["real"]])
        ended = loader.advance(count)
    assert ended
    assert sorted(seen) == list(range(23))
    assert (loader.epoch, loader.position) == (1, 0)
    again = Loader(data, 4, 4, 11, jax.device_put, True, epoch=0, position=4)
    assert list(again.chunk()[2]["ident"][0]) == seen[16:20]


def mean_loss(model, event, key):
    return jnp.sum((event["x"] - model["m"]) ** 2)


def test_a_training_out_of_core_is_one_in_memory(tmp_path):
    """Full batches: the order of the file does not matter."""
    data = opened(write(tmp_path / "events.h5", table()), block_rows=64, buffer_blocks=3)
    memory = Dataset(data.take(np.arange(NUM)), data.weights)
    settings = TrainingSettings(batch_size=NUM, epochs=10, learning_rate=0.1, resident_bytes=0)
    ends = [
        fit({"m": jnp.zeros(2)}, mean_loss, one, key=KEY, settings=settings, trainable="all").model["m"]
        for one in (data, memory)
    ]
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)


def test_broken_files_are_refused(tmp_path):
    columns = table()
    columns["eta"][700] = np.nan
    data = opened(write(tmp_path / "nan.h5", columns), block_rows=64)
    with pytest.raises(ValueError, match=r"column 'events/eta' of .*nan.h5 is not finite in 1 of 64 rows.*rows 700"):
        data.take(np.array([701]))
    path = write(tmp_path / "events.parquet", table())
    with pytest.raises(ValueError, match="has no column 'ett', it has pt, eta, n, w; did you mean 'eta'"):
        open_dataset(path, {"x": ["ett"]})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cannot be read as Parquet .* cut short"):
        open_dataset(path, {"x": ["pt"]})
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF")
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        open_dataset(tmp_path / "broken.h5", {"x": ["pt"]})
    with pytest.raises(FileNotFoundError):
        open_dataset(tmp_path / "none.h5", {"x": ["pt"]})
    (tmp_path / "events.txt").write_text("x")
    with pytest.raises(ValueError, match="suffix must be"):
        open_dataset(tmp_path / "events.txt", {"x": ["pt"]})
    (tmp_path / "text.csv").write_text("a,b\n1,two\n")
    with pytest.raises(ValueError, match="cannot be read as CSV"):
        open_dataset(tmp_path / "text.csv", {"x": ["a"]})


@pytest.mark.parametrize(
    ("columns", "weights", "error", "message"),
    [
        ({"x": [[1.0, 2.0], [np.nan, 1.0], [0.0, np.inf]]}, None, ValueError, "2 of 3 rows .* rows 1, 2"),
        ({"x": np.ones(3), "c": np.ones(4)}, None, ValueError, "x: 3, c: 4"),
        ({"x": np.ones(3)}, [1.0, -1.0, 0.0], ValueError, "weights sum to 0 .*needs a sum above zero"),
        ({"x": np.ones(2)}, [1.0, -3.0], ValueError, "weights sum to -2"),
        ({"x": np.ones(3)}, [1.0, 2.0], ValueError, r"shape \(3,\), one an event, got \(2,\)"),
        ({"x": np.ones(2)}, [1.0, np.nan], ValueError, "weights are not finite in 1 rows"),
        ({"x": np.array(["a", "b"])}, None, TypeError, "not numbers"),
        ({"x": np.ones((0, 3))}, None, ValueError, "no rows"),
        ({"x": [1e39]}, None, ValueError, "do not fit float32"),
        ({}, None, TypeError, "map names to arrays"),
    ],
)
def test_bad_columns_are_refused(columns, weights, error, message):
    with pytest.raises(error, match=message):
        Dataset(columns, weights)


def test_constant_columns_are_found():
    data = Dataset({"x": np.stack([np.arange(5.0), np.full(5, 3.0)], 1), "c": np.arange(5.0)})
    data.check_varying(["c"])
    with pytest.raises(ValueError, match="column 1 of 'x' has one value, 3, in all rows"):
        data.check_varying()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"epochs": 2, "steps": 3}, "not both"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": "exponential"}, "final_factor"),
        ({"optimiser": "adan"}, "did you mean 'adam'"),
        ({"optimiser": {"a": "adem"}}, "did you mean 'adam'"),
        ({"ema": 1.0}, "ema is the decay"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"warmup_steps": -1}, "warmup_steps"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**options)


def never(model, event, key):
    raise AssertionError("nothing may be traced before the arguments are checked")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing says whether these leaves are trained: a, b"),
        ({"trainable": {"c*": True}}, "no floating-point leaf matches 'c\\*'"),
        ({"trainable": {"a": False}}, "nothing is trained"),
        ({"trainable": {"n": True}}, "no floating-point leaf matches 'n'"),
        ({"trainable": {"a": True, "b": True, "n": True, "d": True}}, "no floating-point leaf matches 'n'"),
        ({"trainable": [True, False]}, "no prefix of the model"),
        ({"settings": TrainingSettings(learning_rate={"x": 1.0})}, "no value for the label 'default'"),
        ({"settings": TrainingSettings(learning_rate={"x": 1.0, "default": 1.0})}, "label 'x', which no trained leaf"),
        ({"settings": TrainingSettings(patience=3)}, "patience needs a validation set"),
        ({"settings": TrainingSettings(batch_size=9, devices=8)}, "multiple of the number of devices"),
        ({"settings": TrainingSettings(devices=99)}, "JAX sees 8"),
        ({"validation": 1.5}, "between 0 and 1"),
        ({"validation": Dataset({"y": np.ones(3)})}, "columns"),
        ({"resume": True}, "needs checkpoint="),
        ({"loss": Objective(never, "critic")}, "moves the label 'critic'"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_traced(options, message):
    model = {"a": jnp.ones(2), "b": jnp.zeros(()), "n": jnp.arange(3), "d": "a name"}
    arguments = {"loss": never, "data": Dataset({"x": np.ones(10)}), "key": KEY, **options}
    if "trainable" not in options and message[:7] != "nothing":
        arguments["trainable"] = {"a": True}
    with pytest.raises(ValueError, match=message):
        fit(model, arguments.pop("loss"), arguments.pop("data"), **arguments)


def test_specifications_that_mean_the_same():
    model = {"net": {"w": jnp.ones(2), "b": jnp.ones(1)}, "mass": jnp.ones(()), "n": jnp.arange(2)}
    want = [None, None, "head", "head"]
    order = [path.split(".")[0] for path in ("mass", "n", "net.b", "net.w")]
    assert [name == "net" for name in order] == [bool(label) for label in want]
    for trainable in (
        {"net.*": "head"},
        {"*": "head", "mass": False},
        lambda path, leaf: "head" if path.startswith("net") else None,
    ):
        assert trainable_labels(model, trainable) == want
    assert trainable_labels(model, "all") == ["default", None, "default", "default"]
    prefix = [True, None, {"a": "x", "b": False}]
    assert trainable_labels((jnp.ones(1), jnp.ones(1), {"a": jnp.ones(1), "b": jnp.ones(1)}), tuple(prefix)) == [
        "default", None, "x", None,
    ]  # fmt: skip


def test_losses_of_the_wrong_form_are_refused():
    data, model = Dataset({"x": np.ones((4, 2))}), {"m": jnp.zeros(2)}
    with pytest.raises(ValueError, match=r"must be a scalar, got shape \(2,\)"):
        fit(model, lambda m, e, k: e["x"] - m["m"], data, key=KEY, trainable="all")
    with pytest.raises(TypeError, match=r"is no function|Expected type"):
        fit(model, 3.0, data, key=KEY, trainable="all")
    with pytest.raises(TypeError, match="must be a Dataset"):
        fit(model, mean_loss, {"x": np.ones(3)}, key=KEY, trainable="all")  # type: ignore[arg-type]

"""Published densities: what is read is what was written, and nothing else is read."""

import json
import zipfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.densities import AbstractTractableDensity
from jaxhep.densities.bijections import Affine
from jaxhep.densities.flows import Flow, Normal, autoregressive_flow, coupling_flow
from jaxhep.densities.preprocessing import Preprocessing, bounded, discrete, positive, preprocess, real
from jaxhep.densities.publish import (
    PublishedFileError,
    publish,
    published_classes,
    read_density,
    read_nabu,
    validate,
)
from jaxhep.densities.publish.encoding import decode, encode
from jaxhep.densities.publish.report import latent_of

KEY = jax.random.key(0)
NABU = next(
    (p / "shared/reference/nabu" for p in Path(__file__).resolve().parents if (p / "shared/reference/nabu").is_dir()),
    None,
)


def gaussian(mean=(1.0, -2.0), width=(0.5, 2.0)):
    return Flow(Normal(2), Affine(jnp.array(mean), jnp.log(jnp.array(width))))


def events(count=2000, seed=1):
    return np.random.default_rng(seed).normal((1.0, -2.0), (0.5, 2.0), (count, 2))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "gaussian.npz"
    publish(path, gaussian(), events(), key=KEY, name="gaussian", columns=["x", "y"], coverage_events=500)
    return path


DENSITIES = {
    "affine": gaussian,
    "coupling": lambda: coupling_flow(2, 1, num_layers=2, width=4, depth=1, key=KEY),
    "autoregressive": lambda: autoregressive_flow(2, num_layers=2, width=4, depth=1, key=KEY),
    "preprocessed": lambda: preprocess(
        gaussian(), Preprocessing((bounded(0.0, 1.0), positive(-1.0)), jnp.zeros(2), jnp.ones(2))
    ),
    "discrete": lambda: preprocess(gaussian(), Preprocessing((discrete(), real()), jnp.zeros(2), jnp.ones(2))),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_a_density_survives_as_plain_data(name):
    density, classes = DENSITIES[name](), published_classes()
    structure, arrays = encode(density, classes)
    text = json.dumps(structure, allow_nan=False)
    again = decode(json.loads(text), arrays, classes)
    assert jax.tree.structure(again) == jax.tree.structure(density)
    assert hash(jax.tree.structure(again)) == hash(jax.tree.structure(density))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(density), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def test_the_file_holds_the_density_and_its_report(file):
    read = read_density(file)
    x = jnp.asarray(events(50, 2), jnp.float32)
    want = jax.vmap(gaussian().log_prob)(x)
    np.testing.assert_array_equal(read.log_prob(x), jax.jit(jax.vmap(gaussian().log_prob))(x))
    np.testing.assert_allclose(read.log_prob(x), want, rtol=1e-5)
    draws = read.sample(KEY, 4000)
    np.testing.assert_array_equal(draws[:100], read.sample(KEY, 100))
    assert np.all(np.abs(draws.mean(0) - np.array([1.0, -2.0])) < 5.5 * np.array([0.5, 2.0]) / 4000**0.5)
    entropy = -np.log(0.5 * 2.0 * 2 * np.pi * np.e)
    report = read.report
    assert report.num_events == 2000
    # Var log p of a normal density in two dimensions is 1: 5.3σ of the mean of 2000 events.
    assert abs(report.mean_log_prob - entropy) < 5.3 / 2000**0.5
    assert report.mean_log_prob_error == pytest.approx(2000**-0.5, rel=0.15)
    assert report.smallest_p > 1e-7
    assert report.float_gap < 1e-4
    for level, inside, error in report.coverage:
        assert abs(inside - level) < 5.3 * (level * (1 - level) / 500) ** 0.5 + 1 / 100
        assert error == pytest.approx((inside * (1 - inside) / 500) ** 0.5, rel=0.05)
    assert "p(x, y): gaussian" in repr(read)
    assert read.written_by
    with np.load(file, allow_pickle=False) as plain:  # any NumPy reads the numbers
        np.testing.assert_array_equal(plain["density.bijection.shift"], [1.0, -2.0])


def test_the_report_sees_a_wrong_density():
    """A width that is 20 % off: 2000 events refuse it, in the latent space and in the coverage."""
    report = validate(gaussian(width=(0.6, 2.4)), events(), key=KEY, coverage_events=1000)
    assert report.latent["ks"] < 1e-7
    assert report.latent["pearson"] < 1e-7
    assert report.coverage_ks < 1e-7
    inside = {level: share for level, share, _ in report.coverage}
    # Of |z|² < q with q the 68.27 % point of χ²(2), events of a 1.2 times smaller width: 1 − (1 − 0.6827)^1.44.
    assert inside[0.6827] == pytest.approx(1 - 0.3173**1.44, abs=5.3 * 0.0125 + 0.01)


def test_signed_weights_enter_the_report():
    """Events of a second normal with weights +w and −w cancel: the report is that of the rest."""
    rng = np.random.default_rng(5)
    extra = rng.normal(4.0, 1.0, (300, 2))
    x = np.concatenate([events(1000, 3), extra, extra])
    w = np.concatenate([np.ones(1000), np.full(300, 0.7), np.full(300, -0.7)])
    a = validate(gaussian(), x, None, w, key=KEY, coverage_events=20, coverage_samples=2)
    b = validate(gaussian(), x[:1000], key=KEY, coverage_events=20, coverage_samples=2)
    assert a.mean_log_prob == pytest.approx(b.mean_log_prob, abs=2e-3)
    np.testing.assert_allclose(a.latent["bins"], b.latent["bins"], atol=2e-3)
    assert a.effective_events == pytest.approx(1000**2 / (1000 + 600 * 0.49), rel=1e-4)


def rewritten(file, target, change):
    """The file with header and arrays changed, and a correct archive."""
    with np.load(file, allow_pickle=False) as archive:
        content = dict(archive)
    header = json.loads(content["header"].tobytes())
    change(header, content)
    content["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(target, **content)
    return target


def signed(header):
    from jaxhep.densities.publish.file import _digest

    header["sha256"] = _digest(header)


def newer(header, content):
    header["version"] = 99


def described(header, content):
    header["description"] = "a better one"


def moved(header, content):
    content["density.bijection.shift"] = content["density.bijection.shift"] + 1


def foreign(header, content):
    header["structure"]["type"] = "Popen"
    signed(header)


def older_fields(header, content):
    header["structure"]["fields"]["colour"] = 3
    signed(header)


def other_format(header, content):
    header["format"] = "recipe"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (newer, "version 99 of the format, this jaxhep reads up to 1; update jaxhep"),
        (described, "header was changed"),
        (moved, "array density.bijection.shift was changed"),
        (foreign, "holds a Popen, which this jaxhep does not know"),
        (older_fields, r"other fields .*\(colour\): it was written by another version"),
        (other_format, "no published density of jaxhep but 'recipe'"),
    ],
)
def test_changed_files_are_refused(file, tmp_path, change, message):
    with pytest.raises(PublishedFileError, match=message):
        read_density(rewritten(file, tmp_path / "changed.npz", change), verify=False)


def test_a_file_that_does_not_reproduce_its_numbers_is_refused(file, tmp_path):
    """As if the code of the bijection had changed: all hashes are right, log p is not."""

    def drift(header, content):
        from jaxhep.densities.publish.file import _hash

        content["probe.log_prob"] = content["probe.log_prob"] + np.float32(0.1)
        header["arrays"]["probe.log_prob"]["sha256"] = _hash(content["probe.log_prob"])
        signed(header)

    with pytest.raises(PublishedFileError, match=r"does not reproduce its own numbers: log p of the stored event"):
        read_density(rewritten(file, tmp_path / "drifted.npz", drift))


def test_broken_files_are_refused(file, tmp_path):
    whole = file.read_bytes()
    broken = tmp_path / "broken.npz"
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:size])
        with pytest.raises(PublishedFileError, match="cut short or damaged"):
            read_density(broken, verify=False)
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("density.bijection.shift.npy")
    place = whole.index(b"\x93NUMPY", info.header_offset) + 130
    broken.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(PublishedFileError):
        read_density(broken, verify=False)
    np.savez(tmp_path / "plain.npz", x=np.ones(3))
    with pytest.raises(PublishedFileError, match="cannot be read as a published density"):
        read_density(tmp_path / "plain.npz")
    with pytest.raises(FileNotFoundError):
        read_density(tmp_path / "none.npz")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        publish(file, gaussian(), events(), key=KEY)


class Mine(AbstractTractableDensity):
    """A density of the user's own."""

    shift: jax.Array
    function: object = eqx.field(static=True, default=None)
    dim: int = eqx.field(static=True, default=1)
    condition_dim: int = eqx.field(static=True, default=0)

    def sample_noise(self, key):
        return jax.random.uniform(key, (1,))

    def sample(self, noise, condition=None):
        return noise + self.shift

    def log_prob(self, x, condition=None):
        return jnp.where((x[0] >= self.shift) & (x[0] <= self.shift + 1), 0.0, -10.0)


def test_own_classes_by_name_and_never_functions(tmp_path):
    x = 3.0 + np.random.default_rng(0).uniform(size=(50, 1))
    mine, options = Mine(jnp.array(3.0)), {"key": KEY, "coverage_events": 20, "coverage_samples": 5}
    with pytest.raises(TypeError, match=r"density holds .*Mine, which cannot be published.*classes="):
        publish(tmp_path / "mine.npz", mine, x, **options)
    with pytest.raises(TypeError, match=r"density\.function holds"):
        publish(tmp_path / "mine.npz", Mine(jnp.array(3.0), np.sin), x, classes=(Mine,), **options)
    assert list(tmp_path.iterdir()) == []
    publish(tmp_path / "mine.npz", mine, x, classes=(Mine,), **options)
    with pytest.raises(PublishedFileError, match="pass classes="):
        read_density(tmp_path / "mine.npz")
    assert float(read_density(tmp_path / "mine.npz", classes=(Mine,)).density.shift) == 3.0


def test_wrong_test_events_are_refused(file):
    read = read_density(file, verify=False)
    for x, c, message in (
        (events(10), None, "at least 20"),
        (events()[:, :1], None, r"takes \(event, 2\)"),
        (events(), np.ones((2000, 1)), "conditions of shape"),
        (np.full((30, 2), np.inf), None, "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            validate(gaussian(), x, c, key=KEY)
    with pytest.raises(ValueError, match=r"takes x of shape \(event, 2\)"):
        read.log_prob(jnp.ones((3, 3)))
    with pytest.raises(ValueError, match="takes conditions"):
        read.log_prob(jnp.ones((3, 2)), jnp.ones((3, 1)))
    with pytest.raises(ValueError, match="columns names 1"):
        publish(file.with_name("new.npz"), gaussian(), events(), key=KEY, columns=["x"])


def test_the_latent_goes_through_the_preprocessing():
    density = preprocess(gaussian(), Preprocessing((real(), positive()), jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])))
    x = jnp.array([2.0, 5.0])
    inner = jnp.array([(2.0 - 1.0) / 3.0, (np.log(5.0) - 2.0) / 4.0])
    np.testing.assert_allclose(
        latent_of(density, x), (inner - jnp.array([1.0, -2.0])) / jnp.array([0.5, 2.0]), rtol=1e-5
    )


@pytest.mark.skipif(NABU is None, reason="the reference files of nabu are not beside this checkout")
def test_the_published_flow_of_nabu_gives_its_golden_numbers(tmp_path):
    """log p of the first five LHCb test points (test suite of nabu-hep, relative 1e-4), and all others."""
    assert NABU is not None
    flow, header = read_nabu(NABU / "lhcb-model.nabu")
    assert header["posterior_transform"]["dalitz"]["md"] == 5.27934
    with np.load(NABU / "lhcb-dataset.npz") as data, np.load(NABU / "lhcb-model-evaluated.npz") as known:
        x = jnp.asarray(data["X_test"], jnp.float32)
        want, latent = known["log_prob_test"], known["latent_test"]
    log_prob, z = jax.jit(jax.vmap(lambda x: (flow.log_prob(x), flow.latent(x))))(x)
    golden = [1.1209361553, -0.2491664886, -0.9786307812, 1.0516121387, 0.2813303471]
    np.testing.assert_allclose(log_prob[:5], golden, rtol=1e-4)
    np.testing.assert_allclose(log_prob, want, atol=2e-4)
    np.testing.assert_allclose(z, latent, atol=2e-4)
    # A draw goes back to the noise it came from.
    u = jax.random.uniform(KEY, (20, 2), minval=0.05, maxval=0.95)
    back = jax.jit(jax.vmap(lambda u: flow.latent(flow.sample(u))))(u)
    np.testing.assert_allclose(jax.scipy.special.ndtr(back), u, atol=2e-3)
    structure, arrays = encode(flow, published_classes())
    assert jax.tree.structure(decode(structure, arrays, published_classes())) == jax.tree.structure(flow)
    short = tmp_path / "short.nabu"
    short.write_bytes((NABU / "lhcb-model.nabu").read_bytes()[:100_000])
    with pytest.raises(PublishedFileError, match="cut short"):
        read_nabu(short)

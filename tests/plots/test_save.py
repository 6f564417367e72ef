"""Saving: each format, new folders, nothing overwritten, nothing half-written, the figure closed."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from jaxhep import plots

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture
def figure():
    plt.close("all")
    yield plots.benchmark_bars(["a", "b"], [1.0, 2.0]).figure
    plt.close("all")


def test_each_format_is_written_and_the_figure_closed(figure, tmp_path):
    before = dict(mpl.rcParams)
    paths = plots.save_figure(figure, tmp_path / "new" / "deep" / "lambda_0.2", ("png", "pdf", "svg"))
    assert [path.name for path in paths] == ["lambda_0.2.png", "lambda_0.2.pdf", "lambda_0.2.svg"]
    assert all(path.read_bytes().startswith(MAGIC[path.suffix[1:]]) for path in paths)
    assert sorted(paths) == sorted((tmp_path / "new" / "deep").iterdir())
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_nothing_is_overwritten_unless_told(figure, tmp_path):
    (tmp_path / "x.pdf").write_text("kept")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        plots.save_figure(figure, tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pdf"]
    assert (tmp_path / "x.pdf").read_text() == "kept"
    assert plt.get_fignums() == [figure.number]
    plots.save_figure(figure, tmp_path / "x", overwrite=True)
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")


def test_a_failed_write_leaves_nothing_half(figure, tmp_path, monkeypatch):
    def full_disk(path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(OSError, match="No space"):
        plots.save_figure(figure, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "formats", "sentence"),
    [("x.png", ("png",), "leave the suffix"), ("x", ("bmp3",), "bmp3"), ("x", (), "formats must")],
)
def test_bad_requests_are_refused(figure, tmp_path, path, formats, sentence):
    with pytest.raises(ValueError, match=sentence):
        plots.save_figure(figure, tmp_path / path, formats)
    assert list(tmp_path.iterdir()) == []


def test_only_figures_are_saved(tmp_path):
    with pytest.raises(TypeError, match="matplotlib figure or axes"):
        plots.save_figure("figure", tmp_path / "x")


def test_the_same_figure_gives_the_same_pdf(tmp_path):
    written = [
        plots.save_figure(plots.benchmark_bars(["a", "b"], [1.0, 2.0]), tmp_path / name, "pdf")[0].read_bytes()
        for name in "ab"
    ]
    assert written[0] == written[1]

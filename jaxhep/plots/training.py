"""The losses of a training."""

from collections.abc import Mapping

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import CYCLE, DASHES, GREY, Axes
from jaxhep.plots._checks import Values, numbers


def loss_curves(
    train: Mapping[str, Values],
    validation: Values | None = None,
    *,
    best_epoch: int | None = None,
    ylabel: str = "mean loss",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Training losses by objective and the validation loss against the epoch, with the best epoch marked.

    Args:
        train: name → mean loss of each epoch, shape (epoch,); `TrainingResult.train_losses`.
        validation: loss of the validation set after each epoch, shape (epoch,); None without.
        best_epoch: index of the epoch whose model was kept.
        ylabel: label of the losses, with unit.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: no losses, lengths that disagree, NaN, a best epoch that is none.

    Example:
        >>> ax = loss_curves({"loss": [3.0, 2.0, 1.5]}, [3.1, 2.2, 2.3], best_epoch=1)
        >>> ax.get_xlabel()
        'epoch'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    if not train:
        raise ValueError("train is empty; pass at least one objective: losses")
    size = len(np.ravel(np.asarray(next(iter(train.values())), np.float64)))
    curves = {name: numbers(f"train[{name!r}]", values, size) for name, values in train.items()}
    held = None if validation is None else numbers("validation", validation, size)
    if best_epoch is not None and not 0 <= best_epoch < size:
        raise ValueError(f"best_epoch {best_epoch} is none of the {size} epochs; count from 0")
    epoch = np.arange(1, size + 1)
    with _canvas.canvas(ax, size=(6.2, 4.2)) as (one,):
        for index, (name, values) in enumerate(curves.items()):
            colour, dash = CYCLE[index % len(CYCLE)], DASHES[(index + 1) % len(DASHES)]
            label = "training" if len(curves) == 1 else f"training, {name}"
            one.plot(epoch, values, color=colour, linestyle=dash, label=label)
        if held is not None:
            one.plot(epoch, held, color=CYCLE[len(curves) % len(CYCLE)], linestyle="--", label="validation")
        if best_epoch is not None:
            one.axvline(best_epoch + 1, color=GREY, linestyle=":", linewidth=1.0, label="best epoch")
        one.set_xlim(1, max(size, 2))
        one.set_xlabel("epoch")
        one.set_ylabel(ylabel)
        one.set_title(title, loc="left")
        one.legend(loc="best")
    return one

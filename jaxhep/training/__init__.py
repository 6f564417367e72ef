"""One training loop for every model: explicit trainable leaves, weighted events, exact resumption."""

from jaxhep.training.callbacks import JsonLines, ProgressBar, TensorBoard, TrainingReport
from jaxhep.training.dataset import AbstractDataset, Dataset
from jaxhep.training.failure import CheckpointError, NonFiniteLossError
from jaxhep.training.files import FileDataset, open_dataset
from jaxhep.training.fit import fit
from jaxhep.training.objective import Objective, density_loss
from jaxhep.training.result import TrainingResult
from jaxhep.training.settings import TrainingSettings
from jaxhep.training.specification import constant, learned, trainable_labels

__all__ = [
    "AbstractDataset",
    "CheckpointError",
    "Dataset",
    "FileDataset",
    "JsonLines",
    "NonFiniteLossError",
    "Objective",
    "ProgressBar",
    "TensorBoard",
    "TrainingReport",
    "TrainingResult",
    "TrainingSettings",
    "constant",
    "density_loss",
    "fit",
    "learned",
    "open_dataset",
    "trainable_labels",
]

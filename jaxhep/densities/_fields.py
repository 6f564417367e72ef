"""What a field says about its leaves to `jaxhep.training`: learned, or a constant that no optimiser sees."""

LEARNED = {"trainable": True}
CONSTANT = {"trainable": False}

__all__ = ["CONSTANT", "LEARNED"]

"""No models."""


def list_models(module=None):
    """Names of the models: none."""
    return []


def get_model_weights(name):
    """No model has weights; never called, since there are none."""
    raise ValueError(f"no model {name!r}")

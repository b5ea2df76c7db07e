"""All that knows ModelScope: hooks, registration, model, pipeline, metric, trainer."""

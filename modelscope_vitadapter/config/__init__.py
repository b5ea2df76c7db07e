"""`mmcv_config.py`: read as data (`reader`), then into frozen settings (`model_config`)."""

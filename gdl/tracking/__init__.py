"""Loggers for metrics: a CSV file and Weights & Biases."""

from gdl.tracking.later_numbers import add_numbers
from gdl.tracking.metrics_csv import MetricsCSV
from gdl.tracking.wandb_logger import close, offline_dir, open_wandb_logger

__all__ = ["MetricsCSV", "add_numbers", "close", "offline_dir", "open_wandb_logger"]

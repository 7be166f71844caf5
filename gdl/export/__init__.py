"""Models that travel: weights with their configuration and a model card, and ONNX."""

from gdl.export.subject import Subject, Written, subject_of
from gdl.export.writing import FORMATS, check_format, write_export

__all__ = ["FORMATS", "Subject", "Written", "check_format", "subject_of", "write_export"]

"""A model that needs more memory than there is ends with a sentence, and nothing else is limited."""

import resource
import sys

import pytest
import torch
from torch import nn

from gdl import memory
from gdl.errors import GdlError
from gdl.memory import available_memory, enough_memory


def test_parameters_are_counted_before_they_are_used(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10e6)
    with enough_memory(copies=2):
        nn.Linear(1000, 1000)
    with pytest.raises(GdlError, match=r"more than 0\.0 GB of memory"), enough_memory(copies=3):
        nn.Linear(1000, 1000)
    nn.Linear(1000, 1000)  # afterwards nothing is counted


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process maps")
def test_other_tensors_fail_where_they_would_fill_the_memory(monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr(memory, "available_memory", lambda: 100e6)
    with pytest.raises(RuntimeError, match="allocate memory"), enough_memory(copies=1):
        torch.empty(10**9)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(torch.empty(10**8)) == 10**8


def test_there_is_some_memory():
    assert available_memory() > 1e8

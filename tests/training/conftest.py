"""Data to train on, made once."""

import pytest
import torch

from tests.training import toy


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The toy's results folder; not to be changed."""
    return toy.make(tmp_path_factory.mktemp("toy") / "results")


@pytest.fixture
def one_thread():
    """Torch on one thread, as the commands of `toy` run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

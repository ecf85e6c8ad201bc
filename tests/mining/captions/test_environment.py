import pytest
import yaml

from blendclip.errors import UserError
from blendclip.mining.captions.environment import CPU_REQUIREMENTS, GPU_REQUIREMENTS, make_environment
from tests.mining.captions.stub import ROOT


def fake_environment(folder, status):
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\nexit {status}\n')
    python.chmod(0o755)
    return folder


def test_pip_installs_vllm_into_the_environment(tmp_path):
    folder = fake_environment(tmp_path / "env", 0)
    assert make_environment(folder) == folder / "bin" / "python"
    assert (folder / "called").read_text().split() == ["-m", "pip", "install", *GPU_REQUIREMENTS]
    make_environment(folder, cpu=True)
    assert (folder / "called").read_text().split() == ["-m", "pip", "install", *CPU_REQUIREMENTS]


def test_a_failure_of_pip_is_one_clear_sentence(tmp_path):
    with pytest.raises(UserError, match="pip ended with status 3"):
        make_environment(fake_environment(tmp_path / "env", 3))


def test_conda_and_pip_make_the_same_environment():
    content = yaml.safe_load((ROOT / "workflow" / "envs" / "vllm.yaml").read_text())
    assert tuple(content["dependencies"][-1]["pip"]) == GPU_REQUIREMENTS

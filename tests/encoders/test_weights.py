"""Weights on disk: a flipped bit, a full disk and a file of somebody else are told."""

import random
import resource

import pytest
import torch
from safetensors.torch import save_file

from blendclip.encoders.weights import read_weights, save_weights
from blendclip.errors import UserError

TENSORS = {
    "b.weight": torch.arange(12.0).reshape(3, 4),
    "a": torch.tensor(2.5),
    "step": torch.tensor([7]),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
}


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def test_tensors_and_what_is_said_of_them_come_back(tmp_path):
    path = tmp_path / "new" / "model.safetensors"
    save_weights(path, TENSORS, {"step": "3"})
    state, about = read_weights(path, "mend it")
    assert same(state, TENSORS) and about == {"step": "3"}
    again = tmp_path / "again.safetensors"
    save_weights(again, dict(reversed(TENSORS.items())), {"step": "3"})
    assert again.read_bytes() == path.read_bytes()


def test_every_flipped_bit_is_told_or_harmless(tmp_path):
    path, rng = tmp_path / "model.safetensors", random.Random(0)
    save_weights(path, TENSORS, {})
    whole = path.read_bytes()
    first = int.from_bytes(whole[:8], "little") + 8
    places = [*range(first, len(whole)), *(rng.randrange(first) for _ in range(150))]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            state, _ = read_weights(path, "copy it again")
        except UserError as error:
            assert str(path) in str(error) and str(error).endswith(": copy it again")
        else:
            assert place < first and same(state, TENSORS), place


def test_files_without_a_digest_are_taken(tmp_path):
    path = tmp_path / "old.safetensors"
    save_file(TENSORS, path, metadata={"step": "3"})
    state, about = read_weights(path, "mend it")
    assert same(state, TENSORS) and about == {"step": "3"}


def test_a_full_disk_leaves_the_file_of_before_and_a_sentence(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, TENSORS, {})
    whole, (_, most) = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))  # as if the disk ended there
    try:
        with pytest.raises(UserError, match=r"model.safetensors cannot be written \(.*\): make room for it"):
            save_weights(path, {"large": torch.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]


def test_what_is_missing_or_no_safetensors_is_told(tmp_path):
    with pytest.raises(UserError, match="none.safetensors is missing"):
        read_weights(tmp_path / "none.safetensors", "mend it")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(UserError, match=r"text.safetensors is not a readable safetensors file \(.*\): mend it"):
        read_weights(tmp_path / "text.safetensors", "mend it")

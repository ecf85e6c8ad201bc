"""An exported encoder gives what the encoder gives, for clouds of any size and number, without torch."""

import builtins
import json
import logging
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from blendclip.cli.main import main
from blendclip.encoders import export
from blendclip.encoders.checkpoints import save_encoder
from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.division import Division, num_patches
from blendclip.encoders.export import DensePointBert, export_onnx
from blendclip.encoders.grouping import grouped
from blendclip.encoders.numpy_grouping import encoder_inputs, group
from blendclip.encoders.numpy_grouping import normalized as normalized_by_numpy
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from tests.encoders.test_checkpoints import saved
from tests.encoders.test_foreign import ulip2
from tests.encoders.test_pointbert import random_model

SIZES = [1, 2, 5, 31, 32, 33, 100, 700, 2048]
SMALL = {"depth": 2, "width": 32, "heads": 2, "encoder_width": 16, "out_dim": 12}


def scattered(sizes, seed=0):
    """Clouds in metres, somewhere and of some shape."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(size, 3)) * rng.uniform(0.2, 3, 3) + 20).astype(np.float32) for size in sizes]


def painted(sizes, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.random((size, 3)).astype(np.float32) for size in sizes]


def embeddings(encoder, clouds, rgb=None):
    """By the encoder itself."""
    colors = None if rgb is None else [torch.from_numpy(color) for color in rgb]
    with torch.no_grad():
        features = encoder(normalized(Clouds.of([torch.from_numpy(cloud) for cloud in clouds], colors)))
    return torch.nn.functional.normalize(features, dim=1).numpy()


class Exported:
    """A file as a car has it: the runtime, numpy, and what the file says of itself."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["blendclip"])

    def __call__(self, clouds, rgb=None):
        (found,) = self.session.run(["embeddings"], encoder_inputs(clouds, rgb, **self.about["grouping"]))
        return found


@pytest.fixture(scope="module", params=[False, True], ids=["xyz", "xyzrgb"])
def pair(request, tmp_path_factory):
    """An encoder and what its file gives."""
    encoder = random_model(PointBertConfig.preset("tiny", **SMALL, colors=request.param))
    path = tmp_path_factory.mktemp("export") / "encoder.onnx"
    export_onnx(encoder, path, {"clip": "tiny"})
    return encoder, Exported(path)


def test_the_same_embeddings_for_clouds_of_1_to_2048_points(pair):
    encoder, exported = pair
    clouds = scattered(SIZES)
    rgb = painted(SIZES) if encoder.config.colors else None
    found = exported(clouds, rgb)
    assert found.shape == (len(SIZES), 12) and found.dtype == np.float32
    assert np.abs(found - embeddings(encoder, clouds, rgb)).max() < 1e-6
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)


@pytest.mark.parametrize("sizes", [[1], [2048], [1, 1], [40] * 33, [2048, 1]])
def test_the_numbers_of_clouds_and_of_patches_are_free(pair, sizes):
    encoder, exported = pair
    clouds, rgb = scattered(sizes, 7), painted(sizes) if encoder.config.colors else None
    assert np.abs(exported(clouds, rgb) - embeddings(encoder, clouds, rgb)).max() < 1e-6


def test_a_cloud_is_encoded_alike_whatever_is_beside_it(pair):
    encoder, exported = pair
    clouds, rgb = scattered([50, 2000]), painted([50, 2000]) if encoder.config.colors else None
    alone = exported(clouds[:1], rgb and rgb[:1])
    assert np.abs(exported(clouds, rgb)[0] - alone[0]).max() < 1e-6


def test_the_base_encoder_too(tmp_path):
    encoder = random_model(PointBertConfig.preset("base", depth=3, out_dim=512))
    export_onnx(encoder, tmp_path / "base.onnx")
    clouds = scattered([3, 300])
    assert np.abs(Exported(tmp_path / "base.onnx")(clouds) - embeddings(encoder, clouds)).max() < 1e-6


def test_the_file_says_what_it_takes(pair):
    encoder, exported = pair
    channels = 6 if encoder.config.colors else 3
    assert {one.name: (one.shape, one.type) for one in exported.session.get_inputs()} == {
        "patches": (["clouds", "patches", 32, channels], "tensor(float)"),
        "centers": (["clouds", "patches", 3], "tensor(float)"),
        "mask": (["clouds", "patches"], "tensor(bool)"),
    }
    (output,) = exported.session.get_outputs()
    assert (output.name, output.shape) == ("embeddings", ["clouds", 12])
    assert exported.about["grouping"] == {"patch_points": 32, "patches_per_point": 2 / 32, "max_patches": 64}
    assert exported.about["clip"] == "tiny" and exported.about["encoder"]["depth"] == 2


def test_the_same_encoder_gives_the_same_bytes_and_no_path_of_this_machine(tmp_path):
    for name in ("a", "b"):
        export_onnx(random_model(PointBertConfig.preset("tiny", **SMALL)), tmp_path / name / "encoder.onnx")
    written = (tmp_path / "a" / "encoder.onnx").read_bytes()
    assert written == (tmp_path / "b" / "encoder.onnx").read_bytes()
    assert str(tmp_path).encode() not in written and b".py" not in written
    onnx.checker.check_model(onnx.load_from_string(written), full_check=True)


def test_exporting_leaves_the_encoder_as_it_was(tmp_path):
    encoder = random_model(PointBertConfig.preset("tiny", **SMALL, drop_path=0.5)).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    export_onnx(encoder, tmp_path / "encoder.onnx")
    assert all(module.training for module in encoder.modules())
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    clouds = scattered([30, 90])
    assert np.abs(Exported(tmp_path / "encoder.onnx")(clouds) - embeddings(encoder.eval(), clouds)).max() < 1e-6


def test_a_file_that_gives_something_else_is_not_kept(tmp_path, monkeypatch):
    def frozen(dense, path):
        """As an exporter that takes the example's masks for constants would."""
        whole = DensePointBert.forward
        monkeypatch.setattr(DensePointBert, "forward", lambda *a: whole(*a[:3], torch.ones_like(a[3])))
        write(dense, path)
        monkeypatch.setattr(DensePointBert, "forward", whole)

    write = export._write_graph
    monkeypatch.setattr(export, "_write_graph", frozen)
    with pytest.raises(
        UserError, match=r"writes encoder\.onnx such that its embeddings are off by 0\.\d+: export with"
    ):
        export_onnx(random_model(PointBertConfig.preset("tiny", **SMALL)), tmp_path / "encoder.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x63"])  # the last of a version that nobody knows
def test_packages_that_do_not_go_together_are_one_sentence(tmp_path, monkeypatch, content):
    monkeypatch.setattr(export, "_write_graph", lambda _, path: path.write_bytes(content))
    with pytest.raises(UserError, match=r"torch \S+, onnx \S+ and onnxruntime \S+ do not go together on encoder.onnx"):
        export_onnx(random_model(PointBertConfig.preset("tiny", **SMALL)), tmp_path / "encoder.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch, package):
    importing = builtins.__import__

    def without(name, *args, **options):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=rf"the package {package}, which is not installed: pip install 'blendclip\[exp"):
        export_onnx(PointBert(PointBertConfig.preset("tiny", **SMALL)), tmp_path / "encoder.onnx")


def test_a_trace_of_the_encoder_is_refused():
    """Patches and buckets would be constants in it, and other clouds be encoded to something."""

    class Traceable(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = PointBert(PointBertConfig.preset("tiny", **SMALL)).eval()

        def forward(self, points, lengths):
            return self.encoder(Clouds(points, lengths))

    with pytest.raises(
        UserError, match=r"of the traced sizes alone: export it with blendclip\.encoders\.export\.export_"
    ):
        torch.jit.trace(Traceable(), (torch.randn(50, 3), torch.tensor([30, 20])))


@pytest.mark.parametrize("kind", ["scattered", "lattice", "coincident", "twins"])
def test_patches_of_numpy_are_those_of_the_encoder(kind):
    rng = np.random.default_rng(1)
    cloud = {
        "scattered": rng.normal(size=(1100, 3)),
        "lattice": rng.integers(0, 6, (600, 3)),
        "coincident": np.ones((200, 3)),
        "twins": np.tile(rng.normal(size=(300, 3)), (2, 1)),
    }[kind].astype(np.float32)
    for size in (1, 2, 31, 33, len(cloud)):
        points = torch.from_numpy(cloud[:size])
        theirs = grouped(Clouds.of([points]), Division.of([size], [num_patches(size, 2 / 32, 64)], 32))
        patches, centers = group(cloud[:size], max_patches=64)
        assert np.array_equal(centers, points[theirs.centers])
        assert np.array_equal(patches, points[theirs.members] - points[theirs.centers][:, None])


def test_normalizing_by_numpy_is_that_of_the_encoder():
    for cloud in [*scattered(SIZES), np.ones((4, 3), np.float32)]:
        expected = normalized(Clouds.of([torch.from_numpy(cloud)])).points.numpy()
        np.testing.assert_allclose(normalized_by_numpy(cloud), expected, atol=2e-7)


def test_colors_follow_the_points_of_a_patch():
    points, colors = np.eye(3, dtype=np.float32), np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    patches, centers = group(points, colors, patch_points=5)
    assert centers.tolist() == [[1, 0, 0]]
    assert patches[0, :, :3].tolist() == [[0, 0, 0], [-1, 1, 0], [-1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert patches[0, :, 3:].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]


def test_smaller_clouds_are_filled_with_zeros():
    inputs = encoder_inputs(scattered([64, 3]))
    assert inputs["patches"].shape == (2, 4, 32, 3) and inputs["centers"].shape == (2, 4, 3)
    assert inputs["mask"].tolist() == [[True] * 4, [True, False, False, False]]
    assert not inputs["patches"][1, 1:].any() and not inputs["centers"][1, 1:].any()


@pytest.mark.parametrize(
    ("clouds", "sentence"),
    [
        ([], "there is no cloud to encode"),
        ([np.zeros((4, 3)), np.zeros((0, 3))], r"cloud 1 is of shape \(0, 3\): give \(N, 3\) with at least one point"),
        ([np.zeros((4, 4))], r"cloud 0 is of shape \(4, 4\): give \(N, 3\)"),
        ([np.full((2, 3), np.nan)], "cloud 0 has points that are not finite"),
    ],
)
def test_clouds_that_cannot_be_encoded_are_told(clouds, sentence):
    with pytest.raises(UserError, match=sentence):
        encoder_inputs(clouds)


def test_grouping_needs_numpy_alone():
    code = "import sys, blendclip.encoders.numpy_grouping; print(*sorted(name.split('.')[0] for name in sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "numpy" in loaded and not {"torch", "numba", "pyarrow", "scipy", "onnx"} & loaded


def test_the_command_exports_a_run(tmp_path, capsys):
    encoder = random_model(PointBertConfig.preset("tiny", **SMALL))
    save_encoder(tmp_path / "run" / "model.safetensors", encoder, {"clip": "tiny", "steps": 4})
    for number, model in enumerate(("run", "run/model.safetensors")):
        path = tmp_path / f"{number}.onnx"
        assert main(["export", str(tmp_path / model), "--output", str(path)]) == 0
        assert f"{path}: patches (clouds, patches, 32, 3), centers" in capsys.readouterr().out
        exported, clouds = Exported(path), scattered([9, 90])
        assert exported.about["recipe"] == {"clip": "tiny", "steps": 4}
        assert np.abs(exported(clouds) - embeddings(encoder, clouds)).max() < 1e-6


def test_the_command_exports_a_foreign_checkpoint(tmp_path, capsys, caplog):
    with caplog.at_level(logging.INFO):
        assert main(["export", str(saved(tmp_path / "u.pt", ulip2())), "--output", str(tmp_path / "u.onnx")]) == 0
    assert "(clouds, patches, 32, 6)" in capsys.readouterr().out
    exported = Exported(tmp_path / "u.onnx")
    assert exported.about["origin"] == "ULIP-2" and exported([np.eye(3)], [np.eye(3)]).shape == (1, 1280)


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert main(["export", str(tmp_path / "run"), "--output", str(tmp_path / "u.onnx")]) == 1
    assert "run is missing" in capsys.readouterr().err

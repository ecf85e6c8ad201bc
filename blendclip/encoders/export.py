"""A PointBERT as an ONNX file, for machines without torch.

Patches are made outside of the file, by `numpy_grouping.encoder_inputs`: farthest point sampling is a loop of as many
steps as a cloud has patches.

Letters in names: B clouds, P patches of the cloud that has most, K points of a patch, C channels, D width of the
transformer.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from blendclip import __version__
from blendclip.encoders.buckets import Bucket
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from blendclip.storage import replacing

log = logging.getLogger(__name__)

INPUTS = ("patches", "centers", "mask")
SIZE = "size"
"""A further input, for encoders with `size` alone."""
OUTPUT = "embeddings"
METADATA_KEY = "blendclip"
_GROUPING = ("patch_points", "patches_per_point", "max_patches")
_OPSET = 17  # the first with a layer norm of its own
_TOLERANCE = 1e-5  # of an embedding's components, which are of unit length together
_TRIED = ((1, 1), (3, 7))  # clouds and patches to hold the file against the encoder with; it is traced with others


class DensePointBert(nn.Module):
    """A PointBert on patches that are given and padded, so that one graph of tensors holds it; for evaluation.

    It shares the encoder's layers. The arithmetic is theirs; only the layout differs: one bucket of all clouds.
    """

    def __init__(self, encoder: PointBert) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, patches_BPKC: Tensor, centers_BP3: Tensor, mask_BP: Tensor, size_B3: Tensor | None = None
    ) -> Tensor:
        """(B, out_dim) embeddings of unit length.

        Args:
            patches_BPKC: points of patches less their centres, then colours where the encoder sees them.
            centers_BP3: centres of the patches in the normalised cloud.
            mask_BP: bool, true where a cloud has a patch; each has at least one.
            size_B3: `Clouds.size`, for an encoder that is told it.
        """
        encoder = self.encoder
        clouds, patches = mask_BP.shape
        vectors_PD = encoder.to_token(encoder.patch_encoder(patches_BPKC.flatten(0, 1), None))
        tokens_TD = _with_class(encoder.class_tokens(clouds, size_B3), vectors_PD.view(clouds, patches, -1))
        positions_TD = _with_class(encoder.class_position.expand(clouds, -1), encoder.position(centers_BP3))
        bucket = Bucket(0, clouds, patches + 1, F.pad(mask_BP, (1, 0), value=True))
        for block in encoder.blocks:
            tokens_TD = block(tokens_TD + positions_TD, [bucket], None)
        tokens_BTD = encoder.norm(tokens_TD).view(clouds, patches + 1, -1)
        most_BD = tokens_BTD[:, 1:].masked_fill(~mask_BP[..., None], -torch.inf).max(1).values
        return F.normalize(encoder.projection(torch.cat([tokens_BTD[:, 0], most_BD], dim=1)), dim=1)


def export_onnx(encoder: PointBert, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write an encoder as an ONNX file that takes any number of clouds and patches.

    Inputs are those of `DensePointBert.forward`, named patches, centers, mask and, where the encoder is told it, size;
    the output is named embeddings. What
    `numpy_grouping.encoder_inputs` needs to know, and `about`, are in the file's metadata under `blendclip`, as JSON.
    The file is run before it is kept, and must give what the encoder gives.

    Args:
        encoder: on any device, in training or not; it stays as it is.
        path: the file, which appears when it is right.
        about: what else the metadata shall say, in types that JSON has, such as the name of the CLIP.

    Raises:
        UserError: a package is missing, packages do not go together, or torch writes a file that gives something else.
    """
    _check_packages()
    dense = DensePointBert(copy.deepcopy(encoder).cpu().float()).eval()
    with replacing(path) as temporary:
        try:
            _write_graph(dense, temporary)
            _describe(temporary, encoder.config, about or {})
            difference = _difference(dense, temporary)
        except OSError:
            raise  # it names the file
        except Exception as error:  # of an operator that one of the three does not know, each has its own
            raise UserError(_misfit(path, error)) from error
        if not difference <= _TOLERANCE:
            raise UserError(
                f"torch {torch.__version__} writes {path.name} such that its embeddings are off by {difference:.1g}: "
                "export with another version of torch"
            )
    log.info("%s gives what the encoder gives, to %.1g", path, difference)


def _misfit(path: Path, error: Exception) -> str:
    import onnx
    import onnxruntime

    versions = f"torch {torch.__version__}, onnx {onnx.__version__} and onnxruntime {onnxruntime.__version__}"
    told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"{versions} do not go together on {path.name} ({told}): export with other versions"


def _check_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"exporting needs the package {error.name}, which is not installed: pip install 'blendclip[export]'"
        ) from None


def _with_class(of_class_BD: Tensor, vectors_BPD: Tensor) -> Tensor:
    """(B * (P + 1), D): the class token's vector before those of a cloud's patches."""
    return torch.cat([of_class_BD[:, None], vectors_BPD], dim=1).flatten(0, 1)


def _names(config: PointBertConfig) -> tuple[str, ...]:
    return (*INPUTS, SIZE) if config.size else INPUTS


def _example(config: PointBertConfig, clouds: int, patches: int) -> tuple[Tensor, ...]:
    """Inputs of the right shapes; the first cloud has all patches, the following ones fewer."""
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(clouds, patches, config.patch_points, 6 if config.colors else 3, generator=rng)
    real_BP = torch.arange(patches) < torch.arange(patches, patches - clouds, -1).clamp_min(1)[:, None]
    inputs = points, torch.randn(clouds, patches, 3, generator=rng), real_BP
    if not config.size:
        return inputs
    size_B3 = torch.randn(clouds, 3, generator=rng)
    size_B3[1:2] = torch.nan  # not known
    return *inputs, size_B3


def _write_graph(dense: DensePointBert, path: Path) -> None:
    names, varying = _names(dense.encoder.config), {0: "clouds", 1: "patches"}
    axes = {**dict.fromkeys(INPUTS, varying), SIZE: {0: "clouds"}, OUTPUT: {0: "clouds"}}
    with warnings.catch_warnings():
        # The exporter by tracing is the one that all supported versions of torch have and that needs no more packages.
        # It warns that it is old, and of sizes that it might take for constants: `_difference` looks whether it did.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            dense,
            _example(dense.encoder.config, 2, 5),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(names),
            output_names=[OUTPUT],
            dynamic_axes={name: axes[name] for name in (*names, OUTPUT)},
        )


def _describe(path: Path, config: PointBertConfig, about: Mapping[str, Any]) -> None:
    """Put into the metadata of a file what its inputs are made with."""
    import onnx

    model = onnx.load(path, format="protobuf")
    shape = asdict(config)
    told = {"made_by": f"blendclip {__version__}", "encoder": shape, "grouping": {key: shape[key] for key in _GROUPING}}
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps({**about, **told}, sort_keys=True)})
    onnx.checker.check_model(model)
    onnx.save(model, path, format="protobuf")


@torch.no_grad()
def _difference(dense: DensePointBert, path: Path) -> float:
    """The most by which embeddings of the file and of the encoder differ, for several numbers of clouds and patches."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for clouds, patches in _TRIED:
        inputs = _example(dense.encoder.config, clouds, patches)
        named = zip(_names(dense.encoder.config), inputs, strict=True)
        (found,) = session.run([OUTPUT], {name: value.numpy() for name, value in named})
        worst = max(worst, float((torch.from_numpy(found) - dense(*inputs)).abs().max()))
    return worst

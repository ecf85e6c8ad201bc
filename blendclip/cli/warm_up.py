"""The command that compiles ahead of time what jobs would compile on their first run on a machine."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from blendclip.cli.common import Commands, new_command
from blendclip.mining.options import CloudOptions, ViewOptions

log = logging.getLogger(__name__)
_RIGS = {"car": ("nuscenes", "v1.0-mini"), "truck": ("truckscenes", "v1.2-mini")}
_SPLIT = "mini_train"


def add_commands(commands: Commands) -> None:
    """Add the command of this room."""
    about = "compile the kernels of mining and grouping for this kind of processor, once after installing"
    new_command(commands, "warm-up", _warm_up, about)


def _warm_up(args: argparse.Namespace) -> None:
    """Mine half a second of each rig, with tiny images, and encode a cloud: what compiles then is kept by numba."""
    start_s = time.monotonic()
    with TemporaryDirectory() as folder:
        for rig in _RIGS:
            _mine(rig, Path(folder) / rig)
    _encode()
    log.info("compiled within %.0f s", time.monotonic() - start_s)


def _mine(rig: str, work: Path) -> None:
    from blendclip.datasets.drives.index import write_index
    from blendclip.datasets.drives.options import DriveOptions
    from blendclip.mining.clouds import gather_clouds
    from blendclip.mining.views import cut_views
    from blendclip.synthetic.city.generate import generate_city

    format, version = _RIGS[rig]
    root = work / "data"
    generate_city(root, rig=rig, scenes={_SPLIT: 1}, duration_s=0.5, image_size_px=(64, 40))
    write_index(root, DriveOptions(version), rig, [_SPLIT], work, format=format)
    part = (work / f"{_SPLIT}.parquet", root, 0, 1)
    gather_clouds(*part, work / "clouds.parquet", work / "rejects.parquet", CloudOptions(colors=True), 1.0, 1.0)
    views = ViewOptions(min_side_px=1, min_visibility=1)
    cut_views(*part, work / "views.parquet", work / "rejects.parquet", views, 1.0)


def _encode() -> None:
    import torch

    from blendclip.encoders.clouds import Clouds
    from blendclip.encoders.division import Division
    from blendclip.encoders.grouping import grouped

    grouped(Clouds(torch.rand(64, 3), torch.tensor([64])), Division.of([64], [4], 32))

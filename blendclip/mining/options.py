"""What config.yaml says of mining: how clouds are gathered, views cut, and captions written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from blendclip.options import FaultOptions, Options
from blendclip.ranges import Count, Listed, Natural, Pattern, Positive, Range, Share, Text

Motion = Literal["per_point", "interpolate", "none"]
Backend = Literal["template", "vllm", "endpoint"]
Url = Annotated[str, Pattern(r"https?://.+", "a URL such as http://host:8000/v1")]
Urls = Annotated[tuple[Url, ...], Listed(1)]
Variable = Annotated[str, Pattern(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")]


@dataclass(frozen=True)
class CloudOptions(Options):
    """How the LiDAR points of an annotation are gathered."""

    sweeps: Count = 10
    """Sweeps of each LiDAR in a cloud, the keyframe's and those before it."""
    motion: Motion = "per_point"
    """Where ego and box are taken to be: per_point at each point's own time where the sensor says it (TruckScenes,
    Argoverse 2) and at the sweep's time elsewhere, interpolate at the sweep's time, none keeps the box at its
    keyframe's pose."""
    min_points: Natural = 1
    """Annotations with fewer points become rejects."""
    colors: bool = False
    """Whether points get the colors in which the cameras of their keyframe see them."""


@dataclass(frozen=True)
class CloudFaultOptions(FaultOptions):
    """When a job of clouds gives up."""

    max_disagree_fraction: Share = 0.05
    """A job of clouds fails when more than this share of its annotations have fewer LiDAR points over all sweeps than
    num_lidar_pts says for their keyframe; hardly any do in good data, 8 % and more where sizes or yaws are wrong."""


@dataclass(frozen=True)
class ViewOptions(Options):
    """Which boxes are cut out of which images. The defaults are those of arXiv 2510.18244."""

    min_visibility: Annotated[int, Range(ge=1, le=4)] = 4
    """Lowest visibility level of the annotation, 1 (0-40 %) to 4 (80-100 %); unknown visibility passes only at 1."""
    whole_box: bool = True
    """Whether the whole projected box must be inside the image."""
    min_side_px: Natural = 50
    """Least width and least height of a crop, in pixels."""
    jpeg_quality: Annotated[int, Range(ge=1, le=100)] = 95
    """Quality of the stored crops, which have no chroma subsampling."""


@dataclass(frozen=True)
class CaptionOptions(Options):
    """Who describes the crops."""

    backend: Backend = "template"
    """template needs no model, its captions name the annotated category; vllm starts a server for each dataset and
    split; endpoint asks a server that is already up."""
    model: Text = "google/gemma-3-4b-it"
    """Vision-language model, by its name on the Hugging Face hub, its folder, or its name at the endpoint."""
    max_views_per_instance: Count | None = None
    """Caption at most this many views of an object, spread over its track; all of them when not given."""


@dataclass(frozen=True)
class VLLMOptions(Options):
    """How a vLLM server is started."""

    python: Text = ".venv-vllm/bin/python"
    """Interpreter of the environment that vLLM is installed in."""
    data_parallel_size: Count = 1
    """Replicas of the model, a GPU each (several with --tensor-parallel-size in `arguments`)."""
    arguments: tuple[str, ...] = ()
    """Further arguments of `vllm serve`, a list; they win over ours."""
    start_timeout_s: Positive = 1800.0
    """Seconds for the server to be ready, the download of the model included."""


@dataclass(frozen=True)
class ServerOptions(Options):
    """How the model that captions is reached. No caption depends on it, so that changing it reruns nothing."""

    max_in_flight: Count = 256
    """Requests under way at a time, at all endpoints together; more than they work on at once, so that none waits."""
    timeout_s: Positive = 300.0
    """Seconds to wait for one answer before asking again."""
    base_url: Url | Urls | None = None
    """Backend endpoint only; where its OpenAI-compatible API is, such as http://host:8000/v1, or a list of several that
    serve the model and share the requests."""
    api_key_env: Variable | None = None
    """Backend endpoint only; name of the environment variable that holds its API key."""
    vllm: VLLMOptions = field(default_factory=VLLMOptions)
    """Backend vllm only; how the server is started."""

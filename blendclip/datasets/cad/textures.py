"""Images that colour meshes: one that cannot be decoded would leave its mesh grey, white or black."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import simplejpeg
from PIL import Image

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import parsing

_GLB_HEADER, _CHUNK_HEADER = 12, 8  # bytes
_BASE64 = "base64,"
_MOST_PX = 16_384**2


def check_image(data: bytes, name: str) -> None:
    """Refuse an image that is cut or damaged, too large to be safe, or of a kind that is not read.

    Raises:
        BrokenObjectError: it is.
    """
    (sentence,) = rules.BROKEN_TEXTURE.sentences
    with parsing(rules.BROKEN_TEXTURE, sentence, file=name), Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > _MOST_PX:  # Pillow's own limit is for all of the process, and libraries lift it
            raise ValueError(f"it has {image.width * image.height} pixels")
        if image.format == "PNG":
            image.verify()  # checksums of all its chunks
        elif image.format != "JPEG" or image.mode == "CMYK":
            image.load()
        else:
            simplejpeg.decode_jpeg(data, strict=True)  # unlike Pillow it notices damage


def check_gltf_images(content: bytes, read: Callable[[str], bytes]) -> None:
    """Refuse a GLB or GLTF file, an image of which that colours its meshes cannot be decoded.

    Args:
        read: the content of a file beside it.

    Raises:
        BrokenObjectError: there is one.
        Exception: the file is broken, in almost any way.
    """
    tree, binary = _opened(content)
    for number in sorted(set(_color_images(tree))):
        image = tree["images"][number]
        name = image.get("name") or f"{number}"
        if "uri" in image:
            inside = image["uri"].startswith("data:")
            check_image(_at(image["uri"], read), name if inside else image["uri"])
        else:
            check_image(_view(tree, binary, image["bufferView"], read), name)


def _opened(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON of a file, and the binary chunk of a GLB."""
    if content[:4] != b"glTF":
        return json.loads(content), b""
    chunks = list(_chunks(content))
    return json.loads(chunks[0]), chunks[1] if len(chunks) > 1 else b""


def _chunks(content: bytes) -> Iterator[bytes]:
    start = _GLB_HEADER
    while start + _CHUNK_HEADER <= len(content):
        size = int.from_bytes(content[start : start + 4], "little")
        start += _CHUNK_HEADER
        yield content[start : start + size]
        start += size


def _color_images(tree: Mapping[str, Any]) -> Iterator[int]:
    """The numbers of the images that give materials their base colour."""
    for material in tree.get("materials", []):
        glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
        for wanted in (material.get("pbrMetallicRoughness", {}).get("baseColorTexture"), glossy.get("diffuseTexture")):
            if wanted is not None:
                yield from _sources(tree["textures"][wanted["index"]])


def _sources(texture: Mapping[str, Any]) -> list[int]:
    """The image that trimesh takes of a texture; where it would take none, those of formats that it does not know."""
    extensions = texture.get("extensions", {})
    known = extensions.get("EXT_texture_webp", {}).get("source", texture.get("source"))
    return [one["source"] for one in extensions.values() if "source" in one] if known is None else [known]


def _view(tree: Mapping[str, Any], binary: bytes, number: int, read: Callable[[str], bytes]) -> bytes:
    view = tree["bufferViews"][number]
    buffer = tree["buffers"][view["buffer"]]
    data = _at(buffer["uri"], read) if "uri" in buffer else binary
    start = view.get("byteOffset", 0)
    return data[start : start + view["byteLength"]]


def _at(uri: str, read: Callable[[str], bytes]) -> bytes:
    _, mark, encoded = uri.partition(_BASE64)
    return base64.b64decode(encoded) if mark else read(uri)

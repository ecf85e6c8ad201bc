"""Results of a toy dataset: coloured discs, squares and bars as views with captions."""

import io

import numpy as np
from PIL import Image, ImageDraw

from blendclip import schemas, storage

CLASSES = {"disc": ["disc", "ball"], "square": ["square", "box"], "bar": ["bar", "stick"]}
COLOURS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (40, 60, 210)}


def write_toy(results, split, objects, dataset="toy", views=2):
    """Write views and captions of so many objects of each class and colour; one view of no class, one uncaptioned."""
    rng = np.random.default_rng(len(split) * 1000 + objects)
    rows, captions = [], []
    for name in CLASSES:
        for colour, rgb in COLOURS.items():
            for number in range(objects):
                for view in range(views):
                    rows.append(_row(dataset, split, name, f"{name}-{colour}-{number}", view, _jpeg(name, rgb, rng)))
                    captions.append((rows[-1]["view_id"], f"A {colour} {name}."))
    rows.append(_row(dataset, split, None, "nameless", 0, _jpeg("disc", (0, 0, 0), rng)))
    captions.append((rows[-1]["view_id"], "A black thing."))
    rows.append(_row(dataset, split, "disc", "silent", 0, _jpeg("disc", (200, 30, 30), rng)))
    _write(results / "views" / dataset / split / "part-00000.parquet", schemas.VIEWS, rows, "views")
    said = [{"view_id": view, "caption": caption} for view, caption in captions]
    _write(results / "captions" / dataset / split / "part-00000.parquet", schemas.CAPTIONS, said, "captions")


def write_prompts(folder):
    """Write a file of classes and one of templates; return their paths."""
    classes, templates = folder / "classes.yaml", folder / "templates.yaml"
    lines = [f"  {name}: [{', '.join(words)}]" for name, words in CLASSES.items()]
    classes.write_text("\n".join(["classes:", *lines, ""]))
    templates.write_text('templates:\n  - "a {}"\n  - "one {} on grey"\n')
    return classes, templates


def _write(path, schema, rows, stage):
    full = [dict.fromkeys(schema.names) | row for row in rows]
    storage.write_parquet(path, schema, [storage.table_of(full, schema)], storage.metadata(stage, {}))


def _row(dataset, split, name, instance, view, jpeg):
    return {
        "view_id": f"{dataset}/{split}-{instance}/view_{view:02d}",
        "dataset": dataset,
        "split": split,
        "instance_token": f"{split}-{instance}",
        "category": f"toy.{name}",
        "class_name": name,
        "image": {"bytes": jpeg, "path": None},
    }


def _jpeg(name, rgb, rng):
    width, height = rng.integers(60, 100, 2).tolist()
    image = Image.new("RGB", (width, height), tuple(rng.integers(140, 256, 3).tolist()))
    half = {"disc": (20, 20), "square": (20, 20), "bar": (28, 6)}[name]
    x, y = width // 2, height // 2
    box = (x - half[0], y - half[1], x + half[0], y + half[1])
    draw = ImageDraw.Draw(image)
    (draw.ellipse if name == "disc" else draw.rectangle)(box, fill=rgb)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()

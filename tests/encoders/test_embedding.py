"""The frozen CLIP and its stage, against open_clip called by hand."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import simplejpeg
import torch
from PIL import Image
from safetensors.torch import save_file

from blendclip import schemas, storage
from blendclip.cli.main import main
from blendclip.encoders import shards
from blendclip.encoders.clip import largest_batch, load_clip
from blendclip.encoders.embedding import embed, parts_of
from blendclip.encoders.summary import embedding_counts
from blendclip.errors import UserError

SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
LONG = "a red car " * 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small CLIP of random weights, as open_clip saves one."""
    folder = tmp_path_factory.mktemp("clip") / "small"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": SMALL, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    save_file(
        {name: tensor.contiguous() for name, tensor in open_clip.model.CLIP(**SMALL).state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


@pytest.fixture(scope="module")
def clip(folder):
    return load_clip(f"local-dir:{folder}")


def picture(number):
    random = np.random.default_rng(number)
    height, width = random.integers(20, 120, 2)
    coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC))
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 95, "RGB", "444")


def view(number, jpeg):
    image = None if jpeg is None else {"bytes": jpeg, "path": f"{number}.jpg"}
    known = {"view_id": f"town/{number}", "dataset": "town", "split": "val", "image": image}
    return dict.fromkeys(schemas.VIEWS.names) | known | {"crop_xyxy_px": [0.0] * 4, "size_lwh_m": [1.0] * 3}


def write(folder, part, jpegs, texts, first=0, group=5):
    """A part: views by number with their JPEGs, row groups of `group`; captions by number, None where there is none."""
    rows = [view(number, jpeg) for number, jpeg in enumerate(jpegs, first)]
    groups = (storage.table_of(rows[start : start + group], schemas.VIEWS) for start in range(0, len(rows), group))
    storage.write_parquet(folder / "views" / f"part-{part:05d}.parquet", schemas.VIEWS, groups, {})
    captions = [
        dict.fromkeys(schemas.CAPTIONS.names) | {"view_id": f"town/{number}", "caption": text}
        for number, text in enumerate(texts, first)
        if text is not None
    ]
    table = storage.table_of(captions, schemas.CAPTIONS)
    storage.write_parquet(folder / "captions" / f"part-{part:05d}.parquet", schemas.CAPTIONS, [table], {})


def found(folder, output="features"):
    views, captions = (sorted((folder / stage).glob("part-*.parquet")) for stage in ("views", "captions"))
    return parts_of(views, captions, folder / output)


def rows(folder):
    """All features by view and kind."""
    read = [row for path in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {(row["view_id"], row["kind"]): row for row in read}


def cosine(first, second):
    first, second = (np.asarray(vector, np.float64) for vector in (first, second))
    return (first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)


def features(table):
    return {key: np.array(row["embedding"]) for key, row in table.items()}


@pytest.fixture
def town(tmp_path):
    """Two parts: seven pictures and a view without one; captions that repeat, one too long, one missing."""
    jpegs = [picture(number) for number in range(7)]
    texts = ["a red car", "a bus", None, "a red car", LONG, "a tree", "a bus"]
    write(tmp_path, 0, [*jpegs[:4], None], [*texts[:4], "a red car"], group=2)
    write(tmp_path, 1, jpegs[4:], texts[4:], first=5)
    return tmp_path


def by_hand(folder, jpegs, texts):
    """Features as open_clip's own documentation tells to compute them, one by one in float32."""
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        images = [
            model.encode_image(transform(Image.open(io.BytesIO(jpeg)).convert("RGB"))[None])[0].numpy()
            for jpeg in jpegs
        ]
        return images, [model.encode_text(tokenizer([text]))[0].numpy() for text in texts]


def test_features_equal_those_by_hand(folder, clip):
    jpegs, texts = [picture(number) for number in range(9)], ["a red car", "A bus, seen from behind!", LONG]
    images, sentences = by_hand(folder, jpegs, texts)
    decoded = [clip.prepared(Image.fromarray(simplejpeg.decode_jpeg(jpeg, "RGB"))) for jpeg in jpegs]
    ours = clip.embed_images(torch.stack(decoded))
    assert ours.dtype == torch.float32 and ours.shape == (9, clip.width) == (9, 24)
    assert cosine(ours, images).min() > 0.999999
    assert np.abs(ours.numpy() - images).max() < 1e-5, "not of unit length either"
    assert np.abs(clip.embed_texts(texts).numpy() - sentences).max() < 1e-5
    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    expected = torch.stack([transform(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])
    assert torch.equal(clip.normalized(torch.stack(decoded)), expected)


def test_rows_of_a_part_hold_every_picture_and_every_caption(town, folder, clip):
    embed(found(town), clip, town / "cache")
    table = rows(town / "features")
    assert {number for number, kind in table if kind == "image"} == {f"town/{n}" for n in (0, 1, 2, 3, 5, 6, 7)}
    assert {number for number, kind in table if kind == "text"} == {f"town/{n}" for n in (0, 1, 3, 4, 5, 6, 7)}
    images, texts = by_hand(folder, [picture(number) for number in range(7)], ["a red car", LONG])
    for place, expected in zip((0, 1, 2, 3, 5, 6, 7), images, strict=True):
        assert cosine(table[f"town/{place}", "image"]["embedding"], expected) > 0.9999
    for place, expected in {0: texts[0], 3: texts[0], 4: texts[0], 5: texts[1]}.items():
        assert cosine(table[f"town/{place}", "text"]["embedding"], expected) > 0.9999
    row = table["town/5", "text"]
    assert (row["dataset"], row["split"], row["source"], row["text"]) == ("town", "val", "caption", LONG)
    assert row["triplet_id"] is None
    row = table["town/1", "image"]
    assert (row["source"], row["text"], row["triplet_id"]) == ("view", None, None)
    assert pq.read_schema(town / "features" / "part-00000.parquet").remove_metadata() == schemas.EMBEDDINGS


def put_in_results(town, clip, split):
    """Move the features to where a results folder has them."""
    folder = town / "embeddings" / clip / "town"
    folder.mkdir(parents=True)
    (town / "features").rename(folder / split)


def test_long_captions_are_cut_and_counted(town, clip):
    embed(found(town), clip, town / "cache")
    cut = [storage.options_of(part.output)["cut_captions"] for part in found(town)]
    assert cut == [0, 1]
    put_in_results(town, "small", "val")
    assert embedding_counts(town, "small", "town", "val") == "town/val by small: 7 images, 7 texts, 1 of them cut"
    with pytest.raises(UserError, match="embeddings/small/town/train holds no part-"):
        embedding_counts(town, "small", "town", "train")


@pytest.mark.parametrize(("words", "cut"), [(17, False), (18, False), (19, True), (40, True)])
def test_a_text_is_cut_beyond_the_context_length(clip, words, cut):
    """Twenty tokens: eighteen words, a start and an end."""
    texts = ["car", " ".join(["car"] * words)]
    assert clip.cut(texts, clip.tokenize(texts)).tolist() == [False, cut]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_features_depend_on_neither_batch_size_nor_part(tmp_path, clip, batch_size):
    jpegs, texts = [picture(number) for number in range(14)], [f"car number {number}" for number in range(14)]
    write(tmp_path / "whole", 0, jpegs, texts)
    for part in range(3):
        write(tmp_path / "split", part, jpegs[5 * part :][:5], texts[5 * part :][:5], first=5 * part)
    embed(found(tmp_path / "whole"), clip, tmp_path / "a", batch_size=14)
    embed(found(tmp_path / "split"), clip, tmp_path / "b", batch_size=batch_size)
    whole, split = (features(rows(tmp_path / place / "features")) for place in ("whole", "split"))
    assert whole.keys() == split.keys() and len(whole) == 28
    assert min(cosine(whole[key], split[key]) for key in whole) > 0.9999


def test_the_number_of_workers_changes_no_byte(town, clip):
    for workers in (1, 2, 3):
        embed(found(town, f"out{workers}"), clip, town / f"cache{workers}", workers, batch_size=1)
    for part in ("part-00000.parquet", "part-00001.parquet"):
        assert len({(town / f"out{workers}" / part).read_bytes() for workers in (1, 2, 3)}) == 1


def test_on_a_cpu_one_thread_embeds(town, clip, monkeypatch):
    """With several, sums would be split otherwise and bytes depend on the machine."""
    threads = []
    real = clip.model.encode_image

    def watched(*args, **options):
        threads.append(torch.get_num_threads())
        return real(*args, **options)

    monkeypatch.setattr(clip.model, "encode_image", watched)
    torch.set_num_threads(2)
    embed(found(town), clip, town / "cache")
    assert set(threads) == {1}


def test_images_prepared_ahead_by_other_processes_are_the_same(town, clip):
    embed(found(town), clip, town / "cache", batch_size=2)
    kept = shards.ShardCache(town / "cache", clip.digest())
    other = shards.ShardCache(town / "other", clip.digest())
    sha = shards.sha256_of_files([town / "views" / "part-00001.parquet"], 2)[0]
    work = [
        shards.ImageShard(town / "views" / "part-00001.parquet", sha, (0,), 3),
        shards.TextShard(0, ("a red car", "a bus", LONG, "a tree")),
    ]
    assert list(shards.embed_in_turn(clip, work, other, 2, loaders=2)) == work
    for shard in work:
        assert (kept.read(shard) == other.read(shard)).all()


def test_what_is_done_is_not_done_again_unless_its_input_changes(town, clip, monkeypatch):
    done = []
    real = shards.embed_in_turn

    def counting(clip, work, *rest):
        done.extend(shard.label for shard in work)
        return real(clip, work, *rest)

    monkeypatch.setattr(shards, "embed_in_turn", counting)
    embed(found(town), clip, town / "cache")
    first = {path.name: path.read_bytes() for path in (town / "features").glob("part-*")}
    assert len(done) == 3
    shutil.rmtree(town / "features")
    done.clear()
    embed(found(town), clip, town / "cache")
    assert done == []
    assert first == {path.name: path.read_bytes() for path in (town / "features").glob("part-*")}
    write(town, 1, [picture(number) for number in (14, 5, 6)], [LONG, "a tree", "a bus"], first=5)
    embed(found(town), clip, town / "cache")
    assert done == ["part-00001-images-00000"]
    embed(found(town, "anew"), clip, town / "fresh")
    for part in found(town):
        assert part.output.read_bytes() == (town / "anew" / part.output.name).read_bytes()
    assert len(list((town / "cache").iterdir())) == 3, "what the old pictures gave is gone"


def test_a_damaged_file_of_what_is_done_is_made_anew(town, clip):
    embed(found(town), clip, town / "cache")
    kept = sorted((town / "cache").iterdir())
    first = {path: path.read_bytes() for path in [*kept, *(town / "features").glob("part-*")]}
    half, flip, none = kept
    half.write_bytes(first[half][: len(first[half]) // 2])
    flip.write_bytes(first[flip][:-20] + bytes([first[flip][-20] ^ 4]) + first[flip][-19:])
    none.write_bytes(b"")
    shutil.rmtree(town / "features")
    embed(found(town), clip, town / "cache")
    assert {path: path.read_bytes() for path in first} == first


def test_other_weights_are_other_work(town, folder, clip, tmp_path):
    embed(found(town), clip, town / "cache")
    before = features(rows(town / "features"))
    other = tmp_path / "other" / "small"
    shutil.copytree(folder, other)
    torch.manual_seed(1)
    save_file(
        {name: tensor.contiguous() for name, tensor in open_clip.model.CLIP(**SMALL).state_dict().items()},
        other / "open_clip_model.safetensors",
    )
    embed(found(town), load_clip(f"local-dir:{other}"), town / "cache")
    after = features(rows(town / "features"))
    assert max(cosine(before[key], after[key]) for key in before) < 0.99


@pytest.mark.slow
def test_a_killed_job_goes_on_to_the_same_bytes(tmp_path, folder, clip):
    for part in range(3):
        numbers = range(40 * part, 40 * part + 40)
        write(tmp_path, part, [picture(n) for n in numbers], [f"car {n}" for n in numbers], first=40 * part)
    parts = found(tmp_path)
    command = [sys.executable, "-m", "blendclip", "embed", "--model", f"local-dir:{folder}", "--batch-size", "1"]
    command += ["--device", "cpu", "--workers", "2"]
    for option, paths in {"--views": [part.views for part in parts], "--captions": [p.captions for p in parts]}.items():
        command += [option, *map(str, paths)]
    command += ["--output", str(tmp_path / "features"), "--cache", str(tmp_path / "cache")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while len(list(tmp_path.glob("cache/part-*.npy"))) < 3:
        assert process.poll() is None, "the job ended before it could be killed"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cache/part-*.npy")}
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    embed(found(tmp_path, "anew"), clip, tmp_path / "fresh", batch_size=1)
    for part in parts:
        assert part.output.read_bytes() == (tmp_path / "anew" / part.output.name).read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_image_is_named(tmp_path, clip, workers):
    whole = picture(1)
    write(tmp_path, 0, [picture(0), whole[: len(whole) // 2]], ["a car", "a bus"])
    with pytest.raises(UserError, match=r"the image of town/1 in .*views/part-00000\.parquet is damaged"):
        embed(found(tmp_path), clip, tmp_path / "cache", workers)
    assert not (tmp_path / "features").exists()


def test_captions_of_other_views_are_refused(tmp_path, clip):
    write(tmp_path, 0, [picture(0)], ["a car", "a bus"])
    with pytest.raises(UserError, match=r"describes town/1, which .* lacks"):
        embed(found(tmp_path), clip, tmp_path / "cache")
    with pytest.raises(UserError, match="do not match"):
        parts_of([tmp_path / "part-00000.parquet"], [tmp_path / "part-00001.parquet"], tmp_path)


def test_a_part_without_views_is_a_file_without_rows(tmp_path, clip):
    write(tmp_path, 0, [], [])
    write(tmp_path, 1, [None], [None])
    embed(found(tmp_path), clip, tmp_path / "cache")
    assert [pq.read_metadata(part.output).num_rows for part in found(tmp_path)] == [0, 0]


def test_weights_that_are_no_numbers_are_refused(tmp_path, folder):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = {name: tensor.clone() for name, tensor in open_clip.model.CLIP(**SMALL).state_dict().items()}
    weights["visual.proj"][:] = float("nan")
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, broken / "open_clip_model.safetensors")
    write(tmp_path, 0, [picture(0)], ["a car"])
    with pytest.raises(UserError, match="that are not finite in float16"):
        embed(found(tmp_path), load_clip(f"local-dir:{broken}"), tmp_path / "cache")


class _Room:
    """A device with room for so many pictures at a time."""

    context_length, device = 4, "this device"

    def __init__(self, room):
        self.room = room

    def prepared(self, image):
        return torch.zeros(2, 2, 3, dtype=torch.uint8)

    def tokenize(self, texts):
        return torch.zeros(len(texts), 4, dtype=torch.long)

    def embed_images(self, pixels):
        if len(pixels) > self.room:
            raise torch.cuda.OutOfMemoryError

    def embed_tokens(self, tokens):
        if len(tokens) > 2 * self.room:
            raise torch.cuda.OutOfMemoryError


def test_the_batch_is_what_the_device_has_room_for():
    assert [largest_batch(_Room(room)) for room in (1, 100, 5000)] == [1, 64, 1024]
    with pytest.raises(UserError, match="has no room for one image"):
        largest_batch(_Room(0))


def test_the_command_embeds(town, folder, capsys):
    arguments = ["embed", "--device", "cpu", "--model", f"local-dir:{folder}", "--output", str(town / "features")]
    for stage in ("views", "captions"):
        arguments += [f"--{stage}", *map(str, sorted((town / stage).iterdir()))]
    assert main(arguments) == 0
    put_in_results(town, "small", "val")
    assert main(["embed-summary", "--results", str(town), "--clip", "small", "town/val"]) == 0
    assert "town/val by small: 7 images, 7 texts, 1 of them cut" in capsys.readouterr().out

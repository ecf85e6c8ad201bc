"""Pickles written opcode by opcode: what would read addresses or eat memory is refused, in a process of its own."""

import io
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from blendclip.datasets.cad.openshape import read_objects, read_shape

END = b"."
OBJECT = b"cnumpy\ndtype\n(VO8\n\x89\x88tR(K\x03V|\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"
FLOAT = b"cnumpy\ndtype\n(Vf8\n\x89\x88tR(K\x03V<\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
SCALAR = b"cnumpy.core.multiarray\nscalar\n("
ADDRESS = b"C\x08" + struct.pack("<q", 0x4141414141)


def hidden_field(code):
    """A dtype of 8 bytes that are an object, as only its field says."""
    return b"cnumpy\ndtype\n(V" + code + b"\n\x89\x88tR(K\x03V|\nN(Va\nt}Va\n(" + OBJECT + b"K\x00tsK\x08K\x01K\x00tb"


def subarray():
    """A dtype of numbers that is an array of objects, as its state says."""
    return (
        b"cnumpy\ndtype\n(Vf8\n\x89\x88tR(K\x03V<\n(" + OBJECT + b"(K\x01ttNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )


def filled(dtype, content=ADDRESS, shape=b"(K\x01t"):
    return EMPTY + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb"


def shape_of(value):
    """The shape's dict with one value."""
    return b"}Vxyz\n" + value + b"s" + END


ATTACKS = {
    "field of objects": shape_of(filled(hidden_field(b"V8"))),
    "field of objects in a number": shape_of(filled(hidden_field(b"f8"))),
    "objects in a subarray": shape_of(filled(subarray())),
    "objects made of bytes": shape_of(filled(OBJECT)),
    "a number that is an object": shape_of(
        b"cnumpy.core.multiarray\nscalar\n(" + hidden_field(b"V8") + ADDRESS + b"tR"
    ),
    "an object number": shape_of(b"cnumpy.core.multiarray\nscalar\n(" + OBJECT + ADDRESS + b"tR"),
    "objects in a buffer": shape_of(b"cnumpy.core.numeric\n_frombuffer\n(" + ADDRESS + OBJECT + b"(K\x01tVC\ntR"),
    "list for numbers": shape_of(filled(FLOAT, b"(K\x01l")),
    "fewer bytes than the shape": shape_of(filled(FLOAT, shape=b"(I1000000000\nt")),
    "negative shape": shape_of(filled(FLOAT, b"C\x00", shape=b"(I-1\nt")),
    "shape beyond 64 bits": shape_of(filled(FLOAT, shape=b"(L36893488147419103232L\nt")),
    "an array filled twice": shape_of(filled(FLOAT) + b"(K\x01(K\x01t" + OBJECT + b"\x89(K\x01ltb"),
    "a changed function": b"cnumpy\ndtype\n(N}V__defaults__\nK\x01stb" + END,
    "a changed class": b"cbuiltins\nset\n(N}V__init__\nK\x01stb" + END,
    "a class of arrays": shape_of(b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nset\n(K\x00tC\x01btR"),
    "a codec": b"c_codecs\nencode\n(Va\nVzlib\ntR" + END,
    "memo of 64 GB": b"}r\xff\xff\xff\x7f" + END,
    "nested tuples as a key": b"}" + b")" + 1_000_000 * b"\x85" + b"K\x01s" + END,
    "a type with metadata": shape_of(
        filled(b"cnumpy\ndtype\n(Vf8\n\x89\x88tR(K\x04V<\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00}tb")
    ),
    "text": shape_of(filled(b"cnumpy\ndtype\n(VU2\n\x89\x88tR(K\x03V<\nNNNK\x08K\x04K\x08tb")),
}

READ = """
import sys
from pathlib import Path
from blendclip.datasets.cad.objects import BrokenObjectError
from blendclip.datasets.cad.openshape import read_shape
try:
    print("read", read_shape(Path(sys.argv[1])))
except BrokenObjectError as error:
    print(error.rule)
"""


def npy(path, pickled):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
    path.write_bytes(buffer.getvalue() + pickled)
    return path


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_a_reject(tmp_path, name):
    path = npy(tmp_path / "a.npy", b"\x80\x03" + ATTACKS[name])
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"ended by signal {-done.returncode}: {done.stderr}"
    assert done.stdout in ("unsafe_shape\n", "unreadable_shape\n")
    if name != "a changed class":  # which Python refuses itself
        assert done.stdout == "unsafe_shape\n"


def test_the_pieces_of_the_attacks_are_sound(tmp_path):
    """What numpy reads as one number: else the attacks would be refused for their spelling."""
    pickled = b"\x80\x03" + shape_of(filled(FLOAT, b"C\x08" + struct.pack("<d", 2.5)))
    assert (
        pickle.loads(pickled)["xyz"].tolist() == read_shape(npy(tmp_path / "a.npy", pickled))["xyz"].tolist() == [2.5]
    )


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("code", ["<f2", ">f4", "<f8", "i1", ">i8", "<u2", "u8", "?"])
def test_arrays_of_every_number_and_order_are_as_numpy_reads_them(tmp_path, protocol, code):
    made = np.arange(24).reshape(2, 3, 4).astype(code)
    variants = {"c": made, "f": np.asfortranarray(made), "part": made[:, ::2], "none": made[:0], "one": made[1, 2, 3]}
    pickled = pickle.dumps(np.array({"objects": np.array([None, {"a": 1}], object)} | variants, object), protocol)
    found, expected = read_shape(npy(tmp_path / "a.npy", pickled)), pickle.loads(pickled).item()
    for name in variants:
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(found[name], expected[name])
    assert found["objects"].tolist() == [None, {"a": 1}]


def test_containers_of_every_protocol_are_as_pickled(tmp_path):
    made = {"set": {1, 2}, "bytes": b"", "more": b"\xff\x00", "complex": 1j, "none": None, "list": [True, 2**70, "é"]}
    for protocol in range(6):
        pickled = pickle.dumps(np.array(made, object), protocol)
        assert read_shape(npy(tmp_path / "a.npy", pickled)) == made


def test_as_many_clouds_as_a_benchmark_has(tmp_path):
    clouds = np.empty(2468, object)
    clouds[:] = [{"xyz": np.full((2, 3), k, np.float32), "rgb": np.zeros((2, 3), np.uint8)} for k in range(2468)]
    np.save(tmp_path / "a.npy", clouds, allow_pickle=True)
    found = read_objects(tmp_path / "a.npy")
    assert [cloud["xyz"][0, 0] for cloud in found] == list(range(2468))

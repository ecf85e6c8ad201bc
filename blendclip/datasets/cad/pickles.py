"""Pickles from elsewhere: containers and arrays of plain numbers, read without running what else a file asks for.

A pickle names functions, calls them with any arguments and hands any state to what they return (`BUILD`). numpy's own
believe that state: a dtype with a hidden field of objects turns numbers into addresses. So nothing of numpy is given to
a pickle: stand-ins take the names, check every argument, and make dtypes and arrays of their own.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from collections.abc import Callable, Sized
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
_OBJECTS = "O8"
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_MOST_TUPLES = 50_000  # Python hashes nested tuples without a limit: it crashes at about 150,000


class UnsafePickleError(Exception):
    """A pickle asks for something that is neither an array of numbers nor a plain container."""


def load_plain(file: BinaryIO) -> Any:
    """The object that a pickle holds from the file's position on, made of arrays, numbers, texts and containers.

    Raises:
        UnsafePickleError: it asks for something else.
        Exception: it is broken, in almost any way.
    """
    start = file.tell()
    _check_opcodes(file)
    file.seek(start)
    return _PlainUnpickler(file).load()


def _check_opcodes(file: BinaryIO) -> None:
    """Refuse what takes memory or stack without end: an unpickler makes room for whatever number a memo entry has."""
    puts = tuples = 0
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _PUTS:
            if argument is not None and argument > puts:
                raise UnsafePickleError(f"it numbers its {puts + 1}. object {argument}")
            puts += 1
        tuples += opcode.name in _TUPLES
    if tuples > _MOST_TUPLES:
        raise UnsafePickleError(f"it holds {tuples} tuples; {_MOST_TUPLES} are the most")


class _PlainUnpickler(pickle.Unpickler):
    """Gives a pickle the stand-ins alone."""

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins"), name))
        if known is None:
            raise UnsafePickleError(f"it wants {module}.{name}, which is neither an array nor a plain container")
        return known


class _Function:
    """A function that a pickle may call and not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("it changes a function")


class _Dtype:
    """Stands for a dtype of numbers, or of objects."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or code not in _NUMBERS | {_OBJECTS}:
            raise UnsafePickleError(f"it wants an array of type {code!r:.40}, which is no plain number")
        self._code, self._order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, order, *structure = state
        if order not in ("<", ">", "|", "=") or len(structure) != 6 or structure[:3] != [None] * 3:
            raise UnsafePickleError("it wants an array of a type with fields of its own")
        self._order = order

    @property
    def is_object(self) -> bool:
        """Whether its arrays hold objects."""
        return self._code == _OBJECTS

    def made(self) -> np.dtype[Any]:
        """The dtype, as numpy makes it of its name."""
        return np.dtype(object if self.is_object else self._order + self._code)


class _Array(np.ndarray):
    """An array that a pickle makes first and fills then, once."""

    _filled = False

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if self._filled:
            raise UnsafePickleError("it fills an array twice")
        _check_content(content, list if _dtype_of(dtype).is_object else bytes, shape, dtype)
        super().__setstate__((1, shape, dtype.made(), bool(fortran), content))
        self._filled = True


def _dtype_of(value: Any) -> _Dtype:
    if not isinstance(value, _Dtype):
        raise UnsafePickleError("it wants an array without a type")
    return value


def _check_content(content: Any, kind: type[Sized] | tuple[type[Sized], ...], shape: Any, dtype: _Dtype) -> None:
    """Refuse an array whose content, objects or bytes, is not just what shape and dtype ask for."""
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise UnsafePickleError("it wants an array whose shape is none")
    wanted = math.prod(shape) * (1 if dtype.is_object else dtype.made().itemsize)
    if not isinstance(content, kind) or len(content) != wanted:
        raise UnsafePickleError(f"the content of its array of shape {shape} is another")


def _array(kind: Any, *_: Any) -> _Array:
    if kind is not _NDARRAY:
        raise UnsafePickleError("it wants an array of a class of its own")
    return _Array((0,), np.int8)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if _dtype_of(dtype).is_object:
        raise UnsafePickleError("it wants objects made of bytes")
    _check_content(content, (bytes, bytearray), shape, dtype)
    return np.frombuffer(content, dtype.made()).reshape(shape, order="F" if order == "F" else "C")


def _number(dtype: Any, content: Any = b"") -> Any:
    return _from_buffer(content, dtype, (), "C")[()]


def _bytes_of(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickleError("it wants a codec")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _uncalled(*_: Any) -> Any:
    raise UnsafePickleError("it makes an array by hand")


_NDARRAY = _Function(_uncalled)
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Function(_Dtype),
    ("numpy.core.multiarray", "_reconstruct"): _Function(_array),
    ("numpy.core.multiarray", "scalar"): _Function(_number),
    ("numpy.core.numeric", "_frombuffer"): _Function(_from_buffer),
    ("_codecs", "encode"): _Function(_bytes_of),  # how older protocols write bytes
    ("builtins", "bytes"): _Function(_no_bytes),  # and none
    ("builtins", "set"): set,
    ("builtins", "complex"): complex,
}

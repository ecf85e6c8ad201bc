"""Images as users hand them over."""

import os

import pytest

from blendclip.errors import UserError
from blendclip.naming.images import as_image


def test_a_pipe_is_no_image_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(UserError, match=r"photo.jpg is no readable image \(.*it is a named pipe, not a file"):
        as_image(tmp_path / "photo.jpg", 0)

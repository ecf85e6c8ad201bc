"""Images of a lens that bends straight lines, as a pinhole camera would have taken them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Undistortion:
    """What straightens the images of one camera: the same size and intrinsic matrix, without distortion.

    Pixels that the lens did not see are black.
    """

    def __init__(
        self, intrinsic: NDArray[np.float64], coefficients: NDArray[np.float64], size_wh_px: NDArray[np.int64]
    ) -> None:
        """Work out where each pixel comes from.

        Args:
            intrinsic: (3, 3), pixels from the outer corner of the upper left pixel.
            coefficients: (5,) k1, k2, p1, p2 and k3 of the Brown model.
            size_wh_px: (2,) width and height.
        """
        import cv2  # which jobs without such lenses do not load

        center = intrinsic.copy()
        center[:2, 2] -= 0.5  # OpenCV counts from the middle of the upper left pixel
        width, height = size_wh_px.tolist()
        cv2.setNumThreads(1)  # a job has one core
        self._maps = cv2.initUndistortRectifyMap(center, coefficients, np.eye(3), center, (width, height), cv2.CV_16SC2)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The straight image (H, W, 3) of one as the lens gave it (H, W, 3)."""
        import cv2

        return np.asarray(cv2.remap(pixels, *self._maps, interpolation=cv2.INTER_LINEAR), np.uint8)

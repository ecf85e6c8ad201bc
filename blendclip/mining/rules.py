"""Every reason for which mining rejects an annotation, a view or a file.

A rule with one sentence holds it; the sentences of a rule with several are constants, which the code that finds the
fault fills. CAD objects have rules of their own, in datasets/cad/rules.py.
"""

from __future__ import annotations

from blendclip.rejects import Rule

# Annotations of the index.
CENTER_NOT_FINITE = "the box centre {center} is not finite"
SIZE_NOT_POSITIVE = "the box size {size} (length, width, height) is not positive"
NO_UNIT_QUATERNION = "the rotation {rotation} is no unit quaternion: its norm is {norm:.4g}"
SIZE_TOO_LARGE = "the box size {size} (length, width, height) has a side of more than {most:g} m"
BOX_TOO_FAR = "the box centre is {distance:.6g} m from the vehicle; no sensor sees further than {most:g} m"
STRANGE_EGO_POSE = "the vehicle is at {place} at its keyframe, where it cannot come from most other keyframes"
SAME_TIME = "its track has another annotation at the same time {timestamp_us} us"
BROKEN_ANNOTATION = Rule(
    "broken_annotation",
    ("clouds", "views"),
    "fault",
    (
        *(CENTER_NOT_FINITE, SIZE_NOT_POSITIVE, SIZE_TOO_LARGE, NO_UNIT_QUATERNION),
        *(STRANGE_EGO_POSE, BOX_TOO_FAR, SAME_TIME),
    ),
)

# Files of any sensor.
NO_FILE = "no such file"
UNREADABLE = "cannot be read: {error}"
BROKEN_POSE = (
    "the pose or calibration of its sensor is not finite: a quaternion is not a unit one, or its time lies outside the "
    "recorded ego poses or in a gap between them"
)
SENSOR_TOO_FAR = "its sensor is {distance:.6g} m from the vehicle at the nearest keyframe; it can be {most:.6g} m"
WRONG_TIME = "its time stamp {timestamp_us} us is over a second off the keyframe that it serves"

# Sweeps.
MOUNTED_TOO_FAR = "its sensor is mounted {distance:.6g} m from the vehicle's origin; it can be {most:g} m"
NO_KIND_OF_SWEEP = "{suffix} is no kind of sweep: use .bin, .pcd or .feather"
WRONG_COLUMNS = "it seems to have {told} float32 a point, not {columns}: set `lidar_columns` of the dataset to {told}"
SWEEP_CUT_OFF = "{size} bytes are no whole number of points of {point} bytes: the file is cut off"
NO_FIELD = "it has no field {missing}, only {fields}"
NO_POINTS = "it has no points"
NO_POINT_TIMES = "its points have no times, which its format promises; motion: interpolate does without"
WRONG_POINT_TIMES = (
    "{share:.0%} of its points are stamped over 0.3 s off its {timestamp_us} us, around {middle:.17g}: {guess}"
)
NOT_FINITE = "{share:.0%} of its points are not finite"
NO_EGO_POSES = "no ego poses are recorded for some of its points, {first_us} to {last_us} us"

# Sweeps that are feather files.
NO_FEATHER = "no sound feather file: {error}"
NO_NUMBERS = "its {fields} are no numbers"

# Sweeps that are PCD files.
PCD_WITHOUT_HEADER = "no PCD file: its header has no {missing}"
PCD_HEADER_WRONG = "no sound PCD file: its header makes no sense ({error})"
PCD_NEGATIVE = "no sound PCD file: its header announces {points} points"
PCD_ENCODING = "its DATA is {encoding}: convert it to binary or binary_compressed"
PCD_CUT_OFF = "its header announces {points} points, {wanted} bytes, {rest} are there: it is cut off"
PCD_BLOCK_CUT_OFF = "its header announces {packed} compressed bytes, {rest} are there: it is cut off"
PCD_BLOCK_SIZE = "its {points} points take {wanted} bytes, its compressed block says {unpacked}"
PCD_BLOCK_BROKEN = "its points cannot be decompressed: {error}"
PCD_BLOCK_SHORT = "its compressed block does not hold the {wanted} bytes of its {points} points"
BROKEN_SWEEP = Rule(
    "broken_sweep",
    ("clouds",),
    "fault",
    (
        *(NO_FILE, UNREADABLE, BROKEN_POSE, MOUNTED_TOO_FAR, SENSOR_TOO_FAR, WRONG_TIME),
        *(NO_KIND_OF_SWEEP, WRONG_COLUMNS, SWEEP_CUT_OFF, NO_FIELD, NO_POINTS),
        *(NO_POINT_TIMES, WRONG_POINT_TIMES, NOT_FINITE, NO_EGO_POSES),
        *(NO_FEATHER, NO_NUMBERS),
        *(PCD_WITHOUT_HEADER, PCD_HEADER_WRONG, PCD_NEGATIVE, PCD_ENCODING),
        *(PCD_CUT_OFF, PCD_BLOCK_CUT_OFF, PCD_BLOCK_SIZE, PCD_BLOCK_BROKEN, PCD_BLOCK_SHORT),
    ),
)

# Images. The last sentence is of annotations, which a broken image could have shown.
NO_IMAGE_SIZE = "the tables give it {size} px; a side has 1 to {most} px"
NO_PINHOLE = "the last row of its intrinsic matrix is {row}, must be 0 0 1"
NO_FOCAL_LENGTH = "the focal length {focal} px is not {least:g} to {most:g} times the sides of its {size} px"
NO_PRINCIPAL_POINT = "the principal point {center} px is not in or near its {size} px"
NO_SOUND_IMAGE = "is no sound {format}: {error}"
NO_IMAGE_FORMAT = "is no image that Pillow reads: it begins with {start}"
EMPTY_FILE = "is empty"
NO_COLORS = "is a {format} of mode {mode}: its pixels are no colours of 8 bits"
WRONG_SIZE = "is {size_px} px, the dataset's tables say {expected_px}"
ONLY_IMAGE_BROKEN = "no sound image gives a view, and this one is broken"
BROKEN_IMAGE = Rule(
    "broken_image",
    ("clouds", "views"),
    "fault",
    (
        *(NO_FILE, UNREADABLE, BROKEN_POSE, SENSOR_TOO_FAR, WRONG_TIME),
        *(NO_IMAGE_SIZE, NO_PINHOLE, NO_FOCAL_LENGTH, NO_PRINCIPAL_POINT),
        *(NO_SOUND_IMAGE, NO_IMAGE_FORMAT, EMPTY_FILE, NO_COLORS),
        *(WRONG_SIZE, ONLY_IMAGE_BROKEN),
    ),
)

# Clouds.
WINDOW_EMPTY = "its window has no LiDAR sweep"
WINDOW_BROKEN = "every sweep of its window is broken"
NO_SWEEP = Rule("no_sweep", ("clouds",), "fault", (WINDOW_EMPTY, WINDOW_BROKEN))
MIN_POINTS = Rule(
    "min_points",
    ("clouds",),
    "filtered",
    ("{points} LiDAR points in its box over {sweeps} sweeps; min_points is {least}",),
    "clouds.min_points",
)

# Views.
VISIBILITY = Rule(
    "visibility",
    ("views",),
    "filtered",
    ("visibility is {level}; min_visibility is {least}",),
    "views.min_visibility",
)
NO_IMAGE = Rule("no_image", ("views",), "fault", ("its keyframe has no camera image",))
OUTSIDE_IMAGE = Rule("outside_image", ("views",), "filtered", ("no camera of the keyframe sees the box",))
PARTLY_OUTSIDE = Rule(
    "partly_outside",
    ("views",),
    "filtered",
    ("the box reaches out of the image of {channel}; whole_box is set",),
    "views.whole_box",
)
TOO_SMALL = Rule(
    "too_small",
    ("views",),
    "filtered",
    ("its crop in {channel} has {width:.0f}x{height:.0f} px; min_side_px is {least}",),
    "views.min_side_px",
)

# Captions.
MAX_VIEWS_PER_INSTANCE = Rule(
    "max_views_per_instance",
    ("captions",),
    "filtered",
    ("its instance has {views} views; max_views_per_instance is {most}",),
    "caption.max_views_per_instance",
)
EMPTY = Rule("empty", ("captions",), "fault", ("the model answered without a word",))
REFUSED = Rule("refused", ("captions",), "fault", ("the model refused: {answer}",), "caption.prompt")
OVER_LONG = Rule(
    "over_long", ("captions",), "fault", ("no sentence ends within max_tokens: {answer}",), "caption.prompt"
)
UNFINISHED = Rule("unfinished", ("captions",), "fault", ("the server ended the answer with finish_reason {reason}",))
SPECIAL_TOKENS = Rule("special_tokens", ("captions",), "fault", ("the answer holds special tokens: {answer}",))
REASONING = Rule("reasoning", ("captions",), "fault", ("the answer holds the model's reasoning: {answer}",))
LOOP = Rule("loop", ("captions",), "fault", ("the answer repeats itself: {answer}",))
OTHER_SCRIPT = Rule(
    "other_script", ("captions",), "fault", ("the answer is written in {script}, the prompt is not: {answer}",)
)
OTHER_MODEL = Rule(
    "other_model",
    ("captions",),
    "fault",
    ("the model {answered} answered, {asked} was asked",),
    "caption.model",
)
REQUEST_REFUSED = Rule("request_refused", ("captions",), "fault", ("status {status}: {message}",))
SERVER_ERROR = Rule("server_error", ("captions",), "fault", ("failed {attempts} times: {error}",))

# Triplets.
NO_VIEW = Rule("no_view", ("triplets",), "filtered", ("no view of its instance passes the rules for views",))
NO_CAPTION = Rule("no_caption", ("triplets",), "filtered", ("its instance has views, but none with a caption",))

RULES = (
    *(BROKEN_ANNOTATION, BROKEN_SWEEP, BROKEN_IMAGE),
    *(NO_SWEEP, MIN_POINTS),
    *(VISIBILITY, NO_IMAGE, OUTSIDE_IMAGE, PARTLY_OUTSIDE, TOO_SMALL),
    *(MAX_VIEWS_PER_INSTANCE, EMPTY, REFUSED, OVER_LONG, UNFINISHED, SPECIAL_TOKENS, REASONING, LOOP, OTHER_SCRIPT),
    *(OTHER_MODEL, REQUEST_REFUSED, SERVER_ERROR),
    *(NO_VIEW, NO_CAPTION),
)

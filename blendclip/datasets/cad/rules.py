"""Every reason for which a CAD object is rejected.

A rule with one sentence holds it; the sentences of a rule with several are constants, which the code that finds the
fault fills.
"""

from __future__ import annotations

from blendclip.rejects import Rule

_STAGES = ("cad",)

# Objects and files of any format.
DUPLICATE_ID = Rule("duplicate_id", _STAGES, "fault", ("an object before it in the list has its id",))
UNFORESEEN = Rule("unforeseen", _STAGES, "fault", ("reading it raised {kind} at {place}: {error}",))
NO_FILE = "there is no such file"
MISSING_MESH = Rule("missing_mesh", _STAGES, "fault", (NO_FILE,))
MISSING_SHAPE = Rule("missing_shape", _STAGES, "fault", (NO_FILE,))
MISSING_CLOUD = Rule("missing_cloud", _STAGES, "fault", (NO_FILE,))

# Meshes.
MESH_UNREADABLE = "trimesh cannot read it ({kind}: {error})"
MESH_INCONSISTENT = "its faces or colours do not fit together ({kind}: {error})"
VERTEX_ZERO = "a face names vertex 0, and they are counted from 1"
VERTICES_FROM_END = "it counts vertices from the last one and has more of them between its faces: write it anew"
UNREADABLE_MESH = Rule(
    "unreadable_mesh", _STAGES, "fault", (MESH_UNREADABLE, MESH_INCONSISTENT, VERTEX_ZERO, VERTICES_FROM_END)
)
MESH_WITHOUT_HEADER = "its header has no end"
MESH_SHORT = "it should have {expected} {what} and has {found}"
ROW_CUT = "its line {line} is incomplete"
SOLID_WITHOUT_END = "its last line ends no solid"
FACETS_CUT = "its {facets} facets have {vertices} vertices, not three each"
CORNER_MISSING = "a face names {what} {number}, and it has {count}"
VERTICES_UNUSED = "its last {count} vertices have no face"
TRUNCATED_MESH = Rule(
    *("truncated_mesh", _STAGES, "fault"),
    (MESH_WITHOUT_HEADER, MESH_SHORT, ROW_CUT, SOLID_WITHOUT_END, FACETS_CUT, CORNER_MISSING, VERTICES_UNUSED),
)
BROKEN_TEXTURE = Rule("broken_texture", _STAGES, "fault", ("its image {file} cannot be decoded ({kind}: {error})",))
MISSING_TEXTURE = Rule("missing_texture", _STAGES, "fault", ("it wants {file}, which is not beside it",))
EMPTY_MESH = Rule("empty_mesh", _STAGES, "fault", ("it has no triangle",))
ZERO_AREA = Rule("zero_area", _STAGES, "fault", ("its triangles have no area",))

# Clouds.
POINTS_MISSHAPEN = "its points have shape {shape} and type {dtype}, not (N, 3)"
ARRAY_MISSHAPEN = "it holds {array} array point_cloud, not one of (N, 3) or (N, 6)"
BAD_CLOUD = Rule("bad_cloud", _STAGES, "fault", (POINTS_MISSHAPEN, ARRAY_MISSHAPEN))
UNREADABLE_CLOUD = Rule("unreadable_cloud", _STAGES, "fault", ("it is no .npz file ({kind}: {error})",))
VERTICES_NOT_FINITE = "some of its vertices are NaN or inf"
POINTS_NOT_FINITE = "{count} of its points are NaN or inf"
NOT_FINITE = Rule("not_finite", _STAGES, "fault", (VERTICES_NOT_FINITE, POINTS_NOT_FINITE))
TOO_FEW_POINTS = Rule("too_few_points", _STAGES, "fault", ("it has {points} points; {least} are the least",))
ONE_POINT = Rule("one_point", _STAGES, "fault", ("all its points are the same",))
COLORS_MISSHAPEN = "its colours have shape {shape} or are NaN, for {count} points"
COLORS_NOT_0_1 = "its colours reach from {low:g} to {high:g}, not from 0 to 1"
COLORS_NOT_0_255 = "its colours are NaN or outside of 0-255"
BAD_COLORS = Rule("bad_colours", _STAGES, "fault", (COLORS_MISSHAPEN, COLORS_NOT_0_1, COLORS_NOT_0_255))

# Views and captions.
RENDER_MISSING = "there is no {file}"
RENDER_EMPTY = "{file} is empty"
MISSING_RENDER = Rule("missing_render", _STAGES, "fault", (RENDER_MISSING, RENDER_EMPTY))
RENDER_UNREADABLE = "{file} cannot be read ({kind}: {error})"
RENDER_MISSHAPEN = "a render has shape {shape} and type {dtype}, not an image's"
BROKEN_RENDER = Rule("broken_render", _STAGES, "fault", (RENDER_UNREADABLE, RENDER_MISSHAPEN))
NO_VIEW = Rule("no_view", _STAGES, "fault", ("it has neither image_feat nor thumbnail_feat",))
ROW_WITHOUT_CAPTION = "its row of the table has neither a caption nor a name"
TEXTS_EMPTY = "none of its texts says anything"
RENDERS_WITHOUT_CAPTION = "none of its {count} renders has a caption in {file}"
NO_CAPTION = Rule("no_caption", _STAGES, "fault", (ROW_WITHOUT_CAPTION, TEXTS_EMPTY, RENDERS_WITHOUT_CAPTION))
BAD_CAPTION = Rule("bad_caption", _STAGES, "fault", ("one of its captions, in {source}, is {value} and no text",))

# Shapes of OpenShape.
NO_SHAPE = "its file is not as OpenShape's are ({kind}: {error})"
NO_DICT = "it holds {kind}, not a dict"
BAD_SHAPE = Rule("bad_shape", _STAGES, "fault", (NO_SHAPE, NO_DICT))
UNREADABLE_SHAPE = Rule("unreadable_shape", _STAGES, "fault", ("it is no .npy file ({kind}: {error})",))
UNSAFE_SHAPE = Rule("unsafe_shape", _STAGES, "fault", ("it cannot be unpickled safely: {error}",))
BAD_FEATURE = Rule("bad_feature", _STAGES, "fault", ("one of its features is NaN or inf",))

RULES = (
    *(DUPLICATE_ID, UNFORESEEN),
    *(MISSING_MESH, UNREADABLE_MESH, TRUNCATED_MESH, MISSING_TEXTURE, BROKEN_TEXTURE, EMPTY_MESH, ZERO_AREA),
    *(MISSING_SHAPE, UNREADABLE_SHAPE, UNSAFE_SHAPE, BAD_SHAPE, BAD_FEATURE),
    *(MISSING_CLOUD, UNREADABLE_CLOUD, BAD_CLOUD, NOT_FINITE, TOO_FEW_POINTS, ONE_POINT, BAD_COLORS),
    *(MISSING_RENDER, BROKEN_RENDER, NO_VIEW, NO_CAPTION, BAD_CAPTION),
)

"""The classes of the dataset: who builds them and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

from blendclip.synthetic.meshes.catalog import SHAPES, ShapeBuilder
from blendclip.synthetic.shapes import animals, craft, furniture, household, leisure, outdoors, tools


@dataclass(frozen=True)
class ShapeClass:
    """What stands for a class, and words for it."""

    builders: tuple[ShapeBuilder, ...]
    """Variants take them in turn."""
    nouns: tuple[str, ...]
    """The class's name comes first."""
    features: tuple[str, ...]
    """What follows `with` in a caption, true of every variant."""


def _street(*names: str) -> tuple[ShapeBuilder, ...]:
    return tuple(SHAPES[name] for name in names)


def _class(builders: tuple[ShapeBuilder, ...], nouns: str, features: str) -> tuple[str, ShapeClass]:
    words = tuple(nouns.split(", "))
    return words[0], ShapeClass(builders, words, tuple(features.split(", ")))


CLASSES: dict[str, ShapeClass] = dict(
    [
        _class((furniture.chair,), "chair, dining chair, kitchen chair", "four legs and a back, a flat seat"),
        _class((furniture.table,), "table, dining table", "a flat top, a top to eat at"),
        _class((furniture.bed,), "bed, bed with a headboard", "a mattress and pillows, a blanket spread over it"),
        _class((furniture.sofa,), "sofa, couch, settee", "two arm rests, soft cushions"),
        _class((furniture.bookshelf,), "bookshelf, bookcase", "rows of books, shelves full of books"),
        _class((furniture.table_lamp,), "table lamp, lamp, bedside lamp", "a wide shade, a shade on a stand"),
        _class((furniture.toilet,), "toilet, lavatory", "a cistern behind the bowl, its lid up"),
        _class((furniture.bathtub,), "bathtub, bath", "water in it, a tap at one end and four feet"),
        _class((household.mug,), "mug, coffee mug, cup", "a handle on its side, coffee inside"),
        _class((household.bottle,), "bottle, glass bottle", "a narrow neck, a label and a cap"),
        _class((household.teapot,), "teapot, pot for tea", "a spout and a handle, a round belly and a lid"),
        _class((household.frying_pan,), "frying pan, skillet, pan", "a long handle, a low rim"),
        _class((household.umbrella,), "umbrella, open umbrella", "a curved handle, eight panels"),
        _class((household.laptop,), "laptop, notebook computer", "its screen open, a keyboard and a lit screen"),
        _class((household.television,), "television, TV set", "a wide screen, a lit screen"),
        _class((household.plant,), "potted plant, house plant", "long leaves, leaves that hang over its pot"),
        _class((household.suitcase,), "suitcase, trolley case", "four wheels and a handle, ribs on its shell"),
        _class((household.ladder,), "ladder, step ladder", "flat steps, two pairs of legs"),
        _class((tools.hammer,), "hammer, claw hammer", "a claw on its head, a metal head"),
        _class((tools.screwdriver,), "screwdriver, hand tool for screws", "a thick grip, a thin metal shaft"),
        _class((tools.saw,), "saw, hand saw", "a row of teeth, a long blade and a closed grip"),
        _class((tools.axe,), "axe, hatchet", "a wooden shaft, a broad blade on a long shaft"),
        _class((tools.sword,), "sword, blade with a hilt", "a cross guard and a pommel, a long straight blade"),
        _class((tools.scissors,), "scissors, pair of scissors", "two rings for the fingers, its blades apart"),
        _class((animals.horse,), "horse, pony", "a mane and a long tail, four slender legs"),
        _class((animals.elephant,), "elephant, grey elephant", "a trunk and two tusks, large ears"),
        _class((animals.giraffe,), "giraffe, tall giraffe", "a very long neck, a spotted coat"),
        _class((animals.cow,), "cow, dairy cow", "horns and an udder, patches on its hide"),
        _class((animals.duck,), "duck, rubber duck", "an orange beak, its tail up"),
        _class((animals.fish,), "fish, aquarium fish", "fins and a forked tail, a round eye on each side"),
        _class((craft.airplane,), "airplane, aeroplane, passenger jet", "swept wings and engines, a row of windows"),
        _class((craft.helicopter,), "helicopter, chopper", "a rotor on top, skids and a tail boom"),
        _class((craft.rocket,), "rocket, space rocket", "fins at its foot, two portholes"),
        _class((craft.sailboat,), "sailboat, sailing boat, yacht", "a main sail and a jib, one mast"),
        _class(
            (craft.cargo_ship,), "cargo ship, container ship, freighter", "containers on deck, a bridge at the stern"
        ),
        _class(
            (craft.hot_air_balloon,), "hot air balloon, balloon with a basket", "a basket below, a striped envelope"
        ),
        _class((leisure.guitar,), "guitar, acoustic guitar", "six strings, a round sound hole"),
        _class((leisure.piano,), "piano, upright piano", "a row of keys, three pedals"),
        _class((leisure.drum,), "drum, snare drum", "two drumsticks on it, a tight white skin"),
        _class((leisure.skateboard,), "skateboard, board on wheels", "four small wheels, both ends turned up"),
        _class((leisure.tennis_racket,), "tennis racket, racket", "a net of strings, a taped grip"),
        _class((leisure.snowman,), "snowman, man of snow", "a hat and a scarf, a carrot for a nose"),
        _class((outdoors.windmill,), "windmill, old windmill", "four sails, a round tower and a cap"),
        _class((outdoors.lighthouse,), "lighthouse, beacon tower", "painted bands, a lantern on top"),
        _class((outdoors.cactus,), "cactus, desert cactus", "arms that bend upwards, ribs along its trunk"),
        _class((outdoors.tent,), "tent, camping tent", "its door open, ropes at both ends"),
        _class(
            _street("sedan", "hatchback", "suv", "convertible"),
            "car, passenger car, automobile",
            "four wheels, doors and a windscreen",
        ),
        _class(
            _street("box_truck", "flatbed_truck", "dump_truck", "tanker_truck"),
            "truck, lorry",
            "a cab at the front, large wheels",
        ),
        _class(_street("rigid_bus"), "bus, city bus, coach", "rows of windows, large windows"),
        _class(_street("excavator"), "excavator, digger", "a bucket on its arm, tracks and a cab"),
        _class(_street("bicycle"), "bicycle, bike, push bike", "two thin wheels, handlebars and a saddle"),
        _class(_street("motorcycle", "motor_scooter"), "motorcycle, motorbike", "two wheels, a seat and handlebars"),
        _class(
            _street("walking_adult", "standing_adult", "child"),
            "person, human figure",
            "two arms and two legs, clothes on",
        ),
        _class(_street("dog"), "dog, pet dog", "four legs and a tail, its ears up"),
        _class(_street("tree", "conifer"), "tree, leafy tree", "a trunk, green leaves"),
        _class(_street("traffic_cone"), "traffic cone, road cone", "white stripes, a square foot"),
    ]
)

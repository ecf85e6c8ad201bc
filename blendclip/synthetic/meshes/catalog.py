"""Procedural meshes of what is found in a street.

`SHAPES` maps a shape's name to its builder (generator -> Mesh); `CATEGORY_SHAPES` says which shapes stand for a
nuScenes category. A new class is one builder function and one line in each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from blendclip.synthetic.meshes import cars, cycles, objects, people, roadside, scenery, trucks
from blendclip.synthetic.meshes.mesh import Mesh, MeshBuilder

ShapeBuilder = Callable[[np.random.Generator], Mesh]

SHAPES: dict[str, ShapeBuilder] = {
    builder.__name__: builder
    for builder in (
        *(cars.sedan, cars.hatchback, cars.suv, cars.minivan, cars.taxi, cars.convertible, cars.pickup, cars.van),
        *(cars.police_car, cars.ambulance),
        *(trucks.box_truck, trucks.flatbed_truck, trucks.tanker_truck, trucks.dump_truck, trucks.tractor_unit),
        *(trucks.semi_trailer, trucks.utility_trailer, trucks.rigid_bus, trucks.bendy_bus),
        *(trucks.excavator, trucks.wheel_loader, trucks.road_roller, trucks.forklift),
        *(cycles.bicycle, cycles.ridden_bicycle, cycles.motorcycle, cycles.motor_scooter, cycles.ridden_motorcycle),
        *(cycles.bicycle_rack, cycles.kick_scooter),
        *(people.walking_adult, people.standing_adult, people.child, people.construction_worker),
        *(people.police_officer, people.pusher, people.stroller, people.wheelchair),
        *(objects.traffic_cone, objects.delineator, objects.jersey_barrier, objects.striped_barrier),
        *(objects.fence_barrier, objects.debris_branch, objects.debris_bags, objects.debris_tyre),
        *(objects.shopping_cart, objects.wheelbarrow, objects.rubbish_bin, objects.dog),
        *(roadside.ego_trailer, roadside.farm_tractor, roadside.pole_sign, roadside.overhead_sign),
        *(roadside.temporary_sign, roadside.deer),
        *(scenery.tree, scenery.conifer, scenery.street_lamp, scenery.traffic_light, scenery.sign_post),
        *(scenery.bench, scenery.hydrant, scenery.house),
    )
}

CATEGORY_SHAPES: dict[str, tuple[str, ...]] = {
    "animal": ("dog",),
    "human.pedestrian.adult": ("walking_adult", "standing_adult", "pusher"),
    "human.pedestrian.child": ("child",),
    "human.pedestrian.construction_worker": ("construction_worker",),
    "human.pedestrian.personal_mobility": ("kick_scooter",),
    "human.pedestrian.police_officer": ("police_officer",),
    "human.pedestrian.stroller": ("stroller",),
    "human.pedestrian.wheelchair": ("wheelchair",),
    "movable_object.barrier": ("jersey_barrier", "striped_barrier", "fence_barrier"),
    "movable_object.debris": ("debris_branch", "debris_bags", "debris_tyre"),
    "movable_object.pushable_pullable": ("shopping_cart", "wheelbarrow", "rubbish_bin"),
    "movable_object.trafficcone": ("traffic_cone", "delineator"),
    "static_object.bicycle_rack": ("bicycle_rack",),
    "vehicle.bicycle": ("bicycle", "ridden_bicycle"),
    "vehicle.bus.bendy": ("bendy_bus",),
    "vehicle.bus.rigid": ("rigid_bus",),
    "vehicle.car": ("sedan", "hatchback", "suv", "minivan", "taxi", "convertible", "van"),
    "vehicle.construction": ("excavator", "wheel_loader", "road_roller", "forklift"),
    "vehicle.emergency.ambulance": ("ambulance",),
    "vehicle.emergency.police": ("police_car",),
    "vehicle.motorcycle": ("motorcycle", "motor_scooter", "ridden_motorcycle"),
    "vehicle.trailer": ("semi_trailer", "utility_trailer"),
    "vehicle.truck": ("box_truck", "flatbed_truck", "tanker_truck", "dump_truck", "tractor_unit", "pickup"),
}

TRUCK_CATEGORY_SHAPES: dict[str, tuple[str, ...]] = {
    **CATEGORY_SHAPES,
    "animal": ("dog", "deer"),
    "static_object.traffic_sign": ("pole_sign", "overhead_sign", "temporary_sign"),
    "vehicle.ego_trailer": ("ego_trailer",),
    "vehicle.other": ("farm_tractor",),
    "vehicle.train": (),
}
"""The same for the categories of MAN TruckScenes; of trains there are none."""

AV2_CATEGORY_SHAPES: dict[str, tuple[str, ...]] = {
    "ANIMAL": ("deer",),
    "ARTICULATED_BUS": ("bendy_bus",),
    "BICYCLE": ("bicycle",),
    "BICYCLIST": ("ridden_bicycle",),
    "BOLLARD": ("delineator",),
    "BOX_TRUCK": ("box_truck",),
    "BUS": ("rigid_bus",),
    "CONSTRUCTION_CONE": ("traffic_cone",),
    "DOG": ("dog",),
    "LARGE_VEHICLE": ("excavator", "wheel_loader", "road_roller", "forklift"),
    "MOTORCYCLE": ("motorcycle", "motor_scooter"),
    "MOTORCYCLIST": ("ridden_motorcycle",),
    "OFFICIAL_SIGNALER": ("police_officer",),
    "PEDESTRIAN": ("walking_adult", "standing_adult", "pusher", "child", "construction_worker"),
    "REGULAR_VEHICLE": (*CATEGORY_SHAPES["vehicle.car"], "pickup", "police_car"),
    "SIGN": ("pole_sign", "overhead_sign", "temporary_sign"),
    "STROLLER": ("stroller",),
    "TRUCK": ("flatbed_truck", "tanker_truck", "dump_truck", "ambulance"),
    "TRUCK_CAB": ("tractor_unit",),
    "VEHICULAR_TRAILER": ("semi_trailer", "utility_trailer"),
    "WHEELCHAIR": ("wheelchair",),
    "WHEELED_RIDER": ("kick_scooter",),
}
"""The same for those categories of Argoverse 2 that a street here has; what is in none of them has no annotations."""

SHAPE_CATEGORY: dict[str, str] = {shape: name for name, shapes in TRUCK_CATEGORY_SHAPES.items() for shape in shapes}

__all__ = [
    "AV2_CATEGORY_SHAPES",
    "CATEGORY_SHAPES",
    "SHAPES",
    "SHAPE_CATEGORY",
    "TRUCK_CATEGORY_SHAPES",
    "Mesh",
    "MeshBuilder",
    "ShapeBuilder",
]

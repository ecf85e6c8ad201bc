from __future__ import annotations

from blendclip.reporting.gallery.choice import in_turn, near_and_far, stable_order


def test_classes_take_turns_and_objects_come_once():
    classes = ["car", "car", "car", "bus", "car", "dog"]
    objects = ["a", "a", "b", "c", "d", "e"]
    assert in_turn([0, 1, 2, 3, 4, 5], classes, objects, 10) == [0, 3, 5, 2, 4]
    assert in_turn([4, 1, 0, 5, 3], classes, objects, 3) == [4, 5, 3]


def test_an_order_depends_on_names_alone():
    names = [f"cloud{number}" for number in range(40)]
    order = [names[row] for row in stable_order(names)]
    assert order != names and sorted(order) == sorted(names)
    assert order == [names[::-1][row] for row in stable_order(names[::-1])]
    fewer = names[:17]
    assert [name for name in order if name in fewer] == [fewer[row] for row in stable_order(fewer)]


def test_near_middling_and_far_alternate():
    ordered = near_and_far(range(6), ["car"] * 6, [5.0, 1.0, 3.0, 60.0, 2.0, 4.0])
    assert ordered == [1, 2, 0, 4, 5, 3]  # 1 3 5 | 2 4 60: each third once before any twice


def test_the_first_of_another_class_is_of_another_third():
    ordered = near_and_far(range(6), ["car"] * 3 + ["bus"] * 3, [1.0, 2.0, 3.0] * 2)
    assert ordered == [0, 1, 2, 4, 5, 3]


def test_without_distances_the_order_stays():
    assert near_and_far([2, 0, 1], ["chair"] * 3, [None] * 3) == [2, 0, 1]

"""Driving datasets made by us, with the truth about every LiDAR point.

City is recorded by a car and written as nuScenes; citytruck by a truck, and written as MAN TruckScenes; cityav2 by the
car of Argoverse 2, and written as that.
"""

"""The sensor dataset of Argoverse 2, as it is released, to scene indices."""

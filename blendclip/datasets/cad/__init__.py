"""CAD datasets: objects from files of several formats, as triplets and views like those that are mined."""

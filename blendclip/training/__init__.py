"""From triplets and CLIP features to a trained point encoder: packed data, mixture, batches, loss, loop."""

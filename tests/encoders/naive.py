"""PointBERT for one cloud at a time in float64, written from the papers, to compare with."""

import math

import torch

from tests.encoders.test_grouping import naive_patches


def naive_features(state, config, points, rgb=None):
    """(out_dim,) features of one normalised cloud (n, 3), by weights under our names, in evaluation mode."""
    weights = {name: tensor.double() for name, tensor in state.items()}
    number = max(1, min(len(points) * 2 // 32, config.max_patches))
    centers, members = naive_patches(points, number, min(len(points), 32))
    points = points.double()
    tokens, positions = [weights["class_token"]], [weights["class_position"]]
    for center, near in zip(centers, members, strict=True):
        inside = points[near] - points[center]
        if rgb is not None:
            inside = torch.cat([inside, rgb.double()[near]], dim=1)
        tokens.append(affine(weights, "to_token", mini_pointnet(weights, inside)))
        hidden = gelu(affine(weights, "position.0", points[center]))
        positions.append(affine(weights, "position.2", hidden))
    x, position = torch.stack(tokens), torch.stack(positions)
    for block in range(config.depth):
        x = x + position
        x = x + attention(weights, f"blocks.{block}.attention", layer_norm(weights, f"blocks.{block}.norm1", x), config)
        hidden = gelu(affine(weights, f"blocks.{block}.mlp.0", layer_norm(weights, f"blocks.{block}.norm2", x)))
        x = x + affine(weights, f"blocks.{block}.mlp.2", hidden)
    x = layer_norm(weights, "norm", x)
    return weights["projection.weight"] @ torch.cat([x[0], x[1:].max(dim=0).values])


def mini_pointnet(weights, points):
    local = points
    for layer in ("local", "joint"):
        name = f"patch_encoder.{layer}"
        hidden = affine(weights, f"{name}.linear", local)
        mean, variance = weights[f"{name}.norm.running_mean"], weights[f"{name}.norm.running_var"]
        hidden = (hidden - mean) / (variance + 1e-5).sqrt()
        hidden = hidden * weights[f"{name}.norm.weight"] + weights[f"{name}.norm.bias"]
        local = affine(weights, f"{name}.out", hidden.clamp(min=0))
        whole = local.max(dim=0).values
        local = torch.cat([whole.expand(len(local), -1), local], dim=1)
    return whole


def attention(weights, name, x, config):
    size = config.width // config.heads
    query, key, value = (x @ weights[f"{name}.qkv.weight"].T).chunk(3, dim=1)
    heads = []
    for head in range(config.heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / math.sqrt(size)
        heads.append(scores.softmax(dim=1) @ value[:, part])
    return affine(weights, f"{name}.out", torch.cat(heads, dim=1))


def affine(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(weights, name, x):
    x = (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2

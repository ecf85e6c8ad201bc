"""PointBERT, which encodes a cloud as one feature vector in CLIP's space by a transformer over its patches.

Work follows the points. What happens to each point or token happens to those of all clouds end to end; attention needs
clouds of similar length, in buckets, where it has no kernel for sequences of different lengths. Nothing that a cloud
gives in evaluation depends on its batch.

Letters in names: N points of all clouds together, B clouds, P patches of all clouds together, K points of a patch,
T tokens of all clouds together (with the little padding of buckets), D width of the transformer, L blocks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from blendclip.encoders.buckets import Bucket, Layout, Sequences
from blendclip.encoders.clouds import Clouds
from blendclip.encoders.devices import sender
from blendclip.encoders.grouping import Patches, grouped
from blendclip.encoders.patch_encoder import PatchEncoder
from blendclip.encoders.plan import EncodingPlan, kind_of, planned
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.encoders.varlen import attention_of_sequences
from blendclip.errors import UserError

_POSITION_WIDTH = 128  # of Point-BERT's hidden layer between a patch's centre and its position vector
_SIZE_WIDTH = 64  # of the hidden layer between a cloud's size and what it adds to the class token


class PointBert(nn.Module):
    """Point-BERT (Yu et al., arXiv 2111.14819) with ULIP's projection to CLIP (Xue et al., arXiv 2212.05171).

    Patches (farthest point sampling, 32 neighbours less their centre) go through a mini-PointNet; with a class token
    and position vectors, which every block adds anew, through a pre-norm transformer. A cloud's features are its class
    token beside the maximum over its patches, projected linearly. Colours, where used, follow the coordinates: red,
    green, blue from 0 to 1, the order and range that ULIP-2's coloured checkpoints are for. Where the configuration
    says so, a small MLP of the cloud's size in metres is added to the class token; that is ours, not theirs.
    """

    def __init__(self, config: PointBertConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.patch_encoder = PatchEncoder(6 if config.colors else 3, config.encoder_width)
        self.to_token = nn.Linear(config.encoder_width, width)
        self.position = nn.Sequential(nn.Linear(3, _POSITION_WIDTH), nn.GELU(), nn.Linear(_POSITION_WIDTH, width))
        self.class_token = nn.Parameter(torch.zeros(width))
        self.class_position = nn.Parameter(torch.randn(width))
        drop_L = torch.linspace(0, config.drop_path, config.depth).tolist()
        self.blocks = nn.ModuleList(Block(width, config.heads, config.mlp_ratio, drop) for drop in drop_L)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(2 * width, config.out_dim, bias=False)
        nn.init.normal_(self.projection.weight, std=config.out_dim**-0.5)
        if config.size:  # last, so that an encoder without it begins with the same weights
            self.size = nn.Sequential(nn.Linear(4, _SIZE_WIDTH), nn.GELU(), nn.Linear(_SIZE_WIDTH, width))

    def forward(self, clouds: Clouds, draws_BL2: Tensor | None = None, plan: EncodingPlan | None = None) -> Tensor:
        """(B, out_dim) features, not of unit length, of `normalized` clouds.

        Args:
            clouds: on the model's device, without NaN; with colours where the config says so. A size of none is not
                known.
            draws_BL2: in training, a number from 0 to 1 for each cloud and half of a block, which the cloud skips where
                the number is below the block's probability; None draws them from torch's generator.
            plan: `planned` for these clouds, on their device; None makes it now, for which a GPU has to be waited for.

        Raises:
            UserError: the clouds lack colours that the encoder needs, or `torch.jit` traces it.
        """
        if torch.jit.is_tracing():  # it would take patches and buckets of the example's clouds for constants
            raise UserError(
                "a trace of the point encoder would be right for clouds of the traced sizes alone: "
                "export it with blendclip.encoders.export.export_onnx instead"
            )
        device = clouds.points.device
        if plan is None:
            plan = planned(clouds.lengths.tolist(), self.config, kind_of(self.config, device)).moved(sender(device))
        layout = plan.layout
        tokens_TD, positions_TD = self._tokens(clouds, grouped(clouds, plan.division), layout)
        if draws_BL2 is None and self.training and self.config.drop_path > 0:
            draws_BL2 = torch.rand(len(clouds), self.config.depth, 2, device=device)
        for number, block in enumerate(self.blocks):
            draws_T2 = None if draws_BL2 is None else draws_BL2[layout.owner, number]
            tokens_TD = block(tokens_TD + positions_TD, layout.spans, draws_T2)
        return self.projection(_pooled(self.norm(tokens_TD), layout))

    def _tokens(self, clouds: Clouds, patches: Patches, layout: Layout) -> tuple[Tensor, Tensor]:
        """Tokens and position vectors, each (T, D)."""
        center_P3 = clouds.points[patches.centers]
        points_PKC = clouds.points[patches.members] - center_P3[:, None]
        if self.config.colors:
            if clouds.rgb is None:
                raise UserError(
                    "the point encoder was made for coloured clouds and these have no colours: "
                    "mine them with `colors: true`, or set `colors: false` for the encoder and train it anew"
                )
            points_PKC = torch.cat([points_PKC, clouds.rgb[patches.members]], dim=2)
        token_PD = self.to_token(self.patch_encoder(points_PKC, patches.repeated))
        tokens_TD = _placed(token_PD, self.class_tokens(len(clouds), clouds.size), layout)
        return tokens_TD, _placed(self.position(center_P3), self.class_position, layout)

    def class_tokens(self, clouds: int, size_B3: Tensor | None) -> Tensor:
        """(B, D) class tokens of B clouds before the first block.

        Args:
            clouds: B.
            size_B3: `Clouds.size`; None where none is known.
        """
        class_BD = self.class_token.expand(clouds, -1)
        if not self.config.size:
            return class_BD
        if size_B3 is None:
            size_B3 = class_BD.new_full((clouds, 3), torch.nan)
        known_B3 = ~size_B3.isnan()
        told_B4 = torch.cat([torch.where(known_B3, size_B3, 0.0), known_B3[:, :1].to(size_B3.dtype)], 1)
        return class_BD + self.size(told_B4)


class Block(nn.Module):
    """Pre-norm transformer block with stochastic depth (Huang et al., arXiv 1603.09382) for each of its two halves."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, drop: float) -> None:
        super().__init__()
        inner = int(width * mlp_ratio)
        self.drop = drop
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, tokens_TD: Tensor, spans: list[Bucket] | Sequences, draws_T2: Tensor | None) -> Tensor:
        """(T, D) tokens after the block, from tokens before it and the draws (T, 2) of their clouds."""
        tokens_TD = tokens_TD + self._kept(self.attention(self.norm1(tokens_TD), spans), draws_T2, 0)
        return tokens_TD + self._kept(self.mlp(self.norm2(tokens_TD)), draws_T2, 1)

    def _kept(self, change_TD: Tensor, draws_T2: Tensor | None, half: int) -> Tensor:
        """What a half adds to tokens (T, D): nothing for clouds that skip it, scaled up for others to keep the mean."""
        if draws_T2 is None or not self.training or self.drop == 0:
            return change_TD
        return change_TD * (draws_T2[:, half, None] >= self.drop) / (1 - self.drop)


class Attention(nn.Module):
    """Multi-head self-attention among the tokens of each cloud."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, tokens_TD: Tensor, spans: list[Bucket] | Sequences) -> Tensor:
        """(T, D) output for the tokens (T, D), of which those of a sequence attend to each other."""
        qkv_TE = self.qkv(tokens_TD)
        if isinstance(spans, Sequences):
            query_TD, key_TD, value_TD = qkv_TE.chunk(3, dim=1)
            return self.out(attention_of_sequences(query_TD, key_TD, value_TD, self.heads, spans))
        return self.out(torch.cat([self._attended(qkv_TE[bucket.rows], bucket) for bucket in spans]))

    def _attended(self, qkv_TE: Tensor, bucket: Bucket) -> Tensor:
        """(size * length, D) attention among the tokens of a bucket, from queries, keys and values side by side."""
        # (3, size, heads, length, D / heads)
        qkv = qkv_TE.view(bucket.size, bucket.length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        mask = None if bucket.real is None else bucket.real[:, None, None, :]
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return gathered.transpose(1, 2).reshape(bucket.size * bucket.length, -1)


def _placed(vector_PD: Tensor, of_class: Tensor, layout: Layout) -> Tensor:
    """(T, D): the vectors of patches and of class tokens, (B, D) or one (D,) for all, in their rows; padding is 0.

    In the precision of the weights: what blocks add up is kept in full where autocast computes in half.
    """
    vector_PD = vector_PD.to(of_class.dtype)
    rows_TD = vector_PD.new_zeros(layout.rows, vector_PD.shape[1]).index_copy(0, layout.patch_rows, vector_PD)
    return rows_TD.index_copy(0, layout.class_rows, of_class.expand(len(layout.class_rows), -1))


def _pooled(tokens_TD: Tensor, layout: Layout) -> Tensor:
    """(B, 2D): the class token beside the maximum over patches."""
    if isinstance(layout.spans, Sequences):
        counts, patches_PD = layout.spans.counts, tokens_TD[layout.patch_rows]
        most_BD = torch.segment_reduce(patches_PD, "max", lengths=counts, unsafe=True)  # unsafe: no look at the counts
        return torch.cat([tokens_TD[layout.class_rows], most_BD], dim=1)
    pooled = []
    for bucket in layout.spans:
        tokens = tokens_TD[bucket.rows].view(bucket.size, bucket.length, -1)
        patches = tokens[:, 1:]
        if bucket.real is not None:
            patches = patches.masked_fill(~bucket.real[:, 1:, None], -torch.inf)
        pooled.append(torch.cat([tokens[:, 0], patches.max(1).values], dim=1))
    return torch.cat(pooled)[layout.index]

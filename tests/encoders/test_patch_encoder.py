import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn

from blendclip.encoders.patch_encoder import PatchEncoder, RowNorm

REAL = torch.tensor([0, 1, 2, 5, 6, 7, 9])  # of 12 rows; the others repeat rows 0, 5 and 9
COPIES = torch.tensor([3, 4, 8, 10, 11])


def rows_with_copies(seed=0):
    rows = 3 + 2 * torch.randn(12, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows[COPIES] = rows[torch.tensor([0, 0, 5, 9, 9])]
    return rows.requires_grad_()


def trained(norm):
    nn.init.uniform_(norm.weight, 0.5, 1.5), nn.init.normal_(norm.bias)
    return norm.double().train()


@pytest.fixture
def norms():
    torch.manual_seed(0)
    ours, theirs = trained(RowNorm(5)), nn.BatchNorm1d(5).double().train()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def test_statistics_are_those_of_batch_norm_on_real_rows(norms):
    ours, theirs = norms
    rows = rows_with_copies()
    torch.testing.assert_close(ours(rows, COPIES)[REAL], theirs(rows[REAL]))
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], buffer, msg=name)


def test_gradients_are_those_of_batch_norm_on_real_rows(norms):
    ours, theirs = norms
    upstream = torch.randn(12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = rows_with_copies()
    # Copies of rows, made where autograd sees it: what they are given must come back to the rows they repeat.
    source = torch.tensor([0, 1, 2, 0, 0, 3, 4, 5, 3, 6, 6, 6])
    base = rows.detach()[REAL].requires_grad_()
    ours(base[source], COPIES).mul(upstream).sum().backward()
    expected = base.detach().clone().requires_grad_()
    theirs(expected)[source].mul(upstream).sum().backward()
    torch.testing.assert_close(base.grad, expected.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)


def test_evaluation_uses_what_was_learnt(norms):
    ours, theirs = norms
    rows = rows_with_copies()
    ours(rows, COPIES), theirs(rows[REAL])
    torch.testing.assert_close(ours.eval()(rows[:1], None), theirs.eval()(rows[:1]))


def test_repeated_members_change_nothing_in_training():
    torch.manual_seed(0)
    encoder = PatchEncoder(3, 16).double().train()
    points = torch.randn(2, 4, 3, dtype=torch.float64)
    points[0, 2:] = points[0, :1]
    shuffled = points.clone()
    shuffled[0, 2:] = points[0, 1]  # another one repeated: the same set
    repeated = torch.tensor([2, 3])
    torch.testing.assert_close(encoder(points, repeated), encoder(shuffled, repeated))
    assert not torch.allclose(encoder(points, None), encoder(points, repeated))


def _train_on_a_rank(rank, folder, parts, upstream):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(parts))
    torch.manual_seed(0)
    norm = trained(RowNorm(5))
    rows = parts[rank].clone().requires_grad_()
    copies = torch.tensor([1]) if rank == 0 else None  # a row of no real one's
    norm(rows, copies).mul(upstream[rank]).sum().backward()
    torch.save([rows.grad, norm.weight.grad, norm.running_mean, norm.running_var], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_are_as_one(tmp_path):
    generator = torch.Generator().manual_seed(2)
    parts = [1 + torch.randn(size, 5, generator=generator, dtype=torch.float64) for size in (4, 9)]
    parts[0][1] = parts[0][0]
    upstream = [torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in parts]
    processes.spawn(_train_on_a_rank, (str(tmp_path), parts, upstream), nprocs=2)
    torch.manual_seed(0)
    norm = trained(RowNorm(5))
    rows = torch.cat(parts).requires_grad_()
    norm(rows, torch.tensor([1])).mul(torch.cat(upstream)).sum().backward()
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    torch.testing.assert_close(torch.cat([ranks[0][0], ranks[1][0]]), rows.grad)
    torch.testing.assert_close(ranks[0][1] + ranks[1][1], norm.weight.grad)
    for rank in ranks:
        torch.testing.assert_close(rank[2], norm.running_mean)
        torch.testing.assert_close(rank[3], norm.running_var)

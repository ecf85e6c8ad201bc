import math

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

from blendclip.training.loss import Temperature, align


def features(count, width=16, seed=0):
    """Clouds of any length, and unit images and texts."""
    generator = torch.Generator().manual_seed(seed)
    clouds, images, texts = (torch.randn(count, width, generator=generator) for _ in range(3))
    return clouds, F.normalize(images, dim=1), F.normalize(texts, dim=1)


def by_hand(clouds, others, scale, leave_out=()):
    """Loss both ways, sum by sum."""
    clouds = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in clouds.double().tolist()]
    others = others.double().tolist()
    logits = [[scale * sum(a * b for a, b in zip(c, o, strict=True)) for o in others] for c in clouds]
    total = 0.0
    for i in range(len(clouds)):
        rivals = [j for j in range(len(clouds)) if (i, j) not in leave_out]
        total += math.log(sum(math.exp(logits[i][j]) for j in rivals)) - logits[i][i]
        total += math.log(sum(math.exp(logits[j][i]) for j in rivals)) - logits[i][i]
    return total / (2 * len(clouds))


def test_the_loss_is_the_formula():
    clouds, images, texts = features(7)
    result = align(clouds, images, texts, torch.tensor(9.0))
    assert result.image_loss.item() == pytest.approx(by_hand(clouds, images, 9), rel=1e-5)
    assert result.text_loss.item() == pytest.approx(by_hand(clouds, texts, 9), rel=1e-5)
    assert result.loss.item() == pytest.approx(result.image_loss.item() + result.text_loss.item())


def test_samples_of_one_caption_do_not_compete():
    clouds, images, texts = features(3)
    texts = torch.stack([texts[0], texts[1], F.normalize(texts[0] + 0.02 * texts[1], dim=0)])
    assert texts[0] @ texts[2] > 0.99 and (texts[1] @ texts[[0, 2]].T < 0.9).all()
    plain, masked = (align(clouds, images, texts, torch.tensor(9.0), same) for same in (None, 0.99))
    leave_out = {(0, 2), (2, 0)}
    assert masked.text_loss.item() == pytest.approx(by_hand(clouds, texts, 9, leave_out), rel=1e-5)
    assert masked.image_loss.item() == pytest.approx(by_hand(clouds, images, 9, leave_out), rel=1e-5)
    assert plain.text_loss.item() == pytest.approx(by_hand(clouds, texts, 9), rel=1e-5)
    assert masked.loss < plain.loss


def test_no_captions_that_meet_leave_the_plain_loss():
    given = (*features(5), torch.tensor(5.0))
    assert align(*given, 0.95).loss == align(*given).loss


def test_a_batch_of_one_caption_gives_no_gradient():
    clouds, images, texts = features(4)
    clouds.requires_grad_()
    align(clouds, images, texts[:1].repeat(4, 1), torch.tensor(9.0), 0.9).loss.backward()
    assert clouds.grad.abs().max() < 1e-6


def test_accuracy_counts_duplicates_as_right():
    eye = torch.eye(4)
    # Clouds 0 and 1 each find what is the other's; 2 finds its own, 3 that of 2.
    clouds = torch.stack([eye[1], eye[0], eye[2], eye[2]]) + 0.1 * eye
    result = align(clouds, eye, eye, torch.tensor(10.0))
    assert result.image_accuracy == result.text_accuracy == 0.25
    one_caption = torch.stack([eye[0], eye[0], eye[2], eye[3]])
    result = align(clouds, eye, one_caption, torch.tensor(10.0))
    assert result.image_accuracy == result.text_accuracy == 0.75


def test_near_duplicates_are_right_only_when_they_do_not_compete():
    eye = torch.eye(3)
    texts = F.normalize(torch.stack([eye[0], eye[0] + 0.2 * eye[1], eye[2]]), dim=1)
    clouds = texts[[1, 1, 2]]
    assert align(clouds, eye, texts, torch.tensor(10.0)).text_accuracy.item() == pytest.approx(2 / 3)
    assert align(clouds, eye, texts, torch.tensor(10.0), 0.95).text_accuracy == 1


def test_autocast_changes_nothing():
    given = (*features(6), torch.tensor(50.0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = align(*given, 0.9)
    assert inside.loss == align(*given, 0.9).loss and inside.loss.dtype == torch.float32


def test_the_scale_starts_and_stays_where_it_should():
    temperature = Temperature()
    assert temperature().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        temperature.log_scale.fill_(9)
    scale = temperature()
    assert scale.item() == pytest.approx(100, rel=1e-5)
    scale.backward()
    assert temperature.log_scale.grad.item() == pytest.approx(100, rel=1e-5)  # it can still come down
    assert temperature.log_scale.item() == pytest.approx(math.log(100))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Linear(16, 16)
        self.temperature = Temperature()

    def forward(self, clouds):
        return self.layer(clouds), self.temperature()


def trained(model, clouds, images, texts):
    """Loss, accuracy and gradients of a step; captions of samples 0 and 5 are the same."""
    features, scale = model(clouds)
    result = align(features, images, texts, scale, 0.99)
    result.loss.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return [result.loss.detach(), result.text_accuracy, result.image_accuracy, *gradients]


def batch():
    clouds, images, texts = features(8)
    texts[5] = texts[0]
    return clouds, images, texts


def rank_of_two(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    mine = [part[rank * 4 : rank * 4 + 4] for part in batch()]
    torch.save(trained(DistributedDataParallel(Model()), *mine), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    torch.multiprocessing.spawn(rank_of_two, (str(tmp_path),), nprocs=2)
    expected = trained(Model(), *batch())
    for rank in (0, 1):
        for found, right in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            assert torch.allclose(found, right, rtol=1e-5, atol=1e-6)

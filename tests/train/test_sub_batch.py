"""Sub-batch norm against separate norms on each group; what is recorded, and when."""

import copy

import pytest
import torch
from torch import nn

from tinynets import tiny_classifier
from vidskim.errors import UsageError
from vidskim.train.sub_batch import SubBatchNorm, use_sub_batches


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.BatchNorm3d(4))
    for module in made:
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return made.double()


def clips(groups: int, videos: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(groups * videos, 3, 2, 3, 3).double() * torch.rand(
        groups * videos, 1, 1, 1, 1
    )


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_equals_separate_norms_on_each_group(groups):
    """Outputs and every gradient; running statistics are the mean over the groups."""
    apart, grouped = network(), network()
    grouping = use_sub_batches(grouped)
    grouping.num_groups = groups
    x = clips(groups, 4)
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    copies = [copy.deepcopy(apart) for _ in range(groups)]
    each = torch.cat([one(part) for one, part in zip(copies, x1.chunk(groups))])
    together = grouped(x2)
    torch.testing.assert_close(together, each)
    weight = torch.randn_like(each)
    (each * weight).sum().backward()
    (together * weight).sum().backward()
    torch.testing.assert_close(x2.grad, x1.grad)
    for name, parameter in grouped.named_parameters():
        summed = sum(dict(one.named_parameters())[name].grad for one in copies)
        torch.testing.assert_close(parameter.grad, summed)
    for name, buffer in grouped.named_buffers():
        if "num_batches" not in name:
            mean = torch.stack([dict(one.named_buffers())[name] for one in copies]).mean(0)
            torch.testing.assert_close(buffer, mean)


def test_one_group_is_a_plain_norm():
    plain, grouped = network(), network()
    use_sub_batches(grouped)
    for _ in range(3):
        torch.testing.assert_close(grouped(clips(1, 5)), plain(clips(1, 5)))
    for (name, mine), theirs in zip(grouped.state_dict().items(), plain.state_dict().values()):
        torch.testing.assert_close(mine, theirs, msg=name)
    torch.testing.assert_close(grouped.eval()(clips(1, 2)), plain.eval()(clips(1, 2)))


def test_groups_are_not_the_whole_batch():
    grouped, plain = network(), network()
    use_sub_batches(grouped).num_groups = 2
    assert not torch.allclose(grouped(clips(2, 4)), plain(clips(2, 4)))


def test_every_norm_of_a_backbone_is_replaced_and_saved_under_its_name():
    backbone = tiny_classifier()
    names = list(backbone.state_dict())
    before = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm3d)]
    use_sub_batches(backbone)
    after = [m for m in backbone.modules() if isinstance(m, SubBatchNorm)]
    assert len(before) == len(after) > 5
    assert not [m for m in backbone.modules() if isinstance(m, nn.BatchNorm3d)]
    assert list(backbone.state_dict()) == names
    assert backbone.stem[1].weight is before[0].weight


def test_paused_and_together():
    grouped, plain = network(), network()
    grouping = use_sub_batches(grouped)
    state = copy.deepcopy(grouped.state_dict())
    with grouping.paused():
        grouped(clips(1, 4))
    for name, tensor in grouped.state_dict().items():
        torch.testing.assert_close(tensor, state[name], msg=name)
    reference = use_sub_batches(plain)
    reference.num_groups = 3
    plain(clips(3, 4))
    with grouping.together():
        for part in clips(3, 4).chunk(3):
            grouped(part)
    for name, tensor in grouped.state_dict().items():
        torch.testing.assert_close(tensor, plain.state_dict()[name], msg=name)


def test_uneven_groups_are_refused():
    grouped = network()
    use_sub_batches(grouped).num_groups = 3
    with pytest.raises(UsageError, match="batch of 4 clips cannot be in 3 groups"):
        grouped(clips(1, 4))


def test_a_group_of_one_place_is_refused():
    grouped = network()
    use_sub_batches(grouped)
    with pytest.raises(UsageError, match="more videos per step"):
        grouped(torch.randn(1, 3, 1, 1, 1).double())

"""Non-local blocks beside PyTorch's own attention and beside sums written out."""

import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool3d, scaled_dot_product_attention

from vidskim.backbones.nonlocal_block import NonlocalBlock, pool_size, with_nonlocal_blocks
from vidskim.errors import UsageError


def _open_block(affinity: str, pool: tuple[int, int, int]) -> NonlocalBlock:
    torch.manual_seed(0)
    block = NonlocalBlock(8, affinity=affinity, pool=pool).eval()
    nn.init.uniform_(block.norm.weight, 0.5, 1.5)
    nn.init.uniform_(block.norm.bias, -0.5, 0.5)
    nn.init.uniform_(block.norm.running_mean, -0.5, 0.5)
    nn.init.uniform_(block.norm.running_var, 0.5, 1.5)
    return block


@pytest.mark.parametrize("pool", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
def test_softmax_is_scaled_dot_product_attention(pool):
    block = _open_block("softmax", pool)
    x = torch.randn(2, 8, 4, 5, 6)
    with torch.no_grad():
        ours = block(x)
        keys = max_pool3d(x, pool)
        query, key, value = (
            part(of).flatten(2).transpose(1, 2)
            for part, of in ((block.query, x), (block.key, keys), (block.value, keys))
        )
        found = scaled_dot_product_attention(query, key, value)
        added = block.norm(block.out(found.transpose(1, 2).reshape(2, 4, 4, 5, 6)))
    torch.testing.assert_close(ours, x + added)


def test_dot_products_are_divided_by_the_number_of_keys():
    block = _open_block("dot_product", (2, 2, 2))
    x = torch.randn(1, 8, 4, 3, 4)  # 2 x 1 x 2 keys: the odd row belongs to none
    with torch.no_grad():
        query = block.query(x)[0].flatten(1)
        pooled = torch.stack(
            [x[0, :, t : t + 2, :2, w : w + 2].amax((1, 2, 3)) for t in (0, 2) for w in (0, 2)],
            1,
        )[None, :, :, None, None]
        key, value = block.key(pooled)[0, :, :, 0, 0], block.value(pooled)[0, :, :, 0, 0]
        found = torch.zeros(4, 48)
        for place in range(48):
            for k in range(4):
                found[:, place] += query[:, place] @ key[:, k] / 4 * value[:, k]
        added = block.norm(block.out(found.reshape(1, 4, 4, 3, 4)))
        torch.testing.assert_close(block(x), x + added)


@pytest.mark.parametrize("affinity", ["softmax", "dot_product"])
def test_an_untrained_block_changes_nothing_and_learns_its_norm_first(affinity):
    block = NonlocalBlock(6, affinity=affinity)
    x = torch.randn(2, 6, 3, 4, 4)
    out = block(x)
    assert torch.equal(out, x)
    (out * torch.randn_like(out)).sum().backward()
    assert block.norm.weight.grad.any()


def test_a_map_smaller_than_the_pooling_is_pooled_whole():
    block = _open_block("softmax", (2, 2, 2))
    x = torch.randn(1, 8, 1, 1, 3)
    with torch.no_grad():
        alone = block(x[..., :2])
        assert alone.shape == (1, 8, 1, 1, 2)
        block.pool = (1, 1, 2)
        torch.testing.assert_close(alone, block(x[..., :2]))


def test_blocks_follow_those_named_and_leave_their_names():
    stage = with_nonlocal_blocks(
        nn.Sequential(*(nn.Conv3d(4, 4, 1) for _ in range(4))),
        4,
        after=(1, 3),
        affinity="softmax",
        pool=(1, 2, 2),
    )
    assert [name for name, _ in stage.named_children()] == [
        "0",
        "1",
        "nonlocal1",
        "2",
        "3",
        "nonlocal3",
    ]


def test_a_wrong_pooling_is_named():
    assert pool_size("2x2x2") == (2, 2, 2)
    with pytest.raises(UsageError, match=r"unknown nonlocal_pool '2x2'.*1x2x2, 2x2x2"):
        pool_size("2x2")

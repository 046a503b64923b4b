"""The compression against the paper's equations in NumPy, video by video and step by step."""

import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from vidskim.account import MacCounter, count
from vidskim.errors import UsageError
from vidskim.model.compression import TemporalCompression, attention_macs, mix, read_ratio

POOLINGS = ("topk", "topk_places", "average", "max")
VALUES = ("head", "abstracted", "projected")
KERNELS = ("1x1x1", "3x1x1", "3x3x3")
SCALES = ("none", "channels", "features")
RATIOS = (1, "4/3", 2, 4, 8)
C = 8


def make(*, channels: int = C, seed: int = 0, **options) -> TemporalCompression:
    """Random in every number, the norms too, whose scales begin at zero."""
    torch.manual_seed(seed)
    options.setdefault("num_blocks", 2)
    module = TemporalCompression(channels, **options).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            torch.nn.init.normal_(tensor, std=0.3)
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
    return module


def maps(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``[C, T, H, W]`` by ``[O, C, t, h, w]``, a tap of the kernel after another, zeros around."""
    taps = weight.shape[2:]
    padded = np.pad(x, [(0, 0), *((n // 2, n // 2) for n in taps)])
    out = np.zeros((weight.shape[0], *x.shape[1:]))
    for t, h, w in np.ndindex(*taps):
        part = padded[:, t : t + x.shape[1], h : h + x.shape[2], w : w + x.shape[3]]
        out += np.einsum("oc,cthw->othw", weight[:, :, t, h, w], part)
    return out


def pooled(x: np.ndarray, K: int, how: str) -> tuple[np.ndarray, list[int] | None]:
    """K queries of ``[C, T, H, W]``, and which steps they are."""
    T = x.shape[1]
    if how == "topk":
        kept = sorted(np.argsort([-x[:, t].mean() for t in range(T)])[:K].tolist())
        return x[:, kept], kept
    if how == "topk_places":
        out = np.empty((x.shape[0], K, *x.shape[2:]))
        for c, h, w in np.ndindex(x.shape[0], *x.shape[2:]):
            highest = sorted(np.argsort(-x[c, :, h, w])[:K])
            out[c, :, h, w] = x[c, highest, h, w]
        return out, None
    parts = [x[:, k * T // K : -(-(k + 1) * T // K)] for k in range(K)]
    reduced = [p.mean(1) if how == "average" else p.max(1) for p in parts]
    return np.stack(reduced, axis=1), None


def by_the_equations(
    module: TemporalCompression, F: np.ndarray, F_abs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[int] | None]:
    """Equations 3 to 5 for one video ``[C, T, H, W]``: output, M, the steps kept."""
    weight = {name: p.detach().numpy() for name, p in module.named_parameters()}
    T = F.shape[1]
    K = max(1, math.floor(Fraction(T) / module.ratio))
    q, kept = pooled(F_abs, K, module.pooling)
    query, key = convolved(q, weight["query.weight"]), convolved(F_abs, weight["key.weight"])
    divisor = {"none": 1, "channels": len(F_abs), "features": key[:, 0].size}[module.scale]
    M = np.empty((K, T))
    for k in range(K):
        products = np.array([(query[:, k] * key[:, t]).sum() for t in range(T)])
        products /= math.sqrt(divisor)
        powers = np.exp(products - products.max())
        M[k] = powers / powers.sum()
    v = F
    if module.value == "abstracted":
        v = F_abs
    if module.value == "projected":
        v = convolved(F, weight["projection.weight"])
    out = np.stack([sum(M[k, t] * v[:, t] for t in range(T)) for k in range(K)], axis=1)
    return out, M, kept


def check(module: TemporalCompression, F: torch.Tensor) -> None:
    with torch.no_grad():
        F_abs = F if module.abstraction is None else module.abstraction(F)
        found, attention = module.compress(F)
    for n in range(len(F)):
        out, M, kept = by_the_equations(module, F[n].numpy(), F_abs[n].numpy())
        np.testing.assert_allclose(attention.weights[n].numpy(), M, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[n].numpy(), out, rtol=0, atol=1e-12)
        assert (None if attention.kept is None else attention.kept[n].tolist()) == kept


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_and_ratio(pooling, ratio):
    """Nine steps are no multiple of any ratio, three places a side none of the stride."""
    check(make(pooling=pooling, ratio=ratio, kernel="1x1x1"), maps(2, C, 9, 3, 3))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", VALUES)
def test_every_value_kernel_and_scale(value, kernel, scale):
    check(make(value=value, kernel=kernel, scale=scale), maps(2, C, 7, 3, 4))


@pytest.mark.parametrize("kernel", KERNELS)
def test_without_abstraction(kernel):
    check(make(abstraction=False, kernel=kernel, channels=3), maps(2, 3, 5, 3, 2))


def test_scales_change_the_answer():
    """Or the tests above would say nothing of them."""
    F = maps(1, C, 6, 4, 4)
    found = [make(scale=scale).compress(F)[1].weights for scale in SCALES]
    for one, other in pairwise(found):
        assert (one - other).abs().max() > 1e-2


@pytest.mark.parametrize("ratio", RATIOS)
def test_rows_of_m_and_kept_steps(ratio):
    module = make(ratio=ratio, abstraction=False, kernel="1x1x1")
    for T in range(1, 13):
        F = maps(2, C, T, 2, 2, seed=T)
        with torch.no_grad():
            out, attention = module.compress(F)
        K = max(1, math.floor(Fraction(T) / Fraction(ratio)))
        assert out.shape == (2, C, K, 2, 2)
        assert attention.weights.shape == (2, K, T)
        assert attention.weights.min() >= 0
        torch.testing.assert_close(attention.weights.sum(2), torch.ones(2, K).double())
        activation = F.mean((1, 3, 4))
        for n in range(2):
            kept = attention.kept[n].tolist()
            assert kept == sorted(set(kept))
            assert len(kept) == K
            left = [t for t in range(T) if t not in kept]
            assert not left or activation[n, kept].min() >= activation[n, left].max()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_memory_format_and_company_change_nothing(pooling):
    module = make(pooling=pooling, value="projected", ratio="4/3")
    F = maps(3, C, 8, 3, 4)
    with torch.no_grad():
        out, attention = module.compress(F)
        last, same = module.compress(F.contiguous(memory_format=torch.channels_last_3d))
        torch.testing.assert_close(last, out, rtol=0, atol=1e-12)
        torch.testing.assert_close(same.weights, attention.weights, rtol=0, atol=1e-12)
        for n in range(3):
            alone, own = module.compress(F[n : n + 1])
            torch.testing.assert_close(alone, out[n : n + 1], rtol=0, atol=1e-12)
            torch.testing.assert_close(
                own.weights, attention.weights[n : n + 1], rtol=0, atol=1e-12
            )


def test_values_go_through_untouched():
    """Rows of M that take one step each give that step, to the bit; F itself is left alone."""
    F = maps(2, C, 5, 3, 3)
    before = F.clone()
    order = torch.tensor([[0, 3, 4], [2, 2, 1]])
    weights = torch.nn.functional.one_hot(order, 5).double()  # [2, 3, 5]
    found = mix(weights, F)
    for n in range(2):
        assert torch.equal(found[n], F[n, :, order[n]])
    assert torch.equal(mix(torch.eye(5).double().expand(2, 5, 5), F), F)
    make().compress(F)
    assert torch.equal(F, before)


def test_other_pathways_follow():
    """Each step of M stands for as many neighboring ones of a map with more of them."""
    slow, fast, token = maps(2, C, 4, 3, 3), maps(2, 3, 12, 3, 3), maps(2, C, 1, 1, 1)
    weights = maps(2, 2, 4).softmax(2)
    first, second, third = mix(weights, (slow, fast, token))
    torch.testing.assert_close(first, torch.einsum("nkt,ncthw->nckhw", weights, slow))
    for k in range(2):
        for i in range(3):
            wanted = torch.einsum("nt,ncthw->nchw", weights[:, k], fast[:, :, i::3])
            torch.testing.assert_close(second[:, :, 3 * k + i], wanted)
    assert third is token
    with pytest.raises(UsageError, match="over 4 steps cannot be shared by a map of 10"):
        mix(weights, (slow, fast[:, :, :10]))
    with pytest.raises(UsageError, match="several pathways"):
        make(value="projected")((slow, fast))
    (compressed, _), attention = make().compress((slow, fast))
    torch.testing.assert_close(
        compressed, torch.einsum("nkt,ncthw->nckhw", attention.weights, slow)
    )


@pytest.mark.parametrize("options", [{}, {"value": "projected"}, {"abstraction": False}])
def test_every_parameter_learns(options):
    module = make(**options).train()
    module(maps(2, C, 6, 4, 4)).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_sums_over_maps_are_full_precision_under_autocast():
    """Steps whose mean activations differ by less than bf16 tells apart, the highest last."""
    torch.manual_seed(0)
    module = TemporalCompression(4, abstraction=False, ratio=4, kernel="1x1x1")
    F = torch.ones(1, 4, 16, 8, 8)
    for t in range(16):
        F[0, 0, t].flatten()[:t] += 2**-7
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, attention = module.compress(F.bfloat16())
    assert out.dtype == torch.bfloat16
    assert attention.weights.dtype == torch.float32
    assert attention.kept.tolist() == [[12, 13, 14, 15]]
    torch.testing.assert_close(attention.weights.sum(2), torch.ones(1, 4))


def test_the_abstraction_halves_space_and_keeps_time():
    module = make()
    assert module.abstraction(maps(1, C, 5, 5, 8)).shape == (1, C, 5, 3, 4)
    untrained = TemporalCompression(C).eval()
    assert len(untrained.abstraction) == 4
    F = maps(1, C, 3, 4, 4).float()
    shortcut = untrained.abstraction[0].downsample(F).relu()
    torch.testing.assert_close(untrained.abstraction(F), shortcut)  # each block begins as its


def test_cost_and_size_are_the_papers():
    """Table 6 (d) without its backbone of 32.454 M, and PAPERS section 3.2 without batch norm."""
    shape = (1, 512, 36, 32, 39)  # of 36 frames of 256x312 after res3
    places, small = 36 * 32 * 39, 36 * 16 * 20
    reduce, middle, widen = 512 * 128 * 3, 128 * 128 * 9, 128 * 512
    blocks = reduce * places + small * (3 * reduce + 4 * (middle + widen) + 512 * 512)
    attended = attention_macs(shape[1:], num_kept=18, small=(16, 20))
    assert attended == 18 * 36 * 512 * (16 * 20 + 32 * 39)
    for kernel, taps, millions in (("1x1x1", 1, 2.43), ("3x1x1", 3, 3.48), ("3x3x3", 27, 16.06)):
        with torch.device("meta"):
            module = TemporalCompression(512, kernel=kernel)
        counted = count(module, shape)
        projections = taps * 512 * 512 * (small + small // 2)
        assert counted.macs == blocks + projections + attended
        assert counted.params / 1e6 == pytest.approx(millions, abs=0.005)
    with torch.inference_mode(), MacCounter() as counter:
        make(channels=C)(maps(1, C, 6, 4, 4))
    assert counter.macs == count(make(channels=C), (1, C, 6, 4, 4)).macs


def test_ratios():
    for given, wanted in (
        (1, Fraction(1)),
        (2.0, Fraction(2)),
        ("4/3", Fraction(4, 3)),
        (1.3333, Fraction(4, 3)),
        (" 1.5 ", Fraction(3, 2)),
        (Fraction(8), Fraction(8)),
        (10_000, Fraction(10_000)),
    ):
        assert read_ratio(given) == wanted
        assert read_ratio(str(read_ratio(given))) == wanted
    assert [make(ratio="4/3").num_kept(T) for T in (1, 2, 3, 4, 8, 9)] == [1, 1, 2, 3, 6, 6]
    assert make(ratio=8).num_kept(36) == 4


@pytest.mark.parametrize(
    "ratio",
    [0.5, 0.99999, "0.99999", 0, -2, "x", "", "1/0", "4 / 3", "1e5", "1e999999999", 10_001, True,
     None, [2], float("nan"), float("inf")],
)  # fmt: skip
def test_no_ratios(ratio):
    """The text with the large exponent would fill the memory if it were read."""
    with pytest.raises(UsageError, match="a number from 1 to 10000, or text such as 4/3, got"):
        TemporalCompression(C, ratio=ratio)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pooling": "topK"}, "did you mean 'topk'"),
        ({"value": "heads"}, "did you mean 'head'"),
        ({"kernel": "3x3x1"}, "unknown kernel '3x3x1'"),
        ({"scale": ["none"]}, "unknown scale"),
        ({"value": "abstracted", "abstraction": False}, "needs an abstraction"),
        ({"channels": 6}, "6 are no multiple of four"),
        ({"abstraction": "yes"}, "true or false, got 'yes'"),
        ({"num_blocks": 0}, "1 to 64 blocks, got 0"),
        ({"num_blocks": True}, "1 to 64 blocks, got True"),
        ({"num_blocks": 2.0, "abstraction": False}, "1 to 64 blocks"),
        ({"time_kernels": ()}, "odd numbers up to 7"),
        ({"time_kernels": (2,)}, "odd numbers up to 7"),
        ({"time_kernels": (10**9,)}, "odd numbers up to 7"),
    ],
)
def test_refused(options, told):
    channels = options.pop("channels", C)
    with pytest.raises(UsageError, match=told):
        TemporalCompression(channels, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ratio": "4/3", "pooling": "max", "kernel": "1x1x1", "scale": "features"},
        {"value": "projected", "abstraction": False},
        {"num_blocks": 3, "time_kernels": (1, 3)},
    ],
)
def test_options_build_it_again(options):
    module = TemporalCompression(C, **options)
    again = TemporalCompression(C, **json.loads(json.dumps(module.options)))
    assert again.options == module.options
    shapes, same = ({k: v.shape for k, v in m.state_dict().items()} for m in (module, again))
    assert shapes == same
    again.load_state_dict(module.state_dict())
    F = maps(1, C, 6, 4, 4).float()
    with torch.no_grad():
        assert torch.equal(module.eval()(F), again.eval()(F))

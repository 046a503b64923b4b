"""What others call the tensors of Slow-only R50."""

from vidskim.backbones.layout import Layout, Rule
from vidskim.backbones.slow import BUILDERS

_BLOCK = r"pathway0_res(\d+)"

PYSLOWFAST_RULES: tuple[Rule, ...] = (
    (r"s1\.pathway0_stem\.conv\.(.*)", r"stem.0.\1"),
    (r"s1\.pathway0_stem\.bn\.(.*)", r"stem.1.\1"),
    *(
        rule
        for s in range(2, 6)
        for rule in (
            *(
                part
                for n, letter in enumerate("abc", start=1)
                for part in (
                    (rf"s{s}\.{_BLOCK}\.branch2\.{letter}\.(.*)", rf"layer{s - 1}.\1.conv{n}.0.\2"),
                    (
                        rf"s{s}\.{_BLOCK}\.branch2\.{letter}_bn\.(.*)",
                        rf"layer{s - 1}.\1.conv{n}.1.\2",
                    ),
                )
            ),
            (rf"s{s}\.{_BLOCK}\.branch1\.(.*)", rf"layer{s - 1}.\1.downsample.0.\2"),
            (rf"s{s}\.{_BLOCK}\.branch1_bn\.(.*)", rf"layer{s - 1}.\1.downsample.1.\2"),
        )
    ),
    (r"head\.projection\.(.*)", r"fc.\1"),
)

PYSLOWFAST = Layout(
    publisher="PySlowFast",
    telltale=r"s1\.pathway0_stem\.conv\.weight",
    rules=PYSLOWFAST_RULES,
)

LAYOUTS = dict.fromkeys(BUILDERS, (PYSLOWFAST,))

"""SCSampler: Korbar et al., ICCV 2019: its classifiers, its samplers, and its figure for a minute.

The classifiers' costs stand in the model zoo of their authors (VMZ), not in the paper.
"""

from vidskim.cost.papers.counted import I3D_108, counted
from vidskim.cost.papers.row import PaperRow, Table

PAPER = "SCSampler"
MINUTE_FRAMES = 60 * 30
GROUP = 12
"""An I-frame and the eleven P-frames that follow it (section 3.2.1)."""

MIDS = "channels inside factorized convolutions as in VMZ; torchvision's are fewer"
CSN_SIDE = "at 256 pixels; the zoo's label 224 gives {:.2f} G"


def scsampler_rows() -> list[PaperRow]:
    """Return the costs of the classifiers, of ShuffleNet, and of 60 seconds of video."""
    return [*_classifiers(), *_samplers(), *_minute()]


def _classifiers() -> list[PaperRow]:
    rows = []
    for label, name, size, options, macs, params in (
        ("R3D-18", "r3d_18", (16, 112, 112), {}, 40.7, 33.4),
        ("MC3-18", "mc3_18", (16, 112, 112), {}, 43.3, 11.7),
        ("R(2+1)D-18", "r2plus1d_18", (16, 112, 112), {"mid": "vmz"}, 41.5, 33.3),
        ("R(2+1)D-34", "r2plus1d_34", (32, 112, 112), {"mid": "vmz"}, 152, 63.6),
        ("ir-CSN-152", "ir_csn_152", (32, 256, 256), {}, 96.7, 29.6),
        ("ip-CSN-152", "ip_csn_152", (32, 256, 256), {}, 108.8, 32.8),
    ):
        table = Table(PAPER, "VMZ, " + " x ".join(str(n) for n in size))
        ours = counted(name, *size, **options)
        note = MIDS if options else ""
        if "CSN" in label:
            note = CSN_SIDE.format(counted(name, 32, 224, 224).macs / 1e9)
        rows += [
            table.giga(label, macs, ours.macs, note=note),
            table.params(label, params, ours.params),
        ]
    i3d = counted("i3d_rgb", 64, 224, 224)
    cited = Table(PAPER, "FASTER's Table 7, 64 x 224 x 224")
    return [
        *rows,
        cited.giga("I3D-RGB", 108, i3d.macs, note=I3D_108),
        cited.params("I3D-RGB", 12.7, i3d.params),
    ]


def _samplers() -> list[PaperRow]:
    light = counted("shufflenet_26", 224, 224, num_classes=1000)
    note = (
        "50 layers, as ShuffleNet's own paper lists it; SCSampler's 26 layers are not described, "
        f"half the units cost {light.macs / 1e6:.2f} MMACs and {light.params / 1e6:.3f} M "
        "parameters"
    )
    full = counted("shufflenet_50", 224, 224, num_classes=1000)
    table = Table(PAPER, "ShuffleNet, Table 2")
    return [table.mega("ShuffleNet 0.5x, 3 groups", 38, full.macs, note=note)]


def _minute() -> list[PaperRow]:
    table = Table(PAPER, "section 2, 60 seconds")
    clip = counted("mc3_18", 16, 112, 112).macs
    num_clips = MINUTE_FRAMES // 16
    picture = counted("resnet_18", 224, 224).macs
    motion = counted("resnet_18", 14, 14, channels=2, in_channels=2).macs
    large_motion = counted("resnet_18", 224, 224, channels=2, in_channels=2).macs
    num_pictures = MINUTE_FRAMES // GROUP
    every_frame = num_pictures * picture + (MINUTE_FRAMES - num_pictures) * (picture + motion)
    sparse = MINUTE_FRAMES / 30 * 25 / 16
    sounds = [counted(name, 40, 200, channels=1).macs / 1e9 for name in ("vggish", "l3_audio")]
    dense_note = (
        f"{num_clips} clips of 16 frames at 30 fps ({sparse:g} at 25 fps: "
        f"{sparse * clip / 1e9:.0f} G); 1097 would be 25.3 clips. The paper does not say how it "
        f"counts; {sparse:g} times 11.70, the network's parameters in millions, is 1096.9"
    )
    sampler_note = (
        "the text read literally, ResNet-18 on every I-frame, residual and motion map: "
        f"{picture / 1e9:.4f} G a picture, {motion / 1e9:.4f} G a 14x14 map. 168 asks for about "
        f"one residual per clip and no sound: {sparse:g} x {picture / 1e9:.4f} = "
        f"{sparse * picture / 1e9:.1f} G, or {sparse * (picture + large_motion) / 2e9:.1f} G as "
        "the mean with motion maps enlarged to 224x224. A network on sound would add "
        f"{sounds[0]:.3f} G (VGGish) or {sounds[1]:.3f} G (L3) a clip. The 4128 G of TURN TAP "
        "are cited and not counted here"
    )
    return [
        table.giga("MC3-18 on all clips", 1097, num_clips * clip, note=dense_note),
        table.giga("sampler", 168, every_frame, note=sampler_note),
    ]

"""What choosing saves: the same file by three methods, with a network that is not even trained."""

import sys

from vidskim import Recognizer, create_backbone, presets


def main(path: str) -> None:
    encoder = create_backbone("r3d_18", width=8)
    for look in (presets.dense(), presets.packets(k=3), presets.motion(k=3)):
        cost = Recognizer(encoder, look=look)(path).cost
        print(
            f"{look.method:8s} {cost.macs / 1e9:6.2f} GMACs, {cost.frames_decoded:5d} frames "
            f"decoded, {cost.seconds['total']:.2f} s"
        )


if __name__ == "__main__":
    main(sys.argv[1])

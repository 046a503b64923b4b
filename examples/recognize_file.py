"""One file, one answer: the classes, the moments that said so, and what it cost."""

import sys

import vidskim


def main(path: str) -> None:
    answer = vidskim.recognize(path, method="scsampler", model="demo", k=10)
    for guess in answer.predictions[:3]:
        print(f"{guess.score:6.1%}  {guess.label}")
    for chosen in answer.clips:
        print(f"{chosen.clip.start_seconds:7.2f} s  saliency {chosen.saliency:.2f}")
    cost = answer.cost
    print(
        f"{cost.macs / 1e9:.2f} of {cost.dense_macs / 1e9:.2f} GMACs, {cost.seconds['total']:.2f} s"
    )


if __name__ == "__main__":
    main(sys.argv[1])

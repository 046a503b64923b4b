"""The motion a codec already computed: how fast content moves, frame by frame, without pixels."""

import sys

from vidskim import Video


def main(path: str) -> None:
    video = Video(path)
    info = video.info
    print(f"{info.num_frames} frames, {info.width}x{info.height}, {info.codec}")
    for clip, motion in video.iter_motion(video.clips(num_frames=25)):
        if not len(motion.vectors):
            print(f"{clip.start_seconds:6.2f} s  no vectors")
            continue
        dx, dy = motion.vectors.flatten(2).median(dim=2).values.mean(dim=0).tolist()
        unknown = motion.intra.mean().item()
        print(
            f"{clip.start_seconds:6.2f} s  {len(motion.vectors)} maps, camera "
            f"({dx:+.2f}, {dy:+.2f}) pixels per frame, {unknown:.0%} without vectors"
        )
    print(
        f"{video.stats.frames_decoded} frames decoded, {video.stats.bytes_read / 1e6:.2f} MB read"
    )


if __name__ == "__main__":
    main(sys.argv[1])

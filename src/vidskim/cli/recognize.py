"""The verb `recognize`: one video, whole or while it comes."""

from typing import Any

from vidskim.cli import console
from vidskim.cli.arguments import typed
from vidskim.cli.streaming import answer_live
from vidskim.cli.words import paths_of, refuse, sampler_options


def recognize(
    video: str,
    /,
    method: str | None = None,
    model: str = "r2plus1d_18",
    k: int | None = None,
    sampler: str | None = None,
    combine: str | None = None,
    visual_k: int | None = None,
    alpha: float = 0.5,
    residuals: int | None = None,
    clip_stride: int = 1,
    candidates: int | None = None,
    pattern: str | None = None,
    route: str | None = None,
    cheap: str | None = None,
    context: str | None = None,
    compress: str | None = None,
    join: str | None = None,
    aggregator: str | None = None,
    segment_frames: int | None = None,
    random_weights: bool = False,
    crops: int = 1,
    size: int | None = None,
    batch_size: int | None = None,
    precision: str = "fp32",
    fast: str | None = None,
    calibrate: str | None = None,
    device: str = "cpu",
    timeline: str | None = None,
    attention: str | None = None,
    report: str | None = None,
    stream: bool = False,
    idle: float | None = None,
    json: bool = False,
) -> None:
    """Recognize what happens in a video.

    Args:
        video: path of a video file; with --stream also of a pipe, or - for standard input.
        method: dense, uniform, random, packets, motion (default), scsampler or cascade; of a FASTER
            model faster (its default), faster16 or faster32; of a backbone with a memory between
            its clips memory (its default), of one with a compression inside sfc (its default).
        model: a backbone with published weights, NAME@ID for others of them (see 'vidskim models'),
            the path of a checkpoint, hf:<id or folder>, or 'demo'.
        k: clips to look at closely (default: 10, or as the FASTER model says).
        sampler: checkpoints of saliency networks, one per source, with commas between (default:
            the demo's).
        combine: of sight and sound: convex_score, convex_list, intersect_list, union_list or joint.
        visual_k: clips that union_list takes by sight (default: 8 of 10).
        alpha: weight of sound in the convex combinations.
        residuals: residual frames per clip that are looked at, 0 for all (default: as trained).
        clip_stride: look at every so-manieth clip only.
        candidates: clips that packet sizes keep in method cascade (default: 3 k).
        pattern: which encoder of a FASTER model sees which clip: 1:7, all, none, first or letters
            such as ECCEC (default: as trained).
        route: send the expensive encoder to the clips that packets, motion or scsampler find most
            salient, as often as the pattern has it.
        cheap: a second, cheap encoder: a name or a file.
        context: memory relates the clips of a video, none leaves the file's out.
        compress: stage after which the first encoder compresses over time, such as res3; none
            leaves the file's out.
        join: clips that make one input of the first encoder: a number, or all.
        aggregator: average, fast_gru, gru, lstm, concat or trained_average (default: the file's).
        segment_frames: of a model with a compression inside: length of the segments that are
            joined, before the stride (default: as trained, or a clip of its backbone).
        random_weights: run the backbone untrained, to measure cost and speed only.
        crops: crops of each clip, 1 in the center or 3 along its longer side.
        size: test on crops of so many pixels instead of the trained size (fully convolutional).
        batch_size: views per forward pass (default: 4, or one clip where encoders take turns); with
            1 the last digits are those of --stream too.
        precision: of the networks: fp32, bf16, or auto for the faster one as measured here.
        fast: run the classifier by OpenVINO in bf16 or int8 (extra 'fast'); what that costs in
            accuracy is measured and printed.
        calibrate: manifest or folder whose videos int8 is calibrated on (default: those at hand).
        device: where the networks run, for example 'cuda'.
        timeline: write a picture of the saliency and the chosen moments to this PNG.
        attention: of method sfc or an SFC model: write a picture of the steps that were kept of the
            video, what they attend to over time, and the frames of these moments, to this PNG.
        report: write a page with all that is known of the answer to this HTML file.
        stream: answer after every clip, from a file that still grows or from a pipe.
        idle: with --stream, seconds after which a file that has not grown is finished (default:
            10); a pipe says itself when it ends.
        json: print one JSON object, with --stream one per clip and line.
    """
    settings = dict(locals())
    if stream:
        refuse(
            {
                "--method": method not in (None, "dense"),
                "--k": k is not None,
                "--sampler": sampler is not None,
                "--combine": combine is not None,
                "--visual-k": visual_k is not None,
                "--alpha": alpha != 0.5,
                "--residuals": residuals is not None,
                "--clip-stride": clip_stride != 1,
                "--candidates": candidates is not None,
                "--route": route is not None,
                "--batch-size": batch_size is not None,
                "--fast": fast is not None,
                "--calibrate": calibrate is not None,
                "--timeline": timeline is not None,
                "--attention": attention is not None,
                "--report": report is not None,
            },
            reason="cannot go with --stream, which answers before the whole video is known",
        )
        answer_live(
            video,
            model=model,
            pattern=pattern,
            cheap=cheap,
            context=context,
            compress=compress,
            join=join,
            aggregator=aggregator,
            segment_frames=segment_frames,
            random_weights=random_weights,
            num_crops=crops,
            size=size,
            precision=precision,
            device=device,
            idle_seconds=10.0 if idle is None else idle,
            as_json=json,
        )
        return
    refuse({"--idle": idle is not None, "VIDEO -": video == "-"}, reason="goes with --stream")
    from vidskim import api
    from vidskim.show import text

    console.check_output(timeline, option="--timeline", suffixes=(".png",))
    console.check_output(attention, option="--attention", suffixes=(".png",))
    console.check_output(report, option="--report", suffixes=(".html", ".htm"))
    asked: dict[str, Any] = {
        "method": method,
        "k": k,
        "sampler": sampler,
        "options": sampler_options(combine, visual_k, alpha, residuals, clip_stride, candidates),
        "pattern": pattern,
        "route": route,
        "cheap": cheap,
        "context": context,
        "compress": compress,
        "join": join,
        "aggregator": aggregator,
        "segment_frames": segment_frames,
        "random_weights": random_weights,
        "num_crops": crops,
        "size": size,
        "batch_size": batch_size,
        "precision": precision,
        "fast": fast,
        "calibrate": None if calibrate is None else paths_of(calibrate),
        "device": device,
    }
    if attention is None:
        prediction = api.recognize(video, model=model, **asked)
    else:
        recognizer = api.recognizer_for(video, model=model, has_attention=True, **asked)
        prediction = recognizer(video)
    if timeline is not None:
        from vidskim.show.storyboard import save_timeline

        save_timeline(prediction, timeline)
    if attention is not None:
        from vidskim.show.attention import save_attention

        save_attention(prediction, attention)
    if report is not None:
        from vidskim.show.page import save_report

        save_report(prediction, report, command=typed(recognize, settings))
    canvas = console.canvas()
    console.show(prediction.to_json() if json else text.prediction(prediction, canvas=canvas))
    console.warn(() if json else prediction.warnings)

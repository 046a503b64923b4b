"""The verb `evaluate`: methods side by side, or the studies of a paper."""

from vidskim.cli import console
from vidskim.cli.words import paths_of, refuse, sampler_options, words_of


def evaluate(
    data: str,
    methods: str = "dense,uniform,random,packets,motion",
    model: str = "demo",
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
    split: str | None = None,
    moments: str | None = None,
    limit: int | None = None,
    out: str | None = None,
    crops: int = 1,
    size: int | None = None,
    precision: str = "fp32",
    fast: str | None = None,
    calibrate: str | None = None,
    device: str = "cpu",
    study: str | None = None,
    samplers: str | None = None,
    timed: int = 3,
    cache: str | None = None,
    json: bool = False,
) -> None:
    """Compare methods on the videos of a manifest: accuracy, cost, time.

    Args:
        data: manifest (CSV), or a folder with one folder per class.
        methods: names with commas between: dense, uniform, random, packets, motion, scsampler,
            cascade, oracle, and as the model has the parts faster, faster16, faster32, memory and
            sfc. Behind any name go options with slashes: a pattern, a route, an aggregator, a
            number of clips, alone (no memory, no compression), or key=value (faster/1:3,
            faster/all/average, memory/alone, sfc/8, motion/join=2).
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
        pattern: which encoder takes which run of clips, of all methods.
        route: what sends the expensive encoder, of all methods.
        cheap: a second, cheap encoder: a file.
        context: memory relates the clips of a video, none leaves the file's out.
        compress: none leaves the file's compression out.
        join: clips that make one input of the first encoder: a number, or all.
        aggregator: average, or the file's.
        split: only the rows of this split.
        moments: manifest with one row per moment in which the class shows, for precision at k.
        limit: only the first so many videos.
        out: folder for results.csv, results.md, results.json, videos.csv and the figure.
        crops: crops of each clip, 1 in the center or 3 along its longer side; not of whole frames.
        size: test on crops of so many pixels instead of the trained size (fully convolutional).
        precision: of the networks: fp32, bf16, or auto for the faster one as measured here.
        fast: run the classifier by OpenVINO in bf16 or int8 (extra 'fast'); what that costs in
            accuracy is measured and printed.
        calibrate: manifest or folder whose videos int8 is calibrated on (default: those at hand).
        device: where the networks run.
        study: instead, studies of SCSampler, with commas between, or 'all': classifiers, transfer,
            features, objectives, combinations, audio, positions, thumbnails, k, visual_k, runtime,
            stride, cascade; --model may then name several classifiers with commas between.
        samplers: for studies: checkpoints of saliency networks, or folders of them.
        timed: for studies: videos on which run time is measured, 0 for none.
        cache: for studies: folder of answers and scores (default: 'cache' in --out).
        json: print one JSON object.
    """
    if study is not None:
        from vidskim.evaluate.studies.run import run_studies

        refuse(
            {
                "--methods": methods != "dense,uniform,random,packets,motion",
                "--sampler": sampler is not None,
                "--clip-stride": clip_stride != 1,
                "--candidates": candidates is not None,
                "--pattern": pattern is not None,
                "--route": route is not None,
                "--cheap": cheap is not None,
                "--context": context is not None,
                "--compress": compress is not None,
                "--join": join is not None,
                "--aggregator": aggregator is not None,
                "--crops": crops != 1,
                "--size": size is not None,
                "--fast": fast is not None,
                "--calibrate": calibrate is not None,
            },
            reason="goes without --study",
        )
        studied = run_studies(
            data,
            studies=words_of(study),
            models=words_of(model),
            samplers=samplers,
            options=sampler_options(combine, visual_k, alpha, residuals, 1, None),
            out=out,
            moments=moments,
            split=split,
            limit=limit,
            k=10 if k is None else k,
            timed=timed,
            cache=cache,
            precision=precision,
            device=device,
        )
        console.show(studied.to_json() if json else studied.to_text())
        return
    refuse(
        {"--samplers": samplers is not None, "--timed": timed != 3, "--cache": cache is not None},
        reason="goes with --study",
    )
    from vidskim.evaluate.run import evaluate_manifest

    report = evaluate_manifest(
        data,
        methods=tuple(m.strip() for m in methods.split(",") if m.strip()),
        model=model,
        k=k,
        sampler=sampler,
        options=sampler_options(combine, visual_k, alpha, residuals, clip_stride, candidates),
        pattern=pattern,
        route=route,
        cheap=cheap,
        context=context,
        compress=compress,
        join=join,
        aggregator=aggregator,
        split=split,
        moments=moments,
        limit=limit,
        out=out,
        num_crops=crops,
        size=size,
        precision=precision,
        fast=fast,
        calibrate=None if calibrate is None else paths_of(calibrate),
        device=device,
    )
    console.show(report.to_json() if json else report.to_text())

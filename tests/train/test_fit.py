"""The loop: a run that is stopped or killed ends exactly like one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from vidskim.cli import main
from vidskim.errors import CheckpointError, UsageError, VidskimError
from vidskim.io.write import files
from vidskim.train.loop import FitPlan, fit, make_fabric, random_seed
from vidskim.train.optim import RateSchedule, make_optimizer
from vidskim.train.run import Run
from vidskim.train.tasks.clips import train_clips
from vidskim.train.tasks.saliency import train_saliency


def train_line(
    folder, *, steps=50, stop_after=None, batch_of=None, optimizer="adamw", rate=0.1, **plan
):
    """Fit a line, resuming what lies in ``folder``; return whether it is done and the model."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)

    def numbered(step):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(8, 3, generator=generator)
        return x, (x.sum(1) > 0).long()

    folder.mkdir(exist_ok=True)
    complete = fit(
        model,
        make_optimizer(model, name=optimizer, learning_rate=0.1, weight_decay=0.01),
        batch_of=batch_of or numbered,
        loss_of=nn.CrossEntropyLoss(),
        plan=FitPlan(RateSchedule(rate, steps, 5), **plan),
        run=Run(folder),
        fabric=make_fabric("32-true"),
        stop_after=stop_after,
    )
    return complete, model


def log_of(folder):
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for record in records:
        assert record.pop("seconds_per_step") >= 0
    return records


def test_one_step_is_the_optimizer_s(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    target = (x.sum(1) > 0).long()
    loss = nn.functional.cross_entropy(model(x), target)
    gradient, *_ = torch.autograd.grad(loss, [model.weight])
    # Nesterov's first step: velocity g, then g + 0.9 g; the warm-up's first rate is 0.1 / 5.
    decayed = gradient + 0.01 * model.weight
    expected = model.weight - 0.02 * 1.9 * decayed
    _, trained = train_line(tmp_path, steps=6, stop_after=1, optimizer="sgd")
    assert torch.allclose(trained.weight, expected, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stops", [(7,), (20,), (3, 4, 31, 49)])
def test_a_stopped_run_ends_like_an_unbroken_one(tmp_path, optimizer, stops):
    done, whole = train_line(tmp_path / "whole", optimizer=optimizer)
    assert done
    for stop in stops:
        done, _ = train_line(tmp_path / "parts", stop_after=stop, optimizer=optimizer)
        assert not done
    done, parts = train_line(tmp_path / "parts", optimizer=optimizer)
    assert done
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters()))
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")
    assert [r["step"] for r in log_of(tmp_path / "whole")] == [20, 40, 50]


def test_the_log_holds_the_mean_loss_of_its_steps(tmp_path):
    train_line(tmp_path / "a", log_every=1)
    train_line(tmp_path / "b", log_every=10)
    single = [r["loss"] for r in log_of(tmp_path / "a")]
    means = [sum(single[n : n + 10]) / 10 for n in range(0, 50, 10)]
    assert [r["loss"] for r in log_of(tmp_path / "b")] == pytest.approx(means, abs=2e-6)
    assert single[-1] < single[0] / 2
    rates = [r["learning_rate"] for r in log_of(tmp_path / "a")]
    assert rates == [RateSchedule(0.1, 50, 5)(step) for step in range(50)]


def test_a_kill_before_the_first_state_leaves_no_double_lines(tmp_path):
    tmp_path.joinpath("log.jsonl").write_text('{"step": 20, "loss": 1}\n{"step": 30, "lo')
    train_line(tmp_path)
    assert [r["step"] for r in log_of(tmp_path)] == [20, 40, 50]


def test_a_state_at_the_last_step_is_not_trained_further(tmp_path):
    _, first = train_line(tmp_path)
    done, again = train_line(tmp_path, batch_of=lambda step: pytest.fail(f"step {step}"))
    assert done
    assert torch.equal(first.weight, again.weight)


def test_a_loss_that_is_no_number_stops_with_a_remedy(tmp_path):
    def broken(step):
        x = torch.ones(2, 3) * (float("nan") if step == 12 else 1.0)
        return x, torch.tensor([0, 1])

    with pytest.raises(VidskimError, match=r"the loss is nan at step 12; .*lower learning_rate"):
        train_line(tmp_path, batch_of=broken, save_every=5)
    assert Run(tmp_path).load_state()["step"] == 10  # the last sound state is kept
    with pytest.raises(VidskimError, match="the state after step 9 is kept there"):
        train_line(tmp_path, batch_of=broken, save_every=5)


def test_processes_draw_masks_of_their_own():
    """The first draws what a single process does; seeds differ where torch looks at them."""

    def masks(place, steps=range(40)):
        drawn = []
        for step in steps:
            torch.manual_seed(random_seed(step, place=place))
            drawn.append(tuple((torch.rand(32) < 0.5).tolist()))
        return drawn

    assert [random_seed(step, place=0) for step in range(40)] == list(range(40))
    everything = [mask for place in range(5) for mask in masks(place)]
    assert len(set(everything)) == 5 * 40
    assert masks(3) == masks(3)  # a run that goes on draws the same


def test_the_loop_seeds_by_step_and_process(tmp_path, monkeypatch):
    asked = []

    def seed(step, *, place):
        asked.append((step, place))
        return step

    monkeypatch.setattr("vidskim.train.loop.random_seed", seed)
    train_line(tmp_path, stop_after=3)
    assert asked == [(0, 0), (1, 0), (2, 0)]


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    """The last loss is a number still, what its step makes of the weights is none."""

    def steep(step):
        return torch.full((2, 3), 1e3), torch.tensor([0, 1])  # one of them is wrong

    told = "the weights are no numbers after step 0; .*longer warm-up"
    with pytest.raises(VidskimError, match=told) as error:
        train_line(tmp_path, batch_of=steep, rate=1e39, optimizer="sgd", save_every=1)
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert "is kept" not in str(error.value)
    assert Run(tmp_path).load_state() is None


def test_a_state_of_weights_that_are_no_numbers_is_refused(tmp_path):
    train_line(tmp_path, stop_after=3)
    state = Run(tmp_path).load_state()
    state["model"]["bias"][1] = float("inf")
    Run(tmp_path).save_state(state)
    with pytest.raises(CheckpointError, match=r"state\.pt: holds weights that are no numbers; rem"):
        train_line(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04 torn"])
def test_a_damaged_state(tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged training state .*; remove it"):
        train_line(tmp_path)


def test_a_state_of_another_network(tmp_path):
    other = nn.Linear(5, 2)
    Run(tmp_path).save_state({"model": other.state_dict(), "optimizer": {}, "step": 3})
    with pytest.raises(CheckpointError, match="another network or version"):
        train_line(tmp_path)
    Run(tmp_path).save_state({"model": nn.Linear(3, 2).state_dict(), "step": 3})
    with pytest.raises(CheckpointError, match="'optimizer'"):
        train_line(tmp_path)


def test_a_state_with_code_in_it_is_not_run(tmp_path):
    torch.save({"step": 1, "model": os.system}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="damaged"):
        Run(tmp_path).load_state()


def test_a_run_s_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another out folder"):
        Run(tmp_path / "file" / "run").begin({"a": 1})


def equal_networks(a, b):
    one, other = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one)


def test_a_stopped_clip_training_ends_bit_for_bit_alike(clip_recipe, tmp_path):
    whole = train_clips(clip_recipe(tmp_path / "a"))
    assert train_clips(clip_recipe(tmp_path / "b"), stop_after=3) == {}
    assert (tmp_path / "b" / "state.pt").exists()
    assert train_clips(clip_recipe(tmp_path / "b")) == whole
    assert equal_networks(tmp_path / "a", tmp_path / "b")


def test_a_stopped_saliency_training_ends_bit_for_bit_alike(saliency_recipe, tmp_path):
    whole = train_saliency(saliency_recipe(tmp_path / "a"))
    assert train_saliency(saliency_recipe(tmp_path / "b"), stop_after=13) == {}
    assert train_saliency(saliency_recipe(tmp_path / "b")) == whole
    assert equal_networks(tmp_path / "a", tmp_path / "b")


def test_a_killed_command_ends_bit_for_bit_like_an_unbroken_run(clip_recipe, tmp_path, capsys):
    whole = train_clips(clip_recipe(tmp_path / "a", steps=45, save_every=3))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(asdict(clip_recipe(tmp_path / "b", steps=45, save_every=3))))
    process = subprocess.Popen(
        [sys.executable, "-m", "vidskim", "train", str(path)],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    state = tmp_path / "b" / "state.pt"
    deadline = time.monotonic() + 60
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < Run(tmp_path / "b").load_state()["step"] < 45
    assert not (tmp_path / "b" / "model.safetensors").exists()
    capsys.readouterr()
    assert main(["train", str(path)]) == 0
    assert f'"test_accuracy": {whole["test_accuracy"]}' in capsys.readouterr().out
    assert equal_networks(tmp_path / "a", tmp_path / "b")
    assert log_of(tmp_path / "b") == log_of(tmp_path / "a")
    assert [record["step"] for record in log_of(tmp_path / "b")] == [20, 40, 45]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("size", [1, 1_000_000])  # what fails is the flush, or torch's own write
def test_a_full_disk_is_one_clear_error_and_leaves_the_last_state(tmp_path, monkeypatch, size):
    run = Run(tmp_path)
    run.save_state({"weights": torch.ones(3)})
    (tmp_path / "state.part").symlink_to("/dev/full")
    monkeypatch.setattr(files, "_part", lambda path: path.with_suffix(".part"))
    with pytest.raises(UsageError, match=r"No space left on device.*make room"):
        run.save_state({"weights": torch.zeros(size)})
    assert os.listdir(tmp_path) == ["state.pt"]
    assert torch.equal(run.load_state()["weights"], torch.ones(3))

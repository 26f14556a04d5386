"""The search for a picture: it falls, it repeats, it ends in time, and it never ends without a picture."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import reference
import torch
from PIL import Image
from torch import Tensor

from stylenet.commands.cli import main
from stylenet.devices import free_memory, pick_device, pick_precision
from stylenet.durations import parse_seconds
from stylenet.errors import InputError, Interrupted
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import INPUT_SPACES, VGG
from stylenet.optimization import engine as optimize_module
from stylenet.optimization import planning
from stylenet.optimization.descent import Descent
from stylenet.optimization.engine import Iterate, Result, optimize_pixels
from stylenet.optimization.planning import Clock, plan_scales, short_of_memory, style_dimensions
from stylenet.optimization.settings import OptimizeSettings
from stylenet.optimization.variables import Pixels, Spectrum

LAYERS = {"relu1_1": 0.5, "relu2_1": 0.5}
LOSS = LossSettings(vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers=LAYERS)
HERE = OptimizeSettings(device="cpu", precision="32", steps=8, plateau=0.0)
CONTENT, STYLE = reference.photo("chelsea", 32, 48), reference.photo("coffee", 40, 36)


@pytest.fixture(scope="module")
def network() -> VGG:
    return VGG(["relu1_1", "relu2_1", "relu2_2"])


@pytest.fixture(scope="module")
def deep() -> VGG:
    loss = LossSettings()
    return VGG([*loss.content_layers, *loss.style_layers])


@pytest.fixture
def search(network: VGG) -> Callable[..., Result]:
    """optimize() of small pictures on a small network, with settings changed by keyword."""

    def run(loss: LossSettings = LOSS, content: Tensor = CONTENT, **options: object) -> Result:
        settings = {name: options.pop(name) for name in list(options) if name in OptimizeSettings.__dataclass_fields__}
        init = settings.pop("init", "content")
        if isinstance(init, Tensor):
            options["init"] = init
        else:
            settings["init"] = init
        return optimize_pixels(content, [STYLE], loss, replace(HERE, **settings), **{"vgg": network, **options})

    return run


def watched(search: Callable[..., Result], **options: object) -> tuple[Result, list[Iterate]]:
    seen: list[Iterate] = []
    return search(observe=seen.append, **options), seen


# --- it falls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"variables": "pixels"},
        {"variables": "input_space"},
        {"variables": "spectrum"},
        {"line_search": True},
        {"clamp": False},
        {"clamp": True, "variables": "spectrum", "init": "uniform"},
        {"optimizer": "adam", "learning_rate": 0.02, "variables": "pixels"},
        {"optimizer": "adam", "learning_rate": 2.0, "variables": "input_space"},
        {"optimizer": "adam", "learning_rate": 1.0, "variables": "spectrum"},
        {"init": "uniform"},
        {"init": "normal"},
        {"init": "style"},
        {"init": reference.photo("rocket", 20, 20)},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_objective_falls(search: Callable[..., Result], deep: VGG, options: dict[str, object]) -> None:
    result, seen = watched(search, loss=LossSettings(), vgg=deep, steps=20, **options)
    assert [iterate.step for iterate in seen] == list(range(1, 21))
    assert result.objective < 0.9 * seen[0].objective
    assert result.stopped == "steps"
    assert result.steps == 20
    assert result.picture.shape == CONTENT.shape
    assert 0 <= result.picture.min() < result.picture.max() <= 1


def test_objective_is_of_the_picture(search: Callable[..., Result], network: VGG) -> None:
    """What is reported is the loss of the picture that is returned, and of what observers see."""
    result, seen = watched(search, clamp=True)
    loss = PerceptualLoss(LOSS, network)
    targets = loss.targets(CONTENT, [resized_style()])
    losses = loss(result.picture, targets)
    assert result.objective == pytest.approx(float(losses.total), rel=1e-3)
    assert result.parts == pytest.approx({name: float(value) for name, value in losses.parts.items()}, rel=1e-3)
    assert seen[0].objective == pytest.approx(float(loss(CONTENT, targets).total), rel=1e-3)
    assert seen[0].parts["content/relu2_2"] == pytest.approx(0, abs=1e-6)


def resized_style() -> Tensor:
    """The style with as many pixels as the result, or its own: it is not enlarged."""
    scale = min(math.sqrt(32 * 48 / (40 * 36)), 1)
    assert scale == 1
    return STYLE


@pytest.mark.parametrize("variables", ["pixels", "input_space", "spectrum"])
def test_clamp_keeps_pixels_in_range(search: Callable[..., Result], variables: str) -> None:
    ranges = {False: [], True: []}

    class Spy(Descent):
        def step(self) -> object:
            losses = super().step()
            with torch.no_grad():
                picture = self.variables()
            ranges[self.settings.clamp].append(float((picture - picture.clamp(0, 1)).abs().max()))
            return losses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize_module, "Descent", Spy)
        for clamp in (False, True):
            search(clamp=clamp, variables=variables, init="uniform")
    assert max(ranges[False]) > 1e-3
    assert max(ranges[True]) < 1e-5


@pytest.mark.parametrize("init", ["uniform", "normal"])
def test_seed(search: Callable[..., Result], init: str) -> None:
    first, again, other = (search(init=init, seed=seed, steps=3).picture for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.1


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("content", CONTENT),
        (CONTENT.flip(3), CONTENT.flip(3)),
        ("uniform", None),
        ("normal", None),
        ("style", None),
    ],
)
def test_first_picture(search: Callable[..., Result], init: object, expected: Tensor | None) -> None:
    picture = search(init=init, steps=0, init_std=0.05).picture
    mean = picture.mean(dim=(0, 2, 3))
    if expected is not None:
        assert torch.allclose(picture, expected, atol=1e-5)
    elif init == "uniform":
        assert mean.tolist() == pytest.approx([0.5] * 3, abs=0.03)
        assert float(picture.std()) == pytest.approx(math.sqrt(1 / 12), abs=0.01)
    elif init == "normal":
        assert mean.tolist() == pytest.approx([123.68 / 255, 116.779 / 255, 103.939 / 255], abs=0.01)
        assert float((picture - mean.view(1, 3, 1, 1)).std()) == pytest.approx(0.05, abs=0.003)
    else:
        assert mean.tolist() == pytest.approx(STYLE.mean(dim=(0, 2, 3)).tolist(), abs=0.01)


@pytest.mark.parametrize("init", ["nonsense", "photo.jpg"])
def test_unknown_init(search: Callable[..., Result], init: str) -> None:
    with pytest.raises(InputError, match=f"init is '{init}'"):
        search(init=init)


def test_no_style() -> None:
    with pytest.raises(InputError, match="no style picture"):
        optimize_pixels(CONTENT, [], LOSS, HERE)


def test_content_alone(network: VGG) -> None:
    result = optimize_pixels(CONTENT, [], replace(LOSS, style_layers={}), replace(HERE, init="uniform", steps=40), vgg=network)
    assert list(result.parts) == ["content/relu2_2"]
    start = optimize_pixels(CONTENT, [], replace(LOSS, style_layers={}), replace(HERE, init="uniform", steps=0), vgg=network)
    assert (result.picture - CONTENT).square().mean() < 0.5 * (start.picture - CONTENT).square().mean()


def test_too_small_for_a_layer() -> None:
    with pytest.raises(InputError, match="too small for layer relu5_1"):
        optimize_pixels(CONTENT[..., :12, :], [STYLE], LossSettings(vgg_weights="random"), HERE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"history": 0}, "history is 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"scales": 0}, "scales is 0"),
        ({"size": "big"}, "size 'big'"),
        ({"style_size": "0"}, "size '0' is empty"),
        ({"budget": "soon"}, "budget 'soon'"),
        ({"budget": 0}, "budget 0"),
        ({"budget": "1e400"}, "budget '1e400'"),
        ({"budget": "1e308h"}, "budget '1e308h'"),
        ({"budget": "9" * 400}, "budget '9{40}' is not understood"),
    ],
)
def test_impossible_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(HERE, **changes)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        (90, 90),
        ("90", 90),
        ("90s", 90),
        (" 5m ", 300),
        ("1.5h", 5400),
        (2.5, 2.5),
        (".5s", 0.5),
        (5e-07, 5e-07),
        ("1e2s", 100),
    ],
)
def test_budget_words(text: str | float | None, seconds: float | None) -> None:
    assert parse_seconds(text) == seconds


# --- variables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [Pixels, lambda p: Pixels(p, INPUT_SPACES["caffe"]), Spectrum], ids=["pixels", "space", "spectrum"]
)
@pytest.mark.parametrize("shape", [(32, 48), (33, 47), (5, 8)])
def test_variables_start_at_the_picture(make: Callable[[Tensor], Pixels | Spectrum], shape: tuple[int, int]) -> None:
    picture = torch.rand(1, 3, *shape)
    variables = make(picture)
    assert torch.allclose(variables(), picture, atol=1e-6)
    with torch.no_grad():
        variables.values.add_(torch.randn_like(variables.values) * 500)
    wild = variables().detach()
    assert wild.max() > 1.01
    variables.clamp()
    assert torch.allclose(variables(), wild.clamp(0, 1), atol=1e-4)


def test_spectrum_is_numpys() -> None:
    """The change is the values' spectrum times 1 / sqrt(1 + (f / 0.05)²), 1 at the highest frequency, in bytes."""
    picture, values = torch.rand(1, 3, 9, 12), torch.randn(1, 3, 9, 12)
    variables = Spectrum(picture)
    variables.values.data.copy_(values)
    squares = np.fft.fftfreq(9)[:, None] ** 2 + np.fft.rfftfreq(12)[None] ** 2
    gain = 1 / np.sqrt(1 + squares / 0.05**2)
    change = np.fft.irfft2(np.fft.rfft2(values.double().numpy()) * gain / gain.min(), s=(9, 12))
    np.testing.assert_allclose(variables().detach().numpy(), picture.numpy() + change / 255, atol=1e-5)


# --- scales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "scales", "plan"),
    [
        (192, 150, "auto", [(192, 150)]),
        (193, 150, "auto", [(96, 75), (193, 150)]),
        (384, 300, "auto", [(192, 150), (384, 300)]),
        (512, 512, "auto", [(128, 128), (256, 256), (512, 512)]),
        (1000, 800, "auto", [(125, 100), (250, 200), (500, 400), (1000, 800)]),
        (1024, 40, "auto", [(1024, 40)]),
        (1024, 140, "auto", [(512, 70), (1024, 140)]),
        (512, 512, 1, [(512, 512)]),
        (256, 128, 2, [(128, 64), (256, 128)]),
        (256, 126, 2, [(256, 126)]),
        (20, 10, 5, [(20, 10)]),
        (1, 1, "auto", [(1, 1)]),
    ],
)
def test_plan_scales(height: int, width: int, scales: str | int, plan: list[tuple[int, int]]) -> None:
    assert plan_scales(height, width, scales) == plan


def test_steps_of_a_panorama(network: VGG) -> None:
    """Its coarsest scale is left out, and with it the first number of the list."""
    seen: list[tuple[int, int]] = []
    settings = OptimizeSettings(device="cpu", precision="32", steps=[3, 2, 1], scales=3, plateau=0.0)
    note = lambda iterate: seen.append((iterate.width, iterate.steps))  # noqa: E731
    optimize_pixels(torch.rand(1, 3, 128, 320), [STYLE], LOSS, settings, vgg=network, observe=note)
    assert seen == [(160, 2), (160, 2), (320, 1)]


@pytest.mark.parametrize(
    ("rule", "upscale", "expected"),
    [
        ("same", False, (100, 200)),
        ("area", False, (200, 100)),
        ("area", True, (200, 100)),
        ("50", False, (50, 25)),
        (50, False, (50, 25)),
        ("30x20", False, (20, 30)),
        ("full", False, (400, 200)),
    ],
)
def test_style_dimensions(rule: str | int, upscale: bool, expected: tuple[int, int]) -> None:
    assert style_dimensions(rule, (100, 200), (400, 200), upscale) == expected


@pytest.mark.parametrize(("upscale", "expected"), [(False, (40, 20)), (True, (200, 100))])
def test_small_style_is_enlarged_only_if_asked(upscale: bool, expected: tuple[int, int]) -> None:
    assert style_dimensions("area", (100, 200), (40, 20), upscale) == expected


LARGE = reference.photo("astronaut", 264, 260)


@pytest.mark.parametrize("options", [{"steps": 2}, {"steps": 2, "optimizer": "adam", "learning_rate": 1.0}])
def test_scales_run_from_coarse_to_fine(search: Callable[..., Result], options: dict[str, object]) -> None:
    sizes = []
    result, seen = watched(search, content=LARGE, scales=3, **options)
    for iterate in seen:
        sizes.append((iterate.scale, iterate.scales, iterate.step, iterate.width, iterate.height))
    assert sizes == [
        *((1, 3, step, 65, 66) for step in (1, 2)),
        *((2, 3, step, 130, 132) for step in (1, 2)),
        *((3, 3, step, 260, 264) for step in (1, 2)),
    ]
    assert result.steps == 6
    assert result.picture.shape == LARGE.shape


def test_finer_scale_starts_better_than_the_photo(search: Callable[..., Result]) -> None:
    """What the coarse scale found is not lost on the way to the fine one."""
    content = LARGE[..., :128, :128].contiguous()
    _, seen = watched(search, content=content, scales=2, steps=10, optimizer="adam", variables="pixels", learning_rate=0.02)
    _, alone = watched(search, content=content, scales=1, steps=1)
    assert seen[10].scale == 2
    assert seen[10].objective < 0.9 * alone[0].objective


@pytest.mark.parametrize("scales", [2, 3])
def test_detail_of_the_photo_comes_back(search: Callable[..., Result], scales: int) -> None:
    """With no step at any scale the photo comes out as it went in, not blurred."""
    assert torch.allclose(search(content=LARGE, scales=scales, steps=0).picture, LARGE, atol=1e-3)


def test_adam_state_is_carried(network: VGG) -> None:
    """At twice the size the moments are enlarged, and scaled as the gradient of a mean over pixels is."""
    loss = PerceptualLoss(LOSS, network)
    settings = replace(HERE, optimizer="adam", variables="pixels", learning_rate=0.01)
    small, large = reference.photo("chelsea", 16, 24), reference.photo("chelsea", 32, 48)
    first = Descent(loss, loss.targets(small, [STYLE]), small, settings, torch.contiguous_format)
    for _ in range(3):
        first.step()
    state = first.state()
    second = Descent(loss, loss.targets(large, [STYLE]), large, settings, torch.contiguous_format, state)
    carried = second.state()
    assert float(carried["step"]) == 3
    for name, factor in (("exp_avg", 1 / 4), ("exp_avg_sq", 1 / 16)):
        assert carried[name].shape == large.shape
        assert float(carried[name].mean()) == pytest.approx(factor * float(state[name].mean()), rel=0.05)
    second.step()
    assert float(second.state()["step"]) == 4


@pytest.mark.parametrize(("variables", "rate", "moved"), [("spectrum", 1, 0.5), ("spectrum", 0.5, 0.25), ("pixels", 1, None)])
def test_first_step_of_lbfgs(network: VGG, variables: str, rate: float, moved: float | None) -> None:
    """Half a byte a value, on average, in a spectrum; torch's own of 1 in all for pixels, which recipes of others have."""
    loss = PerceptualLoss(LOSS, network)
    settings = replace(HERE, variables=variables, learning_rate=rate, clamp=False)
    descent = Descent(loss, loss.targets(CONTENT, [STYLE]), CONTENT, settings, torch.contiguous_format)
    before = descent.variables.values.detach().clone()
    descent.step()
    first = descent.variables.values.detach() - before
    assert float(first.abs().sum()) == pytest.approx(1 if moved is None else moved * first.numel(), rel=1e-2)
    descent.step()
    assert descent.optimizer.param_groups[0]["lr"] == rate


def test_lbfgs_carries_nothing(network: VGG) -> None:
    loss = PerceptualLoss(LOSS, network)
    descent = Descent(loss, loss.targets(CONTENT, [STYLE]), CONTENT, HERE, torch.contiguous_format)
    descent.step()
    assert descent.state() == {}


# --- it ends ----------------------------------------------------------------------------------------------------------


def test_plateau(search: Callable[..., Result]) -> None:
    result, seen = watched(search, plateau=0.9, steps=60)
    assert result.stopped == "plateau"
    assert 11 <= len(seen) < 60
    values = [iterate.objective for iterate in seen]
    assert min(values[-10:]) > 0.1 * min(values[:-10])


@pytest.mark.parametrize(
    ("objectives", "flat"),
    [
        ([10.0] * 10, False),
        ([10.0] * 11, True),
        ([10.0 * 0.9**i for i in range(30)], False),
        ([10.0 * 0.999**i for i in range(30)], True),
        ([*(10.0 * 0.9**i for i in range(20)), 1e6], False),
        ([*(10.0 * 0.9**i for i in range(10)), 1e6, *(10.0 * 0.9**i for i in range(10, 19))], False),
    ],
    ids=["too few", "flat", "falling", "hardly falling", "overshooting", "overshot"],
)
def test_plateau_rule(objectives: list[float], flat: bool) -> None:
    assert optimize_module._flat(objectives, 0.02) is flat
    assert optimize_module._flat(objectives, 0.0) is False


def test_overshooting_step_is_not_the_result(search: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    class Clumsy(Descent):
        def step(self) -> object:
            losses = super().step()
            if len(seen) == 9:
                self.variables.values.data.add_(3.0)
            return losses

    seen: list[Iterate] = []
    monkeypatch.setattr(optimize_module, "Descent", Clumsy)
    result = search(steps=10, optimizer="adam", learning_rate=0.01, variables="pixels", observe=seen.append)
    assert result.objective == min(iterate.objective for iterate in seen)
    assert result.picture.mean() < 0.9


def test_no_plateau(search: Callable[..., Result]) -> None:
    assert search(plateau=0.0, steps=14).stopped == "steps"


@pytest.mark.parametrize("scales", [1, 2])
def test_budget(scales: int, search: Callable[..., Result]) -> None:
    search(steps=1)  # torch imports its compiler for the first optimizer of a process, which can take all of the three seconds
    content, begun = reference.photo("astronaut", 128, 128), time.monotonic()
    settings = replace(HERE, steps=10**6, budget="3s", scales=scales)
    result, seen = watched(lambda **options: optimize_pixels(content, [STYLE], LOSS, settings, **options))
    assert time.monotonic() - begun < 4
    assert result.seconds > 1.5
    assert result.stopped == "budget"
    assert len(seen) == result.steps > 1
    assert all(iterate.remaining <= 3 for iterate in seen)
    assert result.picture.shape == content.shape


def test_finest_scale_that_cannot_be_had_is_left_out(search: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that runs a second a step, the fine scale would not get its handful of steps."""
    now = [0.0]
    monkeypatch.setattr(planning.time, "monotonic", lambda: now[0])

    class Slow(Descent):
        def step(self) -> object:
            now[0] += 1.0
            return super().step()

    monkeypatch.setattr(optimize_module, "Descent", Slow)
    result, seen = watched(search, content=LARGE[..., :140, :140].contiguous(), scales=2, budget=12, steps=50)
    assert {iterate.scale for iterate in seen} == {1}
    assert result.stopped == "budget"
    assert any("the budget ends before 140 x 140 pixels" in note for note in result.notes)
    assert result.picture.shape[2:] == (140, 140)
    assert now[0] <= 12


def test_budget_that_is_over_at_once(search: Callable[..., Result]) -> None:
    result = search(budget=1, started=time.monotonic() - 5)
    assert (result.stopped, result.steps) == ("budget", 0)
    assert torch.allclose(result.picture, CONTENT, atol=1e-5)


def test_clock_shares_by_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning.time, "monotonic", lambda: 100.0)
    timer = Clock([(50, 50), (100, 100)], steps=10, started=100.0, budget=100.0)
    assert timer.begin(0)
    assert timer.deadline == pytest.approx(100 + 99 / 5)
    timer.measured(5.0)
    assert not timer.expired()
    assert timer.begin(1)
    assert timer.deadline == pytest.approx(199)
    assert timer.remaining(3) == pytest.approx(3 * 20)
    timer.measured(200.0)
    assert timer.expired()


def test_clock_gives_a_scale_the_time_of_one_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(planning.time, "monotonic", lambda: now[0])
    timer = Clock([(50, 50), (100, 100)], steps=10, started=0.0, budget=20.0)
    timer.begin(0)
    timer.measured(2.0)  # so the fine scale takes 8 s a step
    now[0] = 16.0
    assert not timer.expired()
    now[0] = 17.0
    assert timer.expired()


def test_no_budget_never_expires() -> None:
    timer = Clock([(50, 50), (100, 100)], steps=10, started=0.0, budget=None)
    timer.measured(1e6)
    assert timer.begin(1)
    assert not timer.expired()


@pytest.mark.parametrize("scales", [1, 2])
def test_observer_ends_the_search(search: Callable[..., Result], scales: int) -> None:
    """By returning False; None, 0 and True go on."""
    answers = iter([None, 0, True, False, None])
    result = search(content=LARGE[..., :128, :128].contiguous(), scales=scales, observe=lambda _: next(answers))
    assert (result.stopped, result.steps) == ("observer", 4)
    assert result.picture.shape[2:] == (128, 128)


# --- it breaks off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [1, 2])
def test_interrupt(search: Callable[..., Result], scales: int) -> None:
    """Ctrl-C in the last scale leaves the picture so far, with its objective."""
    seen: list[Iterate] = []

    def observe(iterate: Iterate) -> None:
        seen.append(iterate)
        if iterate.scale == scales and iterate.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        search(content=LARGE[..., :128, :128].contiguous(), scales=scales, observe=observe)
    result = caught.value.result
    assert isinstance(caught.value, KeyboardInterrupt)  # a loop over pictures ends
    assert result.stopped == "interrupted"
    assert "picture so far" in result.message
    assert result.objective == pytest.approx(min(iterate.objective for iterate in seen if iterate.scale == scales))
    assert sum(result.parts.values()) == pytest.approx(result.objective, rel=1e-5)
    assert result.picture.shape[2:] == (128, 128)
    assert result.steps == len(seen)


def break_after(network: VGG, layer: str, evaluations: int) -> object:
    """Makes a layer's output NaN after so many looks that want a gradient."""
    count = [0]

    def hook(_module: object, _inputs: object, output: Tensor) -> Tensor:
        count[0] += torch.is_grad_enabled()
        return output * math.nan if count[0] > evaluations else output

    return network.convolutions[layer].register_forward_hook(hook)


@pytest.mark.parametrize(
    ("layer", "part", "looks"),
    [("conv1_1", "content/relu2_2", 0), ("conv2_2", "content/relu2_2", 3), ("conv1_1", "content/relu2_2", 5)],
)
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_nan(search: Callable[..., Result], network: VGG, layer: str, part: str, looks: int, optimizer: str) -> None:
    hook = break_after(network, layer, looks)
    try:
        result, seen = watched(search, optimizer=optimizer)
    finally:
        hook.remove()
    assert result.stopped == "broken"
    assert result.message.startswith(f"{part} is not finite")
    assert len(seen) == result.steps == looks
    assert torch.isfinite(result.picture).all()
    if looks:
        assert result.objective == pytest.approx(min(iterate.objective for iterate in seen))
    else:
        assert math.isnan(result.objective)
        assert torch.allclose(result.picture, CONTENT, atol=1e-5)


def test_nan_bias_names_the_style(search: Callable[..., Result], network: VGG) -> None:
    hook = break_after(network, "conv1_1", 2)
    try:
        result = search(loss=replace(LOSS, content_layers={}))
    finally:
        hook.remove()
    assert (result.stopped, result.message.split()[0]) == ("broken", "style/relu1_1")


def test_overflow(search: Callable[..., Result]) -> None:
    """A rate that shoots out of the floating-point numbers; observers still see a picture."""
    pictures = []
    options = {"optimizer": "adam", "variables": "pixels", "learning_rate": 1e30, "clamp": False}
    result = search(observe=lambda iterate: pictures.append(iterate.picture()), **options)
    assert result.stopped == "broken"
    assert "is not finite" in result.message
    assert torch.allclose(result.picture, CONTENT, atol=1e-5)
    assert pictures
    assert all(torch.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1 for picture in pictures)


def test_gradient_that_is_not_finite(search: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    class Root(Pixels):
        """Finite forward, infinite backward."""

        def forward(self) -> Tensor:
            values = super().forward()
            return values + (values * 0).sqrt()

    monkeypatch.setattr(Descent, "_make_variables", lambda _, picture: Root(picture))
    result = search()
    assert result.stopped == "broken"
    assert result.message.startswith("the gradient is not finite")


# --- the same through the command line ----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for name, picture in (("photo", CONTENT), ("style", STYLE)):
        Image.fromarray(reference.to_bytes(picture)).save(tmp_path / f"{name}.png")
    small = ["--vgg_weights", "random", "--content_layers", "{relu2_2: 1.0}", "--style_layers", "{relu2_1: 1.0}"]
    common = ["--output", str(tmp_path / "out.png"), "--device", "cpu", *small]
    return [str(tmp_path / "photo.png"), str(tmp_path / "style.png"), *common]


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nan_through_the_command_line(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = ["--optimizer", "adam", "--variables", "pixels", "--learning_rate", "1e30", "--clamp", "false"]
    assert main(["optimize", *files, *wild]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "is not finite" in message
    assert "out.png" in message
    assert contents(tmp_path) == ["out.png", "photo.png", "style.png"]
    written = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    assert np.abs(written - reference.to_bytes(CONTENT).astype(int)).max() <= 1


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c(files: list[str], tmp_path: Path) -> None:
    # Adam at a small rate runs for ever; L-BFGS may overshoot out of the finite numbers on a network of random weights.
    adam = ["--optimizer", "adam", "--variables", "pixels", "--learning_rate", "1e-4"]
    endless = ["--steps", "1000000", "--plateau", "0"]
    command = [sys.executable, "-m", "stylenet", "optimize", *files, *adam, *endless]
    # A shell's background jobs ignore SIGINT, and so do their children; a handler of ours is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        assert "step 1/" in process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, out + err
    assert "(interrupted)" in out
    assert "objective nan" not in out
    assert "Traceback" not in err
    assert contents(tmp_path) == ["out.png", "photo.png", "style.png"]
    assert Image.open(tmp_path / "out.png").size == (48, 32)


# --- the machine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "short"),
    [(0.5, True), (1.9, True), (2.1, False), (50.0, False)],
)
def test_short_of_memory(monkeypatch: pytest.MonkeyPatch, free: float, short: bool) -> None:
    """Half of what is free must hold the activations."""
    network = VGG(["relu2_1"], weights="random")
    needed = 200 * 300 * 4 * (64 + 64 + 128 / 4) + 100 * 150 * 64 * (4 + 8)
    assert network.activation_bytes(200, 300) == needed
    monkeypatch.setattr(planning, "free_memory", lambda _: int(free * needed))
    assert short_of_memory(network, 200, 300, torch.device("cpu")) is short


def test_processor_keeps_3_gb_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    network = VGG(["relu1_2"], weights="random")
    monkeypatch.setattr(planning, "free_memory", lambda _: 10**12)
    assert not short_of_memory(network, 2000, 2900, torch.device("cpu"))
    assert short_of_memory(network, 2000, 3000, torch.device("cpu"))
    assert not short_of_memory(network, 2000, 3000, torch.device("cuda"))


def test_short_memory_gives_the_same_picture(search: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = search(steps=3).picture
    monkeypatch.setattr(planning, "free_memory", lambda _: 1)
    assert torch.allclose(search(steps=3).picture, plain, atol=1e-4)


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("tpu9", "cuda:99"):
        with pytest.raises(InputError, match=f"device '{name}'"):
            pick_device(name)
    assert pick_precision("32", torch.device("cpu")) == torch.float32
    assert pick_precision("bf16", torch.device("cpu")) == torch.bfloat16
    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total

"""The checks, in the order in which they build on each other; each returns what it found, or says what is wrong."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from tinydarknet.ascend import npu_smi, visible_card_nodes
from tinydarknet.ascend_check.findings import CheckError
from tinydarknet.ascend_check.software import problems, this_machine
from tinydarknet.ascend_check.workplace import STEPS_PER_EPOCH, Workplace
from tinydarknet.device import EXIT_TERMINATED
from tinydarknet.launch import WORKER_ROLE, marked_processes
from tinydarknet.rank_share import allowed_processors, memory_nodes, share_of_rank

REFERENCE_STEP_MS = 104.0
"""What the reference publishes for a batch of 128 on each of eight cards."""
_MEMORY_NOTES_MIN = 10


def machine(place: Workplace) -> str:
    """What is installed belongs together, and can be imported."""
    found = this_machine()
    if bad := problems(found):
        raise CheckError("; ".join(bad), "see docs/operations.md, Ascend")
    if sick := [f"card {number}: {card.health}" for number, card in enumerate(place.cards) if card.health != "OK"]:
        raise CheckError(", ".join(sick), "npu-smi info -t health -i N says more")
    return f"MindSpore {found.mindspore}, CANN {found.cann}, driver {found.driver}, {len(place.cards)} cards"


def products(place: Workplace) -> str:
    """Every card computes."""
    socs = set()
    for number in range(len(place.cards)):
        found = place.probe("product", "Ascend", device_id=number)
        socs.add(found["soc"] or "of an unknown generation")
        _at_most("the product's relative difference", found["difference"], 1e-2, f"card {number} computes wrongly")
    note = ": no DVPP for MindSpore, and float16 that clamps" if "ascend910" in socs else ""
    return f"{len(place.cards)} cards, {', '.join(sorted(socs))}{note}"


def arithmetic(place: Workplace) -> str:
    """The network's own cells."""
    worst = {"float32": 0.0, "float16": 0.0}
    for name, difference in place.probe("cells")["differences"].items():
        kind = "float32" if "float32" in name else "float16"
        _at_most(name, difference, 1e-4 if kind == "float32" else 1e-2, "send this page with the chip's name")
        worst[kind] = max(worst[kind], difference)
    return ", ".join(f"{kind} within {difference:.1e}" for kind, difference in worst.items())


def one_step(place: Workplace) -> str:
    """The card's first step against the CPU's."""
    card, cpu = (place.probe("step", target, place.sample) for target in (place.target, "CPU"))
    loss = abs(card["loss"] / cpu["loss"] - 1)
    a, b = np.array(card["gradients"]), np.array(cpu["gradients"])
    cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    _at_most("the loss's relative difference", loss, 0.01, "try --amp-level O0")
    _at_most("1 - the cosine of the gradients", 1 - cosine, 0.001, "try --amp-level O0")
    return f"loss within {loss:.2%}, cosine {cosine:.6f}"


def sinks(place: Workplace) -> str:
    """Step by step, and in stretches of 1, of 10 and of an epoch: the same steps."""
    options = ("--epoch-size", 2, "--deterministic")
    place.train("no-sink", *options, "--no-sink")
    wanted = place.log("no-sink", "step")
    for stretch in (1, 10, STEPS_PER_EPOCH):
        name = f"sink-{stretch}"
        place.train(name, *options, "--checkpoint-every-steps", stretch)
        last, alone = place.log(name, "step")[-1], wanted[-1]
        if (last["step"], last["learning_rate"]) != (alone["step"], alone["learning_rate"]):
            raise CheckError(f"stretches of {stretch} end at {last}, single steps at {alone}", "train with --no-sink")
        _at_most("the last loss's relative difference", abs(last["loss"] / alone["loss"] - 1), 0.01, "use --no-sink")
    return f"{wanted[-1]['step']} steps each, last losses within 1 %"


def overflow(place: Workplace) -> str:
    """A forced overflow under a dynamic loss scale."""
    found = place.probe("overflow", None, place.sample)
    if found["after"] != np.float32(found["before"]) / 2 or not found["weights_kept"]:
        raise CheckError(f"not noticed: {found}", "train with --amp-dtype bfloat16, or --amp-level O0")
    return "the scale halved, no weight changed"


def damaged_row(place: Workplace) -> str:
    """A row that is damaged in the middle of an epoch."""
    done = place.train(
        "damaged-run", "--epoch-size", 2, "--check-reads", data=place.damaged, timeout_s=300, check=False
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ") and ": row " in line]
    if done.returncode != 1 or not lines:
        raise CheckError(f"status {done.returncode}: {done.stderr[-500:]}", "train with --no-sink")
    return lines[-1].removeprefix("error: ")


def stop_and_resume(place: Workplace) -> str:
    """SIGTERM, then --resume, against a run that was left alone."""
    options = ("--epoch-size", 4, "--checkpoint-every-steps", STEPS_PER_EPOCH // 2, "--deterministic")
    place.train("whole", *options)
    command = [sys.executable, "-m", "tinydarknet.train", *map(str, place.training_options("stopped", *options))]
    with subprocess.Popen(
        command, cwd=place.folder, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout or ():
            if line.startswith("first batch after"):
                process.send_signal(signal.SIGTERM)
    if process.returncode != EXIT_TERMINATED:
        raise CheckError(f"SIGTERM gave status {process.returncode}, not {EXIT_TERMINATED}", "see the run's log")
    place.train("stopped", *options, "--resume")
    steps = [
        [(entry["step"], entry.get("ids_crc32")) for entry in place.log(name, "step")] for name in ("whole", "stopped")
    ]
    if steps[0] != steps[1]:
        raise CheckError("the resumed run saw other steps or images", "send both runs' log.jsonl")
    last = f"checkpoints/step-{steps[0][-1][0]:09d}.ckpt"
    files = [(place.folder / name / last).read_bytes() for name in ("whole", "stopped")]
    if files[0] != files[1]:
        raise CheckError(
            "the resumed run ends with other weights", "set HCCL_DETERMINISTIC=true, or do without equal bits"
        )
    return f"status {EXIT_TERMINATED}; {len(steps[0])} lines of steps and the last checkpoint are equal"


def several_ranks(place: Workplace) -> str:
    """Collectives, and the death of a rank."""
    counts = [count for count in (2, 8) if count <= (len(place.cards) or 2)]
    for count in counts:
        output = place.folder / f"ranks-{count}.json"
        program = str(sys.modules["tinydarknet.ascend_check"].__path__[0]) + "/probe.py"
        launcher = (
            "import pathlib, sys; from tinydarknet.launch import LaunchOptions, launch; "
            "sys.exit(launch(LaunchOptions(ranks=int(sys.argv[1]), log_dir=pathlib.Path(sys.argv[2])), sys.argv[4:], "
            "pathlib.Path(sys.argv[3])))"
        )
        words = ("ranks", output, place.target, 0, place.sample)
        place.run("-c", launcher, count, place.folder / f"ranks-{count}", program, *words)
        crcs = json.loads(output.read_text())["crcs"]
        if len(crcs) != count or len(set(crcs)) != 1:
            raise CheckError(f"{count} ranks end with weights of CRC {crcs}", "check the links between the cards")
    seconds = _seconds_after_a_kill(place, counts[-1])
    _at_most("seconds until all had ended after a rank was killed", seconds, 30, "see the ranks' logs")
    return f"{' and '.join(map(str, counts))} ranks with equal weights; all ended {seconds:.0f} s after a kill"


def _seconds_after_a_kill(place: Workplace, count: int) -> float:
    options = place.training_options("killed", "--epoch-size", 10_000, "--no-sink")
    command = [sys.executable, *place.launch(count, "killed-ranks", options)]
    start = None
    with subprocess.Popen(
        command, cwd=place.folder, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as launcher:
        for line in launcher.stdout or ():
            if line.startswith("epoch: 1 step:"):
                victim = max(pid for pid, role in marked_processes(launcher.pid).items() if role == WORKER_ROLE)
                start = time.monotonic()
                psutil.Process(victim).kill()
    if start is None or launcher.returncode == 0:
        raise CheckError(
            f"the launcher ended with {launcher.returncode}, before or without a rank's death", "see its log"
        )
    return time.monotonic() - start


def binding(place: Workplace) -> str:
    """Every rank at its card's memory node."""
    nodes = visible_card_nodes()
    if len(nodes) < len(place.cards):
        raise CheckError("neither npu-smi nor /sys/bus/pci says where the cards are", "bind the ranks with numactl")
    shares = [
        share_of_rank(allowed_processors(), memory_nodes(), rank, len(nodes), nodes) for rank in range(len(nodes))
    ]
    if wrong := [rank for rank, share in enumerate(shares) if share.nodes not in ((nodes[rank],), ())]:
        raise CheckError(
            f"ranks {wrong} are not at their cards' nodes {nodes}", "give this container all nodes' processors"
        )
    return f"cards at nodes {nodes}\n{npu_smi('info', '-t', 'topo')}".strip()


def decoding(place: Workplace) -> str:
    """The card's decoder against the host's, in training's windows."""
    found = place.probe("decoding", None, place.jpegs)
    _at_most("mean difference in grey levels", found["difference"], 3, "train with --feed host")
    _at_most("an image's, whose window is another one then", found["worst"], 15, "train with --feed host")
    rates, choice = found["rates"], found["choice"]
    hardware, host = rates.values()
    if choice.startswith("feed dvpp"):  # what two short measurements may differ by
        _at_most("times the host's rate over the hardware's, which auto takes", host / hardware, 1.2, f"see: {choice}")
    speeds = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    return f"{found['images']} images, {found['difference']:.2f} grey levels, at most {found['worst']:.1f}; images/s: {speeds}; {choice}"


def step_time(place: Workplace) -> str:
    """A step of the reference's size, at each jit level."""
    times = {level: _step_ms(place, 1, level) for level in ("O0", "O1", "O2")}
    best = min(times, key=lambda level: times[level])
    _at_most(
        "ms a step in a sink",
        times[best],
        REFERENCE_STEP_MS,
        f"{times}: python -m benchmarks.step_time names the stage",
    )
    return ", ".join(f"jit level {level}: {ms:.1f} ms" for level, ms in times.items())


def scaling(place: Workplace) -> str:
    """The same on all cards at once."""
    one, eight = (_step_ms(place, ranks, "auto") for ranks in (1, len(place.cards)))
    _at_most("times the step of one card", eight / one, 1.1, "see check 10, and hccn_tool's link states")
    return f"{one:.1f} ms on one card, {eight:.1f} ms on {len(place.cards)}"


def _step_ms(place: Workplace, ranks: int, level: str) -> float:
    output = place.folder / f"step-{ranks}-{level}.json"
    place.run(
        "-m", "benchmarks.step_time", "--data", place.data or place.sample, "--batch-size", 128, "--ranks", ranks,
        "--device-target", place.target, "--jit-level", level, "--json", output,
    )  # fmt: skip
    return float(json.loads(output.read_text())["sink_ms"]["mean"])


def evaluation(place: Workplace) -> str:
    """A checkpoint's score, here and on the CPU, against the training log."""
    logged = max(place.log(place.run_of_two_epochs, "evaluation"), key=lambda entry: entry["top1"])
    scores = {}
    for target in dict.fromkeys((place.target, "CPU")):
        output = place.folder / f"score-{target}.json"
        place.run(
            "-m", "tinydarknet.evaluate", "--val-data-path", place.val_sample, "--checkpoint-path", place.best,
            "--device-target", target, "--json", output,
        )  # fmt: skip
        scores[target] = json.loads(output.read_text())["top1"]
    if scores[place.target] != logged["top1"]:
        raise CheckError(f"evaluation counts {scores}, training logged {logged['top1']}", "send this page")
    _at_most(
        "top-1 points between card and CPU",
        abs(scores[place.target] - scores["CPU"]) * 100 / logged["total"],
        0.1,
        "send this page",
    )
    return f"top-1 {scores} of {logged['total']}, as in the log"


def export(place: Workplace) -> str:
    """Exported files, each compared before it is kept; OM is compiled where there is a card, and run by ais_bench."""
    formats = ("onnx", "mindir", *(("om",) if place.cards else ()))
    done = place.run(
        "-m", "tinydarknet.export", "--checkpoint-path", place.best, "--out-dir", "export", "--file-format", *formats
    )
    said = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("wrote ")]
    if not place.cards:
        return "; ".join(said)
    if place.run("-c", "import ais_bench", check=False).returncode:
        return "; ".join(said) + "; the OM file was not run: ais_bench is not installed"
    equal = place.probe("model", "CPU", place.best, place.folder / "export" / "tinydarknet.om")["equal"]
    _at_most("of 64 images with another class", 64 - equal, 1, "compare atc's --precision_mode")
    return "; ".join(said) + f"; OM: {equal} of 64 equal"


def two_epochs(place: Workplace) -> str:
    """Two epochs: on all cards and the owner's data where there are any."""
    name = place.run_of_two_epochs
    if place.data is not None and place.cards:
        name = "own-data"
        options = ["--data-path", place.data, "--run-dir", place.folder / name, "--epoch-size", 2]
        options += ["--val-data-path", place.val_data] if place.val_data else []
        with place.memory_watched(name):
            place.run(*place.launch(len(place.cards), "own-ranks", options), timeout_s=7200)
    losses = [entry["loss"] for entry in place.log(name, "step")]
    first, last = (
        float(np.mean(part)) for part in (losses[: len(losses) // 4 or 1], losses[-(len(losses) // 4 or 1) :])
    )
    if not last < first:
        raise CheckError(f"the loss goes from {first:.3f} to {last:.3f}", "lower --lr-init, or add --warmup-epochs")
    steps = place.log(name, "end")[-1]["step"]
    return f"loss {first:.3f} to {last:.3f} over {steps} steps; {memory_growth(place.memory[name])}"


def memory_growth(noted: Sequence[int]) -> str:
    """What became of the memory, bytes, noted one after the other in the second epoch."""
    if len(noted) < _MEMORY_NOTES_MIN:
        return "too short to say whether memory grows: name your --data"
    before, after = (statistics.median(part) for part in (noted[: len(noted) // 2], noted[len(noted) // 2 :]))
    _at_most("times the memory of the second epoch's first half in its second", after / before, 1.05, "send this page")
    return f"memory {before / 1e6:,.0f} MB in the second epoch's first half, {after / 1e6:,.0f} MB in its second"


def _at_most(what: str, found: float, limit: float, mend: str) -> None:
    """Refuse more than the limit, and what is no number."""
    if not found <= limit:
        raise CheckError(f"{what}: {found:.4g}, at most {limit:g} is accepted", mend)


@dataclass(frozen=True)
class Trial:
    """A check: its place in the table is its number, from 1."""

    title: str
    limit: str
    run: Callable[[Workplace], str]
    needs: str = "card"
    """card, cards (several) or nothing."""


TRIALS = (
    Trial(
        "driver, CANN, its Python packages", "versions belong together, all can be imported, cards are healthy", machine
    ),
    Trial("a product on each card", "right result", products),
    Trial("the network's cells", "float32 (HF32 off) within 1e-4, float16 within 1e-2 of numpy", arithmetic, ""),
    Trial("one training step, card against CPU", "loss within 1 %, cosine of gradients above 0.999", one_step),
    Trial("sinks of 1, 10 and 20 steps", "steps and rates of single steps, losses within 1 %", sinks),
    Trial("a forced overflow", "the scale halves, no weight changes", overflow, ""),
    Trial("a damaged row", "a sentence that names it, status 1, within 300 s with the start", damaged_row, ""),
    Trial(
        "SIGTERM and --resume, --deterministic",
        "status 75, the same steps and bits as without a stop",
        stop_and_resume,
        "",
    ),
    Trial("2, then 8 ranks; one is killed", "equal CRC of weights; all ended in 30 s", several_ranks, ""),
    Trial("ranks against the cards' places", "every rank at its card's memory node", binding),
    Trial(
        "500 JPEGs by the card's decoder, or its pipeline on processors",
        "mean difference from the host's at most 3 grey levels, each image's 15: windows are honoured; auto only if faster",
        decoding,
        "",
    ),
    Trial("a step of batch 128", f"below {REFERENCE_STEP_MS:g} ms, the reference's, at the best jit level", step_time),
    Trial("a step on all cards", "at most 1.1 times one card's", scaling, "cards"),
    Trial("evaluation", "the training log's top-1; the CPU's within 0.1 points", evaluation, ""),
    Trial("export", "ONNX and MINDIR as the checkpoint; OM compiled, top-1 equal on 63 of 64", export, ""),
    Trial("two epochs", "the loss falls, no NaN, memory within 5 % in the second", two_epochs, ""),
)

"""What happens between steps: logging, evaluation, checkpoints, stopping on request."""

from __future__ import annotations

import math
import time
import zlib
from collections import deque

import numpy as np
from mindspore import Tensor
from mindspore.train import Callback, RunContext

from convert.errors import UserError
from tinydarknet.device import sum_over_ranks
from tinydarknet.evaluate.scores import Score
from tinydarknet.run_folder.log_writer import Reporter, duration, epoch_time_line, loss_line
from tinydarknet.train.assembly import Run
from tinydarknet.train.checkpoints import agree_on_statistics, save, save_if_best
from tinydarknet.train.data import TrainingData, Validation
from tinydarknet.train.schedule import step_costs

RECENT_STEPS = 100
"""The log's recent share of waiting is of so many lines of steps."""
LINE_INTERVAL_S = 5.0
"""Least time between two printed lines about steps, where there is no terminal with a bar."""


class RunCallback(Callback):
    """Keeps a run's log, evaluates and saves at its milestones; steps are counted from the run's start.

    Serves several `Model.train` calls one after the other: each goes on with the step after the last one's.
    """

    def __init__(
        self, run: Run, reporter: Reporter, data: TrainingData, validation: Validation | None, stop: StopRequest
    ) -> None:
        super().__init__()
        self.stopped = False
        """Whether the ranks have agreed to stop."""
        self.image_size = 0
        """Of the batches under way, pixels; for the log."""
        self._run, self._reporter, self._data, self._validation, self._stop = run, reporter, data, validation, stop
        self._step = self._call_start = run.state.step
        costs = step_costs(run.config.training_sizes, run.config.epoch_size, run.milestones.steps_per_epoch)
        self._done = np.concatenate([[0.0], np.cumsum(costs)])
        self._replaced = 0
        self._step_end_s = time.perf_counter()
        self._starts = True
        self._wait_s = self._waited_s = self._trained_s = self._trained_cost = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_STEPS)
        self._epoch_s, self._epoch_steps = 0.0, 0
        self._line_s = -math.inf

    def on_train_begin(self, run_context: RunContext) -> None:  # noqa: ARG002
        """Start the clock; MindSpore counts the steps of each call from 0."""
        self._call_start, self._starts = self._step, True
        self._step_end_s = time.perf_counter()

    def on_train_step_begin(self, run_context: RunContext) -> None:  # noqa: ARG002
        """Count the time since the last step as waiting for data (nothing else happens in between)."""
        self._wait_s = time.perf_counter() - self._step_end_s

    def on_train_step_end(self, run_context: RunContext) -> None:
        """Take note of one step, or of one stretch of steps that the device ran by itself."""
        context, run = run_context.original_args(), self._run
        outputs = context.net_outputs
        loss = float((outputs[0] if isinstance(outputs, (tuple, list)) else outputs).asnumpy())
        now = time.perf_counter()
        step = self._call_start + context.cur_step_num
        steps, spent_s = step - self._step, now - self._step_end_s
        self._step = step
        self._epoch_s += spent_s
        self._epoch_steps += steps
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} at step {step}: lower lr_init, or add warmup_epochs")
        self._report_damage(step)
        self._count_time(step, steps, spent_s)
        self._report_step(step, steps, loss, spent_s, context.train_dataset_element)
        self.stopped = self._stop.agreed(run)
        if run.milestones.evaluates_after(step) and self._validation is not None:
            agree_on_statistics(run)
            score = self._validation.score()
            save_if_best(run, step, score)
            self._report_score(step, score)
        if run.milestones.saves_after(step) or self.stopped:
            save(run, step)
            self._reporter.event("checkpoint", {"step": step})
        if self.stopped:
            run_context.request_stop()
        self._step_end_s = time.perf_counter()

    def _count_time(self, step: int, steps: int, spent_s: float) -> None:
        """Tell the first step of a feed and a graph, in which both are made, apart from the others."""
        if self._starts:
            self._reporter.say(f"first batch after {self._wait_s:.1f} s, first step done after {spent_s:.1f} s")
            fields = {"step": step, "first_batch_s": round(self._wait_s, 3), "first_step_s": round(spent_s, 3)}
            self._reporter.event("first_step", fields)
            self._starts = False
            return
        self._waited_s += self._wait_s
        self._trained_s += spent_s
        self._trained_cost += self._done[step] - self._done[step - steps]
        self._recent.append((self._wait_s, spent_s))

    def _report_damage(self, step: int) -> None:
        damaged = self._data.damaged
        for sentence in damaged[self._replaced :]:
            self._reporter.warn(f"warning: {sentence}; another image took its place")
            self._reporter.event("replaced", {"step": step, "image": sentence})
        self._replaced = len(damaged)

    def _report_step(
        self, step: int, steps: int, loss: float, spent_s: float, element: tuple[Tensor, ...] | None
    ) -> None:
        marks, reporter = self._run.milestones, self._reporter
        epoch, step_in_epoch = (step - 1) // marks.steps_per_epoch + 1, (step - 1) % marks.steps_per_epoch + 1
        ends_epoch = step_in_epoch == marks.steps_per_epoch
        images_per_s = steps * self._run.state.global_batch / spent_s
        waiting = self._waited_s / self._trained_s if self._recent else 0.0
        recent_s = [sum(times) for times in zip(*self._recent, strict=True)]
        recent_waiting = recent_s[0] / recent_s[1] if recent_s else 0.0
        cost_s = self._trained_s / self._trained_cost if self._recent else spent_s / steps
        remaining = duration(cost_s * (self._done[-1] - self._done[step]))
        rate = float(self._run.rates[step - 1])
        if step % self._run.config.log_every_steps == 0 or ends_epoch or step == marks.total_steps or steps > 1:
            fields = {"step": step, "epoch": epoch, "loss": loss, "learning_rate": rate}
            fields |= {"images_per_s": round(images_per_s, 2), "waiting_share": round(waiting, 4)}
            fields |= {"recent_waiting_share": round(recent_waiting, 4), "image_size": self.image_size}
            if element and steps == 1:  # in a sink MindSpore has an empty tuple here
                fields["ids_crc32"] = zlib.crc32(element[-1].asnumpy().tobytes())
            reporter.event("step", fields)
            is_due = time.monotonic() - self._line_s >= LINE_INTERVAL_S
            if is_due and not reporter.on_terminal and not ends_epoch:
                self._line_s = time.monotonic()
                reporter.say(
                    f"step {step} of {marks.total_steps}: loss {loss:.4f}, lr {rate:.6g}, {images_per_s:.1f} images/s, "
                    f"waiting {100 * recent_waiting:.1f} % ({100 * waiting:.1f} % since the first step), {remaining} left"
                )
        postfix = {"loss": f"{loss:.4f}", "lr": f"{rate:.4g}", "images/s": f"{images_per_s:.1f}"}
        reporter.advance(steps, {**postfix, "waiting": f"{recent_waiting:.1%}", "left": remaining})
        if ends_epoch:
            reporter.say(loss_line(epoch, step_in_epoch, loss))
            reporter.say(epoch_time_line(1000 * self._epoch_s, self._epoch_steps))
            self._epoch_s, self._epoch_steps = 0.0, 0

    def _report_score(self, step: int, score: Score) -> None:
        self._reporter.say(score.line())
        fields = {"step": step, "top1": score.top1, "top5": score.top5, "total": score.total, **score.accuracies}
        self._reporter.event("evaluation", {**fields, "seconds": round(score.seconds, 3)})


class StopRequest:
    """Remembers that SIGTERM or SIGINT came, so that the run can save before it stops."""

    def __init__(self) -> None:
        self.received = False

    def note(self, _number: int, _frame: object) -> None:
        """Take a signal, whichever: MindSpore makes SIGTERM of a SIGINT while a graph runs."""
        self.received = True

    def agreed(self, run: Run) -> bool:
        """Whether any rank has received one; all ranks must call this, and come to the same answer."""
        return bool(sum_over_ranks(run.device, np.array([self.received]))[0])

"""What happens between steps: logging, evaluation, checkpoints, stopping on request."""

from __future__ import annotations

import math
import time
import zlib

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
        self._step = self._call_start = self._first_step = run.state.step
        costs = step_costs(run.config.training_sizes, run.config.epoch_size, run.milestones.steps_per_epoch)
        self._done = np.concatenate([[0.0], np.cumsum(costs)])
        self._replaced = 0
        self._step_end_s = time.perf_counter()
        self._waited_s = self._trained_s = 0.0
        self._epoch_s, self._epoch_steps = 0.0, 0

    def on_train_begin(self, run_context: RunContext) -> None:  # noqa: ARG002
        """Start the clock; MindSpore counts the steps of each call from 0."""
        self._call_start = self._step
        self._step_end_s = time.perf_counter()

    def on_train_step_begin(self, run_context: RunContext) -> None:  # noqa: ARG002
        """Count the time since the last step as waiting for data (nothing else happens in between)."""
        self._waited_s += time.perf_counter() - self._step_end_s

    def on_train_step_end(self, run_context: RunContext) -> None:
        """Take note of one step, or of one stretch of steps that the device ran by itself."""
        context, run = run_context.original_args(), self._run
        outputs = context.net_outputs
        loss = float((outputs[0] if isinstance(outputs, (tuple, list)) else outputs).asnumpy())
        now = time.perf_counter()
        step = self._call_start + context.cur_step_num
        steps, spent_s = step - self._step, now - self._step_end_s
        self._step = step
        self._trained_s += spent_s
        self._epoch_s += spent_s
        self._epoch_steps += steps
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} at step {step}: lower lr_init, or add warmup_epochs")
        self._report_damage(step)
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
        waiting = self._waited_s / self._trained_s
        to_do = (self._done[-1] - self._done[step]) / (self._done[step] - self._done[self._first_step])
        remaining = duration(to_do * self._trained_s)
        rate = float(self._run.rates[step - 1])
        if step % self._run.config.log_every_steps == 0 or ends_epoch or step == marks.total_steps or steps > 1:
            fields = {"step": step, "epoch": epoch, "loss": loss, "learning_rate": rate}
            fields |= {"images_per_s": round(images_per_s, 2), "waiting_share": round(waiting, 4)}
            fields["image_size"] = self.image_size
            if element and steps == 1:  # in a sink MindSpore has an empty tuple here
                fields["ids_crc32"] = zlib.crc32(element[-1].asnumpy().tobytes())
            reporter.event("step", fields)
            if not reporter.on_terminal and not ends_epoch:
                reporter.say(
                    f"step {step} of {marks.total_steps}: loss {loss:.4f}, lr {rate:.6g}, {images_per_s:.1f} images/s, "
                    f"waiting {100 * waiting:.1f} %, {remaining} left"
                )
        postfix = {"loss": f"{loss:.4f}", "lr": f"{rate:.4g}", "images/s": f"{images_per_s:.1f}"}
        reporter.advance(steps, {**postfix, "waiting": f"{waiting:.1%}", "left": remaining})
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

"""Where reports come from: any PyTorch loop by a hook on the optimizer, Hugging Face's Trainer and Lightning by callbacks.
Nothing of them is imported before it is needed. No exception leaves a hook.
"""
import functools
import glob
import os
import sys

from weighbridge_client.reporter import Reporter


def safely(method):
    """A training does not stop for its weighing."""

    @functools.wraps(method)
    def guarded(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001
            print(f"weighbridge: {error!r}", file=sys.stderr)
            return None

    return guarded


class OptimizerHook:
    """Counts the steps of the first optimizer that steps in this process, whatever loop calls it. Gradient accumulation is
    one step; a step that a gradient scaler skips is none."""

    def __init__(self, reporter, first_step=0):
        self.reporter, self.step, self.lead, self.handle = reporter, first_step, None, None

    def arm(self):
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self.handle = register_optimizer_step_post_hook(self.after_step)
        return self

    @safely
    def after_step(self, optimizer, _args, _kwargs):
        if self.lead is None:
            self.lead = optimizer
        if optimizer is self.lead:
            self.reporter.step(self.step)
            self.step += 1

    def disarm(self):
        if self.handle is not None:
            self.handle.remove()


def from_environment(environment=None):
    """Arms the hook when WEIGHBRIDGE_REPORT is 1; does nothing without it."""
    environment = os.environ if environment is None else environment
    if environment.get("WEIGHBRIDGE_REPORT") != "1":
        return None
    try:
        return OptimizerHook(Reporter(environment=environment)).arm()
    except Exception as error:  # noqa: BLE001
        print(f"weighbridge: nothing is reported: {error!r}", file=sys.stderr)
        return None


def shards(folder):
    """The safetensors files of a checkpoint's folder, in the order of their names."""
    return sorted(glob.glob(os.path.join(glob.escape(os.fspath(folder)), "*.safetensors")))


def trainer_callback(reporter=None, flop_per_step=None):
    """A callback for `transformers.Trainer(callbacks=[...])`: steps as the Trainer counts them, and its checkpoints' weights.
    Its `total_flos` is not taken: that is an estimate of another kind."""
    from transformers import TrainerCallback

    class WeighbridgeCallback(TrainerCallback):
        """Reports what the Trainer says."""

        def __init__(self):
            self.reporter = reporter or Reporter()

        @safely
        def on_step_end(self, args, state, control, **kwargs):
            self.reporter.step(state.global_step, flop_per_step)

        @safely
        def on_save(self, args, state, control, **kwargs):
            if state.is_world_process_zero:
                folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
                self.reporter.checkpoint(state.global_step, shards(folder))

        @safely
        def on_train_end(self, args, state, control, **kwargs):
            self.reporter.close()

    return WeighbridgeCallback()


def lightning_callback(reporter=None, flop_per_step=None):
    """A callback for Lightning's `Trainer(callbacks=[...])`: its global step, once each. Its own checkpoints are pickles;
    report a safetensors export with `reporter.checkpoint`."""
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback

    class WeighbridgeCallback(Callback):
        """Reports what Lightning says."""

        def __init__(self):
            self.reporter, self.last = reporter or Reporter(), None

        @safely
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step != self.last:
                self.last = trainer.global_step
                self.reporter.step(self.last, flop_per_step)

        @safely
        def on_train_end(self, trainer, pl_module):
            self.reporter.close()

    return WeighbridgeCallback()

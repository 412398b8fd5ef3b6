"""When a step begins and ends: watches modules, data loaders, optimizers and the backward pass while a capture is ordered.
Needs torch.
"""
import functools
import os
import sys

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.data import dataloader

from weighbridge_client.recorder import Recorder, tensors_in
from weighbridge_client.updates import Update, clipped


def subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


class Session:
    """An order: which steps, where to. `written` lists the folders, `errors` what went wrong."""

    def __init__(self, folder, steps, rank, attempt, max_bytes):
        self.folder, self.steps, self.rank, self.attempt, self.max_bytes = folder, steps, rank, attempt, max_bytes
        self.step, self.recorder, self.lead_optimizer, self.lead_module = 0, None, None, None
        self.written, self.errors, self.undo, self.modules, self.batches = [], [], [], {}, []
        self.in_update, self.calls, self.entered = False, 0, False

    # What is watched -------------------------------------------------------------------------------------------------

    def arm(self):
        before = register_module_forward_pre_hook(self.module_begins)
        after = register_module_forward_hook(self.module_ends)
        self.undo += [before.remove, after.remove]
        for cls in {torch.optim.Optimizer, *subclasses(torch.optim.Optimizer)}:
            if "step" in cls.__dict__ and cls is not torch.optim.Optimizer:
                self.patch(cls, "step", self.around_update)
        self.patch(torch.autograd, "backward", self.around_backward)
        self.patch(dataloader._BaseDataLoaderIter, "__next__", self.around_next)
        for place in (torch.nn.utils, torch.nn.utils.clip_grad):
            self.patch(place, "clip_grad_norm_", self.around_clip)

    def disarm(self):
        self.leave()
        self.recorder = None
        for action in reversed(self.undo):
            action()
        self.undo.clear()

    def patch(self, place, name, around):
        original = getattr(place, name)

        @functools.wraps(original)
        def wrapper(*args, **kwargs):
            return around(original, args, kwargs)

        setattr(place, name, wrapper)

        def restore():
            # Whoever wrapped it after us keeps their wrapper; ours then does nothing.
            if getattr(place, name) is wrapper:
                setattr(place, name, original)

        self.undo.append(restore)

    # A step ----------------------------------------------------------------------------------------------------------

    @property
    def recording(self):
        return self.recorder is not None and self.recorder.failed is None

    def begin(self):
        if self.recorder is None and self.undo and self.step in self.steps:
            self.recorder = Recorder(self.step, self.rank, self.attempt, self.max_bytes)
            self.calls = 0
            self.recorder.__enter__()
            self.entered = True
            self.recorder.guard(self.announce)
            self.recorder.guard(self.zero_gradients)

    def zero_gradients(self):
        """Gradients that an earlier step left at zero: a sum may begin from them."""
        groups = self.lead_optimizer.param_groups if self.lead_optimizer is not None else ()
        for grad in [p.grad for group in groups for p in group["params"] if p.grad is not None]:
            if grad.is_contiguous() and not bool(grad.any()):
                self.recorder.add("fill", {}, {"out": self.recorder.output(grad)}, name="zero gradient", value=0)

    def announce(self):
        for module in self.modules.values():
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                self.recorder.storages.announce(tensor, "before", name)

    def leave(self):
        if self.entered:
            self.recorder.__exit__(None, None, None)
            self.entered = False

    def end(self):
        """The update is made: write what was recorded, and count the step."""
        recorder, self.recorder = self.recorder_left(), None
        if recorder is not None and recorder.failed is None:
            folder = os.path.join(self.folder, f"step-{self.step:08d}")
            try:
                recorder.graph.write(folder)
                self.written.append(folder)
            except Exception as error:  # noqa: BLE001: no error of the capture reaches the training
                self.complain(error)
        elif recorder is not None:
            self.complain(recorder.failed)
        self.step += 1
        self.batches.clear()
        if self.step > max(self.steps, default=-1):
            self.disarm()

    def recorder_left(self):
        self.leave()
        return self.recorder

    def complain(self, error):
        self.errors.append(error)
        if len(self.errors) == 1:
            print(f"weighbridge: step {self.step} was not captured: {error!r}", file=sys.stderr)

    # Hooks -----------------------------------------------------------------------------------------------------------

    def module_begins(self, module, _inputs):
        recorder = self.recorder
        if recorder is not None and recorder.module:
            recorder.module.append(self.path(module))
            return
        if self.lead_module is None:
            self.lead_module = module
        if module is self.lead_module:
            self.modules[id(module)] = module
            self.begin()
            if self.recording:
                self.recorder.micro_batch = self.calls
                self.recorder.guard(self.announce)
            self.calls += 1
        if self.recorder is not None:
            self.recorder.module.append(self.path(module))

    def module_ends(self, _module, _inputs, _output):
        if self.recorder is not None and self.recorder.module:
            self.recorder.module.pop()

    def path(self, module):
        if not hasattr(self, "paths") or id(module) not in self.paths:
            found = {}
            for lead in self.modules.values():
                found.update({id(part): name or "model" for name, part in lead.named_modules()})
            self.paths = found
        return self.paths.get(id(module), type(module).__name__)

    def around_backward(self, original, args, kwargs):
        recorder = self.recorder
        if recorder is None:
            return original(*args, **kwargs)
        recorder.backward += 1
        try:
            return original(*args, **kwargs)
        finally:
            recorder.backward -= 1

    def around_next(self, original, args, kwargs):
        recorder = self.recorder
        if recorder is None:
            batch = original(*args, **kwargs)
        else:
            # How a batch is put together is not part of the step: it is a batch from here on.
            recorder.suspended += 1
            try:
                batch = original(*args, **kwargs)
            finally:
                recorder.suspended -= 1
        self.note_batch(batch)
        return batch

    def note_batch(self, batch):
        if self.step not in self.steps or not self.undo:
            return
        self.begin()
        if not self.recording:
            return

        def note():
            rows = batch.items() if isinstance(batch, dict) else enumerate(
                batch if isinstance(batch, (list, tuple)) else [batch])
            for key, value in rows:
                for at, tensor in enumerate(tensors_in(value)):
                    name = f"{self.calls}/{key}" if isinstance(value, torch.Tensor) else f"{self.calls}/{key}.{at}"
                    self.recorder.storages.freeze(tensor)
                    self.recorder.storages.announce(tensor, "batch", name)
                    self.batches.append(tensor)

        self.recorder.guard(note)

    def around_clip(self, original, args, kwargs):
        recorder = self.recorder
        if recorder is None or recorder.failed or recorder.suspended:
            return original(*args, **kwargs)
        names = ["parameters", "max_norm", "norm_type"]
        given = dict(zip(names, args))
        rest, keywords = args[3:], dict(kwargs)
        for name in names:
            if name in keywords:
                given[name] = keywords.pop(name)
        return clipped(recorder, original, given["parameters"], given["max_norm"], given.get("norm_type", 2.0), rest, keywords)

    def around_update(self, original, args, kwargs):
        optimizer = args[0]
        if self.in_update or not self.undo:
            return original(*args, **kwargs)
        self.in_update = True
        if self.lead_optimizer is None:
            self.lead_optimizer = optimizer
        closure = len(args) > 1 or kwargs.get("closure") is not None
        recorder = self.recorder if self.recording and not closure else None
        update = recorder.guard(lambda: Update(recorder, optimizer, self.parameter_names())) if recorder else None
        if recorder:
            recorder.suspended += 1
        try:
            return original(*args, **kwargs)
        finally:
            self.in_update = False
            if recorder:
                recorder.suspended -= 1
                if update is not None and not recorder.failed:
                    recorder.guard(update.after)
            if optimizer is self.lead_optimizer:
                self.end()

    def parameter_names(self):
        return {id(p): name for module in self.modules.values() for name, p in module.named_parameters()}

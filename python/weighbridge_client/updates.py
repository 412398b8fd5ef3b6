"""Optimizer updates and clipping as single operations of a trace: before and after, with their numbers. Needs torch."""
import torch

from weighbridge_client.storages import Unrepresentable

STATE = {"sgd": {"momentum": "momentum_buffer"}, "adamw": {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}}


def kind_of(optimizer, group):
    """`sgd` or `adamw` where the trace's definition is what the optimizer does with this group, else None."""
    if group.get("maximize") or group.get("amsgrad") or group.get("differentiable"):
        return None
    if type(optimizer) is torch.optim.SGD:
        return "sgd"
    return "adamw" if type(optimizer) is torch.optim.AdamW else None


def real(value):
    return float(value.item()) if isinstance(value, torch.Tensor) else float(value)


class Update:
    """One optimizer's step: `before` it was made and `after`."""

    def __init__(self, recorder, optimizer, names):
        self.recorder, self.storages, self.optimizer = recorder, recorder.storages, optimizer
        self.rows = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.rows.append(self.before(group, parameter, names.get(id(parameter))))

    def before(self, group, parameter, name):
        kind = kind_of(self.optimizer, group)
        state = self.optimizer.state.get(parameter, {})
        tensors = {"param": parameter, "grad": parameter.grad}
        for role, key in STATE.get(kind, {}).items():
            if isinstance(state.get(key), torch.Tensor):
                tensors[role] = state[key]
        inputs = {}
        for role, tensor in tensors.items():
            key = STATE.get(kind, {}).get(role)
            if key and name:
                self.storages.announce(tensor, "before", f"optimizer/{name}/{key}")
            try:
                inputs[role] = self.storages.reference(tensor)
            except Unrepresentable:
                kind = None
        for role, tensor in tensors.items():
            self.storages.freeze(tensor)
        numbers = {"lr": real(group["lr"])}
        if kind == "sgd":
            for key in ("momentum", "dampening", "weight_decay"):
                numbers[key] = real(group[key])
            numbers["nesterov"] = bool(group["nesterov"])
            numbers = {key: value for key, value in numbers.items() if key == "lr" or value}
        elif kind == "adamw":
            numbers.update(beta1=real(group["betas"][0]), beta2=real(group["betas"][1]), eps=real(group["eps"]),
                           weight_decay=real(group["weight_decay"]))
        if len({tensor.dtype for tensor in tensors.values()}) != 1:
            kind = None
        return kind, parameter, name, inputs, numbers

    def after(self):
        for kind, parameter, name, inputs, numbers in self.rows:
            state = self.optimizer.state.get(parameter, {})
            tensors = {"param": parameter}
            for role, key in STATE.get(kind, {}).items():
                if isinstance(state.get(key), torch.Tensor):
                    tensors[role] = state[key]
            if kind == "adamw":
                numbers["step"] = int(real(state["step"]))
            outputs = {}
            for role, tensor in tensors.items():
                try:
                    outputs[role] = self.storages.produce(tensor)
                except Unrepresentable:
                    kind = None
                    continue
                if name:
                    key = STATE.get(kind, {}).get(role)
                    self.storages.stored(outputs[role]["tensor"]).after = f"optimizer/{name}/{key}" if key else name
            if kind is None:
                self.recorder.add("opaque", inputs, outputs, name=f"update.{name}", flop=0)
            else:
                self.recorder.add(kind, inputs, outputs, name=f"update.{name}", **numbers)


def clipped(recorder, original, parameters, max_norm, norm_type, arguments, keywords):
    """Runs a clipping by norm and records it as one operation."""
    single = isinstance(parameters, torch.Tensor)
    parameters = [parameters] if single else list(parameters)
    grads = [p.grad for p in parameters if p.grad is not None]
    known = real(norm_type) == 2.0 and grads

    def before():
        inputs = {str(at): recorder.storages.reference(grad) for at, grad in enumerate(grads)}
        for grad in grads:
            recorder.storages.freeze(grad)
        return inputs

    inputs = recorder.guard(before) if known else None
    recorder.suspended += 1 if known else 0
    try:
        result = original(parameters, max_norm, norm_type, *arguments, **keywords)
    finally:
        recorder.suspended -= 1 if known else 0
    if inputs is not None and not recorder.failed:
        def after():
            outputs = {str(at): recorder.storages.produce(grad) for at, grad in enumerate(grads)}
            recorder.add("clip", inputs, outputs, name="clip", max_norm=real(max_norm))
        recorder.guard(after)
    return result

"""Sees every operation of one step, forward, backward and update, and tells the graph. Needs torch."""
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from weighbridge_client import handlers
from weighbridge_client.graph import Graph
from weighbridge_client.storages import Storages, Unrepresentable, base_of

# They write without reading what was there.
WRITE_ONLY = ("aten.zero_.", "aten.fill_.", "aten.copy_.", "aten.normal_.", "aten.uniform_.", "aten.random_.", "aten.bernoulli_.")
# Their results hold nothing yet.
HOLLOW = ("aten.empty", "aten.new_empty")


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)


def replaced(value, by_id):
    if isinstance(value, torch.Tensor):
        return by_id.get(id(value), value)
    if isinstance(value, (list, tuple)):
        return type(value)(replaced(part, by_id) for part in value)
    if isinstance(value, dict):
        return {key: replaced(part, by_id) for key, part in value.items()}
    return value


class Recorder(TorchDispatchMode):
    """One step. `failed` holds the first error of ours: from then on nothing is recorded, and the training goes on."""

    def __init__(self, step, rank, attempt, max_bytes):
        super().__init__()
        self.graph = Graph(f"torch {torch.__version__}", attempt, step, rank)
        self.storages = Storages(self.graph, max_bytes)
        self.failed, self.suspended, self.backward = None, 0, 0
        self.micro_batch, self.module, self.losses = 0, [], {}
        self.names = {}  # name of a product's operand → path of the layer that it belongs to

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.failed or self.suspended:
            return func(*args, **kwargs)
        written, old = self.guard(lambda: self.before_call(func, args, kwargs)) or ([], {})
        out = func(*args, **kwargs)
        if not self.failed:
            self.guard(lambda: self.after_call(func, args, kwargs, out, written, old))
        return out

    def guard(self, action):
        """Runs something of ours; its error ends the capture and not the training."""
        self.suspended += 1
        try:
            with torch.no_grad():
                return action()
        except Exception as error:  # noqa: BLE001: no error of the capture reaches the training
            self.failed = error
            return None
        finally:
            self.suspended -= 1

    def before_call(self, func, args, kwargs):
        """Keeps what the operation is about to overwrite."""
        name, written, old = str(func), [], {}
        for argument, value in self.arguments(func, args, kwargs):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            for tensor in tensors_in(value):
                written.append(tensor)
                if name.startswith(WRITE_ONLY):
                    self.storages.freeze(tensor)
                    continue
                try:
                    old[id(tensor)] = self.storages.snapshot(tensor)
                except Unrepresentable:
                    self.storages.freeze(tensor)
        return written, old

    @staticmethod
    def arguments(func, args, kwargs):
        declared = func._schema.arguments
        positional = list(zip(declared, args))
        return positional + [(a, kwargs[a.name]) for a in declared[len(args):] if a.name in kwargs]

    def after_call(self, func, args, kwargs, out, written, old):
        name = str(func)
        if name.startswith(HOLLOW) or name.startswith("profiler."):
            return
        seen_args, seen_kwargs = replaced(args, old), replaced(kwargs, old)
        addresses = {base_of(t) for t in tensors_in([args, kwargs]) if t.layout is torch.strided}
        fresh = [t for t in tensors_in(out) if t.layout is torch.strided and base_of(t) not in addresses]
        if not fresh and not written:
            return
        call = handlers.Call(self, name, seen_args, seen_kwargs, out)
        if not handlers.try_handler(call):
            self.opaque(call, fresh + written)

    def opaque(self, call, outputs):
        inputs = {}
        for at, tensor in enumerate(tensors_in([call.args, call.kwargs])):
            try:
                inputs[str(at)] = self.storages.reference(tensor)
            except Unrepresentable:
                continue
        produced = {}
        for at, tensor in enumerate(outputs):
            try:
                produced[str(at)] = self.storages.produce(tensor)
            except Unrepresentable:
                continue
        if produced:
            flop = handlers.opaque_flop(call)
            self.add("opaque", inputs, produced, name=f"{self.path()}{call.name}", **({} if flop is None else {"flop": flop}))

    def output(self, tensor):
        return self.storages.produce(tensor)

    def add(self, op, inputs, outputs, name=None, **parameters):
        name = name or f"{self.path()}{op}"
        self.graph.add(op, name, inputs, outputs, self.micro_batch, **parameters)

    def mark(self):
        return len(self.graph.operations)

    def undo(self, mark):
        del self.graph.operations[mark:]

    def path(self):
        return f"{self.module[-1]}." if self.module else ""

    @staticmethod
    def tf32(tensor):
        return tensor.is_cuda and tensor.dtype is torch.float32 and bool(torch.backends.cuda.matmul.allow_tf32)

    def phase_of(self, a, b, inputs):
        """Which of a layer's products this is, and the layer's path: the forward one knows its module, the others read
        what it read."""
        keys = [inputs["a"]["tensor"], inputs["b"]["tensor"]]
        if not self.backward:
            path = self.module[-1] if self.module else "product"
            for key in keys:
                self.names.setdefault(key, path)
            return "forward", f"{path}.forward"
        weights = [key for key, tensor in zip(keys, (a, b)) if self.storages.name_of(tensor) is not None]
        known = [self.names[key] for key in keys if key in self.names]
        if weights:
            return "dgrad", f"{self.names.get(weights[0], 'product')}.dgrad"
        if known and a.dim() == 2:
            return "wgrad", f"{known[0]}.wgrad"
        return "other", f"{known[0] if known else 'product'}.backward"

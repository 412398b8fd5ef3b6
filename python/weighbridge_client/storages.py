"""Which stored tensor of a trace a torch tensor is, or is a view of. Needs torch.

A storage has versions: an operation that writes into it ends one and begins the next. What an operation of the trace
reads of a version is kept as it was then; what nothing reads is never copied.
"""
import ctypes

import torch

from weighbridge_client.graph import Tensor

DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}


class Unrepresentable(Exception):
    """A tensor that a trace cannot hold: sparse, quantised, empty, or of a data type without a name."""


class TooLarge(Exception):
    """More bytes than the capture may keep."""


def check(tensor):
    if tensor.layout is not torch.strided or tensor.dtype not in DTYPES or tensor.numel() == 0:
        raise Unrepresentable(f"{tensor.layout} {tensor.dtype} {list(tensor.shape)}")


def base_of(tensor):
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    return storage.data_ptr()


def contiguous_strides(shape):
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return strides[::-1]


def plain_bytes(tensor):
    """Bytes of a tensor in its own order."""
    flat = tensor.detach().contiguous().cpu()
    return ctypes.string_at(flat.data_ptr(), flat.numel() * flat.element_size())


class _Region:
    """A block of a storage that has a name in the trace: elements `start` to `end`, in units of its data type."""

    __slots__ = ("start", "end", "tensor", "dtype", "keep")

    def __init__(self, start, end, tensor, dtype, keep):
        self.start, self.end, self.tensor, self.dtype, self.keep = start, end, tensor, dtype, keep


class Storages:
    """All storages that a step touched. Tensors are kept alive, so that no address stands for two of them."""

    def __init__(self, graph, max_bytes):
        self.graph, self.max_bytes, self.bytes = graph, max_bytes, 0
        self.regions, self.count = {}, 0
        self.known = {}  # storage address → [(tensor, kind, name)]: parameters, state and batches that may be read

    def announce(self, tensor, kind, name):
        """Says what a tensor is, should anything read it: `before` or `batch`, under this name."""
        try:
            check(tensor)
        except Unrepresentable:
            return
        self.known.setdefault(base_of(tensor), []).append((tensor, kind, name))

    def reference(self, tensor):
        """The operand that a tensor is; its storage gets a name if it has none."""
        check(tensor)
        shape, strides = list(tensor.shape), [0 if n == 1 else s for n, s in zip(tensor.shape, tensor.stride())]
        if min(strides, default=0) < 0 or len(shape) > 8:
            raise Unrepresentable(f"strides {strides}")
        first = tensor.storage_offset()
        last = first + sum((n - 1) * s for n, s in zip(shape, strides))
        for region in self.regions.get(base_of(tensor), ()):
            if region.dtype == tensor.dtype and region.start <= first and last < region.end:
                return self._operand(region, shape, strides, first - region.start)
        region = self._enter(tensor, first, last)
        return self._operand(region, shape, strides, first - region.start)

    def produce(self, tensor):
        """A new tensor that an operation computes: the whole of it, in its own order."""
        check(tensor)
        if not tensor.is_contiguous():
            raise Unrepresentable("an output in another order than its own")
        return {"tensor": self._add(tensor, tensor.storage_offset(), list(tensor.shape)).tensor.name}

    def touched(self, tensor):
        """Whether anything of this storage has a name."""
        return bool(self.regions.get(base_of(tensor)))

    def freeze(self, tensor):
        """Keeps what a storage holds now, before something writes into it, and forgets its names."""
        address = base_of(tensor)
        for region in self.regions.pop(address, ()):
            copy = region.keep.clone()
            region.tensor.give = lambda copy=copy: plain_bytes(copy)
            kept = _Region(0, region.end - region.start, region.tensor, region.dtype, copy)
            self.regions.setdefault(base_of(copy), []).append(kept)
            region.keep = copy
        # What it was before is no longer what it is.
        self.known.pop(address, None)

    def snapshot(self, tensor):
        """A tensor that reads what `tensor` holds now, and will still when something has written into it."""
        operand = self.reference(tensor)
        found = next(r for r in self.regions[base_of(tensor)] if r.tensor.name == operand["tensor"])
        first = tensor.storage_offset() - found.start
        self.freeze(tensor)
        return found.keep.reshape(-1).as_strided(tensor.shape, tensor.stride(), first)

    def name_of(self, tensor):
        """The checkpoint's name of a tensor that is one, or a view of one."""
        first = tensor.storage_offset()
        for region in self.regions.get(base_of(tensor), ()):
            if region.start <= first < region.end:
                return region.tensor.before
        for known, kind, name in self.known.get(base_of(tensor), ()):
            if kind == "before":
                return name
        return None

    def stored(self, name):
        return self.graph.tensors[name]

    def _operand(self, region, shape, strides, offset):
        whole = offset == 0 and shape == region.tensor.shape
        strides_of_whole = [0 if n == 1 else s for n, s in zip(shape, contiguous_strides(shape))]
        if whole and strides == strides_of_whole:
            return {"tensor": region.tensor.name}
        operand = {"tensor": region.tensor.name}
        if offset:
            operand["offset"] = offset
        operand["shape"] = shape
        if strides != strides_of_whole:
            operand["strides"] = strides
        return operand

    def _enter(self, tensor, first, last):
        """Names the block that a tensor lies in: a parameter or batch if it is one, else just what is read of it."""
        for known, kind, name in self.known.get(base_of(tensor), ()):
            start = known.storage_offset()
            if known.dtype == tensor.dtype and known.is_contiguous() and start <= first and last < start + known.numel():
                region = self._add(known, start, list(known.shape))
                setattr(region.tensor, kind, name)
                return region
        if tensor.is_contiguous():
            return self._add(tensor, first, list(tensor.shape))
        flat = tensor.detach().as_strided([last - first + 1], [1], first)
        return self._add(flat, first, [last - first + 1])

    def _add(self, tensor, start, shape):
        size = tensor.numel() * tensor.element_size()
        self.bytes += size
        if self.bytes > self.max_bytes:
            raise TooLarge(f"more than {self.max_bytes} bytes")
        keep = tensor.detach()
        name = f"t{self.count}"
        self.count += 1
        stored = self.graph.add_tensor(Tensor(name, DTYPES[tensor.dtype], shape, size, lambda: plain_bytes(keep)))
        region = _Region(start, start + tensor.numel(), stored, tensor.dtype, keep)
        self.regions.setdefault(base_of(tensor), []).append(region)
        return region

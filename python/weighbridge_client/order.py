"""The committed order of records, rule 1 (decision 0043): the same permutations as the Verifier derives.

Each epoch is a permutation that can be evaluated at one place, so that neither a sampler nor a check holds it in memory:
a Feistel network of ten rounds over SHA-256, applied again until the value is one of the records.
"""
import hashlib

_DOMAIN = b"weighbridge/data-order/v1"
_ROUNDS = 10


class Order:
    """`seed` (32 bytes), the number of records, and what one step reads: `batch` records for each micro-batch of each rank."""

    def __init__(self, seed, records, batch, ranks=1, micro_batches=1):
        if len(seed) != 32:
            raise ValueError("the seed has 32 bytes")
        if not 1 <= records <= 2**56 or not 1 <= batch <= 2**24:
            raise ValueError("records must be 1 to 2**56, batch 1 to 2**24")
        if not 1 <= ranks <= 2**20 or not 1 <= micro_batches < 2**16:
            raise ValueError("ranks must be 1 to 2**20, micro_batches 1 to 2**16 - 1")
        self.records, self.batch, self.ranks, self.micro_batches = records, batch, ranks, micro_batches
        self._prefix = len(_DOMAIN).to_bytes(4, "little") + _DOMAIN + bytes(seed)
        self._half = max(1, ((records - 1).bit_length() + 1) // 2)

    def permuted(self, epoch, at):
        """The record at place `at` of an epoch."""
        if not 0 <= at < self.records:
            raise IndexError(f"place {at} of {self.records} records")
        value = self._network(epoch, at)
        while value >= self.records:
            value = self._network(epoch, value)
        return value

    def indices(self, step, rank=0, micro_batch=0):
        """The records of one unit's batch, in their order."""
        if not 0 <= rank < self.ranks or not 0 <= micro_batch < self.micro_batches or step < 0:
            raise IndexError("the order has no such unit")
        first = ((step * self.ranks + rank) * self.micro_batches + micro_batch) * self.batch
        return [self.permuted(*divmod(first + place, self.records)) for place in range(self.batch)]

    def _network(self, epoch, value):
        mask = (1 << self._half) - 1
        left, right = value >> self._half, value & mask
        for round_number in range(_ROUNDS):
            data = self._prefix + epoch.to_bytes(8, "little") + bytes([round_number]) + right.to_bytes(8, "little")
            first = int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
            left, right = right, left ^ (first & mask)
        return (left << self._half) | right

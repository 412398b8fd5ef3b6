"""Capture of whole optimizer steps of a PyTorch training loop, which stays as it is.

Nothing happens until a capture is ordered, by `order(...)` or by the environment:

    WEIGHBRIDGE_CAPTURE        folder that gets one folder per captured step
    WEIGHBRIDGE_CAPTURE_STEPS  steps, counted from 0: "0,10,200"
    WEIGHBRIDGE_CAPTURE_RANK, WEIGHBRIDGE_CAPTURE_ATTEMPT   what the trace says of itself; 0 without them

A captured step keeps every intermediate tensor until it is written: it costs memory and time, other steps cost nothing.
No error of the capture reaches the training: it is counted, said once on standard error, and the step goes without trace.
"""
import os

_session = None


def order(folder, steps, rank=0, attempt=0, max_bytes=8 << 30):
    """Orders the capture of these steps into `folder`; replaces an earlier order. Returns the session."""
    global _session
    from weighbridge_client import session

    cancel()
    _session = session.Session(os.fspath(folder), set(steps), rank, attempt, max_bytes)
    _session.arm()
    return _session


def from_environment(environment=None):
    """Orders what the environment says; does nothing without it."""
    environment = os.environ if environment is None else environment
    folder = environment.get("WEIGHBRIDGE_CAPTURE")
    if not folder:
        return None
    steps = [int(part) for part in environment.get("WEIGHBRIDGE_CAPTURE_STEPS", "0").split(",") if part.strip()]
    rank = int(environment.get("WEIGHBRIDGE_CAPTURE_RANK", environment.get("RANK", "0")))
    return order(folder, steps, rank=rank, attempt=int(environment.get("WEIGHBRIDGE_CAPTURE_ATTEMPT", "0")))


def batch(**tensors):
    """Names the tensors of the next micro-batch. Not needed with a torch DataLoader; without an order it does nothing."""
    if _session is not None:
        _session.note_batch(tensors)


def cancel():
    """Ends an order, also in the middle of a step."""
    global _session
    if _session is not None:
        _session.disarm()
        _session = None

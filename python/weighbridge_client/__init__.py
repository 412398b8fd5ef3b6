"""Weighbridge in a training job: capture of ordered steps, and the committed order of records.

Importing this package imports nothing outside the standard library. PyTorch is needed only where a step is captured.
"""
from weighbridge_client.order import Order

__all__ = ["Order"]
__version__ = "0.1.0"

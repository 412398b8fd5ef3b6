"""Weighbridge in a training job: reports to the node service, capture of ordered steps, the committed order of records.

Importing this package imports nothing outside the standard library. PyTorch is needed only where a step is captured.
"""
from weighbridge_client.order import Order
from weighbridge_client.reporter import Reporter

__all__ = ["Order", "Reporter"]
__version__ = "0.1.0"

"""What options choose among, where others than the options have to know."""

from typing import Literal

Batching = Literal["in-order", "by-length", "token-budget"]
LogLevel = Literal["debug", "info", "warning", "error"]

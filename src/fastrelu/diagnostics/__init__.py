"""Statistics of arrays and networks: zeros, dead and saturated units, mean and spread; plots of activations."""

from typing import Any

from fastrelu.diagnostics.curves import plot
from fastrelu.diagnostics.monitor import LayerReport, Monitor
from fastrelu.diagnostics.summary import Running, Summary, dead_from_mask, saturation_limits, summarize

__all__ = ["LayerReport", "Monitor", "Running", "Summary", "dead_from_mask", "plot", "saturation_limits", "summarize"]

_public: Any
for _public in (LayerReport, Monitor, Running, Summary, dead_from_mask, plot, saturation_limits, summarize):
    _public.__module__ = __name__  # the name in pickles and messages

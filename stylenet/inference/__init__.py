"""Trained styles at work: one style on one device, many pictures, several devices.

The room owns what a person may want of a styled picture (``Finish``), the jobs that a command line means, and their running.
It exports ``Stylizer`` and ``stylize``, and what styles many pictures.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.inference.batch import Files as Files
    from stylenet.inference.batch import Summary as Summary
    from stylenet.inference.batch import stylize_many as stylize_many
    from stylenet.inference.distributed import stylize_on_devices as stylize_on_devices
    from stylenet.inference.finish import Finish as Finish
    from stylenet.inference.folders import Job as Job
    from stylenet.inference.folders import plan_jobs as plan_jobs
    from stylenet.inference.stylizer import Stylizer as Stylizer
    from stylenet.inference.stylizer import stylize as stylize

__all__ = [
    "Files",
    "Finish",
    "Job",
    "Stylizer",
    "Summary",
    "plan_jobs",
    "stylize",
    "stylize_many",
    "stylize_on_devices",
]

__getattr__ = exporter(
    __name__,
    {
        "batch": ["Files", "Summary", "stylize_many"],
        "distributed": ["stylize_on_devices"],
        "folders": ["Job", "plan_jobs"],
        "finish": ["Finish"],
        "stylizer": ["Look", "Stylizer", "stylize"],
    },
)

"""Trained styles at work: one style on one device, many pictures, sets of any size on machines of any number.

The room owns what a person may want of a styled picture (``Finish``), the jobs that a command line means, and their running.
It exports ``Stylizer`` and ``stylize``, and what styles many pictures.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.inference.at_scale import Scale as Scale
    from stylenet.inference.batch import stylize_many as stylize_many
    from stylenet.inference.file_rules import Files as Files
    from stylenet.inference.finish import Finish as Finish
    from stylenet.inference.folders import Job as Job
    from stylenet.inference.folders import plan_jobs as plan_jobs
    from stylenet.inference.stylizer import Stylizer as Stylizer
    from stylenet.inference.stylizer import stylize as stylize
    from stylenet.inference.summary import Summary as Summary

__all__ = [
    "Files",
    "Finish",
    "Job",
    "Scale",
    "Stylizer",
    "Summary",
    "plan_jobs",
    "stylize",
    "stylize_many",
]

__getattr__ = exporter(
    __name__,
    {
        "batch": ["stylize_many"],
        "file_rules": ["Files"],
        "summary": ["Summary"],
        "at_scale": ["Scale"],
        "folders": ["Job", "plan_jobs"],
        "finish": ["Finish"],
        "stylizer": ["Look", "Stylizer", "stylize"],
    },
)

"""The page: photos, searches, trainings, videos and the webcam in a browser, on this machine.

The room owns the server, its limits and its queue. It knows the public API and the command line alone: what takes long runs as
the command that a person would type, in a process of its own, so that it can be stopped, and ends with the server.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.web.limits import Limits as Limits
    from stylenet.web.server import serve as serve

__all__ = ["Limits", "serve"]

__getattr__ = exporter(__name__, {"limits": ["Limits"], "server": ["serve"]})

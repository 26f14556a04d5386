"""Videos through a trained style: frames in constant memory, steadier than the frames by themselves.

The room owns videos as streams of frames, their files and folders, and what keeps neighbouring frames alike.
It exports ``stylize_video`` and its result, and what opens videos for reading and writing.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.video.frames import Frame as Frame
    from stylenet.video.frames import Video as Video
    from stylenet.video.frames import VideoWriter as VideoWriter
    from stylenet.video.reader import open_video as open_video
    from stylenet.video.stylize import VideoResult as VideoResult
    from stylenet.video.stylize import stylize_video as stylize_video
    from stylenet.video.writer import open_writer as open_writer

__all__ = [
    "Frame",
    "Video",
    "VideoResult",
    "VideoWriter",
    "open_video",
    "open_writer",
    "stylize_video",
]

__getattr__ = exporter(
    __name__,
    {
        "frames": ["Video", "VideoWriter", "Frame"],
        "reader": ["open_video"],
        "stylize": ["VideoResult", "stylize_video"],
        "writer": ["open_writer"],
    },
)

"""Films through a trained style: frames in constant memory, steadier than the frames by themselves.

The room owns films as streams of frames, their files and folders, and what keeps neighbouring frames alike.
It exports ``stylize_video`` and its result, and what opens films for reading and writing.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.video.film import Film as Film
    from stylenet.video.film import FilmWriter as FilmWriter
    from stylenet.video.film import Frame as Frame
    from stylenet.video.reader import open_film as open_film
    from stylenet.video.stylize import VideoResult as VideoResult
    from stylenet.video.stylize import stylize_video as stylize_video
    from stylenet.video.writer import open_writer as open_writer

__all__ = [
    "Film",
    "FilmWriter",
    "Frame",
    "VideoResult",
    "open_film",
    "open_writer",
    "stylize_video",
]

__getattr__ = exporter(
    __name__,
    {
        "film": ["Film", "FilmWriter", "Frame"],
        "reader": ["open_film"],
        "stylize": ["VideoResult", "stylize_video"],
        "writer": ["open_writer"],
    },
)

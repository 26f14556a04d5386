"""Choose where the frames of a video go: one file (``encoder.py``), or a folder of PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylenet.errors import InputError, argument
from stylenet.files import check_writable
from stylenet.formats import WRITTEN_VIDEOS, ending
from stylenet.images.picture import write_image
from stylenet.video.encoder import VideoFile
from stylenet.video.folder import PictureFolder
from stylenet.video.frames import Frame, Video, VideoWriter
from stylenet.video.gif import GifFile

if TYPE_CHECKING:
    import av


def open_writer(path: str | Path, video: Video, crf: int = 18, overwrite: bool = False) -> VideoWriter:
    """Return what writes a video under a name: its ending picks the container; without one it is a folder.

    Args:
        path: ``.mp4 .m4v .mov .mkv .webm .gif``, or a folder.
        video: whose timing, sound and names are carried over.
        crf: CRF of H.264 and VP9.
        overwrite: replace what is there.

    Raises:
        InputError: if it exists, is the video itself, cannot be written, or has another ending.
    """
    target = Path(path)
    if target.exists() and target.resolve() == video.path.resolve():
        raise InputError(f"{path} is the video itself: give the output another name")
    if target.is_dir() or not target.suffix:
        return PngFolder(target, video, overwrite)
    if ending(target) not in WRITTEN_VIDEOS:
        raise InputError(
            f"cannot write {path}: its ending must be one of {', '.join(WRITTEN_VIDEOS)}, or none for a folder of PNGs"
        )
    if target.exists() and not overwrite:
        raise InputError(f"{path} exists: give another name, or {argument('overwrite', True)}")
    check_writable(target)
    return GifFile(target, video) if ending(target) == ".gif" else VideoFile(target, video, crf)


class PngFolder(VideoWriter):
    """A PNG for each frame, named after the picture it was, or ``frame_000001.png``; transparency is kept."""

    def __init__(self, path: Path, video: Video, overwrite: bool) -> None:
        super().__init__(path)
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            raise InputError(f"{path} is a folder with files in it: give another name, or {argument('overwrite', True)}")
        check_writable(path / "frame_000001.png")
        self._named = isinstance(video, PictureFolder)
        if video.others:
            self.notes.append("a folder of pictures has no sound: it is left out")

    def write(self, frame: Frame) -> None:
        name = Path(frame.picture.name).stem if self._named else f"frame_{self.count + 1:06d}"
        write_image(frame.picture, self.path / f"{name}.png")
        self.count += 1

    def copy(self, packet: av.Packet) -> None:
        """Do nothing, as pictures have no other streams."""

    def interrupt(self) -> None:
        """Do nothing, as nothing waits."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        """Do nothing, as each picture is in place already."""

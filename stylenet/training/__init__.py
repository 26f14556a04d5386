"""Engine 2: the weights of a network are the variables (Johnson, Alahi & Fei-Fei, ECCV 2016).

The room owns photos and their loading, the LightningModule, the optimizer and the callbacks, and the download of COCO.
It exports ``train``, the module, the data module and the optimizer.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.training.data import PhotoDataModule as PhotoDataModule
    from stylenet.training.module import StyleTraining as StyleTraining
    from stylenet.training.muon import Muon as Muon
    from stylenet.training.photos import Photo as Photo
    from stylenet.training.photos import find_photos as find_photos
    from stylenet.training.run import train as train

__all__ = [
    "Muon",
    "Photo",
    "PhotoDataModule",
    "StyleTraining",
    "find_photos",
    "train",
]

__getattr__ = exporter(
    __name__,
    {
        "data": ["PhotoDataModule"],
        "module": ["StyleTraining"],
        "muon": ["Muon"],
        "photos": ["Photo", "find_photos"],
        "run": ["train"],
    },
)

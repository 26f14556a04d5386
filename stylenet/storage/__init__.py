"""Files wherever they lie: on this machine, in object stores, and in zip archives in either.

A *place* is a path, or an address such as ``s3://bucket/photos/1.jpg``. The room owns how places are named, read, written
and listed; fsspec and its drivers do the talking. Paths go straight to :mod:`stylenet.files`.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.storage.archives import is_archive as is_archive
    from stylenet.storage.archives import member_size as member_size
    from stylenet.storage.archives import members as members
    from stylenet.storage.archives import open_member as open_member
    from stylenet.storage.listing import list_names as list_names
    from stylenet.storage.listing import walk as walk
    from stylenet.storage.places import is_address as is_address
    from stylenet.storage.places import join as join
    from stylenet.storage.places import marked as marked
    from stylenet.storage.places import name_of as name_of
    from stylenet.storage.places import parent_of as parent_of
    from stylenet.storage.reading import exists as exists
    from stylenet.storage.reading import fetched as fetched
    from stylenet.storage.reading import is_folder as is_folder
    from stylenet.storage.reading import open_read as open_read
    from stylenet.storage.reading import read as read
    from stylenet.storage.writing import check_apart as check_apart
    from stylenet.storage.writing import check_apart_from as check_apart_from
    from stylenet.storage.writing import check_writable as check_writable
    from stylenet.storage.writing import copy as copy
    from stylenet.storage.writing import delete as delete
    from stylenet.storage.writing import replacing as replacing
    from stylenet.storage.writing import write as write

__all__ = [
    "check_apart",
    "check_apart_from",
    "check_writable",
    "copy",
    "delete",
    "exists",
    "fetched",
    "is_address",
    "is_archive",
    "is_folder",
    "join",
    "list_names",
    "marked",
    "member_size",
    "members",
    "name_of",
    "open_member",
    "open_read",
    "parent_of",
    "read",
    "replacing",
    "walk",
    "write",
]

__getattr__ = exporter(
    __name__,
    {
        "archives": ["is_archive", "member_size", "members", "open_member"],
        "listing": ["list_names", "walk"],
        "places": ["is_address", "join", "marked", "name_of", "parent_of"],
        "reading": ["exists", "fetched", "is_folder", "open_read", "read"],
        "writing": ["check_apart", "check_apart_from", "check_writable", "copy", "delete", "replacing", "write"],
    },
)

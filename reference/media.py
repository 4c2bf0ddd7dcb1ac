"""The media objects of an export folder: listed, never opened; and the objects that attachments name."""

import pathlib

CONTENT_TYPES = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp",
    "heic": "image/heic", "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mp3": "audio/mpeg",
    "m4a": "audio/mp4", "ogg": "audio/ogg", "opus": "audio/opus", "wav": "audio/wav", "pdf": "application/pdf",
    "txt": "text/plain", "zip": "application/zip",
}
OTHER = "application/octet-stream"


def objects(export):
    """A row of bronze.media for each file below `<export>/media`."""
    root = pathlib.Path(export, "media")
    files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []
    return [_object(root, path) for path in files]


def _object(root, path):
    status = path.stat()
    return {
        "key": path.relative_to(root).as_posix(),
        "size_bytes": status.st_size,
        # A local folder has no tag that a copy of it keeps.
        "etag": None,
        "last_modified": status.st_mtime_ns // 1000,
        "content_type": content_type(path.name),
        "source_system": "s3",
    }


def content_type(name):
    """By what follows the last dot, unless nothing comes before it."""
    stem, dot, extension = name.rpartition(".")
    return CONTENT_TYPES.get(extension.lower(), OTHER) if dot and stem else OTHER


def key_of(url):
    """The object that an address names, None when it names none."""
    if url is None:
        return None
    path = url.split("?")[0].split("#")[0]
    if "/media/" in path:
        key = path.rsplit("/media/", 1)[1]
    elif path.startswith("media/"):
        key = path.removeprefix("media/")
    elif "://" in path:
        return None
    else:
        key = path.lstrip("/")
    return key or None

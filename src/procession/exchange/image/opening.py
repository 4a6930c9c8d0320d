"""Opening an image: from its path to a tree that an overlay reads, and what to run in it."""

from __future__ import annotations

import hashlib
import os

from procession.abi.named_tuple import NamedTuple
from procession.exchange.image.cache import LayerCache, default_directory
from procession.exchange.image.config import ImageConfig
from procession.exchange.image.error import ImageError
from procession.exchange.image.manifest import LayerBlob, read_manifest
from procession.exchange.image.merge import LayerMerger
from procession.exchange.image.source import FileRegion, ImageSource, open_source
from procession.fs.host_source import HostDescriptor
from procession.fs.image_tree import ImageTree

SIZE_LIMIT = 8 << 30
"""How many bytes an image's layers may have, and its files too."""


class Image(NamedTuple):
    """An opened image."""

    tree: ImageTree
    config: ImageConfig


def open_image(path: str | os.PathLike[str], cache_directory: str | None = None) -> Image:
    """Open the OCI layout, a directory or an archive, or the archive of `docker save` at `path`.

    `PATH:NAME` picks one of several. Layers are decompressed once, into `cache_directory`, by default one of
    the user's own. Raises ImageError for an image that can't be used, and OSError.
    """
    place, wanted = _split_name(os.fspath(path))
    cache = LayerCache(cache_directory or default_directory())
    try:
        source = open_source(place, cache.path, min(SIZE_LIMIT, _room(cache.path) // 2))
        manifest = read_manifest(source, wanted)
        merger = LayerMerger(SIZE_LIMIT)
        size_left = SIZE_LIMIT
        layers: list[HostDescriptor] = []
        for blob in manifest.layers:
            layer = _find_layer(cache, source, blob, min(size_left, _room(cache.path) // 2))
            length = os.fstat(layer.number).st_size
            size_left -= length
            if size_left < 0:
                raise ImageError(f"the layers have more than {SIZE_LIMIT} bytes when they are decompressed")
            merger.add_layer(FileRegion(layer, 0, length), length)
            layers.append(layer)
    except ImageError as error:
        raise ImageError(f"{place}: {error}") from None
    digest = hashlib.sha256(",".join(manifest.config.diff_ids).encode()).hexdigest()
    return Image(ImageTree(b"sha256:" + digest.encode(), merger.root, layers), manifest.config)


def _split_name(path: str) -> tuple[str, str]:
    """`PATH:NAME` in two, unless there is something that is called so."""
    if os.path.lexists(path):
        return path, ""
    position = path.find(":")
    while position >= 0:
        if os.path.exists(path[:position]):
            return path[:position], path[position + 1 :]
        position = path.find(":", position + 1)
    return path, ""


def _room(directory: str) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _find_layer(cache: LayerCache, source: ImageSource, blob: LayerBlob, limit: int) -> HostDescriptor:
    found = cache.find(blob.diff_id)
    if found is not None:
        return found
    region = source.open(blob.name)
    if blob.size is not None and region.length != blob.size:
        raise ImageError(f"a layer has {region.length} bytes, not {blob.size}")
    return cache.add(region, blob.digest, blob.diff_id, limit)

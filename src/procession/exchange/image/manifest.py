"""Which image is meant, and which layers it has: the manifests of OCI layouts and of `docker save`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from procession.abi.named_tuple import NamedTuple
from procession.exchange.image.config import ARCHITECTURE, LAYERS_LIMIT, ImageConfig, parse_config
from procession.exchange.image.descriptor import (
    Descriptor,
    check_digest,
    items_of,
    members_of,
    parse_descriptor,
    parse_json,
    text_of,
    texts_of,
)
from procession.exchange.image.error import ImageError

if TYPE_CHECKING:
    from procession.exchange.image.source import ImageSource

_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_INDEXES_LIMIT = 100
_MANIFESTS_LIMIT = 10_000
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")


class LayerBlob(NamedTuple):
    """One layer as it's stored: `digest` and `size` are the stored form's, where a manifest tells them."""

    name: str
    digest: str | None
    size: int | None
    diff_id: str


class Manifest(NamedTuple):
    """An image: what to run, and the layers, the lowest first."""

    config: ImageConfig
    layers: list[LayerBlob]


def read_manifest(source: ImageSource, wanted: str) -> Manifest:
    """The image called `wanted`, "" if there is only one, in `source`. Raises ImageError."""
    if source.has("index.json"):
        return _read_layout(source, wanted)
    if source.has("manifest.json"):
        return _read_saved(source, wanted)
    raise ImageError("it has neither an index.json, as OCI layouts have, nor docker's manifest.json")


def _blob(source: ImageSource, descriptor: Descriptor, what: str) -> bytes:
    data = source.read(_blob_name(descriptor))
    if len(data) != descriptor.size:
        raise ImageError(f"{what} has {len(data)} bytes, not {descriptor.size}")
    check_digest(data, descriptor.digest, what)
    return data


def _blob_name(descriptor: Descriptor) -> str:
    # A digest that was checked is two words of lower-case letters and digits.
    return "blobs/" + descriptor.digest.replace(":", "/")


def _read_layout(source: ImageSource, wanted: str) -> Manifest:
    """OCI image specification, image-layout.md."""
    if source.has("oci-layout"):
        layout = members_of(parse_json(source.read("oci-layout"), "oci-layout"), "oci-layout")
        version = text_of(layout.get("imageLayoutVersion"), "imageLayoutVersion")
        if version.partition(".")[0] != "1":
            raise ImageError(f"the layout is of an unknown version, {version[:80]!r}")
    descriptor = _choose(_manifests_of(source), wanted)
    document = parse_json(_blob(source, descriptor, "the manifest"), "the manifest")
    manifest = members_of(document, "the manifest")
    config_descriptor = parse_descriptor(manifest.get("config"), "the configuration")
    config_text = _blob(source, config_descriptor, "the configuration")
    config = parse_config(parse_json(config_text, "the configuration"))
    stored = [parse_descriptor(item, "a layer") for item in _layers_of(manifest.get("layers"), config)]
    return Manifest(
        config,
        [
            LayerBlob(_blob_name(layer), layer.digest, layer.size, diff_id)
            for layer, diff_id in zip(stored, config.diff_ids, strict=True)
        ],
    )


def _layers_of(value: Any, config: ImageConfig) -> list[Any]:
    layers = items_of(value, "layers")
    if len(layers) != len(config.diff_ids) or len(layers) > LAYERS_LIMIT:
        raise ImageError(f"the image has {len(layers)} layers, but {len(config.diff_ids)} digests for them")
    return layers


def _manifests_of(source: ImageSource) -> list[Descriptor]:
    """All images of a layout that can run here, those in nested indexes too."""
    waiting: list[tuple[bytes, tuple[str, ...]]] = [(source.read("index.json"), ())]
    seen: set[str] = set()
    found: list[Descriptor] = []
    while waiting:
        text, names = waiting.pop(0)
        index = members_of(parse_json(text, "the index"), "the index")
        for item in items_of(index.get("manifests"), "manifests"):
            descriptor = parse_descriptor(item, "a manifest")
            descriptor = descriptor._replace(names=descriptor.names or names)
            if descriptor.media_type in _INDEX_TYPES:
                if descriptor.digest in seen:
                    continue
                seen.add(descriptor.digest)
                if len(seen) > _INDEXES_LIMIT:
                    raise ImageError(f"there are more than {_INDEXES_LIMIT} indexes")
                waiting.append((_blob(source, descriptor, "an index"), descriptor.names))
            elif descriptor.platform in (None, ("linux", ARCHITECTURE)):
                found.append(descriptor)
                if len(found) > _MANIFESTS_LIMIT:
                    raise ImageError(f"there are more than {_MANIFESTS_LIMIT} images")
    return found


def _is_called(names: tuple[str, ...], wanted: str) -> bool:
    return any(name == wanted or name.endswith((":" + wanted, "/" + wanted)) for name in names)


def _choose(found: list[Descriptor], wanted: str) -> Descriptor:
    candidates = [each for each in found if not wanted or _is_called(each.names, wanted)]
    if len({each.digest for each in candidates}) == 1:
        return candidates[0]
    _explain([each.names for each in found], wanted)
    raise AssertionError


def _explain(names: list[tuple[str, ...]], wanted: str) -> None:
    """Raise ImageError for a choice that can't be made."""
    if not names:
        raise ImageError(f"there is no image for linux/{ARCHITECTURE} in it")
    listed = ", ".join(sorted(ascii(name)[1:-1] for each in names for name in each)[:20])
    raise ImageError(
        f"there is no single image called {wanted!r} in it: {listed or 'they have no names'}"
        if wanted
        else f"there are several images in it, name one as in PATH:NAME: {listed or 'they have no names'}"
    )


def _read_saved(source: ImageSource, wanted: str) -> Manifest:
    """What `docker save` writes (Docker image specification v1.2)."""
    items = items_of(parse_json(source.read("manifest.json"), "manifest.json"), "manifest.json")
    images = [members_of(item, "an image") for item in items]
    names = [texts_of(image.get("RepoTags"), "RepoTags") for image in images]
    chosen = [
        image for image, each in zip(images, names, strict=True) if not wanted or _is_called(each, wanted)
    ]
    if len(chosen) != 1:
        _explain(names, wanted)
    image = chosen[0]
    config_name = text_of(image.get("Config"), "Config")
    config_text = source.read(_inner_name(config_name))
    digest = _HEXADECIMAL.search(config_name)
    if digest is not None:
        check_digest(config_text, f"sha256:{digest[0]}", "the configuration")
    config = parse_config(parse_json(config_text, "the configuration"))
    layers = _layers_of(image.get("Layers"), config)
    return Manifest(
        config,
        [
            LayerBlob(_inner_name(text_of(layer, "a layer")), None, None, diff_id)
            for layer, diff_id in zip(layers, config.diff_ids, strict=True)
        ],
    )


def _inner_name(name: str) -> str:
    """A name that an image gives of one of its own files. Raises ImageError for one that leads elsewhere."""
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise ImageError(f"the image names a file outside itself: {name[:200]!r}")
    return name

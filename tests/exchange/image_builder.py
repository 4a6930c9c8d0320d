"""Builds container images for tests: layers, OCI layouts, and archives as `docker save` writes them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


class LayerBuilder:
    """An archive in the making; each method adds an entry."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()
        self.archive = tarfile.TarFile(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, data: bytes = b"", **attributes: Any) -> LayerBuilder:
        """A regular file, or what `type` says."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        for key, value in attributes.items():
            setattr(member, key, value)
        self.archive.addfile(member, io.BytesIO(data))
        return self

    def directory(self, name: str, **attributes: Any) -> LayerBuilder:
        """A directory."""
        return self.add(name, **{"type": tarfile.DIRTYPE, "mode": 0o755, **attributes})

    def symlink(self, name: str, target: str) -> LayerBuilder:
        """A symbolic link."""
        return self.add(name, type=tarfile.SYMTYPE, linkname=target)

    def link(self, name: str, target: str) -> LayerBuilder:
        """A hard link."""
        return self.add(name, type=tarfile.LNKTYPE, linkname=target)

    def raw(self, data: bytes) -> LayerBuilder:
        """Whatever bytes, such as a header of one's own."""
        self.archive.fileobj.write(data)
        self.archive.offset += len(data)
        return self

    def finish(self) -> bytes:
        """The archive's bytes."""
        self.archive.close()
        return self.buffer.getvalue()


def digest_of(data: bytes) -> str:
    """The digest of `data` as images write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config_of(layers: Sequence[bytes], **settings: Any) -> dict[str, Any]:
    """A configuration document for plain layers."""
    return {
        "os": "linux",
        "architecture": "amd64",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
    }


class LayoutBuilder:
    """An OCI layout in the directory `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifests: list[dict[str, Any]] = []
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Add a blob; its descriptor."""
        digest = digest_of(data)
        (self.path / "blobs" / digest.replace(":", "/")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def document(self, value: Any, media_type: str, **more: Any) -> dict[str, Any]:
        """Add a document; its descriptor."""
        return self.blob(json.dumps(value).encode(), media_type, **more)

    def image(
        self, stored: Sequence[bytes], config: dict[str, Any], name: str = "", **more: Any
    ) -> dict[str, Any]:
        """Add an image of layers as they are stored; its descriptor, which isn't in the index yet."""
        manifest = {
            "schemaVersion": 2,
            "config": self.document(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [self.blob(layer, LAYER_TYPE) for layer in stored],
        }
        if name:
            more["annotations"] = {"org.opencontainers.image.ref.name": name}
        return self.document(manifest, MANIFEST_TYPE, **more)

    def finish(self, *manifests: dict[str, Any]) -> Path:
        """Write the index; the layout's path."""
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
        return self.path


def make_layout(path: Path, layers: Sequence[bytes], **settings: Any) -> Path:
    """An OCI layout with one image of gzip-compressed layers."""
    layout = LayoutBuilder(path)
    stored = [gzip.compress(layer, 1) for layer in layers]
    return layout.finish(layout.image(stored, config_of(layers, **settings)))


def make_saved_archive(path: Path, layers: Sequence[bytes], **settings: Any) -> Path:
    """An archive as `docker save` of Docker 24 writes it, where one layer that is there twice is a link."""
    config = json.dumps(config_of(layers, **settings)).encode()
    config_name = digest_of(config).partition(":")[2] + ".json"
    archive = LayerBuilder().add(config_name, config)
    names: list[str] = []
    for position, layer in enumerate(layers):
        name = f"layer{position}/layer.tar"
        archive.directory(f"layer{position}")
        if layer in layers[:position]:
            archive.symlink(name, f"../{names[layers.index(layer)]}")
        else:
            archive.add(name, layer)
        names.append(name)
    manifest = [{"Config": config_name, "RepoTags": ["box:latest"], "Layers": names}]
    archive.add("manifest.json", json.dumps(manifest).encode())
    path.write_bytes(archive.finish())
    return path

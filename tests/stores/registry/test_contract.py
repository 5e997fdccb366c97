"""What every registry does: manifests by digest, tags that name them, and the removal of one tag and no other."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

import pytest

from kfold.stores.fake_registry import FakeRegistry
from kfold.stores.registry import HttpRegistry
from kfold.stores.registry_interface import OCI_INDEX, OCI_MANIFEST, DeletionRefused, Manifest, Registry, RegistryError
from tests.registry.server import Server


@dataclass
class Subject:
    """A registry under test, one of its kind that deletes nothing, and a repository of the test's own."""

    registry: Registry
    strict: Registry
    repository: str

    def image(self, word: str, *, strict: bool = False) -> Manifest:
        """An image of one small config and one small layer, its parts uploaded."""
        registry = self.strict if strict else self.registry
        config = registry.upload(self.repository, json.dumps({"os": "linux", "word": word}).encode())
        layer = registry.upload(self.repository, word.encode())
        content = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config,
                "size": len(registry.blob(self.repository, config)),
            },
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": len(word.encode())}
            ],
        }
        return Manifest(OCI_MANIFEST, json.dumps(content).encode())

    def pushed(self, word: str, *tags: str) -> Manifest:
        manifest = self.image(word)
        for tag in tags:
            self.registry.put(self.repository, tag, manifest)
        return manifest

    def named(self) -> dict[str, str]:
        return {tag: self.registry.digest(self.repository, tag) for tag in self.registry.tags(self.repository)}


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest, fresh: Server) -> Subject:
    repository = f"team/t{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        return Subject(FakeRegistry(), FakeRegistry(delete=False), repository)
    server: Server = request.getfixturevalue("server")
    fresh.delete = False
    fresh.start()
    return Subject(HttpRegistry(server.host), HttpRegistry(fresh.host), repository)


def test_a_manifest_is_found_by_tag_and_by_digest(subject: Subject) -> None:
    registry, repository = subject.registry, subject.repository
    assert registry.digest(repository, "1") == "" and registry.manifest(repository, "1") is None
    assert list(registry.tags(repository)) == []
    manifest = subject.pushed("a", "1", "latest")
    assert registry.digest(repository, "1") == registry.digest(repository, manifest.digest) == manifest.digest
    assert registry.manifest(repository, "latest") == registry.manifest(repository, manifest.digest) == manifest
    assert sorted(registry.tags(repository)) == ["1", "latest"]
    assert sorted(registry.tags_of(repository, manifest.digest)) == ["1", "latest"]
    assert manifest.is_of(manifest.config) and manifest.is_of(manifest.digest) and not manifest.is_of("sha256:0")


def test_a_tag_moves_and_is_put_back(subject: Subject) -> None:
    first, second = subject.pushed("a", "1"), subject.pushed("b", "1")
    assert subject.named() == {"1": second.digest}
    old = subject.registry.manifest(subject.repository, first.digest)
    assert old == first
    subject.registry.put(subject.repository, "1", old)
    assert subject.named() == {"1": first.digest}


def test_parts_are_there_or_not(subject: Subject) -> None:
    manifest = subject.image("a")
    assert subject.registry.has_blob(subject.repository, manifest.config)
    assert json.loads(subject.registry.blob(subject.repository, manifest.config))["word"] == "a"
    assert not subject.registry.has_blob(subject.repository, f"sha256:{'0' * 64}")
    lacking = Manifest(OCI_MANIFEST, manifest.content.replace(manifest.config.encode(), b"sha256:" + b"0" * 64))
    with pytest.raises(RegistryError, match="blob unknown"):
        subject.registry.put(subject.repository, "1", lacking)
    with pytest.raises(RegistryError):
        subject.registry.blob(subject.repository, f"sha256:{'0' * 64}")


def test_an_index_needs_its_children(subject: Subject) -> None:
    registry, repository = subject.registry, subject.repository
    child = subject.image("a")
    entry = {"mediaType": OCI_MANIFEST, "digest": child.digest, "size": len(child.content)}
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = Manifest(OCI_INDEX, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode())
    with pytest.raises(RegistryError):
        registry.put(repository, "1", index)
    registry.put(repository, child.digest, child)
    registry.put(repository, "1", index)
    found = registry.manifest(repository, "1")
    assert found == index and found is not None and found.children == (child.digest,)
    assert registry.digest(repository, "1") == index.digest
    assert registry.remove_tag(repository, "1", keep=False)
    assert registry.digest(repository, index.digest) == ""
    assert registry.digest(repository, child.digest) == child.digest
    assert registry.remove_manifest(repository, child.digest)
    assert registry.digest(repository, child.digest) == ""


@pytest.mark.parametrize("keep", [True, False])
def test_a_tag_goes_alone_where_others_name_the_same(subject: Subject, keep: bool) -> None:
    manifest = subject.pushed("a", "ours", "theirs")
    other = subject.pushed("b", "other")
    assert subject.registry.remove_tag(subject.repository, "ours", keep=keep)
    assert subject.named() == {"theirs": manifest.digest, "other": other.digest}
    assert subject.registry.manifest(subject.repository, manifest.digest) == manifest
    assert subject.registry.remove_tag(subject.repository, "ours", keep=keep) is False


@pytest.mark.parametrize("keep", [True, False])
def test_the_last_tag_takes_its_manifest_unless_it_is_to_stay(subject: Subject, keep: bool) -> None:
    manifest = subject.pushed("a", "ours")
    assert subject.registry.remove_tag(subject.repository, "ours", keep=keep)
    assert subject.named() == {}
    assert subject.registry.digest(subject.repository, manifest.digest) == (manifest.digest if keep else "")


def test_removing_a_manifest_takes_its_tags(subject: Subject) -> None:
    manifest = subject.pushed("a", "1", "2")
    assert subject.registry.remove_manifest(subject.repository, manifest.digest)
    assert subject.named() == {}
    assert subject.registry.remove_manifest(subject.repository, manifest.digest) is False


@pytest.mark.parametrize("keep", [True, False])
def test_where_nothing_is_deleted_nothing_changes(subject: Subject, keep: bool) -> None:
    manifest = subject.image("a", strict=True)
    subject.strict.put(subject.repository, "1", manifest)
    with pytest.raises(DeletionRefused):
        subject.strict.remove_tag(subject.repository, "1", keep=keep)
    with pytest.raises(DeletionRefused):
        subject.strict.remove_manifest(subject.repository, manifest.digest)
    assert subject.strict.digest(subject.repository, "1") == manifest.digest
    assert list(subject.strict.tags(subject.repository)) == ["1"]


def test_a_fake_fails_once() -> None:
    registry = FakeRegistry()
    registry.fail("digest", RegistryError("no"))
    with pytest.raises(RegistryError, match="no"):
        registry.digest("a", "1")
    assert registry.digest("a", "1") == ""

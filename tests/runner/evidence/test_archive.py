import json
import shutil
import tarfile
from pathlib import Path

import pytest

from runner.errors import Damaged, UserError
from runner.evidence import archive, log


@pytest.fixture
def root(trained: Path) -> Path:
    return trained.parents[2]


def names(folder: Path) -> list[str]:
    """The files of a run's evidence."""
    return ["manifest.json", *log.read_run(folder).manifest["files"]]


def test_publishing_copies_evidence_and_no_checkpoint_and_does_nothing_twice(root, trained, tmp_path):
    runs = archive.ended(root, "mlp-ratio", "smoke")
    (folder,) = archive.publish(runs, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["manifest.json", *runs[0].manifest["files"]])
    assert archive.publish(runs, tmp_path) == []
    (folder / "metrics.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="does not match the checksum of its manifest"):
        archive.ended(tmp_path)
    assert archive.publish(runs, tmp_path) == [folder]
    assert len(archive.ended(tmp_path)) == 1


def test_publishing_that_fails_leaves_what_was_published(root, tmp_path, monkeypatch):
    (run,) = archive.ended(root, "mlp-ratio", "smoke")
    (folder,) = archive.publish([run], tmp_path)
    (folder / "samples.txt").write_text("another one")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write = archive.write_atomic

    def full(path, content):
        if path.name == "manifest.json":
            raise OSError(28, "No space left on device", str(path))
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(archive, "write_atomic", full)
        with pytest.raises(OSError, match="No space"):
            archive.publish([run], tmp_path)
    with pytest.raises(UserError, match="has changed while it was copied"):
        archive.publish([log.Run(run.path, run.manifest | {"finished": "later"})], tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["mlp-ratio"], "nothing is left beside it"
    assert archive.publish([run], tmp_path) == [folder]


def test_publishing_loses_no_evidence(root, trained, tmp_path):
    runs = archive.ended(root, "mlp-ratio", "smoke")
    (folder,) = archive.publish(runs, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["samples.parquet"] = "0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"lacks samples\.parquet, which .* would lose: make it there"):
        archive.publish(runs, tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_archive_arrives_as_it_was_packed(root, trained, tmp_path):
    runs = archive.ended(root)
    assert archive.pack(runs, tmp_path / "logs.tar") == (tmp_path / "logs.tar").stat().st_size
    (folder,) = archive.unpack(tmp_path / "logs.tar", tmp_path / "logs")
    assert all((folder / name).read_bytes() == (trained / name).read_bytes() for name in names(trained))


def test_an_archive_that_is_too_large_is_not_written(root, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST", 100)
    with pytest.raises(UserError, match=r"pack one experiment \(--experiment\) or one profile"):
        archive.pack(archive.ended(root), tmp_path / "logs.tar")
    assert not (tmp_path / "logs.tar").exists()


def test_what_does_not_hold_is_not_taken_in(root, trained, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        archive.unpack(tmp_path / "logs.tar", tmp_path / "logs")
    (tmp_path / "cut.tar").write_bytes(b"\x1f\x8b not an archive")
    with pytest.raises(Damaged, match="is no archive, or damaged"):
        archive.unpack(tmp_path / "cut.tar", tmp_path / "logs")
    with tarfile.open(tmp_path / "forged.tar", "w:gz") as tar:
        for name in names(trained):
            path = trained / (name if name != "samples.txt" else "manifest.json")
            tar.add(path, f"mlp-ratio/smoke/r1-s0/{name}")
    with pytest.raises(UserError, match=r"samples\.txt does not match the checksum"):
        archive.unpack(tmp_path / "forged.tar", tmp_path / "logs")
    with tarfile.open(tmp_path / "empty.tar", "w:gz"):
        pass
    with pytest.raises(UserError, match="holds no run"):
        archive.unpack(tmp_path / "empty.tar", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_a_path_that_leaves_the_folder_is_refused(tmp_path, trained):
    with tarfile.open(tmp_path / "evil.tar", "w:gz") as tar:
        tar.add(trained / "manifest.json", "../../evil.json")
    with pytest.raises(Damaged, match="cannot be unpacked"):
        archive.unpack(tmp_path / "evil.tar", tmp_path / "a" / "logs")
    assert not (tmp_path / "evil.json").exists()


def test_a_manifest_that_points_elsewhere_is_refused(tmp_path, trained):
    """The folder that evidence goes to follows from its manifest, so the manifest must belong where it lies."""
    folder = tmp_path / "runs" / "mlp-ratio" / "smoke" / "r1-s0"
    shutil.copytree(trained, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for change in ({"experiment": "..", "run": "victim"}, {"files": {"../../x": ""}}):
        (folder / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(UserError, match=r"move it back to that folder|no evidence"):
            archive.ended(tmp_path / "runs")


def test_evidence_that_arrives_is_written_once_it_holds(trained, tmp_path):
    files = {name: (trained / name).read_bytes() for name in names(trained)}
    identity = json.loads(files["manifest.json"])["identity"]
    folder = tmp_path / "mlp-ratio" / "smoke" / trained.name
    for wrong, message in (
        ({"metrics.parquet": b""}, "does not match the checksum of its manifest"),
        ({"manifest.json": b"{}"}, "has schema None"),
    ):
        with pytest.raises(UserError, match=message):
            archive.receive(files | wrong, folder, identity)
    with pytest.raises(UserError, match="is not the evidence of this run"):
        archive.receive(files, folder, "another")
    with pytest.raises(UserError, match="move it back to that folder"):
        archive.receive(files, tmp_path / "mlp-ratio" / "smoke" / "other", identity)
    assert not list(tmp_path.iterdir())
    archive.receive(files, folder, identity)
    assert all((folder / name).read_bytes() == content for name, content in files.items())


def test_packing_makes_no_folder(tmp_path):
    with pytest.raises(UserError, match="does not exist: make that folder"):
        archive.pack([], tmp_path / "nowhere" / "logs.tar")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UserError, match=f"{tmp_path} is a folder: name the archive's file"):
        archive.pack([], tmp_path)

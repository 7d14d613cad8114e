"""The description of a packed file as an RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), which repositories read."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from carbon_midl.errors import InputError
from carbon_midl.sharing.archive import PACK
from carbon_midl.sharing.stored import EPOCHS, MANIFEST, PART, RUNS, SLICES, StoredResults, sha256

CRATE = "ro-crate-metadata.json"
CITATION = "CITATION.cff"
# The context of 1.1 has no term for a hash.
_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}]
_FILES = {
    RUNS: ("text/csv", "One row a run: Dice, energy before PUE in kWh, carbon in gCO2eq, with their factors"),
    EPOCHS: ("text/csv", "One row a run and epoch: losses, validation Dice, energy before PUE in kWh"),
    SLICES: ("application/gzip", "One row a run and validation or test slice: areas in px and Dice; CSV, compressed"),
    MANIFEST: ("application/json", "Where the results come from: crops, split, options, machines, versions, sensors"),
    "study.toml": ("application/toml", "The study: which runs, on which crops, with which options"),
}

# It has the hash of this description, so that its own cannot be here.
_PACK_FILE = {
    "@id": PACK,
    "@type": "File",
    "name": PACK,
    "description": "Size and SHA-256 of every other file, and the machines that the results come from",
    "encodingFormat": "application/json",
}


@dataclass(frozen=True)
class Citation:
    """Who to cite, and under which licence.

    Attributes:
        authors: as in a file in the Citation File Format: people, or bodies with a ``name``.
        licence: identifier in the SPDX list, such as "MIT".
    """

    authors: tuple[dict[str, Any], ...]
    licence: str


def read_citation(path: Path) -> Citation:
    """Read authors and licence from a ``CITATION.cff``.

    Raises:
        InputError: there is no such file, or it lacks one of the two.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as {CITATION} ({error}).") from None
    authors = content.get("authors") if isinstance(content, dict) else None
    licence = content.get("license") if isinstance(content, dict) else None
    if not isinstance(licence, str) or not isinstance(authors, list) or not all(map(_name, authors)) or not authors:
        raise InputError(f"{path}: expected 'authors', each with a name, and 'license', such as CC-BY-4.0.")
    return Citation(tuple(authors), licence)


def find_citation(directory: Path) -> Path:
    """The nearest ``CITATION.cff`` in a directory that ``directory`` lies in.

    Raises:
        InputError: there is none.
    """
    directory = Path(directory).absolute()
    for parent in (directory, *directory.parents):
        if (parent / CITATION).is_file():
            return parent / CITATION
    raise InputError(
        f"{directory}: no {CITATION} here or above; an RO-Crate names authors and licence: --citation FILE"
    )


def crate(stored: StoredResults, files: dict[str, bytes], citation: Citation) -> bytes:
    """The content of ``ro-crate-metadata.json``.

    Args:
        stored: the results.
        files: all that is packed beside it, by name.
        citation: authors and licence.
    """
    manifest = stored.manifest
    authors = [_author(number, author) for number, author in enumerate(citation.authors, start=1)]
    licence = f"https://spdx.org/licenses/{citation.licence}"
    actions = [_action(stored, row, authors) for row in stored.runs.to_dict("records")]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{manifest['title']} (study {manifest['study']})",
        "description": f"Test Dice, energy and carbon footprint of {len(actions)} networks trained with carbon-midl.",
        "datePublished": manifest["dates"]["last"],
        "license": {"@id": licence},
        "author": _references(authors),
        "hasPart": [{"@id": name} for name in sorted([*files, PACK])],
        "mentions": _references(actions),
        "isBasedOn": {"@id": "#crops"},
    }
    descriptor = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    graph = [
        descriptor,
        root,
        *(_file(name, content) for name, content in sorted(files.items())),
        _PACK_FILE,
        {"@id": licence, "@type": "CreativeWork", "name": citation.licence},
        *authors,
        _crops(manifest["crops"]),
        *_softwares(manifest["environments"]),
        *actions,
    ]
    return (json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=2) + "\n").encode()


def _file(name: str, content: bytes) -> dict[str, Any]:
    kind, about = _FILES[name]
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "description": about,
        "encodingFormat": kind,
        "contentSize": str(len(content)),
        "sha256": sha256(content),
    }


def _name(author: Any) -> str:
    if not isinstance(author, dict):
        return ""
    person = " ".join(str(author[key]) for key in ("given-names", "family-names", "name-suffix") if key in author)
    return str(author.get("name") or person)


def _author(number: int, author: dict[str, Any]) -> dict[str, Any]:
    kind = "Person" if "family-names" in author else "Organization"
    return {"@id": str(author.get("orcid") or f"#author-{number}"), "@type": kind, "name": _name(author)}


def _crops(crops: dict[str, Any]) -> dict[str, Any]:
    source = crops.get("source", {})
    entity = {
        "@id": "#crops",
        "@type": "Dataset",
        "name": f"Crop archive {crops['fingerprint'][:12]}",
        "identifier": crops["fingerprint"],
        "description": f"{crops.get('slices')} crops of {crops['size']} px of {crops.get('patients')} patients: "
        + "; ".join(str(source[key]) for key in ("kind", "images", "annotations") if key in source),
    }
    return entity | ({"license": source["licence"]} if "licence" in source else {})


def _softwares(environments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entity a program and version."""
    found = {}
    for environment in environments:
        for name, version in environment.get("versions", {}).items():
            entity = {"@id": f"#software-{quote(f'{name}-{version}')}", "@type": "SoftwareApplication"}
            found[entity["@id"]] = entity | {"name": name, "version": version, "softwareVersion": version}
    return list(found.values())


def _action(stored: StoredResults, row: dict[Any, Any], authors: list[dict[str, Any]]) -> dict[str, Any]:
    """The training and test of one run; its environments are those of its part."""
    environments = stored.manifest["environments"]
    for part in stored.manifest.get("parts", []):
        if part["part"] == row.get(PART):
            environments = part["environments"]
    return {
        "@id": f"#run-{quote(row['run'])}",
        "@type": "CreateAction",
        "name": f"Training and test of {row['run']}",
        "agent": _references(authors),
        "instrument": _references(_softwares(environments)),
        "object": {"@id": "#crops"},
        "result": [{"@id": name} for name in (RUNS, EPOCHS, SLICES)],
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }


def _references(entities: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"@id": entity["@id"]} for entity in entities]

"""The model to export: found on the hub or in a directory, and looked through before anything is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from description import SHORTEST_MAX_LENGTH, TOKENIZER_FILE
from tokens import Encoder

from conversion.findings import ExportRefused

_HEAD = "ForSequenceClassification"
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# what a model of numbered labels calls them: Hugging Face's own, or the bare number
_NO_NAME = re.compile(r"(LABEL_)?\d+")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.json", "*.txt", "*.safetensors", "pytorch_model*.bin"]
_HUB_SECONDS = 10.0


@dataclass(frozen=True)
class Source:
    """A model that can be exported.

    Args:
        name: As the user gave it; of a directory only its last part, so that no path of a laptop is written.
        revision: Commit on the hub; None for a directory.
        folder: Where its files are.
        architecture: Name of its class in transformers.
        labels: By the index of their logit.
        max_length: Tokens of a text at most.
        pad_id: Token that fills up shorter texts.
    """

    name: str
    revision: str | None
    folder: Path
    architecture: str
    labels: tuple[str, ...]
    max_length: int
    pad_id: int


def open_source(model: str, revision: str, labels: Sequence[str] | None, max_length: int) -> Source:
    """Find a model and check what can be checked without loading it.

    Args:
        model: A directory, or a name on the hub.
        revision: Branch, tag or commit on the hub.
        labels: Names by index, where the model has none.
        max_length: Tokens of a text at most.

    Raises:
        ExportRefused: With all findings.
    """
    folder, commit = Path(model), None
    if not folder.is_dir():
        folder, commit = _from_hub(model, revision)
    config = _config(folder)
    findings: list[str] = []
    architecture = _architecture(config, findings)
    names = _labels(config, labels, findings)
    _check_length(config, max_length, findings)
    _check_tokenizer(folder, config, max_length, findings)
    if not any((folder / name).is_file() for name in _WEIGHTS):
        findings.append(f"there are no weights: one of {', '.join(_WEIGHTS)} is needed")
    if findings:
        raise ExportRefused(*(f"{model}: {finding}" for finding in findings))
    pad = config.get("pad_token_id")
    name = model if commit else folder.resolve().name
    return Source(
        name, commit, folder, architecture, tuple(names), max_length, pad if type(pad) is int else 0
    )


def _from_hub(model: str, revision: str) -> tuple[Path, str]:
    if not _HUB_NAME.fullmatch(model):
        raise ExportRefused(f"{model}: no such directory, and not a name on the hub such as owner/model")
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        # first a small question with a time limit, then the files, of exactly one commit
        commit = huggingface_hub.HfApi().model_info(model, revision=revision, timeout=_HUB_SECONDS).sha
        path = huggingface_hub.snapshot_download(model, revision=commit, allow_patterns=_HUB_FILES)
    except GatedRepoError:
        raise ExportRefused(
            f"{model}: the hub gives it only to those who accepted its terms: log in with `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise ExportRefused(f"{model}: the hub has no such model: correct the name") from None
    except RevisionNotFoundError:
        raise ExportRefused(f"{model}: the hub has no revision {revision}: correct it") from None
    except Exception as error:  # whatever the HTTP library of this release raises
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ExportRefused(
            f"{model}: the Hugging Face hub cannot be reached ({reason}). Get the model on a machine that "
            f"reaches it (`hf download {model} --local-dir DIRECTORY`), copy the directory here and give it "
            "instead of the name: make koelectra MODEL=DIRECTORY"
        ) from None
    return Path(path), str(commit)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ExportRefused(
            f"{folder}: there is no config.json: give the directory that save_pretrained wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ExportRefused(f"{path}: is no readable JSON: {error}") from None
    if not isinstance(config, dict):
        raise ExportRefused(f"{path}: is not a JSON object")
    return config


def _architecture(config: dict[str, Any], findings: list[str]) -> str:
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    if not name.endswith(_HEAD):
        findings.append(
            f"config.json says architectures {names!r}: a model with a head for classifying texts is needed "
            f"(...{_HEAD}), one that was fine-tuned, not one that was only pretrained"
        )
    kind = config.get("problem_type")
    if kind not in (None, "single_label_classification"):
        findings.append(f"its problem_type is {kind}: only models that choose one label are served")
    return name


def _labels(config: dict[str, Any], wanted: Sequence[str] | None, findings: list[str]) -> list[str]:
    """The names of the labels; never guessed, because a wrong order turns every answer into its opposite."""
    known = config.get("id2label") or {}
    if not isinstance(known, dict) or sorted(known) != [str(index) for index in range(len(known))]:
        findings.append(f"config.json has id2label {known!r}: names for the numbers 0, 1, ... are needed")
        return []
    # without an id2label transformers itself takes two
    count = len(known) or 2
    names = [str(known.get(str(index), f"LABEL_{index}")).strip() for index in range(count)]
    if count < 2:
        findings.append("it has one label, so that it rates instead of choosing: two or more are needed")
        return names
    nameless = all(_NO_NAME.fullmatch(name) for name in names)
    if wanted is None:
        if nameless:
            findings.append(
                f"its labels have no names ({', '.join(names)}): give them in the order of the numbers, for "
                "NSMC: --labels negative,positive"
            )
        elif len(set(names)) != count or not all(names):
            findings.append(f"its labels are {names}: each needs a name of its own; give --labels")
        return names
    if len(wanted) != count or len(set(wanted)) != count or not all(wanted):
        findings.append(f"--labels {','.join(wanted)}: it has {count} labels, give a different name for each")
    elif not nameless and [name.casefold() for name in names] != [name.casefold() for name in wanted]:
        findings.append(
            f"--labels {','.join(wanted)}: its own config.json says {','.join(names)}; leave --labels away, "
            "or correct config.json if that is wrong"
        )
    return list(wanted)


def _check_length(config: dict[str, Any], max_length: int, findings: list[str]) -> None:
    most = config.get("max_position_embeddings", 512)
    if not SHORTEST_MAX_LENGTH <= max_length <= most:
        findings.append(f"--max-length {max_length}: this model takes {SHORTEST_MAX_LENGTH} to {most} tokens")


def _check_tokenizer(folder: Path, config: dict[str, Any], max_length: int, findings: list[str]) -> None:
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        findings.append(
            f"there is no {TOKENIZER_FILE}: have transformers write it by "
            "AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY)"
        )
        return
    try:
        vocabulary = Encoder(path, max_length).vocabulary
    except (OSError, ValueError) as error:
        findings.append(str(error))
        return
    rows = config.get("vocab_size")
    if type(rows) is int and vocabulary > rows:
        findings.append(
            f"{TOKENIZER_FILE} has {vocabulary:,} tokens, the network {rows:,}: they are of different models"
        )

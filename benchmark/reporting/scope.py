"""How large the runs of a ledger are, and what they are no statement about."""

from __future__ import annotations

from benchmark.analysis.facts import is_comparable
from benchmark.ledger import Ledger
from benchmark.reporting.wording import counted, listed

STAGES = {"backbone_stage": "a network", "fusion_stage": "a fusion method", "joint_stage": "a pair end to end"}

WEIGHTS = {"imagenet": "ImageNet"}


def scope_sentences(ledger: Ledger) -> list[str]:
    """Return the size of the runs in words, and on other data than the paper's that its numbers are not judged.

    Empty for a ledger that does not tell its image size.
    """
    settings = ledger.experiment["settings"]
    size = settings.get("data", {}).get("image_size")
    if size is None:
        return []
    epochs = [f"{counted(settings[stage]['epochs'], 'epoch')} for {what}" for stage, what in STAGES.items()]
    on_cpu = {record.device for record in ledger.records} == {"cpu"}
    sentences = [
        f"{'CPU-sized runs' if on_cpu else 'Size of the runs'}: images of {size}×{size} pixels, "
        f"{_start(settings.get('weights'))}, {listed(epochs)}, {counted(settings['seeds'], 'seed')}."
    ]
    if not is_comparable(ledger):
        title = ledger.experiment["dataset"]["title"]
        sentences.append(f"They are about {title}, and no statement about the paper's own numbers on RAF-DB.")
    return sentences


def _start(weights: str | dict[str, str] | None) -> str:
    """Return where the networks start, those that are named one by one after the others."""
    named = weights if isinstance(weights, dict) else {"default": weights or "none"}
    return ", ".join(
        f"{'networks' if name == 'default' else name} "
        + ("trained from scratch" if source == "none" else f"started from {WEIGHTS.get(source, source)} weights")
        for name, source in sorted(named.items(), key=lambda item: item[0] != "default")
    )

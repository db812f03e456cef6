"""``windfirm quickstart``: the main job, from the package's own weights and images to a table and a page."""

import json
from argparse import Namespace
from pathlib import Path

from windfirm import console, data
from windfirm.commands.folder import results
from windfirm.commands.rounds import describe
from windfirm.commands.shared import print_json, printer
from windfirm.evaluate.stored import to_json
from windfirm.files import write_text
from windfirm.models.checkpoint import save
from windfirm.models.device import pick
from windfirm.models.source import Source, open_model
from windfirm.report.card import card
from windfirm.report.comparison_words import answer, doubts
from windfirm.report.figure import Layer
from windfirm.report.page import page
from windfirm.report.table import methods, table
from windfirm.study.provenance import digest
from windfirm.study.quickstart import Plan, Report, quickstart


def run(args: Namespace) -> None:
    """Run the study, write page, model card, networks and numbers, print the answer."""
    device = pick(args.device)
    source = open_model("resnet56")
    out = Path(args.out)
    with results(out) as place:
        plan = Plan()
        report = quickstart(source, plan, seed=args.seed, device=device, bar=console.bar)
        save(report.smaller.cpu(), place / "pruned.safetensors", arch=source.arch)
        save(report.control.cpu(), place / "control.safetensors", arch=source.arch)
        document = to_json(report.comparison) | {
            "rounds": [describe(entry) for entry in report.rounds],
            "provenance": report.provenance,
        }
        write_text(place / "comparison.json", json.dumps(document, indent=1) + "\n")
        text = page(
            report.comparison,
            title="Does pruning make a ResNet-56 harder to fool?",
            examples=report.examples,
            classes=report.classes,
            profile=[Layer(*layer) for layer in report.profile],
            provenance={"command": f"windfirm quickstart --seed {args.seed}"} | report.provenance,
        )
        write_text(place / "report.html", text)
        found = [*answer(report.comparison), *doubts(report.comparison)]
        text = card(_record(report, plan, source, args.seed), file="pruned.safetensors", found=found)
        write_text(place / "MODEL_CARD.md", text)
    if args.json:
        print_json(document)
        return
    show = printer()
    show.print("\n".join([*answer(report.comparison), *doubts(report.comparison)]) + "\n")
    show.print(table(report.comparison))
    show.print(f"\n{report.provenance['data']}; {report.provenance['hardware']}; {report.provenance['time']}")
    for name, what in methods(report.comparison):
        show.print(f"  {name}: {what}")
    show.print(f"page: {out / 'report.html'}   networks: {out / 'pruned.safetensors'}, {out / 'control.safetensors'}")


def _record(report: Report, plan: Plan, source: Source, seed: int) -> dict[str, object]:
    """The pruning as ``windfirm prune`` would write it down, for the model card."""
    training = data.load("embedded", "train")[: plan.images]
    networks = {subject.role: subject for subject in report.comparison.subjects}
    before, after = ({"macs": networks[role].macs, "params": networks[role].params} for role in ("F", "F'"))
    ran = [plan.epochs] * plan.rounds
    return {
        "model": source.name,
        "arch": source.arch,
        "structure": "filters",
        "criterion": plan.criterion,
        "target": {"macs": plan.macs, "protect": plan.protect},
        "adjust": "fine-tuning",
        "adjustment": {"name": "fine-tuning", "epochs": {"pruned": ran, "control": ran}},
        "before": before,
        "after": after,
        "rounds": [describe(entry) for entry in report.rounds],
        "input": training.shape,
        "normalisation": None,
        "data": training.name,
        "digest": digest(training),
        "images": len(training),
        "seed": seed,
        "hardware": report.provenance["hardware"],
        "versions": report.provenance["versions"],
    }

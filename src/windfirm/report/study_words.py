"""What a study's numbers allow one to say, in sentences, each with its limits."""

import math
from collections.abc import Sequence

from windfirm.attack.budget import MEANS
from windfirm.evaluate.compare import CLEAN, Versus
from windfirm.evaluate.several import COVERED
from windfirm.evaluate.warnings import among, harm
from windfirm.report import words
from windfirm.report.line import Gain, Line
from windfirm.report.study_questions import MEANT, attacked, questions, verdicts
from windfirm.report.study_table import agreement, missing
from windfirm.report.summary import Summary, answers, distinct

#: Accuracy in percent that counts as none, and the end of its interval up to which one can say so.
FLOOR, SURE = 1.0, 10.0
#: Warnings told one by one; the rest is counted.
TOLD = 8
#: Lines that a sentence names; more are counted.
NAMED = 5


def answer(summary: Summary) -> list[str]:
    """The poster's question for a whole study: against F, against the control, on clean images, as far as it goes."""
    sentences = [
        _robust(summary),
        _clean(summary),
        _whole(summary),
        _poster(summary),
        _twice(summary),
        *questions(summary),
        _unlike(summary),
        _power(summary),
        *_floors(summary),
        _partial(summary),
        _limits(summary),
    ]
    return [sentence for sentence in sentences if sentence]


def doubts(summary: Summary) -> list[str]:
    """What the outcomes say against each other: reasons to doubt a training or an attack. One line a reason."""
    found: dict[str, None] = dict.fromkeys(_harm(summary))
    for line in summary.lines:
        for role, by_seed in line.outcomes.items():
            for seed, outcomes in by_seed.items():
                attacks = [outcome for name, outcome in outcomes.items() if name not in MEANS]
                for finding in among(attacks):
                    who = f"{words.prime(role)} of {line.label}, seed {seed}"
                    found[f"Warning, {who}: {finding.kind}: {finding.text}."] = None
    lines = [*found]
    return (
        lines
        if len(lines) <= TOLD
        else [*lines[:TOLD], f"{words.several(len(lines) - TOLD, 'more warning')} of this kind."]
    )


def _harm(summary: Summary) -> list[str]:
    """One line for each control, however many lines of the table have it in common."""
    column = next((name for name in CLEAN if name in summary.columns), "")
    found: dict[tuple[int, str], list[str]] = {}
    for line in summary.lines:
        f, control = (line.outcomes.get(role, {}) for role in ("F", "control"))
        for seed in sorted(f.keys() & control.keys()):
            if column in f[seed] and column in control[seed]:
                for finding in harm(control[seed][column], f[seed][column]):
                    found.setdefault((seed, f"{finding.kind}: {finding.text}"), []).append(line.label)
    return [f"Warning, control of {_called(labels)}, seed {seed}: {text}." for (seed, text), labels in found.items()]


def _robust(summary: Summary) -> str:
    columns = attacked(summary)
    if not columns or not summary.versus():
        return "Nothing here compares a pruned network with another under an attack."
    said = [f"compared with F, F′ {_ways(summary, 'F')}"] if "F" in summary.versus() else []
    if "control" in summary.versus():
        where = " where there is one," if _partly(summary) else ""
        who = f"compared with the control, trained again alike but not cut,{where} {'it' if said else 'F′'}"
        said.append(f"{who} {_ways(summary, 'control')}")
    else:
        said.append("no control was measured, so the cut cannot be told from any training that followed it")
    text = f"{'; '.join(said)}. {_by_column(summary, columns)}".strip()
    return text[0].upper() + text[1:]


def _ways(summary: Summary, versus: Versus) -> str:
    return _in_cases(*verdicts(summary.distinct, versus, attacked(summary)))


def _in_cases(more: int, less: int, of: int) -> str:
    if not more and not less:
        return f"differs beyond chance in none of {of:,} cases under attack"
    return f"is more robust in {more:,} and less in {less:,} of {of:,} cases under attack"


def _partly(summary: Summary) -> bool:
    """Whether some of the pruned networks that were measured have a control and others have none."""
    measured = [line for line in summary.pruned if any(line.gains.values())]
    return not all(line.gains[versus] for line in measured for versus in summary.versus())


def _by_column(summary: Summary, columns: Sequence[str]) -> str:
    """The mean gain of each attack against either rival, so that the extra training is seen."""
    said = []
    for column in columns[:MEANT]:
        means = []
        for versus in summary.versus():
            mean = summary.mean_gain(versus, column)
            if mean is not None:
                means.append(f"{words.signed(mean)} over {'F' if versus == 'F' else 'the control'}")
        if means:
            said.append(f"{column} {words.listing(means)}")
    where = ", where there is a control" if _partly(summary) else ""
    return f"Mean gain in points{where}: {'; '.join(said)}." if said else ""


def _clean(summary: Summary) -> str:
    column = next((name for name in CLEAN if name in summary.columns), "")
    found = {versus: summary.gains(versus, column) for versus in summary.versus()}
    said = [
        f"F′ − {versus} is {_range([gain.delta.points for _, gain in gains])} points; {_lost(gains)}"
        for versus, gains in found.items()
        if gains
    ]
    return f"On clean images {'. '.join(said)}." if said else ""


def _lost(gains: Sequence[tuple[Line, Gain]]) -> str:
    lost = [line.label for line, gain in gains if gain.delta.points < 0 and (gain.delta.lost or gain.delta.high < 0)]
    if not lost:
        worst = min(gain.delta.low for _, gain in gains)
        return f"no loss is shown{f', though intervals go down to {words.signed(worst)}' if worst < 0 else ''}"
    where = words.listing(lost) if len(lost) <= NAMED else f"{len(lost):,} of {len(gains):,} cases"
    return f"F′ is less accurate in {where}"


def _poster(summary: Summary) -> str:
    if summary.form is None:
        return ""
    found, lacking = agreement(summary), missing(summary)
    said = (
        f"Of the poster’s {len(summary.form.published)} numbers in its table {summary.form.number}, {found.measured} "
    )
    said += "have a counterpart here"
    if not found.measured:
        return f"{said}."
    said += (
        f"; {found.same} of them have its sign, {found.shown} beyond chance, and {found.other} the other one beyond "
        f"chance; {found.within} of the poster’s numbers lie within the interval of their counterpart"
    )
    return f"{said}{f'; {len(lacking)} were not measured' if lacking else ''}."


def _twice(summary: Summary) -> str:
    """Pruned networks that no image tells apart, as where a toss chooses what another line asks for."""
    columns = attacked(summary)
    found: dict[tuple[str, ...], list[int]] = {}
    for seed in summary.seeds:
        alike: dict[tuple[tuple[str, bytes], ...], list[str]] = {}
        for line in summary.lines:
            known = line.outcomes.get("F'", {}).get(seed, {})
            if any(column in columns for column in known):
                alike.setdefault(answers(known), []).append(line.label)
        for labels in alike.values():
            if len(labels) > 1:
                found.setdefault(tuple(labels), []).append(seed)
    said = [
        f"the F′ of {_called(labels)} with seed{'s' * (len(seeds) > 1)} {words.listing([*map(str, seeds)])}"
        for labels, seeds in found.items()
    ]
    how = "Not to be told apart here, as one network may stand in two lines, are"
    once = " Lines of which that is so with every seed count once, in cases and means."
    return f"{how}: {'; '.join(said)}.{once}" if said else ""


def _whole(summary: Summary) -> str:
    """What is trained otherwise and not cut, which is not counted among the pruned networks."""
    columns, lines = attacked(summary), distinct(summary.whole)
    more, less, of = verdicts(lines, "F", columns)
    if not of:
        return ""
    clean = [line.gains["F"][column].delta.points for column in CLEAN for line in lines if column in line.gains["F"]]
    names = _called([line.label for line in lines])
    said = f"Not pruned, and not counted in the sentences before: {names}. Compared with F, they are"
    said += f" more robust in {more:,} and less in {less:,} of {of:,} cases under attack"
    return f"{said}{f'; clean, {_range(clean)} points' if clean else ''}."


def _unlike(summary: Summary) -> str:
    """That an adjustment which spends as much as F's training gives the smaller network more epochs."""
    names = {
        name for line in summary.pruned if (name := line.point.get("adjust.name", summary.settings.get("adjust.name")))
    }
    if "control" not in summary.versus() or "scratch-b" not in names:
        return ""
    return "Under scratch-b F′ is trained for more epochs than its control, for as many as cost the same."


def _power(summary: Summary) -> str:
    """What these images would have shown, so that a difference that is not named is not taken for none."""
    said = []
    for column in attacked(summary)[:MEANT]:
        found = [gain.delta.smallest for _, gain in summary.gains(summary.rival, column)]
        known = sorted(points for points in found if math.isfinite(points))
        if known:
            said.append(f"{words.decimal(known[len(known) // 2])} under {column}")
    if not said:
        return ""
    who = "F" if summary.rival == "F" else "the control"
    return (
        f"A difference from {who} would have shown, with a chance of 80 %, from about, in points, "
        f"{words.listing(said)}; smaller ones may be there and not be seen."
    )


def _floors(summary: Summary) -> list[str]:
    """Attacks of many steps that leave nothing, which say what a gain under a single step is worth."""
    floors, iterative = [], [c for c in attacked(summary) if c.startswith(words.ITERATIVE)]
    for column in iterative:
        known = [shares[column] for line in summary.lines for shares in line.shares.values() if column in shares]
        most = max((share.percent for share in known), default=100.0)
        if most < FLOOR and all(share.high < SURE for share in known):
            floors.append(f"{column} (at most {words.decimal(most)} %)")
    fgsm = any(column.startswith("fgsm") for column in summary.columns)
    if floors:
        rest = ", so gains under FGSM say nothing about a determined attacker" if fgsm else ""
        return [f"Every network is at the floor under {words.listing(floors)}{rest}."]
    if fgsm and not iterative:
        return ["FGSM takes a single step: accuracy under it says nothing yet about iterative attacks such as PGD."]
    return []


def _partial(summary: Summary) -> str:
    """How many differences have fewer seeds than the study has."""
    gains = [gain for line in summary.lines for known in line.gains.values() for gain in known.values()]
    fewer = sum(len(gain.each) < len(summary.seeds) for gain in gains)
    if not fewer:
        return ""
    seeds = words.several(len(summary.seeds), "seed")
    return f"Not all is there: {fewer:,} of {len(gains):,} differences are of fewer than {seeds}."


def _limits(summary: Summary) -> str:
    images = words.listing([f"{count:,}" for count in summary.images])
    data = words.listing(summary.about.get("data", ())) or "the test images"
    who = f"On {images} images of {data} and {words.several(len(summary.seeds), 'seed')}"
    held = [hold for seeds, hold in COVERED.items() if seeds <= len(summary.seeds)]
    limits = (
        "intervals are for other images and other seeds; where seeds differ far more than images do, about "
        f"{held[-1]} of 100 hold and not 95, as seeds are few; "
        "p-values and their correction are for other images alone, so that some of the differences named may be luck "
        "of the seeds"
        if held
        else "intervals and p-values are for other images, not for other seeds"
    )
    same = "; all seeds begin with the same F" if summary.one_f else ""
    tests = f"a difference is named where p < 0.05 after Holm’s correction for all {summary.tests:,} tests of the table"
    rough = "A smoke run, whose numbers mean nothing. " if summary.about.get("scale") == ("smoke",) else ""
    clean = "a loss of clean accuracy is admitted without the correction"
    return f"{rough}{who}{same}; {limits}; {tests} and the interval leaves out zero; {clean}."


def _called(labels: Sequence[str]) -> str:
    """Some lines by their labels; many by their number."""
    return words.listing(labels) if len(labels) <= NAMED else f"{len(labels):,} lines"


def _range(points: Sequence[float]) -> str:
    low, high = words.signed(min(points)), words.signed(max(points))
    return low if low == high else f"between {low} and {high}"

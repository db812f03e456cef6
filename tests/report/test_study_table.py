import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.studied import THREE, four, rows
from windfirm.report.markup import md, tex
from windfirm.report.study_table import agreement, best, latex, markdown, missing, records, tidy_csv
from windfirm.report.study_words import answer
from windfirm.report.summary import Summary, summaries, summary
from windfirm.report.words import interval, poster

BETTER = THREE | {"F'": four(75, 85, 24, 94)}


def table() -> Summary:
    return summary(
        [*rows("table3", {"prune.criterion": "pls"}, THREE), *rows("table3", {"prune.criterion": "l1"}, BETTER)]
    )


def test_the_largest_gain_of_a_column_is_the_best() -> None:
    assert best(table(), "F") == {
        ("ℓ1-norm", "semantic"),
        ("ℓ1-norm", "occlusion"),
        ("PLS", "fgsm"),
        ("ℓ1-norm", "clean"),
        ("ℓ1-norm", "average"),
    }


def test_gains_that_are_alike_are_all_the_best_unless_no_gain_is_less() -> None:
    right = {"l1": BETTER, "l2": BETTER, "pls": THREE}
    made = [row for name in right for row in rows("table3", {"prune.criterion": name}, right[name])]
    found = best(summary(made), "F")
    assert {label for label, column in found if column == "clean"} == {"ℓ1-norm", "L2"}
    assert best(summary([row for row in made if row.point["prune.criterion"] != "pls"]), "F") == set()


def test_the_best_is_told_from_what_is_printed() -> None:
    right = {"l1": 3030, "l2": 3031, "pls": 3027}  # +0.300, +0.310 and +0.270 of 10,000, so 3 more are 0.03 points
    made = [
        row
        for name, count in right.items()
        for row in rows("table3", {"prune.criterion": name}, {"F": {"fgsm": 3000}, "F'": {"fgsm": count}}, total=10_000)
    ]
    assert best(summary(made), "F") == {("L2", "fgsm")}


def test_a_single_line_has_no_best() -> None:
    assert best(summary(rows("table3", {"prune.criterion": "pls"}, THREE)), "F") == set()


def test_in_the_first_table_each_architecture_has_its_best() -> None:
    made = [
        row
        for arch in ("resnet56", "mobilenet-v2")
        for structure, right in (("filters", THREE), ("layers", BETTER))
        for row in rows("table1", {"network.arch": arch, "prune.structure": structure}, right)
    ]
    found = best(summary(made), "F")
    assert {label for label, column in found if column == "clean"} == {"ResNet56, Layers", "MobileNetV2, Layers"}


def test_signs_that_agree_with_the_poster_are_counted() -> None:
    # PLS: semantic, fgsm and average as published. l1: semantic, fgsm, clean and average; occlusion fell there.
    assert agreement(table())[:4] == (10, 7, 2, 0)


def test_a_sign_that_is_not_the_posters_does_not_agree_however_sure_it_is() -> None:
    # Of PLS the poster's numbers are all gains; here semantic alone is one, and the loss under FGSM is no chance.
    found = summary(rows("table3", {"prune.criterion": "pls"}, THREE | {"F'": four(72, 78, 5, 92)}))
    assert found.lines[0].gains["F"]["fgsm"].delta.verdict == "less"
    assert agreement(found)[:4] == (5, 1, 0, 2)


def test_the_posters_numbers_within_our_intervals_are_counted() -> None:
    made = table()
    gains = [(gain.delta, gain.published) for line in made.lines for gain in line.gains["F"].values()]
    assert agreement(made).within == sum(delta.low <= number <= delta.high for delta, number in gains if number)
    assert 0 < agreement(made).within < 10


def test_places_without_a_number_are_listed() -> None:
    lacking = missing(table())
    assert len(lacking) == 15
    assert ("HRank", "fgsm") in lacking


def test_markdown_has_a_table_of_accuracies_and_one_for_each_comparison() -> None:
    parts = markdown(table()).split("\n\n")
    heads = ["| accuracy, %", "| F′ − F", "| F′ − control"]
    assert [part.splitlines()[0].split(" | ")[0] for part in parts[:3]] == heads
    assert parts[3].startswith("Percentage points, with 95 % intervals. Bold: the largest of its column. ")
    assert parts[1].splitlines()[2].endswith(" | −10.0 % |")  # of the MACs
    first = parts[1].splitlines()[2]
    assert first.startswith("| ℓ1-norm | **(+) 5.00** [")
    assert first.count("; poster (") == 5
    assert "; poster" not in parts[2]


def test_networks_that_lines_do_not_share_stand_with_each_line() -> None:
    made = [
        *rows("mine", {"prune.ratio": 0.1}, THREE),
        *rows("mine", {"prune.ratio": 0.3}, THREE | {"F": four(60, 80, 20, 93)}),
    ]
    cells = [line.split(" | ")[:2] for line in markdown(summary(made)).split("\n\n")[0].splitlines()[2:]]
    assert cells == [
        ["| control", "71.00"],
        ["| ratio 0.1: F", "70.00"], ["| ratio 0.1: F′", "72.00"],
        ["| ratio 0.3: F", "60.00"], ["| ratio 0.3: F′", "72.00"],
    ]  # fmt: skip


def test_each_difference_stands_with_its_own_interval_in_the_table_of_its_comparison() -> None:
    found = table()
    tables = zip(found.versus(), latex(found).split("\n\n"), markdown(found).split("\n\n")[1:3], strict=True)
    for versus, text, piped in tables:
        plain = re.sub(r"\$\^\{\*\}\$|\\textbf\{|\{\\scriptsize |\}", "", text.replace(r"$\pm$", "±")).replace(
            "$-$", "−"
        )
        printed = [line.removesuffix(r" \\[2pt]").removesuffix(r" \\").split(" & ")[1:] for line in plain.splitlines()]
        for line, shown in zip(found.lines, piped.splitlines()[2:], strict=True):
            deltas = [line.gains[versus][column].delta for column in found.columns]
            points, ends = [poster(d.points) for d in deltas], [f"[{interval(d.low, d.high)}]" for d in deltas]
            assert printed[printed.index(points) + 1] == ends
            told = [re.sub(r"\\?\*", "", cell).partition(",")[0] for cell in shown.split(" | ")[1:-1]]
            assert told == [f"{a} {b}" for a, b in zip(points, ends, strict=True)]


def test_a_star_is_for_what_is_beyond_chance_after_the_correction() -> None:
    found = table()
    gain = next(line for line in found.lines if line.label == "PLS").gains["control"]["fgsm"].delta
    assert gain.p < 0.05 < gain.adjusted
    assert r"& \textbf{(+) 6.00} &" in latex(found).split("\n\n")[1]
    assert r"& \textbf{(+) 10.00}$^{*}$ &" in latex(found).split("\n\n")[0]


def test_the_posters_number_stands_beside_ours() -> None:
    over_f = markdown(table()).split("\n\n")[1].splitlines()
    fgsm = next(line for line in over_f if line.startswith("| PLS |")).split(" | ")[3]
    assert fgsm.startswith(r"**(+) 10.00**\* [")
    assert fgsm.endswith("; poster (+) 3.68")


def test_latex_has_booktabs_rules_intervals_and_stars() -> None:
    text = latex(table())
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    assert r"$\ell$1-norm & \textbf{(+) 5.00} & \textbf{(+) 5.00}" in text
    assert r"\textbf{(+) 10.00}$^{*}$" in text
    assert r"{\scriptsize [" in text


def test_one_record_stands_for_each_number_and_csv_has_the_same() -> None:
    made = records([table()])
    assert len(made) == 2 * 2 * 5
    one = next(e for e in made if (e["line"], e["column"], e["versus"]) == ("PLS", "fgsm", "F"))
    assert (one["points"], one["published"], one["sign_agrees"], one["verdict"]) == (10.0, 3.68, True, "more")
    assert (one["accuracy"], one["accuracy_versus"]) == (30.0, 20.0)
    lines = list(csv.DictReader(io.StringIO(tidy_csv([table()]))))
    assert [float(line["points"]) for line in lines] == [entry["points"] for entry in made]
    assert {line["point.prune.criterion"] for line in lines} == {"pls", "l1"}


def test_a_record_of_two_seeds_by_hand() -> None:
    made = [
        row
        for seed, right in enumerate((30, 26))
        for row in rows("mine", {"prune.ratio": 0.5}, {"F": {"fgsm": 20}, "F'": {"fgsm": right}}, seeds=(seed,))
    ]
    found = summary(made)
    (entry,) = records([found])
    delta = found.lines[0].gains["F"]["fgsm"].delta
    numbers = {name: entry.pop(name) for name in ("low", "high", "p", "adjusted", "smallest")}
    assert numbers == {name: pytest.approx(getattr(delta, name), rel=1e-9) for name in numbers}
    assert entry == {
        "study": "mine", "scale": None, "changes": None,
        "line": found.lines[0].label, "point": {"prune.ratio": 0.5}, "column": "fgsm", "versus": "F",
        "accuracy": 28.0, "accuracy_versus": 20.0, "points": 8.0, "verdict": delta.verdict,
        "seeds": {"0": 10.0, "1": 6.0}, "spread": pytest.approx(8**0.5), "macs_left": 0.9, "published": None,
        "sign_agrees": None,
    }  # fmt: skip
    (line,) = csv.DictReader(io.StringIO(tidy_csv([found])))
    assert (line["seeds"], line["points"], line["macs_left"], line["published"]) == ("2", "8.0", "0.9", "")


def test_records_of_one_study_at_two_scales_say_which() -> None:
    made = [
        replace(entry, about={"scale": scale})
        for scale in ("laptop", "gpu")
        for entry in rows("mine", {}, {"F": {"fgsm": 20}, "F'": {"fgsm": 30}})
    ]
    lines = csv.DictReader(io.StringIO(tidy_csv(summaries(made))))
    assert [(line["study"], line["scale"]) for line in lines] == [("mine", "laptop"), ("mine", "gpu")]


def test_records_have_ten_digits_as_the_last_ones_are_not_the_same_on_every_processor() -> None:
    numbers = re.findall(r"\d+\.\d+(?:e-?\d+)?", json.dumps(records([table()])))
    assert "5.0" in numbers
    assert all(len(number.partition("e")[0].replace(".", "").lstrip("0")) <= 11 for number in numbers)


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_out_of_a_markdown_cell(text: str) -> None:
    shown = md(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(\\\\)*[|<`*_\[\]]", shown)


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_out_of_a_latex_cell(text: str) -> None:
    shown = re.sub(r"\\(text[a-z]+|ldots)\{\}|\\[{}$&#_%]|\$(-|'|\\ell|\\pm)\$", "", tex(text))
    assert not set(shown) & set('\\{}$&#^_%<>|"')


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path: Path) -> None:
    body = latex(table()) + tex("a_b%c & ℓ ~ \\ ^ {é} ≈ 猫")
    document = rf"\documentclass[twocolumn]{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_accuracies_of_a_record_are_those_of_the_seeds_whose_difference_it_tells() -> None:
    made = rows("mine", {}, THREE, seeds=(0, 1)) + rows("mine", {}, {"F": four(10, 10, 10, 10)}, seeds=(2,))
    for entry in records([summary(made)]):
        assert entry["accuracy"] - entry["accuracy_versus"] == pytest.approx(entry["points"])


def test_a_table_of_which_a_part_is_missing_says_so() -> None:
    made = rows("mine", {}, THREE, seeds=(0, 1))
    assert not any("Not all is there" in sentence for sentence in answer(summary(made)))
    part = [entry for entry in made if (entry.role, entry.seed, entry.row["attack"]) != ("F'", 1, "fgsm")]
    said = "Not all is there: 4 of 10 differences are of fewer than 2 seeds."
    assert said in answer(summary(part))

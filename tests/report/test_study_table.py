import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.studied import THREE, four, rows
from windfirm.report.markup import md, tex
from windfirm.report.study_table import agreement, best, latex, markdown, missing, records, tidy_csv
from windfirm.report.study_words import answer
from windfirm.report.summary import Summary, summary

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
    assert agreement(table()) == (7, 10, 2)


def test_places_without_a_number_are_listed() -> None:
    lacking = missing(table())
    assert len(lacking) == 15
    assert ("HRank", "fgsm") in lacking


def test_markdown_has_a_table_of_accuracies_and_one_for_each_comparison() -> None:
    parts = markdown(table()).split("\n\n")
    assert [part.splitlines()[0].split(" | ")[0] for part in parts] == ["| accuracy, %", "| F′ − F", "| F′ − control"]
    first = parts[1].splitlines()[2]
    assert first.startswith("| ℓ1-norm | **(+) 5.00** [")
    assert first.count("; poster (") == 5
    assert "; poster" not in parts[2]


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

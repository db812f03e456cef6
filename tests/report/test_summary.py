import math
from dataclasses import replace
from statistics import mean, stdev

import pytest
from scipy import stats

from tests.report.made import comparison, every
from tests.report.studied import ABOUT, THREE, four, outcome, row, rows
from windfirm.errors import InputError
from windfirm.evaluate.outcome import Outcome, pack
from windfirm.report.study_table import agreement, missing
from windfirm.report.summary import rows_of, summaries, summary

PLS = {"prune.criterion": "pls"}
L1 = {"prune.criterion": "l1"}


def test_a_line_says_what_became_of_each_accuracy_against_f_and_against_the_control() -> None:
    found = summary(rows("table3", PLS, THREE))
    assert found.columns == ("semantic", "occlusion", "fgsm", "clean", "average")
    (line,) = found.lines
    points = {versus: {c: gain.delta.points for c, gain in gains.items()} for versus, gains in line.gains.items()}
    assert points["F"] == pytest.approx({"semantic": 2, "occlusion": -2, "fgsm": 10, "clean": -1, "average": 9 / 4})
    assert points["control"] == pytest.approx({"semantic": 1, "occlusion": -2, "fgsm": 6, "clean": -1, "average": 1})
    assert line.shares["F'"]["average"].percent == pytest.approx((72 + 78 + 30 + 92) / 4)
    assert line.left == pytest.approx(0.9)
    assert found.about["digest"] == (ABOUT["digest"],)


def test_the_p_value_of_one_seed_is_mcnemars_and_is_corrected_for_the_whole_table() -> None:
    found = summary(rows("table3", PLS, THREE))
    delta = found.lines[0].gains["F"]["fgsm"].delta
    assert delta.p == pytest.approx(stats.binomtest(10, 10, 0.5).pvalue)  # right on 10 images more, wrong on none more
    assert found.tests == 10
    assert delta.adjusted == pytest.approx(10 * delta.p)  # the smallest of ten
    assert delta.verdict == "more"
    assert found.lines[0].gains["F"]["semantic"].delta.verdict == "none shown"


def test_seeds_are_averaged_and_their_spread_is_told() -> None:
    gained = [2, 5, 8]
    made = [
        row("mine", role, {}, seed, outcome("fgsm", 20 + (gain if role == "F'" else 0)))
        for seed, gain in enumerate(gained)
        for role in ("F", "F'")
    ]
    gain = summary(made).lines[0].gains["F"]["fgsm"]
    assert gain.each == pytest.approx(dict(enumerate(gained)))
    assert gain.delta.points == pytest.approx(mean(gained))
    assert gain.spread == pytest.approx(stdev(gained))
    assert gain.delta.low < mean(gained) < gain.delta.high


def test_the_posters_numbers_stand_beside_those_against_f_and_nowhere_else() -> None:
    line = summary(rows("table3", PLS, THREE)).lines[0]
    assert {c: gain.published for c, gain in line.gains["F"].items()} == {
        "semantic": 1.58,
        "occlusion": 2.76,
        "fgsm": 3.68,
        "clean": 0.60,
        "average": 2.15,
    }
    assert {c: gain.agrees for c, gain in line.gains["F"].items()} == {
        "semantic": True,
        "occlusion": False,
        "fgsm": True,
        "clean": False,
        "average": True,
    }
    assert all(gain.published is None and gain.agrees is None for gain in line.gains["control"].values())
    assert all(g.published is None for g in summary(rows("mine", PLS, THREE)).lines[0].gains["F"].values())


def test_what_is_left_of_the_macs_is_a_share_of_those_of_f_and_the_mean_over_the_seeds() -> None:
    made = [
        entry
        for seed, left in enumerate((900, 600))
        for entry in rows("mine", {}, THREE, seeds=(seed,), macs={"F": 1000, "control": 500, "F'": left})
    ]
    assert summary(made).lines[0].left == pytest.approx(0.75)


def test_what_would_have_shown_is_larger_where_more_is_tested() -> None:
    few = {role: {"fgsm": found["fgsm"]} for role, found in THREE.items()}
    alone, among = (summary(rows("mine", {}, right)) for right in (few, THREE))
    assert (alone.tests, among.tests) == (2, 10)
    one, other = (found.lines[0].gains["F"]["fgsm"].delta for found in (alone, among))
    assert (one.points, one.p) == (other.points, other.p)
    assert one.smallest < other.smallest


def test_values_of_a_point_in_another_order_are_the_same_place() -> None:
    made = rows("mine", {"prune.ratio": 0.5, "prune.criterion": "l1"}, {"F": THREE["F"]})
    made += rows("mine", {"prune.criterion": "l1", "prune.ratio": 0.5}, {"F'": THREE["F'"]})
    assert [line.gains["F"]["fgsm"].delta.points for line in summary(made).lines] == [10.0]


def test_every_number_of_images_is_told() -> None:
    made = [
        row("mine", role, {}, 0, outcome(*what)) for role in ("F", "F'") for what in (("clean", 90), ("fog", 9, 20))
    ]
    assert summary(made).images == (20, 100)


def test_table_4_brings_attacks_together_as_the_poster_does() -> None:
    line = summary(rows("table4", {"defend.name": "mixup"}, THREE)).lines[0]
    gains = {column: gain.delta.points for column, gain in line.gains["F"].items()}
    assert gains["robustness"] == pytest.approx((2 - 2 + 10) / 3)
    assert gains["generalization"] == pytest.approx(-1)
    assert gains["average"] == pytest.approx((10 / 3 - 1) / 2)


def test_lines_come_in_the_posters_order_and_others_behind_them() -> None:
    made = [
        *rows("table3", {"prune.criterion": "random"}, THREE),
        *rows("table3", PLS, THREE),
        *rows("table3", L1, THREE),
    ]
    assert [line.label for line in summary(made).lines] == ["ℓ1-norm", "PLS", "Random"]


def test_labels_of_a_study_of_ones_own_tell_what_differs() -> None:
    made = [
        *rows("mine", {"prune.ratio": 0.1, "adjust.name": "fine-tuning", **PLS}, THREE),
        *rows("mine", {"prune.ratio": 0.3, "adjust.name": "fine-tuning", **PLS}, THREE),
    ]
    found = summary(made)
    assert [line.label for line in found.lines] == ["ratio 0.1", "ratio 0.3"]
    assert found.head == "ratio"


def test_an_attack_of_several_sizes_has_a_column_for_each_and_the_posters_takes_its_own() -> None:
    sizes = (2 / 255, 8 / 255)
    made = [row("mine", role, {}, 0, outcome("fgsm", 9, eps=eps)) for role in ("F", "F'") for eps in sizes]
    assert summary(made).columns == ("fgsm 2/255", "fgsm 8/255")
    made = [
        row("table2", role, {"adjust.name": "w-ticket"}, 0, outcome("fgsm", 9, eps=eps))
        for role in ("F", "F'")
        for eps in sizes
    ]
    assert summary(made).columns == ("fgsm", "fgsm 2/255")


@pytest.mark.parametrize("largest", [False, True])
def test_the_average_takes_the_posters_size_of_fgsm_wherever_it_stands(largest: bool) -> None:
    counts = {role: {name: right for name, right in found.items() if name != "fgsm"} for role, found in THREE.items()}
    made = rows("mine", {}, counts)
    for role, found in THREE.items():
        sizes = {8: found["fgsm"], 16: 0} if largest else {1: 90, 8: found["fgsm"]}
        made += [row("mine", role, {}, 0, outcome("fgsm", right, eps=eps / 255)) for eps, right in sizes.items()]
    assert summary(made).lines[0].shares["F"]["average"].percent == pytest.approx((70 + 80 + 20 + 93) / 4)


def test_no_difference_has_no_sign_of_the_posters() -> None:
    (line,) = summary(rows("table3", L1, dict.fromkeys(THREE, four(1, 2, 3, 4)))).lines
    assert [gain.agrees for gain in line.gains["F"].values() if gain.published] == [False] * 5


def test_what_was_not_measured_is_in_no_place() -> None:
    partial = {"F": four(70, 80, 20, 93), "F'": {"fgsm": 30}}
    line = summary(rows("table3", PLS, partial)).lines[0]
    assert [*line.gains["F"]] == ["fgsm"]
    assert line.gains["control"] == {}


def test_studies_of_one_file_are_summed_up_one_by_one() -> None:
    made = [*rows("table3", PLS, THREE), *rows("mine", {}, THREE)]
    assert [found.study for found in summaries(made)] == ["table3", "mine"]


def test_a_study_that_was_run_at_two_scales_is_summed_up_at_each_and_never_mixed() -> None:
    small, large, longer = (
        [replace(entry, seed=seed, about=ABOUT | about) for entry in rows("table3", PLS, right)]
        for seed, (about, right) in enumerate(
            (
                ({"scale": "laptop"}, THREE),
                ({"scale": "gpu"}, THREE | {"F'": four(80, 90, 40, 95)}),
                ({"scale": "gpu", "changes": "adjust.epochs=9"}, THREE),
            )
        )
    )
    found = summaries([*small, *large, *longer])
    assert [(entry.study, entry.name, entry.seeds) for entry in found] == [
        ("table3", "table3-laptop", (0,)),
        ("table3", "table3-gpu", (1,)),
        ("table3", "table3-gpu-adjust.epochs=9", (2,)),
    ]
    title = "Influence of the pruning criterion"
    assert [entry.title for entry in found] == [
        f"{title} (scale laptop)",
        f"{title} (scale gpu)",
        f"{title} (scale gpu, adjust.epochs=9)",
    ]
    assert [entry.mean_gain("F", "fgsm") for entry in found] == pytest.approx([10, 20, 10])
    assert [entry.name for entry in summaries([*small, *rows("mine", {}, THREE)])] == ["table3", "mine"]
    assert summaries(large)[0].title == title


def test_a_measurement_that_comes_twice_is_refused_unless_it_tells_the_same() -> None:
    made = rows("mine", {}, THREE)
    assert summary(made * 2).lines[0].shares == summary(made).lines[0].shares
    other = replace(made[0], row=pack(outcome("semantic", 1)))
    with pytest.raises(InputError) as error:
        summary([*made, other])
    assert str(error.value) == (
        "report mine: expected each measurement of a network once, got semantic of F with seed 0 twice"
    )


def test_no_rows_are_refused() -> None:
    with pytest.raises(InputError, match=r"^report: expected rows of a study, got none$"):
        summary([])


def test_a_comparison_becomes_a_study_of_one_point() -> None:
    found = summary(rows_of(comparison(every((2.0, 1.0, 3.0, 0.0001)))))
    gains = found.lines[0].gains["F"]
    assert [*gains] == ["semantic", "occlusion", "fgsm", "clean", "average"]
    assert found.tests == len(gains)
    assert gains["fgsm"].delta.points == pytest.approx(100 * (223 - 186) / 1000)
    assert gains["clean"].delta.points == pytest.approx(-0.4)
    assert math.isfinite(gains["clean"].delta.smallest)


def test_there_is_no_average_where_its_attacks_are_on_different_images() -> None:
    for study in ("table3", "mine"):
        made = rows(study, PLS, THREE)
        fewer = [replace(r, row=pack(outcome("fgsm", 5, 20, eps=8 / 255))) if r.row["eps"] else r for r in made]
        assert summary(fewer).columns == ("semantic", "occlusion", "fgsm", "clean")


def test_networks_that_were_shown_different_images_are_not_compared() -> None:
    made = rows("mine", PLS, THREE)
    other = [replace(r, about=ABOUT | {"digest": "ff00"}) if r.role == "F'" else r for r in made]
    with pytest.raises(InputError) as error:
        summary(other)
    wanted = "semantic with seed 0 on the same images for all networks"
    assert str(error.value) == f"report mine: expected {wanted}, got such of SHA-256 00ff and ff00"


def test_a_tie_is_none_to_the_last_digit_and_its_interval_is_not_narrower_for_several_seeds() -> None:
    counts = [(7, 4), (3, 6), (5, 5)]
    made = [
        row("mine", role, {}, seed, outcome("fgsm", right, 30))
        for seed, pair in enumerate(counts)
        for role, right in zip(("F", "F'"), pair, strict=True)
    ]
    assert summary(made).lines[0].gains["F"]["fgsm"].delta.points == 0.0
    alike = [row("mine", role, {}, seed, outcome("fgsm", 5, 20)) for role in ("F", "F'") for seed in (0, 1, 2)]
    several, one = (summary([r for r in alike if r.seed < count]).lines[0].gains["F"]["fgsm"].delta for count in (3, 1))
    assert (several.low, several.high) == (one.low, one.high)
    assert one.low < 0 < one.high


def test_several_lines_in_a_row_of_the_posters_say_what_tells_them_apart_and_none_is_its_counterpart() -> None:
    points = [{"prune.criterion": name, "prune.rate": rate} for name, rate in (("pls", 0.1), ("pls", 0.3), ("l1", 0.1))]
    found = summary([entry for point in points for entry in rows("table3", point, THREE)])
    assert [line.label for line in found.lines] == ["ℓ1-norm", "PLS, rate 0.1", "PLS, rate 0.3"]
    published = [line.gains["F"]["clean"].published is not None for line in found.lines]
    assert published == [True, False, False]
    assert agreement(found).measured == 5
    assert len(missing(found)) == 20


def test_data_of_different_sizes_at_different_points_have_one_column_and_their_clean_accuracy_is_clean() -> None:
    right = {"F": four(7, 7, 2, 9), "F'": four(7, 7, 2, 3)}
    made = [*rows("mine", {"data.name": "a"}, right, total=10), *rows("mine", {"data.name": "b"}, right, total=20)]
    found = summary(made)
    assert found.columns == ("semantic", "occlusion", "fgsm", "clean", "average")
    assert [line.gains["F"]["clean"].delta.verdict for line in found.lines] == ["less", "less"]  # 6 of 6 pairs
    assert found.images == (10, 20)


def test_an_attack_in_two_norms_says_which_column_is_which() -> None:
    def l2(right: int, eps: float) -> Outcome:
        return replace(outcome("pgd", right, eps=eps), title="steps, L2, white-box")

    sizes = [outcome("pgd", 50, eps=1 / 255), outcome("pgd", 40, eps=2 / 255), l2(60, 0.25), l2(50, 0.5)]
    made = [row("mine", role, {}, 0, one) for role in THREE for one in sizes]
    assert summary(made).columns == ("pgd 1/255", "pgd 2/255", "pgd 63.75/255 L2", "pgd 127.5/255 L2")


def test_clean_accuracy_under_the_name_of_the_posters_fourth_table_is_admitted_to_be_lost_as_well() -> None:
    made = rows("table4", PLS, {"F": four(70, 70, 20, 93), "F'": four(70, 70, 20, 87)})
    gains = summary(made).lines[0].gains["F"]
    assert gains["generalization"].delta.p == pytest.approx(2 * 0.5**6)  # six images of 100, all one way
    assert gains["generalization"].delta.adjusted > 0.05
    assert {column for column, gain in gains.items() if gain.delta.verdict == "less"} >= {"clean", "generalization"}


def test_every_attack_is_told_with_its_sizes_and_its_images() -> None:
    made = [row("mine", "F'", {}, 0, outcome("fgsm", 5, eps=eps / 255)) for eps in (1, 8)]
    made += [row("mine", "F'", {}, 0, outcome("fog", 5, 20)), row("mine", "F'", {}, 1, outcome("hue", 1, 1))]
    assert summary(made).attacks == (
        ("fgsm", "fgsm in words, eps 1/255 and 8/255, on 100 images"),
        ("fog", "fog in words, on 20 images"),
        ("hue", "hue in words, on 1 image"),
    )


def test_unlike_measurements_of_one_point_keep_their_names_while_a_study_is_half_done() -> None:
    made = [
        row("mine", "F", {}, 0, outcome("fgsm", 50, eps=1 / 255)),
        row("mine", "F'", {}, 1, outcome("fgsm", 20, eps=8 / 255)),
    ]
    assert summary(made).columns == ("fgsm 1/255", "fgsm 8/255")
    alone = [row("mine", role, {}, 0, outcome("fgsm", 20, eps=8 / 255)) for role in ("control", "F'")]
    assert summary(alone).mean_gain("F", "fgsm") is None


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ({0: 3600.0, 1: 7200.0}, "3.0 h, all cells one after another"),
        ({0: 3600.0}, "36 s, the attacks alone, one after another; not what trained and pruned the networks"),
    ],
)
def test_the_time_is_that_of_each_seed_and_else_that_of_each_attack(spent: dict[int, float], said: str) -> None:
    """Three networks, four attacks and two seeds at 1.5 s; F and the control are in the places of two points."""
    made = [row for at in (1, 2) for row in rows("mine", {"at": at}, THREE, seeds=(0, 1))]
    assert summary([replace(row, spent=spent.get(row.seed)) for row in made]).time == said
    assert summary([replace(row, seconds=None) for row in made]).time == ""

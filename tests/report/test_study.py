import re
import shlex
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.markup import read
from tests.report.studied import ABOUT, THREE, four, outcome, row, rows
from windfirm.report import study_figures, study_words
from windfirm.report.study import about, page
from windfirm.report.summary import Summary, summaries, summary
from windfirm.report.written import written
from windfirm.study.listing import Measured
from windfirm.study.settings import SETTINGS

ROLES = ("F", "control", "F'")
BETTER = THREE | {"F'": four(75, 85, 44, 94)}
EVIL = "<script>alert(1)</script>"


def table3() -> list[Measured]:
    return [*rows("table3", {"prune.criterion": "pls"}, THREE), *rows("table3", {"prune.criterion": "l1"}, BETTER)]


def swept(study: str = "sweep") -> list[Measured]:
    """Two criteria at three ratios, under FGSM of three sizes, transfer and three corruptions."""
    made = []
    for criterion in ("pls", "random"):
        for number, ratio in enumerate((0.1, 0.3, 0.5)):
            macs = {"F": 1000, "control": 1000, "F'": round(1000 * (1 - ratio))}
            point = {"prune.criterion": criterion, "prune.ratio": ratio}
            for role in ROLES:
                less = 2 * number if role == "F'" else 0
                found = [outcome("fgsm", 40 - 10 * i - less, eps=eps / 255) for i, eps in enumerate((1, 2, 8))]
                found += [outcome(f"fgsm from {source}", 50 if source != role else 20, eps=8 / 255) for source in ROLES]
                found += [outcome(name, 60 - less) for name in ("fog", "contrast", "jpeg")]
                found += [outcome("clean", 93 - less)]
                made += [row(study, role, point, 0, one, macs) for one in found]
    return made


def test_the_page_has_the_answer_the_table_and_how_it_was_made() -> None:
    html = page([summary(table3())], title="Influence of the pruning criterion", provenance={"command": "windfirm run"})
    text = " ".join(read(html).text.split())
    for said in (
        "Compared with F, F′ is more robust in 2 and less in 0 of 6 cases under attack",
        "compared with the control, trained again alike but not cut, it is more robust in 1 and less in 0",
        "On clean images F′ − F is between −1.00 and +1.00 points",
        "Of the poster’s 25 numbers in its table 3, 10 have a counterpart here; 7 of them have its sign",
        "15 were not measured",
        "FGSM takes a single step",
        "SHA-256 of the images00ff",
        "commandwindfirm run",
    ):
        assert said in text, said
    assert 'data-value="10"' in html


def test_f_and_control_have_names_where_there_are_several_of_them() -> None:
    made = [
        entry
        for arch, less in (("resnet56", 0), ("mobilenet-v2", 15))
        for structure, best in (("filters", 70), ("layers", 80))
        for entry in rows(
            "table1",
            {"network.arch": arch, "prune.structure": structure},
            {
                "F": four(70, 80, 20, 93 - less),
                "control": four(71, 80, 24, 92 - less),
                "F'": four(72, 78, 30, best - less),
            },
        )
    ]
    (drawn,) = (one.svg for one in study_figures.figures(summary(made)))
    labels = set(re.findall(r'class="label">([^<]+)<', drawn))
    assert {"F, ResNet56", "F, MobileNetV2", "control, ResNet56", "control, MobileNetV2"} <= labels
    (alone,) = (one.svg for one in study_figures.figures(summary(table3())))
    assert {"F", "control"} <= set(re.findall(r'class="label">([^<]+)<', alone))


def test_settings_that_all_points_share_are_told_where_they_are_not_the_defaults_or_asked_for_first() -> None:
    made = [
        replace(
            entry, settings={**entry.point, "adjust.epochs": 3, "prune.rounds": 1, "train.batch": 128, "x.new": ["a"]}
        )
        for entry in table3()
    ]
    assert SETTINGS["train.batch"].default == 128
    assert dict(about(summary(made)))["settings"] == 'adjust.epochs 3, prune.rounds 1, x.new ["a"]; all else by default'
    made[0] = replace(made[0], settings={**made[0].settings, "adjust.epochs": 4})
    assert "adjust.epochs" not in dict(about(summary(made)))["settings"]
    assert "settings" not in dict(about(summary(table3())))


def test_without_f_the_page_shows_what_there_is_beside_the_control() -> None:
    found = summary([entry for entry in table3() if entry.role != "F"])
    assert found.gains("control", "occlusion")[0][1].delta.points == 5
    assert "(+) 5.00" in read(page([found], title="Half")).text
    assert not found.one_f


def test_several_studies_are_listed_with_their_titles_where_they_have_one() -> None:
    html = page([summary(table3()), summary(swept())], title="Two", provenance={})
    text = " ".join(read(html).text.split())
    assert "table3: Influence of the pruning criterion" in text
    assert "sweep: sweep" not in text


def test_a_place_that_was_not_measured_is_empty_and_not_zero() -> None:
    partial = {"F": four(70, 80, 20, 93), "F'": {"fgsm": 30, "clean": 93}}
    html = page([summary([*table3(), *rows("table3", {"prune.criterion": "hrank"}, partial)])], title="t")
    line = html.partition("HRank")[2].partition("</tr>")[0]
    assert line.count("<td></td>") == 3  # semantic, occlusion, average


def test_an_attack_of_many_steps_that_leaves_nothing_is_said_to_void_gains_under_fgsm() -> None:
    made = [
        row("mine", role, {}, 0, outcome(attack, right, eps=8 / 255))
        for role in ("F", "F'")
        for attack, right in (("fgsm", 30 if role == "F'" else 10), ("autoattack", 0))
    ]
    said = study_words.answer(summary(made))
    assert (
        "Every network is at the floor under autoattack (at most 0.00 %), so gains under FGSM say nothing about a "
        "determined attacker."
    ) in said


def test_a_few_images_are_not_enough_to_speak_of_a_floor() -> None:
    made = [row("mine", role, {}, 0, outcome("pgd", 0, total=4, eps=8 / 255)) for role in ("F", "F'")]
    assert not any("floor" in line for line in study_words.answer(summary(made)))


def test_what_the_attacks_say_against_each_other_is_a_warning() -> None:
    made = [
        row("mine", role, {}, 0, outcome(attack, right, eps=8 / 255))
        for role in ("F", "F'")
        for attack, right in (("fgsm", 10), ("pgd", 60))
    ]
    found = study_words.doubts(summary(made))
    assert len(found) == 2
    assert found[0].startswith("Warning, F of mine, seed 0: ")


def test_a_smoke_run_is_called_one() -> None:
    made = [replace(entry, about=ABOUT | {"scale": "smoke"}) for entry in table3()]
    assert study_words.answer(summary(made))[-1].startswith("A smoke run, whose numbers mean nothing.")


def test_a_sweep_has_figures_for_eps_amounts_transfer_corruptions_and_the_trade_off() -> None:
    found = study_figures.figures(summary(swept()))
    titles = [figure.title for figure in found]
    for title in (
        "fgsm against eps: pls, ratio 0.1",
        "fgsm against eps: F′ − control",
        "clean: F′ − control against what is removed",
        "Images made on one network, shown to another: pls, ratio 0.1",
        "Accuracy under corruptions: random, ratio 0.5",
        "Clean accuracy, fgsm 1/255 and cost",
    ):
        assert title in titles
    for figure in found:
        ElementTree.fromstring(figure.svg)


def test_lines_that_differ_in_more_than_the_amount_are_not_joined() -> None:
    assert study_figures.amounts(summary(table3())) == {}
    assert [*study_figures.amounts(summary(swept()))] == ["pls", "random"]


def test_a_table_of_the_poster_has_no_figure_of_what_is_removed() -> None:
    assert [figure.title for figure in study_figures.figures(summary(table3()))] == ["Clean accuracy, average and cost"]


def test_the_files_beside_the_page_show_each_drawing_and_tell_how_it_was_made() -> None:
    files = written([summary(table3())], title="Mine", provenance={"command": "windfirm run table3"})
    assert [*files] == ["report.md", "tables.tex", "tables.csv", "tables.json", "table3-1.svg"]
    assert files["report.md"].startswith("# Mine\n\n## Influence of the pruning criterion\n")
    assert "](table3-1.svg)" in files["report.md"]
    assert files["report.md"].endswith("- command: windfirm run table3\n")
    drawn = ElementTree.fromstring(files["table3-1.svg"])
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert "--paper" in files["table3-1.svg"]


def test_every_hardware_that_was_used_is_named() -> None:
    made = [replace(entry, about=ABOUT | {"hardware": f"machine {i % 2}"}) for i, entry in enumerate(table3())]
    assert dict(about(summary(made)))["hardware"] == "machine 0; machine 1"


@pytest.mark.parametrize(
    ("seeds", "scale", "said"),
    [
        ((0, 1, 2), "laptop", "windfirm run table3 --scale laptop"),
        ((0, 2), "laptop", "windfirm run table3 --scale laptop --set 'seeds=[0,2]'"),
        ((1,), "laptop", "windfirm run table3 --scale laptop --seed 1"),
        ((0,), "smoke", "windfirm run table3 --scale smoke"),
        ((0,), "gone", None),
    ],
)
def test_what_runs_a_study_again_names_its_seeds_where_they_are_others(
    seeds: tuple[int, ...], scale: str, said: str | None
) -> None:
    told = ABOUT | {"scale": scale}
    made = [replace(entry, seed=seed, about=told) for entry in table3() if entry.seed == 0 for seed in seeds]
    assert dict(about(summary(made))).get("run again") == said


def test_what_runs_a_study_again_has_the_changes_that_it_was_run_with() -> None:
    told = ABOUT | {"scale": "smoke", "changes": "prune.rounds=3 'network.weights=my run'"}
    made = [replace(entry, about=told) for entry in table3()]
    again = dict(about(summary(made)))["run again"]
    changes = ["--set", "prune.rounds=3", "--set", "network.weights=my run"]
    assert shlex.split(again)[-4:] == changes


def named(name: str) -> Summary:
    """A study, with this name in every place where a user's text may stand."""
    point = {"prune.criterion": name, "prune.ratio": 0.5}
    made = [
        replace(entry, study=name, point=point | {"prune.ratio": ratio}, about={"data": name, "hardware": name})
        for ratio in (0.1, 0.2)
        for entry in rows("x", point, {role: {"fgsm": 20, "clean": 90, name[:9]: 50} for role in ROLES})
    ]
    return summary(made)


@settings(max_examples=15, deadline=None)
@given(st.text(min_size=1).filter(lambda text: text not in ("fgsm", "clean", "average")))
@pytest.mark.parametrize("evil", [EVIL, '"><img src=x onerror=alert(1)>', "</style><b>", "]]>&lt;"])
def test_no_name_can_inject_markup(evil: str, text: str) -> None:
    for name in (evil, text + evil):
        found, harmless = (read(page([named(n)], title=n, provenance={n: n})) for n in (name, "harmless"))
        assert found.tags == harmless.tags


def test_a_study_of_the_users_own_under_a_built_in_name_is_not_run_again_by_that_name() -> None:
    made = [replace(entry, about=ABOUT | {"scale": "laptop"}) for entry in table3()]
    assert "run again" in dict(about(summary(made)))
    other = [replace(entry, point={**entry.point, "prune.rate": 0.3}) for entry in made]
    assert "run again" not in dict(about(summary(other)))


def test_drawings_of_studies_whose_names_look_alike_are_different_files() -> None:
    one, other = ([replace(entry, study=name) for entry in table3()] for name in ("日本", "中国"))
    files = written([summary(one), summary(other)], title="Mine", provenance={})
    assert [name for name in files if name.endswith(".svg")] == ["---1-1.svg", "---2-1.svg"]


def test_a_study_at_two_scales_has_a_title_drawings_pictures_and_a_command_for_each() -> None:
    made = [replace(entry, about=ABOUT | {"scale": scale}) for scale in ("smoke", "laptop") for entry in table3()]
    both = summaries(made)
    files = written(both, title="Mine", provenance={})
    assert [name for name in files if name.endswith(".svg")] == ["table3-smoke-1.svg", "table3-laptop-1.svg"]
    for scale in ("smoke", "laptop"):
        assert f"## Influence of the pruning criterion (scale {scale})\n" in files["report.md"]
        assert f"windfirm run table3 --scale {scale}" in files["report.md"]
    html = page(both, title="Mine")
    assert "Influence of the pruning criterion (scale laptop)" in html


def test_a_curve_against_eps_is_of_one_norm() -> None:
    made = []
    for role in ROLES:
        for eps in (1, 2, 8):
            one = outcome("pgd", 50 - eps, eps=eps / 255)
            made += [row("s", role, {}, 0, one), row("s", role, {}, 0, replace(one, title="L2", eps=10 * eps / 255))]
    titles = [figure.title for figure in study_figures.figures(summary(made))]
    assert titles == ["pgd against eps", "pgd L2 against eps"]

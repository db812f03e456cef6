import json
from pathlib import Path

import pytest

from windfirm.errors import InputError
from windfirm.study.lines import Lines
from windfirm.study.plan import Plan, read

STUDY = """\
name = "sweep"
seeds = [0, 1]

[prune]
structure = "filters"
ratio = 0.5
rounds = 2

[[grid]]
network.arch = ["resnet20", "resnet56"]
prune.criterion = ["l1", "random"]

[[attack]]
name = "fgsm"
eps = ["2/255", "8/255"]

[[attack]]
name = "semantic"
turn = 0.5

[scale.smoke]
seeds = [3]
prune = { rounds = 1 }

[[scale.smoke.grid]]
network.arch = ["resnet20"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def of(folder: Path, text: str = STUDY, *changes: str, scale: str | None = None) -> Plan:
    return read(written(folder, text), scale=scale, changes=changes)


def complaint(folder: Path, text: str, *changes: str, scale: str | None = None) -> str:
    """Without the folder, which is another in every run."""
    with pytest.raises(InputError) as error:
        of(folder, text, *changes, scale=scale)
    return str(error.value).replace(f"{folder}/", "")


def test_a_grid_is_every_combination_of_its_values(tmp_path: Path) -> None:
    plan = of(tmp_path)
    assert [tuple(point.axes.values()) for point in plan.points] == [
        ("resnet20", "l1"),
        ("resnet20", "random"),
        ("resnet56", "l1"),
        ("resnet56", "random"),
    ]
    assert list(plan.points[0].axes) == ["network.arch", "prune.criterion"]
    assert {point.settings["prune.rounds"] for point in plan.points} == {2}


def test_several_grids_are_added_up_and_what_one_does_not_say_is_the_files(tmp_path: Path) -> None:
    more = "\n[[grid]]\nprune.structure = 'none'\ndefend.name = ['mixup']\n"
    plan = of(tmp_path, STUDY.replace("[[attack]]", f"{more}\n[[attack]]", 1))
    assert len(plan.points) == 5
    assert plan.points[4].axes == {"network.arch": "resnet56", "prune.criterion": "pls", "defend.name": "mixup"}
    assert (plan.points[0].axes["defend.name"], plan.points[4].settings["prune.structure"]) == ("none", "none")


def test_grids_that_differ_in_single_values_alone_are_told_apart(tmp_path: Path) -> None:
    start, end = STUDY.split("[[grid]]")[0], STUDY[STUDY.index("[[attack]]") : STUDY.index("[scale")]
    grids = [f"[[grid]]\nprune.criterion = '{name}'\nprune.ratio = 0.25\n" for name in ("l1", "random")]
    plan = of(tmp_path, start + "".join(grids) + end)
    assert [point.axes for point in plan.points] == [{"prune.criterion": "l1"}, {"prune.criterion": "random"}]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("turn = 'far'", 'sweep.toml:19: attack.turn: expected a number, got "far"'),
        ("trials = '3'", 'sweep.toml:19: attack.trials: expected a whole number, got "3"'),
        ("trials = true", "sweep.toml:19: attack.trials: expected a whole number, got true"),
        ("from = []", "sweep.toml:19: attack.from: expected at least one value, got none"),
    ],
)
def test_options_of_another_type_and_empty_lists_are_refused(tmp_path: Path, text: str, wanted: str) -> None:
    assert complaint(tmp_path, STUDY.replace("turn = 0.5", text)) == wanted


@pytest.mark.parametrize("size", ["8.5", "true", '"half"'])
def test_an_option_that_may_be_left_to_the_attack_has_a_type_as_well(tmp_path: Path, size: str) -> None:
    text = STUDY.replace('"semantic"', '"occlusion"').replace("turn = 0.5", f"size = {size}")
    assert complaint(tmp_path, text) == f"sweep.toml:19: attack.size: expected a whole number, got {size}"


def test_attacks_have_sizes_and_options(tmp_path: Path) -> None:
    assert [(m.attack, dict(m.options), m.eps) for m in of(tmp_path).measurements] == [
        ("fgsm", {}, 2 / 255),
        ("fgsm", {}, 8 / 255),
        ("semantic", {"turn": 0.5}, None),
    ]


def test_a_size_that_fits_larger_images_is_left_to_the_attack(tmp_path: Path) -> None:
    plan = of(tmp_path, STUDY.replace('"semantic"', '"occlusion"').replace("turn = 0.5", "size = 112"))
    assert plan.measurements[-1].options == {"size": 112}


def test_a_length_in_l2_may_be_above_one(tmp_path: Path) -> None:
    text = STUDY.replace('name = "fgsm"\neps = ["2/255", "8/255"]', 'name = "pgd"\nnorm = "l2"\neps = [0.5, 3]')
    assert [entry.eps for entry in of(tmp_path, text).measurements[:2]] == [0.5, 3.0]
    assert complaint(tmp_path, text.replace("0.5, 3]", '"long"]')) == (
        "sweep.toml:16: attack.eps: expected a length of at least 0, such as 0.5, got long"
    )


def test_trials_of_the_study_go_to_the_attacks_that_average_and_do_not_say_so(tmp_path: Path) -> None:
    plan = of(tmp_path, STUDY, "attacks.trials=3")
    assert [dict(m.options) for m in plan.measurements] == [{}, {}, {"turn": 0.5, "trials": 3}]
    plan = of(tmp_path, STUDY.replace("turn = 0.5", "trials = 7"), "attacks.trials=3")
    assert [dict(m.options) for m in plan.measurements] == [{}, {}, {"trials": 7}]


def test_a_scale_is_put_over_the_file_and_lists_take_the_place_of_lists(tmp_path: Path) -> None:
    plan = of(tmp_path, scale="smoke")
    assert (plan.scale, plan.seeds, len(plan.points)) == ("smoke", (3,), 1)
    settings = plan.points[0].settings
    assert (settings["prune.rounds"], settings["prune.ratio"], settings["network.arch"]) == (1, 0.5, "resnet20")
    assert of(tmp_path, 'default-scale = "smoke"\n' + STUDY).scale == "smoke"


def test_overrides_go_before_everything_else(tmp_path: Path) -> None:
    plan = of(tmp_path, STUDY, "prune.rounds=4", "prune.criterion=l1", "seeds=[7]", scale="smoke")
    (point,) = plan.points
    assert (plan.seeds, point.settings["prune.rounds"], point.settings["prune.criterion"]) == ((7,), 4, "l1")
    plan = of(tmp_path, STUDY, "network.arch=resnet32")
    assert [point.settings["network.arch"] for point in plan.points] == ["resnet32"] * 2


def test_a_budget_takes_the_place_of_another_one(tmp_path: Path) -> None:
    settings = of(tmp_path, STUDY, "prune.macs=0.3").points[0].settings
    assert (settings["prune.macs"], settings["prune.ratio"]) == (0.3, None)


def test_a_budget_on_an_axis_takes_the_place_of_that_of_the_file(tmp_path: Path) -> None:
    points = of(tmp_path, STUDY.replace("[[grid]]\n", "[[grid]]\nprune.macs = [0.3, 0.7]\n", 1)).points
    assert {(p.settings["prune.macs"], p.settings["prune.ratio"]) for p in points} == {(0.3, None), (0.7, None)}


def test_a_budget_of_a_scale_takes_the_place_of_that_of_the_file(tmp_path: Path) -> None:
    settings = of(tmp_path, STUDY.replace("{ rounds = 1 }", "{ macs = 0.3 }"), scale="smoke").points[0].settings
    assert (settings["prune.macs"], settings["prune.ratio"]) == (0.3, None)


def test_grids_of_several_budgets_say_which_each_point_has(tmp_path: Path) -> None:
    grids = "[[grid]]\nprune.rate = 0.1\n\n[[grid]]\nprune.macs = [0.3, 0.7]\n\n[[attack]]"
    start, _, rest = STUDY.partition("[[grid]]")
    points = of(tmp_path, start + grids + rest.partition("[[attack]]")[2]).points
    assert [dict(point.axes) for point in points] == [{"prune.rate": 0.1}, {"prune.macs": 0.3}, {"prune.macs": 0.7}]


def test_the_same_place_of_several_grids_is_one_point(tmp_path: Path) -> None:
    more = "[[grid]]\nnetwork.arch = ['resnet56', 'vgg16-bn']\nprune.criterion = 'l1'\n\n[[attack]]"
    points = of(tmp_path, STUDY.replace("[[attack]]", more, 1)).points
    assert [tuple(point.axes.values()) for point in points] == [
        ("resnet20", "l1"), ("resnet20", "random"), ("resnet56", "l1"), ("resnet56", "random"), ("vgg16-bn", "l1")
    ]  # fmt: skip


def test_seeds_and_the_name_are_those_of_the_file_each_once(tmp_path: Path) -> None:
    plan = of(tmp_path, STUDY.replace('"sweep"', '"mine"').replace("[0, 1]", "[3, 1, 3]"))
    assert (plan.name, plan.seeds) == ("mine", (3, 1))
    bare = of(tmp_path, '[[attack]]\nname = "fgsm"\n')  # in sweep.toml
    assert (bare.name, bare.seeds, [entry.eps for entry in bare.measurements]) == ("sweep", (0,), [8 / 255])


def test_a_plan_tells_what_was_put_over_the_file_but_not_the_seeds_which_rows_have(tmp_path: Path) -> None:
    plan = of(tmp_path, STUDY, "prune.rounds=4", "seeds=[7]", "name=my study")
    assert (plan.name, plan.changes) == ("my study", ("prune.rounds=4", "name=my study"))
    assert plan.to_json()["changes"] == "prune.rounds=4 'name=my study'"


def test_the_scale_that_is_asked_for_goes_before_the_one_of_the_file(tmp_path: Path) -> None:
    text = 'default-scale = "smoke"\n' + STUDY + "[scale.paper]\nseeds = [5]\n"
    assert [of(tmp_path, text, scale=scale).seeds for scale in (None, "paper")] == [(3,), (5,)]


def test_whole_numbers_and_fractions_are_one_setting(tmp_path: Path) -> None:
    one, other = (of(tmp_path, STUDY, f"train.lr={text}") for text in ("1", "1.0"))
    assert one == other
    assert isinstance(one.points[0].settings["train.lr"], float)


def test_the_plan_is_plain_values(tmp_path: Path) -> None:
    assert json.loads(json.dumps(of(tmp_path).to_json()))["attacks"][0] == {
        "attack": "fgsm",
        "options": {},
        "eps": 2 / 255,
        "images": None,
        "source": None,
    }


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "rounds = 2",
            "rounds = 0",
            "sweep.toml:7: prune.rounds: expected a whole number of at least 1, got 0",
        ),
        (
            "rounds = 2",
            "ronds = 2",
            "sweep.toml:7: prune.ronds: expected a setting that there is, got prune.ronds; did you mean prune.rounds?",
        ),
        (
            '["l1", "random"]',
            '["l1", "randon"]',
            "sweep.toml:11: grid.prune.criterion: expected one of bn-scale, cka, expected-abs, fpgm, hrank, "
            "kl-divergence, l1, l2, pls, random, taylor, got randon; did you mean random?",
        ),
        (
            "prune.criterion =",
            "criterion =",
            "sweep.toml:11: grid.criterion: expected a setting that there is, got criterion; "
            "did you mean prune.criterion?",
        ),
        (
            "prune.criterion =",
            "attacks.trials = [1, 10]\nprune.criterion =",
            "sweep.toml:11: grid.attacks.trials: expected attacks.trials outside of [[grid]]: all are attacked alike, "
            "got one inside",
        ),
        (
            "seeds = [0, 1]",
            "seed = 3",
            "sweep.toml:2: seed: expected a setting that there is, got seed; did you mean seeds?",
        ),
        ('["l1", "random"]', "[]", "sweep.toml:11: grid.prune.criterion: expected at least one value, got none"),
        (
            '"8/255"]',
            '"8 of 255"]',
            "sweep.toml:15: attack.eps: expected a number in [0, 1], such as 8/255, got 8 of 255",
        ),
        ("turn = 0.5", "eps = 0.1", "sweep.toml:19: attack.eps: expected no eps, as semantic has none, got 0.1"),
        (
            "turn = 0.5",
            "turns = 0.5",
            "sweep.toml:19: attack.turns: expected options out of eps, images, from, turn, trials, got turns; "
            "did you mean turn?",
        ),
        ("turn = 0.5", "turn = 2.0", "sweep.toml:18: attack.name: semantic: expected a turn in [0, 1], got 2.0"),
        (
            "seeds = [0, 1]",
            'seeds = "all"',
            'sweep.toml:2: seeds: expected a list of whole numbers below 2^63, got "all"',
        ),
        (
            "ratio = 0.5",
            "ratio = 0.5\n[network]\ninput = [3, 32]",
            "sweep.toml:8: network.input: expected a size [channels, height, width], got [3, 32]",
        ),
        (
            "ratio = 0.5",
            "ratio = 0.5\n[network]\nmean = 0.5",
            "sweep.toml:8: network.mean: expected a list of finite numbers, got 0.5",
        ),
        (
            '"semantic"\nturn = 0.5',
            '"pgd"\nnorm = "l2"',
            "sweep.toml:18: attack.name: expected an eps for pgd, a length in L2 such as 0.5, got none",
        ),
        ("ratio = 0.5", 'ratio = "0.5"', 'sweep.toml:6: prune.ratio: expected a number in (0, 1), got "0.5"'),
        (
            "ratio = 0.5",
            "ratio = [0.5, 0.7]",
            "sweep.toml:6: prune.ratio: expected a number in (0, 1), got [0.5, 0.7]; values to go over belong into a "
            "table [[grid]]",
        ),
        ("ratio = 0.5", "ratio = true", "sweep.toml:6: prune.ratio: expected a number in (0, 1), got true"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in STUDY
    assert complaint(tmp_path, STUDY.replace(old, new, 1)) == words


def test_seeds_of_the_command_line_are_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        of(tmp_path, STUDY, "seeds=all")
    assert str(error.value) == '--set seeds: expected a list of whole numbers below 2^63, got "all"'


def test_attacks_that_there_are_not_are_told_with_the_nearest(tmp_path: Path) -> None:
    words = complaint(tmp_path, STUDY.replace('"fgsm"', '"fgms"'))
    assert words.startswith("sweep.toml:14: attack.name: expected one of clean, semantic, ")
    assert words.endswith(", got fgms; did you mean fgsm?")


def test_attacks_and_defences_of_the_users_own_are_named_by_where_python_finds_them(tmp_path: Path) -> None:
    text = STUDY.replace('"semantic"\nturn = 0.5', '"tests.attack.test_registry:dimmer"\nsteps = 3\neps = 0.1')
    plan = of(tmp_path, text, "train.defence=tests.defend.test_registry:patient")
    own = plan.measurements[-1]
    assert (own.attack, own.options, own.eps) == ("tests.attack.test_registry:dimmer", {"steps": 3}, 0.1)
    assert plan.points[0].settings["train.defence"] == "tests.defend.test_registry:patient"
    words = complaint(tmp_path, STUDY.replace('"semantic"\nturn = 0.5', '"no.such:attack"'))
    wanted = "a module:attack that can be imported, got ModuleNotFoundError: No module named 'no'"
    assert words == f"sweep.toml:18: attack.name: no.such:attack: expected {wanted}"


def test_a_mistake_in_a_scale_is_told_with_its_line_there(tmp_path: Path) -> None:
    text = STUDY.replace("prune = { rounds = 1 }", "prune.rounds = -1")
    words = "sweep.toml:23: prune.rounds: expected a whole number of at least 1, got -1"
    assert complaint(tmp_path, text, scale="smoke") == words
    assert complaint(tmp_path, STUDY, scale="smok") == "--scale: expected one of smoke, got smok; did you mean smoke?"
    bare = STUDY.partition("[scale")[0]
    words = "--scale: expected none, as there is no table such as [scale.smoke], got smoke"
    assert complaint(tmp_path, bare, scale="smoke") == words


def test_a_scale_changes_every_attack_of_a_name_and_leaves_the_others(tmp_path: Path) -> None:
    text = STUDY.replace("prune = { rounds = 1 }", "attack.fgsm = { images = 8 }")
    assert [(m.attack, m.eps, m.images) for m in of(tmp_path, text).measurements] == [
        ("fgsm", 2 / 255, None),
        ("fgsm", 8 / 255, None),
        ("semantic", None, None),
    ]
    assert [(m.attack, m.eps, m.images) for m in of(tmp_path, text, scale="smoke").measurements] == [
        ("fgsm", 2 / 255, 8),
        ("fgsm", 8 / 255, 8),
        ("semantic", None, None),
    ]


def test_what_a_scale_says_of_an_attack_goes_before_what_its_table_says(tmp_path: Path) -> None:
    text = STUDY.replace("prune = { rounds = 1 }", 'attack = { fgsm = { eps = "1/255" }, semantic = { turn = 0.25 } }')
    found = [(m.attack, m.eps, dict(m.options)) for m in of(tmp_path, text, scale="smoke").measurements]
    assert found == [("fgsm", 1 / 255, {}), ("semantic", None, {"turn": 0.25})]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("fgsm = { images = 0 }", "attack.fgsm.images: expected a whole number of at least 1, got 0"),
        ("fgsm = { step = 2 }", "attack.fgsm.step: expected options out of eps, images, from, got step"),
        (
            "fgsn = { images = 8 }",
            "attack.fgsn: expected one of fgsm, semantic, got fgsn; did you mean fgsm?",
        ),
        ("fgsm = 3", "attack.fgsm: expected a table of options, got 3"),
    ],
)
def test_a_mistake_in_a_change_of_an_attack_is_told_with_its_line(tmp_path: Path, change: str, words: str) -> None:
    text = STUDY.replace("prune = { rounds = 1 }", f"attack.{change}")
    assert complaint(tmp_path, text, scale="smoke") == f"sweep.toml:23: {words}"


def test_mistakes_on_the_command_line_are_told_without_a_line(tmp_path: Path) -> None:
    words = '--set prune.rounds: expected a whole number of at least 1, got "many"'
    assert complaint(tmp_path, STUDY, "prune.rounds=many") == words
    words = "--set: expected NAME=VALUE, such as prune.rounds=3, got prune.rounds"
    assert complaint(tmp_path, STUDY, "prune.rounds") == words


def test_files_that_are_no_studies_are_told(tmp_path: Path) -> None:
    words = "sweep.toml: expected a study in TOML, got Invalid value (at line 1, column 8)"
    assert complaint(tmp_path, "name = sweep") == words
    assert (
        complaint(tmp_path, "name = 'sweep'") == "sweep.toml: attack: expected at least one table [[attack]], got none"
    )
    with pytest.raises(InputError) as error:
        read(tmp_path / "no.toml")
    assert (
        str(error.value)
        == f"{tmp_path / 'no.toml'}: expected a study file that can be read, got No such file or directory"
    )


def test_lines_are_those_of_keys_in_tables_and_in_arrays_of_tables() -> None:
    text = 'a = 1\n[b.c]\n"d" = 2\n[[e]]\nf.g = 3\n[e.h]\ni = 4\n[[e]]\nf.g = 5\n'
    lines = Lines(Path("x"), text)
    found = [
        lines.where(*path)
        for path in (("a",), ("b", "c", "d"), ("e", 0, "f.g"), ("e", 0, "h", "i"), ("e", 1, "f", "g"))
    ]
    assert [words.split(":")[1] for words in found] == ["1", "3", "5", "7", "9"]
    assert found[2] == "x:5: e.f.g"
    assert lines.where("b", "c", "nowhere") == "x:2: b.c.nowhere"
    assert lines.where("nowhere") == "x: nowhere"


def test_a_mark_at_the_beginning_that_some_editors_write_is_no_part_of_a_study(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[[attack]]\nname = "clean"\n', encoding="utf-8-sig")
    assert [entry.attack for entry in read(path).measurements] == ["clean"]

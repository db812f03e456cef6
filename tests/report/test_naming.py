"""What the places of a study's table are called."""

from windfirm.report import naming

POINTS = [
    {"prune.rounds": rounds, "prune.structure": structure, "prune.criterion": "pls"}
    for rounds in (10, 2)
    for structure in ("layers", "filters")
]


def test_words_come_before_numbers_and_numbers_say_what_they_are_numbers_of() -> None:
    axes = naming.varying(POINTS)
    assert axes == ["prune.structure", "prune.rounds"]
    assert [naming.label(point, axes) for point in POINTS] == [
        "layers, rounds 10",
        "filters, rounds 10",
        "layers, rounds 2",
        "filters, rounds 2",
    ]


def test_an_axis_on_which_a_point_does_nothing_is_left_out_of_its_name() -> None:
    points = [{"defend.name": "none", "adjust.epochs": 3}, {"defend.name": "mixup", "adjust.epochs": 6}]
    axes = naming.varying(points)
    assert [naming.label(point, axes) for point in points] == ["epochs 3", "mixup, epochs 6"]


def test_words_stand_as_they_come_and_numbers_by_size() -> None:
    found = [POINTS[i] for i in naming.in_order(POINTS, naming.varying(POINTS))]
    assert [(point["prune.structure"], point["prune.rounds"]) for point in found] == [
        ("layers", 2),
        ("layers", 10),
        ("filters", 2),
        ("filters", 10),
    ]


def test_names_that_would_be_alike_are_whole() -> None:
    points = [{"train.defence": "mixup"}, {"defend.name": "mixup"}]
    assert naming.labels(points, naming.varying(points), None) == ["train.defence mixup", "defend.name mixup"]
    numbers = [{"train.epochs": 1, "adjust.epochs": 2}, {"train.epochs": 2, "adjust.epochs": 1}]
    assert naming.labels(numbers, naming.varying(numbers), None)[0] == "train.epochs 1, adjust.epochs 2"
    assert naming.labels(POINTS, naming.varying(POINTS), None)[0] == "layers, rounds 10"


def test_an_axis_that_other_grids_have_is_in_no_name_of_this_one() -> None:
    points = [{"prune.ratio": 0.1, "prune.rate": None}, {"prune.ratio": None, "prune.rate": 0.1}]
    assert naming.labels(points, naming.varying(points), None) == ["ratio 0.1", "rate 0.1"]

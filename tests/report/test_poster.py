import pytest

from windfirm.report.poster import forms


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4"])
def test_the_published_averages_are_the_means_of_the_columns_that_the_form_says(name: str) -> None:
    form = forms()[name]
    checked = 0
    for row in form.rows:
        for column, parts in form.columns.items():
            if all((row, part) in form.published for part in parts) and parts:
                mean = sum(form.published[row, part] for part in parts) / len(parts)
                assert form.published[row, column] == pytest.approx(mean, abs=0.0101), (row, column)
                checked += 1
    assert checked == len(form.rows)


def test_each_table_has_the_posters_rows_and_columns_in_its_order() -> None:
    one, two, three, four = forms().values()
    assert [one.label(row) for row in one.rows] == [
        f"{arch}, {structure}" for arch in ("ResNet56", "MobileNetV2") for structure in ("Filters", "Layers", "Both")
    ]
    assert [two.label(row) for row in two.rows] == ["Scratch-E", "Scratch-B", "W-Ticket", "Fine-Tuning"]
    assert [three.label(row) for row in three.rows] == ["ℓ1-norm", "ExpectedABS", "HRank", "KLDivergence", "PLS"]
    assert [four.label(row) for row in four.rows][-2:] == ["Pruning Filters", "Pruning Layers"]
    assert [*one.columns] == [*three.columns] == ["semantic", "occlusion", "fgsm", "clean", "average"]
    assert [*four.columns] == ["robustness", "generalization", "average"]
    assert one.published["resnet56/both", "semantic"] == -4.13


def test_a_point_of_the_grid_finds_its_row() -> None:
    one, two, three, four = forms().values()
    assert one.row_of({"network.arch": "mobilenet-v2", "prune.structure": "both"}) in one.rows
    assert two.row_of({"adjust.name": "w-ticket", "adjust.epochs": 160}) in two.rows
    assert three.row_of({"prune.criterion": "kl-divergence"}) in three.rows
    assert four.row_of({"defend.name": "mixup", "prune.structure": "none"}) in four.rows
    assert four.row_of({"defend.name": "none", "prune.structure": "layers"}) in four.rows

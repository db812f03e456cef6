from tests.report.markup import read
from windfirm.report.training import figure, page, sentences, table, title

EPOCHS = [
    {"loss": 1.5, "accuracy": 0.5, "clean": 60, "fgsm": 30},
    {"loss": 0.7, "accuracy": 0.75, "clean": 70, "fgsm": 20},
]

RECORD = {
    "command": "windfirm train resnet20 --data cifar10 --probe 100",
    "seed": 3,
    "extras": {"probe": 100, "eps": 8 / 255},
    "epochs": EPOCHS,
}


def test_the_epoch_whose_weights_are_kept_is_told() -> None:
    epochs = [{"loss": 1.0, "accuracy": 0.5, "clean": clean, "fgsm": fgsm} for clean, fgsm in EVERY]
    for keep, said in (
        ("fgsm", "70 are right and 30 under FGSM after epoch 2, whose weights are kept."),
        ("clean", "90 are right and 5 under FGSM after epoch 4, whose weights are kept."),
        ("last", "5 are right under FGSM in the end; the most, 30, were after epoch 2."),
    ):
        record = RECORD | {"epochs": epochs, "extras": {"probe": 100, "keep": keep}}
        assert sentences(record)[1] == f"Of 100 training images held out, {said} Test images were not opened."


#: Of four epochs how many held-out images are right, and under FGSM; the second and the third are as robust.
EVERY = ((60, 10), (70, 30), (80, 30), (90, 5))


def test_the_end_and_the_most_robust_epoch_are_told() -> None:
    assert sentences(RECORD) == [
        "After 2 epochs the loss is 0.700, and 75.00 % of the augmented training images are right.",
        "Of 100 training images held out, 20 are right under FGSM in the end; the most, 30, were after epoch 1. "
        "Test images were not opened.",
    ]
    assert sentences({"epochs": EPOCHS[:1]})[0].startswith("After 1 epoch the loss is 1.500, ")
    assert title(RECORD) == "train resnet20"


def test_robustness_is_drawn_over_the_epochs_where_images_were_held_out() -> None:
    assert "FGSM, epoch 2: 20.00 %" in figure(RECORD)
    assert figure({**RECORD, "extras": {}}) == ""


def test_a_record_without_a_probe_or_anything_else_has_a_page_as_well() -> None:
    epochs = [{"loss": 0.5, "accuracy": 0.9}]
    assert table({"epochs": epochs}) == [("1", "0.500", "90.00", "–", "–")]
    assert "No epoch is in the record." in read(page({})).text
    assert "windfirm train" in read(page(RECORD)).text

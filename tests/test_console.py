import pytest

from windfirm import console


def test_words_in_brackets_stand_on_a_terminal_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    note = "failed: expected [conv1], got [/data]"
    with console.bar("run [mine]") as tick:
        tick(1, 2, note)
    said = capsys.readouterr().err
    assert "run [mine]" in said
    assert note in said

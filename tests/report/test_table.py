import dataclasses
import io
import re

import pytest
from rich.console import Console

from tests.report.made import CLEAN, GAIN, NOTHING, checked, comparison, every, outcome
from windfirm.evaluate.compare import Comparison
from windfirm.report import markdown, plain, table

AVERAGED = comparison({**every(GAIN), "average": GAIN}, {**every(NOTHING), "average": NOTHING})

TEXT = """\
accuracy, %   semantic  occlusion      fgsm     clean   average
F                70.00      78.00     18.60     93.10     64.92
control          70.20      79.00     21.00     93.40     65.90
F′               71.60      80.00     22.30     92.70     66.65
F′ − F        (+) 2.00   (+) 2.00  (+) 2.00  (−) 0.40  (+) 2.00
  p             <0.001     <0.001    <0.001     0.130    <0.001
  p, Holm        0.001      0.001     0.001     0.780     0.001
F′ − control  (+) 0.40   (+) 0.40  (+) 0.40  (−) 0.40  (+) 0.40
  p              0.420      0.420     0.420     0.130     0.420
  p, Holm        1.000      1.000     1.000     0.780     1.000

per image          F        F′   change
MACs         125.5 M   62.74 M  −50.0 %
parameters   853.0 k   426.5 k  −50.0 %
latency     2.000 ms  1.500 ms  −25.0 %
"""


def printed(made: Comparison, width: int, *, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system="standard" if terminal else None
    )
    console.print(table(made))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_plain_text_by_hand() -> None:
    assert plain(AVERAGED) == TEXT


def test_the_terminal_shows_the_same_cells_in_80_columns() -> None:
    assert printed(AVERAGED, 80).split() == TEXT.split()
    assert "…" not in printed(AVERAGED, 80)


def test_only_differences_beyond_chance_are_bold() -> None:
    text = printed(AVERAGED, 80, terminal=True)
    assert re.findall(r"\x1b\[1m *(\([+−]\) [0-9.]+)", text) == ["(+) 2.00"] * 4


def test_many_attacks_go_into_further_tables() -> None:
    extra = tuple(outcome(f"attack-{i}", 500) for i in range(6))
    subjects = tuple(dataclasses.replace(s, outcomes=(*extra, *s.outcomes)) for s in AVERAGED.subjects)
    wide = dataclasses.replace(AVERAGED, subjects=subjects)
    for text in (plain(wide), printed(wide, 80)):
        assert max(map(len, text.splitlines())) <= 80
        assert text.count("accuracy, %") == 2
        assert all(f"attack-{i}" in text for i in range(6))
        assert "–" in text  # nothing was tested under these
        assert "nan" not in text


def test_a_long_name_is_not_cut() -> None:
    names = ("gaussian-noise", "jpeg", "brightness", "motion-blur", "occlusion-search")
    subjects = tuple(
        dataclasses.replace(s, outcomes=(*(outcome(name, 500) for name in names), *s.outcomes))
        for s in AVERAGED.subjects
    )
    text = printed(dataclasses.replace(AVERAGED, subjects=subjects), 80)
    assert all(name in text for name in names)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("pruned", "line"),
    [
        ((1.4, 1.6), "latency, middle half 1.900–2.200 ms 1.400–1.600 ms apart"),
        ((1.4, 1.9), "latency, middle half 1.900–2.200 ms 1.400–1.900 ms they overlap"),
        ((2.3, 2.4), "latency, middle half 1.900–2.200 ms 2.300–2.400 ms apart"),
    ],
)
def test_the_middle_half_of_the_times_tells_whether_the_change_means_something(
    pruned: tuple[float, float], line: str
) -> None:
    made = comparison(every(GAIN), every(NOTHING))
    middles = {"F": (1.9, 2.2), "F'": pruned, "control": None}
    subjects = tuple(dataclasses.replace(s, latency_middle_ms=middles[s.role]) for s in made.subjects)
    assert line in [" ".join(said.split()) for said in plain(dataclasses.replace(made, subjects=subjects)).splitlines()]


def test_without_control_average_or_latency() -> None:
    made = comparison({"fgsm": GAIN, "clean": CLEAN})
    bare = tuple(dataclasses.replace(s, outcomes=s.outcomes[2:], latency_ms=float("nan")) for s in made.subjects)
    assert plain(dataclasses.replace(made, subjects=bare)) == (
        "accuracy, %      fgsm     clean\n"
        "F               18.60     93.10\n"
        "F′              22.30     92.70\n"
        "F′ − F       (+) 2.00  (−) 0.40\n"
        "  p            <0.001     0.130\n"
        "  p, Holm      <0.001     0.130\n"
        "\n"
        "per image         F       F′   change\n"
        "MACs        125.5 M  62.74 M  −50.0 %\n"
        "parameters  853.0 k  426.5 k  −50.0 %\n"
    )


def test_markdown_has_intervals_and_p_values() -> None:
    lines = markdown(AVERAGED).splitlines()
    assert lines[0] == "| accuracy, % | semantic | occlusion | fgsm | clean | average |"
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: |"
    assert lines[5].startswith("| F′ − F | (+) 2.00 [+1.00 to +3.00], p < 0.001, corrected 0.001 |")
    assert "| (−) 0.40 [−0.90 to +0.10], p = 0.130, corrected 0.780 |" in lines[6]
    assert lines[-1] == "| latency | 2.000 ms | 1.500 ms | −25.0 % |"
    assert len({line.count("|") for line in lines[:7]}) == 1


def test_calibration_has_a_table_of_its_own() -> None:
    made = checked(AVERAGED)
    text = (
        "\n"
        "calibration  ECE, %    NLL  temperature  scaled ECE, %  scaled NLL\n"
        "F              4.12  0.301         1.70           0.98       0.244\n"
        "control        4.12  0.301         1.70           0.98       0.244\n"
        "F′             4.12  0.301         1.70           0.98       0.244\n"
    )
    assert plain(made) == TEXT + text
    assert printed(made, 80).split() == (TEXT + text).split()
    assert markdown(made).endswith("| F′ | 4.12 | 0.301 | 1.70 | 0.98 | 0.244 |\n")

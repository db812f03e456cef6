"""Figures as hand-made SVG, one a file; every text in them is escaped.

Colours come from the page's style sheet by class, so that both themes and print share one drawing. A series is told by
its marker and its dashes as well as by its colour. Each point says its numbers when the pointer rests on it.
"""

from windfirm.report.drawing.axis import EPS, LENGTH, Axis, plain
from windfirm.report.drawing.bars import bars
from windfirm.report.drawing.heat import heat
from windfirm.report.drawing.lines import lines
from windfirm.report.drawing.scatter import scatter
from windfirm.report.drawing.series import Point, Series

__all__ = ["EPS", "LENGTH", "Axis", "Point", "Series", "bars", "heat", "lines", "plain", "scatter"]

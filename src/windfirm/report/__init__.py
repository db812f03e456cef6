"""A comparison for people to read: tables, sentences, figures, one offline HTML page."""

from windfirm.report.comparison_words import answer
from windfirm.report.figure import Layer
from windfirm.report.page import page
from windfirm.report.table import markdown, plain, table

__all__ = ["Layer", "answer", "markdown", "page", "plain", "table"]

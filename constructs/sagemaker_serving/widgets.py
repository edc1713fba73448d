"""Graphs of a dashboard."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch


def graph(title: str, metrics: Sequence[cloudwatch.Metric], *, width: int = 8) -> cloudwatch.GraphWidget:
    """A graph that begins at zero.

    Args:
        title: What it shows, with the unit.
        metrics: Its lines.
        width: Columns of the dashboard's 24. Default 8.
    """
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        width=width,
    )

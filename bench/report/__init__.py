# SPDX-License-Identifier: Apache-2.0
"""The parts of bench/bench-report: result (reads), words, svg, bars, lines
(draw), headline, page and readme (write)."""

# SPDX-License-Identifier: Apache-2.0
"""What bench/bench-report is made of: result (reads), words, svg, bars, lines
(draw), headline, page and readme (write)."""

"""From repeated runs to a table: medians, ratios to the floor of the same round, spread.

In every round the floor runs twice, first and last. Its two runs against each other are the A/A
spread: no ratio can be told from 1 by less than that. A ratio is taken within a round, against
the mean of its two floors, because the machine changes more between rounds than within one.
"""

from dataclasses import dataclass
from statistics import mean, median


@dataclass
class Figure:
    """A column of the table: a figure of each run, and what the engine's ratio must hold."""

    key: str
    title: str
    digits: int = 2
    ratio_max: float | None = None
    ratio_min: float | None = None

    def judge(self, ratio, spread):
        """Whether the bound holds, given the spread of the floor against itself."""
        if self.ratio_max is None and self.ratio_min is None:
            return ""
        excess = ratio - self.ratio_max if self.ratio_max is not None else self.ratio_min - ratio
        return "holds" if excess <= 0 else "within spread" if excess <= spread else "misses"

    def bound(self):
        if self.ratio_max is not None:
            return f"at most {self.ratio_max:.2f} × floor"
        return f"at least {self.ratio_min:.2f} × floor" if self.ratio_min is not None else ""


@dataclass
class Rounds:
    """Figures of all runs: `rounds[i]` is a list of (server name, figures), floor first and last."""

    floor: str
    rounds: list

    def names(self):
        return list(dict.fromkeys(name for one in self.rounds for name, _ in one))

    def values(self, name, key):
        found = [figures[key] for one in self.rounds for who, figures in one if who == name]
        return [value for value in found if value is not None]

    def ratios(self, name, key):
        """A value of each round over the mean of the floor's in the same round."""
        ratios = []
        for one in self.rounds:
            floors = [f[key] for who, f in one if who == self.floor and f[key]]
            mine = [f[key] for who, f in one if who == name and f[key]]
            if floors and mine:
                ratios.append(mean(mine) / mean(floors))
        return ratios

    def spread(self, key):
        """Median distance of the floor's two runs of a round, relative to the first."""
        pairs = [[f[key] for who, f in one if who == self.floor and f[key]] for one in self.rounds]
        distances = [abs(pair[-1] / pair[0] - 1) for pair in pairs if len(pair) > 1]
        return median(distances) if distances else 0.0


def markdown(title, question, rounds, figures):
    """The whole summary of a scenario."""
    lines = [f"# {title}", "", question, ""]
    for figure in figures:
        lines += table(rounds, figure) + [""]
    return "\n".join(lines + warnings(rounds))


def table(rounds, figure):
    spread = rounds.spread(figure.key)
    bound = f"; the engine holds {figure.bound()}" if figure.bound() else ""
    lines = [f"## {figure.title}", "",
             f"A/A spread of the floor: {spread:.1%} over {len(rounds.rounds)} rounds{bound}.", "",
             "| server | median | lowest to highest | ratio to floor | lowest to highest | |",
             "| --- | ---: | ---: | ---: | ---: | --- |"]
    for name in rounds.names():
        values = rounds.values(name, figure.key)
        if not values:
            lines.append(f"| {name} | – | – | – | – | |")
            continue
        ratios = rounds.ratios(name, figure.key)
        ratio = f"{median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f}" if ratios else "– | –"
        verdict = figure.judge(median(ratios), spread) if name == "engine" and ratios else ""
        middle, low, high = (f"{v:.{figure.digits}f}" for v in (median(values), min(values), max(values)))
        lines.append(f"| {name} | {middle} | {low} to {high} | {ratio} | {verdict} |")
    return lines


def warnings(rounds):
    """What makes a figure doubtful, said beside it."""
    lines = []
    for name in rounds.names():
        runs = [figures for one in rounds.rounds for who, figures in one if who == name]
        said = []
        if missing := sum(f.get("missing") or 0 for f in runs):
            said.append(f"{missing} deliveries missing")
        if closed := sum(f.get("closed") or 0 for f in runs):
            said.append(f"{closed} subscribers cut")
        if (busy := max((f.get("client_busy") or 0) for f in runs)) > 0.9:
            said.append(f"the client was {busy:.0%} busy, so latency is its own too")
        if dropped := sum(f.get("packets", {}).get("softnet_dropped", 0) for f in runs):
            said.append(f"{dropped} packets dropped on loopback (net.core.netdev_max_backlog)")
        if said:
            lines.append(f"- {name}: {', '.join(said)}")
    return (["Doubts:", ""] + lines + [""]) if lines else []

"""From repeated runs to a table: medians, comparison with the floor of the same round, spread.

In every round the floor runs twice, first and last. Its two runs against each other are the A/A
spread: nothing can be told from the floor by less than that. Comparison is within a round, with
the mean of its two floors, because the machine changes more between rounds than within one.
"""

from dataclasses import dataclass
from statistics import mean, median

# Above this share of its CPU a client no longer reads at once what has come, and events queue up
# in a server, which then may send several at once.
BUSY_MAX = 0.9
# Sockets of other programs that do not matter beside thousands of subscribers.
FOREIGN_SOCKETS_MAX = 50
COUNTS = ("missing", "closed", "softnet_dropped", "tcp_retransmitted", "foreign_sockets")
# Below this share of its due events a client has put less load on the server than was asked for.
PUBLISHED_MIN = 0.99


@dataclass
class Figure:
    """A table of the summary: one figure of each run, compared with the floor's.

    `at_most` and `at_least` bound the engine's comparison: a ratio, or a difference in the unit
    of the figure where `is_difference` says so.
    """

    key: str
    title: str
    digits: int = 2
    is_difference: bool = False
    at_most: float | None = None
    at_least: float | None = None
    judges_all: bool = False  # the bound is not the engine's alone

    def against(self, value, floor):
        """The comparison; None where a ratio to nothing has no meaning."""
        if self.is_difference:
            return value - floor
        return value / floor if floor else None

    def told(self, comparison):
        """A comparison as it stands in the table."""
        return f"{comparison:+.{self.digits}f}" if self.is_difference else f"{comparison:.2f} ×"

    def bound(self):
        """What the engine holds, in words; empty if nothing."""
        who = "every row" if self.judges_all else "the engine"
        if self.at_most is not None:
            return f"{who} holds at most {self.told(self.at_most)}"
        return f"{who} holds at least {self.told(self.at_least)}" if self.at_least else ""

    def judge(self, comparison, spread):
        """Whether the bound holds, given the spread of the floor against itself."""
        if self.at_most is None and self.at_least is None:
            return ""
        excess = comparison - self.at_most if self.at_least is None else self.at_least - comparison
        return "holds" if excess <= 0 else "within spread" if excess <= spread else "misses"


@dataclass
class Rounds:
    """All runs: a round is a list of (name, figures), the floor first and last.

    Where sizes of one server are compared, the first size stands for the floor.
    """

    floor: str
    rounds: list

    def names(self):
        return list(dict.fromkeys(name for one in self.rounds for name, _ in one))

    def figures_of(self, name):
        return [figures for one in self.rounds for who, figures in one if who == name]

    def values(self, name, key):
        return [value for one in self.rounds for value in values_of(one, name, key)]

    def comparisons(self, name, figure):
        """The server against the floor, once for each round that has both."""
        found = []
        for one in self.rounds:
            sides = [values_of(one, side, figure.key) for side in (name, self.floor)]
            if all(sides):
                found.append(figure.against(*map(mean, sides)))
        return [comparison for comparison in found if comparison is not None]

    def spread(self, figure):
        """Median distance between the floor's two runs of a round."""
        same = 0 if figure.is_difference else 1
        floors = [values_of(one, self.floor, figure.key) for one in self.rounds]
        found = [figure.against(pair[-1], pair[0]) for pair in floors if len(pair) > 1]
        return median([abs(value - same) for value in found if value is not None] or [0])


def values_of(one_round, name, key):
    """A server's figure in each of its runs of a round that have it."""
    found = [figures.get(key) for who, figures in one_round if who == name]
    return [value for value in found if value is not None]


def markdown(title, question, rounds, figures):
    """The whole summary of a scenario."""
    lines = [f"# {title}", "", question.strip(), ""]
    for figure in figures:
        lines += table(rounds, figure) + [""]
    return "\n".join(lines + doubts(rounds))


def table(rounds, figure):
    spread = rounds.spread(figure)
    said = f"{spread:.{figure.digits}f}" if figure.is_difference else f"{spread:.1%}"
    said = f"{rounds.floor} differs from itself by {said} (median of {len(rounds.rounds)} rounds)"
    column = f"{'beyond' if figure.is_difference else 'against'} {rounds.floor}"
    return [f"## {figure.title}", "", f"{'; '.join(filter(None, [said, figure.bound()]))}.", "",
            f"| server | median | lowest to highest | {column} | lowest to highest | |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
            *(row(name, rounds, figure, spread) for name in rounds.names())]


def row(name, rounds, figure, spread):
    values = rounds.values(name, figure.key)
    if not values:
        return f"| {name} | – | – | – | – | |"
    shown = [f"{value:.{figure.digits}f}" for value in (median(values), min(values), max(values))]
    middle, low, high = shown
    cells = [name, middle, f"{low} to {high}", "–", "–", ""]
    if comparisons := rounds.comparisons(name, figure):
        cells[3] = figure.told(median(comparisons))
        cells[4] = f"{figure.told(min(comparisons))} to {figure.told(max(comparisons))}"
        is_judged = figure.judges_all or name == "engine"
        cells[5] = figure.judge(median(comparisons), spread) if is_judged else ""
    return f"| {' | '.join(cells)} |"


def verdict_reasons(runs):
    """Why `downpour-load` itself doubts its measurements, each reason once.

    That both ends share a machine is how every run here is laid out, and no news.
    """
    reasons = [reason for f in runs for reason in f.get("verdict", {}).get("reasons", [])]
    return {reason["code"]: reason for reason in reasons if reason["code"] != "loopback"}.values()


def doubts(rounds):
    """What makes a server's figures doubtful, said beside them."""
    lines = []
    for name in rounds.names():
        runs = rounds.figures_of(name)
        total = {key: sum(f.get(key) or 0 for f in runs)
                 for key in COUNTS}
        published = min((f["published_share"] for f in runs if f.get("published_share")), default=1)
        server, client = [max(f.get(f"{who}_busy") or 0 for f in runs)
                          for who in ("server", "client")]
        said = [
            total["missing"] and f"{total['missing']} deliveries did not come",
            total["closed"] and f"{total['closed']} subscribers were cut",
            total["softnet_dropped"] and f"loopback dropped {total['softnet_dropped']} packets "
                                         "(net.core.netdev_max_backlog)",
            total["tcp_retransmitted"] and f"{total['tcp_retransmitted']} segments were sent again",
            total["foreign_sockets"] > FOREIGN_SOCKETS_MAX
            and f"{total['foreign_sockets']} sockets of others came or went meanwhile",
            published < PUBLISHED_MIN and f"it took only {published:.0%} of the events due",
            server > BUSY_MAX and f"the server was {server:.0%} busy",
            *(reason["text"] for reason in verdict_reasons(runs)),
            client > BUSY_MAX and f"the client was {client:.0%} busy and limits what it measures",
        ]
        if said := [text for text in said if text]:
            lines.append(f"- {name}: {'; '.join(said)}.")
    return (["## Doubts", "", *lines, ""]) if lines else []
